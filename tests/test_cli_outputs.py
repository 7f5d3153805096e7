"""`spectrax solve outputs`: files, numbers, sentences."""

import re
import subprocess
import sys

import numpy as np
import pytest
from test_cli import run, strict

from spectrax.cli import main


def test_help_needs_no_jax():
    script = (
        "import sys\n"
        "from spectrax.cli import main\n"
        "try:\n    main(['solve', 'outputs', '--help'])\nexcept SystemExit as end:\n"
        "    assert end.code == 0\n"
        "assert not {'jax', 'equinox', 'matplotlib'} & set(sys.modules), 'heavy imports'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout and "--kappa0" in done.stdout


def test_threads_are_chosen_before_anything_can_start_them():
    """OpenBLAS looks once, when it is loaded; threads that wait cost two steps a factor of 20."""
    script = (
        "import sys\n"
        "from spectrax.cli import common, main\n"
        "common.start = lambda args: sys.exit(bool({'numpy', 'scipy'} & set(sys.modules)))\n"
        "main(['solve', 'outputs'])\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    options = ["--nu", "0.77", "--omega", "0.5", "--simulate", "40", "--points", "32", "--no-cache"]
    assert main(["solve", "outputs", *options, "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_many_outputs_are_a_kind_of_solve(outputs):
    for ending in ("png", "pdf"):
        assert (outputs / f"solve_outputs.{ending}").stat().st_size > 0
    record = strict((outputs / "solve_outputs.json").read_text())
    assert record["command"] == "solve outputs" and record["resolved"]
    assert record["parameters"]["nu"] == 0.77 and record["parameters"]["gamma0"] is None
    assert record["simulation"]["nu"] == 0.775 and record["simulation"]["num_seeds"] == 8
    assert {"spectrax", "jax", "numpy", "python"} <= set(record["versions"])


def test_law_of_many_outputs_is_that_of_the_sampled_ratios(outputs):
    """tr W^T W / D over nu is sigma^2 + omega kappa0^2; 31 of 40 directions are not zero."""
    record = strict((outputs / "solve_outputs.json").read_text())
    np.testing.assert_allclose([record["mean"], record["atom"]], [1 + 0.5, 1 - 0.775], rtol=1e-6)
    np.testing.assert_allclose(record["mass"], 1.0, atol=1e-6)
    root = 0.775**-0.5
    np.testing.assert_allclose(record["initial_edges"], [(root - 1) ** 2, (root + 1) ** 2])
    found = record["simulation"]
    assert abs(found["mean"]["mean"] - record["mean"]) < 4 * found["mean"]["stderr"]
    assert 0.5 / 40 < found["ks_distance"]["mean"] < 3.5 / 40  # independent draws: 5.5 / 40


def test_numbers_behind_the_density_of_many_outputs(outputs):
    record = strict((outputs / "solve_outputs.json").read_text())
    with np.load(outputs / "solve_outputs.npz", allow_pickle=False) as data:
        assert data["x"].shape == data["density"].shape == (1, 32)
        assert not any(np.isnan(value).any() for value in data.values())
        low, high = record["edges"]
        assert low < data["x"].min() and data["x"].max() < high
        assert data["eigenvalues"].shape == (8, 40)
        assert ((data["eigenvalues"] == 0).sum(1) == 9).all()  # 40 - 31
        assert (np.diff(data["eigenvalues"]) >= 0).all()
        top = record["simulation"]["top_eigenvalue"]["mean"]
        np.testing.assert_allclose(top, data["eigenvalues"].max(axis=1).mean())
        assert (np.diff(data["cumulative"].ravel()) > 0).all()


def test_report_of_many_outputs_names_edges(capsys, tmp_path):
    options = ["--points", "32", "--no-cache", "--out", str(tmp_path)]
    code, out, _ = run(capsys, "solve", "outputs", "--omega", "0.1", "--kappa0", "3", *options)
    found = re.search(r"from ([\d.]+) to ([\d.]+), ([\d.]+) to ([\d.]+)", out)  # two intervals
    rng, D, N, C = np.random.default_rng(0), 800, 1600, 80  # one matrix of them
    W0, V, Theta = (rng.normal(size=(a, b)) / b**0.5 for a, b in ((N, D), (C, N), (C, D)))
    x = np.linalg.svd(W0 + 3 * 2**0.5 * V.T @ Theta, compute_uv=False)[::-1] ** 2 / 2
    edges = np.array(found.groups(), float)
    np.testing.assert_allclose(edges, x[[0, -C - 1, -C, -1]], rtol=0.06)
    assert code == 0 and "at initialization from 0.08579 to 2.914" in out and str(tmp_path) in out


BAD_OUTPUTS = {
    "nu": ["--nu", "-1", "--simulate", "20"],
    "omega": ["--omega", "0"],
    "kappa0": ["--kappa0", "nan"],
    "sigma": ["--sigma", "-1"],
    "sigma ": ["--sigma", "0", "--kappa0", "0"],
    "kappa": ["--parameterization", "1e9,0"],
    "gamma0": ["--gamma0", "0"],
    "gamma0 ": ["--steps", "2"],
    "steps": ["--steps", "3"],
    "layer": ["--layer", "1"],
    "samples": ["--depth", "2", "--samples", "3"],
    "points": ["--points", "2"],
    "simulate": ["--simulate", "1"],
    "law": ["--kappa0", "1e200"],
}


@pytest.mark.parametrize("name", BAD_OUTPUTS)
def test_bad_requests_for_many_outputs_are_one_sentence(capsys, tmp_path, name):
    options = ["--no-cache", "--out", str(tmp_path), *BAD_OUTPUTS[name]]
    code, out, err = run(capsys, "solve", "outputs", *options)
    assert code == 2 and out == "" and name.strip() in err
    assert err.count("\n") == 1 and err.endswith(".\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [["--depth", "2", "--layer", "1"], ["--gamma0", "1.5", "--samples", "3"]],
    ids=["layer", "own output"],
)
def test_other_laws_of_many_outputs_agree_with_samples(capsys, tmp_path, options):
    options += ["--kappa0", "0.5", "--simulate", "100", "--json", "--no-cache"]
    code, out, _ = run(capsys, "solve", "outputs", *options, "--out", str(tmp_path))
    record = strict(out)
    assert code == 0 and record["residual"] < 1e-9 and abs(record["mass"] - 1) < 1e-6
    found = record["simulation"]
    assert abs(found["mean"]["mean"] - record["mean"]) < 4 * found["mean"]["stderr"]
    assert found["ks_distance"]["mean"] < 4 / 100
    # before training a square matrix between hidden layers, N × D at the input
    ratio = 1.0 if "--layer" in options else record["parameters"]["nu"]
    edges = [(ratio**-0.5 - 1) ** 2, (ratio**-0.5 + 1) ** 2]
    np.testing.assert_allclose(record["initial_edges"], edges, atol=1e-12)
