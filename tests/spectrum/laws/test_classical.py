import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectrum.helpers import assert_derivatives, quadrature

from spectrax.spectrum import MarchenkoPastur

LAWS = [(0.3, 1.0), (1.0, 1.3), (2.5, 0.7)]


@pytest.mark.parametrize("aspect, sigma", LAWS)
def test_density_and_atom_have_mass_one_and_the_right_mean(aspect, sigma):
    law = MarchenkoPastur(aspect, sigma)
    rtol = 1e-10 if aspect != 1 else 1e-6  # at aspect 1 the density diverges at zero
    np.testing.assert_allclose(quadrature(law, np.ones_like) + law.atom(), 1.0, rtol=rtol)
    np.testing.assert_allclose(quadrature(law, lambda x: x), aspect * sigma**2, rtol=1e-8)


@pytest.mark.parametrize("aspect, sigma", LAWS)
@pytest.mark.parametrize("z", [30.0, -2.0, 0.5 + 0.4j, 2.0 - 1.0j, -1.0 + 1e-3j])
def test_stieltjes_transform_is_the_integral_of_the_density(aspect, sigma, z):
    law = MarchenkoPastur(aspect, sigma)
    expected = quadrature(law, lambda x: 1 / (z - x)) + law.atom() / z
    np.testing.assert_allclose(law.stieltjes(z), expected, rtol=1e-8 if aspect != 1 else 1e-5)


@pytest.mark.parametrize("aspect, sigma", LAWS)
def test_stieltjes_transform_solves_its_equation(aspect, sigma):
    law = MarchenkoPastur(aspect, sigma)
    lower, upper = law.edges()
    z = jnp.array([1e3 * upper, 1.01 * upper, 0.9 * lower, -3.0])[: 4 if aspect != 1 else 2]
    m = law.stieltjes(z)
    assert not jnp.iscomplexobj(m)
    s2 = sigma**2
    np.testing.assert_allclose(m, 1 / (z - s2 * aspect / (1 - s2 * m)), rtol=1e-12)
    np.testing.assert_allclose(m[0] * z[0], 1.0, rtol=1e-2)  # the branch that decays


def test_below_the_bulk_the_physical_branch_is_taken():
    law = MarchenkoPastur(4.0)  # edges 1 and 9
    expected = quadrature(law, lambda x: 1 / (0.5 - x))
    np.testing.assert_allclose(law.stieltjes(0.5), expected, rtol=1e-10)


def test_inside_the_bulk_real_z_gives_the_principal_value():
    law = MarchenkoPastur(0.5, 1.2)
    x = jnp.array([0.3, 1.0, 2.5])
    beside = law.stieltjes(x + 1e-12j)
    np.testing.assert_allclose(law.stieltjes(x), beside.real, rtol=1e-9)
    np.testing.assert_allclose(law.density(x), -beside.imag / np.pi, rtol=1e-9)


def test_outside_the_bulk_density_and_its_derivatives_vanish():
    law = MarchenkoPastur(0.5)
    for x in (-1.0, 0.0, 10.0):
        assert law.density(x) == 0
        gradient = jax.grad(lambda law, x=x: law.density(x))(law)
        assert gradient.aspect == 0 and gradient.sigma == 0


def test_scaled_law_is_the_law_of_scaled_eigenvalues():
    law = MarchenkoPastur(0.5, 1.3)
    scaled = law.scaled(3.0)
    np.testing.assert_allclose(scaled.edges(), 3 * jnp.stack(law.edges()), rtol=1e-14)
    np.testing.assert_allclose(scaled.density(2.4), law.density(0.8) / 3, rtol=1e-14)
    np.testing.assert_allclose(scaled.stieltjes(24.0), law.stieltjes(8.0) / 3, rtol=1e-14)


def test_stieltjes_transform_differentiates():
    z = jnp.array([9.0, -1.0, 0.01])
    point = MarchenkoPastur(2.0, 1.1), MarchenkoPastur(0.4, 0.7)  # the second is a direction
    assert_derivatives(lambda law: law.stieltjes(z), point)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((-1.0,), "Argument `aspect` must be positive, got -1.0."),
        ((1.0, 0.0), "Argument `sigma` must be positive, got 0.0."),
        ((float("nan"),), "Argument `aspect` must be finite, got nan."),
    ],
)
def test_wrong_arguments_are_named_in_one_sentence(arguments, message):
    with pytest.raises(ValueError) as error:
        MarchenkoPastur(*arguments)
    assert str(error.value) == message


def test_traced_arguments_are_not_inspected():
    edges = jax.vmap(lambda aspect: MarchenkoPastur(aspect).edges()[1])(jnp.array([1.0, -1.0]))
    assert edges[0] == 4.0 and jnp.isnan(edges[1])
