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


def test_escape_is_known_up_to_the_snapshots_around_it():
    assert measure_series(growing([0.0, 0.1, 4.0, 9.0]), [0, 5, 20, 30]).escape_bracket == (5, 20)
    assert measure_series(growing([4.0, 9.0]), [5, 7]).escape_bracket == (-np.inf, 5)
    assert measure_series(growing([0.0, 0.1]), [5, 7]).escape_bracket == (7, np.inf)
    alone = measure_series(growing([4.0]))
    assert alone.escape_bracket == (-np.inf, 0.0)  # and no step at which it escaped


def test_eigenvalues_that_are_no_outliers_do_not_escape():
    """Rows become uneven, then a direction grows: it is the direction that escapes."""
    rng = np.random.default_rng(4)
    G, gains = rng.normal(size=(200, 200)), np.exp(0.2 * rng.normal(size=200))[:, None]
    spike = spiked(rng, 200, 200, [1.0], sigma=0.0)
    series = measure_series([G, gains * G, gains * G + 4 * spike], [0, 10, 30])
    assert series.along("top")[1] > series.along("threshold")[1] and len(series.spectra[1].rejected)
    assert series.escaped()[:, 0].tolist() == [False, False, True]
    assert series.escape_bracket == (10, 30) and series.escape_step == 30


@pytest.mark.parametrize("change", ["shape", "another network", "another order"])
def test_arrays_of_different_networks_are_refused(change):
    rng = np.random.default_rng(5)
    W, V = rng.normal(size=(2, 60, 60))
    other = {"shape": W[:50], "another network": V, "another order": rng.permuted(W, axis=1)}
    with pytest.raises(ValueError, match="`arrays` must be snapshots of one array, got"):
        measure_series([W, W, other[change]])


def test_snapshots_of_one_array_are_accepted_whatever_was_learned():
    """Nothing left of the noise but a hundredth, signs turned, a mean, a direction a thousand times
    as large: it is still the same array."""
    rng = np.random.default_rng(6)
    W, V = rng.normal(size=(2, 200, 200))
    spike = np.outer(*rng.normal(size=(2, 200)))
    for other in (0.1 * W + V, -W, W + 100.0, W * 1e-6, W + 10 * spike):
        assert len(measure_series([W, other]).spectra) == 2


def test_outliers_of_the_first_snapshot_are_recognised():
    rng = np.random.default_rng(7)
    noise, old, new = (
        rng.normal(size=(200, 150)),
        *(spiked(rng, 200, 150, [strength], sigma=0.0) for strength in (12.0, 30.0)),
    )
    series = measure_series([noise + old, noise + old + new, noise])
    assert series.at_start(0).tolist() == [True]
    assert series.at_start().tolist() == []
    assert series.at_start(1).tolist() == [False, True]  # the new one is the larger
    u, v, w = (x / np.linalg.norm(x) for x in (rng.normal(size=n) for n in (200, 150, 150)))
    turned = [noise + 60 * np.outer(u, x) for x in (v, w)]  # the same rows, other columns
    assert measure_series(turned).at_start().tolist() == [False]
