"""What every model of training is: a program, and with it a fixed-point problem."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from spectrax.program import causal
from spectrax.program.coordinates import coordinates
from spectrax.program.tapes import Tapes, write


class AbstractDMFT(eqx.Module):
    r"""A dynamical mean-field theory of training.

    A model states its hyperparameters (leaves of the pytree), the relative dimensions of its
    `spaces()`, its learning `rates()` and `optimizer_()`, and one `program(ops, t)`. Everything
    else is derived: the order parameters are the fixed point of `update`, and because row t
    depends on earlier rows only, `step` fills them in without iteration.

    Source: theory page, section P.
    """

    num_steps: eqx.AbstractVar[int]

    @abc.abstractmethod
    def spaces(self) -> dict:
        """Relative dimension of each space."""

    @abc.abstractmethod
    def program(self, ops, t) -> None:
        """One step of training."""

    @abc.abstractmethod
    def rates(self) -> Float[Array, " t"]:
        """Factor $c_t$ of the gradient of every trained weight at step t."""

    @abc.abstractmethod
    def transformation(self) -> optax.GradientTransformation:
        """The optimizer with unit rate."""

    def task(self) -> causal.Task:
        """The program with everything that its limit depends on."""
        theta = coordinates(self.transformation(), self.rates())
        program: Callable = self.program
        return causal.Task(program, self.spaces(), theta[:-1])

    def initial(self) -> Tapes:
        """Empty order parameters."""
        return self.task().blank()

    def step(self, order: Tapes, t: int | Int[Array, ""]) -> Tapes:
        """Fill in row t from the rows before it."""
        t = jnp.asarray(t)
        rows, *_ = self.task().row(order, t)
        return write(order, rows, t)

    def update(self, order: Tapes) -> Tapes:
        """The self-consistency map over whole kernels; its fixed point is the theory."""
        return causal.update(self.task(), order)[0]
