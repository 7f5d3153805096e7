"""What commands share: options and how their text becomes values, settings, progress, delivery."""

import argparse
import json
import math
import os
import pathlib
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from spectrax import _progress, records
from spectrax.records import UsageError as UsageError

MOST = 10**9  # of anything that is counted
DEEPEST, LONGEST = 1000, 10**6  # networks and trainings; memory may set a closer bound
SMALL, LARGE = 1e-60, 1e60  # of what is raised to powers
AUTO = "auto"


def add_command(commands, name: str, words: str, description: str, epilog: str):
    """The parser of a command."""
    look = argparse.RawDescriptionHelpFormatter
    texts = {"help": words, "description": description, "epilog": epilog}
    return commands.add_parser(name, formatter_class=look, **texts)


class Option(NamedTuple):
    """An option of a command."""

    default: Any
    more: dict  # for argparse


def option(default, kind, text: str, **more) -> Option:
    """An attribute of a class of options: its default, how text becomes a value, words of help."""
    explained = any(default is x for x in (None, False, AUTO))  # by the text
    more |= {"action": "store_true"} if kind is bool else {"type": kind}
    return Option(default, {"help": text + ("" if explained else " (%(default)s)"), **more})


def options_of(declared: type) -> dict[str, Option]:
    """The options that a class declares, by name."""
    return {name: x for name, x in vars(declared).items() if isinstance(x, Option)}


def add_options(group, declared: type) -> None:
    """Add the options of a class."""
    for name, x in options_of(declared).items():
        group.add_argument("--" + name.replace("_", "-"), default=x.default, **x.more)


def values_of(declared: type, args) -> dict:
    """What the command line says for each option of a class."""
    return {name: getattr(args, name) for name in options_of(declared)}


class OutputOptions:
    """Where results go and what is printed."""

    out = option("spectrax-results", str, "folder for the results", metavar="DIR")
    json = option(False, bool, "print the result as JSON, nothing else")
    quiet = option(False, bool, "print nothing, show no progress")
    no_cache = option(
        False, bool, "do not keep compiled code between runs (also: SPECTRAX_NO_CACHE=1)"
    )


def integer(low: int, high: int = MOST):
    """Parser of integers from `low` to `high`."""

    def count(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            rule = f"an integer of at least {low}" if high == MOST else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"must be {rule}, got {shortened(text)}")
        return value

    return count


def number(text: str, smallest: float = 1e-300, largest: float = 1e300) -> float:
    """A number with a reciprocal; the library says which ones make sense."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {shortened(text)}") from None
    if value != 0 and not smallest <= abs(value) <= largest:  # NaN included
        rule = f"must be 0 or from {smallest:g} to {largest:g} in size"
        raise argparse.ArgumentTypeError(f"{rule}, got {shortened(text)}")
    return value


def scale(text: str) -> float:
    """A number whose powers are numbers, too: ratios of sizes, standard deviations."""
    return number(text, SMALL, LARGE)


def shortened(text: str) -> str:
    """What was given, in quotes and not too long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def rates(text: str) -> float | list[float]:
    """One learning rate, or a schedule of one per step separated by commas."""
    values = numbers(text)
    return values[0] if len(values) == 1 else values


def numbers(text: str) -> list[float]:
    """Numbers separated by commas."""
    return [number(x) for x in text.split(",")]


def matrix(text: str) -> list[list[float]]:
    """A matrix in JSON, for example `[[1, 0.5], [0.5, 1]]`."""
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise ValueError
    if len({len(row) for row in value}) > 1:
        raise argparse.ArgumentTypeError("must have rows of equal length")
    return [[number(str(x)) for x in row] for row in value]


def require_memory(what: str, needed: float) -> None:
    """Refuse what cannot fit before long work begins.

    Args:
        what: the options that make it large.
        needed: bytes, at least.
    """
    from spectrax._memory import host_memory

    free = host_memory()
    if free is not None and needed > free:
        raise UsageError(
            f"{what} needs at least {needed / 1e9:.3g} GB of memory, {free / 1e9:.3g} GB are free"
        )


def exponents(text: str) -> str | tuple[float, float]:
    """`mup`, `ntk`, or the two exponents of a parameterization separated by a comma."""
    if text in ("mup", "ntk"):
        return text
    output_exponent, lr_exponent = text.split(",")
    return float(output_exponent), float(lr_exponent)


def parameterization_of(chosen: str | tuple[float, float]):
    """What `exponents` read, as a `Parameterization`."""
    from spectrax.parameterization import Parameterization, mup, ntk

    return (
        {"mup": mup, "ntk": ntk}[chosen] if isinstance(chosen, str) else Parameterization(*chosen)
    )


# argparse names these functions in its errors ("invalid … value").
matrix.__name__ = "matrix in JSON"
exponents.__name__ = "mup, ntk or A,B"


def start(args) -> None:
    """Double precision, compiled code kept between runs, figures without a screen."""
    # OpenBLAS threads that wait for each other slow small eigenproblems down, many times on a busy
    # machine; this works only before SciPy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import logging

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


class Result(NamedTuple):
    """What a command found."""

    summary: dict  # for the sidecar
    arrays: dict  # behind the figure
    text: str  # for the terminal
    figure: Callable  # draws it
    exit_code: int = 0


def carry_out(args, name: str, length: int, find: Callable, between: str = ", ", **request) -> int:
    """Find a result, draw it, write it under a name, print it; the exit code.

    Args:
        args: of the command line.
        name: of the files, and of the command with blanks for underscores.
        length: of the progress bar.
        find: the `Result`, from a progress bar.
        between: the names of files in the text.
        request: what was asked for.
    """
    folder = records.make_folder(args.out)
    with progress(args, total=length) as bar:
        result = find(bar)
        record = {"command": name.replace("_", " "), **request, **result.summary}
        bar.set_description_str("drawing")
        paths = records.write(folder, name, result.figure(), result.arrays, record)
        bar.update(bar.total - bar.n)
    text = f"{result.text}\nwritten:{between.removeprefix(',')}{between.join(paths)}"
    show(args, {**record, "versions": records.versions(), "files": paths}, text)
    return result.exit_code


def show(args, record: dict, text: str) -> None:
    """Print the record as JSON, the text, or nothing."""
    if args.json:
        print_json(record)
    elif not args.quiet:
        print(text)
