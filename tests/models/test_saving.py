"""Files that are whole or not there."""

import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from models import saving
from spectrax.checkpoints import CheckpointError, open_checkpoint


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npz"
    saving.write_arrays(path, {"x": np.arange(3)})
    with pytest.raises(KeyboardInterrupt), saving.replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    np.testing.assert_array_equal(open_checkpoint(path).read("x"), np.arange(3))
    assert [x.name for x in tmp_path.iterdir()] == ["a.npz"]


def test_content_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    """Of a power failure nothing is left but an order of calls that can be looked at."""
    path, calls = tmp_path / "a.npz", []

    def noted(name, function):
        def call(*args):
            calls.append((name, path.exists()))
            return function(*args)

        monkeypatch.setattr(os, name, call)

    noted("fsync", os.fsync), noted("replace", os.replace)
    with saving.replacing(path) as file:
        file.write(b"whole")
    assert calls[:2] == [("fsync", False), ("replace", False)] and path.read_bytes() == b"whole"


def test_a_state_of_another_type_is_refused(tmp_path):
    saving.write_state(tmp_path, 3, {"a": np.zeros(2, np.float32), "grows": np.zeros(0)})
    for like in ({"a": jnp.zeros(2), "grows": np.zeros(0)}, {"a": jnp.zeros(2, jnp.int32)}):
        with pytest.raises(CheckpointError, match=r"shape \(2,\), type float32"):
            saving.read_state(tmp_path, {"grows": np.zeros(0)} | like)
    single = {"a": jnp.zeros(2, jnp.float32), "grows": np.zeros(0, np.float32)}
    with pytest.raises(CheckpointError, match=r"shape \(0,\), type float64"):
        saving.read_state(tmp_path, single)


def test_states_come_back_as_they_were(tmp_path):
    """Types and shapes included; the last two are kept."""
    tree = {
        "half": jnp.arange(4.0, dtype=jnp.bfloat16),
        "state": (jnp.zeros((), jnp.int32), [jnp.ones((2, 3), jnp.float32)]),
        "grows": np.zeros(0),
    }
    assert saving.read_state(tmp_path, tree) is None
    for step in (3, 20, 100):
        saving.write_state(tmp_path, step, tree | {"grows": np.arange(float(step))})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["state_00000020.msgpack", "state_00000100.msgpack"]
    found = saving.read_state(tmp_path, tree)
    np.testing.assert_array_equal(found["grows"], np.arange(100.0))
    np.testing.assert_array_equal(found["half"], np.asarray(tree["half"]))
    assert found["half"].dtype == jnp.bfloat16 and found["state"][0].shape == ()
    other = tree | {"half": jnp.zeros(5, jnp.bfloat16)}
    with pytest.raises(CheckpointError, match=r"shape \(4,\).*; delete the states in"):
        saving.read_state(tmp_path, other)


def test_checksums_see_every_bit():
    tree = {"a": np.zeros(3), "b": np.zeros((2, 2), np.int32)}
    changed = {"a": np.array([0.0, 0.0, 5e-324]), "b": tree["b"]}
    assert saving.checksum(tree) == saving.checksum({k: x.copy() for k, x in tree.items()})
    assert saving.checksum(tree) != saving.checksum(changed)


def test_another_version_of_jax_may_compile_another_step(tmp_path):
    """Checksums count only where they were made with the same; the settings always."""
    record = {"training": {"a": 1}, "checksums": {"step": "x"}, "made_with": {"jax": "1"}}
    saving.claim(tmp_path / "new", record)
    saving.claim(tmp_path / "new", record | {"checksums": {"step": "y"}, "made_with": {"jax": "2"}})
    with pytest.raises(ValueError, match="step differs"):
        saving.claim(tmp_path / "new", record | {"checksums": {"step": "y"}})
    with pytest.raises(ValueError, match="a is 1 there and 2 here"):
        saving.claim(tmp_path / "new", record | {"training": {"a": 2}, "made_with": {"jax": "2"}})
    assert json.loads((tmp_path / "new" / saving.SIDECAR).read_text()) == record
    (tmp_path / "new" / saving.SIDECAR).write_text("{")
    with pytest.raises(CheckpointError, match="Cannot read"):
        saving.claim(tmp_path / "new", record)


def test_a_damaged_state_is_left_for_the_one_before(tmp_path):
    """And is gone when the next one is written, which would be older."""
    like = {"x": np.zeros(0)}
    for step in (1, 2, 3):
        saving.write_state(tmp_path, step, {"x": np.arange(float(step))})
    last = tmp_path / "state_00000003.msgpack"
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"^Cannot read .*00003.*; continued from step 2\.$"):
        found = saving.read_state(tmp_path, like)
    assert len(found["x"]) == 2 and last.exists()
    saving.write_state(tmp_path, 2, {"x": np.arange(2.0)})
    assert not last.exists()
    (tmp_path / "state_00000002.msgpack").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"00002.*; delete the states in .* to start again"):
        saving.read_state(tmp_path, like)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, jnp.bfloat16])
def test_sketches_see_other_arrays_and_not_other_roundings(kind):
    rng = np.random.default_rng(0)
    x = {"a": np.asarray(9 * rng.normal(size=(40, 30)), kind), "b": np.zeros(3, kind)}
    y = {"a": np.asarray(9 * rng.normal(size=(40, 30)), kind), "b": np.zeros(3, kind)}
    rounded = {k: np.asarray(v, np.float64) * (1 + 1e-6) for k, v in x.items()}
    swapped = {"a": x["a"][::-1], "b": x["b"]}  # of the same norm
    alike = [saving._alike(saving.sketch(x), saving.sketch(z)) for z in (x, rounded, y, swapped)]
    assert alike == [True, True, False, False]
    assert not saving._alike(saving.sketch(x), saving.sketch({"a": x["a"]}))
    assert saving._alike(None, saving.sketch(x))


def test_another_version_of_jax_compares_what_does_not_depend_on_it(tmp_path):
    """Initialization and first batch, to a thousandth; exactly where the version is the same."""
    x = np.random.default_rng(0).normal(size=50)
    record = {"training": {"a": 1}, "checksums": {"batch": 1}, "made_with": {"jax": "1"}}
    record["sketches"] = {"batch": saving.sketch(x)}
    later = record | {"checksums": {"batch": 2}, "made_with": {"jax": "2"}}
    assert saving.claim(tmp_path, record) and saving.claim(tmp_path, record)
    close = later | {"sketches": {"batch": saving.sketch(x * (1 + 1e-5))}}
    assert saving.claim(tmp_path, close) is False
    with pytest.raises(ValueError, match="batch differs"):
        saving.claim(tmp_path, later | {"sketches": {"batch": saving.sketch(x[::-1])}})
