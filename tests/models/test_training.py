"""The loop: what a step is, how it ends, and how it is continued."""

import io
import json
import os
import pathlib
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from resumable_training import NUM_STEPS, Stream, run

import spectrax as sx
from models import saving
from models import step as compiled
from models.loss import squared_error
from models.mlp import MLP, wide_mlp
from models.training import train
from spectrax.checkpoints import CheckpointError
from spectrax.cli import main

ROOT = pathlib.Path(__file__).parents[2]
DESCENT = optax.sgd(0.1)  # one for all: a new one would be compiled again


def network(seed=0, dtype=jnp.float32, width=16):
    return MLP(2, width, inputs=5, outputs=2, multiplier=1.0, key=jax.random.key(seed), dtype=dtype)


def short(model, transformation=None, data=None, loss=squared_error, **options):
    options = {"num_steps": 6, "batch_size": 12} | options
    return train(model, transformation or DESCENT, data or Stream(), loss, **options)


def weights(model):
    return [np.asarray(x) for x in jax.tree.leaves(nnx.state(model, nnx.Param))]


def same(first, second):
    return all((x == y).all() for x, y in zip(first, second, strict=True))


# --- a step


def test_accumulated_gradients_are_those_of_the_whole_batch():
    found = []
    for accumulate in (1, 4):
        model = network(dtype=jnp.float64)
        record = short(model, optax.adam(0.01), accumulate=accumulate)
        found.append([record.losses, *weights(model)])
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


