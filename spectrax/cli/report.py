"""What `spectrax solve` finds out: computed by the library, gathered here as plain arrays."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

import spectrax
from spectrax.cli import common, figures
from spectrax.spectrum.trajectory.layer import LayerReport, layer_report

RISE = 1e-3  # of a loss, relative: less is the error of sampled averages
SIMULATED_STEPS = 11  # spectra of the networks are measured at so many steps of the training


@dataclasses.dataclass(frozen=True)
class Report:
    """The training and its layers; after a divergence only the steps before it."""

    train_loss: np.ndarray
    test_loss: np.ndarray | None
    layers: list[LayerReport]
    names: list[str]
    message: str
    residual: float
    diverged_at: int | None
    ensemble: Any = None
    comparison: Any = None
    rises_at: int | None = None

    @property
    def warning(self) -> str | None:
        """One sentence where networks cannot be expected to follow the theory."""
        if self.rises_at is None:
            return None
        return (
            f"The training loss rises at step {self.rises_at}: the learning rate exceeds 2 over "
            "the sharpness there, and finite networks leave the theory; choose a smaller --eta."
        )

    @property
    def diverged(self) -> bool:
        """Whether the training left the finite numbers."""
        return self.diverged_at is not None

    def summary(self) -> dict:
        """Results for the JSON sidecar."""
        summary = {
            "message": self.message,
            "warning": self.warning,
            "diverged_at": self.diverged_at,
            "residual": self.residual,
            **{f"{k}_loss": x[-1] if x.size else None for k, x in self.losses().items()},
            "layers": [layer.summary() for layer in self.layers],
        }
        if self.ensemble is not None:
            summary["simulation"] = self._simulation_summary()
        return summary

    def _simulation_summary(self) -> dict:
        ens = self.ensemble
        return {
            "size": ens.size,
            "num_seeds": ens.num_seeds,
            **{k: getattr(ens.model, k) for k in ("alpha", "nu") if hasattr(ens.model, k)},
            "worst_deviation": self.comparison.worst,
            **{f"{k}_loss": statistic(x, -1) for k, x in self.simulated_losses().items()},
            "step": ens.spectrum_steps[-1],
            "top_eigenvalues": [
                statistic(ens.top_eigenvalues, (layer, -1, 0)) for layer in range(len(self.layers))
            ],
        }

    def losses(self) -> dict[str, np.ndarray]:
        """The losses that exist, by name."""
        found = {"train": self.train_loss, "test": self.test_loss}
        return {name: values for name, values in found.items() if values is not None}

    def simulated_losses(self) -> dict[str, Any]:
        """Losses of the networks, by name."""
        return {name: getattr(self.ensemble, f"{name}_loss") for name in self.losses()}

    def arrays(self) -> dict[str, np.ndarray]:
        """The numbers behind the figure, for the .npz."""
        arrays = {f"{name}_loss": values for name, values in self.losses().items()}
        names = ("aspect", "sigma", "edge", "location", "escaped", "strength", "escape_step")
        for name in names if self.layers else ():
            arrays[name] = np.stack([np.asarray(getattr(layer, name)) for layer in self.layers])
        if self.ensemble is not None:
            arrays["simulation_steps"] = np.asarray(self.ensemble.spectrum_steps)
            found = {f"{name}_loss": x for name, x in self.simulated_losses().items()}
            found["top_eigenvalues"] = self.ensemble.top_eigenvalues
            for name, values in found.items():
                arrays[f"simulation_{name}_mean"] = np.asarray(values.mean)
                arrays[f"simulation_{name}_stderr"] = np.asarray(values.stderr)
        return arrays


def statistic(values, index) -> dict:
    """Mean and standard error of one entry."""
    return {"mean": np.asarray(values.mean)[index], "stderr": np.asarray(values.stderr)[index]}


def number_of_stages(model, args) -> int:
    """Length of the progress bar: theory, each layer's spectrum, each network, drawing."""
    return 2 + len(model.plan().matrices) + (0 if args.simulate is None else args.seeds)


def make(model, args, bar, interpreter=None) -> Report:
    """Compute everything, moving the bar."""
    bar.set_description_str("theory")
    solution = spectrax.solve(model, interpreter=interpreter, throw=False)
    diverged_at = int(solution.stats["diverged_at"])
    valid = min(diverged_at, model.num_steps)
    bar.update()
    layers = []
    for layer in solution.layers:
        bar.set_description_str(f"spectrum of layer {layer}")
        layers.append(layer_report(solution.weights(layer), args.count, valid))
        bar.update()
    ensemble = comparison = None
    if args.simulate is not None:
        bar.set_description_str(f"{args.seeds} networks")
        ensemble = simulate(model, args, bar)
        comparison = spectrax.compare(solution, ensemble)
    return Report(
        train_loss=np.asarray(solution.train_loss)[:valid],
        test_loss=(
            np.asarray(solution.test_loss)[:valid] if "test_error" in solution.observed else None
        ),
        layers=layers,
        names=list(solution.order.matrices),
        message=solution.message,
        residual=float(solution.stats["residual"]),
        diverged_at=diverged_at if diverged_at < model.num_steps else None,
        ensemble=ensemble,
        comparison=comparison,
        rises_at=first_rise(model, np.asarray(solution.train_loss)[:valid]),
    )


