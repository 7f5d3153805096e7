"""Standard normals for populations of sites: scrambled Sobol points with exact moments."""

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular
from scipy.special import ndtri
from scipy.stats import qmc

from spectrax.program.plan import Plan


def standard_normals(
    plan: Plan, n: int, num_sites: int, seed: tuple[int, ...], signs: bool
) -> dict[str, Float[np.ndarray, "directions sites"]]:
    """Normals of every noise of a program of n steps, by record or constant.

    All noises of one space share one set of points, early times first. Mean and covariance over
    the sites are exactly zero and one.

    Args:
        plan: what the program does.
        n: steps.
        num_sites: sites of each space.
        seed: of the scrambles; each space has its own.
        signs: every point comes with all signs of the first and the second noise of its space.

    Raises:
        ValueError: if the sites are fewer than twice the noises of a space or, with signs, than
            four times those that change sign together.
    """
    spaces = {r.noise for r in plan.records if r.noise} | {s for _, s, _ in plan.constants}
    out = {}
    for index, space in enumerate(sorted(spaces)):
        fixed, born = plan.fixed(space), plan.families(space)
        size = plan.num_fixed(space) + n * plan.born(space)
        widths = [k for _, k in fixed.values()] + [n * k for _, k in born.values()]
        least = _fewest_sites(widths, signs)
        if num_sites < least:
            raise ValueError(
                f"Argument `num_neurons` must be at least {least} for {size} directions of "
                f"noise in space `{space}`{' with signs' if signs else ''}, got {num_sites}."
            )
        rng = np.random.default_rng((*seed, index))
        points = _points(size, num_sites // (4 if signs else 1), rng)
        start, place = plan.num_fixed(space), np.arange(n)[:, None] * plan.born(space)
        parts = {name: lo + np.arange(k) for name, (lo, k) in fixed.items()}
        for name, (lo, k) in born.items():
            parts[name] = (start + place + lo + np.arange(k)).ravel()
        if signs:
            points = _with_signs(points, list(parts.values()))
        points = _whiten(points)
        out |= {name: points[rows] for name, rows in parts.items()}
    return out


def _fewest_sites(widths: list[int], signs: bool) -> int:
    """Fewest sites on which noises of these widths can have covariance one."""
    least = 2 * sum(widths)
    if not signs:
        return least
    # Every other noise changes sign together: a quarter of the sites must keep those apart.
    return max(least + least % 4, 4 * sum(widths[::2]), 4 * sum(widths[1::2]))


def _points(size: int, num: int, rng: np.random.Generator) -> Float[np.ndarray, "size num"]:
    """Normals at scrambled Sobol points; at random ones in more dimensions than Sobol has."""
    if size > qmc.Sobol.MAXDIM:
        return rng.normal(size=(size, num))
    exponent = int(np.ceil(np.log2(num)))
    uniform = qmc.Sobol(size, scramble=True, rng=rng).random_base2(exponent)[:num]
    return ndtri(np.clip(uniform.T, 1e-15, 1 - 1e-15))


def _with_signs(points, parts: list) -> Float[np.ndarray, "size four"]:
    """Four copies of the points, with the signs of the parts changed in turn."""
    copies = [points.copy() for _ in range(4)]
    for number, rows in enumerate(parts):
        for k, sign in enumerate(((1, 1, -1, -1), (1, -1, 1, -1))[number % 2]):
            copies[k][rows] *= sign
    return np.concatenate(copies, axis=1)


def _whiten(points: Float[np.ndarray, "size num"]) -> Float[np.ndarray, "size num"]:
    """Exact mean zero and covariance one over the sites; early directions change least."""
    points = points - points.mean(axis=1, keepdims=True)
    factor = np.linalg.cholesky(points @ points.T / points.shape[1])
    return solve_triangular(factor, points, lower=True)