def test_a_step_is_the_optimizers():
    """Against Optax and Flax used plainly."""
    model, plain, transformation = network(), network(), optax.adamw(optax.linear_schedule(0, 1, 9))
    record = short(model, transformation, batch_size=13)  # as a whole: it has no halves
    optimizer = nnx.Optimizer(plain, transformation, wrt=nnx.Param)

    @nnx.jit
    def one(plain, optimizer, x, y):
        loss, gradient = nnx.value_and_grad(squared_error)(plain, x, y)
        optimizer.update(plain, gradient)
        return loss

    for step in range(6):
        loss = one(plain, optimizer, *Stream().batch(step, 13))
        np.testing.assert_allclose(record.losses[step], loss, rtol=1e-5)
    for x, y in zip(weights(model), weights(plain), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
        assert x.dtype == np.float32


def test_networks_of_one_shape_compile_once():
    """Also where an optimizer mixes in double precision, and for data in double precision."""

    class Doubles(Stream):
        def batch(self, step, size):
            return tuple(x.astype(np.float64) for x in super().batch(step, size))

    momentum = jnp.asarray(0.5, jnp.float64)
    transformation, before = optax.sgd(0.1, momentum=momentum), compiled.update._cache_size()
    for seed in range(3):
        short(network(seed), transformation, Doubles())
    for seed in range(3):
        width = wide_mlp(2, 20, inputs=5, outputs=2, eta=0.1, gamma0=1.0, key=jax.random.key(seed))
        short(*width)
    assert compiled.update._cache_size() == before + 2


def test_integers_and_trees_are_data():
    class Tokens:
        def batch(self, step, size):
            x = np.random.default_rng(step).integers(0, 9, (size, 4))
            return {"tokens": x}, x[:, 0].astype(np.uint8)

    class Table(nnx.Module):
        def __init__(self):
            self.table = nnx.Param(jnp.zeros((9, 9), jnp.float32))

        def __call__(self, x):
            assert x["tokens"].dtype == jnp.int32
            return self.table[...][x["tokens"][:, 0]]

    def loss(model, x, y):
        assert y.dtype == jnp.uint8
        return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

    record = short(Table(), optax.sgd(5.0), Tokens(), loss, num_steps=40, accumulate=2)
    assert record.losses[0] == pytest.approx(np.log(9)) and record.losses[-1] < 0.5


def test_evaluation_is_the_mean_over_held_out_samples():
    model = network(dtype=jnp.float64)
    options = {"evaluate_every": 4, "evaluation_size": 30, "accumulate": 3}
    record = short(model, **options)
    assert record.evaluation_steps.tolist() == [0, 4, 6]
    expected = squared_error(model, *map(jnp.asarray, Stream().evaluation(30)))
    np.testing.assert_allclose(record.evaluation_losses[-1], expected, rtol=1e-12)


# --- the end


def test_a_divergence_ends_the_training_and_keeps_what_was(tmp_path):
    model, options, steep = network(), {"num_steps": 40, "snapshots": (1, 30)}, optax.sgd(30.0)
    record = short(model, steep, folder=tmp_path, **options)
    at = record.diverged_at
    assert 1 < at < 39 and len(record.losses) == at + 1 and np.isfinite(record.losses[:-1]).all()
    assert all(np.isfinite(x).all() for x in weights(model))
    assert record.snapshots == (0, 1, at) and record.message.endswith(f"diverged at step {at}.")
    assert (record.weights(at)["W/1"] == model.W[1][...]).all()
    sidecar = json.loads((tmp_path / "training.json").read_text())
    assert sidecar["result"] == {"steps": at, "diverged_at": at}
    model = network()
    again = short(model, steep, folder=tmp_path, **options)
    assert again.diverged_at == at and same(weights(model), list(record.weights(at).values()))


def test_an_infinite_loss_is_a_divergence_at_its_step():
    class Broken(Stream):
        def batch(self, step, size):
            x, y = super().batch(step, size)
            return x, np.where(step == 3, np.nan, y)

    model, stopped = network(), network()
    record = short(model, data=Broken())
    assert record.diverged_at == 3 and np.isnan(record.losses[3])
    short(stopped, num_steps=3)
    assert same(weights(model), weights(stopped))


def test_a_loss_beyond_every_measure_is_a_divergence():
    """In double precision long before it overflows; so is its negative."""

    class Steep(Stream):
        def batch(self, step, size):
            x, y = super().batch(step, size)
            return x.astype(float), y.astype(float)

    def loss(model, x, y):
        value = squared_error(model, x, y)
        return jnp.where(value < 1e30, value, sign * value**4)

    for sign in (1.0, -1.0):
        model = network(dtype=jnp.float64)
        record = short(model, optax.sgd(1e6), Steep(), loss, num_steps=30)
        at = record.diverged_at
        assert 1e100 < sign * record.losses[at] < np.inf
        assert np.abs(record.losses[:at]).max() <= 1e100
        assert all(np.isfinite(x).all() for x in weights(model))


class Screen(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def test_a_bar_is_shown_where_somebody_watches(monkeypatch):
    for terminal, progress in ((True, True), (True, False), (False, True)):
        monkeypatch.setattr(sys, "stderr", Screen(terminal))
        short(network(), data=Stream(pause=0.15), num_steps=3, progress=progress)
        shown = sys.stderr.getvalue()
        assert ("0/3" in shown and "loss" in shown) if terminal and progress else not shown


# --- files


def test_snapshots_are_a_series_of_checkpoints(tmp_path, capsys):
    """The command line reads them, with their steps."""
    steps = (1, 3, 12, 40)
    model, record = run(tmp_path, snapshots=steps, save_every=None)
    assert record.snapshots == (0, *steps)
    files = sorted(tmp_path.glob("step_*.npz"))
    assert [path.name for path in files][-1] == "step_00000040.npz"
    checkpoint = sx.open_checkpoint(files[-1])
    assert checkpoint.select() == ["W/1"] and set(checkpoint.shapes) == {"W/0", "W/1", "w"}
    np.testing.assert_array_equal(checkpoint.read("W/1"), model.W[1][...])
    np.testing.assert_array_equal(record.weights(0)["W/1"], network(width=32).W[1][...])
    out = tmp_path / "out"
    options = ["--json", "--no-figures", "--out", str(out)]
    assert main(["spectrum", *map(str, files), *options]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["layers"]
    assert [snapshot["step"] for snapshot in layer["snapshots"]] == [0, *steps]


def test_the_folder_says_what_was_done(tmp_path):
    _, record = run(tmp_path, parameters={"eta": 0.1, "note": np.float32(2)})
    with np.load(tmp_path / "losses.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["losses"], record.losses)
        assert file["samples_seen"][-1] == 12 * (NUM_STEPS - 1)
        assert file["evaluation_steps"].tolist() == [0, 7, 14, 21, 28, 35, 40]
    sidecar = json.loads((tmp_path / "training.json").read_text())
    assert sidecar["training"]["parameters"] == {"eta": 0.1, "note": 2.0}
    assert sidecar["training"]["arrays"]["W/0"] == "float32 [32, 5]"
    assert sidecar["result"] == {"steps": NUM_STEPS, "diverged_at": None}
    assert {"jax", "flax", "optax", "spectrax"} <= set(sidecar["versions"])
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == 2 + len(record.snapshots) + 2  # and two states, no temporary files


def test_memory_and_files_hold_the_same(tmp_path):
    _, files = run(tmp_path)
    _, memory = run(None, save_every=None)
    assert files.snapshots == memory.snapshots
    for step in files.snapshots:
        first, second = files.weights(step), memory.weights(step)
        assert list(first) == list(second) and same(first.values(), second.values())
    with pytest.raises(ValueError, match=r"`step` must be one of \(0, 1, .*\), got 2"):
        memory.weights(2)


# --- continued


def killed(folder, *arguments):
    """A training in a process of its own, which does not live to its end."""
    command = [sys.executable, str(ROOT / "tests" / "resumable_training.py"), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*command, *arguments], env=environment, cwd=ROOT)


def equal_runs(first, second):
    """Weights, losses, evaluations and all snapshots."""
    (model, record), (other, theirs) = first, second
    assert same(weights(model), weights(other))
    for name in ("losses", "evaluation_steps", "evaluation_losses"):
        np.testing.assert_array_equal(getattr(record, name), getattr(theirs, name))
    assert record.snapshots == theirs.snapshots
    for step in record.snapshots:
        assert same(record.weights(step).values(), theirs.weights(step).values())


@pytest.mark.slow
def test_resumed_training_gives_the_same_weights(tmp_path):
    """Killed at any step: Adam, schedule and accumulation continue bit by bit."""
    step = int(np.random.default_rng(0).integers(5, NUM_STEPS))
    process = killed(tmp_path / "killed", str(step))
    whole = run(tmp_path / "whole")
    assert process.wait(300) == -9, step
    state = max((tmp_path / "killed").glob("state_*.msgpack"))
    assert 0 < int(state.stem[6:]) < step
    equal_runs(run(tmp_path / "killed"), whole)


@pytest.mark.slow
def test_training_killed_at_any_moment_gives_the_same_weights(tmp_path):
    """Again and again until it is through, also while it writes."""
    rng, kills, done = np.random.default_rng(1), 0, 0

    def newest():
        return max((int(path.stem[6:]) for path in tmp_path.glob("state_*.msgpack")), default=0)

    while done < NUM_STEPS:
        process = killed(tmp_path)
        while process.poll() is None and newest() <= done:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        kills += process.wait(60) == -9
        assert newest() > done
        done = newest()
    print("kills", kills)
    assert kills > 1
    equal_runs(run(tmp_path, save_every=1), run(None, save_every=None))


def test_a_training_stopped_before_its_last_snapshot_takes_it_when_it_continues(
    tmp_path, monkeypatch
):
    """The state of the last step comes last: where it is, everything is."""
    place = saving.snapshot_path

    def stopped(folder, step):
        if step == 6:
            raise KeyboardInterrupt
        return place(folder, step)

    options = {"folder": tmp_path, "save_every": 3}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(saving, "snapshot_path", stopped)
        short(network(), **options)
    model = network()
    record = short(model, **options)
    assert same(weights(model), list(record.weights(6).values()))
    assert json.loads((tmp_path / "training.json").read_text())["result"]["steps"] == 6


def test_a_second_training_in_one_folder_is_refused(tmp_path):
    """While the first is at work, which is not disturbed; not afterwards."""

    class Curious(Stream):
        def batch(self, step, size):
            if step == 3:
                with pytest.raises(ValueError, match="`folder` must not be in use, but process"):
                    short(network(), folder=tmp_path)
                seen.append(step)
            return super().batch(step, size)

    seen, model, alone = [], network(), network()
    short(model, data=Curious(), folder=tmp_path, save_every=1)
    short(alone)
    assert seen == [3] and same(weights(model), weights(alone))
    short(network(), folder=tmp_path)


def test_a_finished_training_is_not_repeated(tmp_path):
    first = run(tmp_path)
    second = run(tmp_path, kill_at=1)  # which nobody asks for
    equal_runs(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 24}, "batch_size is 12 there and 24 here"),
        ({"accumulate": 1}, "accumulate is 3 there and 1 here"),
        ({"parameters": {"eta": 2}}, "parameters.eta is None there and 2 here"),
        ({"rate": 1e-3}, r"compiled step \(model, loss, optimizer\) differs"),
        ({"seed": 1}, "initialization differs"),
    ],
)
def test_another_training_is_refused(tmp_path_factory, options, message):
    folder = tmp_path_factory.getbasetemp() / "refusing"
    run(folder)  # finished after the first time
    with pytest.raises(ValueError, match=f"`folder` must be that of the same training.*{message}"):
        run(folder, **options)


