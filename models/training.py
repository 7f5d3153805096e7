"""The training loop of every network: one compiled step, snapshots, and a state to continue from.

A step depends on the weights, the optimizer's state and the data of its number, nothing else: a
training that was interrupted and continued ends with the same bits.
"""

import contextlib
import pathlib
from collections.abc import Callable, Iterable

import optax
from flax import nnx

from models.lock import held
from models.record import Record as Record
from models.record import log_spaced as log_spaced
from models.run import Run, Settings
from models.step import start
from spectrax import check


def train(
    model: nnx.Module,
    transformation: optax.GradientTransformation,
    data,
    loss: Callable,
    *,
    num_steps: int,
    batch_size: int,
    accumulate: int = 1,
    snapshots: Iterable[int] = (),
    folder: str | pathlib.Path | None = None,
    save_every: int | None = None,
    evaluate_every: int | None = None,
    evaluation_size: int | None = None,
    parameters: dict | None = None,
    progress: bool = True,
) -> Record:
    r"""Train a Flax network.

    $$\theta_{t+1} = \theta_t + \mathrm{update}_t\Big(\nabla_\theta\, \tfrac1A
      \textstyle\sum_{a<A} \mathcal L(\theta_t; \mathrm{batch}_{t,a})\Big)$$

    Started again with the same folder it continues from the last state there, to the same weights
    bit by bit (on a GPU under `XLA_FLAGS=--xla_gpu_deterministic_ops=true`), or returns what is
    finished. A loss beyond 1e100, or a loss or an update that is not finite, ends the training:
    that update is not made, everything before it is kept, and the record says at which step.

    A damaged state is left for the one before it, with a warning. Continued with another version of
    JAX or on another kind of device, initialization and first batch must agree to a thousandth and
    the first loss to a fiftieth, with a warning that the optimizer is not compared.

    Args:
        model: its `nnx.Param`s are trained, in place; floating inputs and targets are converted to
            their type (float32, unless the model was built otherwise).
        transformation: acts on `nnx.state(model, nnx.Param)`, once per step.
        data: `.batch(step, size)` gives (inputs, targets), pytrees of arrays with a leading axis of
            length size, and is a pure function; `.evaluation(size)` gives held-out ones.
        loss: `loss(model, inputs, targets)`, a scalar, the mean over samples.
        num_steps: number of updates.
        batch_size: samples of each update.
        accumulate: number A of micro-batches, of batch_size / A samples, that a batch is divided
            into to save memory; the mean gradient is the same.
        snapshots: numbers of updates after which the weights are kept, e.g. `log_spaced(…)`; 0 and
            num_steps are added.
        folder: for `step_….npz` (one for each snapshot), `losses.npz`, `training.json` and
            `state_….msgpack`; None keeps snapshots in memory.
        save_every: steps between states to continue from; None: at the end only.
        evaluate_every: steps between evaluations of the loss on held-out data; the last step is
            added. None: never.
        evaluation_size: held-out samples; batch_size by default.
        parameters: whatever describes the training beyond this call, for the sidecar; compared
            when the training is continued.
        progress: show a bar where somebody watches.

    Returns:
        A `Record`.

    Raises:
        ValueError: one sentence: an argument is out of its domain, or the folder is that of another
            training (names what differs), or another process is training there.
        CheckpointError: one sentence: every state in the folder is damaged.

    Examples:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from models.loss import squared_error
        >>> from models.mlp import wide_mlp
        >>> from models.training import train
        >>> class Data:
        ...     def batch(self, step, size):
        ...         x = np.random.default_rng(step).normal(size=(size, 3))
        ...         return x, x[:, :1]
        >>> options = {"inputs": 3, "eta": 0.3, "gamma0": 1.0, "key": jax.random.key(0)}
        >>> network, transformation = wide_mlp(2, 64, **options)
        >>> record = train(
        ...     network, transformation, Data(), squared_error, num_steps=50, batch_size=20
        ... )
        >>> record.losses.shape, bool(record.losses[-1] < 0.5 * record.losses[0])
        ((50,), True)
    """
    settings = Settings(
        num_steps=num_steps,
        batch_size=batch_size,
        accumulate=accumulate,
        snapshots=tuple(sorted({0, num_steps, *snapshots})),
        evaluate_every=evaluate_every,
        evaluation_size=batch_size if evaluation_size is None else evaluation_size,
        parameters=parameters or {},
    )
    if save_every is not None and folder is None:
        raise ValueError(f"Argument `save_every` needs a folder, got {save_every} without one.")
    save_every = num_steps if save_every is None else check.integer("save_every", save_every, 1)
    folder = None if folder is None else pathlib.Path(folder)
    run = Run(settings, data, *start(model, transformation, loss), folder)
    with contextlib.nullcontext() if folder is None else held(folder):
        if folder is not None:
            run.open_folder()
        run.train(save_every, progress)
    nnx.update(model, run.state.params)
    return run.record
