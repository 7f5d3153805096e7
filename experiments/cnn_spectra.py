"""Residual CNNs in muP: a few outliers leave a bulk that stays what it was, at every width.

Hidden kernels, in their square unfolding, over training: number of outliers and largest eigenvalue
against the richness gamma0 and the width, and how far the bulk is from the law of noise.
"""

from _networks import (
    Claim,
    arguments,
    chosen,
    describe,
    dial,
    excess,
    finish,
    mean_of,
    snapshots,
    spectra,
    training_folder,
)

import numpy as np
from flax import nnx

from models import data
from models.cnn import CNN
from models.loss import cross_entropy
from models.optimizer import optimizer
from models.roles import hidden_kernels
from models.training import train
from spectrax import plotting
from spectrax.cli.spectrum_figure import draw_spectrum

SMALL = {
    "widths": (16, 32, 64),
    "gammas": (0.5, 1.0, 2.0, 4.0),
    "seeds": 3,
    "num_steps": 600,
    "batch_size": 32,
    "learning_rate": 0.03,
    "num_blocks": 2,
    "accumulate": 1,
    "stride": 2,
    "base_width": 32,
    "snapshots": 9,
}
PAPER = SMALL | {
    "widths": (64, 128, 256),
    "gammas": (0.25, 1.0, 4.0, 16.0),
    "num_steps": 8000,
    "batch_size": 128,
    "num_blocks": 3,
    "stride": 1,
    "base_width": 64,
    "snapshots": 13,
}
QUICK = {"widths": (8, 16), "gammas": (1.0, 4.0), "seeds": 2, "num_steps": 4, "snapshots": 3}


def load(args, seed: int):
    """Digits, or CIFAR-10."""
    if args.preset == "small":
        return data.digits(seed=seed)
    if args.synthetic:
        return data.synthetic_images((32, 32, 3), 10, seed=seed)
    return data.cifar10(args.data, seed=seed, augment=True)


