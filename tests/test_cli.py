"""The command line: files, sentences, exit codes."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from spectrax.cli import main

TINY = ["--depth", "2", "--num-steps", "6", "--eta", "0.05", "--no-cache"]


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def strict(text):
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON.")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solved")
    code = main(
        ["solve", *TINY, "--simulate", "16", "--seeds", "2", "--quiet", "--out", str(folder)]
    )
    return code, folder


def test_help_needs_no_jax():
    script = (
        "import sys\n"
        "from spectrax.cli import main\n"
        "try:\n    main(['solve', '--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert not {'jax', 'equinox', 'matplotlib'} & set(sys.modules), 'heavy imports'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout and "exit" in done.stdout


def test_every_hyperparameter_of_the_model_is_an_option():
    import inspect

    from spectrax import DeepLinear
    from spectrax.cli.common import options_of
    from spectrax.cli.solve import DeepLinearOptions

    assert {*options_of(DeepLinearOptions), "optimizer"} == set(
        inspect.signature(DeepLinear).parameters
    ) - {"self"}


def test_solve_writes_figure_data_and_sidecar(solved):
    code, folder = solved
    assert code == 0
    assert (folder / "solve.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "solve.pdf").read_bytes().startswith(b"%PDF")
    with np.load(folder / "solve.npz", allow_pickle=False) as data:
        assert data["train_loss"].shape == (6,)
        assert data["location"].shape == (2, 7, 3)
        assert data["simulation_test_loss_mean"].shape == (6,)
        edge = data["sigma"] ** 2 * (1 + data["aspect"][:, None] ** 0.5) ** 2
        np.testing.assert_allclose(data["edge"], edge)
        inside = ~data["escaped"]
        where = np.broadcast_to(edge[..., None], inside.shape)[inside]
        assert inside.any()
        np.testing.assert_allclose(data["location"][inside], where)  # by other equations
        assert not any(np.isnan(value).any() for value in data.values())


def test_sidecar_is_strict_json_with_parameters_seed_and_versions(solved):
    record = strict((solved[1] / "solve.json").read_text())
    assert record["parameters"]["num_steps"] == 6 and record["parameters"]["sigma"] == 1.0
    assert record["seed"] == 0 and record["simulation"]["num_seeds"] == 2
    assert {"spectrax", "jax", "numpy", "python"} <= set(record["versions"])
    assert len(record["layers"]) == 2


@pytest.mark.slow
def test_absent_escape_is_null(capsys, tmp_path):
    code, out, err = run(capsys, "solve", *TINY, "--gamma0", "1", "--json", "--out", str(tmp_path))
    assert code == 0 and err == ""
    layers = strict(out)["layers"]
    assert [layer["escape_step"] for layer in layers] == [None, None]
    assert [layer["outliers"] for layer in layers] == [[], []]


@pytest.mark.slow
def test_quiet_prints_nothing_and_default_prints_the_escape(capsys, tmp_path):
    arguments = ["solve", *TINY, "--gamma0", "8", "--out", str(tmp_path)]
    assert run(capsys, *arguments, "--quiet")[1:] == ("", "")
    _, out, _ = run(capsys, *arguments)
    assert "escape step" in out and "W1" in out and str(tmp_path) in out


@pytest.mark.slow
def test_divergent_training_is_a_result(capsys, tmp_path):
    options = [*TINY, "--eta", "1e70", "--gamma0", "8", "--json"]
    code, out, _ = run(capsys, "solve", *options, "--out", str(tmp_path))
    record = strict(out)
    step = record["diverged_at"]
    assert code == 1 and 0 < step < 6
    assert str(step) in record["message"]
    with np.load(tmp_path / "solve.npz") as data:
        assert data["train_loss"].shape == (step,)
        assert all(np.isfinite(data[k]).all() for k in data.files if k != "escape_step")


BAD = {
    "nu": ["--nu", "-1"],
    "alpha": ["--alpha", "0"],
    "eta": ["--eta", "nan"],
    "eta ": ["--eta", "0.1,0.2"],
    "depth": ["--depth", "0"],
    "num-steps": ["--num-steps", "many"],
    "data": ["--data", "tiny_batch"],
    "teacher": ["--num-classes", "2", "--teacher-gram", "[[1]]"],
    "teacher-gram": ["--teacher-gram", "[1, 2]"],
    "parameterization": ["--parameterization", "mu"],
    "momentum": ["--momentum", "nan"],
    "simulate": ["--simulate", "0"],
    "seeds": ["--simulate", "8", "--seeds", "0"],
    "count": ["--count", "0"],
    "nonsense": ["--nonsense"],
    "nosuch": ["--nosuch", "3"],  # whose value could be taken for a command
    "did you mean --gamma0": ["--gama0", "3"],
    "MODEL": ["--eta", "0.1", "0.2"],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(capsys, tmp_path, name):
    code, out, err = run(capsys, "solve", *TINY, "--out", str(tmp_path / "new"), *BAD[name])
    assert code == 2 and out == ""
    assert err.count("\n") == 1 and err.endswith((".\n", "?\n"))
    assert name.strip() in err.replace("_", "-") or name.strip() in err
    assert not (tmp_path / "new").exists()


def test_folder_that_cannot_be_made_is_one_sentence(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "solve", *TINY, "--out", str(tmp_path / "file" / "folder"))
    assert code == 2 and err.count("\n") == 1


def test_unknown_command_is_one_sentence(capsys):
    code, _, err = run(capsys, "dissolve")
    assert code == 2 and err.count("\n") == 1


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "spectrax").mkdir()
    (tmp_path / "spectrax" / "seam.py").touch()
    (tmp_path / "experiments").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_figure_lists_and_runs_experiments(capsys, checkout):
    script = checkout / "experiments" / "circle.py"
    script.write_text(
        "import sys\nfrom _helper import word\nprint(word, *sys.argv[1:], __name__)\n"
    )
    (checkout / "experiments" / "_helper.py").write_text("word = 'round'\n")
    assert run(capsys, "figure")[:2] == (0, "circle\n")
    assert strict(run(capsys, "figure", "--json")[1]) == {"experiments": ["circle"]}
    code, out, err = run(capsys, "figure", "--no-cache", "circle", "--", "--size", "3")
    assert err == ""
    assert code == 0 and out == "round --size 3 __main__\n"


def test_experiments_are_those_around_the_command_or_the_program(monkeypatch, checkout):
    from spectrax.cli import experiments

    inside = checkout / "experiments" / "data"
    inside.mkdir()
    monkeypatch.chdir(inside)
    monkeypatch.setattr(experiments, "__file__", "/none/spectrax/cli/experiments.py")
    assert experiments.find_experiments() == checkout / "experiments"
    monkeypatch.chdir(checkout.parent)
    assert experiments.find_experiments() is None
    program = checkout / "spectrax" / "cli" / "experiments.py"
    monkeypatch.setattr(experiments, "__file__", str(program))
    assert experiments.find_experiments() == checkout / "experiments"


def test_unknown_figure_is_one_sentence(capsys, checkout):
    code, _, err = run(capsys, "figure", "../circle")
    assert code == 2 and err.count("\n") == 1


def test_json_has_no_infinity_and_no_array():
    from spectrax.records import to_json

    value = {"a": np.array([1.0, np.inf]), "b": (math.nan, np.float64(2.0), np.bool_(True))}
    assert strict(to_json(value)) == {"a": [1.0, None], "b": [None, 2.0, True]}


WIDE = ["solve", "wide", "--depth", "2", "--num-steps", "3", "--samples", "2", "--neurons", "128"]


@pytest.mark.slow
def test_wide_networks_are_a_kind_of_solve(capsys, tmp_path):
    command = [*WIDE, "--simulate", "20", "--seeds", "2", "--out", str(tmp_path), "--json"]
    assert main(command) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["command"] == "solve wide" and len(record["layers"]) == 1
    assert "test_loss" not in record and "worst_deviation" in record["simulation"]
    assert (tmp_path / "solve_wide.png").stat().st_size > 0
    with np.load(tmp_path / "solve_wide.npz") as data:
        assert data["train_loss"].shape == (3,) and data["location"].shape == (1, 4, 1)


def test_standard_errors_are_said_to_be_uncertain_themselves():
    from spectrax.cli.report import _caution

    draws = np.random.default_rng(0).normal(size=(20_000, 8))
    spread = draws.std(axis=1, ddof=1).std()
    stated = re.search(r"from 8 networks and are known to (\d+)%", _caution(8))
    assert float(stated[1]) / 100 == pytest.approx(spread, abs=0.01)


def test_wide_networks_take_data_of_a_file(capsys, tmp_path):
    path = tmp_path / "samples.npz"
    rng = np.random.default_rng(0)
    arrays = {"inputs": rng.normal(size=(3, 4)), "targets": rng.normal(size=(3, 2))}
    np.savez(path, **arrays, batches=np.array([[0, 1], [1, 2], [2, 0]]))
    assert main([*WIDE, "--depth", "1", "--data", str(path), "--out", str(tmp_path)]) == 0
    assert "train loss" in capsys.readouterr().out
    np.savez(path, inputs=arrays["inputs"])
    for file, sentence in ((path, "has no array `targets`"), (tmp_path / "none", "annot read")):
        assert main([*WIDE, "--data", str(file), "--out", str(tmp_path)]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_rate_above_the_largest_stable_one_is_said_in_one_sentence(capsys, tmp_path):
    """The linear network with the rate of tanh: its loss rises, and so does nothing by default."""
    command = ["solve", "wide", "--activation", "identity", "--neurons", "512", "--out"]
    warnings = []
    for options in (["--eta", "0.3"], [], ["--eta", "0.3", "--momentum", "0.1"]):
        assert main([*command, str(tmp_path), "--json", *options]) == 0
        warnings.append(json.loads(capsys.readouterr().out)["warning"])
    assert "rises at step 4: the learning rate exceeds 2 over the sharpness" in warnings[0]
    assert warnings[1:] == [None, None]
