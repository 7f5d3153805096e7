"""Values in short tables: what `repr` and `print` show of models, solutions, spikes and laws.

Only NumPy, no JAX operations: also where arrays are traced, of many devices, or deleted.
"""

import dataclasses

import jax
import numpy as np

FEW, LINE, STEPS = 8, 70, 5


def table(value) -> str:
    """One row for each field of a dataclass, under its name and its message if it has one."""
    rows = [(name, one_line(x)) for name, x in _fields(value)]
    return "\n".join([_title(value), *aligned(rows)])


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows with columns of one width, indented."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of a table: the first column to the left, numbers to the right, two spaces between."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return ["  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in rows]


def number(x) -> str:
    """A number in few digits."""
    if isinstance(x, bool | np.bool_):
        return "yes" if x else "no"
    return str(x) if isinstance(x, int | np.integer) else f"{x:.5g}"


def one_line(value) -> str:
    """Any value on one line; never fails."""
    try:
        line = _one_line(value)
    except Exception:  # arrays that cannot be read, objects of others
        line = _shape(value) if hasattr(value, "shape") else type(value).__name__
    return line if len(line) <= LINE else line[: LINE - 2] + " …"


def _one_line(value) -> str:
    if isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct):
        return _shape(value)
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return "random key" if value.shape == () else f"{value.shape} random keys"
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return _array(np.asarray(value))
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int | float | complex):
        return number(value)
    if hasattr(value, "_enumeration"):  # an item of Equinox' enumerations
        traced = isinstance(value._value, jax.core.Tracer) or np.ndim(value._value)
        return _shape(value._value) if traced else value._enumeration[value]
    if type(value).__repr__ is estimate:
        return estimate(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = ", ".join(f"{name}={one_line(x)}" for name, x in _fields(value))
        return f"{type(value).__name__}({inside})"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one_line(x)}" for name, x in value.items())
    if isinstance(value, tuple | list):
        return f"({', '.join(map(one_line, value))}{',' * (len(value) == 1)})"
    return getattr(value, "__name__", None) or repr(value).partition("\n")[0]


def _array(x: np.ndarray) -> str:
    """All entries if they are few; otherwise shape and range."""
    if x.ndim == 0:
        return number(x[()])
    if x.size <= FEW and x.ndim <= 2 and x.size:
        rows = [f"[{', '.join(map(number, row))}]" for row in np.atleast_2d(x)]
        return rows[0] if x.ndim == 1 else f"[{', '.join(rows)}]"
    if x.dtype == bool:
        return f"{x.shape} {x.sum()} of {x.size} true"
    fine = x[np.isfinite(x)]
    if not fine.size or np.iscomplexobj(x):
        return _shape(x)
    low, high = fine.min(), fine.max()
    values = f"all {number(low)}" if low == high else f"from {number(low)} to {number(high)}"
    return f"{x.shape} {values}" + f", {x.size - fine.size} not finite" * (fine.size < x.size)


def _shape(value) -> str:
    """Type and shape of what has no values to show."""
    kind = " traced" if isinstance(value, jax.core.Tracer) else ""
    return f"{getattr(value, 'dtype', '')}{list(value.shape)}{kind}"


def _fields(value) -> list[tuple[str, object]]:
    """Fields that are set; while an object is being made, some are not."""
    names = [field.name for field in dataclasses.fields(value) if field.repr]
    return [(name, getattr(value, name)) for name in names if hasattr(value, name)]


def _title(value) -> str:
    """Name of the class, with its message if there is one."""
    try:
        return f"{type(value).__name__}: {value.message}"
    except Exception:  # no message, or one that is not known yet
        return type(value).__name__


# --- special tables


def solution(value) -> str:
    """Losses and other observations at a few steps."""
    try:
        last, rows = int(value.stats["diverged_at"]), []
        steps = np.unique(np.linspace(0, value.model.num_steps - 1, STEPS).round().astype(int))
        rows.append(("step", *map(str, steps)))
        for name, seen in value.observed.items():
            curve = _curve(np.asarray(seen))
            if curve is not None:
                shown = [number(curve[t]) if t < last else "diverged" for t in steps]
                rows.append((name.replace("_error", " loss").replace("_", " "), *shown))
    except Exception:  # traced or batched
        rows = [(name, one_line(x)) for name, x in value.observed.items()]
    parts = [("model", one_line(value.model)), ("layers", one_line(value.order.matrices))]
    return "\n".join([_title(value), *aligned(parts), *aligned(rows)])


def _curve(seen: np.ndarray) -> np.ndarray | None:
    """One number for each step: itself, or the mean over classes."""
    if seen.ndim == 3 and seen.shape[1] == seen.shape[2]:
        return np.trace(seen, axis1=1, axis2=2) / seen.shape[1]
    return seen if seen.ndim == 1 else None


def order(value) -> str:
    """Range of the correlations of each field."""
    rows = [(name, one_line(getattr(tape, "gram", tape))) for name, tape in value.tapes.items()]
    return "\n".join(["Order: correlations of each field", *aligned(rows)])


def outliers(value) -> str:
    """One row for each strength; a location only where there is an outlier."""
    try:
        out, where = np.asarray(value.escaped), np.asarray(value.location)
        strength = np.asarray(value.strength)
        if out.ndim == 1 and out.size <= 4 * FEW:
            rows = [("location", "strength")]
            for i in range(out.size):
                place = number(where[i]) if out[i] else f"edge of the bulk, {number(where[i])}"
                rows.append((place, number(strength[i])))
            return "\n".join([f"Outliers: {out.sum()} of {out.size}", *aligned(rows)])
    except Exception:  # traced
        pass
    return table(value)


def printed(value) -> str:
    """The object's own `str`."""
    try:
        return str(value)
    except Exception:  # traced
        return table(value)


def estimate(value) -> str:
    """Mean ± standard error."""
    try:
        if np.ndim(value.mean) == 0:
            return f"{number(float(value.mean))} ± {float(value.stderr):.2g}"
        if np.size(value.mean) <= FEW and np.ndim(value.mean) == 1:
            pairs = zip(np.asarray(value.mean), np.asarray(value.stderr), strict=True)
            return ", ".join(f"{number(mean)} ± {error:.2g}" for mean, error in pairs)
    except Exception:  # traced
        pass
    return f"mean {one_line(value.mean)}, stderr {one_line(value.stderr)}"
