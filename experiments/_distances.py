"""How fast the eigenvalues of sampled matrices approach their law.

The number of eigenvalues below a point has, for real entries, the variance log D / pi^2 (half of it
for complex ones) and logarithmic correlations. The largest of D such deviations is
sqrt(2)/pi (log D - 3/4 log log D) and a constant; over D it is the Kolmogorov-Smirnov distance.
"""

import numpy as np

from spectrax import plotting

AMPLITUDE = 2**0.5 / np.pi


def judge(verdict, sizes, distances) -> None:
    """Fit the mean distances, (sizes, seeds), in two ways."""
    verdict.measure("exponent against -1", -1.0, *exponent(sizes, distances))
    verdict.measure("amplitude of log D", AMPLITUDE, *amplitude(sizes, distances))


def exponent(sizes, distances) -> tuple[float, float]:
    """Slope of the mean distance against size, both logarithmic, and its standard error."""
    mean = distances.mean(1)
    return slope(np.log(sizes), np.log(mean), stderr(distances) / mean)


def amplitude(sizes, distances) -> tuple[float, float]:
    """A in D distance = A (log D - 3/4 log log D) + constant, and its standard error."""
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
    """Mean distances with errors, beside each other; their slopes in the legend; two guides."""
    sizes, aside = np.array(sizes), np.geomspace(0.95, 1.05, len(distances))
    colors = plotting.sequence(len(distances))
    for (name, found), color, shift in zip(distances.items(), colors, aside, strict=True):
        label = f"{name}, slope {exponent(sizes, found)[0]:.2f}".replace("-", "−")
        look = {"fmt": "o", "ms": 3.5, "capsize": 2, "lw": 1, "color": color}
        ax.errorbar(shift * sizes, found.mean(1), stderr(found), label=label, **look)
    every = np.mean([found.mean(1) for found in distances.values()], axis=0)
    constant = np.mean(sizes * every - AMPLITUDE * logarithm(sizes))
    grid = np.geomspace(sizes[0], sizes[-1], 50)
    law = (AMPLITUDE * logarithm(grid) + constant) / grid
    ax.plot(grid, law, "k--", lw=1, label=r"$\sqrt{2}/\pi\,\log D/D$, corrected")
    ax.plot(grid, every[0] * sizes[0] / grid, "k:", lw=1, label="$1/D$")
    ax.set(xscale="log", yscale="log", xlabel="number of eigenvalues $D$")
    ax.set(ylabel="Kolmogorov–Smirnov distance", title="matrices approach the law")
    ax.set_xticks(sizes, [str(size) for size in sizes])
    low, high = ax.get_ylim()
    ticks = np.outer(10.0 ** np.arange(-4, 0), [1, 2, 5]).ravel()
    ticks = ticks[(ticks > low) & (ticks < high)]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.legend()
