"""`spectrax transfer`: tables, theory, one rate taken elsewhere; what is printed and written."""

import contextlib
import io
import json
import math
import time
import types

import numpy as np
import pytest
from planted_transfer import RATES, planted

from spectrax.cli import common, main, transfer_table, transfer_theory
from spectrax.cli.main import build_parser
from spectrax.transfer.report import STAGES


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def strict(text):
    """JSON as the standard has it: no NaN, no Infinity."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON."))


# --- a table


def write_table(folder, text):
    (folder / "runs.csv").write_text(text, encoding="utf-8")
    return str(folder / "runs.csv")


WIDTHS = (64, 128, 256, 512)
MEASURED = "n_embd;learning_rate;seed;loss\n" + "\n".join(
    f"{n};{2.0**k};{seed};{(k + 4 + 0.5 * math.log2(n / 64)) ** 2 + 1 + 8 / n + seed / 100}"
    for n in WIDTHS
    for k in range(-10, 0)
    for seed in (0, 1)
)


def test_measured_losses_get_a_verdict(capsys, tmp_path):
    path = write_table(tmp_path, MEASURED)
    options = ["--at", "4096", "--json", "--out", str(tmp_path)]
    code, out, _ = run(capsys, "transfer", "--table", path, *options)
    found = strict(out)
    assert code == 0
    assert {"table", "verdict", "reason", "drift", "cost", "recommended"} <= set(found)
    assert found["verdict"] == "does not transfer"
    assert abs(found["drift"]["exponent"] + 0.5) < 0.01 and found["drift"]["stderr"] > 0
    rate = found["recommended"]
    assert rate["width"] == 4096 and rate["low"] <= 2**-7 <= rate["high"]
    best = [row["optimal_lr"] for row in found["table"]]
    np.testing.assert_allclose(best, [2**-4 * (n / 64) ** -0.5 for n in WIDTHS], rtol=0.02)
    for ending in ("png", "pdf", "npz", "json"):
        assert (tmp_path / f"transfer.{ending}").stat().st_size > 0


def test_a_recommendation_is_printed(capsys, tmp_path):
    path = write_table(tmp_path, MEASURED)
    options = ["--at", "4096", "--out", str(tmp_path)]
    code, out, _ = run(capsys, "transfer", "--table", path, *options)
    assert code == 0 and "at width 4096 use a learning rate of 0.0078" in out
    assert "does not transfer: " in out and "the loss would be" in out


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("width,lr,loss\n1,0.1,1\n1,x,1\n", "Line 3 of"),
        ("width,0.1,0.2,0.4\n1,1,1,1\n2,inf,inf,inf\n", "only divergent trials at width 2"),
        ("", "There is no table in"),
    ],
)
def test_bad_tables_are_one_sentence(capsys, tmp_path, text, sentence):
    path = write_table(tmp_path, text)
    code, _, err = run(capsys, "transfer", "--table", path, "--out", str(tmp_path))
    assert code == 2 and sentence in err and err.count("\n") == 1


def test_one_width_has_nothing_to_transfer_to(capsys, tmp_path):
    code, _, err = run(capsys, "transfer", "--widths", "2", "--out", str(tmp_path))
    assert code == 2 and "`widths` must be at least two numbers, got [2.0]" in err


@pytest.mark.slow
def test_transfer_writes_table_exponents_gaps_and_verdict(capsys, tmp_path):
    options = ["--num-steps", "12", "--widths", "1,2,4", "--no-cache", "--json"]
    code, out, _ = run(capsys, "transfer", *options, "--out", str(tmp_path))
    found = strict(out)
    assert code == 0 and len(found["table"]) == 6
    first, other = found["table"][0], found["table"][3]
    assert first["width"] == other["width"] == 1.0  # there the parameterizations are one
    for key in ("sharpness", "max_stable_lr", "optimal_lr", "loss"):
        np.testing.assert_allclose(first[key], other[key], rtol=1e-6)
    assert set(found["parameterizations"]) == set(found["gaps"]) == {"mup", "ntk"}
    assert found["verdict"] == found["parameterizations"]["mup"]["verdict"]
    drift = {name: x["drift"]["exponent"] for name, x in found["parameterizations"].items()}
    assert drift["ntk"] > 5 * abs(drift["mup"])
    with np.load(tmp_path / "transfer.npz") as data:
        assert data["mup_losses"].shape == (3, len(data["lrs"]))


def test_a_rate_without_bounds_is_called_a_guess_and_costs_are_not_guessed():
    found = types.SimpleNamespace(width=4096.0, lr=0.02, low=0.0, high=math.inf, lost=0.0)
    text = transfer_table.sentence(found, 64.0)
    assert text.endswith("a learning rate of 0.02, which is a guess: the table gives it no bounds")
    found.low, found.high, found.lost = 0.01, 0.04, math.inf
    text = transfer_table.sentence(found, 64.0)
    assert text.endswith("(95 % from 0.01 to 0.04); with the rate of width 64 it would diverge")


# --- theory

KEYS = {"verdict", "reason", "drift", "cost", "recommended"}


@pytest.fixture(scope="module")
def known():
    """The theory's answers are known ones; whatever arguments it gets are kept."""
    import spectrax.transfer.report as module

    asked = []

    def report(model, widths, *, progress, at):
        asked.append((model, widths, at))
        for stage in STAGES:
            progress(stage)
        return planted(tuple(widths), at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "transfer_report", report)
        yield asked


