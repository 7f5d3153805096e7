"""A rate taken from one width to another: ratios of theory, sentence, verdict, command line."""

import json
import re
import warnings

import jax
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import spectrax as sx
from spectrax.cli import main, transfer_theory
from spectrax.transfer import carry
from spectrax.transfer.carry import _optima, carry_rate

MODEL = sx.DeepLinear(1, 4, alpha=4.0, nu=1.0, eta=0.1, gamma0=4.0)
RATIOS = transfer_theory.CARRIED  # the compiled code is that of the command line, too


def optima(parameterization, nu):
    """Best rates, by the one compiled program of this module."""
    nu = np.resize(np.asarray(nu, float), 2 * len(RATIOS))
    return np.asarray(_optima(MODEL, jax.numpy.array(nu), parameterization))


def as_arrays(a, b):
    return jax.tree.map(lambda x: jax.numpy.asarray(x, float), sx.Parameterization(a, b))


@pytest.fixture
def closed(monkeypatch):
    """Best rates in closed form, width^-(a + b) up to a correction: nothing is compiled."""

    def best(model, nu, parameterization):
        power = parameterization.output_exponent + parameterization.lr_exponent
        return nu ** -float(power) * 2 ** (-1 / nu)

    monkeypatch.setattr(carry, "_optima", best)


@pytest.mark.parametrize("at", [2048, 128])
def test_rate_range_and_drift_are_those_of_the_ratios(closed, at):
    found = carry_rate(MODEL, (0.5, 0.25), 512, 0.01, at, RATIOS)
    nu, factor = np.array(RATIOS), at / 512
    ratios = factor**-0.75 * 2 ** (1 / nu - 1 / (factor * nu))
    np.testing.assert_allclose(found.ratios, ratios, rtol=1e-12)
    assert found.lr == pytest.approx(0.01 * ratios[1])
    assert (found.low, found.high) == pytest.approx((0.01 * min(ratios), 0.01 * max(ratios)))
    drifts = np.log(ratios) / np.log(factor)
    assert found.drift == pytest.approx(drifts[1])
    assert found.drift_error == pytest.approx(np.ptp(drifts) / 2)
    assert f"by a factor of {ratios[1]:.3g} from width 512 to {at}" in found.reason


@pytest.mark.parametrize(
    ("exponents", "ratios", "verdict"),
    [
        ((0.0, 0.12), (1e3, 1e4, 1e5), "transfers"),
        ((0.0, 0.13), (1e3, 1e4, 1e5), "does not transfer"),
        ((0.0, -0.13), (1e3, 1e4, 1e5), "does not transfer"),
        ((0.0, 0.0), (1.0, 8.0, 64.0), "cannot judge"),  # it drifts where inputs are many
    ],
)
def test_the_verdict_is_that_of_all_input_dimensions(closed, exponents, ratios, verdict):
    assert carry_rate(MODEL, exponents, 512, 0.01, 2048, ratios).verdict == verdict


@pytest.mark.slow
def test_infinite_width_is_linear_regression_in_ntk_parameterization():
    """There the kernel is 2 and rests: L = int rho (1 - 2 eta x)^6 over the samples' law."""
    law = sx.MarchenkoPastur(1 / 4)
    low, high = (float(x) for x in law.edges())
    angle = (np.arange(400) + 0.5) * np.pi / 400
    x = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
    weight = np.asarray(law.density(x)) * np.sin(angle)

    def loss(eta):
        return np.sum(weight * (1 - 2 * eta * x) ** 6)

    exact = minimize_scalar(loss, bounds=(0.2, 0.6), method="bounded", options={"xatol": 1e-6}).x
    found = optima(as_arrays(0.0, 0.0), [1e8, 1e9])
    np.testing.assert_allclose(found[:2], exact, rtol=2e-5)


@pytest.mark.slow
def test_the_ratio_is_that_of_the_optimal_rates():
    nu = np.array([1.0, 8.0, 64.0, 4.0, 32.0, 256.0])
    for name, exponents in {"mup": (0.5, 0.0), "ntk": (0.0, 0.0), "own": (0.25, -0.5)}.items():
        best = optima(as_arrays(*exponents), nu)
        found = carry_rate(MODEL, exponents if name == "own" else name, 512, 0.01, 2048, RATIOS)
        ratios = best[3:] / best[:3]
        np.testing.assert_allclose(found.ratios, ratios, rtol=1e-6)
        assert found.lr == pytest.approx(0.01 * ratios[1], rel=1e-6)
        assert (found.low, found.high) == pytest.approx(
            (0.01 * ratios.min(), 0.01 * ratios.max()), rel=1e-6
        )
        assert found.drift == pytest.approx(np.log(ratios[1]) / np.log(4), rel=1e-5)
        assert f"by a factor of {ratios[1]:.3g} from width 512 to 2048" in found.reason


