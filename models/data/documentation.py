"""English text that every Python brings along: its own documentation."""

import ast
import functools
import pathlib
import sys
import sysconfig
from collections.abc import Sequence

import numpy as np

from models.data.files import EXTRA
from models.data.tokens import Tokens, held_out_tokens, token_type
from spectrax import check

END = "<|endoftext|>"
SMALLEST = 257  # all bytes and the end of a document
TESTS = {"test", "tests", "idle_test"}  # their docstrings are data for tests, not text


def python_documentation(
    *, length: int = 256, vocabulary: int = 4096, held_out: float = 0.1, seed: int = 0
) -> Tokens:
    """Tokens of the language reference (`pydoc_data.topics`) and of the library's docstrings.

    A byte-level byte-pair encoding is trained on all of this text, so that the vocabulary can have
    any size. The documents (a topic, or a module) are shuffled once, in the same way for every
    seed, and an end-of-document token follows each of them. The text is that of the running
    Python: other versions of Python give slightly different data.

    Args:
        length: tokens in a window.
        vocabulary: number of different tokens, at least 257.
        held_out: fraction of the tokens that is held out, at the end.
        seed: of the order of the windows.

    Returns:
        `Tokens`.

    Raises:
        ValueError: if the text has too few different words for the vocabulary, or too few tokens
            for the length.
        FileNotFoundError: if this Python comes without its documentation or its source.
        ImportError: if the `tokenizers` library is missing.
    """
    check.integer("vocabulary", vocabulary, SMALLEST)
    texts = documents()
    tokenizer = train_tokenizer(texts, vocabulary)
    end = tokenizer.token_to_id(END)
    kind = token_type(vocabulary)
    order = np.random.default_rng(0).permutation(len(texts))
    encoded = tokenizer.encode_batch_fast([texts[i] for i in order])
    tokens = np.concatenate([np.array([*document.ids, end], kind) for document in encoded])
    count = held_out_tokens(held_out, len(tokens))
    return Tokens("python documentation", tokens, vocabulary, length, count, seed)


def train_tokenizer(texts: Sequence[str], vocabulary: int):
    """Byte-level byte-pair encoding with exactly `vocabulary` tokens, the same in every process.

    Args:
        texts: what to train on.
        vocabulary: all 256 bytes, the end of a document, and the merged pairs.

    Returns:
        A `tokenizers.Tokenizer`.

    Raises:
        ValueError: if the texts have fewer pairs to merge.
        ImportError: if the `tokenizers` library is missing.
    """
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError as error:
        raise ImportError(f"Byte-pair encoding needs the library tokenizers: {EXTRA}.") from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.encode_special_tokens = True  # END in a text is text
    most = tokenizer.get_vocab_size()
    if most != vocabulary:
        raise ValueError(
            f"Argument `vocabulary` must be at most {most} for this text, got {vocabulary}."
        )
    return tokenizer


@functools.cache  # four seconds of parsing for 2 MB
def documents() -> tuple[str, ...]:
    """The topics in the order of their names, then the modules in the order of theirs.

    Returns:
        One text for each topic, and for each module its docstrings.

    Raises:
        FileNotFoundError: if this Python comes without its documentation or its source.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise FileNotFoundError(
            f"There is no module 'pydoc_data.topics' in {sys.base_prefix!r}: it belongs to the "
            f"standard library (docs.python.org), of which some distributions ship it apart."
        ) from error
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    texts = [docstrings(path) for path in _sources(library)]
    texts = [text for text in texts if text]
    if not texts:
        raise FileNotFoundError(
            f"There are no sources of the standard library in {str(library)!r}: install Python "
            f"with its source files (python.org)."
        )
    return (*(topics[name] for name in sorted(topics)), *texts)


def _sources(library: pathlib.Path) -> list[pathlib.Path]:
    """Source files of the standard library without its tests, in the order of their names."""
    found = []
    for name in sorted(sys.stdlib_module_names):
        found += [library / f"{name}.py", *sorted((library / name).rglob("*.py"))]
    found = [path for path in found if not TESTS.intersection(path.relative_to(library).parts)]
    return [path for path in found if path.is_file()]


def docstrings(path: pathlib.Path) -> str:
    """Docstrings of a module, its classes and its functions, in the order of the source.

    Args:
        path: a source file.

    Returns:
        The docstrings with an empty line between them; empty if there are none.
    """
    return "\n\n".join(_docstrings(ast.parse(path.read_bytes())))


def _docstrings(node: ast.AST):
    text = ast.get_docstring(node)
    if text:
        yield text
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings(child)
