"""The table of multipliers, and what it promises in its own words."""

import itertools

import pytest

from models.scaling import OPTIMIZERS, ROLES, Scaling

EVERY = list(itertools.product(ROLES, OPTIMIZERS, (False, True)))


def test_standard_parameterization_multiplies_by_one():
    scaling = Scaling(8.0, 4.0, parameterization="standard")
    assert scaling.branch == scaling.epsilon(branch=True) == 1.0
    for role, name, branch in EVERY:
        assert scaling.initial(role) == scaling.forward(role) == 1.0
        assert scaling.rate(role, name, branch=branch) == 1.0
        assert scaling.decay(role, name, branch=branch) == 1.0


def test_parameterizations_coincide_at_base_sizes():
    mup, standard = Scaling(gamma0=3.0), Scaling(gamma0=3.0, parameterization="standard")
    assert mup.branch == standard.branch and mup.epsilon() == standard.epsilon()
    for role, name, branch in EVERY:
        assert mup.rate(role, name, branch=branch) == standard.rate(role, name, branch=branch)
        assert mup.initial(role) == standard.initial(role)
        assert mup.forward(role) == standard.forward(role)


def test_table_of_the_module():
    m, d, g = 4.0, 2.0, 3.0
    scaling = Scaling(m, d, g)
    rows = {
        "input": (1.0, 1.0, m * g**2, g),
        "vector": (1.0, 1.0, m * g**2, g),
        "hidden": (1.0, 1.0, g**2, g / m),
        "output": (m**0.5, 1 / (m * g), m * g**2, g),
    }
    assert scaling.branch == 1 / d
    assert scaling.epsilon() == 1 / (m * g) and scaling.epsilon(branch=True) == 1 / (m * g * d)
    for role, (initial, forward, sgd, adam) in rows.items():
        assert (scaling.initial(role), scaling.forward(role)) == (initial, pytest.approx(forward))
        assert scaling.rate(role, "sgd") == sgd and scaling.rate(role, "adam") == adam
        assert scaling.rate(role, "sgd", branch=True) == d * sgd
        assert scaling.rate(role, "adam", branch=True) == adam


def test_weights_shrink_at_one_rate_whatever_the_sizes():
    for (role, name, branch), width, gamma0 in itertools.product(EVERY, (1.0, 8.0), (0.1, 5.0)):
        scaling = Scaling(width, 2.0, gamma0)
        product = scaling.rate(role, name, branch=branch) * scaling.decay(role, name, branch=branch)
        assert product == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["width", "depth", "gamma0"])
def test_bad_numbers_are_one_sentence(name):
    with pytest.raises(ValueError, match=f"Argument `{name}` must be positive, got -1.0."):
        Scaling(**{name: -1.0})


def test_unknown_names_are_one_sentence():
    with pytest.raises(ValueError, match="Argument `parameterization` must be 'mup'"):
        Scaling(parameterization="ntk")
    with pytest.raises(ValueError, match="Argument `role` must be 'input'"):
        Scaling().rate("bias", "sgd")
    with pytest.raises(ValueError, match="Argument `optimizer` must be 'sgd'"):
        Scaling().rate("input", "lion")
