"""Domains of hyperparameters that were checked as numbers and became traced ones."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx

NAN = float("nan")
RATES = {
    "eta": (-0.1,),
    "sigma": (0.0, -1.0, NAN),
    "gamma0": (0.0, NAN),
    "momentum": (-0.1, 1.0, NAN),
    "weight_decay": (-0.1, 1.0, NAN),
}
MODELS = {
    "DeepLinear": (
        sx.DeepLinear(1, 2, alpha=2.0, nu=1.0, eta=0.1, gamma0=2.0),
        RATES | {"alpha": (0.0, jnp.inf), "nu": (0.0, -1.0), "label_noise": (-0.1, NAN)},
    ),
    "WideNetwork": (
        sx.WideNetwork(1, 2, inputs=np.eye(2), targets=[1.0, -1.0], eta=0.1, gamma0=2.0),
        RATES,
    ),
    "AntiHebbian": (
        sx.AntiHebbian(2, dt=0.1, mu=0.0, kappa=1.0),
        {"dt": (0.0, NAN), "sigma": (0.0,), "x0_variance": (-1.0,), "decay": (-0.1, NAN)}
        | {"mu": (jnp.inf,), "kappa": (NAN,)},
    ),
    "CoupledSpikeModel": (
        sx.CoupledSpikeModel(1, H=lambda k, xi, x: x[0], G=lambda k, chi, y: y[0], aspect=1.0),
        {"aspect": (0.0, -1.0, NAN), "sigma": (0.0, jnp.inf)},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_hyperparameter_out_of_its_domain_makes_a_model_invalid(name):
    model, domains = MODELS[name]
    assert model.valid()
    for hyperparameter, values in domains.items():
        for value in values:
            bad = eqx.tree_at(lambda m, at=hyperparameter: getattr(m, at), model, jnp.array(value))
            assert not bad.valid(), (hyperparameter, value)
    for hyperparameter in {"momentum", "weight_decay", "label_noise", "decay"} & set(domains):
        edge = eqx.tree_at(lambda m, at=hyperparameter: getattr(m, at), model, jnp.array(0.0))
        assert edge.valid()
