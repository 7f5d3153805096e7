"""What `spectrax solve outputs` finds out: computed by the library, gathered as plain arrays."""

import dataclasses
import functools

import equinox as eqx
import jax
import numpy as np

import spectrax
from spectrax.cli import common, figures
from spectrax.spectrum.expressions.many_outputs import build_law
from spectrax.spectrum.laws.cumulative import Cumulative, cumulative
from spectrax.spectrum.laws.mass import RESULTS

ROUNDED = ("nu", "omega", "samples")  # relative dimensions
RESIDUAL = 1e-6  # what a resolved law keeps to


@dataclasses.dataclass(frozen=True)
class Samples:
    """Eigenvalues of finite matrices."""

    size: int
    ratios: dict  # relative dimensions as they were rounded
    eigenvalues: np.ndarray  # (seeds, n), ascending, zeros included
    distance: np.ndarray  # (seeds,) Kolmogorov–Smirnov distance from the law


@dataclasses.dataclass(frozen=True)
class Report:
    """The law, the one before training, and samples."""

    law: Cumulative
    moments: tuple[float, float]  # first and second
    initial: spectrax.MarchenkoPastur | None  # None: all zeros
    title: str
    matrix: str  # whose eigenvalues these are
    samples: Samples | None = None

    @property
    def resolved(self) -> bool:
        """Whether the equations hold and nothing is missing."""
        return bool(self.law.residual < RESIDUAL and self.law.result == RESULTS.resolved)

    def summary(self) -> dict:
        """Results for the JSON sidecar."""
        summary = {
            "intervals": self.law.intervals,
            "edges": [self.law.intervals.min(), self.law.intervals.max()],
            "initial_edges": None if self.initial is None else [*self.initial.edges()],
            "atom": self.law.atom,
            "mean": self.moments[0],
            "second_moment": self.moments[1],
            "mass": self.law.mass,
            "residual": self.law.residual,
            "resolved": self.resolved,
        }
        if self.samples is not None:
            summary["simulation"] = {
                "size": self.samples.size,
                "num_seeds": len(self.samples.distance),
                **self.samples.ratios,
                **{name: dict(zip(("mean", "stderr"), x, strict=True)) for name, x in self.rows()},
            }
        return summary

    def rows(self):
        """Quantities of the samples: name, (mean, standard error)."""
        values = self.samples.eigenvalues
        yield "top_eigenvalue", estimate(values[:, -1])
        yield "mean", estimate(values.mean(1))
        yield "second_moment", estimate((values**2).mean(1))
        yield "ks_distance", estimate(self.samples.distance)

    def arrays(self) -> dict[str, np.ndarray]:
        """The numbers behind the figure, for the .npz."""
        law = self.law
        arrays = {"x": law.x, "density": law.density, "cumulative": law(law.x)}
        arrays |= {"intervals": law.intervals, "atom": np.asarray(law.atom)}
        if self.initial is not None:
            arrays |= dict(zip(("initial_x", "initial_density"), self.initial_curve(), strict=True))
        if self.samples is not None:
            arrays["eigenvalues"] = self.samples.eigenvalues
            arrays["ks_distance"] = self.samples.distance
        return arrays

    def initial_curve(self, points: int = 400) -> tuple[np.ndarray, np.ndarray]:
        """The law before training, on sine-spaced points."""
        low, high = (float(edge) for edge in self.initial.edges())
        x = low + (high - low) * np.sin(np.linspace(0, np.pi / 2, points + 2)[1:-1]) ** 2
        return x, np.asarray(self.initial.density(x))