@pytest.mark.slow
def test_the_exponent_of_the_rate_is_taken_off_exactly():
    """Only the effective rate matters: eta nu^b = eta' with b = 0."""
    plain = carry_rate(MODEL, (0.5, 0.0), 64, 0.1, 1024, RATIOS)
    scaled = carry_rate(MODEL, (0.5, -1.0), 64, 0.1, 1024, RATIOS)
    assert scaled.lr / plain.lr == pytest.approx(16.0, rel=1e-6)
    assert scaled.drift - plain.drift == pytest.approx(1.0, rel=1e-6)
    assert (plain.verdict, scaled.verdict) == ("transfers", "does not transfer")


@pytest.mark.slow
def test_verdicts_of_the_parameterizations():
    """In NTK parameterization the rate moves while the width is not large against the inputs."""
    assert carry_rate(MODEL, "mup", 512, 0.01, 4096, RATIOS).verdict == "transfers"
    assert carry_rate(MODEL, "ntk", 512, 0.01, 4096, RATIOS).verdict == "cannot judge"
    assert carry_rate(MODEL, "ntk", 512, 0.01, 1024, (1.0, 1.0, 2.0)).verdict == "does not transfer"
    assert carry_rate(MODEL, "ntk", 512, 0.01, 4096, (1e3, 1e4, 1e5)).verdict == "transfers"


def test_back_and_forth_is_nothing(closed):
    there = carry_rate(MODEL, "ntk", 512, 0.01, 2048, RATIOS)
    back = carry_rate(MODEL, "ntk", 2048, there.lr, 512, tuple(4 * x for x in RATIOS))
    assert back.lr == pytest.approx(0.01, rel=1e-6)
    same = carry_rate(MODEL, "ntk", 512, 0.01, 512, RATIOS)
    assert (same.lr, same.low, same.high, same.drift) == (0.01, 0.01, 0.01, 0.0)


def test_command_line_prints_rate_verdict_and_what_carries_over(closed, capsys, tmp_path):
    small = ["--depth", "1", "--num-steps", "4", "--eta", "0.1"]
    command = ["transfer", "--from", "512:0.01", "--at", "2048", *small, "--out", str(tmp_path)]
    assert main([*command, "--parameterization", "ntk"]) == 0
    out = capsys.readouterr().out
    found = carry_rate(MODEL, "ntk", 512, 0.01, 2048, RATIOS)
    assert f"at width 2048 use a learning rate of {found.lr:.3g} (from {found.low:.3g} to" in out
    assert "as width 512 is 1 to 64 times the input dimension)" in out
    assert f"{found.verdict}: {found.reason}\n{transfer_theory.CAVEAT}\n" in out
    record = json.loads((tmp_path / "transfer.json").read_text("utf-8"))
    assert record["parameters"]["from"] == [512, 0.01] and record["verdict"] == found.verdict
    assert set(record["drift"]) == {"exponent", "stderr"}
    rate = record["recommended"]
    assert rate == pytest.approx(
        {"width": 2048, "lr": found.lr, "low": found.low, "high": found.high}, rel=1e-9
    )
    assert [row["ratio"] for row in record["table"]] == pytest.approx(found.ratios)
    with np.load(tmp_path / "transfer.npz") as data:
        np.testing.assert_allclose(data["ratios"], found.ratios)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"at": 513e6}, "`at` must be 0.000512 to 5.12e+08, as `width` is 512, got 5.13e+08."),
        ({"at": 1e-320}, "`at` must be 0.000512"),
        ({"width": 1e-300}, "`at` must be"),
        ({"at": float("inf")}, "`at` must be finite"),
        ({"width": 0.0}, "`width` must be positive"),
        ({"lr": -1.0}, "`lr` must be positive"),
        ({"parameterization": (300.0, 300.0)}, "`parameterization` must have best rates that are"),
        ({"parameterization": (-300.0, -300.0)}, "`parameterization` must have best rates"),
        ({"lr": 5e-324, "parameterization": (1.0, 1.0)}, "`parameterization` must have best rates"),
    ],
)
def test_extreme_ratios_are_refused(closed, change, sentence):
    """Never 0, infinity or NaN as a rate, and no warning of NumPy either."""
    given = {"parameterization": sx.mup, "width": 512, "lr": 0.01, "at": 4096.0} | change
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match=re.escape("Argument " + sentence)),
    ):
        warnings.simplefilter("error")
        carry_rate(MODEL, *given.values(), (1.0, 8.0, 1e4))


@pytest.mark.slow
def test_the_furthest_width_has_the_rate_of_the_limit():
    r"""In µP the best rate goes to a limit, $\eta^*(\nu) = \eta^*_\infty (1 + O(1/\nu))$."""
    near, far = (carry_rate(MODEL, sx.mup, 1.0, 0.01, at, RATIOS).ratios for at in (1e4, 1e6))
    np.testing.assert_allclose(near, far, rtol=1e-4)
    assert not np.allclose(near, far, rtol=1e-7)
