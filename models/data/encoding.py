"""Texts become tokens in a process of its own, which a hostile tokenizer ends instead of ours."""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from models.data.files import EXTRA
from spectrax._memory import host_memory

PROGRAM = pathlib.Path(__file__).with_name("tokenise.py")
LARGEST = 100_000_000  # bytes of a tokenizer; those of a quarter of a million tokens have 35 MB
MEMORY, THREAD = (130_000_000, 25), 4_000_000  # bytes, by byte of the tokenizer, by core
PER_BYTE = 300  # of a text, in tokens of one byte
SECONDS = 2  # of processor time, and more by text: a tokenizer needs a second for some megabytes


class Encoder:
    """A tokenizer at work in another process.

    Attributes:
        vocabulary: its largest token plus one.
        end: the token after each document; None if the tokenizer has no such token.
    """

    def __init__(self, path: pathlib.Path, content: bytes, process: subprocess.Popen, end: str):
        self._path, self._process = path, process
        memory = MEMORY[0] + MEMORY[1] * len(content) + THREAD * (os.cpu_count() or 1)
        seconds = SECONDS + len(content) // 1_000_000
        self._send(json.dumps({"memory": memory, "seconds": seconds, "end": end}).encode())
        self._send(content)
        self.vocabulary, self.end = json.loads(self._answer())

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Tokens of each text and the end token, without what the tokenizer adds by itself.

        Args:
            texts: any number.

        Returns:
            For each an array of type uint32.

        Raises:
            ValueError: one sentence if the tokenizer cannot encode them, or takes too long.
        """
        message, free = json.dumps(list(texts)).encode(), host_memory()
        if free is not None and PER_BYTE * len(message) > free:
            raise ValueError(
                f"Cannot use {str(self._path)!r}: {len(message)} bytes of text at a time take more "
                f"memory than is free."
            )
        self._send(message)
        found = np.frombuffer(self._answer(), np.uint32)
        sizes, tokens = found[: len(texts)].astype(int), found[len(texts) :]
        if sizes.sum() != len(tokens):
            raise ValueError(f"Cannot use {str(self._path)!r}: its answer is no list of tokens.")
        return np.split(tokens, np.cumsum(sizes)[:-1])

    def _send(self, message: bytes) -> None:
        try:
            self._process.stdin.write(len(message).to_bytes(8, "little") + message)
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer, or that there is none, says why

    def _answer(self) -> bytes:
        head = self._process.stdout.read(8)
        answer = self._process.stdout.read(int.from_bytes(head, "little"))
        if answer[:1] == b"+":
            return answer[1:]
        reason = answer[1:].decode("utf-8", "replace") or self._ended()
        reason = reason if len(reason) <= 160 else reason[:157] + "..."
        raise ValueError(f"Cannot read {str(self._path)!r}: {reason.rstrip('.')}.")

    def _ended(self) -> str:
        code = self._process.wait()
        too_long = code == -getattr(signal, "SIGXCPU", 0)
        return "it takes too long" if too_long else "it ends the process that tokenises"


@contextmanager
def encoder(path: pathlib.Path, content: bytes, end: str) -> Iterator[Encoder]:
    """An `Encoder` as long as it is needed.

    Args:
        path: of the tokenizer, for messages.
        content: of its file. Truncation, padding and random choices (dropout) are left out, and
            special tokens in a text are text.
        end: the token that is put after each text.

    Raises:
        ValueError: one sentence if the tokenizer is broken.
        ImportError: if the `tokenizers` library is missing.
    """
    if importlib.util.find_spec("tokenizers") is None:
        raise ImportError(f"Text is tokenised by the library tokenizers: {EXTRA}.")
    if len(content) > LARGEST:
        raise ValueError(f"Cannot read {str(path)!r}: it has more than {LARGEST} bytes.")
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, "-P", str(PROGRAM)], **quiet)
    try:
        yield Encoder(path, content, process, end)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
