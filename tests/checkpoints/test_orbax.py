"""Folders that Orbax wrote."""

import json
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest

from spectrax.checkpoints import CheckpointError, find_snapshots, open_checkpoint

KERNEL = np.random.default_rng(0).normal(size=(40, 48)).astype(np.float32)
TREE = {"params": {"dense": {"kernel": KERNEL, "bias": np.ones(48)}}, "list": [np.eye(40)], "n": 3}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("orbax") / "tree"
    ocp.PyTreeCheckpointer().save(path, TREE)
    return path


def test_leaves_come_back_one_at_a_time(saved):
    checkpoint = open_checkpoint(saved)
    assert set(checkpoint.select()) == {"params/dense/kernel", "list/0"}
    assert checkpoint.select(["*kernel"]) == ["params/dense/kernel"]
    found = checkpoint.read("params/dense/kernel")
    assert type(found) is np.ndarray and found.dtype == np.float32
    np.testing.assert_array_equal(found, KERNEL)


def test_leaves_are_as_their_index_says(saved):
    checkpoint = open_checkpoint(saved)
    checkpoint.shapes["params/dense/kernel"] = (48, 40)  # as if the index were wrong
    with pytest.raises(CheckpointError, match="is not as its index says"):
        checkpoint.read("params/dense/kernel")
    assert checkpoint.read("list/0").shape == (40, 40)


def test_types_of_accelerators_survive(tmp_path):
    import jax.numpy as jnp

    ocp.PyTreeCheckpointer().save(tmp_path / "a", {"kernel": jnp.asarray(KERNEL, jnp.bfloat16)})
    found = open_checkpoint(tmp_path / "a").read("kernel")
    np.testing.assert_array_equal(found, KERNEL.astype(found.dtype))
    assert found.dtype.name == "bfloat16"


def test_a_chunk_larger_than_its_array_is_weighed(tmp_path):
    """It would be allocated as a whole."""
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)  # descriptions in files of their own
    ocp.Checkpointer(handler).save(tmp_path / "a", {"kernel": KERNEL})
    assert open_checkpoint(tmp_path / "a").sizes == {"kernel": 40 * 48 * 4}
    place = tmp_path / "a" / "kernel" / ".zarray"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"chunks": [400, 96]}))
    assert open_checkpoint(tmp_path / "a").sizes == {"kernel": 400 * 96 * 4}


def test_folder_of_a_manager_is_a_series(tmp_path):
    with ocp.CheckpointManager(tmp_path / "run") as manager:
        for step in (0, 5, 10):
            manager.save(step, args=ocp.args.StandardSave({"kernel": KERNEL * (step + 1)}))
        manager.wait_until_finished()
    paths = find_snapshots([tmp_path / "run"])
    assert [path.name for path in paths] == ["0", "5", "10"]
    for path, factor in zip(paths, (1, 6, 11), strict=True):
        np.testing.assert_allclose(open_checkpoint(path).read("kernel"), KERNEL * factor)


@pytest.mark.slow
def test_mutations_are_sentences_or_arrays(saved, tmp_path):
    """Any file of the folder truncated, overwritten or gone; 40 times."""
    rng, refused = np.random.default_rng(2), 0
    for trial in range(40):
        path = tmp_path / str(trial)
        shutil.copytree(saved, path)
        files = sorted(x for x in path.rglob("*") if x.is_file())
        victim = files[rng.integers(len(files))]
        data = bytearray(victim.read_bytes())
        kind = rng.integers(3)
        if kind == 0:
            data = data[: rng.integers(max(len(data), 1))]
        elif kind == 1:
            for _ in range(5):
                data[rng.integers(len(data))] = rng.integers(256)
        if kind == 2:
            victim.unlink()
        else:
            victim.write_bytes(bytes(data))
        try:
            checkpoint = open_checkpoint(path)
            for name in checkpoint.select():
                checkpoint.read(name)
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 5
