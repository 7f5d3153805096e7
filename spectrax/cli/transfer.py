"""`spectrax transfer`: does a learning rate found on a narrow network transfer, and why."""

import argparse
import csv
import os

from spectrax.cli import options
from spectrax.cli.options import UsageError

EPILOG = """\
examples:
  spectrax transfer
  spectrax transfer --widths 1,2,4,8,16 --gamma0 6 --num-steps 30
  spectrax transfer --table runs.csv

For each width, in µP and in NTK parameterization: the step at which the hidden weight ejects its
outlier, where that outlier ends, and the largest sharpness, all at the learning rate --eta; then
the largest stable and the optimal learning rate, and the loss there. Then the exponents of width
that gradient descent finds, and the verdict on transfer: fast if the optimal rate settles faster
than the square root of the loss (arXiv:2512.22768).

--table takes measured losses instead: a CSV file with columns width, lr, loss (repeated rows are
averaged), or one row for each width with the learning rates in the header. Write inf for a run that
diverged.

Writes transfer.png and .pdf, transfer.npz, transfer.json. Keys of --json: table (rows by
parameterization and width), exponents, gaps and verdict (by parameterization, or "table").
"""

DEFAULTS = {"depth": 2, "num_steps": 20, "alpha": 4.0, "eta": 0.03, "gamma0": 4.0, "sigma": 1.0}
WIDTHS = [1.0, 2.0, 4.0, 8.0]
STAGES = 4


