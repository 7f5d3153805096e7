"""How fast the eigenvalues of sampled matrices approach their law.

The number of eigenvalues below a point has, for real entries, the variance log N / pi^2 (half of it
for complex ones) and logarithmic correlations. The largest of N such deviations is
sqrt(2)/pi (log N - 3/4 log log N) and a constant; over N it is the Kolmogorov-Smirnov distance.
"""

import numpy as np

from spectrax import plotting

AMPLITUDE = 2**0.5 / np.pi


def judge(verdict, sizes, distances) -> None:
    """Fit the mean distances, (sizes, seeds), in two ways."""
    verdict.measure("exponent against -1", -1.0, *exponent(sizes, distances))
    verdict.measure("amplitude of log N", AMPLITUDE, *amplitude(sizes, distances))


def exponent(sizes, distances) -> tuple[float, float]:
    """Slope of the mean distance against size, both logarithmic, and its standard error."""
    mean = distances.mean(1)
    return slope(np.log(sizes), np.log(mean), stderr(distances) / mean)


def amplitude(sizes, distances) -> tuple[float, float]:
    """A in N distance = A (log N - 3/4 log log N) + constant, and its standard error."""
    sizes = np.array(sizes)
    return slope(logarithm(sizes), sizes * distances.mean(1), sizes * stderr(distances))


def logarithm(sizes) -> np.ndarray:
    """What the largest of a logarithmically correlated field grows like."""
    return np.log(sizes) - 0.75 * np.log(np.log(sizes))


def stderr(distances) -> np.ndarray:
    """Of the mean over the seeds."""
    return distances.std(1, ddof=1) / distances.shape[1] ** 0.5


def slope(x, y, error) -> tuple[float, float]:
    """Of a line through points with errors, and its standard error."""
    (rate, _), covariance = np.polyfit(x, y, 1, w=1 / error, cov="unscaled")
    return float(rate), float(covariance[0, 0] ** 0.5)


def draw(ax, sizes, distances: dict) -> None:
    """Mean distances with errors, the slopes in the legend; two guides."""
    sizes = np.array(sizes)
    for (name, found), color in zip(
        distances.items(), plotting.sequence(len(distances)), strict=True
    ):
        label = f"{name}: {exponent(sizes, found)[0]:.2f}"
        look = {"fmt": "o", "ms": 4, "capsize": 2, "lw": 1, "color": color}
        ax.errorbar(sizes, found.mean(1), stderr(found), label=label, **look)
    every = np.mean([found.mean(1) for found in distances.values()], axis=0)
    constant = np.mean(sizes * every - AMPLITUDE * logarithm(sizes))
    grid = np.geomspace(sizes[0], sizes[-1], 50)
    law = (AMPLITUDE * logarithm(grid) + constant) / grid
    ax.plot(grid, law, "k--", lw=1, label=r"$\sqrt{2}/\pi\,\log N/N$, corrected")
    ax.plot(grid, every[0] * sizes[0] / grid, "k:", lw=1, label="$1/N$")
    ax.set(xscale="log", yscale="log", xlabel="$N$ = number of eigenvalues")
    ax.set(ylabel="Kolmogorov-Smirnov distance", title="matrices approach the law")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.legend()
