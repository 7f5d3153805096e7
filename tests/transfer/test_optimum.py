"""The optimal learning rate: a minimum, its derivative, its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import central_differences

import spectrax as sx
from spectrax.transfer.stability import with_eta


def model(p):
    return sx.DeepLinear(1, 5, eta=0.1, alpha=p[3], nu=p[2], gamma0=p[0], sigma=p[1])


HERE = jnp.array([4.0, 1.1, 1.5, 5.0])


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["test", "train"])
def test_no_other_rate_has_a_lower_loss(loss):
    best = sx.optimal_lr(model(HERE), loss=loss)

    def final(eta):
        solution = sx.solve(with_eta(model(HERE), eta), throw=False)
        return getattr(solution, f"{loss}_loss")[-1]

    scan = jax.vmap(final)(best * jnp.linspace(0.05, 2.0, 79))
    assert final(best) <= scan.min()
    assert scan[38] < 0.9 * scan[0]  # the scan does see a valley
    near = jax.vmap(final)(best * jnp.array([1 - 1e-3, 1.0, 1 + 1e-3]))
    assert near[1] < near[0] and near[1] < near[2]


@pytest.mark.slow
def test_gradient_of_the_optimal_rate():
    """Nested derivatives lose digits: 1e-4."""

    def rate(p):
        return sx.optimal_lr(model(p))

    slope, value = jax.grad(rate)(HERE), jax.jit(rate)
    np.testing.assert_allclose(slope, central_differences(value, HERE), rtol=1e-4)


def test_bad_requests():
    with pytest.raises(ValueError, match="`loss` must be 'test' or 'train', got 'mean'"):
        sx.optimal_lr(model(HERE), loss="mean")
    with pytest.raises(ValueError, match="`nodes` must be an integer of at least 3, got 2"):
        sx.optimal_lr(model(HERE), nodes=2)
