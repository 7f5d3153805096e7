"""Files of three formats: read as they are, and broken in every way."""

import io
import pathlib
import pickle
import struct
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax import serialization

from spectrax.checkpoints import CheckpointError, find_snapshots, open_checkpoint
from spectrax.checkpoints.base import reading
from spectrax.checkpoints.opening import number_of
from spectrax.empirical import measure_spectrum

RNG = np.random.default_rng(0)
ARRAYS = {
    "hidden.weight": RNG.normal(size=(48, 40)).astype(np.float32),
    "half.weight": RNG.normal(size=(40, 40)).astype(np.float16),
    "conv.weight": RNG.normal(size=(16, 16, 3, 3)).astype(np.float32),
    "bias": np.ones(40, np.float32),
    "tiny.weight": np.ones((4, 4), np.float32),
    "tokens": np.arange(3),
}
WEIGHTS = ["hidden.weight", "half.weight", "conv.weight"]


def write(path: pathlib.Path, arrays) -> pathlib.Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        safetensors.numpy.save_file({k: np.ascontiguousarray(x) for k, x in arrays.items()}, path)
    return path


def test_types_and_sizes_are_those_of_numpy(tmp_path):
    kinds = ["float16", "float32", "float64", "bool"]
    kinds += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    arrays = {kind: np.ones((30, 41), kind) for kind in kinds}
    found = open_checkpoint(write(tmp_path / "a.safetensors", arrays))
    assert found.dtypes == {kind: kind for kind in kinds}
    assert found.sizes == {kind: array.nbytes for kind, array in arrays.items()}


@pytest.mark.parametrize("length", [160, 161])
def test_reasons_are_cut_to_a_line(tmp_path, length):
    with pytest.raises(CheckpointError) as error, reading(tmp_path):
        raise ValueError("x" * length)
    kept = "x" * (160 if length == 160 else 157)  # and three dots, which end the sentence as one
    assert str(error.value) == f"Cannot read {str(tmp_path)!r}: {kept}."


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_arrays_come_back_as_they_were(tmp_path, suffix):
    arrays = ARRAYS | {"bf": ARRAYS["hidden.weight"].astype(ml_dtypes.bfloat16)}
    checkpoint = open_checkpoint(write(tmp_path / f"a{suffix}", arrays))
    assert checkpoint.shapes == {name: array.shape for name, array in arrays.items()}
    for name, array in arrays.items():
        found = checkpoint.read(name)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
        header = checkpoint.sizes[name] - array.nbytes
        assert 0 <= header <= (200 if suffix == ".npz" else 0)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_weights_are_the_matrices_and_kernels_that_match(tmp_path, suffix):
    checkpoint = open_checkpoint(write(tmp_path / f"a{suffix}", ARRAYS))
    assert sorted(checkpoint.select()) == sorted(WEIGHTS)
    assert checkpoint.select(["h*.weight", "bias"]) and "conv.weight" not in checkpoint.select(
        ["h*"]
    )
    assert "tiny.weight" in checkpoint.select(smallest=4)
    assert checkpoint.select(["*"], smallest=1000) == []


def test_flax_bytes_are_read(tmp_path):
    kernel = RNG.normal(size=(40, 48)).astype(ml_dtypes.bfloat16)
    path = tmp_path / "a.msgpack"
    path.write_bytes(serialization.to_bytes({"params": {"dense": {"kernel": kernel}}, "step": 3}))
    checkpoint = open_checkpoint(path)
    assert checkpoint.select() == ["params/dense/kernel"]
    np.testing.assert_array_equal(checkpoint.read("params/dense/kernel"), kernel)


def sentence(path, name=None) -> str:
    """What is said about a broken file, or about one of its arrays."""
    with pytest.raises(CheckpointError) as error:
        checkpoint = open_checkpoint(path)
        checkpoint.read(name or next(iter([*checkpoint.broken, *checkpoint.shapes])))
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and len(text) < 400
    return text


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(tmp_path):
    trap = Trap(tmp_path / "sprung")
    objects = np.full((40, 40), None)
    objects[0, 0] = trap
    write(tmp_path / "a.npz", {"weight": objects, "fine": np.ones((40, 40))})
    assert "Python objects, which are never loaded" in sentence(tmp_path / "a.npz", "weight")
    assert open_checkpoint(tmp_path / "a.npz").read("fine").shape == (40, 40)
    for suffix in (".npz", ".safetensors", ".msgpack"):
        path = tmp_path / f"pickle{suffix}"
        path.write_bytes(pickle.dumps({"weight": trap}))
        if suffix != ".msgpack":
            assert "Cannot read" in sentence(path)
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w") as archive:
        archive.writestr("weight.npy", pickle.dumps(trap))
    (tmp_path / "b.npz").write_bytes(inside.getvalue())
    sentence(tmp_path / "b.npz")
    assert not (tmp_path / "sprung").exists()


def npy(shape, dtype="<f4", body=b"\0" * 64) -> bytes:
    """An array file whose header claims what it likes."""
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    head = head.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + body