def test_other_data_and_other_networks_are_refused(tmp_path):
    class Other(Stream):
        def batch(self, step, size):
            return super().batch(step + 1, size)

    short(network(), folder=tmp_path)
    with pytest.raises(ValueError, match="first batch differs"):
        short(network(), data=Other(), folder=tmp_path)
    with pytest.raises(ValueError, match=r"arrays.W/0 is float32 \[16, 5\] there and float32 \[8"):
        short(network(width=8), folder=tmp_path)


def test_a_damaged_state_is_one_sentence_and_the_one_before_continues(tmp_path):
    """To the same bits, without help; if that one is damaged too, nothing is touched."""
    whole = run(tmp_path)
    before, last = sorted(tmp_path.glob("state_*.msgpack"))
    content, older = last.read_bytes(), before.read_bytes()
    flipped = bytearray(content)
    flipped[content.index(b"W") + 400] ^= 1
    for damaged in (content[:100], content[:-1], b"", b"\xc1", bytes(flipped)):
        last.write_bytes(damaged)
        with pytest.warns(
            UserWarning, match=r"state_00000040.*; continued from step 39\.$"
        ) as said:
            equal_runs(run(tmp_path), whole)
        assert len(said) == 1 and "\n" not in str(said[0].message)
        assert last.read_bytes() == content and before.read_bytes() == older
    for path in (last, before):
        path.write_bytes(content[:100])
    with pytest.raises(CheckpointError, match="state_00000040.*delete the states in") as error:
        run(tmp_path)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)
    assert before.read_bytes() == last.read_bytes() == content[:100]


