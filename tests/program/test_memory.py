"""What reverse mode keeps: the tapes, whether or not the whole is compiled."""

import jax
import jax.numpy as jnp
import pytest

import spectrax as sx


@pytest.mark.slow  # it is traced, not compiled, and takes seconds all the same
def test_reverse_mode_keeps_the_tapes_only():
    """All that leaves the compiled forward pass: nothing of all tapes for each of the steps."""
    steps, limit = 32, sx.SampledLimit(128, key=jax.random.key(0))

    def model(sigma):
        def H(k, xi, x):
            return jnp.tanh(x[0] + xi.sum(0))

        return sx.CoupledSpikeModel(steps, H=H, G=lambda k, chi, y: chi[k], aspect=1.0, sigma=sigma)

    def total(sigma):
        return jnp.sum(sx.solve(model(sigma), interpreter=limit).order.Ch[0])

    traced = jax.make_jaxpr(jax.grad(total))(1.0)
    forward = next(e for e in traced.eqns if e.params.get("name") == "_solve")
    kept = sum(var.aval.size * var.aval.dtype.itemsize for var in forward.outvars)
    plan = model(1.0).plan()
    blank = limit.prepare(plan, steps)[0].blank(plan, steps)
    tapes = sum(x.nbytes for x in jax.tree.leaves(blank))
    assert tapes < kept < 4 * tapes, f"{kept / tapes:.1f} times the tapes"
