"""Values of every size, up to divergence: what is finite has finite derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrax as sx

LOW, HIGH = [-1, -1, -3, -2, -2, -2, -3], [1.5, 1.5, 4, 1.5, 1, -0.05, 0]


def solution(p, depth, num_steps):
    names = ("alpha", "nu", "eta", "gamma0", "sigma", "momentum", "weight_decay")
    model = sx.DeepLinear(depth, num_steps, **dict(zip(names, p, strict=True)))
    return sx.solve(model, throw=False)


MEASURES = {
    "loss": lambda s: s.train_loss[-1],
    "outlier": lambda s: sx.outliers(sx.spikes(s, 0, s.model.num_steps), 1).location[0],
    "margin": lambda s: sx.margin(sx.spikes(s, s.model.depth - 1, s.model.num_steps)),
    "path": lambda s: jnp.sum(sx.outlier_path(s.weights(0)).location),
    "sharpness": lambda s: sx.ntk_top(s, s.model.num_steps - 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("depth, num_steps", [(1, 8), (2, 6), (3, 4)])
@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_finite_has_finite_derivatives(measure, depth, num_steps):
    """Random settings over decades, most of which diverge; +inf has derivative zero."""

    def value(p):
        found = solution(p, depth, num_steps)
        return MEASURES[measure](found), found.stats["diverged_at"] < num_steps

    p = 10 ** np.random.default_rng(depth).uniform(LOW, HIGH, (60, 7))
    run = jax.jit(jax.vmap(jax.value_and_grad(value, has_aux=True)))
    (values, diverged), slopes = run(p)
    assert not np.isnan(values).any() and np.isfinite(slopes).all()
    assert 10 < diverged.sum() < 55
    alive = np.isfinite(values) & ~diverged
    assert (np.abs(slopes[alive]).max(axis=1) > 0).all()


@pytest.mark.slow
def test_kernels_too_large_for_spectra_are_a_divergence():
    """One step beyond 1e75 is reported; before it the outlier is finite, as its derivative is."""

    def top(eta, step):
        found = sx.solve(sx.DeepLinear(1, 7, alpha=2.0, nu=1.0, eta=eta, gamma0=3.0), throw=False)
        location = sx.outliers(sx.spikes(found, 0, step), 1).location[0]
        return location, (found.stats["diverged_at"], found.train_loss)

    run = jax.jit(jax.value_and_grad(top, has_aux=True))
    _, (at, loss) = run(30.0, 1)[0]
    assert 1 < at < 7 and np.isinf(loss[at:]).all()
    assert loss[at - 1] < 1e75
    for step in range(int(at) + 1):
        (value, _), slope = run(30.0, step)
        assert np.isfinite([value, slope]).all()
    assert value > 1e30 and slope > 1e28
