"""Options that commands share, and how their text becomes values."""

import argparse
import json


class UsageError(Exception):
    """A request that makes no sense; its message is one sentence for the user."""


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


def at_least(low: int):
    """Parser of integers from `low` on."""

    def count(text: str) -> int:
        value = int(text)
        if value < low:
            raise ValueError
        return value

    count.__name__ = f"integer of at least {low}"  # argparse names the function in its errors
    return count


def rates(text: str) -> float | list[float]:
    """One learning rate, or a schedule of one per step separated by commas."""
    values = [float(x) for x in text.split(",")]
    return values[0] if len(values) == 1 else values


def numbers(text: str) -> list[float]:
    """Numbers separated by commas."""
    return [float(x) for x in text.split(",")]


def matrix(text: str) -> list[list[float]]:
    """A matrix in JSON, for example `[[1, 0.5], [0.5, 1]]`."""
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        raise ValueError
    return [[float(x) for x in row] for row in value]


def exponents(text: str) -> str | tuple[float, float]:
    """`mup`, `ntk`, or the two exponents of a parameterization separated by a comma."""
    if text in ("mup", "ntk"):
        return text
    output_exponent, lr_exponent = text.split(",")
    return float(output_exponent), float(lr_exponent)


# argparse names these functions in its errors ("invalid … value").
rates.__name__ = "number or comma-separated schedule"
numbers.__name__ = "comma-separated numbers"
matrix.__name__ = "matrix in JSON"
exponents.__name__ = "mup, ntk or A,B"
