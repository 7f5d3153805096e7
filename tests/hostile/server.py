"""Reads hostile files, each in a process of its own that shares what is imported.

Started by `test_hostile`; a line of JSON in asks for a file, a line out says what became of it.
"""

import gc
import json
import os
import pathlib
import resource
import signal
import sys
import time

LONGEST = 20.0  # seconds until a reader is said to hang
MOST = 5 * 2**30  # bytes that no reader gets, to spare the machine


def readers() -> dict:
    """By name: a function that reads all that a reader reads of a file."""
    import types

    import flax.serialization  # noqa: F401  imported once, for all
    import jax  # noqa: F401
    import numpy as np
    import orbax.checkpoint  # noqa: F401
    import PIL.ImageOps
    import safetensors  # noqa: F401
    import tqdm.auto  # noqa: F401

    PIL.Image.preinit()

    from models.data import cifar10, image_folder, jsonl
    from models.data.folder import decode
    from models.data.token_cache import cached
    from spectrax.checkpoints import open_checkpoint
    from spectrax.cli.solve import read_data
    from spectrax.transfer.tables.reading import read_runs

    def weights(path):
        found = open_checkpoint(path)
        for name in found.select():
            found.blocks(name)
            found.read(name)
        for name in found.skipped():
            if name in found.shapes:
                found.blocks(name)
            else:
                found.read(name)  # which says what is wrong

    def text(path):
        made = jsonl(
            path.parent / ("a.jsonl.gz" if path.suffix == ".gz" else "a.jsonl"),
            path.parent / "tokenizer.json",
            length=3,
            cache=path.parent / "cache",
            end="end",
            held_out=0.3,
        )
        made.batch(0, 2)

    def token_file(path):
        def refuse():
            raise ValueError(f"There is no {path}.")

        cached(path.parent, {"name": "hostile"}, np.uint16, refuse, 267)

    images = {"png": lambda path: decode(path, 32), "jpg": lambda path: decode(path, 32)}
    beside = {
        "orbax": lambda path: weights(path.parent),
        "config": lambda path: weights(path.parent / "part.safetensors"),
        "folder": lambda path: image_folder(path.parents[2], size=16).batch(0, 2),
        "cifar": lambda path: cifar10(path.parent, records=2),
        "data": lambda path: read_data(types.SimpleNamespace(data=str(path))),
        "csv": lambda path: read_runs(str(path)),
    }
    formats = ("npz", "safetensors", "msgpack", "onnx", "pt", "index")
    texts = dict.fromkeys(("jsonl", "gz", "tokenizer"), text)
    return dict.fromkeys(formats, weights) | texts | images | beside | {"cache": token_file}


def outcome(read, path: pathlib.Path) -> dict:
    """What a reader says of a file, and what it takes."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST, MOST))
    error = None
    try:
        read(path)
    except BaseException as raised:
        error = [type(raised).__name__, str(raised)]
    mine, others = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = sum(used.ru_utime + used.ru_stime for used in (mine, others))
    return {"error": error, "peak": mine.ru_maxrss * 1024, "seconds": seconds}


def served(read, path: pathlib.Path) -> dict:
    """The outcome, from a process that may die or hang."""
    before = int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        os.write(sink, json.dumps(outcome(read, path)).encode()[:60_000])
        os._exit(0)
    os.close(sink)
    began, inner = time.monotonic(), 0
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        inner = max(inner, inner_peak(child))
        if time.monotonic() - began > LONGEST:
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
            break
        time.sleep(0.002)
    with os.fdopen(source, "rb") as file:
        found = json.loads(file.read() or b"{}")
    found |= {"status": ended[1], "wall": time.monotonic() - began}
    return found | {"memory": max(found.get("peak", 0) - before, inner)}


def inner_peak(process: int) -> int:
    """The most memory that any process has taken which this one started."""
    try:
        children = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()
        about = {child: pathlib.Path(f"/proc/{child}") for child in children}
        programs = [x for x in about.values() if b"tokenise.py" in (x / "cmdline").read_bytes()]
        lines = [(program / "status").read_text() for program in programs]
    except OSError:
        return 0
    peaks = [x.split()[1] for text in lines for x in text.splitlines() if x.startswith("VmHWM")]
    return max((1024 * int(peak) for peak in peaks), default=0)


def main() -> None:
    """Answer until nothing more is asked."""
    known = readers()
    gc.collect()
    gc.freeze()  # what is imported stays shared
    print("ready", flush=True)
    for line in sys.stdin:
        reader, path = json.loads(line)
        print(json.dumps(served(known[reader], pathlib.Path(path))), flush=True)


if __name__ == "__main__":
    main()
