"""Snapshots of one array: trajectories and escape."""

import numpy as np
import pytest
from empirical.helpers import spiked

import spectrax
from spectrax.empirical import measure_series, measure_spectrum, spike_strength


def growing(times, seed=0, size=300):
    """Noise that stays, and a spike of strength t."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(size, size))
    direction = spiked(rng, size, size, [1.0], sigma=0.0)
    return (noise + np.sqrt(t) * direction for t in times)


def test_escape_lies_between_the_snapshots_around_the_threshold():
    times = np.linspace(0.0, 4.0, 17)
    series = measure_series(growing(times), times)
    # The threshold of this size is passed at the strength that belongs to it, not at the edge.
    expected = spike_strength(series.spectra[0].threshold, 1.0)
    assert 1.0 < expected < series.escape_step + 0.4 and series.escape_step < expected + 0.4
    first = np.flatnonzero(series.escaped()[:, 0])[0]
    assert times[first - 1] < series.escape_step <= times[first]
    np.testing.assert_array_equal(series.escaped()[:, 0], times >= times[first])


def test_absent_outliers_are_the_edge_and_an_absent_escape_is_infinite():
    series = measure_series(growing([0.0, 0.1, 0.2]))
    assert series.escape_step == float("inf")
    np.testing.assert_array_equal(series.location(2), np.stack([series.along("edge")] * 2, 1))
    assert not series.escaped(2).any() and series.steps.tolist() == [0, 1, 2]


def test_first_snapshot_may_have_escaped_already():
    assert measure_series(growing([4.0, 9.0]), [5, 7]).escape_step == 5.0


def test_series_is_its_snapshots():
    series = measure_series(growing([0.0, 4.0]), rate=0.01)
    for array, spectrum in zip(growing([0.0, 4.0]), series.spectra, strict=True):
        alone = measure_spectrum(array, rate=0.01)
        assert alone.threshold == spectrum.threshold and alone.sigma == spectrum.sigma
    assert series.along("top")[1] == series.location()[1, 0]


def test_bad_series_are_one_sentence():
    with pytest.raises(ValueError, match="`arrays` must have at least one snapshot"):
        measure_series([])
    with pytest.raises(ValueError, match="`steps` must increase"):
        measure_series(growing([0.0, 1.0]), [1, 1])
    with pytest.raises(ValueError, match="`steps` must have shape"):
        measure_series(growing([0.0, 1.0]), [1, 2, 3])


def test_names_are_public():
    for name in ("measure_spectrum", "measure_series", "unfold", "open_checkpoint"):
        assert getattr(spectrax, name)
