"""What noise would show as well is no outlier, whatever the noise is like; spikes are found."""

import numpy as np
import pytest
from empirical.helpers import spiked

from spectrax.empirical import equalise, measure_spectrum, spike_location
from spectrax.empirical.controls import ENTRIES, MEANS, UNEVEN, _limit, leading, top


def rows(rng, spread, shape):
    return np.exp(spread * rng.normal(size=shape[0]))[:, None]


NOISES = {
    "Gaussian": lambda r, s: r.normal(size=s),
    "uneven rows": lambda r, s: r.normal(size=s) * rows(r, 0.2, s),
    "uneven columns": lambda r, s: r.normal(size=s) * rows(r, 0.2, s[::-1]).T,
    "heavy tails": lambda r, s: r.standard_t(3, size=s),
    "heavy tails, uneven rows": lambda r, s: r.standard_t(3, size=s) * rows(r, 0.2, s),
    "skewed": lambda r, s: r.exponential(size=s),
    "mean": lambda r, s: r.normal(size=s) + 0.3,
    "means of columns": lambda r, s: r.normal(size=s) + 0.3 * r.normal(size=s[1]),
    "means of both": lambda r, s: r.normal(size=s) + 0.3 * (rows(r, 1, s) + rows(r, 1, s[::-1]).T),
    "one large row": lambda r, s: r.normal(size=s) * np.where(np.arange(s[0]), 1, 6)[:, None],
}
CAUSE = {
    "uneven rows": UNEVEN,
    "uneven columns": UNEVEN,
    "heavy tails": ENTRIES,
    "mean": MEANS,
    "means of columns": MEANS,
    "means of both": MEANS,
    "one large row": UNEVEN,
}


@pytest.mark.parametrize("kind", NOISES)
def test_noise_of_any_kind_has_no_outliers_and_the_reason_is_named(kind):
    """Thirty-six matrices of each kind; at most 5 % may be called otherwise."""
    rng, false, reasons = np.random.default_rng(1), 0, []
    for shape in [(100, 100), (200, 80), (80, 200)] * 12:
        found = measure_spectrum(NOISES[kind](rng, shape))
        false += found.regime == "bulk + outliers"
        reasons += found.reasons
        assert len(found.rejected) == len(found.reasons) and "nan" not in found.sentence
    print(f"{kind}: {false} of 36 false, {len(reasons)} rejected")
    assert false <= 1
    if kind in CAUSE:
        assert len(reasons) >= 18 and reasons.count(CAUSE[kind]) > 0.7 * len(reasons)


@pytest.mark.parametrize("kind", ["uneven rows", "heavy tails", "mean"])
def test_without_controls_the_same_noise_is_called_structure(kind):
    """The controls do it, not the noise."""
    rng = np.random.default_rng(2)
    for _ in range(3):
        found = measure_spectrum(3 * NOISES[kind](rng, (300, 300)), controls=False)
        assert found.regime == "bulk + outliers" and found.controls == "switched off"
        assert "no controls made" in found.sentence and not len(found.rejected)


@pytest.mark.parametrize("kind", ["Gaussian", "uneven rows", "heavy tails", "mean"])
def test_spikes_are_found_in_noise_of_any_kind(kind):
    """Three directions far enough from what that noise shows itself; their vectors are returned."""
    rng, N, M = np.random.default_rng(3), 300, 150
    for _ in range(5):
        noise = NOISES[kind](rng, (N, M))
        spikes = spiked(rng, N, M, np.array([60.0, 35.0, 20.0]) * noise.std() ** 2, sigma=0.0)
        found = measure_spectrum(noise + spikes)
        assert found.regime == "bulk + outliers" and len(found.location) == 3
        left, _, right = np.linalg.svd(spikes, full_matrices=False)
        overlaps = (
            np.sum((found.left @ left[:, :3]) ** 2, 1),
            np.sum((found.right @ right[:3].T) ** 2, 1),
        )
        assert np.min(overlaps) > 0.8
        assert found.reasons == ((MEANS,) if kind == "mean" else found.reasons)


@pytest.mark.parametrize(("strength", "least"), [(2.2, 0.8), (3.5, 1.0)])
def test_controls_cost_little_in_plain_noise_at_the_threshold_and_nothing_beyond(strength, least):
    rng, with_controls, without = np.random.default_rng(4), 0, 0
    for _ in range(30):
        W = spiked(rng, 100, 100, [strength])
        with_controls += len(measure_spectrum(W).location)
        without += len(measure_spectrum(W, controls=False).location)
    print(f"strength {strength}: {with_controls} with controls, {without} without")
    assert without > 15 and with_controls >= least * without


