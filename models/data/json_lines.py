"""Text in JSON lines, as the shards of C4, tokenised once."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from models.data.encoding import LARGEST, Encoder, encoder
from models.data.files import missing, reading
from models.data.token_cache import cached
from models.data.tokens import Tokens, held_out_tokens, token_type
from spectrax import check

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
TOGETHER = 1024  # documents tokenised in one call, in parallel
CHARACTERS = 500_000  # of them, unless a single one has more
EMPTY = 100_000  # lines that may be empty in any case
LONGEST = 10_000_000  # bytes of a line: three times the Bible
INFLATION, SPARE = 30, 1_000_000  # compressed text becomes so many times longer, and bytes more
OBTAIN = (
    "text is read from .jsonl, .json, .jsonl.gz or .json.gz files, such as the shards of C4 at "
    "https://huggingface.co/datasets/allenai/c4"
)
OBTAIN_TOKENIZER = (
    "the tokenizer is a tokenizer.json of the library tokenizers, such as that of GPT-2 at "
    "https://huggingface.co/openai-community/gpt2"
)


def jsonl(
    files: str | os.PathLike | Sequence[str | os.PathLike],
    tokenizer: str | os.PathLike,
    *,
    length: int = 1024,
    cache: str | os.PathLike,
    end: str = "<|endoftext|>",
    held_out: float = 0.01,
    seed: int = 0,
    progress: bool = False,
) -> Tokens:
    """Documents in the field "text" of JSON lines, plain or compressed, as in C4.

    They are tokenised once, in the order of the files, into a memory-mapped file in `cache`. Its
    name is a hash of what determines it: names, sizes and modification times of the files, the
    content of the tokenizer, and `end`; whenever one of them changes, a new file is written.

    Args:
        files: shards in order, or one of them, or a folder of them.
        tokenizer: a `tokenizer.json`. Its truncation, padding and random choices (dropout) are
            ignored, and its special tokens are not recognised inside a text.
        length: tokens in a window.
        cache: folder for the tokens; made if it is missing. Two bytes per token, or four beyond a
            vocabulary of 65 536.
        end: the token, one of the tokenizer's, that is put after each document.
        held_out: fraction of the tokens that is held out, at the end.
        seed: of the order of the windows.
        progress: show a progress bar over the files while they are tokenised.

    Returns:
        `Tokens`; its vocabulary is the largest token plus one.

    Raises:
        FileNotFoundError: if a file is missing, or the folder has none.
        ValueError: if a file is damaged, a line is not a JSON object with a text, the tokenizer is
            broken or has no such `end`, or there are too few tokens for the length.
        ImportError: if the `tokenizers` library is missing.
    """
    check.integer("length", length, 1)
    held_out_tokens(held_out, 1)  # said before the work, not after it
    paths, content = _shards(files), _content(pathlib.Path(tokenizer))
    with encoder(pathlib.Path(tokenizer), content, end) as found:
        if found.end is None:
            raise ValueError(f"Argument `end` must be a token of {str(tokenizer)!r}, got {end!r}.")
        kind = token_type(found.vocabulary)
        stats = [(path.name, path.stat()) for path in paths]
        key = {
            "files": [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats],
            "tokenizer": hashlib.sha256(content).hexdigest(),
            "end": end,
        }

        def produce() -> Iterator[np.ndarray]:
            empty = True
            for path in tqdm(paths, "tokenising", unit="file", disable=not progress):
                for tokens in _encoded(path, found, kind):
                    yield tokens
                    empty = False
            if empty:
                listed = ", ".join(repr(str(path)) for path in paths)
                raise ValueError(f"There is no text in {listed}.")

        tokens = cached(pathlib.Path(cache), key, kind, produce, found.vocabulary)
    name, count = paths[0].resolve().parent.name or "text", held_out_tokens(held_out, len(tokens))
    return Tokens(name, tokens, found.vocabulary, length, count, seed)


def _shards(files) -> list[pathlib.Path]:
    """The files that were named, or those of a folder by name."""
    if not isinstance(files, str | os.PathLike):
        paths = [pathlib.Path(file) for file in files]
        if not paths:
            raise ValueError("Argument `files` must name at least one file, got none.")
    elif pathlib.Path(files).is_dir():
        folder = pathlib.Path(files)
        paths = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
        if not paths:
            raise missing("text", folder, OBTAIN)
    else:
        paths = [pathlib.Path(files)]
    for path in paths:
        if not path.is_file():
            raise missing(f"file {path.name!r}", path.parent, OBTAIN)
    return paths


def _content(path: pathlib.Path) -> bytes:
    if not path.is_file():
        raise missing(f"file {path.name!r}", path.parent, OBTAIN_TOKENIZER)
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _encoded(path: pathlib.Path, tokenizer: Encoder, kind: type) -> Iterator[np.ndarray]:
    """Tokens of many documents at a time, each followed by the end token."""
    for together in _together(texts(path)):
        yield np.concatenate(tokenizer.encode(together)).astype(kind)


def _together(documents: Iterable[str]) -> Iterator[list[str]]:
    """Documents for one call: a byte of text can take hundreds while it is tokenised."""
    found, size = [], 0
    for text in documents:
        found.append(text)
        size += len(text)
        if len(found) == TOGETHER or size > CHARACTERS:
            yield found
            found, size = [], 0
    if found:
        yield found


def texts(path: pathlib.Path) -> Iterator[str]:
    """The field "text" of every line that is not empty.

    Args:
        path: a file of JSON lines, compressed if its name ends in .gz.

    Yields:
        One text after the other, read as they are asked for.

    Raises:
        ValueError: if the file is damaged, or a line is not a JSON object with a text.
    """
    empty = 0
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            yield _text(line, path, number)
        else:
            empty += 1
            if empty > EMPTY and empty > 0.9 * number:
                raise ValueError(f"Cannot read {str(path)!r}: most of its lines are empty.")


def _lines(path: pathlib.Path) -> Iterator[bytes]:
    """Lines of a length that is believed, out of a file that inflates as text does."""
    left = INFLATION * path.stat().st_size + SPARE
    with contextlib.ExitStack() as stack:
        stack.enter_context(reading(path))
        file = stack.enter_context(_Steady(path))
        if path.suffix == ".gz":
            file = stack.enter_context(gzip.GzipFile(fileobj=file))
        while line := file.readline(min(LONGEST, left) + 1):
            left -= len(line)
            if left < 0:
                raise ValueError(f"it inflates to more than {INFLATION} times its size")
            if len(line) > LONGEST:
                raise ValueError(f"it has a line of more than {LONGEST} bytes")
            yield line


class _Steady(io.BufferedReader):
    """A file that is not read byte by byte, as zeros behind compressed data are by the library."""

    def __init__(self, path: pathlib.Path):
        super().__init__(io.FileIO(path))
        self._left = 10_000 + path.stat().st_size // 1000  # a few for each compressed piece

    def read(self, size=-1):
        self._left -= size is not None and 0 <= size < 16
        if self._left < 0:
            raise ValueError("it consists of too many pieces, or of zeros")
        return super().read(size)


def _text(line: bytes, path: pathlib.Path, number: int) -> str:
    where = f"Line {number} of {str(path)!r}"
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON in UTF-8.") from error
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise ValueError(f'{where} has no field "text" that holds a text.')
    try:
        found["text"].encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} has half of a surrogate pair in its text.") from error
    return found["text"]
