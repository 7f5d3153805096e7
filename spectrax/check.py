"""The one place that validates arguments: concrete values only, one sentence each."""

import jax
import jax.numpy as jnp
import numpy as np


def _concrete(name: str, value) -> np.ndarray | None:
    """The value as a NumPy array, or None while it is being traced; ValueError if not numeric."""
    if isinstance(value, jax.core.Tracer):
        return None
    try:
        seen = np.asarray(value)
    except ValueError:  # lists of unequal length
        seen = np.asarray(None)
    # bfloat16 and its like are numbers to JAX, not to NumPy
    if seen.dtype.kind not in "biuf" and not jnp.issubdtype(seen.dtype, jnp.floating):
        raise ValueError(
            f"Argument `{name}` must be a real number or an array of them, got {named(value)}."
        )
    return seen


def measured(name: str, value) -> np.ndarray:
    """The value as a NumPy array of floats; ValueError if not numeric, or while it is traced."""
    seen = _concrete(name, value)
    if seen is None:
        raise ValueError(f"Argument `{name}` must be known numbers, not traced ones.")
    return seen.astype(float)


def named(value) -> str:
    """What a value is, in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, str | bool | int | float | complex | np.generic):
        return repr(value)
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of shape {np.shape(value)}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


def _refuse(name: str, rule: str, seen, bad):
    """Raise one sentence that shows the first value that breaks the rule."""
    raise ValueError(f"Argument `{name}` must be {rule}, got {seen[bad].flat[0].item()}.")


def positive(name: str, value):
    """Return value; raise ValueError if a concrete entry is not above zero (NaN included)."""
    seen = _concrete(name, value)
    good = None if seen is None else (seen > 0) & np.isfinite(seen)
    if good is not None and not np.all(good):
        _refuse(name, "positive" if np.isfinite(seen[~good].flat[0]) else "finite", seen, ~good)
    return value


def nonnegative(name: str, value):
    """Return value; raise ValueError if a concrete entry is below zero (NaN included)."""
    seen = _concrete(name, value)
    good = None if seen is None else (seen >= 0) & np.isfinite(seen)
    if good is not None and not np.all(good):
        _refuse(name, "non-negative" if np.isfinite(seen[~good].flat[0]) else "finite", seen, ~good)
    return value


def finite(name: str, value):
    """Return value; raise ValueError if a concrete entry is infinite or NaN."""
    seen = _concrete(name, value)
    if seen is not None and not np.all(np.isfinite(seen)):
        _refuse(name, "finite", seen, ~np.isfinite(seen))
    return value


def integer(name: str, value, low: int, high: int | None = None) -> int:
    """Return value as an int; raise ValueError unless low <= value <= high."""
    rule = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    whole = not isinstance(value, bool) and isinstance(value, int | np.integer)
    if not whole or value < low or (high is not None and value > high):
        raise ValueError(f"Argument `{name}` must be {rule}, got {value}.")
    return int(value)


def one_of(name: str, value: str, options: tuple[str, ...]) -> str:
    """Return value; raise ValueError unless it is one of the options."""
    if value not in options:
        listed = " or ".join(repr(option) for option in options)
        raise ValueError(f"Argument `{name}` must be {listed}, got {value!r}.")
    return value


def sign(value):
    """Return value as a JAX array (both signs share a compilation); ValueError unless -1 or 1."""
    if isinstance(value, jax.core.Tracer) or np.shape(value) != () or value not in (-1, 1):
        raise ValueError(f"Argument `sign` must be -1 or 1, got {value}.")
    return jnp.asarray(value, float)


def resolved(name: str, value):
    """Return value; raise ValueError if a concrete tolerance is below rounding errors."""
    seen, eps = _concrete(name, value), jnp.finfo(jnp.zeros(()).dtype).eps
    if seen is not None and seen < 10 * eps:
        raise ValueError(
            f"Argument `{name}` must be at least {10 * eps:.1e} in this precision (see "
            f"`spectrax.enable_x64`), got {value}."
        )
    return value


def times(value):
    """Return value as a JAX array; raise ValueError unless (n,), non-negative and increasing."""
    value = shaped("times", value, (None,))
    seen = _concrete("times", nonnegative("times", value))
    if seen is not None and not np.all(np.diff(seen) > 0):
        _refuse("times", "increasing", seen[1:], np.diff(seen) <= 0)
    return value


def kernel(value: str) -> str:
    """Return value; raise ValueError unless it names a tangent kernel."""
    return one_of("kernel", value, ("population", "train"))


def between(name: str, value, low: float, high: float):
    """Return value; raise ValueError if a concrete entry is not in [low, high)."""
    seen = _concrete(name, value)
    if seen is not None and not np.all((seen >= low) & (seen < high)):
        _refuse(name, f"at least {low} and below {high}", seen, ~((seen >= low) & (seen < high)))
    return value


def shares(name: str, value):
    """Return value as a JAX array (n,); ValueError if concrete entries are no shares of one."""
    value = shaped(name, value, (None,))
    seen = _concrete(name, positive(name, value))
    if seen is not None and abs(seen.sum() - 1) > 1e-6:
        raise ValueError(f"Argument `{name}` must add up to 1, got a sum of {seen.sum():.6g}.")
    return value


DOMAINS = {
    "positive": positive,
    "non-negative": nonnegative,
    "finite": finite,
    "fraction": lambda name, value: between(name, value, 0, 1),
}


def within(domain: str, value):
    """Whether a number, or all of an array, is in a domain; traced values too."""
    value = jnp.asarray(value)
    good = jnp.isfinite(value)
    if domain == "positive":
        good = good & (value > 0)
    elif domain != "finite":
        good = good & (value >= 0)
    if domain == "fraction":
        good = good & (value < 1)
    return jnp.all(good)


def hyperparameters(domains: dict[str, str], **values) -> dict:
    """Numbers as JAX arrays; ValueError unless each is a scalar in its domain."""
    return {name: scalar(name, DOMAINS[domains[name]](name, x)) for name, x in values.items()}


def scalar(name: str, value):
    """Return value as a JAX array; raise ValueError if it is not a number."""
    _concrete(name, value)
    if np.shape(value) != ():
        raise ValueError(f"Argument `{name}` must be a scalar, got shape {np.shape(value)}.")
    return array(value)


def schedule(name: str, value, num_steps: int):
    """Return value as a JAX array; raise ValueError unless a scalar or of shape (num_steps,)."""
    _concrete(name, value)
    if np.shape(value) not in ((), (num_steps,)):
        raise ValueError(
            f"Argument `{name}` must be a scalar or of shape ({num_steps},), "
            f"got shape {np.shape(value)}."
        )
    return array(value)


def gram(name: str, value, size: int):
    """Return value as a JAX array, identity for None; raise ValueError unless a Gram matrix."""
    if value is None:
        return jnp.eye(size)
    seen = _concrete(name, value)
    if np.shape(value) != (size, size):
        raise ValueError(
            f"Argument `{name}` must have shape ({size}, {size}), got shape {np.shape(value)}."
        )
    if seen is not None:
        if not np.allclose(seen, seen.T) or not np.isfinite(seen).all():
            raise ValueError(
                f"Argument `{name}` must be symmetric and finite, got {seen.tolist()}."
            )
        lowest = np.linalg.eigvalsh(seen)[0]
        if lowest < -1e-10 * np.abs(seen).max():
            raise ValueError(
                f"Argument `{name}` must be positive semi-definite, got eigenvalue {lowest:.3g}."
            )
    return array(value)


def array(value):
    """Value as a JAX array of a definite floating type."""
    return jnp.asarray(value, _float(value))


def number(name: str, value):
    """Return value as a JAX array; raise ValueError unless it holds real numbers."""
    if not jnp.issubdtype(getattr(value, "dtype", object), jnp.floating):  # no copy from a device
        _concrete(name, value)
    return array(value)


def _float(value):
    """The type of a floating value; the default floating type for integers."""
    dtype = getattr(value, "dtype", None)
    return dtype if dtype is not None and jnp.issubdtype(dtype, jnp.floating) else float


def shaped(name: str, value, shape: tuple[int | None, ...]):
    """Return value as a JAX array; raise ValueError unless of that shape (None: any) and finite."""
    seen = _concrete(name, value)
    value = jnp.asarray(value, float)
    fits = value.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, value.shape, strict=True)
    )
    if not fits or 0 in value.shape:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"Argument `{name}` must have shape ({wanted}), got shape {value.shape}.")
    if seen is not None and not np.isfinite(seen).all():
        _refuse(name, "finite", seen, ~np.isfinite(seen))
    return value


def indices(name: str, value, num_steps: int, count: int):
    """Return value as (num_steps, batch) indices below count; None means all at every step."""
    if value is None:
        return jnp.broadcast_to(jnp.arange(count), (num_steps, count))
    if np.ndim(value) != 2 or len(value) != num_steps or 0 in np.shape(value):
        raise ValueError(
            f"Argument `{name}` must have shape ({num_steps}, batch), got shape {np.shape(value)}."
        )
    if not np.issubdtype(np.asarray(value).dtype, np.integer):
        raise ValueError(f"Argument `{name}` must be integers, got {np.asarray(value).dtype}.")
    seen = np.asarray(value)
    bad = (seen < 0) | (seen >= count)
    if bad.any():
        _refuse(name, f"indices from 0 to {count - 1}", seen, bad)
    return jnp.asarray(value)


def step(value, last: int, *, first: int = 0):
    """Return value, an int if it is concrete; raise ValueError unless first <= value <= last."""
    seen = _concrete("step", value)
    if seen is None:
        return value
    if seen.shape != () or seen.dtype.kind not in "iu" or not first <= seen <= last:
        found = seen.item() if seen.shape == () else named(value)
        raise ValueError(
            f"Argument `step` must be an integer between {first} and {last}, got {found}."
        )
    return int(seen)