def estimate(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard error over the seeds."""
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def law_of(parameters: dict):
    """The law that the options describe."""
    chosen = common.parameterization_of(parameters["parameterization"])
    return build_law(**parameters | {"parameterization": chosen})


def rounded(parameters: dict, size: int | None) -> dict:
    """The ratios that matrices of this size really have."""
    if size is None:
        return parameters
    found = {name: parameters[name] for name in ROUNDED if parameters[name] is not None}
    return parameters | {name: max(1, round(x * size)) / size for name, x in found.items()}


def number_of_stages(args) -> int:
    """Length of the progress bar: law, moments, each matrix, drawing."""
    return 3 + (0 if args.simulate is None else args.seeds)


def find(parameters: dict, args, bar) -> common.Result:
    """The result of the command."""
    found = make(parameters, args, bar)
    draw, code = functools.partial(figures.draw_law, found), 0 if found.resolved else 1
    return common.Result(found.summary(), found.arrays(), in_words(found), draw, code)


def make(parameters: dict, args, bar) -> Report:
    """Compute everything, moving the bar."""
    parameters = rounded(parameters, args.simulate)
    bar.set_description_str("law")
    law = law_of(parameters)
    found = cumulative(law, args.points)
    bar.update()
    bar.set_description_str("moments")
    moments = tuple(float(x) for x in _moments(law))
    bar.update()
    nu, layer, steps = (parameters[name] for name in ("nu", "layer", "steps"))
    initial = None
    if parameters["sigma"] > 0:
        unit = 1.0 if layer else nu
        initial = spectrax.MarchenkoPastur(unit, parameters["sigma"]).scaled(1 / unit)
    where = "" if parameters["depth"] == 1 else f", layer {layer} of {parameters['depth']}"
    return Report(
        found,
        moments,
        initial,
        title=("one step" if steps == 1 else "two steps") + where + _numbers(parameters),
        matrix="W^T W" if layer else "W^T W / nu",
        samples=None if args.simulate is None else _sample(law, found, parameters, args, bar),
    )


def _numbers(parameters: dict) -> str:
    names = {"nu": "ν", "omega": "ω", "kappa0": "κ₀"}
    return "".join(f", {sign} = {parameters[name]:g}" for name, sign in names.items())


@eqx.filter_jit
def _moments(law):
    return law.moment(1), law.moment(2)


def _sample(law, found: Cumulative, parameters: dict, args, bar) -> Samples:
    """Matrices of the same law, one after the other."""
    bar.set_description_str(f"{args.seeds} matrices")
    values = []
    for key in jax.random.split(jax.random.key(args.seed), args.seeds):
        W = np.asarray(law.sample(args.simulate, key=key))
        singular = np.linalg.svd(W, compute_uv=False)
        zeros = np.zeros(W.shape[1] - len(singular))
        values.append(np.append(zeros, singular[::-1] ** 2))
        bar.update()
    ratios = {name: parameters[name] for name in ROUNDED if parameters[name] is not None}
    distance = np.array([found.distance(x) for x in values])
    return Samples(args.simulate, ratios, np.stack(values), distance)


def in_words(report: Report) -> str:
    """A few lines for the terminal."""
    law, intervals = report.law, report.law.intervals
    bulk = ", ".join(f"{low:.4g} to {high:.4g}" for low, high in intervals)
    lines = [f"{report.title}: bulk of {report.matrix} from {bulk}"]
    if report.initial is not None:
        low, high = (float(edge) for edge in report.initial.edges())
        lines.append(f"at initialization from {low:.4g} to {high:.4g}")
    if law.atom > 0:
        lines.append(f"zero eigenvalues: {law.atom:.2%}")
    theory = {"top_eigenvalue": intervals.max(), "mean": report.moments[0]}
    theory |= {"second_moment": report.moments[1]}
    if report.samples is None:
        lines.append(f"mean {theory['mean']:.4g}, second moment {theory['second_moment']:.4g}")
    else:
        count, size = len(report.samples.distance), report.samples.size
        lines += ["", f"{'':<16}{'theory':>10}  {count} matrices of size {size}"]
        for name, (mean, stderr) in report.rows():
            expected = f"{theory[name]:.5g}" if name in theory else ""
            shown = name.replace("ks", "KS").replace("_", " ")
            lines.append(f"{shown:<16}{expected:>10}  {mean:.5g} ± {stderr:.1g}")
    if not report.resolved:
        lines += ["", f"not resolved: mass {law.mass:.4f}, residual {law.residual:.1e}"]
    return "\n".join([*lines, ""])