def add_parser(commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "transfer",
        help="learning-rate transfer across widths: stability, optimum, exponents, verdict",
        description="Which learning rate transfers across widths, in which parameterization, why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("networks and training")
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
        group.add_argument(flag, type=type(default), default=default, help=f"{text} (%(default)s)")
    group.add_argument("--data", default="full_batch", help="full_batch or online (%(default)s)")
    group.add_argument(
        "--widths",
        type=options.numbers,
        default=WIDTHS,
        metavar="A,B,…",
        help="hidden widths per input dimension (1,2,4,8)",
    )
    group.add_argument("--table", metavar="CSV", help="measured losses, instead of theory")
    options.add_output_options(parser, "spectrax-results")
    parser.set_defaults(run=run)


def run(args) -> int:
    """Compute or read, draw, write, print."""
    from spectrax.cli import session

    _compile_quickly()
    session.start(args)
    from spectrax.cli import files

    folder = files.make_folder(args.out)
    with session.progress(args, total=STAGES) as bar:
        if args.table is not None:
            figure, arrays, record, text = _measured(args.table)
        else:
            figure, arrays, record, text = _theory(args, bar)
        bar.set_description_str("drawing")
        paths = files.write(folder, "transfer", figure, arrays, record)
        bar.update(STAGES - bar.n)
    if args.json:
        print(files.to_json({**record, "versions": files.versions(), "files": paths}))
    elif not args.quiet:
        print(text, "written:", *(f"  {path}" for path in paths), sep="\n")
    return 0


def _compile_quickly() -> None:
    """Small problems: the compiler costs more than it saves. A choice of the user comes first."""
    from jax import __version_info__

    if "XLA_FLAGS" not in os.environ and __version_info__ < (0, 12):
        flags = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
        os.environ["XLA_FLAGS"] = flags


def _theory(args, bar):
    from spectrax import DeepLinear
    from spectrax.cli import transfer_figure
    from spectrax.transfer.report import transfer_report

    parameters = {name: getattr(args, name) for name in DEFAULTS} | {"data": args.data}
    values = {k: v for k, v in parameters.items() if k not in ("depth", "num_steps")}
    model = DeepLinear(args.depth, args.num_steps, nu=1.0, **values)

    stages = 0

    def progress(stage: str) -> None:
        nonlocal stages
        bar.update(min(stages, 1))
        stages += 1
        bar.set_description_str(stage)

    report = transfer_report(model, args.widths, progress=progress)
    rows = [
        {
            "parameterization": name,
            "width": width,
            "escape_step": table.escape_step[k],
            "top_outlier": table.top_outlier[k],
            "sharpness": table.sharpness[k].max(),
            "max_stable_lr": table.max_stable_lr[k],
            "optimal_lr": table.optimal_lr[k],
            "loss": table.loss[k],
        }
        for name, table in report.tables.items()
        for k, width in enumerate(report.widths)
    ]
    found = report.fit.parameterization
    exponents = {
        "output_exponent": found.output_exponent,
        "lr_exponent": found.lr_exponent,
        "spread": report.fit.spread,
        "start": report.fit.path[0],
    }
    record = {
        "command": "transfer",
        "parameters": {**parameters, "widths": args.widths},
        "table": rows,
        "exponents": exponents,
        "gaps": {name: _gaps(gaps) for name, gaps in report.gaps.items()},
        "verdict": {name: gaps.verdict for name, gaps in report.gaps.items()},
    }
    arrays = {"widths": report.widths, "lrs": report.lrs, "exponents_path": report.fit.path}
    for name, table in report.tables.items():
        arrays |= {f"{name}_{key}": value for key, value in table._asdict().items()}
        arrays[f"{name}_losses"] = report.losses[name]
    return transfer_figure.draw(report, args.eta), arrays, record, _text(rows, exponents, report)


def _measured(path: str):
    from spectrax import transfer_gaps
    from spectrax.cli import transfer_figure

    widths, lrs, losses = read_table(path)
    gaps = transfer_gaps(widths, lrs, losses)
    record = {
        "command": "transfer",
        "parameters": {"table": path},
        "table": [
            {"width": width, "optimal_lr": lr, "loss": loss}
            for width, lr, loss in zip(gaps.widths, gaps.optimal_lr, gaps.optimal_loss, strict=True)
        ],
        "exponents": None,
        "gaps": {"table": _gaps(gaps)},
        "verdict": {"table": gaps.verdict},
    }
    arrays = {"widths": widths, "lrs": lrs, "losses": losses}
    return transfer_figure.draw_table(lrs, losses, gaps), arrays, record, str(gaps)


def read_table(path: str):
    """Widths, learning rates and losses (widths, lrs) of a CSV file; NaN where there is none."""
    import numpy as np

    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise UsageError(f"Cannot read {path!r}: {error.strerror}") from error
    if len(rows) < 2:
        raise UsageError(f"There is no table in {path!r}: it needs a header and rows")
    header = [cell.strip().lower() for cell in rows[0]]
    try:
        if "loss" in header:
            columns = [header.index(name) for name in ("width", "lr", "loss")]
            runs = np.array([[float(row[k]) for k in columns] for row in rows[1:]])
        else:
            lrs = [float(cell) for cell in header[1:]]
            cells = (
                (row[0], lr, x) for row in rows[1:] for lr, x in zip(lrs, row[1:], strict=True)
            )
            runs = np.array([[float(x) if str(x).strip() else np.nan for x in c] for c in cells])
    except (ValueError, IndexError) as error:
        raise UsageError(
            f"Cannot read {path!r} as a table with columns width, lr, loss, or one row for each "
            f"width with learning rates in the header: {error}"
        ) from error
    if "loss" not in header and not np.all(np.diff(lrs) > 0):
        raise UsageError(f"Learning rates in the header of {path!r} must ascend, got {lrs}")
    widths, w = np.unique(runs[:, 0], return_inverse=True)
    rates, r = np.unique(runs[:, 1], return_inverse=True)
    total, count = np.zeros((len(widths), len(rates))), np.zeros((len(widths), len(rates)))
    np.add.at(total, (w, r), runs[:, 2])
    np.add.at(count, (w, r), 1)
    return widths, rates, np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _gaps(gaps) -> dict:
    names = ("loss_gap", "lr_gap", "suboptimality", "alpha", "beta", "gamma", "fast")
    return {name: getattr(gaps, name) for name in names}


def _text(rows, exponents, report) -> str:
    """The table, the exponents, the gaps, the verdicts."""
    head = f"{'':<6}{'width':>7}{'escape':>9}{'outlier':>9}{'sharpness':>11}"
    lines = [head + f"{'stable lr':>11}{'best lr':>10}{'loss':>11}"]
    for row in rows:
        escape = "never" if row["escape_step"] == float("inf") else f"{row['escape_step']:.2f}"
        name = {"mup": "µP", "ntk": "NTK"}[row["parameterization"]]
        lines.append(
            f"{name:<6}{row['width']:>7g}{escape:>9}{row['top_outlier']:>9.3f}"
            f"{row['sharpness']:>11.2f}{row['max_stable_lr']:>11.4f}{row['optimal_lr']:>10.4f}"
            f"{row['loss']:>11.2e}"
        )
    a, b = float(exponents["output_exponent"]), float(exponents["lr_exponent"])
    lines.append(
        f"exponents found by gradient from {tuple(float(x) for x in exponents['start'])}: "
        f"gamma ~ width^{a:.3f}, eta ~ width^{b:.3f} (µP: 0.5, 0)"
    )
    for name, gaps in report.gaps.items():
        lines.append(f"{ {'mup': 'µP', 'ntk': 'NTK'}[name] }: {gaps.verdict}")
    return "\n".join(lines)
