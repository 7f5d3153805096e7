"""Functions of one object, and batches of such objects."""

import functools
from collections.abc import Callable
from typing import TypeVar, cast

import equinox as eqx

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


def require_one(name: str, value) -> None:
    """Refuse a batch in one sentence, where a function has no meaning for it."""
    if value.batch_axes:
        raise ValueError(f"Argument `{name}` must not be a batch; use `jax.vmap`.")
