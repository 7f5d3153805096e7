r"""The limit of a program with elementwise functions, by populations of sites.

A field of the limit is a population of S sites. The vectors x to which a matrix A is applied are
orthogonalised one after the other, $x_j = \sum_k \ell_{jk} q_k$; each direction q brings its own
standard normals $\xi$, one for each site, and so do the directions $q'$ of the vectors
$g_i = \sum_k \ell'_{ik} q'_k$ to which $A^\top$ was applied. The matrix is what they say together,

$$A x = \sigma \sum_k \langle q_k x \rangle\, \xi_k
  + \frac{\sigma^2}{\sigma_r} \sum_k \langle \xi'_k x \rangle\, q'_k , \qquad
  \Big\langle \frac{\partial x}{\partial r_i} \Big\rangle
  = \sum_k \langle \xi'_k x \rangle\, (\ell'^{-1})_{ki} / \sigma_r ,$$

with $r_i = \sigma_r \sum_k \ell'_{ik} \xi'_k$ the noise of $A^\top g_i$. The average of a
derivative is a covariance with the normals (Stein's lemma): no derivative of the program is taken,
so kinks do no harm.
A direction whose share of a vector's variance is below the resolution of the sites is dropped: its
responses would be noise of order $1/\sqrt S$ in a vector of norm one, and many such directions (a
smooth trajectory has hundreds) make outliers of their own.

Source: theory page, sections P and 4.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, PRNGKeyArray

from spectrax import _kind, check
from spectrax._memory import available_memory
from spectrax.program.interpreter import AbstractInterpreter, AbstractLimit
from spectrax.program.normals import standard_normals
from spectrax.program.objects import Objects
from spectrax.program.plan import Plan, Record
from spectrax.program.sampled_ops import SampledOps, SampledTape, gram_schmidt
from spectrax.program.tapes import Numbers, Tapes, numbers

COPIES = 4  # memory over that of tapes and normals; measured: 2.9-4
ROUNDING = 1e-8  # resolution of linear programs; below it a vector has no responses of its own


class SampledLimit(AbstractInterpreter):
    r"""The limit of nonlinear programs, by populations of sites (quasi-Monte Carlo).

    Errors fall almost like 1/S for smooth functions and few steps, like $1/\sqrt S$ at worst.
    Linear programs come out exactly while directions are well apart (first and second moments of
    the normals are exact); where trajectories are very smooth, to about the root of `resolution`
    (a finer one improves kernels, but not responses to nearly dependent vectors).

    Args:
        num_neurons: sites S of each layer; powers of two are best.
        key: seed of the scrambled Sobol points. It must be concrete, also under `jit`.
        num_scrambles: independent repetitions with their own points, averaged;
            `Solution.stats["stderr"]` then holds standard errors.
        signs: use every point with all signs of forward and backward noise: outputs are exactly
            zero at initialization, for lazy networks. Needs a multiple of four.
        resolution: share of the variance below which a new direction is dropped; None = 1/(2 S),
            and 1e-8 for linear programs.

    Raises:
        ValueError: one sentence naming the argument and its value.

    Source: theory page, section 4.
    """

    num_neurons: int = eqx.field(static=True)
    key: PRNGKeyArray
    num_scrambles: int = eqx.field(static=True)
    signs: bool = eqx.field(static=True)
    resolution: float | None = eqx.field(static=True)

    def __init__(self, num_neurons, *, key, num_scrambles=1, signs=False, resolution=None):
        self.num_neurons = check.integer("num_neurons", num_neurons, 16)
        self.num_scrambles = check.integer("num_scrambles", num_scrambles, 1)
        self.key, self.signs = _kind.key(key), bool(signs)
        if resolution is not None:
            resolution = float(check.between("resolution", resolution, 0.0, 1.0))
        self.resolution = resolution
        if signs and num_neurons % 4:
            raise ValueError(
                f"Argument `num_neurons` must be a multiple of 4 with signs, got {num_neurons}."
            )

    def prepare(self, plan: Plan, n: int) -> list["Sites"]:
        """Normals for a program of n steps, once for each scramble.

        Raises:
            ValueError: if there are too few neurons, or more than fits into memory.
        """
        if isinstance(self.key, jax.core.Tracer):
            raise ValueError("Argument `key` of SampledLimit must be concrete, got a traced value.")
        _require_memory(plan, n, self.num_neurons)
        return [self._sites(plan, n, scramble) for scramble in range(self.num_scrambles)]

    def _sites(self, plan: Plan, n: int, scramble: int) -> "Sites":
        with jax.ensure_compile_time_eval():
            seed = (*np.ravel(jax.random.key_data(self.key)).tolist(), scramble)
        normals = standard_normals(plan, n, self.num_neurons, seed, self.signs)
        resolution = self.resolution
        if resolution is None:
            resolution = ROUNDING if plan.linear else 0.5 / self.num_neurons
        return Sites({name: jnp.asarray(x) for name, x in normals.items()}, resolution)


def memory(plan: Plan, n: int, num_neurons: int) -> int:
    """Bytes needed for a program of n steps, the copies on the way included."""
    widths = sum(
        record.width * (3 if record.noise and not record.constant else 1) for record in plan.records
    )
    fixed = sum(size for *_, size in plan.constants)
    kernels = sum((n * record.width) ** 2 * 2 for record in plan.remembered if record.noise)
    return 8 * COPIES * (num_neurons * (n * widths + fixed) + kernels)


def _require_memory(plan: Plan, n: int, num_neurons: int) -> None:
    """Refuse what does not fit, before anything is computed."""
    needed, free = memory(plan, n, num_neurons), available_memory()
    if free is not None and needed > free:
        each = (memory(plan, n, 2 * num_neurons) - needed) / num_neurons
        fits = max(0, int(num_neurons - (needed - free) / each))
        raise ValueError(
            f"Argument `num_neurons` = {num_neurons} needs {needed / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free; {fits} neurons would fit."
        )


class Kernels(eqx.Module):
    """Correlations and responses of one record, (time, width) as one index."""

    gram: Float[Array, "n n"]
    coefficients: Float[Array, "n m"] | None

    def kernel(self) -> Float[Array, "n n"]:
        """Inner products."""
        return self.gram

    def response(self, places: slice, groups) -> Float[Array, "n m"] | None:
        """Averaged derivatives in the noise of the other direction of the matrix."""
        del places, groups
        return self.coefficients


class Sites(AbstractLimit):
    """The sampled limit, ready for one program.

    Args:
        normals: standard normals of each noise, (time * width or size, sites).
        resolution: share of the variance below which a new direction is dropped.
    """

    normals: dict[str, Float[Array, "directions sites"]]
    resolution: float = eqx.field(static=True)

    @property
    def num_neurons(self) -> int:
        """Sites of each layer."""
        return jax.tree.leaves(self.normals)[0].shape[-1]

    def blank(self, plan: Plan, n: int) -> Tapes:
        """Tapes of n empty rows."""
        steps = {r.name: len(self.normals[r.name]) // r.width for r in plan.remembered if r.noise}

        def tape(record: Record) -> SampledTape:
            groups = plan.groups(record.space)
            values = jnp.zeros((n, record.width, groups, self.num_neurons))
            if record.noise is None:
                return SampledTape(values, None, None, None)
            total, other = steps[record.name], plan.record(record.other).width
            factor = jnp.zeros((n, record.width, total * record.width))
            slopes = jnp.zeros((n, record.width, total * other))
            return SampledTape(values, values, factor, slopes)

        tapes: Tapes = {record.name: tape(record) for record in plan.remembered}
        return tapes | numbers(plan, n)

    def ops(self, plan: Plan, objects: Objects, *state) -> SampledOps:
        """Step t of a program: `state` are variances, weights, tapes, theta, t and live."""
        return SampledOps(self.normals, self.resolution, plan, objects, *state)

    def map(self, row: Callable, *args):
        """Many rows, one after the other: their populations would not fit side by side."""
        return jax.lax.map(lambda x: row(*x), args)

    def order(self, plan: Plan, tapes: Tapes, weights: dict) -> dict:
        """Kernels only: populations are dropped."""
        by_record = {record.name: weights[record.space] for record in plan.remembered}
        # derivatives make what they need of the tapes again, if it is needed at all
        return jax.checkpoint(partial(_kernels, plan))(tapes, by_record)


def _kernels(plan: Plan, tapes: Tapes, weights: dict) -> dict:
    def kernels(name, tape):
        if isinstance(tape, Numbers):
            return tape
        values = tape.values
        if values.shape[2] > 1:
            values = values * jnp.sqrt(weights[name] * values.shape[2])[:, None]
        flat = values.reshape(values.shape[0] * values.shape[1], -1)
        gram = flat @ flat.T / flat.shape[-1]
        if tape.slopes is None:
            return Kernels(gram, None)
        slopes, other = tape.slopes.reshape(len(flat), -1), tapes.get(plan.record(name).other)
        if other is None:
            return Kernels(gram, slopes)
        return Kernels(gram, _responses(slopes, other, plan.places(plan.record(name).other)))

    return {name: kernels(name, tape) for name, tape in tapes.items()}


def _responses(
    slopes: Float[Array, "n m"], other: SampledTape, places: tuple[int, ...]
) -> Float[Array, "n m"]:
    """Averaged derivatives in the noise of some of the vectors, from those in the normals.

    Vectors nearly dependent on earlier ones get none: only sums of theirs matter, and huge
    responses that cancel in them would cost the digits of a spectrum. Nor do those at other places,
    on whose noise nothing depends.
    """
    n, width, total = other.factor.shape
    factor = other.factor[:, list(places)].reshape(n * len(places), total)
    q, L = gram_schmidt(factor, ROUNDING * jnp.mean(factor**2, axis=1))
    safe = L + jnp.diag(jnp.where(jnp.diagonal(L) > 0, 0.0, 1.0))
    R = solve_triangular(safe, (slopes @ q.T / total).T, lower=True, trans=1).T
    R = jnp.zeros((len(R), n, width)).at[:, :, list(places)].set(R.reshape(len(R), n, -1))
    return jnp.pad(R.reshape(len(R), n * width), ((0, 0), (0, slopes.shape[1] - n * width)))
