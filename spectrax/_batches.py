"""Functions of one object, and batches of such objects."""

import functools
from collections import Counter
from collections.abc import Callable
from typing import TypeVar, cast

import equinox as eqx
import jax

F = TypeVar("F", bound=Callable)


def over_batches(function: F) -> F:
    """A function of one object, made to take batches of them too, such as `jax.vmap` returns.

    The first argument says in `batch_axes` how many leading axes all of its arrays have.
    """

    @functools.wraps(function)
    def mapped(one, *args, **kwargs):
        if not getattr(one, "batch_axes", 0):  # of a wrong kind: the function says so
            return function(one, *args, **kwargs)
        return eqx.filter_vmap(lambda one: mapped(one, *args, **kwargs))(one)

    return cast(F, mapped)


def counted(batch, size: int) -> str:
    """The messages of a batch of `size` results, each with how many have it."""
    arrays, rest = eqx.partition(batch, eqx.is_array)
    each = (jax.tree.map(lambda x, i=i: x[i], arrays) for i in range(size))
    found = Counter(eqx.combine(one, rest).message for one in each)
    return " ".join(f"{n} of {found.total()}: {x}" for x, n in found.items())


def require_one(name: str, value) -> None:
    """Refuse a batch in one sentence, where a function has no meaning for it."""
    if value.batch_axes:
        raise ValueError(f"Argument `{name}` must not be a batch; use `jax.vmap`.")