def test_large_directions_do_not_hide_small_ones():
    """A direction of strength 1e4 makes uneven entries of its own: it is taken off first."""
    rng, strengths = np.random.default_rng(5), np.array([1e4, 300.0, 6.0])
    found = measure_spectrum(spiked(rng, 300, 200, strengths))
    assert len(found.location) == 3 and found.reasons == ()
    exact = spike_location(strengths, 1.5)
    np.testing.assert_allclose(found.location, exact, rtol=0.15)


def test_directions_that_carry_most_of_a_matrix_are_not_passed_off_as_little():
    rng = np.random.default_rng(5)
    for strength, many in ((30.0, False), (1000.0, True)):
        W = spiked(rng, 200, 100, [strength])
        found = measure_spectrum(W)
        values = np.linalg.svd(W, compute_uv=False) ** 2
        assert found.share == pytest.approx(values[0] / values.sum())
        stated = f", which carries {found.share:.0%} of all squared entries." in found.sentence
        assert stated == (found.share > 0.5) == many


def test_means_are_looked_for_on_either_side_of_a_long_matrix():
    """One mean for each column is a direction along all rows, however few these are."""
    rng = np.random.default_rng(14)
    for shape in ((24, 600), (600, 24)):
        W = rng.normal(size=shape) + 0.35 * rng.normal(size=shape[1])
        assert measure_spectrum(W).reasons == measure_spectrum(W.T).reasons == (MEANS,)


def test_draws_that_happen_to_agree_are_not_believed_to_have_no_spread():
    """The limit is three standard deviations of the largest eigenvalue of noise above them."""
    rng, shape = np.random.default_rng(15), (80, 80)
    tops = [top(rng.normal(size=shape) / 80**0.5) for _ in range(200)]
    W = rng.normal(size=shape) / 80**0.5
    limit = _limit(W, lambda W, rng: W, 1.0, rng)
    assert limit - top(W) == pytest.approx(3 * np.std(tops), rel=0.25)


def test_a_mean_beside_structure_is_named_and_the_structure_stays():
    rng = np.random.default_rng(6)
    found = measure_spectrum(spiked(rng, 200, 200, [10.0]) + 0.4)
    assert found.reasons == (MEANS,) and len(found.location) == 1
    assert found.location[0] == pytest.approx(spike_location(10.0, 1.0), rel=0.2)
    assert found.rejected[0] > found.location[0]
    assert "1 direction that" in found.sentence and MEANS in found.sentence


def test_shuffled_matrices_have_no_structure():
    rng, false = np.random.default_rng(7), 0
    for _ in range(10):
        W = rng.standard_t(4, size=(150, 200)) + 0.5 * np.outer(
            rng.normal(size=150), rng.normal(size=200)
        )
        assert measure_spectrum(W).regime != "bulk"
        false += measure_spectrum(rng.permuted(W.ravel()).reshape(W.shape)).regime != "bulk"
    assert false == 0


def test_answers_do_not_depend_on_scale_order_or_orientation():
    rng = np.random.default_rng(8)
    W = spiked(rng, 200, 120, [30.0, 15.0]) * rows(rng, 0.2, (200, 120)) + 0.4
    found = measure_spectrum(W)
    assert len(found.location) == 2 and MEANS in found.reasons
    again = measure_spectrum(W)
    np.testing.assert_array_equal(found.location, again.location)
    assert found.reasons == again.reasons
    for other in (W.T, 1e-12 * W, W[::-1, ::-1], W.astype(np.float32)):
        same = measure_spectrum(other)
        assert len(same.location) == 2 and same.regime == found.regime
        assert same.reasons.count(MEANS) == found.reasons.count(MEANS)
    divided = measure_spectrum(W / 120**0.5, normalize=False)
    np.testing.assert_allclose(divided.location, found.location)
    np.testing.assert_allclose(divided.rejected, found.rejected)


