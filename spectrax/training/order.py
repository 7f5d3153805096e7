"""Order parameters of a layered network, read off the tapes of its program."""

import equinox as eqx
from jaxtyping import Array, Float

from spectrax import _show
from spectrax.program.plan import Plan

Kernel = Float[Array, "*batch n n"]
Response = Float[Array, "*batch n m"]


class Order(eqx.Module):
    r"""Correlation and response kernels of every layer, index (time, class or sample), time first.

    $C_h^l = \langle h^l h^l \rangle$ for l = 0 … L, $C_g^l = \langle g^l g^l \rangle$ and
    $R_g^l = \langle \partial g^l / \partial u^l \rangle$ for l = 1 … L (entry 0 is None),
    $R_h^l = \langle \partial h^l / \partial r^l \rangle$ for l = 0 … L − 1. In a network with an
    activation $\phi$, $h^l$ stands for $\phi(h^l)$, and what is no random matrix's is None.

    Args:
        tapes: what the program remembers.
        plan: what the program does.

    Source: theory page, section 3.2.
    """

    tapes: dict
    plan: Plan = eqx.field(static=True)

    __repr__ = _show.order

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the trained random matrices, in order."""
        return tuple(name for name, _ in self.plan.spikes)

    @property
    def Ch(self) -> tuple[Kernel | None, ...]:
        """Correlations of the forward fields."""
        return tuple(self._gram(name) for name in layer_records(self.plan)[0])

    @property
    def Cg(self) -> tuple[Kernel | None, ...]:
        """Correlations of the backward fields."""
        return tuple(self._gram(name) for name in layer_records(self.plan)[1])

    @property
    def Rh(self) -> tuple[Response | None, ...]:
        """Responses of the forward fields to the noise of the backward pass."""
        forward, backward = layer_records(self.plan)
        return tuple(map(self._response, forward[:-1], backward[1:]))

    @property
    def Rg(self) -> tuple[Response | None, ...]:
        """Responses of the backward fields to the noise of the forward pass."""
        forward, backward = layer_records(self.plan)
        return (None, *map(self._response, backward[1:], forward[:-1]))

    def _gram(self, record: str | None) -> Kernel | None:
        return None if record is None else self.tapes[record].kernel()

    def _response(self, record: str | None, noise: str | None) -> Response | None:
        if record is None or noise is None:
            return None
        families = self.plan.families(self.plan.record(record).space)
        return self.tapes[record].response(*families[noise])


def first_layer(plan: Plan) -> int:
    """Index of the first weight that is a large random matrix: 1 if inputs are finite, else 0."""
    return int(any(record.name == "W0" for record in plan.records))


def layer_records(plan: Plan) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """Records of the forward fields of layers 0 … L, and of the backward fields.

    A first layer with inputs of finite dimension is no random matrix: W0 is then a set of vectors,
    whose record holds the backward fields of layer 1.
    """
    matrices = [name for name, _ in plan.spikes]
    known = {record.name for record in plan.records}
    explicit = first_layer(plan) == 1

    def side(name: str, direction: str) -> str:
        both = f"{name}.both"  # the one record of a symmetric matrix
        return both if both in known else f"{name}.{direction}"

    forward: list[str | None] = [
        *([None] if explicit else []),
        *(side(name, "forward") for name in matrices),
        "w",
    ]
    if all(record.name != "w" for record in plan.records):
        forward[-1] = None
    backward = [*(["W0"] if explicit else []), *(side(name, "backward") for name in matrices)]
    return tuple(forward), (None, *backward)
