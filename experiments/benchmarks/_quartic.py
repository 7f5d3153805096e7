"""The two equations of one step with many outputs as one polynomial, and which root is the law."""

import numpy as np

HIGH, LOW = 30.0, 1e-9  # first and last height of a continuation, in units of the law's bound


def quartic(z: np.ndarray, nu, omega, kappa, sigma) -> np.ndarray:
    """Coefficients of S^0 … S^4, (5, points), of the polynomial that S solves.

    Multiplied by 1 - q RS, with q = kappa^2, both equations are quadratic in R,
        z S (1 - q RS) - a RS (1 - q RS) - b RS = 1 - q RS,   a = sigma^2 nu, b = omega q,
        R (1 - q RS) - s RS (1 - q RS) - c RS = 1 - q RS,     s = sigma^2, c = omega q / nu,
    and have a root in common where their resultant vanishes, which is S^2 times a quartic.
    """
    q, s = kappa**2, sigma**2
    a, b, c = s * nu, omega * q, omega * q / nu
    first = [0, 0, a * q], [0, q - a - b, -q * z], [-1, z]  # of R^2, R, 1; each in powers of S
    second = [0, -q, s * q], [1, q - s - c], [-1]
    outer = _minor(first, second, 0, 2)
    inner = _times(_minor(first, second, 0, 1), _minor(first, second, 1, 2))
    resultant = [x - y for x, y in zip(_times(outer, outer), inner, strict=True)]
    return np.stack([x + 0 * z for x in resultant[2:]])


def _times(p: list, q: list) -> list:
    """Product of two polynomials whose coefficients may be arrays."""
    out = [0] * (len(p) + len(q) - 1)
    for i, x in enumerate(p):
        for j, y in enumerate(q):
            out[i + j] = out[i + j] + x * y
    return out


def _minor(first, second, i: int, j: int) -> list:
    """The polynomial first_i second_j - first_j second_i."""
    one, two = _times(first[i], second[j]), _times(first[j], second[i])
    length = max(len(one), len(two))
    one, two = (p + [0] * (length - len(p)) for p in (one, two))
    return [x - y for x, y in zip(one, two, strict=True)]


def one_by_one(z: np.ndarray, numbers: dict) -> np.ndarray:
    """Roots of one point after the other, (points, 4)."""
    return np.stack([np.roots(c[::-1]) for c in quartic(z, **numbers).T])


def together(z: np.ndarray, numbers: dict) -> np.ndarray:
    """Eigenvalues of all companion matrices, (points, 4); without sigma there is no quartic."""
    c = quartic(z, **numbers)
    matrices = np.zeros((len(z), 4, 4), c.dtype)
    matrices[:, [1, 2, 3], [0, 1, 2]] = 1
    matrices[:, :, 3] = -(c[:4] / c[4]).T
    return np.linalg.eigvals(matrices)


def lowest(roots: np.ndarray) -> np.ndarray:
    """Of every point the root with the lowest imaginary part."""
    return roots[np.arange(len(roots)), roots.imag.argmin(axis=1)]


def followed(z: np.ndarray, numbers: dict, bound: float, factor: float) -> np.ndarray:
    """Of every point the root nearest to the one at the height before, from 1/z downwards."""
    count = int(np.ceil(np.log(HIGH / LOW) / np.log(factor)))
    S = 1 / (z + 1j * HIGH * bound)
    for height in [*HIGH * bound * factor ** -np.arange(count), 0.0]:
        roots = together(z + 1j * height, numbers)
        S = roots[np.arange(len(z)), np.abs(roots - S[:, None]).argmin(axis=1)]
    return S
