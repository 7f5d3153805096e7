"""`spectrax spectrum` on what people have: nothing vanishes, nothing is claimed without reason."""

import csv
import json

import numpy as np
import pytest
from empirical.helpers import spiked
from test_cli_spectrum import run, strict

RNG = np.random.default_rng(0)


def layers(out) -> dict:
    return {layer["name"]: layer for layer in strict(out)["layers"]}


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def noise(*shape):
    return RNG.normal(size=shape)


def test_every_array_that_is_not_measured_is_listed_with_its_reason(capsys, tmp_path):
    arrays = {"w": noise(64, 48), "conv1d": noise(64, 64, 5), "line": noise(64, 64, 7, 1)}
    left_out = {
        "bias": noise(48),
        "depthwise": noise(64, 1, 3, 3),
        "experts": noise(3, 90, 80),
        "codes": np.ones((64, 64), np.int8),
    }
    path = saved(tmp_path / "a.npz", **arrays, **left_out)
    options = ["--no-figures", "--out", tmp_path / "out"]
    code, out, _ = run(capsys, path, "--json", *options)
    record = strict(out)
    assert code == 0 and set(layers(out)) == set(arrays)
    assert {x["name"]: x["shape"] for x in record["not_measured"]} == {
        name: list(array.shape) for name, array in left_out.items()
    }
    assert all(x["reason"] and x["file"] == str(path) for x in record["not_measured"])
    _, out, _ = run(capsys, path, *options)
    for name in left_out:
        assert any(name in line for line in out.splitlines() if line.startswith("not measured"))
    assert "not measured, 3 axes, no kernel: stacked matrices, see --split (1): experts" in out
    assert "not measured, matrix smaller than 32 (1): depthwise" in out
    code, _, err = run(capsys, path, "--min-size", 1000, *options)
    assert code == 2 and "matrix smaller than 1000" in err and err.count("\n") == 1


def test_kernels_are_unfolded_as_asked(capsys, tmp_path):
    path = saved(tmp_path / "a.npz", patches=noise(96, 3, 8, 8))
    for unfolding, shape in (("auto", (96, 192)), ("flat", (96, 192))):
        options = ["--unfold", unfolding, "--json", "--no-figures", "--out", tmp_path / "out"]
        row = layers(run(capsys, path, *options)[1])["patches"]["snapshots"][0]
        assert (row["rows"], row["cols"]) == shape


def test_a_single_file_has_no_escape(capsys, tmp_path):
    path = saved(tmp_path / "a.npz", w=spiked(RNG, 80, 80, [20.0]))
    _, out, _ = run(capsys, path, "--json", "--no-figures", "--out", tmp_path / "out")
    found = layers(out)["w"]
    assert found["escape_step"] is found["escape_bracket"] is None
    assert found["snapshots"][0]["outliers"] == 1
    _, out, _ = run(capsys, path, "--no-figures", "--out", tmp_path / "out")
    assert "escape" not in out


def test_escape_is_printed_as_the_snapshots_around_it(capsys, tmp_path):
    W, spike = noise(80, 80), spiked(RNG, 80, 80, [1.0], sigma=0.0)
    sizes = {"late": (0, 0, 5), "early": (5, 5, 5), "never": (0, 0, 0)}
    paths = [
        saved(tmp_path / f"step_{t}.npz", **{k: W + x[i] * spike for k, x in sizes.items()})
        for i, t in enumerate((0, 100, 500))
    ]
    _, out, _ = run(capsys, *paths, "--no-figures", "--out", tmp_path / "out")
    rows = {line.split()[0]: line for line in out.splitlines()[1:4]}
    assert rows["late"].endswith("100 … 500") and rows["early"].endswith("before 0")
    assert rows["never"].endswith("never up to 500")
    sentence = "late: Noise with 1 direction that noise does not have. Of these the first snapshot"
    assert f"{sentence} has none." in out
    assert "Of these the first snapshot has all." in out
    record = strict((tmp_path / "out" / "spectrum.json").read_text())
    assert [x["escape_bracket"] for x in record["layers"]] == [[100, 500], [None, 0], [500, None]]


def test_files_of_different_networks_are_no_series(capsys, tmp_path):
    W = noise(60, 50)
    first = {"same": W, "reshaped": noise(60, 50), "other": noise(60, 50), "gone": noise(60, 50)}
    second = {"same": W + 0.1, "reshaped": noise(60, 40), "other": noise(60, 50)}
    paths = [saved(tmp_path / "a.npz", **first), saved(tmp_path / "b.npz", **second)]
    code, out, err = run(capsys, *paths, "--json", "--no-figures", "--out", tmp_path / "out")
    found = layers(out)
    assert code == 1 and err.count("\n") == 3
    assert "not snapshots of one network: 1 of 4 layers" in err and "'gone' not in" in err
    assert "'reshaped': these files must be snapshots of one array, got shapes" in err
    assert "'other': these files must be snapshots of one array, got two without" in err
    assert found["same"]["escape_bracket"] == [1, None]
    for name in ("reshaped", "other", "gone"):
        assert found[name]["escape_bracket"] is None
    assert len(found["other"]["snapshots"]) == 2  # measured all the same


