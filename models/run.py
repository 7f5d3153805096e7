"""A training in progress: what it does at each step, and what is in its folder."""

import dataclasses
import pathlib
import sys
import warnings

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tqdm import tqdm

from models import saving
from models.record import Record
from models.step import How, State, fingerprint, loss_of, place, update
from spectrax import check
from spectrax.records import versions

FIRST_LOSS = 0.02  # relative: what rounding in half precision does to a mean over samples


@dataclasses.dataclass(frozen=True)
class Settings:
    """What has to be the same when a training is continued."""

    num_steps: int
    batch_size: int
    accumulate: int
    snapshots: tuple[int, ...]
    evaluate_every: int | None
    evaluation_size: int
    parameters: dict

    def __post_init__(self):
        for name in ("num_steps", "batch_size", "accumulate", "evaluation_size"):
            check.integer(name, getattr(self, name), 1)
        if self.evaluate_every is not None:
            check.integer("evaluate_every", self.evaluate_every, 1)
        for step in self.snapshots:
            check.integer("snapshots", step, 0, self.num_steps)
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"Argument `accumulate` must divide batch_size = {self.batch_size}, "
                f"got {self.accumulate}."
            )


@dataclasses.dataclass
class Run:
    """A training and how far it is."""

    settings: Settings
    data: object
    how: How
    state: State
    fixed: nnx.State
    folder: pathlib.Path | None
    losses: list[float] = dataclasses.field(default_factory=list)
    evaluations: dict[int, float] = dataclasses.field(default_factory=dict)
    diverged_at: int | None = None
    kept: dict = dataclasses.field(default_factory=dict)
    finished: bool = False
    checksums: dict = dataclasses.field(default_factory=dict)
    sketches: dict = dataclasses.field(default_factory=dict)

    @property
    def step(self) -> int:
        """Number of updates made."""
        return len(self.losses) if self.diverged_at is None else self.diverged_at

    def batch(self, step: int):
        """The data of a step, on their way to the device."""
        size = self.settings.batch_size
        found = self.data.batch(step, size)
        return place(found, self.state.params, size, self.settings.accumulate)

    def train(self, save_every: int, progress: bool) -> None:
        """All steps that are left."""
        last = self.settings.num_steps
        look = "{percentage:3.0f}%|{bar:24}| {n}/{total} {elapsed}<{remaining} {desc}"
        hidden = not (progress and sys.stderr.isatty())
        bar = tqdm(
            total=last, initial=self.step, disable=hidden, bar_format=look, ncols=79, leave=False
        )
        with bar:
            batch = None if self.finished else self.batch(min(self.step, last - 1))
            while self.step < last and self.diverged_at is None:
                self.observe()
                step = self.step
                self.state, loss, fine = update(self.how, self.state, self.fixed, batch)
                if step + 1 < last:
                    batch = self.batch(step + 1)  # while the device is at work
                self.losses.append(float(loss))
                if not fine:
                    self.diverged_at = step
                elif self.folder and self.step % save_every == 0 and self.step < last:
                    self.save()
                bar.set_description_str(f"loss {self.losses[-1]:.4g}", refresh=False)
                bar.update()
        if not self.finished:
            self.finish()

    def observe(self, last: bool = False) -> None:
        """Snapshot and evaluation, if it is time for them."""
        step, every = self.step, self.settings.evaluate_every
        if last or step in self.settings.snapshots:
            arrays = saving.by_path(self.state.params)
            if self.folder is None:
                self.kept[step] = jax.tree.map(np.array, arrays)  # copies: the buffers are reused
            else:
                saving.write_arrays(saving.snapshot_path(self.folder, step), arrays)
        if every and (last or step % every == 0):
            self.evaluations[step] = self.evaluate()

    def evaluate(self) -> float:
        """Mean loss on the held-out samples, in pieces as large as a micro-batch."""
        size = self.settings.evaluation_size
        batch = place(self.data.evaluation(size), self.state.params, size)
        piece = min(size, self.settings.batch_size // self.settings.accumulate)
        total = 0.0
        for begin in range(0, size, piece):
            part = jax.tree.map(lambda x, at=slice(begin, begin + piece): x[at], batch)
            value = loss_of(self.how, self.state.params, self.fixed, part)
            total += float(value) * min(piece, size - begin)
        return total / size

    def finish(self) -> None:
        """The last snapshot and all files; the state comes last: where it is, everything is."""
        self.observe(last=True)
        if self.folder is not None:
            result = {"steps": self.step, "diverged_at": self.diverged_at}
            saving.write_sidecar(self.folder, self.description() | {"result": result})
            self.save()
        self.finished = True

    @property
    def record(self) -> Record:
        """What there is so far."""
        taken = {step for step in self.settings.snapshots if step < self.step} | {self.step}
        return Record(
            np.array(self.losses),
            np.array(list(self.evaluations), int),
            np.array(list(self.evaluations.values()), float),
            tuple(sorted(taken)),
            self.settings.batch_size,
            self.diverged_at,
            self.folder,
            self.kept,
        )

    # --- the folder

    def description(self) -> dict:
        """The sidecar. Checksums hold for one version and one kind of device."""
        arrays = saving.by_path(self.state.params)
        shapes = {name: f"{x.dtype} {list(x.shape)}" for name, x in arrays.items()}
        return {
            "training": dataclasses.asdict(self.settings) | {"arrays": shapes},
            "checksums": self.checksums,
            "sketches": self.sketches,
            "made_with": {"jax": jax.__version__, "backend": jax.default_backend()},
            "versions": versions() | {"flax": flax.__version__},
        }

    def open_folder(self) -> None:
        """Make sure that the folder is ours, and continue from the state in it."""
        batch = self.batch(0)
        self.checksums = {
            "initialization": saving.checksum(self.state.params),
            "first batch": saving.checksum(batch),
            "compiled step (model, loss, optimizer)": fingerprint(
                self.how, self.state, self.fixed, batch
            ),
        }
        self.sketches = {
            "initialization": saving.sketch(self.state.params),
            "first batch": saving.sketch(batch),
        }
        same_versions = saving.claim(self.folder, self.description())
        found = saving.read_state(self.folder, self.progress())
        if found is None:
            return
        if not same_versions:
            self.compare_first_loss(found["losses"], batch)
        self.state = jax.tree.map(lambda x: jnp.array(x, copy=True), found["state"])
        self.losses = found["losses"].tolist()
        steps, values = found["evaluation_steps"], found["evaluation_losses"]
        self.evaluations = dict(zip(steps.tolist(), values.tolist(), strict=True))
        self.diverged_at = int(found["diverged_at"]) if found["diverged_at"] >= 0 else None
        self.finished = self.diverged_at is not None or self.step == self.settings.num_steps

    def compare_first_loss(self, losses: np.ndarray, batch) -> None:
        """What can still be told of model and loss where compiled steps cannot be compared."""
        warnings.warn(
            f"The training in {str(self.folder)!r} was begun with another version of JAX or kind "
            "of device; its optimizer is not compared with this one.",
            stacklevel=4,
        )
        parts = range(self.settings.accumulate)
        pieces = [jax.tree.map(lambda x, at=k: x[at], batch) for k in parts]
        now = np.mean([float(loss_of(self.how, self.state.params, self.fixed, x)) for x in pieces])
        if losses.size and not np.isclose(now, losses[0], rtol=FIRST_LOSS):
            raise ValueError(
                "Argument `folder` must be that of the same training, but in "
                f"{str(self.folder)!r} the first loss is {losses[0]:.6g} there and {now:.6g} here."
            )

    def progress(self) -> dict:
        """Everything that training needs to continue; NumPy arrays are those that grow."""
        return {
            "state": self.state,
            "losses": np.array(self.losses, np.float64),
            "evaluation_steps": np.array(list(self.evaluations), np.int64),
            "evaluation_losses": np.array(list(self.evaluations.values()), np.float64),
            "diverged_at": np.array(-1 if self.diverged_at is None else self.diverged_at),
        }

    def save(self) -> None:
        """Write losses and state."""
        self.record.write()
        saving.write_state(self.folder, self.step, self.progress())