def run(args, settings: dict, width: int, gamma0: float, seed: int) -> dict:
    """Train one network; spectra of its hidden kernels at every snapshot."""
    images = load(args, seed)
    model = CNN(
        width,
        settings["num_blocks"],
        num_classes=images.num_classes,
        in_channels=images.shape[-1],
        base_width=settings["base_width"],
        base_blocks=settings["num_blocks"],
        gamma0=gamma0,
        stride=settings["stride"],
        rngs=nnx.Rngs(seed),
    )
    num_steps = settings["num_steps"]
    record = train(
        model,
        optimizer(
            model, model.scaling, learning_rate=settings["learning_rate"], num_steps=num_steps
        ),
        images,
        cross_entropy,
        num_steps=num_steps,
        batch_size=settings["batch_size"],
        accumulate=settings["accumulate"],
        snapshots=snapshots(num_steps, settings["snapshots"]),
        folder=training_folder(args, "cnn_spectra", width=width, gamma0=gamma0, seed=seed),
        save_every=max(1, num_steps // 10),
        parameters=describe(settings | {"width": width, "gamma0": gamma0, "seed": seed}),
    )
    found = spectra(record, list(hidden_kernels(model)))
    print(f"width {width}, gamma0 {gamma0:g}, seed {seed}: {record.message}", flush=True)
    return {
        "steps": np.array(record.snapshots),
        "loss": record.losses,
        "outliers": np.array([mean_of(s, lambda m: m.beyond) for s in found.values()]),
        "top": np.array([mean_of(s, lambda m: m.top / m.sigma**2) for s in found.values()]),
        "edge": np.array([mean_of(s, lambda m: m.edge * m.shape[1]) for s in found.values()]),
        "ks": np.array([mean_of(s, lambda m: m.ks) for s in found.values()]),
        "excess": np.array([mean_of(s, excess) for s in found.values()]),
        "spectrum": list(found[record.snapshots[-1]].values())[-1],
    }


def claims(settings: dict, results: dict) -> list[Claim]:
    """The paper's claims as numbers, one for each seed."""
    widths, gammas = settings["widths"], settings["gammas"]
    middle, rich, poor = gammas[len(gammas) // 2], gammas[-1], gammas[0]
    seeds = range(settings["seeds"])

    def last(name, gamma0, width=widths[-1]):
        return np.array([results[width, gamma0, seed][name][-1] for seed in seeds])

    def shift(width):
        return last("edge", middle, width) - np.array(
            [results[width, middle, seed]["edge"][0] for seed in seeds]
        )

    widest = widths[-1]
    out = [
        Claim(
            f"outliers a kernel, width {widest}, gamma0 {rich:g}",
            last("outliers", rich),
            low=1.0,
        ),
        Claim(
            f"outliers more at gamma0 {rich:g} than at {poor:g}, width {widest}",
            last("outliers", rich) - last("outliers", poor),
            low=0.5,
        ),
        *[
            Claim(
                f"bulk distance over that of an unchanged bulk, width {widest}, gamma0 {gamma0:g}",
                last("excess", gamma0),
                high=1.0,
            )
            for gamma0 in gammas
        ],
    ]
    if len(widths) > 1:
        out += [
            Claim(
                f"largest eigenvalue, width {widest} over width {widths[-2]}, gamma0 {middle:g}",
                last("top", middle) / last("top", middle, widths[-2]),
                low=0.85,
                high=1.15,
            ),
            Claim(
                f"outliers a kernel, width {widest} less width {widths[-2]}, gamma0 {middle:g}",
                last("outliers", middle) - last("outliers", middle, widths[-2]),
                low=-1.0,
                high=1.0,
            ),
            Claim(
                f"edge of the bulk, width {widest} over width {widths[-2]}, gamma0 {middle:g}",
                last("edge", middle) / last("edge", middle, widths[-2]),
                low=0.95,
                high=1.05,
            ),
            Claim(
                f"shift of that edge, width {widest} over width {widths[-2]}, gamma0 {middle:g}",
                shift(widest) / shift(widths[-2]),
                high=0.75,
            ),
        ]
    return out


def draw(settings: dict, results: dict):
    """Outliers over training, against gamma0 and width; bulk distance; one spectrum."""
    import matplotlib.pyplot as plt

    widths, gammas, seeds = settings["widths"], settings["gammas"], range(settings["seeds"])
    widest, rich = widths[-1], gammas[-1]
    with plotting.style():
        fig, axes = plt.subplots(2, 3, figsize=(10.2, 5.6))
        for gamma0, color in zip(gammas, plotting.sequence(len(gammas)), strict=True):
            group = [results[widest, gamma0, seed] for seed in seeds]
            steps = np.maximum(group[0]["steps"], 0.5)  # the start, on the logarithmic axis
            for ax, name in zip(axes[0], ("top", "outliers", "excess"), strict=True):
                values = np.array([found[name] for found in group])
                ax.plot(steps, values.mean(0), "o-", ms=3, color=color, label=f"{gamma0:g}")
                ax.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.2, lw=0)
        labels = (
            r"largest eigenvalue / $\sigma^2$",
            "outliers of a kernel",
            "bulk distance / tolerance",
        )
        for ax, label in zip(axes[0], labels, strict=True):
            ax.set(xscale="log", xlabel="step", ylabel=label, title=f"width {widest}")
        axes[0, 2].axhline(1.0, color="0.6", lw=0.8)
        axes[0, 0].legend(title=r"$\gamma_0$")
        for ax, name, label in zip(axes[1, :2], ("top", "outliers"), labels, strict=False):
            for width, color in zip(widths, plotting.sequence(len(widths)), strict=True):
                values = np.array([[results[width, g, s][name][-1] for s in seeds] for g in gammas])
                stderr = values.std(1, ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else None
                ax.errorbar(
                    gammas, values.mean(1), stderr, fmt="o-", ms=3, color=color, label=f"{width}"
                )
            dial(ax, gammas, r"$\gamma_0$")
            ax.set(ylabel=label, title="end of training")
            ax.legend(title="width")
        draw_spectrum(axes[1, 2], results[widest, rich, 0]["spectrum"])
    plt.close(fig)
    return fig


def main() -> None:
    """Train, measure, draw, write, judge."""
    args = arguments(__doc__)
    settings = chosen(args, {"small": SMALL, "paper": PAPER}, QUICK, ("widths", "gammas"))
    results = {
        (width, gamma0, seed): run(args, settings, width, gamma0, args.seed + seed)
        for width in settings["widths"]
        for gamma0 in settings["gammas"]
        for seed in range(settings["seeds"])
    }
    arrays = {
        f"width_{width}_gamma0_{gamma0:g}_seed_{seed}_{name}": found[name]
        for (width, gamma0, seed), found in results.items()
        for name in ("steps", "loss", "outliers", "top", "edge", "ks", "excess")
    }
    figure = draw(settings, results)
    finish(args, "cnn_spectra", figure, arrays, claims(settings, results), settings)


if __name__ == "__main__":
    main()
