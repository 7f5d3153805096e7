"""Seeds that shift whole curves, have optima of their own, scatter differently, or are missing."""

import numpy as np
import pytest

import spectrax as sx
from experiments.benchmarks.transfer_verdicts import measure_cell
from spectrax.transfer.tables.answer import transfer_runs
from spectrax.transfer.tables.noise import Noise, moderate, noise_of
from spectrax.transfer.tables.reading import read_runs
from spectrax.transfer.tables.runs import Curve, curves_of
from spectrax.transfer.tables.scale import scaled_curves
from spectrax.transfer.tables.seeds import own_optima
from spectrax.transfer.tables.valley import Minima, find_minima, specs_of, weights

WIDTHS = np.array([64.0, 128.0, 256.0, 512.0])
LRS = 2.0 ** np.arange(-9.0, 0.0)


def valleys(drift=-0.5, noise=0.05, seeds=4, seed=0):
    """Parabolas in log2 of the rate with independent noise, (widths, rates, seeds)."""
    best = -4 + drift * np.log2(WIDTHS / 64)[:, None, None]
    rng = np.random.default_rng(seed)
    losses = (np.log2(LRS)[:, None] - best) ** 2 + 1 + 4 * (WIDTHS[:, None, None] / 64) ** -0.5
    return losses + noise * rng.normal(size=(*losses.shape[:2], seeds))


def runs_of(losses):
    """Widths, rates, losses, seeds of runs one by one."""
    seeds = np.arange(losses.shape[2])
    each = np.broadcast_arrays(WIDTHS[:, None, None], LRS[:, None], losses, seeds)
    return [values.ravel() for values in each]


def assert_same(one, other, **bounds):
    assert one.verdict == other.verdict
    for name in ("exponent", "stderr", "low", "high"):
        np.testing.assert_allclose(getattr(one.drift, name), getattr(other.drift, name), **bounds)


def test_what_a_seed_adds_to_a_whole_curve_is_no_noise():
    losses = valleys()
    shifts = np.random.default_rng(1).normal(size=(4, 1, 4))
    shifts -= shifts.mean(axis=-1, keepdims=True)
    one, other = (sx.transfer_gaps(WIDTHS, LRS, x) for x in (losses, losses + shifts + 3))
    assert not one.noise.relative and not other.noise.relative
    assert_same(one, other, rtol=1e-6)
    blind = transfer_runs(*runs_of(losses + shifts + 3)[:3])
    assert blind.drift.stderr > 3 * other.drift.stderr


def test_what_a_seed_multiplies_a_whole_curve_by_is_no_noise():
    losses = np.exp(valleys(noise=0.1))
    shifts = 0.5 * np.random.default_rng(1).normal(size=(4, 1, 4))
    shifts -= shifts.mean(axis=-1, keepdims=True)
    one, other = (sx.transfer_gaps(WIDTHS, LRS, x) for x in (losses, 7 * losses * np.exp(shifts)))
    assert one.noise.relative and other.noise.relative
    assert_same(one, other, rtol=1e-6)
    np.testing.assert_allclose(other.optimal_loss, 7 * one.optimal_loss, rtol=1e-6)
    np.testing.assert_allclose(other.cost.loss, 7 * one.cost.loss, rtol=1e-6)
    np.testing.assert_allclose(other.cost.stderr, 7 * one.cost.stderr, rtol=1e-6)
    np.testing.assert_allclose(other.noise.sigma, 7 * one.noise.sigma, rtol=1e-6)
    np.testing.assert_allclose(one.noise.sigma / one.optimal_loss, 0.1, rtol=0.4)


def test_noise_is_an_amount_or_a_part_as_the_runs_say():
    for seeds in (1, 3):
        losses = valleys(noise=0.1, seeds=seeds)
        for table, relative in ((losses, False), (np.exp(losses), True), (losses - 9, False)):
            curves, noise = scaled_curves(*runs_of(table))
            assert noise.relative == relative
            scale = np.log(table) if relative else table
            np.testing.assert_allclose(curves[0].loss, scale.mean(axis=-1)[0])


