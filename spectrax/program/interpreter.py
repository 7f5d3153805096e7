"""What gives a program its limit: how its tapes look, and what its operations mean."""

import abc
from collections.abc import Callable

import equinox as eqx

from spectrax.program.interface import AbstractOps
from spectrax.program.objects import Objects
from spectrax.program.plan import Plan
from spectrax.program.tapes import Tapes


class AbstractLimit(eqx.Module):
    """A limit, ready for one program."""

    @abc.abstractmethod
    def blank(self, plan: Plan, n: int) -> Tapes:
        """Tapes of n empty rows."""

    @abc.abstractmethod
    def ops(self, plan: Plan, objects: Objects, *state) -> AbstractOps:
        """Step t of a program: `state` are variances, weights, tapes, theta, t and live."""

    @abc.abstractmethod
    def map(self, row: Callable, *args):
        """Many rows."""

    @abc.abstractmethod
    def order(self, plan: Plan, tapes: Tapes, weights: dict) -> dict:
        """What stays of the tapes when the program is solved."""


class AbstractInterpreter(eqx.Module):
    """A way to take the limit of programs."""

    @abc.abstractmethod
    def prepare(self, plan: Plan, n: int) -> list[AbstractLimit]:
        """Limits of a program of n steps, whose mean is the answer: often a single one.

        Raises:
            ValueError: if it is not for this program.
        """
