"""Optimizers of Optax with one learning rate for each role."""

import functools

import jax
import optax
from flax import nnx

from models.roles import Role, path_of, roles
from models.scaling import OPTIMIZERS, Scaling
from spectrax import check

DECAYED = ("hidden", "output")
SCHEDULES = ("constant", "cosine")


def optimizer(
    model: nnx.Module,
    scaling: Scaling,
    *,
    name: str = "sgd",
    learning_rate: float,
    num_steps: int,
    warmup: int = 0,
    schedule: str = "constant",
    momentum: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.95),
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    clip: float | None = None,
) -> optax.GradientTransformation:
    """SGD or Adam at the rates that the scaling asks for.

    Args:
        model: network whose parameters carry roles.
        scaling: usually `model.scaling`.
        name: "sgd" or "adam" (AdamW).
        learning_rate: largest rate, at base width and depth and γ₀ = 1.
        num_steps: length of the run, where "cosine" reaches zero.
        warmup: steps of linear increase from zero.
        schedule: "constant" or "cosine", after the warm-up.
        momentum: of SGD.
        betas: of Adam.
        epsilon: of Adam, at base width and depth.
        weight_decay: of hidden and output kernels, at base width and depth. Decoupled for Adam,
            added to the gradient for SGD.
        clip: largest norm of the whole gradient at γ₀ = 1; gradients, and so the bound, go as 1/γ₀.

    Returns:
        A transformation for the parameters of this model, as state, as model or as plain arrays;
        for equal arguments and roles the same object, so that networks which differ in their seed
        share a compilation.

    Raises:
        ValueError: if a parameter has no role, or an option is out of range.

    Examples:
        >>> from flax import nnx
        >>> from models.cnn import CNN
        >>> from models.optimizer import optimizer
        >>> model = CNN(16, 2, rngs=nnx.Rngs(0))
        >>> tx = optimizer(model, model.scaling, learning_rate=0.1, num_steps=100)
        >>> state = nnx.Optimizer(model, tx, wrt=nnx.Param)
    """
    check.one_of("name", name, OPTIMIZERS)
    check.positive("learning_rate", learning_rate)
    check.nonnegative("weight_decay", weight_decay)
    check.one_of("schedule", schedule, SCHEDULES)
    num_steps = check.integer("num_steps", num_steps, 1)
    warmup = check.integer("warmup", warmup, 0, num_steps - 1)
    peak, decay, inertia, eps = map(float, (learning_rate, weight_decay, momentum, epsilon))
    groups = _groups(
        scaling,
        frozenset(roles(model).items()),
        name,
        (schedule, peak, num_steps, warmup),
        (inertia, *map(float, betas), eps, decay),
    )
    if clip is None:
        return groups
    return _clipped(groups, float(check.positive("clip", clip)) / scaling.gamma0)


@functools.lru_cache
def _groups(
    scaling: Scaling, tagged: frozenset, name: str, timing: tuple, numbers: tuple
) -> optax.GradientTransformation:
    """One transformation for each role."""
    rate, tags = _schedule(*timing), dict(tagged)
    momentum, *betas, epsilon, weight_decay = numbers

    def group(role: Role) -> optax.GradientTransformation:
        factor = scaling.rate(role.name, name, branch=role.branch)
        decay = weight_decay * scaling.decay(role.name, name, branch=role.branch)
        decay = decay if role.name in DECAYED else 0.0

        def scaled(count):
            return factor * rate(count)

        if name == "adam":
            eps = epsilon * scaling.epsilon(branch=role.branch)
            return optax.adamw(scaled, *betas, eps=eps, weight_decay=decay)
        return optax.chain(
            optax.add_decayed_weights(decay), optax.sgd(scaled, momentum=momentum or None)
        )

    def labels(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: str(tags[path_of(path)]), params)

    return optax.partition({str(role): group(role) for role in tags.values()}, labels)


@functools.lru_cache
def _clipped(transformation: optax.GradientTransformation, bound: float):
    return optax.chain(optax.clip_by_global_norm(bound), transformation)


def _schedule(name: str, peak: float, num_steps: int, warmup: int) -> optax.Schedule:
    """Linear warm-up, then constant or half a cosine."""
    if name == "constant":
        after = optax.constant_schedule(peak)
    else:
        after = optax.cosine_decay_schedule(peak, num_steps - warmup)
    if warmup == 0:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after], [warmup])
