"""`spectrax transfer`: does a learning rate found on a narrow network transfer, and why."""

import argparse
import functools
import os

from spectrax.cli import common
from spectrax.cli.common import UsageError
from spectrax.cli.transfer_theory import LENGTH, NetworkOptions

EPILOG = """\
examples:
  spectrax transfer
  spectrax transfer --widths 1,2,4,8,16 --gamma0 6 --num-steps 30
  spectrax transfer --table runs.csv --at 4096
  spectrax transfer --from 512:0.01 --at 4096 --parameterization mup

Without --table or --from, theory: for each width, in µP and in NTK parameterization, the step at
which the hidden weight ejects its outlier, where that outlier ends, and the largest sharpness, all
at the learning rate --eta; then the largest stable and the optimal learning rate, and the loss
there. Then the exponents of width that gradient descent finds at widths 8 ... 64, and a verdict.

--table takes measured losses instead: a file with columns for width, learning rate, loss, and
perhaps seed (separated by commas, semicolons or tabs, under the usual names, each width with rates
of its own), or one row for each width with the learning rates in the header. A loss that is empty,
nan, inf or "diverged" is a divergence. --at WIDTH recommends a learning rate there.

--from WIDTH:LR with --at takes one rate to another width by the theory's ratio.

Writes transfer.png and .pdf, transfer.npz, transfer.json. Keys of --json: verdict ("transfers",
"does not transfer", "cannot judge"), reason, drift (exponent, stderr), cost, recommended (width,
lr, low, high), table; of theory also exponents, gaps, and parameterizations.
"""

WIDEST = 1e8  # beyond, the theory loses digits without a sign of it
WIDTHS = [1.0, 2.0, 4.0, 8.0]


def add_parser(commands) -> None:
    """Declare the command."""
    parser = common.add_command(
        commands,
        "transfer",
        "learning-rate transfer across widths: stability, optimum, exponents, verdict",
        "Which learning rate transfers across widths, in which parameterization, why.",
        EPILOG,
    )
    group = parser.add_argument_group("what to judge")
    group.add_argument("--table", metavar="CSV", help="measured losses, instead of theory")
    group.add_argument(
        "--at", type=_width, metavar="WIDTH", help="recommend a learning rate for this width"
    )
    group.add_argument(
        "--from",
        dest="start",
        type=_pair,
        metavar="WIDTH:LR",
        help="a width and the best learning rate there; needs --at",
    )
    group.add_argument(
        "--parameterization",
        type=common.exponents,
        default="mup",
        metavar="P",
        help="of --from: mup, ntk, or the exponents A,B of output scale and rate (%(default)s)",
    )
    group = parser.add_argument_group("networks and training of the theory")
    common.add_options(group, NetworkOptions)
    group.add_argument(
        "--widths",
        type=_widths,
        default=WIDTHS,
        metavar="A,B,…",
        help="hidden widths per input dimension (1,2,4,8)",
    )
    common.add_options(parser.add_argument_group("output"), common.OutputOptions)
    parser.set_defaults(run=run)


def _width(text: str) -> float:
    value = common.scale(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {common.shortened(text)}")
    return value


def _widths(text: str) -> list[float]:
    values = [_width(x) for x in text.split(",")]
    if any(not 1 / WIDEST <= x <= WIDEST for x in values):
        rule = f"must be from {1 / WIDEST:g} to {WIDEST:g}, got {common.shortened(text)}"
        raise argparse.ArgumentTypeError(rule)
    if len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(f"must differ, got {common.shortened(text)}")
    return values


def _pair(text: str) -> tuple[float, float]:
    try:
        width, rate = text.split(":")
        return _width(width), _width(rate)
    except (ValueError, argparse.ArgumentTypeError) as error:
        rule = f"WIDTH:LR, two positive numbers from {common.SMALL:g} to {common.LARGE:g}"
        raise argparse.ArgumentTypeError(f"must be {rule}, got {common.shortened(text)}") from error


def run(args) -> int:
    """Compute or read, draw, write, print."""
    if args.table is not None and args.start is not None:
        raise UsageError("Give --table or --from, not both")
    if args.start is not None and args.at is None:
        raise UsageError("--from needs --at, the width to which the rate is taken")
    if args.table is None:
        common.require_memory(
            f"--depth {args.depth} --num-steps {args.num_steps}", 8 * args.depth * args.num_steps**2
        )
    _compile_quickly()
    common.start(args)
    from spectrax.cli import transfer_table, transfer_theory

    find = transfer_theory.compare
    if args.table is not None:
        find = transfer_table.judge
    elif args.start is not None:
        find = transfer_theory.carry
    return common.carry_out(args, "transfer", LENGTH, functools.partial(find, args), "\n  ")


def _compile_quickly() -> None:
    """Small problems: the compiler costs more than it saves. A choice of the user comes first."""
    from jax import __version_info__

    if "XLA_FLAGS" not in os.environ and __version_info__ < (0, 12):
        flags = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
        os.environ["XLA_FLAGS"] = flags
