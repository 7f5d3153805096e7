"""What every model of training is: a program, and with it a fixed-point problem."""

import abc
import functools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from spectrax import _show, check
from spectrax.program import causal
from spectrax.program.abstract_pass import make_plan
from spectrax.program.coordinates import coordinates
from spectrax.program.finite import Network, Sizes, Trainer, unfolded
from spectrax.program.gaussian import GaussianLimit
from spectrax.program.interpreter import AbstractLimit
from spectrax.program.objects import Objects, Vector
from spectrax.program.plan import Plan
from spectrax.program.tapes import write
from spectrax.training.order import Order


class AbstractDMFT(eqx.Module):
    r"""A dynamical mean-field theory of training.

    A model states its hyperparameters (leaves of the pytree), the relative dimensions of its
    `spaces()`, its random `objects(t)`, its learning `rates()` and optimizer, and one
    `program(ops, t)`. Everything else is derived: the order parameters are the fixed point of
    `update`, and because row t depends on earlier rows only, `step` fills them in without
    iteration.

    Source: theory page, section P.
    """

    num_steps: eqx.AbstractVar[int]
    domains: ClassVar[dict[str, str]] = {}  # of hyperparameters, by name; see `check.DOMAINS`

    __repr__ = _show.table

    @property
    def has_gradients(self) -> bool:
        """Whether sampled averages may be differentiated along their paths."""
        return True

    @property
    def time_unit(self) -> Float[Array, "*batch"] | float:
        """Time of one step."""
        return 1.0

    @property
    def coupling(self) -> Float[Array, "*batch q q"] | None:
        """Given coupling of the spikes; None: that of the optimizer."""
        return None

    def matrix(self, network: Network, name: str) -> Float[Array, "rows cols"]:
        """A random matrix of a finite network, unfolded if it has a stencil."""
        return unfolded(network.store[name])

    @abc.abstractmethod
    def spaces(self) -> dict:
        """Relative dimension of each space."""

    @abc.abstractmethod
    def objects(self, t) -> Objects:
        """What is random, by name; what is drawn once has the moments stated for step 0."""

    @abc.abstractmethod
    def program(self, ops, t) -> None:
        """One step of training."""

    @abc.abstractmethod
    def rates(self) -> Float[Array, " t"]:
        """Factor $c_t$ of the gradient of every trained weight at step t."""

    def transformation(self) -> optax.GradientTransformation:
        """The optimizer with unit rate; gradient descent if nothing else is said."""
        return optax.sgd(1.0)

    @property
    def layers(self) -> tuple[str, ...]:
        r"""Objects between the layers: $W^0 \dots W^{L-1}$, then the readout if there is one.

        What is trained, in the order in which it is stated, if nothing else is said.
        """
        stated = self.objects(0).items()
        return tuple(k for k, x in stated if isinstance(x, Vector) or getattr(x, "trained", False))

    def valid(self) -> Bool[Array, ""]:
        """Whether every hyperparameter is in its domain (traced values cannot raise)."""
        found = [check.within(domain, getattr(self, k)) for k, domain in self.domains.items()]
        return jnp.stack([jnp.array(True), *found]).all()

    @abc.abstractmethod
    def rounded(self, size: int) -> tuple["AbstractDMFT", Sizes]:
        """The model of a network of that size, and dimensions of each space or of its groups."""

    def coordinates(self) -> Float[Array, "t1 t1"]:
        """Row t: (a, c_0, c_1, …) of every trained weight after t updates."""
        return coordinates(self.transformation(), self.rates())

    def task(self, interpreter: AbstractLimit = GaussianLimit()) -> causal.Task:
        """The program with everything that its limit depends on."""
        given = self.program, self.objects, self.spaces(), self.coordinates()[:-1]
        return causal.Task(*given, interpreter=interpreter, plan=self.plan())

    def trainer(self, sizes: Sizes) -> Trainer:
        """Trains finite networks with spaces of these dimensions; see `rounded`."""
        given = self.program, self.objects, self.transformation, self.rates()
        return Trainer(*given, tuple(sizes.items()))

    def plan(self) -> Plan:
        """What the program does; found once for all models that differ in numbers only."""
        arrays, rest = eqx.partition(self, _is_traced)
        leaves, structure = jax.tree.flatten(arrays)
        shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves)
        return _plan(structure, shapes, *_flat(rest))

    def initial(self) -> Order:
        """Empty order parameters."""
        task = self.task()
        return Order(task.blank(), task.plan, self.layers, task.weights())

    def step(self, order: Order, t: int | Int[Array, ""]) -> Order:
        """Fill in row t from the rows before it."""
        t = jnp.asarray(t)
        rows, *_ = self.task().row(order.tapes, t)
        return eqx.tree_at(lambda x: x.tapes, order, write(order.tapes, rows, t))

    def update(self, order: Order) -> Order:
        """The self-consistency map over whole kernels; its fixed point is the theory."""
        return eqx.tree_at(lambda x: x.tapes, order, causal.update(self.task(), order.tapes)[0])


def _is_traced(x) -> bool:
    """What `jit` treats as numbers, on whose values no plan can depend."""
    return isinstance(x, jax.Array | np.ndarray | np.generic)


def _flat(tree) -> tuple:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple(leaves)


@functools.lru_cache(maxsize=256)
def _plan(structure, shapes: tuple, rest_structure, rest: tuple) -> Plan:
    """The plan of all models of that structure: its program is run on abstract arrays."""
    found = []

    def run(leaves):
        rest_tree = jax.tree.unflatten(rest_structure, rest)
        model = eqx.combine(jax.tree.unflatten(structure, leaves), rest_tree)
        found.append(make_plan([model.program], model.objects, model.spaces()))

    jax.eval_shape(run, shapes)
    return found[0]
