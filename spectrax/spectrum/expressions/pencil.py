r"""Linear pencils of Gaussian matrices and their matrix Dyson equation."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact, PRNGKeyArray

from spectrax import check
from spectrax.spectrum.expressions._linearise import gram_system, pairs_of, symmetric_system
from spectrax.spectrum.expressions.expression import Operator, Vector
from spectrax.spectrum.laws.continuation import inverse
from spectrax.spectrum.laws.self_consistent import AbstractDysonLaw


class Pencil(AbstractDysonLaw):
    r"""The eigenvalue law of a matrix made of Gaussian matrices, by sums and products.

    Every intermediate vector becomes a field $\psi_i$, so that the resolvent solves a linear system
    with the matrices inside. In the limit its traced blocks $G_{ij}$ solve

    $$G = (A(z) - \Sigma[G])^{-1}, \qquad \Sigma[G] = \sum_e v_e\Big[P_e G P'_e
      + \frac{d_r}{d_c} P'_e G P_e\Big],$$

    with $P_e$, $P'_e$ the coefficients of matrix e and of its transpose, A the couplings.

    Made by `Pencil.gram` or `Pencil.symmetric` from an expression; the arguments below declare the
    system itself, both halves. Differentiable in ratios, variances, coefficients.

    Args:
        scale: factor of all eigenvalues.
        ratios: relative dimensions of the spaces, (spaces,).
        variances: of the matrices, (blocks,).
        coefficients: of the links, (links,).
        spaces: space of each field.
        blocks: (row space, column space) of each matrix.
        links: (i, j, block, flipped): $\psi_i$ contains block times $\psi_j$, or its transpose;
            block -1 is a coupling of two fields.
        probes: fields that the law asks about.
        output: field W v of the law of W^T W; None for symmetric expressions.

    Raises:
        ValueError: if a block or a field is not declared, or a link joins fields that are not in
            the spaces of its block.

    Source: theory page, section 5.2.
    """

    scale: Float[Array, ""]
    ratios: Float[Array, " spaces"]
    variances: Float[Array, " blocks"]
    coefficients: Float[Array, " links"]
    spaces: tuple[int, ...] = eqx.field(static=True)
    blocks: tuple[tuple[int, int], ...] = eqx.field(static=True)
    links: tuple[tuple[int, int, int, bool], ...] = eqx.field(static=True)
    probes: tuple[int, ...] = eqx.field(static=True)
    output: int | None = eqx.field(static=True)

    def __check_init__(self):
        for name, declared in (("spaces", [self.spaces]), ("blocks", self.blocks)):
            for space in (space for group in declared for space in group):
                if not 0 <= space < len(self.ratios):
                    raise ValueError(f"Argument `{name}` must name declared spaces, got {space}.")
        for link in self.links:
            i, j, block, flipped = link
            if not (0 <= i < len(self.spaces) and 0 <= j < len(self.spaces)):
                raise ValueError(f"Argument `links` must join declared fields, got {link}.")
            if not -1 <= block < len(self.blocks):
                raise ValueError(f"Argument `links` must use declared blocks, got {link}.")
            found = self.spaces[i], self.spaces[j]
            if block < 0 and found[0] != found[1]:
                raise ValueError(f"Argument `links` must couple fields of one space, got {link}.")
            if block >= 0 and found != self.blocks[block][:: -1 if flipped else 1]:
                raise ValueError(
                    f"Argument `links` must join fields in the spaces of their block, got {link}."
                )

    @staticmethod
    def gram(v: Vector | Sequence[Vector] | Operator, w: Vector | None = None) -> "Pencil":
        r"""The law of $W^\top W$ for $w = W v$; the transposed half of the system is generated.

        Args:
            v: the given vector, or several: W acts on all of them together. Or W itself.
            w: a sum of products of matrices and v; None if W is given.

        Raises:
            ValueError: if w does not depend on v, or on other given vectors too.

        Examples:
            >>> import spectrax as sx
            >>> sx.enable_x64()
            >>> spaces = sx.Spaces(D=1.0, N=1.0)
            >>> W0, W1 = spaces.gaussian("N", "D"), spaces.gaussian("N", "N")
            >>> law = sx.Pencil.gram(W1 @ W0)  # two square matrices: 27/4
            >>> print(f"{law.edges()[1]:.4f}")
            6.7500
        """
        v, w = _applied(v, w)
        return Pencil(jnp.ones(()), *gram_system(v, w))

    @staticmethod
    def symmetric(v: Vector | Operator, y: Vector | None = None) -> "Pencil":
        r"""The law of A for $y = A v$, where A is symmetric.

        Args:
            v: the given vector, or A itself, such as `X + X.T`.
            y: a symmetric function of it, such as `X @ v + X.T @ v`; None if A is given.

        Raises:
            ValueError: if y does not depend on v, or not symmetrically.

        Examples:
            >>> import spectrax as sx
            >>> sx.enable_x64()
            >>> spaces = sx.Spaces(N=1.0)
            >>> X, v = spaces.gaussian("N", "N", 0.5), spaces.vector("N")
            >>> law = sx.Pencil.symmetric(v, X @ v + X.T @ v)  # a semicircle
            >>> [round(float(edge), 6) for edge in law.edges()]
            [-2.0, 2.0]
        """
        v, y = _applied(v, y)
        pencil = Pencil(jnp.ones(()), *symmetric_system(v, y))
        if not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(pencil)):
            A = pencil.sample(8, key=jax.random.key(0))
            if not np.allclose(A, A.T, rtol=1e-4, atol=1e-4 * np.abs(A).max()):
                raise ValueError("Argument `y` must be a symmetric function of v, got another.")
        return pencil

    # the matrix Dyson equation

    @property
    def positive(self) -> bool:
        """No negative eigenvalues."""
        return self.output is not None

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Fields in pairs: the entries of G that are not zero."""
        return pairs_of(len(self.spaces), len(self.blocks), self.links)

    @property
    def size(self) -> int:
        """Number of entries of G that are not zero."""
        return len(self.pairs[0])

    def _matrices(self) -> tuple[Float[Array, "blocks n n"], Float[Array, "blocks n n"]]:
        """Coefficients P of every matrix, and P' of its transpose."""
        n, uses = len(self.spaces), [k for k, edge in enumerate(self.links) if edge[2] >= 0]
        i, j, block, flipped = np.array([self.links[k] for k in uses], int).T.reshape(4, -1)
        both = jnp.zeros((2, len(self.blocks), n, n))
        both = both.at[flipped, block, i, j].add(self.coefficients[np.array(uses, int)])
        return both[0], both[1]

    def _couplings(self) -> Float[Array, "n n"]:
        n, found = len(self.spaces), [k for k, edge in enumerate(self.links) if edge[2] < 0]
        i, j = np.array([self.links[k][:2] for k in found], int).reshape(-1, 2).T
        return jnp.zeros((n, n)).at[i, j].add(self.coefficients[np.array(found, int)])

    def _proportions(self) -> Float[Array, " blocks"]:
        rows, cols = np.array(self.blocks, int).reshape(-1, 2).T
        return self.ratios[rows] / self.ratios[cols]

    def matrix(self, g: Inexact[Array, " m"]) -> Inexact[Array, "n n"]:
        """All traced blocks from those that are not zero."""
        n = len(self.spaces)
        return jnp.zeros((n, n), g.dtype).at[self.pairs].set(g)

    def update(self, g: Complex[Array, " m"], z: Complex[Array, ""]) -> Complex[Array, " m"]:
        """One step of the matrix Dyson equation."""
        return self._resolvent(self._self_energy(self.matrix(g)), z)[self.pairs]

    def _self_energy(self, G):
        (P, Q), v = self._matrices(), self.variances[:, None, None]
        return jnp.sum(v * (P @ G @ Q + self._proportions()[:, None, None] * (Q @ G @ P)), axis=0)

    def _resolvent(self, Sigma, z):
        probe = np.isin(np.arange(len(self.spaces)), self.probes)
        A = jnp.diag(jnp.where(probe, z, 1.0)) - self._couplings()
        return inverse(A - Sigma)

    def linearised(self) -> Callable:
        """The function (g, z) -> T, 1 - DT, with DT[dG] = T Sigma[dG] T."""
        i, j = self.pairs

        def energy(g):
            return self._self_energy(self.matrix(g))[i, j]

        move = jax.jacfwd(energy)(jnp.zeros(self.size))  # (m, m), linear

        def both(g, z):
            T = self._resolvent(self.matrix(move @ g), z)
            return T[i, j], jnp.eye(self.size) - (T[i[:, None], i] * T[j, j[:, None]]) @ move

        return both

    def transform(self, g: Complex[Array, " m"]) -> Complex[Array, ""]:
        """Mean over the spaces of the given vectors."""
        weights = jnp.stack([self.ratios[self.spaces[k]] for k in self.probes])
        values = jnp.stack([self.matrix(g)[k, k] for k in self.probes])
        return weights @ values / jnp.sum(weights)

    def bound(self) -> Float[Array, ""]:
        r"""Largest image of a unit vector if every matrix has norm $\sqrt v(1+\sqrt{d_r/d_c})$."""
        norms = jnp.sqrt(self.variances) * (1 + jnp.sqrt(self._proportions()))
        n = len(self.spaces)
        weights = jnp.append(norms, 1.0)[np.array([edge[2] for edge in self.links])]
        i, j = np.array([edge[:2] for edge in self.links]).T
        M = jnp.zeros((n, n)).at[i, j].add(weights * jnp.abs(self.coefficients))
        probe = np.isin(np.arange(n), self.probes)
        start = jnp.where(probe, 1.0, 0.0)

        def through(_, size):
            return jnp.where(probe, 1.0, M @ size)

        return jnp.max((M @ jax.lax.fori_loop(0, n, through, start))[np.array(self.probes)])

    # finite matrices

    def sample(self, size: int, *, key: PRNGKeyArray) -> Float[Array, "rows cols"]:
        """One finite matrix: W for `gram`, A for `symmetric`.

        Args:
            size: dimension of a space of ratio one; others are rounded.
            key: explicit PRNG key.

        Raises:
            ValueError: if size is not a positive integer.
        """
        size = check.integer("size", size, 1)
        dims = [max(1, round(size * float(ratio))) for ratio in self.ratios]
        blocks = []
        for k, ((row, col), subkey) in enumerate(
            zip(self.blocks, jax.random.split(key, len(self.blocks)), strict=True)
        ):
            X = jax.random.normal(subkey, (dims[row], dims[col]))
            blocks.append(X * jnp.sqrt(self.variances[k] / dims[col]))
        widths = [dims[self.spaces[k]] for k in self.probes]
        parts = jnp.split(jnp.eye(sum(widths)), np.cumsum(widths)[:-1])
        known = dict(zip(self.probes, parts, strict=True))

        def value(field: int, known: dict):
            total = 0.0
            for (i, j, block, flipped), c in zip(self.links, self.coefficients, strict=True):
                if i != field:
                    continue
                if j not in known:
                    known[j] = value(j, known)
                x = known[j]
                if block >= 0:
                    x = (blocks[block].T if flipped else blocks[block]) @ x
                total = total + c * x
            return total

        if self.output is None:
            return self.scale * value(self.probes[0], known)
        return jnp.sqrt(self.scale) * value(self.output, known)


def _applied(v, w):
    """The given vector and its image; a matrix is applied to a vector of its own."""
    if w is not None:
        return v, w
    if not isinstance(v, Operator):
        raise ValueError(f"Argument `v` must be a matrix if it comes alone, got {check.named(v)}.")
    given = v.spaces.vector(v.cols)
    return given, v @ given