@pytest.fixture(scope="module")
def answer(known, tmp_path_factory):
    """Exit code, text, and folder of one run."""
    folder = tmp_path_factory.mktemp("theory")
    options = ["--widths", "1,2,4", "--at", "16", "--num-steps", "7", "--out", str(folder)]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = main(["transfer", *options])
    return code, text.getvalue(), folder


def test_record_of_the_theory_has_the_keys_of_both_parameterizations(answer):
    code, _, folder = answer
    found = strict((folder / "transfer.json").read_text("utf-8"))
    assert code == 0 and KEYS | {"exponents", "table", "gaps", "parameterizations"} <= set(found)
    assert found["parameterization"] == "mup"
    assert {key: found[key] for key in KEYS} == found["parameterizations"]["mup"]
    assert set(found["parameterizations"]) == set(found["gaps"]) == {"mup", "ntk"}
    verdicts = {"mup": "transfers", "ntk": "does not transfer"}
    for name, one in found["parameterizations"].items():
        assert set(one) == KEYS and one["verdict"] == verdicts[name]
        assert set(one["drift"]) == {"exponent", "stderr"} and one["reason"].endswith(".")
        assert one["drift"]["stderr"] > 0
        rate = one["recommended"]
        assert set(rate) == {"width", "lr", "low", "high"} and rate["width"] == 16
        assert rate["low"] == rate["lr"] == rate["high"] == pytest.approx(RATES[name](16.0))
        assert len(one["cost"]["widths"]) == len(one["cost"]["loss"]) == 2
        assert {"alpha", "beta", "gamma", "fast", "widths"} <= set(found["gaps"][name])
    exponents = found["exponents"]
    assert (exponents["output_exponent"], exponents["lr_exponent"]) == (0.49, -0.01)
    assert exponents["widths"] == [8, 16, 32, 64] and exponents["start"] == [0.2, 0.2]


def test_an_absent_outlier_is_no_number_wherever_one_reads_it(answer):
    """The narrowest planted network has none, and its bulk ends at 4."""
    _, out, folder = answer
    rows = [line.split() for line in out.splitlines() if line[:3] in ("µP ", "NTK")][:6]
    last = ["2.50", "4.250"]
    assert [row[2:4] for row in rows] == 2 * [["never", "none"], last, last]
    record = strict((folder / "transfer.json").read_text("utf-8"))
    assert [row["top_outlier"] for row in record["table"]] == 2 * [None, 4.25, 4.25]
    assert [row["escape_step"] for row in record["table"]] == 2 * [None, 2.5, 2.5]
    with np.load(folder / "transfer.npz") as data:  # here the edge stands beside a mask
        assert data["mup_top_outlier"][0] == 4.0 and not data["mup_escaped"][0]


def test_theory_says_in_words_what_it_found(answer):
    out = answer[1]
    assert "in 7 steps the unstable direction has no time to grow" in out  # stable is .9 of best
    assert "at widths 8 ... 64" in out and "gamma ~ width^0.490, eta ~ width^-0.010" in out
    assert "\nµP: transfers: " in out and "\nNTK: does not transfer: " in out
    for name, rate in (("µP", RATES["mup"](16.0)), ("NTK", RATES["ntk"](16.0))):
        assert f"{name}: at width 16 the best learning rate is {rate:.4g}\n" in out