CLAIMS = {
    "more than is there": npy((4000, 4000)),
    "a million dimensions": npy((1,) * 33),
    "an overflow": npy((2**40, 2**40)),
    "a negative size": npy((-3, 40)),
    "code": npy("__import__('os').getpid()"),
    "objects": npy((40, 40), "|O"),
    "no type": npy((2, 2), "zz"),
    "nothing": b"",
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_headers_are_not_believed(tmp_path, claim):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weight.npy", CLAIMS[claim])
    text = sentence(path)
    assert claim != "a negative size" or "claims the shape (-3, 40)" in text


def test_directories_are_not_believed(tmp_path, monkeypatch):
    path = write(tmp_path / "a.npz", {name: np.ones((40, 40)) for name in "abc"})
    monkeypatch.setattr("spectrax.checkpoints.files.MEMBERS", 3)
    assert len(open_checkpoint(path).shapes) == 3
    monkeypatch.setattr("spectrax.checkpoints.files.MEMBERS", 2)
    assert "claims more than 2 arrays" in sentence(path)


@pytest.mark.parametrize("length", [0, 7, 10**6, 2**63])
def test_safetensors_headers_are_not_believed(tmp_path, length):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a":{"dtype":"F32"' + b" " * 50)
    assert "header" in sentence(path)


def test_arrays_larger_than_memory_are_not_read(tmp_path, monkeypatch):
    write(tmp_path / "a.npz", ARRAYS)
    checkpoint = open_checkpoint(tmp_path / "a.npz")
    free = 8 * checkpoint.sizes["hidden.weight"]
    monkeypatch.setattr("spectrax.checkpoints.base.host_memory", lambda: free)
    np.testing.assert_array_equal(checkpoint.read("hidden.weight"), ARRAYS["hidden.weight"])
    monkeypatch.setattr("spectrax.checkpoints.base.host_memory", lambda: free - 8)
    text = sentence(tmp_path / "a.npz", "hidden.weight")
    assert "more than an eighth of the free memory" in text


def test_missing_unknown_and_complex_are_one_sentence(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "c.npz", {"w": np.ones((40, 40), complex)})
    assert "There is no file" in sentence(tmp_path / "none.npz")
    assert "must end in .npz, .safetensors, .msgpack" in sentence(tmp_path / "a.h5")
    assert "is no Orbax checkpoint" in sentence(tmp_path / "empty")
    assert "not real numbers" in sentence(tmp_path / "c.npz")


def mutated(rng, original: bytes) -> bytes:
    """Truncated, with wrong bytes, with a wrong length in front, or with a piece doubled."""
    data, kind = bytearray(original), rng.integers(5)
    if kind == 0:
        data = data[: rng.integers(len(data))]
    elif kind == 1:
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    elif kind == 2:  # in the header or the directory, where it hurts most
        for _ in range(rng.integers(1, 8)):
            data[int(rng.choice([rng.integers(300), -rng.integers(1, 400)]))] = rng.integers(256)
    elif kind == 3:
        data[:8] = rng.bytes(8)
    else:
        a, b = np.sort(rng.integers(len(data), size=2))
        data = data[:b] + data[a:]
    return bytes(data)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".msgpack"])
def test_two_hundred_mutations_are_sentences_or_arrays(tmp_path, suffix):
    """No crash, no hang, no other exception, in the reader and in what measures."""
    rng = np.random.default_rng(1)
    small = {"w": ARRAYS["half.weight"], "x": ARRAYS["hidden.weight"][:10]}
    path = tmp_path / f"a{suffix}"
    if suffix == ".msgpack":
        path.write_bytes(serialization.to_bytes(small))
    else:
        write(path, small)
    original, refused, read = path.read_bytes(), 0, 0
    for _ in range(200):
        path.write_bytes(mutated(rng, original))
        for name in "wx":
            try:
                checkpoint = open_checkpoint(path)
                if name in checkpoint.select(smallest=8) or name in checkpoint.broken:
                    found = measure_spectrum(checkpoint.read(name))
                    read += np.isfinite(found.sigma)
            except CheckpointError as error:
                refused += 1
                assert "\n" not in str(error) and str(error).endswith(".")
            except ValueError as error:
                assert str(error).startswith("Argument `array` must")
    print(f"{suffix}: {refused} times refused, {read} arrays read")
    assert refused > 40 and read > 5


def test_snapshots_of_a_folder_come_by_number(tmp_path):
    for step in (100, 20, 3):
        (tmp_path / "run" / f"step_{step}").mkdir(parents=True)
    found = find_snapshots([tmp_path / "run", "b.npz"])
    assert [path.name for path in found] == ["step_3", "step_20", "step_100", "b.npz"]


def test_the_number_of_a_snapshot_is_the_last_one_of_its_name():
    names = (
        "vit-b16_step-200.npz",
        "run3/checkpoint-40",
        "a.safetensors",
        "v2.5_step_7.npz",
        "run.9",
    )
    found = [number_of(pathlib.Path(name)) for name in names]
    np.testing.assert_array_equal(found, [200, 40, np.nan, 7, 9])


@pytest.mark.parametrize(
    ("suffix", "module"),
    [(".safetensors", "safetensors"), (".msgpack", "flax.serialization"), ("", "orbax.checkpoint")],
)
def test_missing_libraries_are_one_sentence_that_names_the_extra(
    tmp_path, monkeypatch, suffix, module
):
    path = tmp_path / f"a{suffix}"
    if suffix:
        path.write_bytes(b"x")
    else:
        path.mkdir()
        (path / "_METADATA").touch()
    monkeypatch.setitem(sys.modules, module, None)
    assert "needs" in sentence(path) and "spectrax-dmft[checkpoints]" in sentence(path)
