"""Deliveries that are killed, without JAX: `python killed_delivery.py FOLDER calls|moments`.

Prints in JSON what was found after each kill: the versions of the files before and after the next
run in the folder, by name, and whether the sidecar was the first of the new ones.
"""

import json
import os
import pathlib
import random
import signal
import sys
import time

from spectrax._delivery import READY, WRITING, delivery, finish

NAMES = ("a.png", "a.pdf", "a.npz", "b.png", "b.pdf", "a.json")
SIZE = 5_000


def write(folder, version):
    """One set: every file is the version again and again, and ends with a mark."""
    with delivery(folder, "solve") as staging:
        for name in NAMES:
            with open(staging / name, "w", encoding="utf-8") as file:
                for _ in range(5):
                    file.write(f"{version} " * (SIZE // 5))
                    file.flush()
                file.write("end")


def versions(folder):
    """What each file holds: its version, or "none", "empty", "torn"."""
    found = {}
    for name in NAMES:
        path = folder / name
        words = path.read_text().split() if path.exists() else None
        whole = bool(words) and words[-1] == "end" and len(set(words)) == 2
        empty = "none" if words is None else "empty" if not words else "torn"
        found[name] = words[0] if whole and len(words) == 5 * (SIZE // 5) + 1 else empty
    return found


def after(folder):
    """What a kill has left, and what the next run makes of it."""
    row = {"killed": versions(folder), "ready": any(folder.glob(f".*{READY}"))}
    finish(folder)
    hidden = [path.name for path in folder.iterdir() if path.name not in NAMES]
    return row | {"finished": versions(folder), "left": hidden}


def exit_at(call):
    """End the process, as a kill would, before the `call`-th touch of the file system."""
    touches = {"open", "os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "os.scandir"}
    seen = 0

    def watch(event, _):
        nonlocal seen
        seen += event in touches
        if event in touches and seen == call:
            os._exit(9)

    sys.addaudithook(watch)
    os.fsync = lambda handle: watch("open", None)


def killed_at_calls(folder):
    """A new set over an old one, killed before each touch in turn, until one comes through."""
    rows, code, os.fsync = [], 9, lambda handle: None  # a kill loses nothing that is not synced
    while code == 9:
        write(folder, "old")
        child = os.fork()
        if not child:
            exit_at(len(rows) + 1)
            write(folder, "new")
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        rows.append(after(folder))
    return rows


def killed_at_moments(folder, kills=50):
    """Sets written one after the other, killed by the system at random moments."""
    rng, rows = random.Random(0), []
    for kill in range(kills):
        child = os.fork()
        if not child:
            for version in range(10**6):
                write(folder, f"{kill}.{version}")
        time.sleep(rng.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        rows.append(after(folder))
    return rows


if __name__ == "__main__":
    assert "jax" not in sys.modules and WRITING != READY
    target = pathlib.Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    print(json.dumps({"calls": killed_at_calls, "moments": killed_at_moments}[sys.argv[2]](target)))