def test_options_reach_the_theory(known):
    options = "--depth 3 --num-steps 5 --alpha 2 --eta 0.01 --gamma0 3 --sigma 0.5 --data online"
    args = build_parser().parse_args(["transfer", *options.split(), "--widths", "2,3,4"])
    transfer_theory.compare(args, Bar())
    model, widths, at = known[-1]
    assert widths == [2.0, 3.0, 4.0] and at is None
    assert (model.depth, model.num_steps, model.data) == (3, 5, "online")
    values = [float(getattr(model, name)) for name in ("alpha", "eta", "gamma0", "sigma")]
    assert values == [2.0, 0.01, 3.0, 0.5]


# --- one rate taken elsewhere


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--from", "512:0.01"], "--from needs --at"),
        (["--from", "512", "--at", "1024"], "WIDTH:LR"),
        (["--from", "512:x", "--at", "1024"], "WIDTH:LR"),
        (["--from", "512:0", "--at", "1024"], "WIDTH:LR"),
        (["--from", "-1:0.1", "--at", "1024"], "expected one argument"),
        (["--from", "512:inf", "--at", "1024"], "WIDTH:LR"),
        (["--from", "512:0.01:3", "--at", "1024"], "WIDTH:LR"),
        (["--from", "512:0.01", "--at", "0"], "positive number"),
        (["--from", "512:0.01", "--at", "9", "--parameterization", "sp"], "mup, ntk or A,B"),
        (["--from", "512:0.01", "--at", "9", "--table", "x.csv"], "--table or --from, not both"),
        (["--from", "512:0.01", "--at", "9", "--parameterization", "inf,0"], "`output_exponent`"),
    ],
)
def test_a_rate_that_cannot_be_taken_is_one_sentence(capsys, tmp_path, arguments, sentence):
    code, out, err = run(capsys, "transfer", *arguments, "--out", str(tmp_path / "new"))
    assert code == 2 and out == ""
    assert sentence in err and err.count("\n") == 1 and err.endswith(".\n")


# --- progress


class Bar:
    """What a terminal shows, beat by beat."""

    disable, n, total = False, 0.0, 10.0

    def __init__(self):
        self.shown, self.stage = [], None

    def set_description_str(self, stage, refresh=True):
        self.stage = stage

    def refresh(self):
        self.shown.append((self.stage, self.n))


def test_progress_moves_within_a_stage_and_never_past_its_end():
    bar = Bar()
    with common.Stages(bar, {"short": 0.1, "long": 4.0}, beat=0.01) as stages:
        for stage in ("short", "long"):
            stages.begin(stage)
            time.sleep(0.25)
    short, long = ([n for name, n in bar.shown if name == stage] for stage in ("short", "long"))
    for shown, low, high in ((short, 0.0, 0.1), (long, 0.1, 4.1)):
        assert shown[0] == low and len(set(shown)) > 3
        assert shown == sorted(shown) and shown[-1] < high
    assert bar.shown[-1] == (None, 4.1)
    assert long[-1] > 0.2 > short[-1] > 0.05  # by the clock, in the stage's own time


def test_progress_that_is_hidden_has_no_clock():
    bar = Bar()
    bar.disable = True
    with common.Stages(bar, {"a": 1.0}, beat=0.001) as stages:
        stages.begin("a")
        time.sleep(0.05)
        assert len(bar.shown) == 1
    assert bar.n == 1.0


def test_every_stage_of_the_report_has_a_length(known):
    assert tuple(transfer_theory.SECONDS) == STAGES
    bar = Bar()
    transfer_theory.compare(build_parser().parse_args(["transfer"]), bar)
    ends = np.cumsum([0.0, *transfer_theory.SECONDS.values()])
    begun = [next(n for name, n in bar.shown if name == stage) for stage in STAGES]
    np.testing.assert_allclose(begun, ends[:-1])
    assert bar.n == ends[-1] == transfer_theory.LENGTH - transfer_theory.DRAWING


# --- figure


def test_losses_that_blow_up_do_not_squeeze_the_others():
    from spectrax.cli.figures import loss_limits

    low, high = loss_limits(np.array([[0.5, 0.1, 1e155], [0.4, 0.2, np.inf]]), 0.05)
    assert (low, high) == pytest.approx((0.025, 10.0))
    assert loss_limits(np.array([[0.5, 0.1, 0.7]]), 0.05)[1] == pytest.approx(1.4)
