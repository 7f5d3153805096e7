"""ResNet-18 in muP with Adam: the bulk itself changes, instead of ejecting a few outliers.

Hidden convolutions, in their square unfolding, over the images seen: how far the bulk is from the
law of noise, how many eigenvalues lie beyond it, how large the largest is.
"""

import dataclasses
from functools import partial

from _networks import Claim, arguments, chosen, finish, measured, over_training, sweep

import numpy as np
from flax import nnx

from models import data
from models.loss import cross_entropy
from models.optimizer import optimizer
from models.resnet import ResNet18
from spectrax import plotting
from spectrax.plotting.measured import draw_spectrum

SMALL = {
    "widths": (8, 16),
    "rates": (2e-3, 4e-3, 8e-3),
    "seeds": 3,
    "num_steps": 1200,
    "batch_size": 32,
    "accumulate": 1,
    "base_width": 8,
    "weight_decay": 0.0,
    "snapshots": 9,
    "enlarge": 2,  # times the 8 x 8 pixels of a digit
}
PAPER = SMALL | {
    "widths": (64, 128),
    "rates": (1e-3,),
    "seeds": 1,
    "num_steps": 100_000,
    "batch_size": 1024,
    "accumulate": 8,
    "base_width": 64,
    "snapshots": 17,
}
QUICK = {"widths": (4,), "rates": (1e-3, 4e-3), "seeds": 2, "num_steps": 3, "snapshots": 3}
# Convolutions between hidden layers of equal width, in the middle of the network.
LAYERS = ("blocks/2/conv2/kernel", "blocks/3/conv1/kernel", "blocks/4/conv2/kernel")


def load(args, settings: dict, seed: int):
    """Enlarged digits, or ImageNet."""
    if args.synthetic:
        return data.synthetic_images((224, 224, 3), 1000, seed=seed)
    if args.preset == "paper":
        return data.image_folder(args.data, seed=seed, augment=True)
    digits, times = data.digits(seed=seed), settings["enlarge"]

    def enlarged(images):
        return images.repeat(times, axis=1).repeat(times, axis=2)

    inputs, test_inputs = enlarged(digits.inputs), enlarged(digits.test_inputs)
    return dataclasses.replace(digits, inputs=inputs, test_inputs=test_inputs)


def run(args, settings: dict, width: int, rate: float, seed: int) -> dict:
    """Train one network; spectra of three hidden convolutions at every snapshot."""
    images = load(args, settings, seed)
    model = ResNet18(
        width,
        num_classes=images.num_classes,
        in_channels=images.shape[-1],
        base_width=settings["base_width"],
        rngs=nnx.Rngs(seed),
    )
    transformation = optimizer(
        model,
        model.scaling,
        name="adam",
        learning_rate=rate,
        num_steps=settings["num_steps"],
        weight_decay=settings["weight_decay"],
    )
    dials = {"width": width, "rate": rate, "seed": seed}
    return measured(
        args,
        "resnet_spectra",
        settings,
        dials,
        model,
        transformation,
        images,
        cross_entropy,
        LAYERS,
    )


def claims(settings: dict, results: dict) -> list[Claim]:
    """The paper's claim as numbers, one for each seed."""
    widths, rates, seeds = settings["widths"], settings["rates"], range(settings["seeds"])
    wide, fast = widths[-1], rates[-1]

    def of(name, rate, width=wide, step=-1):
        return np.array([results[width, rate, seed][name][step] for seed in seeds])

    out = [
        Claim(
            f"bulk distance over that of an unchanged bulk, width {wide}, rate {rate:g}",
            of("excess", rate),
            low=1.0,
        )
        for rate in rates
    ]
    out.append(
        Claim(
            f"share of eigenvalues beyond the bulk, width {wide}, rate {fast:g}",
            of("share", fast),
            low=0.1,
        )
    )
    if len(widths) > 1:
        out.append(
            Claim(
                f"bulk distance, width {wide} over width {widths[-2]}, rate {fast:g}",
                of("ks", fast) / of("ks", fast, widths[-2]),
                low=0.8,
                high=1.25,
            )
        )
    return out


def draw(settings: dict, results: dict):
    """Bulk distance, share beyond and largest eigenvalue over training; final spectra."""
    import matplotlib.pyplot as plt

    widths, rates, seeds = settings["widths"], settings["rates"], range(settings["seeds"])
    names = {
        "ks": "bulk distance (KS)",
        "share": "share beyond the bulk",
        "over_edge": "largest eigenvalue / edge",
    }
    styles = dict(zip(widths, ("-", "--", ":"), strict=False))
    with plotting.style():
        fig, axes = plt.subplots(2, 3, figsize=(10.2, 5.6))
        for ax, (name, label) in zip(axes[0], names.items(), strict=True):
            for rate, color in zip(rates, plotting.sequence(len(rates)), strict=True):
                for width, style in styles.items():
                    group = [results[width, rate, seed] for seed in seeds]
                    note = f"{rate:g}" if width == widths[0] else None
                    options = {"factor": settings["batch_size"], "style": style}
                    over_training(ax, group, name, **options, color=color, label=note)
            ax.set(xlabel="images seen", ylabel=label)
        axes[0, 0].legend(title="learning rate")
        words = zip(widths, ("solid", "dashed", "dotted"), strict=False)
        axes[0, 1].set_title("width " + ", ".join(f"{width} {word}" for width, word in words))
        shown = sorted({rates[0], rates[len(rates) // 2], rates[-1]})
        for ax in axes[1, len(shown) :]:
            ax.set_axis_off()
        for ax, rate in zip(axes[1], shown, strict=False):
            last = results[widths[-1], rate, 0]["spectra"]
            draw_spectrum(ax, max(last.values(), key=lambda found: found.ks))
            ax.set_title(f"rate {rate:g}: " + ax.get_title(loc="left"), loc="left")
    plt.close(fig)
    return fig


def main() -> None:
    """Train, measure, draw, write, judge."""
    args = arguments(__doc__)
    dials = ("widths", "rates")
    settings = chosen(args, {"small": SMALL, "paper": PAPER}, QUICK, dials)
    results = sweep(partial(run, args, settings), settings, args.seed, *dials)
    label = "width_{}_rate_{:g}_seed_{}".format
    judged, figure = claims(settings, results), draw(settings, results)
    finish(args, "resnet_spectra", settings, results, label, judged, figure)


if __name__ == "__main__":
    main()
