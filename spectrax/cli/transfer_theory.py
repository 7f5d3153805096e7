"""`spectrax transfer` without a table: the theory at several widths, or from one to another."""

import functools

from spectrax.cli import common
from spectrax.cli.common import DEEPEST, LONGEST, integer, number, option, scale

NAMES = {"mup": "µP", "ntk": "NTK"}
# Seconds that the stages take on two quiet cores, most of them compilation.
SECONDS = {
    "escape and sharpness": 9,
    "largest stable rates": 11,
    "optimal rates": 7,
    "losses": 3,
    "exponents by gradient": 7,
}
DRAWING = 2
LENGTH = sum(SECONDS.values()) + DRAWING
CARRIED = (1.0, 8.0, 64.0)  # widths over input dimension at which a rate is taken elsewhere
CAVEAT = (
    "This is the ratio of a deep linear network trained by gradient descent, with the rate counted "
    "as in the parameterization: how the scales of layers depend on width carries over to other "
    "networks, the numbers of a nonlinear network or of Adam do not."
)


class NetworkOptions:
    """The network of the theory."""

    depth = option(2, integer(1, DEEPEST), "hidden layers")
    num_steps = option(20, integer(1, LONGEST), "training steps")
    alpha = option(4.0, scale, "samples (online: batch) per input dimension")
    eta = option(0.03, number, "learning rate of escape, outlier and sharpness")
    gamma0 = option(4.0, number, "output multiplier; large is rich")
    sigma = option(1.0, scale, "standard deviation of the initial weights")
    data = option("full_batch", str, "full_batch or online")


def _model(args):
    from spectrax import DeepLinear

    parameters = common.values_of(NetworkOptions, args)
    return DeepLinear(nu=1.0, **parameters), parameters


def compare(args, bar) -> common.Result:
    """The theory at several widths."""
    from spectrax.cli import figures
    from spectrax.transfer.report import transfer_report

    model, parameters = _model(args)
    with common.Stages(bar, SECONDS) as stages:
        report = transfer_report(model, args.widths, progress=stages.begin, at=args.at)
    rows = [
        {
            "parameterization": name,
            "width": width,
            "escape_step": table.escape_step[k],
            "top_outlier": table.top_outlier[k] if table.escaped[k] else None,
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
        "widths": report.fit_widths,
    }
    verdicts = {name: _verdict(report, name) for name in report.tables}
    record = {
        "parameters": {**parameters, "widths": args.widths, "at": args.at},
        "parameterization": "mup",  # of the five keys that follow
        **verdicts["mup"],
        "parameterizations": verdicts,
        "table": rows,
        "exponents": exponents,
        "gaps": {name: vars(gaps) for name, gaps in report.gaps.items()},
    }
    arrays = {"widths": report.widths, "lrs": report.lrs, "exponents_path": report.fit.path}
    for name, table in report.tables.items():
        arrays |= {f"{name}_{key}": value for key, value in table._asdict().items()}
        arrays[f"{name}_losses"] = report.losses[name]
    draw = functools.partial(figures.draw_transfer, report, args.eta)
    return common.Result(record, arrays, _text(rows, exponents, report, args), draw)


def _verdict(report, name: str) -> dict:
    found = report.verdicts[name]
    width, lr = report.recommended[name]
    return {
        "verdict": found.verdict,
        "reason": found.reason,
        "drift": {"exponent": found.drift.exponent, "stderr": found.drift.stderr},
        "cost": {"widths": report.widths[:-1], "loss": found.cost, "gain": found.gain},
        "recommended": {"width": width, "lr": lr, "low": lr, "high": lr},
    }


def _text(rows, exponents, report, args) -> str:
    """The table, the exponents, the gaps, the verdicts."""
    head = f"{'':<6}{'width':>7}{'escape':>9}{'outlier':>9}{'sharpness':>11}"
    lines = [head + f"{'stable lr':>11}{'best lr':>10}{'loss':>11}"]
    for row in rows:
        escape = "never" if row["escape_step"] == float("inf") else f"{row['escape_step']:.2f}"
        outlier = "none" if row["top_outlier"] is None else f"{row['top_outlier']:.3f}"
        lines.append(
            f"{NAMES[row['parameterization']]:<6}{row['width']:>7g}{escape:>9}{outlier:>9}"
            f"{row['sharpness']:>11.2f}{row['max_stable_lr']:>11.4f}{row['optimal_lr']:>10.4f}"
            f"{row['loss']:>11.2e}"
        )
    if any(row["optimal_lr"] > row["max_stable_lr"] for row in rows):
        lines.append(
            f"A best rate above the largest stable one is no error: in {args.num_steps} steps the "
            "unstable direction has no time to grow."
        )
    a, b = float(exponents["output_exponent"]), float(exponents["lr_exponent"])
    widths = exponents["widths"]
    lines.append(
        f"exponents found by gradient at widths {widths[0]:g} ... {widths[-1]:g}, where the limit "
        f"of large width holds: gamma ~ width^{a:.3f}, eta ~ width^{b:.3f} (µP: 0.5, 0)"
    )
    for name, found in report.verdicts.items():
        lines.append(f"{NAMES[name]}: {found.verdict}: {found.reason}")
    if args.at is not None:
        for name, (width, lr) in report.recommended.items():
            lines.append(f"{NAMES[name]}: at width {width:g} the best learning rate is {lr:.4g}")
    return "\n".join(lines)


def carry(args, bar) -> common.Result:
    """One rate taken to another width."""
    import numpy as np

    from spectrax.cli import figures
    from spectrax.transfer.carry import carry_rate

    model, parameters = _model(args)
    width, lr = args.start
    bar.total = SECONDS["optimal rates"] + DRAWING
    with common.Stages(bar, SECONDS) as stages:
        stages.begin("optimal rates")
        found = carry_rate(model, args.parameterization, width, lr, args.at, CARRIED)
    record = {
        "parameters": {
            **parameters,
            "from": [width, lr],
            "at": args.at,
            "parameterization": args.parameterization,
        },
        "verdict": found.verdict,
        "reason": found.reason,
        "drift": {"exponent": found.drift, "stderr": found.drift_error},
        "cost": None,
        "recommended": {"width": args.at, "lr": found.lr, "low": found.low, "high": found.high},
        "table": [
            {"width_over_inputs": nu, "ratio": ratio}
            for nu, ratio in zip(CARRIED, found.ratios, strict=True)
        ],
        "exponents": None,
    }
    text = (
        f"at width {args.at:g} use a learning rate of {found.lr:.3g} (from {found.low:.3g} to "
        f"{found.high:.3g}, as width {width:g} is {CARRIED[0]:g} to {CARRIED[-1]:g} times the "
        f"input dimension)\n{found.verdict}: {found.reason}\n{CAVEAT}"
    )
    arrays = {"width_over_inputs": np.array(CARRIED), "ratios": np.array(found.ratios)}
    draw = functools.partial(figures.draw_ratio, found, width, args.at)
    return common.Result(record, arrays, text, draw)
