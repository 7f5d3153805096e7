"""Compiled functions that keep their signature for editors and type checkers."""

from collections.abc import Callable
from typing import TypeVar, cast

import jax

F = TypeVar("F", bound=Callable)


def compiled(*static: str) -> Callable[[F], F]:
    """A decorator: `jax.jit`, whose own type forgets what it wraps.

    Args:
        static: names of the arguments that are no arrays.
    """

    def decorate(function: F) -> F:
        return cast(F, jax.jit(function, static_argnames=static))

    return decorate
