"""`spectrax transfer`: does a learning rate found on a narrow network transfer, and why."""

import argparse
import os

from spectrax.cli import options
from spectrax.cli.options import UsageError

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

DEFAULTS = {"depth": 2, "num_steps": 20, "alpha": 4.0, "eta": 0.03, "gamma0": 4.0, "sigma": 1.0}
KINDS = {
    "depth": options.integer(1, options.DEEPEST),
    "num_steps": options.integer(1, options.LONGEST),
    **dict.fromkeys(("alpha", "sigma"), options.scale),
}
WIDEST = 1e8  # beyond, the theory loses digits without a sign of it
WIDTHS = [1.0, 2.0, 4.0, 8.0]


def add_parser(commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "transfer",
        help="learning-rate transfer across widths: stability, optimum, exponents, verdict",
        description="Which learning rate transfers across widths, in which parameterization, why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
        type=options.exponents,
        default="mup",
        metavar="P",
        help="of --from: mup, ntk, or the exponents A,B of output scale and rate (%(default)s)",
    )
    group = parser.add_argument_group("networks and training of the theory")
    texts = {
        "depth": "hidden layers",
        "num_steps": "training steps",
        "alpha": "samples (online: batch) per input dimension",
        "eta": "learning rate of escape, outlier and sharpness",
        "gamma0": "output multiplier; large is rich",
        "sigma": "standard deviation of the initial weights",
    }
    for name, text in texts.items():
        default = DEFAULTS[name]
        flag = "--" + name.replace("_", "-")
        kind = KINDS.get(name, options.number)
        group.add_argument(flag, type=kind, default=default, help=f"{text} (%(default)s)")
    group.add_argument("--data", default="full_batch", help="full_batch or online (%(default)s)")
    group.add_argument(
        "--widths",
        type=_widths,
        default=WIDTHS,
        metavar="A,B,…",
        help="hidden widths per input dimension (1,2,4,8)",
    )
    options.add_output_options(parser, "spectrax-results")
    parser.set_defaults(run=run)


def _width(text: str) -> float:
    value = options.scale(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(
            f"must be a positive number, got {options.shortened(text)}"
        )
    return value


def _widths(text: str) -> list[float]:
    values = [_width(x) for x in text.split(",")]
    if any(not 1 / WIDEST <= x <= WIDEST for x in values):
        rule = f"must be from {1 / WIDEST:g} to {WIDEST:g}, got {options.shortened(text)}"
        raise argparse.ArgumentTypeError(rule)
    if len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(f"must differ, got {options.shortened(text)}")
    return values


def _pair(text: str) -> tuple[float, float]:
    try:
        width, rate = text.split(":")
        return _width(width), _width(rate)
    except (ValueError, argparse.ArgumentTypeError) as error:
        rule = f"WIDTH:LR, two positive numbers from {options.SMALL:g} to {options.LARGE:g}"
        raise argparse.ArgumentTypeError(
            f"must be {rule}, got {options.shortened(text)}"
        ) from error


def run(args) -> int:
    """Compute or read, draw, write, print."""
    from spectrax.cli import session

    if args.table is not None and args.start is not None:
        raise UsageError("Give --table or --from, not both")
    if args.start is not None and args.at is None:
        raise UsageError("--from needs --at, the width to which the rate is taken")
    if args.table is None:
        options.require_memory(
            f"--depth {args.depth} --num-steps {args.num_steps}", 8 * args.depth * args.num_steps**2
        )
    _compile_quickly()
    session.start(args)
    from spectrax import records
    from spectrax.cli import transfer_table, transfer_theory

    folder = records.make_folder(args.out)
    job = transfer_theory.compare
    if args.table is not None:
        job = transfer_table.judge
    elif args.start is not None:
        job = transfer_theory.carry
    with session.progress(args, total=transfer_theory.LENGTH) as bar:
        figure, arrays, record, text = job(args, bar)
        bar.set_description_str("drawing")
        paths = records.write(folder, "transfer", figure, arrays, record)
        bar.update(bar.total - bar.n)
    if args.json:
        session.print_json({**record, "versions": records.versions(), "files": paths})
    elif not args.quiet:
        print(text, "written:", *(f"  {path}" for path in paths), sep="\n")
    return 0


def _compile_quickly() -> None:
    """Small problems: the compiler costs more than it saves. A choice of the user comes first."""
    from jax import __version_info__

    if "XLA_FLAGS" not in os.environ and __version_info__ < (0, 12):
        flags = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
        os.environ["XLA_FLAGS"] = flags
