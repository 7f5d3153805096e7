"""Every experiment is listed, runs, and leaves no NaN behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from quick_compilation import with_flags

from experiments._networks import Claim

FOLDER = Path(__file__).parents[1] / "experiments"
QUICKLY = os.environ | {"XLA_FLAGS": with_flags(os.environ.get("XLA_FLAGS"))}
NAMES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def test_every_experiment_is_listed():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(NAMES) >= 5
    for name in NAMES:
        assert f"| `{name}` |" in listed
    for path in (FOLDER / "benchmarks").glob("*.py"):
        assert f"experiments/benchmarks/{path.name}" in listed


def test_verdicts_need_every_seed():
    for values, verdict in (
        ([1.0, 2.0, 1.5], "reproduced"),
        ([1.0, 2.1, 1.5], "undecided"),
        ([0.9, 2.1, 5.0], "not reproduced"),
        ([np.nan, np.nan], "not reproduced"),
        ([1.5], "undecided"),
    ):
        claim = Claim("a number", np.array(values), low=1.0, high=2.0)
        assert claim.verdict == claim.summary()["verdict"] == verdict
        assert str(claim).lstrip().startswith(verdict)


def run(name, folder, *options) -> dict:
    """What an experiment wrote beside its figure; nothing in its arrays is NaN."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *options, "--out", str(folder)]
    subprocess.run(command, check=True, timeout=600, env=QUICKLY)
    for ending in (".png", ".pdf", ".npz", ".json"):
        assert (folder / f"{name}{ending}").stat().st_size > 0
    with np.load(folder / f"{name}.npz") as data:
        for key in data.files:
            values = data[key]
            assert values.dtype.kind not in "fc" or not np.isnan(values).any(), key
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


# Trainings of networks and densities of many points take half a minute and more.
LONG = {"many_outputs", "learning_rates_of_trained_networks", "hidden_outliers_of_wide_networks"}
LONG |= {"cnn_spectra", "resnet_spectra", "gpt_spectra", "flax_networks_against_theory"}
assert set(NAMES) >= LONG


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.nightly if name in LONG else pytest.mark.slow)
        for name in NAMES
    ],
)
def test_experiment_runs(name, tmp_path):
    run(name, tmp_path, "--quick")


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["cnn_spectra", "resnet_spectra", "gpt_spectra"])
def test_paper_preset_runs_on_noise(name, tmp_path):
    """Two steps of the narrowest network, on data of the paper's shapes, with a small batch."""
    options = ("--preset", "paper", "--synthetic", "--steps", "2", "--batch-size", "2")
    record = run(name, tmp_path, *options, "--narrowest")
    assert record["synthetic"] and record["settings"]["num_steps"] == 2
    verdicts = [claim["verdict"] for claim in record["claims"]]
    assert verdicts and set(verdicts) == {"undecided"}  # a single seed decides nothing


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["solve", "transfer", "wide", "spectrum", "outputs", "controls"])
def test_benchmark_runs(name, tmp_path):
    command = [sys.executable, str(FOLDER / "benchmarks" / f"{name}.py"), "--quick"]
    subprocess.run([*command, "--out", str(tmp_path)], check=True, timeout=600, env=QUICKLY)
    record = json.loads((tmp_path / f"benchmark_{name}.json").read_text(encoding="utf-8"))
    if name == "solve":
        assert all(x["median"] > 0 for x in record["horizons"][0]["ratios"].values())
    else:
        assert record["grid_over_report" if name == "transfer" else "ratio"] > 0
    if name == "outputs":  # different routes to one density
        away = [record["ways"][way]["away"] for way in ("pencil", "roots", "continuation")]
        assert max(x["largest"] for x in away) < 1e-9
        assert record["ways"]["svd"]["away"]["rms"] < 0.3
        assert record["failures"]["lowest root, on the axis"]["settings"] == 0