def test_equalised_rows_and_columns_have_one_mean_square():
    rng = np.random.default_rng(9)
    G = rng.normal(size=(120, 200))
    a, b = np.exp(rng.normal(size=120)), np.exp(rng.normal(size=200))
    scaled, r, c = equalise(1e-30 * a[:, None] * G * b)
    np.testing.assert_allclose(np.mean(scaled**2, 1), 1.0, atol=2e-3)
    np.testing.assert_allclose(np.mean(scaled**2, 0), 1.0, atol=2e-3)
    np.testing.assert_allclose(scaled * r[:, None] * c, 1e-30 * a[:, None] * G * b)
    plain = equalise(G)[0]  # gains do not matter
    np.testing.assert_allclose(scaled, plain, rtol=5e-3)
    assert np.exp(np.mean(np.log(c))) == pytest.approx(1.0)
    assert np.isfinite(equalise(np.eye(20) + np.diag(np.ones(19), 1))[0]).all()


def test_restructured_bulks_are_measured_with_equal_variances():
    """What gains hid: σ and the count of outliers are given where a law holds, and only there."""
    rng = np.random.default_rng(10)
    G = spiked(rng, 300, 300, [6.0, 4.0])
    found = measure_spectrum(G * rows(rng, 0.8, (300, 300)))
    assert found.regime == "restructured bulk" and found.controls == "no law to compare with"
    assert found.equalised.regime == "bulk + outliers" and len(found.equalised.location) == 2
    assert "uneven rows and columns explain the bulk, 2 directions remain." in found.sentence
    assert f"about {found.effective_rank:.0f} of 300 directions" in found.sentence
    assert "(noise: 182)" in found.sentence
    summary, text = found.summary(), str(found)
    assert summary["sigma"] is summary["outliers"] is summary["edge"] is None
    assert "sigma" not in text and "outliers" not in text and "effective" in text
    assert measure_spectrum(np.diag(np.logspace(-2, 1, 100))).equalised is not None
    assert measure_spectrum(np.diag(np.logspace(-2, 1, 100)), controls=False).equalised is None


def test_effective_rank_and_tail_exponent_are_those_of_known_spectra():
    flat = np.linalg.qr(np.random.default_rng(11).normal(size=(80, 80)))[0]
    assert measure_spectrum(flat).effective_rank == pytest.approx(80)
    half = flat.copy()
    half[:40] *= 1e-5
    assert measure_spectrum(half).effective_rank == pytest.approx(40, rel=1e-6)
    for shape in ((300, 300), (400, 100), (80, 240)):
        noise = measure_spectrum(np.random.default_rng(12).normal(size=shape))
        assert noise.noise_rank == pytest.approx(noise.effective_rank, rel=0.01)
    p = 1000  # a pure power law: the i-th of p largest is (p/i)^(1/(a-1))
    for a in (2.0, 3.0):
        values = (p / np.arange(1, p + 1)) ** (1 / (a - 1))
        found = measure_spectrum(np.diag(np.sqrt(values)))
        assert found.tail_exponent == pytest.approx(a, rel=0.06)


def test_tables_are_short_and_zeros_are_counted():
    rng = np.random.default_rng(12)
    W = spiked(rng, 120, 80, [20.0])
    W[:7], W[:, 3] = 0.0, 0.0
    found = measure_spectrum(W)
    assert found.dropped == (7, 1) and found.shape == (113, 79)
    alone = measure_spectrum(W[7:][:, np.arange(80) != 3])
    np.testing.assert_array_equal(found.location, alone.location)
    text = str(found)
    assert len(text.splitlines()) <= 12 and max(map(len, text.splitlines())) < 110
    for word in ("113 × 79", "bulk + outliers", "7 rows and 1 columns", "sigma", "made", "KS"):
        assert word in text
    assert repr(found) == text
    with pytest.raises(ValueError, match="without its rows and columns of zeros"):
        measure_spectrum(np.pad(rng.normal(size=(20, 5)), (0, 9)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "bool"])
def test_integers_are_refused(dtype):
    with pytest.raises(ValueError, match="must hold floating-point weights.*scale first"):
        measure_spectrum(np.ones((40, 40)).astype(dtype))


@pytest.mark.parametrize(("shape", "count"), [((400, 300), 3), ((300, 400), 25), ((100, 60), 5)])
def test_leading_vectors_are_singular_vectors(shape, count):
    W = np.random.default_rng(13).normal(size=shape)
    left, values, right = leading(W, count)
    exact = np.linalg.svd(W, compute_uv=False)
    np.testing.assert_allclose(values, exact[:count], rtol=1e-5)
    assert top(W) == pytest.approx(exact[0] ** 2, rel=2e-3)
    np.testing.assert_allclose(left @ W, values[:, None] * right, atol=2e-2)
    np.testing.assert_allclose(left @ left.T, np.eye(count), atol=1e-3)
