"""The text of Python itself, and the encoding that is trained on it."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from models.data import documentation, python_documentation
from models.data.documentation import END, docstrings, documents, train_tokenizer

SAMPLE = 40  # documents; all of them take seconds


@pytest.fixture(scope="module")
def texts():
    pydoc = pytest.importorskip("pydoc_data.topics")
    return tuple(text for _, text in sorted(pydoc.topics.items()))[:SAMPLE]


@pytest.fixture
def sample(texts, monkeypatch):
    monkeypatch.setattr(documentation, "documents", lambda: texts)


def test_docstrings_are_read_in_the_order_of_the_source(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        '"""First."""\nimport nothing_of_this_runs\nclass A:\n    """Second.\n\n    Indented.\n'
        '    """\n    def f(self):\n        """Third."""\n        def g(): "Fourth: é"\n'
        'async def h():\n    """Fifth."""\n    x = "no docstring"\ndef k(): pass\n',
        "utf-8",
    )
    expected = "First.\n\nSecond.\n\nIndented.\n\nThird.\n\nFourth: é\n\nFifth."
    assert docstrings(path) == expected
    path.write_text("x = 1\n")
    assert docstrings(path) == ""


@pytest.mark.parametrize("vocabulary", [257, 400, 3000])
def test_vocabulary_is_the_one_asked_for(sample, vocabulary):
    data = python_documentation(length=16, vocabulary=vocabulary)
    assert data.vocabulary == vocabulary and data.length == 16
    assert data.tokens.max() < vocabulary
    merged = np.unique(data.tokens[data.tokens > 256])
    assert len(merged) >= 0.8 * (vocabulary - 257)  # the rest is part of longer ones


def test_text_comes_back_from_its_tokens(texts, sample):
    tokenizer = train_tokenizer(texts, 600)
    data = python_documentation(length=16, vocabulary=600)
    ends = np.flatnonzero(data.tokens == tokenizer.token_to_id(END))
    parts = np.split(data.tokens, ends + 1)
    assert len(parts) == len(texts) + 1 and len(parts[-1]) == 0
    decoded = [tokenizer.decode(part[:-1].tolist()) for part in parts[:-1]]
    assert sorted(decoded) == sorted(texts) and decoded != list(texts)


def test_end_inside_a_text_is_text(texts):
    tokenizer = train_tokenizer(texts, 300)
    ids = tokenizer.encode(f"a {END} b").ids
    assert tokenizer.token_to_id(END) not in ids and tokenizer.decode(ids) == f"a {END} b"


def test_training_gives_the_same_encoding_again(texts):
    assert train_tokenizer(texts, 900).to_str() == train_tokenizer(list(texts), 900).to_str()


def test_seed_changes_the_order_alone(sample):
    first, second = (python_documentation(length=8, vocabulary=300, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(first.tokens, second.tokens)
    assert not np.array_equal(first.batch(0, 20)[0], second.batch(0, 20)[0])
    np.testing.assert_array_equal(first.evaluation(20)[0], second.evaluation(20)[0])


def test_vocabulary_out_of_reach_is_refused(sample):
    with pytest.raises(ValueError, match="Argument `vocabulary` must be an integer of at least"):
        python_documentation(vocabulary=256)
    with pytest.raises(ValueError, match=r"must be at most \d+ for this text, got 100000\."):
        python_documentation(vocabulary=100_000)


def test_python_without_its_documentation_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(FileNotFoundError, match=r"'pydoc_data.topics' .*docs\.python\.org"):
        documents.__wrapped__()


def test_python_without_its_source_is_one_sentence(monkeypatch, tmp_path):
    pytest.importorskip("pydoc_data.topics")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"sources of the standard library .*python\.org"):
        documents.__wrapped__()


def test_library_is_read_without_its_tests(monkeypatch, tmp_path):
    pydoc = pytest.importorskip("pydoc_data.topics")
    for name in ("json/__init__", "json/test/a", "ast", "site-packages/b", "sitecustomize"):
        path = tmp_path / "test" / f"{name}.py"  # that the library lies in such a folder is fine
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""{name}"""')
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "test"))
    assert documents.__wrapped__()[len(pydoc.topics) :] == ("ast", "json/__init__")


def test_without_the_library_the_extra_is_named(monkeypatch, texts):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"spectrax-dmft\[models\]"):
        train_tokenizer(texts, 300)


PROGRAM = """
import hashlib, models.data
data = models.data.python_documentation(vocabulary=8192)
print(len(data.tokens), hashlib.sha256(data.tokens.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_all_of_it_is_megabytes_and_the_same_in_every_process(pytestconfig):
    pytest.importorskip("pydoc_data.topics")
    assert sum(map(len, documents())) > 1_500_000
    data = python_documentation(vocabulary=8192)
    assert 300_000 < len(data.tokens) < sum(map(len, documents())) / 3
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=pytestconfig.rootpath,
        env={"PYTHONHASHSEED": "1", "RAYON_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    digest = hashlib.sha256(data.tokens.tobytes()).hexdigest()
    assert found.stdout.split() == [str(len(data.tokens)), digest]
