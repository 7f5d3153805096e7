"""From vectors made of Gaussian matrices to the linear system of their resolvent."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from spectrax import check
from spectrax.spectrum.expressions.expression import Vector, expanded, fields_of


class System(NamedTuple):
    """Spaces, matrices, fields and links, numbered; what each is: see `Pencil`."""

    ratios: Float[Array, " spaces"]
    variances: Float[Array, " blocks"]
    coefficients: Float[Array, " links"]
    spaces: tuple[int, ...]
    blocks: tuple[tuple[int, int], ...]
    links: tuple[tuple[int, int, int, bool], ...]
    probes: tuple[int, ...]
    output: int | None


def gram_system(v: Vector | Sequence[Vector], w: Vector) -> System:
    """The system of w = W v and of the transposed half, which makes it that of W^T W."""
    given, fields, terms = _declared(v, w, "w")
    count, place = len(fields), {id(x): k for k, x in enumerate(fields)}
    w_at, adjoint = place[id(w)], {}
    for x in reversed(fields):  # effects come before causes
        if x is not w and not any(x is y for y in given):
            adjoint[id(x)] = count + len(adjoint)
    adjoint[id(w)] = w_at  # half the square of w has w as its derivative
    adjoint |= {id(x): place[id(x)] for x in given}
    edges = []
    for x, parts in zip(fields, terms, strict=True):
        for term in parts:
            source, matrix = term.vector, term.matrix
            edges.append((place[id(x)], place[id(source)], matrix, term.coefficient))
            flipped = None if matrix is None else matrix.T
            edges.append((adjoint[id(source)], adjoint[id(x)], flipped, term.coefficient))
    spaces = [x.space for x in fields] + [None] * (len(adjoint) - 1 - len(given))
    for x in fields:
        spaces[adjoint[id(x)]] = x.space
    return _numbered(given, edges, spaces, [place[id(x)] for x in given], w_at)


def symmetric_system(v: Vector, y: Vector) -> System:
    """The system of y = A v, which is that of A if A is symmetric."""
    given, fields, terms = _declared(v, y, "y")
    kept = [x for x in fields if x is not y]
    place = {id(x): k for k, x in enumerate(kept)}
    place[id(y)] = place[id(v)]  # the equation of v is z v = source + y
    edges = [
        (place[id(x)], place[id(term.vector)], term.matrix, term.coefficient)
        for x, parts in zip(fields, terms, strict=True)
        for term in parts
    ]
    if y.space != v.space:
        raise ValueError(
            f"Argument `y` must be a vector of space {v.space!r}, got one of {y.space!r}."
        )
    return _numbered(given, edges, [x.space for x in kept], [place[id(v)]], None)


@functools.lru_cache
def pairs_of(fields: int, blocks: int, links: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Entries that can differ from zero in a solution G, from which links there are.

    An inverse has the pattern of all powers; from the couplings on, the equation fills it up.
    """
    G = np.eye(fields, dtype=bool)
    P, Q = np.zeros((2, blocks, fields, fields), bool)
    for i, j, block, flipped in links:
        target = G if block < 0 else (Q if flipped else P)[block]
        target[i, j] = True
    while True:
        new = G | (P @ G @ Q | Q @ G @ P).any(axis=0)
        new = new @ new
        if (new == G).all():
            return np.nonzero(G)
        G = new


def _declared(v, output: Vector, name: str) -> tuple[list, list, list]:
    """Given vectors, all fields (causes first), and the terms of each."""
    given = [v] if isinstance(v, Vector) else list(v)
    fields = fields_of([output])
    found = {id(x) for x in fields if not x.terms}
    if found != {id(x) for x in given} or not output.terms:
        raise ValueError(f"Argument `{name}` must depend on the given vectors v and on no others.")
    names = {id(x) for x in fields}
    return given, fields, [expanded(x, names) for x in fields]


def _numbered(given, edges, spaces: list, probes: list[int], output: int | None) -> System:
    """Number spaces and matrices."""
    ratios = given[0].spaces.ratios
    space = {name: k for k, name in enumerate(ratios)}
    blocks = {}
    for *_, matrix, _ in edges:
        if matrix is not None:
            blocks.setdefault(id(matrix.block), matrix.block)
    number = {key: k for k, key in enumerate(blocks)}
    links = tuple(
        (i, j, -1, False) if M is None else (i, j, number[id(M.block)], M.flipped)
        for i, j, M, _ in edges
    )
    return System(
        jnp.stack(list(ratios.values())),
        jnp.stack([block.variance for block in blocks.values()]) if blocks else jnp.zeros(0),
        jnp.stack([check.array(c) for *_, c in edges]),
        tuple(space[name] for name in spaces),
        tuple((space[block.rows], space[block.cols]) for block in blocks.values()),
        links,
        tuple(probes),
        output,
    )
