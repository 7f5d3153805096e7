"""Snapshots of one weight array during training: outlier trajectories, escape time."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jax.typing import ArrayLike

from spectrax import check
from spectrax.empirical.measure import measure_spectrum
from spectrax.empirical.weight_spectrum import WeightSpectrum

UNRELATED = 5.0  # standard deviations of the agreement of independent signs


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
    def escape_bracket(self) -> tuple[float, float]:
        """Last step before the first outlier, and the first step with one.

        (−inf, first step) if the first snapshot has one already, (last step, inf) if none has.
        """
        beyond = np.flatnonzero(self.escaped()[:, 0])
        if beyond.size == 0:
            return float(self.steps[-1]), float("inf")
        i = int(beyond[0])
        return float(self.steps[i - 1]) if i else -float("inf"), float(self.steps[i])

    @property
    def escape_step(self) -> float:
        """A guess within `escape_bracket`; +inf if there is no outlier.

        By linear interpolation of the ratio of largest eigenvalue and threshold, the first snapshot
        if that already has an outlier. A bulk shows a false one with probability `rate` per
        snapshot.
        """
        before, after = self.escape_bracket
        if not np.isfinite(before) or not np.isfinite(after):
            return after
        i = int(np.searchsorted(self.steps, after))
        margin = (self.along("top") / self.along("threshold") - 1)[i - 1 : i + 1]
        if (
            not margin[0] < 0 < margin[1]
        ):  # the first was beyond, by eigenvalues that are no outliers
            return after
        return float(np.interp(0.0, margin, self.steps[i - 1 : i + 1]))

    def at_start(self, index: int = -1) -> np.ndarray:
        """Which outliers of a snapshot are those of the first snapshot, (k,) booleans.

        They are if both singular vectors agree, squared overlaps above ½. If the first snapshot
        holds the initial weights, the others were learned.

        Args:
            index: of the snapshot.
        """
        first, found = self.spectra[0], self.spectra[index]
        if not len(first.left) or not len(found.left):
            return np.zeros(len(found.location), bool)
        both = np.minimum((found.left @ first.left.T) ** 2, (found.right @ first.right.T) ** 2)
        return both.max(1) > 0.5


def measure_series(
    arrays: Iterable[ArrayLike], steps: Sequence[float] | np.ndarray | None = None, **options
) -> SpectrumSeries:
    """Spectra of snapshots of one weight array, taken one after the other.

    Args:
        arrays: the snapshots, in the order of training; an iterator keeps two in memory at a time.
        steps: their steps, increasing; 0, 1, … if not given.
        options: of `measure_spectrum`.

    Returns:
        A `SpectrumSeries`.

    Raises:
        ValueError: if there is no snapshot, if the steps do not fit or do not increase, or if the
            arrays are not snapshots of one array (`check_kinship`); what `measure_spectrum` raises.

    Examples:
        >>> import numpy as np, spectrax
        >>> rng = np.random.default_rng(0)
        >>> noise, spike = rng.normal(size=(200, 200)), np.outer(*rng.normal(size=(2, 200)))
        >>> series = spectrax.measure_series(noise + t / 1000 * spike for t in (0, 100, 200))
        >>> series.escaped()[:, 0].tolist(), series.escape_bracket
        ([False, True, True], (0.0, 1.0))
    """
    spectra, before = [], None
    for array in arrays:
        array = np.asarray(array)
        if before is not None:
            check_kinship(before, array)
        spectra.append(measure_spectrum(array, **options))
        before = array
    if not spectra:
        raise ValueError("Argument `arrays` must have at least one snapshot, got none.")
    steps = check.shaped("steps", range(len(spectra)) if steps is None else steps, (len(spectra),))
    return series_of(spectra, np.asarray(steps, float))


def check_kinship(before: np.ndarray, after: np.ndarray) -> None:
    """Refuse arrays that cannot be successive snapshots of one array.

    They are of one shape, and the signs of their entries (less the median) agree more or less often
    than by chance: the random initial weights are forgotten slowly, and signs do not see how large
    a direction has grown.

    Args:
        before: an array of any shape.
        after: the next one.

    Raises:
        ValueError: one sentence.
    """
    if before.shape != after.shape:
        raise ValueError(
            f"Argument `arrays` must be snapshots of one array, got shapes {before.shape} and "
            f"{after.shape}."
        )
    a, b = (x.astype(np.float32) for x in (before, after))
    agree = float(np.mean((a > np.median(a)) == (b > np.median(b))))
    if abs(agree - 0.5) < UNRELATED / (2 * a.size**0.5):
        raise ValueError(
            f"Argument `arrays` must be snapshots of one array, got two without correlation: signs "
            f"agree in {100 * agree:.2f} % of the entries."
        )


def series_of(
    spectra: Iterable[WeightSpectrum], steps: Sequence[float] | np.ndarray
) -> SpectrumSeries:
    """A series of spectra that are measured already."""
    spectra, steps = tuple(spectra), np.asarray(steps, float)
    if not np.all(np.diff(steps) > 0):
        raise ValueError(f"Argument `steps` must increase, got {steps.tolist()}.")
    return SpectrumSeries(steps, spectra)
