"""µP keeps the size of every update whatever the width, CompleteP whatever the depth."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from models import coordinate_check as command
from models.cnn import CNN
from models.coordinates import Coordinates, coordinate_check, layer_outputs, slope
from models.gpt import GPT
from models.layers import linear
from models.loss import cross_entropy, token_cross_entropy
from models.optimizer import optimizer
from models.scaling import Scaling

TOLERANCE = 0.1
KEY = jax.random.key(2)


def assert_within(coordinates, names=None):
    """No slope beyond the tolerance, two standard errors included."""
    for name, value in (coordinates.slopes | coordinates.weight_slopes).items():
        if names is None or name in names:
            error = coordinates.stderr[name]
            print(f"{name} {value:+.3f} ± {error:.3f}")
            assert abs(value) + 2 * error <= TOLERANCE, name


def show(coordinates):
    name, value = coordinates.worst
    print(f"largest slope {value:+.3f} ± {coordinates.stderr[name]:.3f} ({name})")


CHECKS = [("cnn", (32, 96, 256), 96), ("gpt", (64, 256), 32)]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "widths", "seeds"), CHECKS, ids=["cnn", "gpt"])
def test_updates_do_not_depend_on_width_in_mup(model, widths, seeds):
    found = command.check(model, "mup", widths=widths, num_seeds=seeds)
    assert len(found.slopes) >= 8 and len(found.weight_slopes) >= 6
    assert_within(found)
    assert command.judge(found) == "holds"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn", "gpt"])
def test_updates_depend_on_width_in_standard_parameterization(model):
    found = command.check(model, "standard", widths=(32, 256), num_seeds=1)
    show(found)
    assert max(abs(value) for value in found.slopes.values()) >= 0.3


@pytest.mark.nightly
def test_updates_of_a_resnet_do_not_depend_on_width_in_mup():
    found = command.check("resnet", "mup")
    assert len(found.slopes) > 50
    assert_within(found)
    standard = command.check("resnet", "standard", widths=(16, 128), num_seeds=1)
    assert max(abs(value) for value in standard.slopes.values()) >= 0.3


def along_depth(model, parameterization, depths, seeds):
    """Coordinate check in depth. The base is one block: what random branches add to the stream goes
    as 1/depth, and would be seen if branches counted fully in the shallowest network.
    """
    options = {"parameterization": parameterization, "base_width": 64}

    def build(depth, rngs):
        if model == "cnn":
            return CNN(64, depth, base_blocks=1, stride=2, rngs=rngs, **options)
        others = {"vocab_size": 64, "base_head_size": 16, "embedding_std": 1.0}
        others |= {"base_layers": 1, "readout_sigma": 0.0}
        return GPT(64, 4, depth, rngs=rngs, **options, **others)

    def transformation(built):
        name, rate = ("sgd", 0.03) if model == "cnn" else ("adam", 0.01)
        return optimizer(built, built.scaling, name=name, learning_rate=rate, num_steps=4)

    case = {"cnn": ("cnn", 2, cross_entropy), "gpt": ("gpt", 1, token_cross_entropy)}[model]
    inputs, targets = command.data(*case[:2], jax.random.key(3))
    return coordinate_check(
        build,
        depths,
        transformation=transformation,
        loss=case[2],
        inputs=inputs,
        targets=targets,
        num_seeds=seeds,
        key=jax.random.key(5),
    )


@pytest.mark.slow
def test_updates_of_branches_do_not_depend_on_depth_in_completep():
    """The first branch sits at the same fraction of the depth, zero; so do both ends."""
    layers = ("input", "blocks.0.conv1", "blocks.0.conv2", "readout")
    found = along_depth("cnn", "mup", (2, 8), 96)
    assert_within(found, layers)
    for name, value in found.weight_slopes.items():
        assert abs(value) <= TOLERANCE, name
    standard = along_depth("cnn", "standard", (2, 8), 1)
    assert max(abs(standard.slopes[name]) for name in layers) >= 0.3


@pytest.mark.nightly
def test_updates_of_a_gpt_do_not_depend_on_depth_in_completep():
    found = along_depth("gpt", "mup", (2, 4, 8), 32)
    assert_within(found, ("embedding", "blocks.0.attention", "blocks.0.mlp", "norm", "readout"))


def test_slope_of_a_power_law():
    widths = np.array([16, 64, 256])
    values = widths[:, None] ** 0.7 * np.ones((1, 5))
    assert slope(widths, values) == (pytest.approx(0.7), pytest.approx(0.0))
    noise = np.random.default_rng(0).lognormal(0.0, 0.2, size=(200, 3, 8))
    found = np.array([slope(widths, values[:, :1] * sample) for sample in noise])
    assert found[:, 0].std() == pytest.approx(found[:, 1].mean(), rel=0.2)
    assert np.isnan(slope(widths, values[:, :1])[1])


@pytest.mark.parametrize(
    ("slope_of", "scatter", "expected"),
    [(0.0, 0.02, "holds"), (0.3, 0.02, "FAILS"), (0.1, 0.2, "cannot be judged (more seeds?)")],
)
def test_verdicts_have_three_values(slope_of, scatter, expected):
    widths = (32, 64, 128, 256)
    noise = np.random.default_rng(1).normal(1.0, scatter, (4, 8))
    values = np.array(widths)[:, None] ** slope_of * noise
    flat = np.ones((4, 8)) + 1e-9 * noise
    found = Coordinates(widths, {"first": flat, "last": values}, {"kernel": flat})
    assert command.judge(found) == expected
    weights = Coordinates(widths, {"first": flat}, {"kernel": values})
    assert command.judge(weights) == expected


def test_outputs_of_all_layers_are_seen():
    model = CNN(8, 1, rngs=nnx.Rngs(0))
    images = jnp.ones((2, 8, 8, 3), jnp.float32)
    found = layer_outputs(model, images)
    layers = {"input", "blocks.0", "blocks.0.conv1", "blocks.0.conv2", "readout"}
    assert found.keys() == layers
    np.testing.assert_array_equal(found["readout"], model(images))
    assert found["blocks.0"].shape == (2, 8, 8, 8)


class Matrix(nnx.Module):
    """One layer, in a network because outputs are those of what is inside."""

    def __init__(self, role, width, rngs):
        self.layer = linear(3, width, role, Scaling(), rngs=rngs)
        self.width = width

    def __call__(self, x):
        return self.layer(x)


@pytest.mark.parametrize(("seeds", "role"), [(1, "input"), (2, "hidden")])
def test_changes_under_a_linear_loss_are_those_of_the_formula(seeds, role):
    """Steps along one gradient whatever the weights: ΔW = −T · rate · xᵀy, ΔWx of that size."""
    x, y = np.array([[1.0, 2.0, 3.0]], np.float32), np.array([0.7], np.float32)
    found = coordinate_check(
        functools.partial(Matrix, role),
        (2, 4),
        transformation=lambda built: optax.sgd(0.1 * built.width**0.5),
        loss=lambda model, x, y: jnp.sum(model(x) * y[:, None]),
        inputs=x,
        targets=y,
        num_steps=3,
        num_seeds=seeds,
        key=jax.random.key(0),
    )
    rate = 3 * 0.1 * 0.7 * np.sqrt([2, 4])[:, None] * np.ones((2, seeds))
    np.testing.assert_allclose(found.outputs["layer"], rate * 14, rtol=1e-5)
    norm = np.array([[6], [12]]) if role == "hidden" else 1  # of Frobenius; else root mean square
    size = rate * np.sqrt(14 / 3 * norm)
    np.testing.assert_allclose(found.weights["layer.kernel"], size, rtol=1e-5)
    slopes = found.slopes["layer"], found.weight_slopes["layer.kernel"]
    assert slopes == pytest.approx((0.5, 1.0 if role == "hidden" else 0.5), rel=1e-4)


def test_without_a_network_nothing_is_compared():
    with pytest.raises(ValueError, match="Argument `num_seeds` must be an integer .* got 0."):
        command.check("cnn", "mup", widths=(16, 32), num_seeds=0)


@pytest.mark.parametrize("model", command.CASES)
def test_data_fit_the_networks_of_the_command(model):
    """Every class is among the targets."""
    case = command.CASES[model]
    base, widest = case.widths[0], case.widths[-1]
    for width, key in ((base, "standard"), (widest, "mup")):

        def outputs(width=width, key=key):
            network = command.network(model, base, key, width, nnx.Rngs(0))
            scaling = network.scaling
            assert (scaling.parameterization, scaling.width) == (key, width / base)
            assert scaling.depth == 1
            inputs, targets = command.data(model, case.num_samples, KEY)
            return network(inputs), targets

        logits, targets = nnx.eval_shape(outputs)
        assert logits.shape[:-1] == targets.shape and len(targets) == case.num_samples
    real = command.data(model, 50, KEY)[1]
    assert real.min() == 0 and real.max() == logits.shape[-1] - 1


def invented(slopes, spread=0.1):
    """Power laws with some scatter between two seeds."""
    widths, seeds = (8, 16, 32), 2
    scatter = np.linspace(1 - spread, 1 + spread, seeds)
    laws = {name: np.array(widths)[:, None] ** value * scatter for name, value in slopes.items()}
    return Coordinates(widths, laws, {"readout.kernel": np.ones((3, seeds))})


FOUND = {
    "mup": invented({"blocks.0": -0.05, "readout": 0.02, "input": 0.01}),
    "standard": invented({"blocks.0": 0.5, "readout": 1.1, "input": 0.0}),
}


def test_verdict_names_the_largest_slope():
    error = FOUND["mup"].stderr["blocks.0"]
    assert 0.05 < error < 0.15
    assert command.verdict(FOUND) == (
        f"µP cannot be judged (more seeds?): largest slope -0.050 ± {error:.3f} (blocks.0), "
        f"tolerance 0.1; standard parameterization: +1.100 (readout)."
    )
    twice = 2 * invented({"input": 0.0}, spread=0.02).stderr["input"]
    limits = {-twice - 0.001: "holds", -twice + 0.001: "cannot", twice - 0.001: "cannot"}
    for beyond, word in (limits | {twice + 0.001: "FAILS"}).items():
        for sign in (-1, 1):
            found = invented({"input": sign * (0.1 + beyond)}, spread=0.02)
            assert command.verdict(FOUND | {"mup": found}).startswith(f"µP {word}")


def test_table_and_figure_show_every_layer_from_input_to_readout():
    names = ["input", "blocks.0", "readout"]
    rows = command.table(FOUND)
    assert [row["layer"] for row in rows] == names
    for key, found in FOUND.items():
        assert [row[key] for row in rows] == [found.slopes[name] for name in names]
        assert [row[f"{key}_stderr"] for row in rows] == [found.stderr[name] for name in names]
    *curves, last = command.draw(FOUND).axes
    for ax, found in zip(curves, FOUND.values(), strict=True):
        lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
        for line, name in zip(lines, names, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), found.widths)
            expected = (np.array(found.widths) / 8) ** found.slopes[name]
            np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)
    for bars, (key, label) in zip(last.containers, command.PARAMETERIZATIONS.items(), strict=True):
        assert bars.get_label() == label
        assert list(bars[0].get_xdata()) == [row[key] for row in rows]
        assert list(bars[0].get_ydata()) == [0, 1, 2]
    assert [text.get_text() for text in last.get_yticklabels()] == names
    assert last.yaxis_inverted()


def test_a_single_width_is_one_sentence():
    with pytest.raises(ValueError, match="Argument `widths` must hold at least two, got 1."):
        command.check("cnn", "mup", widths=(16,))


def test_numbers_of_the_command_line_reach_the_check(tmp_path, monkeypatch):
    def check(*names, **options):
        raise InterruptedError(names, options)

    monkeypatch.setattr(command, "check", check)
    numbers = "--widths 8 16 --steps 3 --seeds 2 --seed 5".split()
    with pytest.raises(InterruptedError) as reached:
        command.main(["--model", "cnn", "--out", str(tmp_path), *numbers])
    options = {"widths": (8, 16), "num_steps": 3, "num_seeds": 2, "seed": 5}
    assert reached.value.args == (("cnn", "mup"), options)


@pytest.mark.slow
def test_command_writes_table_figure_and_verdict(tmp_path, capsys):
    command.main(["--model", "cnn", "--out", str(tmp_path), "--widths", "8", "16", "--seeds", "2"])
    printed = capsys.readouterr().out
    assert "µP " in printed and "tolerance 0.1" in printed and "readout" in printed
    name = "coordinate_check_cnn"
    assert all((tmp_path / f"{name}.{ending}").stat().st_size > 0 for ending in ("png", "pdf"))
    record = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
    with np.load(tmp_path / f"{name}.npz") as arrays:
        values = arrays["mup/outputs/readout"]
    assert values.shape == (2, 2)
    row = next(row for row in record["slopes"] if row["layer"] == "readout")
    assert row["mup"] == pytest.approx(slope((8, 16), values)[0])
