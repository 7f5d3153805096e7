"""Theory against simulation, in units of standard errors."""

import equinox as eqx
import jax
import numpy as np

from spectrax import _kind, _show
from spectrax.seam import SymmetricWeights
from spectrax.simulation.ensemble import Ensemble, Estimate
from spectrax.spectrum import critical_strength, outlier_path
from spectrax.training.solution import Solution


class Comparison(eqx.Module):
    """Deviations of a simulation from the theory.

    Args:
        deviations: (simulation − theory) / standard error by name, each a flat array. Outliers
            count only where their strength exceeds 1.3 times the critical one: nearer to the edge
            a finite matrix shifts them by more than its standard error.
        relative_errors: standard error / |theory|, likewise.
    """

    deviations: dict[str, np.ndarray]
    relative_errors: dict[str, np.ndarray]

    @property
    def worst(self) -> float:
        """Largest deviation, in standard errors."""
        return max((float(np.max(x)) for x in map(np.abs, self.deviations.values())), default=0.0)

    def rows(self) -> list[dict]:
        """One row for each quantity: root mean square, worst deviation, and so on."""
        return [
            deviation_row(name, z, self.relative_errors[name])
            for name, z in self.deviations.items()
        ]

    def __str__(self) -> str:
        return deviation_table(self.rows())

    __repr__ = _show.printed


def deviation_row(quantity: str, z: np.ndarray, relative_errors: np.ndarray) -> dict:
    """What a table says about deviations z, in standard errors."""
    return {
        "quantity": quantity,
        "points": z.size,
        "rms": np.hypot.reduce(z, axis=None) / np.sqrt(z.size),  # squares could overflow
        "worst": np.abs(z).max(),
        "within_two": np.mean(np.abs(z) < 2),
        "relative_stderr": np.median(relative_errors),
    }


def deviation_table(rows: list[dict]) -> str:
    """Rows in columns that stay apart, whatever the numbers."""
    cells = [("quantity", "points", "rms", "worst", "< 2 s.e.", "s.e. / value")]
    for row in rows:
        rms, worst = (f"{x:.2f}" if x < 1e5 else f"{x:.1e}" for x in (row["rms"], row["worst"]))
        error = row["relative_stderr"]
        error = f"{error:.2%}" if error < 100 else f"{error:.1e}"
        inside = f"{row['within_two']:.0%}"
        cells.append((row["quantity"], str(row["points"]), rms, worst, inside, error))
    return "\n".join(_show.columns(cells))


def compare(solution: Solution, ensemble: Ensemble) -> Comparison:
    """Deviations of an ensemble of finite networks from the theory, in standard errors.

    Losses, predictions and the diagonals of all correlation kernels at every step before a
    divergence, and the outliers of every layer at the steps at which the ensemble took spectra.

    Args:
        solution: of `ensemble.model` (the model with the ratios of the rounded sizes).
        ensemble: what `simulate` returned.

    Returns:
        A `Comparison`; print it for a table.

    Raises:
        ValueError: if the solution is of another model.

    Examples:
        >>> import jax, spectrax as sx
        >>> sx.enable_x64()
        >>> model = sx.DeepLinear(1, 5, alpha=2.0, nu=1.0, eta=0.1, gamma0=4.0)
        >>> ensemble = sx.simulate(model, 200, key=jax.random.key(0), num_seeds=8)
        >>> sx.compare(sx.solve(model), ensemble).worst < 6
        True
    """
    _kind.solution(solution)
    _kind.ensemble(ensemble)
    _require_same(solution, ensemble)
    theory: dict[str, tuple] = {}
    for name in ("train_loss", "test_loss", "predictions", "test_predictions"):
        found = getattr(ensemble, name)
        if found is not None:
            flat = Estimate(np.ravel(found.mean), np.ravel(found.stderr))
            theory[name] = (np.ravel(getattr(solution, name)), flat)
    for name in ("Ch", "Cg"):
        kernels = zip(getattr(solution.order, name), getattr(ensemble.order, name), strict=True)
        for layer, (kernel, estimate) in enumerate(kernels):
            if kernel is not None:
                diagonal = Estimate(np.diag(estimate.mean), np.diag(estimate.stderr))
                theory[f"{name}[{layer}] diagonal"] = (np.diag(kernel), diagonal)
    good = int(solution.stats["diverged_at"])
    deviations, errors = {}, {}
    for name, (values, estimate) in theory.items():
        upto = good * (np.size(values) // solution.model.num_steps)
        _enter(name, np.asarray(values)[:upto], estimate, slice(upto), deviations, errors)
    for index, layer in enumerate(solution.layers):
        _enter_outliers(solution, ensemble, index, layer, deviations, errors)
    return Comparison(deviations, errors)


def _enter(name, values, estimate: Estimate, where, deviations, errors) -> None:
    mean, stderr = np.asarray(estimate.mean)[where], np.asarray(estimate.stderr)[where]
    known = (stderr > 0) & np.isfinite(stderr)
    if known.any():
        deviations[name] = ((mean - values)[known] / stderr[known]).ravel()
        errors[name] = (stderr[known] / np.maximum(np.abs(values[known]), 1e-300)).ravel()


def _enter_outliers(solution, ensemble, index: int, layer: int, deviations, errors) -> None:
    """Outliers at the steps of the ensemble's spectra, where far enough from the edge."""
    weights, steps = solution.weights(layer), np.asarray(ensemble.spectrum_steps)
    mean, stderr = (np.asarray(x)[index] for x in jax.tree.leaves(ensemble.top_eigenvalues))
    threshold = np.array([float(critical_strength(weights.at(int(t)))) for t in steps])
    sides = {"above": slice(None)}
    if isinstance(weights, SymmetricWeights):  # the ensemble has as many of the smallest
        half = mean.shape[-1] // 2
        sides = {"above": slice(half), "below": slice(half, None)}
    for side, part in sides.items():
        estimate = Estimate(mean[:, part], stderr[:, part])
        path = outlier_path(weights, estimate.mean.shape[-1], side=side)
        strength = np.abs(np.asarray(path.strength)[steps])
        far = np.asarray(path.escaped)[steps] & (strength > 1.3 * threshold[:, None])
        where = "" if side == "above" else " below"
        values = np.asarray(path.location)[steps][far]
        _enter(f"outliers of W{layer}{where}", values, estimate, far, deviations, errors)


def _require_same(solution: Solution, ensemble: Ensemble) -> None:
    ours, theirs = solution.model, ensemble.model
    same = eqx.tree_equal(ours, theirs, rtol=1e-6, atol=1e-12)
    if not bool(same):
        raise ValueError(
            "Argument `solution` must be the solution of `ensemble.model`, whose ratios are those "
            f"of the simulated sizes at size {ensemble.size}; solve that model."
        )
