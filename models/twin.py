r"""Networks that the theory describes: one for each model that `spectrax.solve` takes."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

import spectrax as sx
from models.loss import squared_error
from models.mlp import MLP, gradient_descent, wide_mlp
from spectrax.training.functions import LOSSES


def loss_of_theory(model: sx.WideNetwork | sx.DeepLinear) -> Callable:
    """The loss whose gradient the theory of this model descends.

    For "mse" it is C/2 times what solutions report, for "logistic" C times, with C outputs.

    Raises:
        ValueError: if the model was given an error signal, which has no loss of its own.
    """
    name = getattr(model, "loss", "mse")
    if name == "mse":
        return squared_error
    if callable(name):
        raise ValueError(f"Argument `model` must have a loss that is known by name, got {name}.")
    return _logistic if name == "logistic" else _cross_entropy


def _logistic(network, inputs, targets):
    return jnp.mean(LOSSES["logistic"].value(targets, network(inputs))) * targets.shape[-1]


def _cross_entropy(network, inputs, targets):
    return jnp.mean(LOSSES["cross_entropy"].value(targets, network(inputs)))


def twin(
    model: sx.WideNetwork | sx.DeepLinear, size: int, *, key: jax.Array, dtype=jnp.float32
) -> tuple[MLP, optax.GradientTransformation, "Listed | Teacher"]:
    r"""A finite network, its optimizer and its data, whose limit is the theory of the model.

    Of a `DeepLinear` the raw step is $\eta\gamma^2 D$ and $a = 1/(\gamma\sqrt N)$; its teacher and
    its data are drawn anew for each key.

    Args:
        model: what `spectrax.solve` takes.
        size: as in `spectrax.simulate`: N for `WideNetwork`, D for `DeepLinear`, whose ratios are
            rounded (`model.rounded(size)[0]` is the model with the rounded ones).
        key: of initial weights and data.
        dtype: of the weights.

    Returns:
        Network, optimizer, data. Train on batches of `data.batch_size`, with
        `loss_of_theory(model)`.

    Raises:
        ValueError: if the model is neither of the two.

    Examples:
        >>> import jax, spectrax as sx
        >>> from models.loss import squared_error
        >>> from models.training import train
        >>> from models.twin import twin
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 10, alpha=2.0, nu=1.0, eta=0.1, gamma0=4.0)
        >>> network, transformation, data = twin(model, 400, key=jax.random.key(0))
        >>> record = train(
        ...     network,
        ...     transformation,
        ...     data,
        ...     squared_error,
        ...     num_steps=model.num_steps,
        ...     batch_size=data.batch_size,
        ... )
        >>> print(abs(2 * record.losses[5] / sx.solve(model).train_loss[5] - 1) < 0.2)
        True

    Source: theory page, sections 3.1 and 4.
    """
    if isinstance(model, sx.WideNetwork):
        return _wide_twin(model, size, key, dtype)
    if isinstance(model, sx.DeepLinear):
        return _linear_twin(model, size, key, dtype)
    raise ValueError(f"Argument `model` must be a WideNetwork or a DeepLinear, got {type(model)}.")


def _wide_twin(model: sx.WideNetwork, size: int, key, dtype):
    network, transformation = wide_mlp(
        model.depth,
        size,
        inputs=model.inputs.shape[1],
        outputs=model.targets.shape[1],
        eta=np.asarray(model.eta),
        gamma0=float(model.gamma0),
        sigma=float(model.sigma),
        activation=model.activation,
        momentum=float(model.momentum),
        weight_decay=float(model.weight_decay),
        key=key,
        dtype=dtype,
    )
    arrays = (model.inputs, model.targets, model.batches)
    return network, transformation, Listed(*map(np.asarray, arrays))


def _linear_twin(model: sx.DeepLinear, size: int, key, dtype):
    model, sizes = model.rounded(size)
    D, N, P = sizes["input"], sizes["hidden1"], sizes["samples"]
    for_weights, for_data = jax.random.split(key)
    gamma = float(model.gamma)
    network = MLP(
        model.depth,
        N,
        inputs=D,
        outputs=model.num_classes,
        multiplier=1 / (gamma * N**0.5),
        sigma=float(model.sigma),
        activation="identity",
        key=for_weights,
        dtype=dtype,
    )
    rates = np.asarray(model.effective_eta()) * gamma**2 * D
    how = (float(model.momentum), float(model.weight_decay), model.optimizer)
    noise = float(model.label_noise) ** 0.5
    seed = tuple(np.asarray(jax.random.key_data(for_data)).tolist())
    data = Teacher(seed, D, P, np.asarray(model.teacher_gram), noise, model.data == "online")
    return network, gradient_descent(rates, *how), data


@dataclasses.dataclass(frozen=True)
class Listed:
    """Given samples, and which of them each step sees.

    Args:
        inputs: (P, D).
        targets: (P, C).
        batches: indices, (steps, B).
    """

    inputs: np.ndarray
    targets: np.ndarray
    batches: np.ndarray

    @property
    def batch_size(self) -> int:
        """B."""
        return self.batches.shape[1]

    def batch(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples of a step; size must be `batch_size`."""
        _require_size(size, self.batch_size)
        chosen = self.batches[step]
        return self.inputs[chosen], self.targets[chosen]

    def evaluation(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The first `size` samples: there are no others."""
        return self.inputs[:size], self.targets[:size]


@dataclasses.dataclass(frozen=True)
class Teacher:
    r"""White inputs with the labels of linear teachers, $y = \beta^* \cdot x/\sqrt D$ plus noise.

    Args:
        seed: of everything random.
        dimension: D.
        batch_size: P, of every step.
        gram: inner products of the teachers, (C, C).
        noise: standard deviation of the noise of the labels.
        online: whether every step draws new samples.
    """

    seed: tuple[int, ...]
    dimension: int
    batch_size: int
    gram: np.ndarray
    noise: float
    online: bool

    @functools.cached_property
    def teachers(self) -> np.ndarray:
        r"""$\beta^*$, (C, D)."""
        values, vectors = np.linalg.eigh(self.gram)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        draws = np.random.default_rng([*self.seed, 0]).normal(size=(len(root), self.dimension))
        return root @ draws

    def batch(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Samples of a step; size must be `batch_size`."""
        _require_size(size, self.batch_size)
        return self._draw(step) if self.online else self._same

    @functools.cached_property
    def _same(self):
        return self._draw(0)

    def _draw(self, step: int):
        rng = np.random.default_rng([*self.seed, 1, step])
        x = rng.normal(size=(self.batch_size, self.dimension))
        y = x @ self.teachers.T / self.dimension**0.5
        return x, y + self.noise * rng.normal(size=y.shape)

    def evaluation(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        r"""The first `size` vectors of the basis $\sqrt D e_i$, free of noise.

        The mean squared error on all D of them is that of the population, exactly.
        """
        x = self.dimension**0.5 * np.eye(self.dimension)[:size]
        return x, x @ self.teachers.T / self.dimension**0.5


def _require_size(size: int, wanted: int) -> None:
    if size != wanted:
        raise ValueError(f"Argument `size` must be {wanted}, as in the theory, got {size}.")
