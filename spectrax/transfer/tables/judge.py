"""The verdict of three on a measured table, its reason, and what to measure next."""

from typing import NamedTuple

import numpy as np

from spectrax.transfer.tables.cost import Cost, Valley
from spectrax.transfer.tables.drift import Drift, quantile
from spectrax.transfer.tables.noise import Noise
from spectrax.transfer.tables.runs import Curve
from spectrax.transfer.tables.valley import Optimum

TRANSFERS, DOES_NOT, CANNOT = "transfers", "does not transfer", "cannot judge"

MATTERS = 1 / 8  # a sixteen-fold width moves the best rate by sqrt(2), half an octave
SMALLEST_KNOWN = 1 / 4  # no common parameterization has a smaller drift that is not zero
SMALL_COST = 0.1  # of what width gains
SHOWN, SURE = 0.95, 0.99


class Judgement(NamedTuple):
    """Verdict, why, and what to measure next (empty if nothing)."""

    verdict: str
    reason: str
    advice: str


class Evidence(NamedTuple):
    """Everything that a verdict rests on."""

    curves: list[Curve]
    optima: list[Optimum]
    noise: Noise
    drift: Drift
    cost: Cost


def judge(seen: Evidence) -> Judgement:
    """Verdict of three."""
    if len(seen.curves) < 3:
        return _too_few(seen)
    if seen.drift.count < 3:
        return _bounds(seen)
    against = _contradicted(seen)
    if against:
        return Judgement(CANNOT, against, _extend(seen))
    low, high = seen.drift.interval(SHOWN)
    sure_low, sure_high = seen.drift.interval(SURE)
    size = abs(seen.drift.exponent)
    text = describe(seen.drift)
    if max(-low, high) < MATTERS:
        return Judgement(TRANSFERS, f"{text}: smaller than 1/8 either way.", "")
    if not sure_low <= 0 <= sure_high and size > MATTERS:
        return Judgement(DOES_NOT, f"{text}: not zero, and large enough to matter.", "")
    bound = _cost_bound(seen)
    allowed = max(SMALL_COST * seen.cost.gain[0], float(seen.noise.sigma[-1]))
    if max(-sure_low, sure_high) < SMALLEST_KNOWN and bound <= allowed:
        reason = (
            f"{text}, and keeping the rate of width {seen.curves[0].width:g} costs at most "
            f"{bound:.2g} at width {seen.curves[-1].width:g}, which is little against "
            + ("what width gains." if bound <= SMALL_COST * seen.cost.gain[0] else "the noise.")
        )
        return Judgement(TRANSFERS, reason, "")
    return _undecided(seen, text)


def describe(drift: Drift) -> str:
    """The drift with its interval, in words."""
    low, high = drift.interval(SHOWN)
    return (
        f"the best rate goes like width^({drift.exponent:.3f} +- {drift.stderr:.3f}), "
        f"95 % from {low:.2f} to {high:.2f}"
    )


def _too_few(seen: Evidence) -> Judgement:
    count = len(seen.curves)
    advice = "Measure at least three widths, better four, over a factor of eight or more."
    if seen.drift.count < 2:
        return Judgement(CANNOT, f"{_count(count)} and {_ends(seen)}.", advice)
    low, high = seen.drift.interval(SHOWN)
    if max(-low, high) < MATTERS:
        hint = "they suggest that it transfers"
    elif not low <= 0 <= high:
        hint = "they suggest that it does not transfer"
    else:
        hint = "they suggest nothing"
    reason = f"{_count(count)} cannot tell a law from chance; {hint}: {describe(seen.drift)}."
    return Judgement(CANNOT, reason, advice)


def _count(count: int) -> str:
    return {1: "one width", 2: "two widths"}[count]


def _bounds(seen: Evidence) -> Judgement:
    """Optima beyond the grid are bounds; sometimes these exclude that the rate stays."""
    low, high = _pair_bounds(seen)
    if (low > MATTERS or high < -MATTERS) and low <= high:
        side = f"at least {low:.2f}" if low > 0 else f"at most {high:.2f}"
        reason = f"{_ends(seen)}, and yet these bounds make the drift {side}."
        return Judgement(DOES_NOT, reason, _extend(seen))
    return Judgement(CANNOT, f"{_ends(seen)}.", _extend(seen))


