"""`spectrax spectrum`: tables, files, sentences, exit codes."""

import csv
import json
import math

import numpy as np
import pytest

from spectrax.cli import main


def strict(text):
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON.")

    return json.loads(text, parse_constant=refuse)


def run(capsys, *arguments):
    code = main(["spectrum", *map(str, arguments), "--no-cache"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """Three snapshots: a layer that learns a direction, a kernel that stays noise, a bias."""
    folder, rng = tmp_path_factory.mktemp("snapshots"), np.random.default_rng(0)
    noise, kernel = rng.normal(size=(120, 80)), rng.normal(size=(3, 3, 16, 16))
    spike = np.outer(rng.normal(size=120), rng.normal(size=80)) / np.sqrt(120)
    paths = []
    for step in (0, 50, 200):
        paths.append(folder / f"step_{step}.npz")
        weights = {"a/b.weight": noise + step / 50 * spike, "conv/kernel": kernel}
        np.savez(paths[-1], **weights, bias=np.zeros(80))
    return paths


def test_series_gets_tables_figures_and_data(capsys, tmp_path, snapshots):
    code, out, err = run(capsys, *snapshots, "--out", tmp_path)
    assert code == 0 and err == ""
    for word in ("layer", "shape", "aspect", "edge", "outliers", "KS", "regime", "escape step"):
        assert word in out.splitlines()[0]
    assert "120 × 80" in out and "48 × 48" in out and "never" in out and "bulk + outliers" in out
    record = strict((tmp_path / "spectrum.json").read_text())
    first, second = record["layers"]
    assert record["steps"] == [0, 50, 200] and second["escape_step"] is None
    assert 0 < first["escape_step"] < 200 and len(first["snapshots"]) == 3
    assert first["snapshots"][2]["outliers"] == len(first["snapshots"][2]["location"]) == 1
    with open(tmp_path / "spectrum.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (
        len(rows) == 6
        and rows[2]["regime"] == "bulk + outliers"
        and rows[2]["layer"] == "a/b.weight"
    )
    assert float(rows[2]["location"]) == pytest.approx(first["snapshots"][2]["location"][0])
    assert {str(p) for p in tmp_path.iterdir()} == set(record["written"])
    assert (tmp_path / "spectrum_a_b_weight.png").read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "spectrum_a_b_weight.npz", allow_pickle=False) as data:
        assert data["location"].shape == (3, 8) and data["eigenvalues"].shape == (80,)
        assert not any(np.isnan(value).any() for value in data.values())


def test_patterns_and_sizes_select(capsys, tmp_path, snapshots):
    options = ["--json", "--no-figures", "--out", tmp_path]
    code, out, _ = run(capsys, snapshots[2], "--pattern", "*kernel", *options)
    assert code == 0 and [x["name"] for x in strict(out)["layers"]] == ["conv/kernel"]
    assert not list(tmp_path.glob("*.png"))
    code, out, _ = run(capsys, snapshots[2], "--min-size", 60, *options)
    assert [x["name"] for x in strict(out)["layers"]] == ["a/b.weight"]
    code, out, err = run(capsys, snapshots[2], "--pattern", "nothing*", *options)
    assert code == 2 and "no weights to measure" in err and err.count("\n") == 1


def test_layout_follows_the_name_or_the_option(capsys, tmp_path, snapshots):
    np.savez(tmp_path / "a.npz", kernel=np.random.default_rng(0).normal(size=(50, 100)))
    for layout, shape in (("auto", [100, 50]), ("in_out", [100, 50]), ("out_in", [50, 100])):
        options = ["--layout", layout, "--json", "--no-figures", "--out", tmp_path]
        found = strict(run(capsys, tmp_path / "a.npz", *options)[1])["layers"][0]["snapshots"][0]
        assert [found["rows"], found["cols"]] == shape


def test_broken_files_cost_a_sentence_and_the_others_are_done(capsys, tmp_path, snapshots):
    rng = np.random.default_rng(0)
    (tmp_path / "cut.npz").write_bytes(snapshots[0].read_bytes()[:1000])
    (tmp_path / "hostile.safetensors").write_bytes(b"\xff" * 64)
    bad = {"nan": np.full((40, 40), np.nan), "zero": np.zeros((40, 40)), "empty": np.zeros((0, 50))}
    objects = np.full((40, 40), None)
    np.savez(tmp_path / "bad.npz", **bad, objects=objects, fine=rng.normal(size=(40, 40)))
    np.savez(tmp_path / "flat.npz", bias=np.zeros(50))
    names = ["cut.npz", "bad.npz", "hostile.safetensors", "missing.npz", "flat.npz"]
    paths = [tmp_path / name for name in names]
    code, out, err = run(capsys, *paths, snapshots[0], "--json", "--out", tmp_path / "out")
    assert code == 1
    record = strict(out)
    assert {x["name"] for x in record["layers"]} == {"fine", "a/b.weight", "conv/kernel"}
    assert err.count("\n") == len(record["problems"]) == 6
    for line in err.splitlines():
        assert line.startswith("spectrax: ") and line.endswith(".")
    for word in ("cut.npz", "hostile", "There is no file", "NaN", "zero everywhere", "objects"):
        assert word in err


def test_names_of_layers_cannot_leave_the_folder(capsys, tmp_path):
    W = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    from safetensors.numpy import save_file

    save_file({"../../up": W, "up": W, "/": W, "é\n": W}, tmp_path / "a.safetensors")
    code, _, _ = run(capsys, tmp_path / "a.safetensors", "--quiet", "--out", tmp_path / "x" / "y")
    assert code == 0
    assert len(list((tmp_path / "x" / "y").glob("*.png"))) == 4
    assert {p.name for p in tmp_path.iterdir()} == {"a.safetensors", "x"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--rate", "0"], "`rate` must be at least 1e-09"),
        (["--steps", "1"], "--steps must be 3 increasing numbers"),
        (["--steps", "3,2,1"], "--steps must be 3 increasing numbers"),
        (["--min-size", "2"], "integer of at least 8"),
        (["--method", "svd"], "--method"),
        (["--layout", "hwio"], "--layout"),
    ],
)
def test_bad_options_are_one_sentence(capsys, tmp_path, snapshots, options, sentence):
    code, out, err = run(capsys, *snapshots, *options, "--out", tmp_path)
    assert code == 2 and out == "" and sentence in err and err.count("\n") == 1


def test_figures_of_every_regime_draw(snapshots):
    from spectrax.cli import figures
    from spectrax.empirical import measure_series, measure_spectrum

    rng = np.random.default_rng(1)
    noise = rng.normal(size=(100, 60))
    uneven = noise * np.exp(rng.normal(size=100))[:, None]
    spiked = noise + 1e3 * np.outer(np.ones(100), np.ones(60))
    for array in (noise, uneven, spiked):
        series = measure_series([noise, array])
        figure = figures.draw_layer("layer", series)
        assert len(figure.axes) == 2
        low, high = figure.axes[1].get_xlim()
        top = series.spectra[1].top / series.spectra[1].sigma ** 2
        assert low < 0.1 and top < high and math.isfinite(high)
    alone = measure_series([noise])
    assert len(figures.draw_layer("layer", alone).axes) == 1
    lanczos = measure_series([rng.normal(size=(400, 300))], method="lanczos")
    (ax,) = figures.draw_layer("layer", lanczos).axes
    area = sum(patch.get_height() * patch.get_width() for patch in ax.patches)
    assert area == pytest.approx(1.0, rel=0.05) or ax.patches[0].get_xy().shape[0] > 10
    assert measure_spectrum(noise).regime == "bulk"
