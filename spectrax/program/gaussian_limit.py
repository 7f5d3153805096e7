"""The Gaussian limit as an interpreter."""

from collections.abc import Callable

import equinox as eqx
import jax

from spectrax.program.gaussian import GaussianOps
from spectrax.program.objects import Objects
from spectrax.program.plan import Plan
from spectrax.program.tapes import Tapes, blank_tapes


class GaussianLimit(eqx.Module):
    """The exact limit of linear programs, by coefficients on base Gaussians."""

    def prepare(self, plan: Plan, n: int) -> "GaussianLimit":
        """The interpreter, ready for a program of n steps.

        Raises:
            ValueError: if the program is not linear.
        """
        del n
        if not plan.linear:
            raise ValueError(
                "Argument `interpreter` must be a SampledLimit for a nonlinear model, such as "
                "SampledLimit(4096, key=jax.random.key(0))."
            )
        return self

    def blank(self, plan: Plan, n: int) -> Tapes:
        """Tapes of n empty rows."""
        return blank_tapes(plan, n)

    def ops(self, plan: Plan, objects: Objects, *state) -> GaussianOps:
        """Step t of a program: `state` are variances, tapes, theta, t and live."""
        return GaussianOps(plan, objects, *state)

    def map(self, row: Callable, *args):
        """Many rows."""
        return jax.vmap(row)(*args)

    def order(self, tapes: Tapes) -> Tapes:
        """What stays of the tapes when the program is solved."""
        return tapes