def _pair_bounds(seen: Evidence) -> tuple[float, float]:
    """Exponents that agree with every pair of widths."""
    reach = quantile(seen.noise.freedom, SURE)
    ends = []
    for optimum in seen.optima:
        error = reach * np.sqrt(optimum.variance) if optimum.inside else 0.0
        kind, x = optimum.kind, optimum.x
        low = -np.inf if kind in ("low", "flat") else x - error
        high = np.inf if kind in ("high", "flat") else x + error
        ends.append((low, high))
    lows, highs = [-np.inf], [np.inf]
    logs = np.log([c.width for c in seen.curves])
    for i in range(len(ends)):
        for j in range(i + 1, len(ends)):
            distance = logs[j] - logs[i]
            lows.append((ends[j][0] - ends[i][1]) / distance)
            highs.append((ends[j][1] - ends[i][0]) / distance)
    return max(lows), min(highs)


def _contradicted(seen: Evidence) -> str:
    """Whether a bound lies on the wrong side of the line through the other optima."""
    for curve, optimum in zip(seen.curves, seen.optima, strict=True):
        x, error = seen.drift.at(curve.width)
        reach = quantile(seen.drift.freedom, SHOWN) * error
        wrong = optimum.kind == "low" and x - reach > optimum.x
        wrong = wrong or (optimum.kind == "high" and x + reach < optimum.x)
        if wrong:
            end = {"low": "lowest", "high": "highest"}[optimum.kind]
            return (
                f"the best rate at width {curve.width:g} lies beyond the {end} one tried, where "
                "the other widths do not expect it."
            )
    return ""


def _cost_bound(seen: Evidence) -> float:
    """Upper bound of the cost of the narrowest network's rate at the widest network."""
    last = seen.optima[-1]
    if not last.inside:
        return np.inf
    valley = Valley(seen.curves[-1], last)
    octaves = np.log(seen.curves[-1].width / seen.curves[0].width)
    moves = -octaves * np.linspace(*seen.drift.interval(SHOWN), 9)
    return float(valley.excess(last.x + moves).max())


def _undecided(seen: Evidence, text: str) -> Judgement:
    low, high = seen.drift.interval(SHOWN)
    if seen.drift.scale > 1:
        reason = f"{text}: the optima scatter {seen.drift.scale:.1f} times as much as their errors."
        return Judgement(CANNOT, reason, "Measure more widths, and seeds at each of them.")
    noise = sum(o.noise**2 for o in seen.optima if o.inside)
    shape = sum(o.shape**2 for o in seen.optima if o.inside)
    if not low <= 0 <= high:
        reason = f"{text}: it seems to drift, but perhaps too little to matter."
    elif noise > shape:
        reason = f"{text}: noise leaves open whether it drifts."
    else:
        reason = f"{text}: the grid of rates is too coarse to say whether it drifts."
    factor = max(high - low, 2 * MATTERS) / (2 * MATTERS)
    if noise > shape:
        more = int(np.ceil(min(2 * factor**2, 99)))
        advice = f"Measure about {more} times as many seeds, or a wider range of widths."
    else:
        spacing = np.exp(min(o.spacing for o in seen.optima) / 2)
        advice = f"Measure learning rates in steps of {spacing:.2g} around the optima."
    return Judgement(CANNOT, reason, advice)


def _ends(seen: Evidence) -> str:
    """Which widths have no optimum inside their grid."""
    parts = []
    texts = {
        "low": "the loss still falls at the lowest rate tried at",
        "high": "the loss still falls at the highest rate tried at",
        "flat": "noise hides the best rate at",
    }
    for kind, text in texts.items():
        found = [
            f"{c.width:g}" for c, o in zip(seen.curves, seen.optima, strict=True) if o.kind == kind
        ]
        if found:
            parts.append(f"{text} width{'s' * (len(found) > 1)} {', '.join(found)}")
    return "; ".join(parts)


def _extend(seen: Evidence) -> str:
    """What to measure where optima lie beyond the grid or under the noise."""
    kinds = {o.kind for o in seen.optima}
    todo = {"low": "lower rates", "high": "higher rates", "flat": "more seeds"}
    words = [text for kind, text in todo.items() if kind in kinds]
    return f"Measure {' and '.join(words)} at these widths."