def test_seeds_with_optima_of_their_own_widen_the_interval():
    """Without noise, the only scatter is that of the optima: 0.2 over the root of four seeds."""
    rng, found = np.random.default_rng(0), []
    logs = np.log(WIDTHS)
    for _ in range(12):
        own = 0.2 / np.log(2) * rng.normal(size=(4, 1, 4))
        best = -4 - 0.5 * np.log2(WIDTHS / 64)[:, None, None] + own
        losses = (np.log2(LRS)[:, None] - best) ** 2 + 1 + 1e-3 * rng.normal(size=(4, 9, 4))
        found.append(sx.transfer_gaps(WIDTHS, LRS, losses).drift)
    truth = 0.2 / 2 / np.sqrt(np.sum((logs - logs.mean()) ** 2))
    assert np.mean([x.stderr for x in found]) == pytest.approx(truth, rel=0.25)
    assert np.std([x.exponent for x in found]) == pytest.approx(truth, rel=0.5)
    assert all(10 < x.freedom < 30 for x in found if x.scale == 1)  # 12 differences of seeds


def test_the_variance_of_a_mean_of_optima_is_that_of_the_seeds_optima():
    """Of a width with a single seed their scatter is not known, and nothing is added."""
    rng = np.random.default_rng(0)
    for _ in range(2):
        own = 0.3 * rng.normal(size=(4, 1, 4))
        best = -4 - 0.5 * np.log2(WIDTHS / 64)[:, None, None] + own
        losses = (np.log2(LRS)[:, None] - best) ** 2 - 1 + 1e-3 * rng.normal(size=(4, 9, 4))
        runs = np.array(runs_of(losses))
        curves, noise = scaled_curves(*runs[:, (runs[0] > 64) | (runs[3] == 0)])
        spec = specs_of(curves)
        before = [find_minima(*each, spec) for each in zip(curves, noise.sigma, strict=True)]
        after, _ = own_optima(curves, before, noise)
        np.testing.assert_array_equal(after[0].variance, before[0].variance)
        scores = [np.where(m.kind == "inside", m.score, np.inf) for m in after]
        found = [weights(s) @ m.variance for s, m in zip(scores[1:], after[1:], strict=True)]
        truth = np.log(2) ** 2 * own[1:].var(axis=-1, ddof=1).mean() / 4
        assert np.mean(found) == pytest.approx(truth, rel=0.01)


@pytest.mark.parametrize(("among", "freedom"), [(2.0, 4 / (1 / 10 + 1 / 9)), (0.5, 10.0)])
def test_freedom_of_noise_and_of_seeds_is_satterthwaites(among, freedom):
    """Noise of variance 1 with 10 degrees of freedom, and what the seeds add, with three widths
    times three; a model that stands there twice counts once."""
    x, one, two = np.arange(3.0), np.ones(3, int), np.ones(2)
    curve = Curve(64.0, x, x**2, 4 * one, np.zeros((3, 4)), True)
    first, kind = np.array([True, False]), np.full(2, "inside")
    both = np.where(first, among, 99.0)
    minima = Minima(two, 3 * two, two, both, two, kind, two, two, two, first)
    after, found = own_optima([curve] * 3, [minima] * 3, Noise(np.ones(3), 10.0, True))
    assert found == pytest.approx(freedom)
    np.testing.assert_allclose([m.variance for m in after], 3 + max(0.0, among - 1))


def test_seeds_without_optima_of_their_own_do_not_widen_the_interval():
    ratios = []
    for seed in range(8):
        losses = valleys(noise=0.2, seeds=3, seed=seed)
        paired, blind = sx.transfer_gaps(WIDTHS, LRS, losses), transfer_runs(*runs_of(losses)[:3])
        ratios.append(paired.drift.stderr / blind.drift.stderr)
    assert 0.9 < np.mean(ratios) < 1.25


def test_a_missing_run_does_not_shift_its_rate():
    losses = valleys(noise=0.01) + 5 * np.arange(4)  # seeds far apart
    runs = np.array(runs_of(losses))
    missing = (runs[1] == LRS[4]) & (runs[3] == 3)
    full, cut = transfer_runs(*runs), transfer_runs(*runs[:, ~missing])
    np.testing.assert_allclose(cut.optimal_lr, full.optimal_lr, rtol=0.02)
    blind = transfer_runs(*runs[:3, ~missing])
    moved = [abs(np.log(found.optimal_lr / full.optimal_lr)).max() for found in (cut, blind)]
    assert moved[1] > 10 * moved[0]


