"""What an entry point may do and a library may not: global settings of JAX, progress bars."""

import json
import logging
import math
import os
import pathlib
import sys
import threading
import time
import warnings

from spectrax import _progress, records


def start(args) -> None:
    """Double precision, compiled code kept between runs, figures without a screen."""
    # OpenBLAS threads that wait for each other slow small eigenproblems down, many times on a busy
    # machine; this works only before SciPy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import jax

    # The bulk edges and the recursion over many steps need double precision.
    jax.config.update("jax_enable_x64", True)
    os.environ.setdefault("MPLBACKEND", "Agg")
    # A cache that cannot be used costs time, nothing else.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its cache is no news
    _progress.shown = not (getattr(args, "quiet", False) or getattr(args, "json", False))
    if not (args.no_cache or os.environ.get("SPECTRAX_NO_CACHE")):
        _keep_compiled_code()


def _keep_compiled_code() -> None:
    import jax

    if not jax.config.jax_compilation_cache_dir:  # the user's own choice comes first
        try:
            root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
            folder = pathlib.Path(root) / "spectrax" / "jax"
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # RuntimeError: this user has no home
            return  # no place to write: compile anew, as without a cache
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def progress(args, total: int):
    """A progress bar on the terminal; silent where nobody watches."""
    from tqdm import tqdm

    watched = sys.stderr is not None and sys.stderr.isatty()
    hidden = args.quiet or args.json or not watched
    look = "{percentage:3.0f}%|{bar:24}| {elapsed} {desc}"
    return tqdm(total=total, disable=hidden, bar_format=look, ncols=79, leave=False)


class Stages:
    """Moves a progress bar through stages of known length, and by the clock within each.

    Most of a stage is one call that compiles and says nothing meanwhile. The bar then covers
    $1 - e^{-t/s}$ of a stage expected to take s seconds: it never stands, and never runs ahead.

    Args:
        bar: of `progress`; its total is at least the sum of the seconds.
        seconds: what each stage takes, by name.
    """

    def __init__(self, bar, seconds: dict[str, float], beat: float = 0.25):
        self.bar, self.seconds, self.beat = bar, seconds, beat
        self._start, self._length, self._since = 0.0, 0.0, 0.0
        self._over = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self):
        if not self.bar.disable:
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self.begin()

    def begin(self, stage: str | None = None) -> None:
        """The stage before has ended."""
        with self._lock:
            self._start += self._length
            self._length, self._since = self.seconds.get(stage, 0.0), time.monotonic()
            self.bar.set_description_str(stage, refresh=False)
            self._move(0.0)

    def _tick(self) -> None:
        while not self._over.wait(self.beat):
            with self._lock:
                passed = time.monotonic() - self._since
                self._move(-math.expm1(-passed / self._length) if self._length else 0.0)

    def _move(self, share: float) -> None:
        self.bar.n = self._start + share * self._length
        self.bar.refresh()


def print_json(value) -> None:
    """Print the value as JSON, escaped where the terminal does not know its characters."""
    text = records.to_json(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=2)
    print(text)
