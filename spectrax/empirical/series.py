"""Snapshots of one weight array during training: outlier trajectories, escape time."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jax.typing import ArrayLike

from spectrax import _check
from spectrax.empirical.measure import measure_spectrum
from spectrax.empirical.weight_spectrum import WeightSpectrum


@dataclasses.dataclass(frozen=True)
class SpectrumSeries:
    """What `measure_series` returns, S snapshots.

    Args:
        steps: of the snapshots, increasing, (S,).
        spectra: one `WeightSpectrum` for each.
    """

    steps: np.ndarray
    spectra: tuple[WeightSpectrum, ...]

    def along(self, name: str) -> np.ndarray:
        """A scalar of the spectra, such as "sigma", "edge", "threshold", "top", "ks"; (S,)."""
        return np.array([getattr(spectrum, name) for spectrum in self.spectra])

    def location(self, count: int = 1) -> np.ndarray:
        """The first outliers of each snapshot, the edge where there is none, (S, count)."""
        rows = [[*spectrum.location[:count]] for spectrum in self.spectra]
        edges = self.along("edge")
        filled = [row + [edge] * (count - len(row)) for row, edge in zip(rows, edges, strict=True)]
        return np.array(filled).reshape(len(rows), count)

    def escaped(self, count: int = 1) -> np.ndarray:
        """Which of `location` are outliers, (S, count)."""
        counts = np.array([len(spectrum.location) for spectrum in self.spectra])
        return np.arange(count) < counts[:, None]

    @property
    def escape_step(self) -> float:
        """First step at which the largest eigenvalue crosses the threshold; +inf if it never does.

        Between two snapshots by linear interpolation of their ratio; the first snapshot if that
        already has an outlier. A bulk shows a false one with probability `rate` per snapshot.
        """
        margin = self.along("top") / self.along("threshold") - 1
        beyond = np.flatnonzero(margin > 0)
        if beyond.size == 0:
            return float("inf")
        i = int(beyond[0])
        if i == 0:
            return float(self.steps[0])
        return float(np.interp(0.0, margin[i - 1 : i + 1], self.steps[i - 1 : i + 1]))


def measure_series(
    arrays: Iterable[ArrayLike], steps: Sequence[float] | np.ndarray | None = None, **options
) -> SpectrumSeries:
    """Spectra of snapshots of one weight array, taken one after the other.

    Args:
        arrays: the snapshots, in the order of training; an iterator keeps one in memory at a time.
        steps: their steps, increasing; 0, 1, … if not given.
        options: of `measure_spectrum`.

    Returns:
        A `SpectrumSeries`.

    Raises:
        ValueError: if there is no snapshot, or the steps do not fit or do not increase; what
            `measure_spectrum` raises.

    Examples:
        >>> import numpy as np, spectrax
        >>> rng = np.random.default_rng(0)
        >>> noise, spike = rng.normal(size=(200, 200)), np.ones((200, 200))
        >>> series = spectrax.measure_series(noise + t / 1000 * spike for t in (0, 100, 200))
        >>> series.escaped()[:, 0].tolist(), 0 < series.escape_step < 1
        ([False, True, True], True)
    """
    spectra = tuple(measure_spectrum(array, **options) for array in arrays)
    if not spectra:
        raise ValueError("Argument `arrays` must have at least one snapshot, got none.")
    steps = _check.shaped("steps", range(len(spectra)) if steps is None else steps, (len(spectra),))
    return series_of(spectra, np.asarray(steps, float))


def series_of(
    spectra: Iterable[WeightSpectrum], steps: Sequence[float] | np.ndarray
) -> SpectrumSeries:
    """A series of spectra that are measured already."""
    spectra, steps = tuple(spectra), np.asarray(steps, float)
    if not np.all(np.diff(steps) > 0):
        raise ValueError(f"Argument `steps` must increase, got {steps.tolist()}.")
    return SpectrumSeries(steps, spectra)
