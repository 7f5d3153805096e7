"""Residual CNNs in muP: a few outliers leave a bulk that stays what it was, at every width.

Hidden kernels, in their square unfolding, over training: number of outliers and largest eigenvalue
against the richness gamma0 and the width, and how far the bulk is from the law of noise.
"""

from functools import partial

from _networks import (
    Claim,
    arguments,
    at_the_end,
    chosen,
    dial,
    finish,
    measured,
    over_training,
    sweep,
)

import numpy as np
from flax import nnx

from models import data
from models.cnn import CNN
from models.loss import cross_entropy
from models.optimizer import optimizer
from spectrax import plotting
from spectrax.plotting.measured import draw_spectrum

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
    rate, num_steps = settings["learning_rate"], settings["num_steps"]
    transformation = optimizer(model, model.scaling, learning_rate=rate, num_steps=num_steps)
    dials = {"width": width, "gamma0": gamma0, "seed": seed}
    return measured(
        args, "cnn_spectra", settings, dials, model, transformation, images, cross_entropy
    )


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
    labels = {
        "top": r"largest eigenvalue / $\sigma^2$",
        "outliers": "outliers of a kernel",
        "excess": "bulk distance / tolerance",
    }
    with plotting.style():
        fig, axes = plt.subplots(2, 3, figsize=(10.2, 5.6))
        for ax, (name, label) in zip(axes[0], labels.items(), strict=True):
            for gamma0, color in zip(gammas, plotting.sequence(len(gammas)), strict=True):
                group = [results[widest, gamma0, seed] for seed in seeds]
                over_training(ax, group, name, color=color, label=f"{gamma0:g}")
            ax.set(xlabel="step", ylabel=label, title=f"width {widest}")
        axes[0, 2].axhline(1.0, color="0.6", lw=0.8)
        axes[0, 0].legend(title=r"$\gamma_0$")
        for ax, (name, label) in zip(axes[1, :2], labels.items(), strict=False):
            for width, color in zip(widths, plotting.sequence(len(widths)), strict=True):
                groups = [[results[width, g, s] for s in seeds] for g in gammas]
                at_the_end(ax, gammas, groups, name, color=color, label=f"{width}")
            dial(ax, gammas, r"$\gamma_0$")
            ax.set(ylabel=label, title="end of training")
            ax.legend(title="width")
        draw_spectrum(axes[1, 2], list(results[widest, rich, 0]["spectra"].values())[-1])
    plt.close(fig)
    return fig


def main() -> None:
    """Train, measure, draw, write, judge."""
    args = arguments(__doc__)
    dials = ("widths", "gammas")
    settings = chosen(args, {"small": SMALL, "paper": PAPER}, QUICK, dials)
    results = sweep(partial(run, args, settings), settings, args.seed, *dials)
    label = "width_{}_gamma0_{:g}_seed_{}".format
    judged, figure = claims(settings, results), draw(settings, results)
    finish(args, "cnn_spectra", settings, results, label, judged, figure)


if __name__ == "__main__":
    main()
