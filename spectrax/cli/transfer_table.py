"""`spectrax transfer --table`: the verdict on measured losses."""

import functools

from spectrax.cli import common


def judge(args, bar) -> common.Result:
    """The verdict on a table."""
    from spectrax.cli import figures
    from spectrax.transfer.tables.answer import transfer_runs
    from spectrax.transfer.tables.reading import TableError, read_runs

    bar.set_description_str("table")
    try:
        runs = read_runs(args.table)
    except TableError as error:
        raise common.UsageError(str(error)) from error
    found = transfer_runs(runs.widths, runs.lrs, runs.losses, runs.seeds)
    wanted = float(found.widths[-1]) if args.at is None else args.at
    rate = found.recommend(wanted)
    record = {
        "parameters": {"table": args.table, "at": args.at, "columns": runs.columns},
        "verdict": found.verdict,
        "reason": found.reason,
        "advice": found.advice,
        "drift": {key: getattr(found.drift, key) for key in ("exponent", "stderr", "low", "high")},
        "cost": found.cost._asdict(),
        "measures": found.measures._asdict(),
        "recommended": rate._asdict(),
        "table": _rows(found),
        "exponents": None,
    }
    arrays = {"widths": runs.widths, "lrs": runs.lrs, "losses": runs.losses}
    text = str(found)
    if args.at is not None:
        text += "\n" + sentence(rate, found.widths[0])
    return common.Result(record, arrays, text, functools.partial(figures.draw_table, found))


def sentence(rate, narrowest: float) -> str:
    """A recommendation in words."""
    words = f"at width {rate.width:g} use a learning rate of {rate.lr:.3g}"
    if rate.high < float("inf"):
        words += f" (95 % from {rate.low:.3g} to {rate.high:.3g})"
    else:
        return words + ", which is a guess: the table gives it no bounds"
    kept = f"with the rate of width {narrowest:g}"
    if rate.lost < float("inf"):
        return f"{words}; {kept} the loss would be {rate.lost:.2g} higher"
    return f"{words}; {kept} it would diverge"


def _rows(found) -> list[dict]:
    """One for each width."""
    return [
        {
            "width": curve.width,
            "optimal_lr": lr,
            "error": optimum.variance**0.5,
            "loss": optimum.loss,
            "optimum": optimum.kind,
        }
        for curve, optimum, lr in zip(found.curves, found.optima, found.optimal_lr, strict=True)
    ]
