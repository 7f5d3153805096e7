"""How output scale and learning rate depend on width."""

import equinox as eqx
import numpy as np
from jax.typing import ArrayLike

from spectrax import _show, check


class Parameterization(eqx.Module):
    r"""$\gamma = \gamma_0\, \nu^a, \qquad \eta_{\mathrm{eff}} = \eta\, \nu^b.$

    Args:
        output_exponent: a; 1/2 in maximal-update (µP), 0 in NTK parameterization.
        lr_exponent: b; 0 in both.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Examples:
        >>> from spectrax import mup
        >>> float(mup.gamma(4.0, 4.0))
        8.0

    Source: theory page, section 0.
    """

    output_exponent: ArrayLike = 0.5
    lr_exponent: ArrayLike = 0.0

    __repr__ = _show.one_line

    def __check_init__(self):
        check.finite("output_exponent", self.output_exponent)
        check.finite("lr_exponent", self.lr_exponent)

    def gamma(self, gamma0, nu):
        r"""Output multiplier $\gamma$ at width ratio $\nu$."""
        return gamma0 * nu**self.output_exponent

    def eta(self, eta, nu):
        r"""Effective learning rate at width ratio $\nu$."""
        return eta * nu**self.lr_exponent


mup = Parameterization(np.float64(0.5), np.float64(0.0))
ntk = Parameterization(np.float64(0.0), np.float64(0.0))
