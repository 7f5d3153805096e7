"""Options that commands share, and how their text becomes values."""

import argparse
import json

from spectrax.records import UsageError as UsageError

MOST = 10**9  # of anything that is counted
DEEPEST, LONGEST = 1000, 10**6  # networks and trainings; memory may set a closer bound
SMALL, LARGE = 1e-60, 1e60  # of what is raised to powers


def add_output_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Where results go and what is printed."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--out", default=default, metavar="DIR", help="folder for the results (%(default)s)"
    )
    group.add_argument("--json", action="store_true", help="print the result as JSON, nothing else")
    group.add_argument("--quiet", action="store_true", help="print nothing, show no progress")
    group.add_argument(
        "--no-cache",
        action="store_true",
        help="do not keep compiled code between runs (also: SPECTRAX_NO_CACHE=1)",
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
