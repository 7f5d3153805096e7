"""Order parameters of a layered network, read off the tapes of its program."""

import equinox as eqx
from jaxtyping import Array, Float

from spectrax.program.plan import Plan
from spectrax.program.tapes import Tapes

Kernel = Float[Array, "n n"]


class Order(eqx.Module):
    r"""Correlation and response kernels of every layer, index (time, class) with time first.

    $C_h^l = \langle h^l h^l \rangle$ for l = 0 … L, $C_g^l = \langle g^l g^l \rangle$ and
    $R_g^l = \langle \partial g^l / \partial u^l \rangle$ for l = 1 … L (entry 0 is None),
    $R_h^l = \langle \partial h^l / \partial r^l \rangle$ for l = 0 … L − 1.

    Args:
        tapes: what the program remembers.
        plan: what the program does.

    Source: theory page, section 3.2.
    """

    tapes: Tapes
    plan: Plan = eqx.field(static=True)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the trained matrices, W0 first."""
        return tuple(name for name, _ in self.plan.spikes)

    @property
    def Ch(self) -> tuple[Kernel, ...]:
        """Correlations of the forward fields."""
        readout = [r.name for r in self.plan.records if r.noise is None]
        return tuple(self._gram(n) for n in [*(f"{w}.forward" for w in self.layers), *readout])

    @property
    def Cg(self) -> tuple[Kernel | None, ...]:
        """Correlations of the backward fields."""
        return (None, *(self._gram(f"{w}.backward") for w in self.layers))

    @property
    def Rh(self) -> tuple[Kernel, ...]:
        """Responses of the forward fields to the noise of the backward pass."""
        return tuple(self._response(f"{w}.forward", f"{w}.backward") for w in self.layers)

    @property
    def Rg(self) -> tuple[Kernel | None, ...]:
        """Responses of the backward fields to the noise of the forward pass."""
        return (None, *(self._response(f"{w}.backward", f"{w}.forward") for w in self.layers))

    def _gram(self, record: str) -> Kernel:
        return self.tapes[record].kernel()

    def _response(self, record: str, noise: str) -> Kernel:
        families = self.plan.families(self.plan.record(record).space)
        return self.tapes[record].response(*families[noise])