def made_elsewhere(folder, **changes):
    """As if another version of JAX had begun this training."""
    path = folder / "training.json"
    record = json.loads(path.read_text()) | changes
    record["made_with"] = {"jax": "0.0", "backend": "abacus"}
    record["checksums"] = dict.fromkeys(record["checksums"], "of another compiler")
    path.write_text(json.dumps(record))


def test_another_version_of_jax_continues_the_same_training_only(tmp_path):
    """Data, initialization and loss are compared, and it is said that the optimizer is not."""

    class Other(Stream):
        def batch(self, step, size):
            return super().batch(step + 1, size)

    def other_loss(model, x, y):
        return 2 * squared_error(model, x, y)

    short(network(), folder=tmp_path)
    made_elsewhere(tmp_path)
    with pytest.warns(UserWarning, match="another version of JAX.*optimizer is not compared"):
        short(network(), folder=tmp_path)
    for model, options, message in (
        (network(), {"data": Other()}, "first batch differs"),
        (network(1), {}, "initialization differs"),
    ):
        with pytest.raises(ValueError, match=message):
            short(model, folder=tmp_path, **options)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="the first loss is"):
        short(network(), loss=other_loss, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "`num_steps` must be an integer of at least 1, got 0"),
        ({"accumulate": 5}, "`accumulate` must divide batch_size = 12, got 5"),
        ({"snapshots": (7,)}, "`snapshots` must be an integer from 0 to 6, got 7"),
        ({"save_every": 2}, "`save_every` needs a folder, got 2 without one"),
        ({"evaluate_every": 0}, "`evaluate_every` must be an integer of at least 1, got 0"),
        ({"evaluation_size": 0}, "`evaluation_size` must be an integer of at least 1, got 0"),
    ],
)
def test_bad_requests(options, message):
    with pytest.raises(ValueError, match=message):
        short(network(), **options)


def test_batches_of_another_size_and_changing_models_are_refused():
    class Few(Stream):
        def batch(self, step, size):
            return super().batch(step, size - 1)

    with pytest.raises(ValueError, match=r"`data` must give 12 samples, got .* shape \(11, 5\)"):
        short(network(), data=Few())
    model = network()
    model.norm = nnx.BatchNorm(5, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="`model` must hold nothing that changes .*'norm/mean'"):
        short(model)


def test_the_callers_arrays_are_left_alone():
    model = network()
    start = model.W[0][...]
    short(model)
    assert np.isfinite(start).all() and (start != model.W[0][...]).any()
