"""Order parameters of a training, read off the tapes of its program."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from spectrax import _show
from spectrax.program.plan import Plan, Spiked

Kernel = Float[Array, "*batch n n"]
Response = Float[Array, "*batch n m"]


class Kernels(NamedTuple):
    """Fields that make the spikes of a matrix: correlations, responses, numbers of the spikes."""

    Ce: Kernel
    Cf: Kernel
    Re: Response
    Rf: Response
    coupling: Float[Array, "t f e"]


class Order(eqx.Module):
    r"""Correlation and response kernels of every layer, index (time, class or sample), time first.

    $C_h^l = \langle h^l h^l \rangle$ for l = 0 … L, $C_g^l = \langle g^l g^l \rangle$ and
    $R_g^l = \langle \partial g^l / \partial u^l \rangle$ for l = 1 … L (entry 0 is None),
    $R_h^l = \langle \partial h^l / \partial r^l \rangle$ for l = 0 … L − 1. In a network with an
    activation $\phi$, $h^l$ stands for $\phi(h^l)$, and what is no random matrix's is None.

    Args:
        tapes: what the program remembers.
        plan: what the program does.
        layers: names of the objects between the layers, the readout last.
        weights: share of each group of sites, by space.

    Source: theory page, section 3.2.
    """

    tapes: dict
    plan: Plan = eqx.field(static=True)
    layers: tuple[str, ...] = eqx.field(static=True)
    weights: dict

    __repr__ = _show.order

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the random matrices that are given spikes."""
        return tuple(matrix.name for matrix in self.plan.matrices)

    @property
    def Ch(self) -> tuple[Kernel | None, ...]:
        """Correlations of the forward fields."""
        return tuple(map(self._gram, forward_records(self.plan, self.layers)))

    @property
    def Cg(self) -> tuple[Kernel | None, ...]:
        """Correlations of the backward fields."""
        return tuple(map(self._gram, backward_records(self.plan, self.layers)))

    @property
    def Rh(self) -> tuple[Response | None, ...]:
        """Responses of the forward fields to the noise of the backward pass."""
        forward, backward = self._sides()
        return tuple(map(self._response, forward, backward))

    @property
    def Rg(self) -> tuple[Response | None, ...]:
        """Responses of the backward fields to the noise of the forward pass."""
        forward, backward = self._sides()
        return (None, *map(self._response, backward, forward))

    def _sides(self):
        forward = forward_records(self.plan, self.layers)
        backward = backward_records(self.plan, self.layers)[1:]
        return forward[: len(backward)], backward

    def _gram(self, record: str | None) -> Kernel | None:
        return None if record is None else self.tapes[record].kernel()

    def _response(self, record: str | None, noise: str | None) -> Response | None:
        if record is None or noise is None:
            return None
        space = self.plan.record(record).space
        families = self.plan.families(space)
        if noise not in families:
            return None
        lo, births = families[noise]
        return self.tapes[record].response(slice(lo, lo + births), self.weights[space])

    def kernels(self, name: str, num_steps: int) -> Kernels:
        r"""Kernels of the fields that make the spikes of a matrix.

        With a stencil, of the unfolding with a column for each offset and input,
        $W_{(d)}/\sqrt k$, whose forward fields are all that an output reads.
        """
        matrix = self.plan.matrix(name)
        stencil = self.plan.record(matrix.forward).stencil
        f, e = np.array(matrix.f), np.array(matrix.e)
        rows = _rows(f, num_steps, self.plan.record(matrix.backward).width)
        width = self.plan.record(matrix.forward).width
        Ce, Re = self._gram(matrix.forward), self._response(matrix.forward, matrix.backward)
        Cf, Rf = self._gram(matrix.backward), self._response(matrix.backward, matrix.forward)
        if stencil is not None:
            width = width // stencil.num_inputs * stencil.num_outputs
            Ce, Re = (stencil.spread(x[:, None], True)[:, 0] for x in (Ce, Re))
        cols = _rows(e, num_steps, width)
        return Kernels(
            _picked(Ce, cols, cols),
            _picked(Cf, rows, rows),
            _picked(Re, cols, rows),
            _picked(Rf, rows, cols),
            self._coupling(matrix, f, e, num_steps),
        )

    def _coupling(self, matrix: Spiked, f, e, num_steps: int) -> Float[Array, "t f e"]:
        """Numbers of the spikes of each step, between the fields f and e of its records."""
        out = jnp.zeros((num_steps, len(f), len(e)))
        for spike in matrix.spikes:
            places = np.searchsorted(f, spike.places_g), np.searchsorted(e, spike.places_h)
            numbers = 1.0 if spike.weights is None else self.tapes[spike.weights].value
            out = out.at[:, *places].add(numbers)
        return out


def _rows(places, num_steps: int, width: int):
    """Indices of some fields of every step; None = all."""
    if len(places) == width:
        return None
    return (np.arange(num_steps)[:, None] * width + places).ravel()


def _picked(x, rows, cols):
    x = x if rows is None else x[rows]
    return x if cols is None else x[:, cols]


def forward_records(plan: Plan, layers: tuple[str, ...]) -> tuple[str | None, ...]:
    """Records of the forward fields of layers 0 … L: what the object after a layer is applied to.

    None where that object is no random matrix, but a set of vectors for inputs of finite dimension;
    those of the readout keep the forward fields of the last layer.
    """
    spiked = {matrix.name: matrix for matrix in plan.matrices}
    found = [spiked[name].forward if name in spiked else None for name in layers]
    if layers[-1] in spiked:
        return (*found, None)
    return (*found[:-1], layers[-1])


def backward_records(plan: Plan, layers: tuple[str, ...]) -> tuple[str | None, ...]:
    """Records of the backward fields of layers 0 … L: there is none before the first object."""
    spiked = {matrix.name: matrix for matrix in plan.matrices}
    before = [name for name in layers if name in spiked or name != layers[-1]]
    return (None, *(spiked[name].backward if name in spiked else name for name in before))