def first_rise(model, loss: np.ndarray) -> int | None:
    """First step with a larger loss than the step before it, where only instability does that.

    Plain gradient descent on all samples and below 2 over the sharpness never raises the loss.
    None for fresh or changing batches, momentum, decay or an optimizer of one's own, and for
    losses that are not the one whose gradient is followed.
    """
    batches = getattr(model, "batches", None)
    repeats = getattr(model, "data", "full_batch") == "full_batch"
    if batches is not None:
        samples = np.sort(np.asarray(batches), axis=1)
        whole = np.arange(model.inputs.shape[0])
        repeats = samples.shape[1] == len(whole) and bool((samples == whole).all())
    plain = not (np.any(model.momentum) or np.any(model.weight_decay))
    plain = plain and getattr(model, "optimizer", None) is None
    if not (repeats and plain) or callable(getattr(model, "loss", None)):
        return None
    rises = np.flatnonzero(loss[1:] > loss[:-1] * (1 + RISE) + RISE**2 * loss[:1])
    return int(rises[0]) + 1 if rises.size else None


def simulate(model, args, bar):
    """Networks of the same model; their largest eigenvalues at evenly spaced steps."""
    steps = np.unique(np.linspace(0, model.num_steps, SIMULATED_STEPS).round().astype(int))
    return spectrax.simulate(
        model,
        args.simulate,
        key=jax.random.key(args.seed),
        num_seeds=args.seeds,
        spectrum_steps=tuple(int(step) for step in steps),
        all_eigenvalues=True,
        progress=lambda done: bar.update(),
    )


def report_on(model, args, name: str, parameters: dict, interpreter=None) -> int:
    """Solve a model, simulate, draw, write under a name, print."""
    if args.simulate is not None:
        # Theory of the very ratios that are simulated.
        model, sizes = model.rounded(args.simulate)
        largest = sorted(sizes.values())[-2:]
        common.require_memory(f"--simulate {args.simulate}", 8 * largest[0] * largest[-1])
    request = {"count": args.count, "simulate": args.simulate, "num_seeds": args.seeds}
    request = {"parameters": parameters, **request, "seed": args.seed}

    def find(bar):
        found = make(model, args, bar, interpreter)
        draw = functools.partial(figures.draw_training, found)
        code = int(found.diverged)
        return common.Result(found.summary(), found.arrays(), in_words(found), draw, code)

    return common.carry_out(args, name, number_of_stages(model, args), find, **request)


# --- in words


def in_words(report) -> str:
    """A few lines for the terminal."""
    lines = [report.message, *_losses(report)]
    if report.warning is not None:
        lines.append(report.warning)
    lines += ["", *_table(report), ""]
    if report.comparison is not None:
        lines += ["networks against theory, in standard errors:", str(report.comparison)]
        lines += [_caution(report.ensemble.num_seeds), ""]
    return "\n".join(lines)


def _caution(num: int) -> str:
    """What deviations in units of estimated errors are worth."""
    return (
        f"The standard errors come from {num} networks and are known to {(2 * num - 2) ** -0.5:.0%}"
        " themselves; the points of a row share these networks and deviate together."
    )


def _losses(report):
    for name, values in report.losses().items():
        if not values.size:
            continue
        line = f"{name} loss {values[0]:.4g} at step 0, {values[-1]:.4g} at step {values.size - 1}"
        if report.ensemble is not None:
            line += f" (networks {_mean(getattr(report.ensemble, f'{name}_loss'), -1)})"
        yield line


def _table(report):
    header = ["layer", "bulk edge", "escape step", "outliers at the end"]
    ensemble = report.ensemble
    if ensemble is not None:
        header.append(f"largest of {ensemble.num_seeds} networks of size {ensemble.size}")
    rows = [header]
    for index, layer in enumerate(report.layers):
        outliers = layer.location[-1][layer.escaped[-1]]
        escape = f"{layer.escape_step:.2f}" if np.isfinite(layer.escape_step) else "never"
        found = " ".join(f"{x:.5g}" for x in outliers) or "none"
        row = [report.names[index], f"{layer.edge[-1]:.4f}", escape, found]
        if ensemble is not None:
            row.append(_mean(ensemble.top_eigenvalues, (index, -1, 0)))
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _mean(statistic, index) -> str:
    mean, stderr = np.asarray(statistic.mean)[index], np.asarray(statistic.stderr)[index]
    return f"{mean:.4g} ± {stderr:.1g}"
