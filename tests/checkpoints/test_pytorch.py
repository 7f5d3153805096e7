"""What becomes of what PyTorch gives, without PyTorch: a stand-in with the parts that are used."""

import sys
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from spectrax.checkpoints import open_checkpoint

MATRIX = np.random.default_rng(0).normal(size=(40, 48)).astype(np.float32)


class Tensor:
    """An array with the names of PyTorch; types that NumPy has not are seen as integers only."""

    layout = "strided"

    def __init__(self, array):
        self.array, self.shape, self.ndim = array, array.shape, array.ndim
        self.dtype = f"torch.{array.dtype.name}"

    def numel(self):
        return self.array.size

    def element_size(self):
        return self.array.itemsize

    def detach(self):
        return self

    contiguous = detach

    def view(self, kind):
        return Tensor(self.array.view(kind))

    def numpy(self):
        assert self.array.dtype.kind in "fiu"
        return self.array


@pytest.fixture
def opened(tmp_path, monkeypatch):
    def opened(tree):
        torch = SimpleNamespace(
            Tensor=Tensor,
            strided="strided",
            uint8=np.uint8,
            int16=np.int16,
            load=lambda path, **options: tree,
        )
        monkeypatch.setitem(sys.modules, "torch", torch)
        (tmp_path / "a.pt").write_bytes(b"")
        return open_checkpoint(tmp_path / "a.pt")

    return opened


def test_tensors_of_every_kind_come_back(opened):
    kinds = ("float32", "float64", "bfloat16", "float8_e5m2")
    arrays = {kind: MATRIX.astype(np.dtype(getattr(ml_dtypes, kind, kind))) for kind in kinds}
    tree = {kind: {"w": Tensor(array)} for kind, array in arrays.items()}
    found = opened(tree | {"step": 3, "n": Tensor(np.float32(1)), "list": [Tensor(MATRIX[:33])]})
    assert found.path.name == "a.pt"
    assert found.shapes == {f"{kind}/w": (40, 48) for kind in kinds} | {"list/0": (33, 48)}
    assert {found.dtypes[f"{kind}/w"] for kind in kinds} == set(kinds)
    for kind, array in arrays.items():
        assert found.sizes[f"{kind}/w"] == array.nbytes
        read = found.read(f"{kind}/w")
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read.astype(np.float64), array.astype(np.float64))
