"""What a measured spectrum says: numbers, a table, one sentence."""

import dataclasses
from typing import Optional

import numpy as np

from spectrax.empirical.law import BulkLaw

REGIMES = ("bulk", "bulk + outliers", "restructured bulk")
TAIL = 0.1  # fraction of the eigenvalues that the tail exponent is read from


@dataclasses.dataclass(frozen=True, repr=False)
class WeightSpectrum:
    r"""What `measure_spectrum` returns; in double precision, k outliers, p = min(N, M).

    Args:
        shape: (N, M), outputs by inputs, kernels unfolded, rows and columns of zeros left out.
        sigma, sigma_stderr: noise level: the random entries have variance σ²/M after the division
            by √M (so that σ is the standard deviation of the entries themselves), and its error.
        threshold: eigenvalue that pure noise exceeds with probability `rate`.
        rate: false-outlier rate.
        location, location_stderr: outliers that survived the controls, descending, and their
            standard errors, (k,). If the bulk is restructured, all eigenvalues beyond the
            threshold, of a law that does not hold.
        strength, strength_stderr: effective strengths θ² and their standard errors, (k,).
        rejected: eigenvalues beyond the threshold that did not survive, descending, (r,).
        reasons: why, for each of them.
        controls: "made", "nothing to control", "switched off", or "no law to compare with" (the
            bulk is restructured).
        left, right: singular vectors of the outliers that survived, (k, N) and (k, M); none if no
            controls were made.
        top: largest eigenvalue.
        ks: largest distance between the distribution functions of bulk and law.
        regime: "bulk", "bulk + outliers" or "restructured bulk".
        method: "dense" or "lanczos".
        eigenvalues, weights: squared singular values of the divided array and what fraction of all
            each one stands for, (p,); of "lanczos" the nodes of all random vectors.
        dropped: how many rows and columns of zeros were left out.
        equalised: the same for the matrix whose rows and columns have equal variances (`equalise`,
            its entries of mean square one), if the bulk is restructured and controls are on.
    """

    shape: tuple[int, int]
    sigma: float
    sigma_stderr: float
    threshold: float
    rate: float
    location: np.ndarray
    location_stderr: np.ndarray
    strength: np.ndarray
    strength_stderr: np.ndarray
    rejected: np.ndarray
    reasons: tuple[str, ...]
    controls: str
    left: np.ndarray
    right: np.ndarray
    top: float
    ks: float
    regime: str
    method: str
    eigenvalues: np.ndarray
    weights: np.ndarray
    dropped: tuple[int, int] = (0, 0)
    equalised: Optional["WeightSpectrum"] = None

    @property
    def aspect(self) -> float:
        """Rows per column, N/M."""
        return self.shape[0] / self.shape[1]

    @property
    def law(self) -> BulkLaw:
        """The fitted law of the bulk."""
        return BulkLaw(self.aspect, self.sigma)

    @property
    def unit_law(self) -> BulkLaw:
        """The same with a noise level of one."""
        return BulkLaw(self.aspect, 1.0)

    @property
    def edge(self) -> float:
        """Upper edge of the fitted law."""
        return self.law.edges()[1]

    @property
    def beyond(self) -> int:
        """Number of eigenvalues beyond the threshold.

        Products resolve only the outermost of many: for "lanczos" and a restructured bulk this is
        an estimate from the density, and `location` a part of them.
        """
        if self.regime != REGIMES[2] or self.method == "dense":
            return len(self.location)
        mass = float(np.sum(self.weights[self.eigenvalues > self.threshold]))
        return max(len(self.location), round(mass * min(self.shape)))

    @property
    def restructured(self) -> bool:
        """Whether no law of independent entries describes the bulk."""
        return self.regime == REGIMES[2]

    @property
    def share(self) -> float:
        r"""Part of all squared entries that the outliers carry, $\sum z/\mathrm{tr}\,W^\top W$."""
        trace = min(self.shape) * float(np.sum(self.weights * self.eigenvalues))
        return float(np.sum(self.location)) / trace

    @property
    def effective_rank(self) -> float:
        r"""Number of directions that carry the matrix.

        $$e^{-\sum_i q_i\ln q_i}, \qquad q_i = \lambda_i\big/\textstyle\sum_j\lambda_j$$

        At most p; see `noise_rank`. Source: Roy and Vetterli (2007).
        """
        p, mean = min(self.shape), float(np.sum(self.weights * self.eigenvalues))
        x = self.eigenvalues[self.eigenvalues > 0] / mean
        entropy = np.sum(self.weights[self.eigenvalues > 0] * x * np.log(x))
        return float(p * np.exp(-entropy))

    @property
    def noise_rank(self) -> float:
        r"""Effective rank of noise of this shape, $p\,e^{-p/2q}$ with q = max(N, M).

        Source: Page (1993), for the entropy of a random state.
        """
        p, q = sorted(self.shape)
        return float(p * np.exp(-p / (2 * q)))

    @property
    def tail_exponent(self) -> float:
        r"""Exponent of a power law through the largest tenth, $\rho\sim\lambda^{-a}$.

        Hill's (1975) estimate $a = 1 + 1/\langle\ln(\lambda/\lambda_{\min})\rangle$ over that
        tenth. Noise has no such tail: $a\approx 8$ for square matrices. Below 4, few dominate.
        """
        order = np.argsort(-self.eigenvalues)
        values, weights = self.eigenvalues[order], self.weights[order]
        inside = np.cumsum(weights) <= max(TAIL, 4 / min(self.shape)) + 1e-12
        lowest = values[max(int(inside.sum()) - 1, 0)]
        mean = np.sum(weights[inside] * np.log(values[inside] / lowest)) / weights[inside].sum()
        return float(1 + 1 / max(mean, 1e-12))

    @property
    def sentence(self) -> str:
        """What this says about the layer, in one sentence."""
        if self.restructured:
            return self._restructured()
        count, lost = len(self.location), len(self.rejected)
        if count:
            what = f"Noise with {count} direction{'s' * (count != 1)} that noise does not have"
            if self.controls == "switched off":
                what = f"Noise with {count} outlier{'s' * (count != 1)}, no controls made"
            if self.share > 0.5:
                carry = "which carries" if count == 1 else "which carry"
                what += f", {carry} {self.share:.0%} of all squared entries"
        else:
            what = "Noise: nothing that independent entries would not show"
        if lost:
            causes = " and ".join(dict.fromkeys(self.reasons))
            form = (
                "eigenvalue beyond its edge comes"
                if lost == 1
                else "eigenvalues beyond its edge come"
            )
            what += f"; {lost}{' more' * bool(count)} {form} from {causes}"
        return what + "."

    def _restructured(self) -> str:
        """The sentence of a bulk that is no noise of one variance."""
        rank, noise = round(self.effective_rank), round(self.noise_rank)
        what = f"No noise of one variance: about {rank} of {min(self.shape)} directions carry it"
        what += f" (noise: {noise})"
        inner = self.equalised
        if inner is None:
            return what + "."
        if inner.restructured:
            return what + ", and uneven rows and columns do not explain it."
        what += "; uneven rows and columns explain the bulk"
        count = len(inner.location)
        return what + (
            f", {count} direction{'s' * (count != 1)} remain{'s' * (count == 1)}." if count else "."
        )

    def summary(self) -> dict:
        """The numbers of one row of a table; what a law that does not hold would say is None."""
        known = not self.restructured
        return {
            "rows": self.shape[0],
            "cols": self.shape[1],
            "aspect": self.aspect,
            "sigma": self.sigma if known else None,
            "sigma_stderr": self.sigma_stderr if known else None,
            "edge": self.edge if known else None,
            "threshold": self.threshold if known else None,
            "outliers": self.beyond if known else None,
            "rejected": len(self.rejected),
            "top": self.top,
            "ks": self.ks,
            "effective_rank": self.effective_rank,
            "tail_exponent": self.tail_exponent,
            "regime": self.regime,
            "sentence": self.sentence,
        }

    def __repr__(self) -> str:
        rows, cols = self.shape
        lines = [("shape", f"{rows} × {cols}, {self.method}"), ("regime", self.regime)]
        if any(self.dropped):
            lines.append(("zeros", "{} rows and {} columns left out".format(*self.dropped)))
        if self.restructured:
            lines += [
                ("rank", f"{self.effective_rank:.3g} effective, {self.noise_rank:.3g} in noise"),
                ("tail", f"exponent {self.tail_exponent:.2g}"),
            ]
        else:
            lines += [("sigma", f"{self.sigma:.4g} ± {self.sigma_stderr:.1g}")]
            lines += [
                ("edge", f"{self.edge:.4g}, noise passes {self.threshold:.4g} at {self.rate:g}")
            ]
            pairs = zip(self.location, self.location_stderr, strict=True)
            shown = ", ".join(f"{z:.4g} ± {dz:.1g}" for z, dz in list(pairs)[:6])
            more = ", …" * (len(self.location) > 6)
            lines += [("outliers", f"{len(self.location)}{': ' * bool(shown)}{shown}{more}")]
            lines += [("controls", self.controls)]
            if len(self.rejected):
                lines += [
                    ("rejected", f"{len(self.rejected)}: " + ", ".join(dict.fromkeys(self.reasons)))
                ]
        lines += [("top", f"{self.top:.4g}"), ("KS", f"{self.ks:.3f}")]
        table = "\n".join(f"  {name:<9} {value}" for name, value in lines)
        return f"{self.sentence}\n{table}"