def test_numbers_of_runs_are_no_seeds():
    """A name of its own for each run says nothing on shifts: as without names."""
    runs = runs_of(valleys())[:3]
    assert_same(transfer_runs(*runs), transfer_runs(*runs, np.arange(len(runs[0]))), rtol=1e-12)
    curve = curves_of(*runs, np.arange(len(runs[0])))[0]
    assert not curve.paired


def test_the_column_of_seeds_pairs_runs(tmp_path):
    losses = valleys() + np.random.default_rng(1).normal(size=(4, 1, 4))
    runs = runs_of(losses)
    path = tmp_path / "runs.csv"
    lines = [f"{w:g};{x:.17g};{y:.17g};s{int(s)}" for w, x, y, s in zip(*runs, strict=True)]
    path.write_text("\n".join(["width;lr;loss;seed", *lines[::-1]]))
    read = read_runs(str(path))
    assert set(read.seeds) == {"s0", "s1", "s2", "s3"}
    found = transfer_runs(read.widths, read.lrs, read.losses, read.seeds)
    assert_same(found, sx.transfer_gaps(WIDTHS, LRS, losses), rtol=1e-9)
    # one row for each width and seed
    head = "width," + ",".join(f"{x:.17g}" for x in LRS)
    rows = [
        f"{w:g}," + ",".join(f"{y:.17g}" for y in losses[k, :, s])
        for s in range(4)
        for k, w in enumerate(WIDTHS)
    ]
    path.write_text("\n".join([head, *rows]))
    read = read_runs(str(path))
    assert_same(transfer_runs(*read[:4]), found, rtol=1e-9)


def test_variances_are_drawn_together_as_far_as_they_agree():
    rng = np.random.default_rng(0)
    freedom = np.full(300, 6)
    squares = rng.chisquare(6, 300)
    variance, known = moderate(squares, freedom, 1e-12)
    assert np.var(variance) < 0.05 and known > 100
    scales = 1 / rng.gamma(4.0, 1 / 4.0, 300)  # inverse chi-squared, 8 degrees of freedom
    variance, known = moderate(scales * squares, freedom, 1e-12)
    assert known == pytest.approx(6 + 8, rel=0.3)
    own = np.mean((scales * squares / 6 - scales) ** 2)
    assert np.mean((variance - scales) ** 2) < 0.6 * own
    alone, _ = moderate(np.array([1.0, 8.0]), np.array([0, 4]), 1e-12)
    np.testing.assert_allclose(alone, 2.25)


def test_widths_have_noise_of_their_own():
    sigma = np.array([0.3, 0.1, 0.03, 0.01])
    rng = np.random.default_rng(0)
    curve = (np.log2(LRS)[:, None] + 4) ** 2
    losses = curve + 10 + sigma[:, None, None] * rng.normal(size=(4, 9, 8))
    found = noise_of(curves_of(*runs_of(losses)))
    np.testing.assert_allclose(found.sigma, sigma, rtol=0.35)


def test_the_variance_of_few_runs_is_right_on_average():
    """Five rates, two seeds: of three differences at the better rates the shift takes one."""
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        losses = (np.log2(LRS[2:7])[:, None] + 5) ** 2 + 10 + rng.normal(size=(4, 5, 2)) / 100
        runs = np.broadcast_arrays(WIDTHS[:, None, None], LRS[2:7, None], losses, np.arange(2))
        found.append(noise_of(curves_of(*(x.ravel() for x in runs))).sigma ** 2)
    np.testing.assert_allclose(np.mean(found), 1e-4, rtol=0.2)


def test_seeds_and_runs_have_one_length():
    runs = runs_of(valleys())
    with pytest.raises(ValueError, match=r"`seeds` must have one entry for each run.* \(3,\)"):
        transfer_runs(*runs[:3], np.arange(3))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shifted", "relative", "wandering"])
def test_tables_with_seeds_of_every_kind_are_judged_rightly(kind):
    cells = [measure_cell("bowl", rho, 0.02, 3, 4, 10, kind=kind, seed=3) for rho in (0.0, -0.5)]
    assert max(cell["wrong"] for cell in cells) == 0
    assert np.mean([cell["cannot_judge"] for cell in cells]) < 0.5
    assert min(min(cell["coverage"], cell["coverage_at"]) for cell in cells) >= 0.8
