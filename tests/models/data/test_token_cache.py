"""A file of tokens appears when it is complete, and is then used again."""

import pathlib
import pickle

import numpy as np
import pytest

from models.data.token_cache import cached

KEY = {"files": [("a", 1, 2)], "end": "."}


def pieces(*sizes):
    """Consecutive numbers in pieces."""
    stops = np.cumsum(sizes)
    return [np.arange(b - n, b) for n, b in zip(sizes, stops, strict=True)]


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
@pytest.mark.parametrize("sizes", [(1,), (3, 0, 5), (60_000, 1)])
def test_pieces_become_one_memory_mapped_array(tmp_path, kind, sizes):
    tokens = cached(tmp_path / "new" / "folder", KEY, kind, lambda: pieces(*sizes))
    assert isinstance(tokens, np.memmap) and tokens.dtype == kind
    np.testing.assert_array_equal(tokens, np.arange(sum(sizes)))
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_one_key_is_produced_once_and_another_anew(tmp_path):
    calls = []

    def produce():
        calls.append(None)
        return pieces(4 + len(calls))

    for key, calls_by_now in ((KEY, 1), (dict(KEY), 1), (KEY | {"end": "!"}, 2), (KEY, 2)):
        tokens = cached(tmp_path, key, np.uint16, produce)
        assert len(calls) == calls_by_now
        assert len(tokens) == (6 if key["end"] == "!" else 5)
    assert len(list(tmp_path.iterdir())) == 2


def test_interrupted_work_leaves_nothing_behind(tmp_path):
    def produce():
        yield np.arange(1000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, KEY, np.uint16, produce)
    assert list(tmp_path.iterdir()) == []
    assert len(cached(tmp_path, KEY, np.uint16, lambda: pieces(3))) == 3


def test_two_writers_do_not_meet(tmp_path):
    """The second one finishes while the first is at work."""

    def produce():
        yield np.arange(2)
        assert len(cached(tmp_path, KEY, np.uint16, lambda: pieces(5))) == 5
        yield np.arange(2, 5)

    np.testing.assert_array_equal(cached(tmp_path, KEY, np.uint16, produce), np.arange(5))
    assert len(list(tmp_path.iterdir())) == 1


def objects(path):
    np.save(path, np.array([{}, 1], object), allow_pickle=True)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_nothing_is_ever_unpickled(tmp_path):
    cached(tmp_path, KEY, np.uint16, lambda: pieces(5))
    (path,) = tmp_path.iterdir()
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(ValueError, match="Cannot read"):
        cached(tmp_path, KEY, np.uint16, lambda: pieces(5))
    assert not (tmp_path / "sprung").exists()


DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "empty": lambda path: path.write_bytes(b""),
    "objects": objects,
    "another type": lambda path: np.save(path, np.ones(5)),
    "another shape": lambda path: np.save(path, np.ones((5, 1), np.uint16)),
    "no array": lambda path: path.write_bytes(b"text" * 99),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file_is_named(tmp_path, damage):
    cached(tmp_path, KEY, np.uint16, lambda: pieces(500))
    (path,) = tmp_path.iterdir()
    DAMAGE[damage](path)
    with pytest.raises(ValueError) as error:
        cached(tmp_path, KEY, np.uint16, lambda: pieces(500))
    text = str(error.value)
    assert text.startswith(f"Cannot read {str(path)!r}: ") and text.endswith(".")
    assert "\n" not in text