def test_what_a_law_that_does_not_hold_would_say_is_hidden(capsys, tmp_path):
    uneven = noise(200, 200) * np.exp(RNG.normal(size=200))[:, None]
    path = saved(tmp_path / "a.npz", uneven=uneven, plain=noise(60, 60))
    code, out, _ = run(capsys, path, "--no-figures", "--out", tmp_path / "out")
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("uneven "))
    assert "±" not in row and row.count("–") == 4 and "restructured bulk" in row
    assert "uneven: No noise of one variance: about" in out
    record = strict((tmp_path / "out" / "spectrum.json").read_text())
    found = {x["name"]: x["snapshots"][0] for x in record["layers"]}
    for key in ("sigma", "sigma_stderr", "edge", "outliers", "location", "strength"):
        assert found["uneven"][key] is None and found["plain"][key] is not None
    assert found["uneven"]["effective_rank"] < 150 and found["uneven"]["tail_exponent"] < 4
    assert found["uneven"]["equalised"].startswith("Noise: nothing")
    with open(tmp_path / "out" / "spectrum.csv", newline="") as file:
        rows = {row["layer"]: row for row in csv.DictReader(file)}
    assert rows["uneven"]["sigma"] == "" and float(rows["plain"]["sigma"]) > 0


def test_rejected_outliers_are_counted_apart_and_controls_can_be_switched_off(capsys, tmp_path):
    path = saved(tmp_path / "a.npz", biased=noise(100, 100) + 0.5)
    options = ["--json", "--no-figures", "--out", tmp_path / "out"]
    row = layers(run(capsys, path, *options)[1])["biased"]["snapshots"][0]
    assert (row["outliers"], row["rejected"], row["regime"]) == (0, 1, "bulk")
    assert row["reasons"] == ["mean of rows or columns"] and row["controls"] == "made"
    row = layers(run(capsys, path, "--no-controls", *options)[1])["biased"]["snapshots"][0]
    assert (row["outliers"], row["rejected"], row["controls"]) == (1, 0, "switched off")


def test_fused_arrays_and_stacks_are_taken_apart_on_request(capsys, tmp_path):
    qkv = np.concatenate([noise(48, 48), 3 * noise(48, 48), spiked(RNG, 48, 48, [40.0])])
    arrays = {"a.in_proj_weight": qkv, "experts": noise(2, 90, 80), "dense": noise(50, 50)}
    path = saved(tmp_path / "a.npz", **arrays)
    options = ["--json", "--no-figures", "--out", tmp_path / "out"]
    _, out, _ = run(capsys, path, *options)
    assert set(layers(out)) == {"a.in_proj_weight", "dense"}
    _, out, _ = run(capsys, path, "--split", *options)
    found = layers(out)
    parts = [f"a.in_proj_weight[{part}]" for part in "qkv"]
    assert list(found) == [*parts, "experts[0]", "experts[1]", "dense"]
    sigmas = [found[name]["snapshots"][0]["sigma"] for name in parts]
    assert sigmas == pytest.approx([1.0, 3.0, 1.0], rel=0.1)
    assert [found[name]["snapshots"][0]["outliers"] for name in parts] == [0, 0, 1]


def test_stacks_of_small_matrices_are_one_entry(capsys, tmp_path):
    path = saved(tmp_path / "a.npz", basis=noise(258, 1, 256), w=noise(40, 40))
    _, out, _ = run(capsys, path, "--split", "--no-figures", "--json", "--out", tmp_path / "out")
    (entry,) = strict(out)["not_measured"]
    assert entry["name"] == "basis" and entry["reason"] == "matrix smaller than 32, 1 × 256"


def test_what_cannot_be_taken_apart_is_measured_whole_and_says_why(capsys, tmp_path):
    heads = [np.concatenate([noise(10, 40), 3 * noise(10, 40), noise(10, 40)]) for _ in range(4)]
    path = saved(tmp_path / "a.npz", **{"h.query_key_value.weight": np.concatenate(heads)})
    options = ["--split", "--no-figures", "--out", tmp_path / "out"]
    code, out, _ = run(capsys, path, *options)
    assert code == 0 and out.splitlines()[1].startswith("h.query_key_value.weight  120 × 40")
    assert "measured whole, alternating heads of unknown number, see --heads (1): h.query" in out
    _, out, _ = run(capsys, path, *options, "--heads", 4, "--json")
    assert strict(out)["not_split"] == []
    found = layers(out)
    assert list(found) == [f"h.query_key_value.weight[{part}]" for part in "qkv"]
    sigmas = [x["snapshots"][0]["sigma"] for x in found.values()]
    assert sigmas == pytest.approx([1.0, 3.0, 1.0], rel=0.1)


def test_attention_of_flax_is_measured_as_matrices(capsys, tmp_path):
    left, right = noise(48), noise(40)
    planted = (noise(48, 40) + 0.5 * np.outer(left, right)).reshape(48, 4, 10)
    scope = "layer/self_attention"
    arrays = {f"{scope}/query/kernel": planted, f"{scope}/out/kernel": noise(4, 10, 56)}
    path = saved(tmp_path / "a.npz", **arrays)
    _, out, _ = run(capsys, path, "--json", "--no-figures", "--out", tmp_path / "out")
    query, out_ = (x["snapshots"][0] for x in layers(out).values())
    assert (query["rows"], query["cols"]) == (40, 48) and query["outliers"] == 1
    assert (out_["rows"], out_["cols"]) == (56, 40) and out_["outliers"] == 0


def test_folders_of_hugging_face_are_checkpoints(capsys, tmp_path):
    from safetensors.numpy import save_file

    for step in (10, 20):
        folder = tmp_path / "run" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        array = np.random.default_rng(1).normal(size=(40, 40)).astype(np.float32)
        save_file({"b.weight": array}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({}))
    code, out, err = run(
        capsys, tmp_path / "run", "--json", "--no-figures", "--out", tmp_path / "out"
    )
    assert code == 0, err
    assert strict(out)["steps"] == [10, 20] and layers(out)["b.weight"]["escape_bracket"]
