"""GPTs in muP: the bulk of hidden weights is restructured, the more so the larger the vocabulary.

Hidden weights of every block over training, widths and vocabularies: how far the bulk is from the
law of noise, how many eigenvalues lie beyond it, and where its edge is.
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
from models.gpt import GPT, PAPER_SIZES
from models.loss import token_cross_entropy
from models.optimizer import optimizer
from spectrax import plotting
from spectrax.plotting.measured import draw_spectrum

# The vocabulary in units of the width is the dial; the widest of the ratios is that of the paper's
# narrow networks.
SMALL = {
    "sizes": ((64, 4, 2), (128, 8, 2)),  # width, heads, layers
    "ratios": (5, 20, 80),
    "seeds": 3,
    "num_steps": 600,
    "batch_size": 8,
    "length": 64,
    "base": (64, 4, 2),
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "accumulate": 1,
    "snapshots": 9,
}
PAPER = SMALL | {
    "sizes": PAPER_SIZES[:3],
    "ratios": (None,),  # GPT-2's vocabulary
    "seeds": 1,
    "num_steps": 7600,
    "batch_size": 512,
    "length": 1024,
    "base": (768, 12, 12),
    "learning_rate": 1e-3,
    "accumulate": 32,
    "snapshots": 13,
}
QUICK = {"sizes": ((32, 2, 1),), "ratios": (16, 32), "seeds": 2, "num_steps": 4, "snapshots": 3}
PAPER_VOCABULARY, WARMUP = 50257, 2000


def load(args, settings: dict, vocabulary: int, seed: int):
    """Python's documentation, or C4."""
    length = settings["length"]
    if args.synthetic:
        return data.synthetic_tokens(vocabulary, length, seed=seed)
    if args.preset == "small":
        return data.python_documentation(length=length, vocabulary=vocabulary, seed=seed)
    tokenizer = args.data / "tokenizer.json"
    return data.jsonl(args.data, tokenizer, cache=args.data / "cache", length=length, seed=seed)


def run(args, settings: dict, size: tuple, ratio: int | None, seed: int) -> dict:
    """Train one network; spectra of its hidden weights at every snapshot."""
    (width, num_heads, num_layers), base = size, settings["base"]
    vocabulary = PAPER_VOCABULARY if ratio is None else ratio * width
    tokens = load(args, settings, vocabulary, seed)
    model = GPT(
        width,
        num_heads,
        num_layers,
        vocab_size=vocabulary,
        base_width=base[0],
        base_layers=base[2],
        base_head_size=base[0] // base[1],
        rngs=nnx.Rngs(seed),
    )
    num_steps = settings["num_steps"]
    transformation = optimizer(
        model,
        model.scaling,
        name="adam",
        learning_rate=settings["learning_rate"],
        num_steps=num_steps,
        warmup=min(WARMUP, num_steps // 4),
        schedule="cosine",
        weight_decay=settings["weight_decay"],
        clip=1.0,
    )
    dials = {"width": width, "vocabulary": vocabulary, "seed": seed}
    return measured(
        args, "gpt_spectra", settings, dials, model, transformation, tokens, token_cross_entropy
    )


def claims(settings: dict, results: dict) -> list[Claim]:
    """The paper's claims as numbers, one for each seed."""
    sizes, ratios, seeds = settings["sizes"], settings["ratios"], range(settings["seeds"])
    wide, large, small = sizes[-1][0], ratios[-1], ratios[0]

    def of(name, ratio, size=sizes[-1], step=-1):
        return np.array([results[size, ratio, seed][name][step] for seed in seeds])

    out = [
        Claim(
            f"bulk distance over that of an unchanged bulk, width {wide}, largest vocabulary",
            of("excess", large),
            low=1.0,
        ),
        Claim(
            f"bulk distance, end over start of training, width {wide}, largest vocabulary",
            of("ks", large) / of("ks", large, step=0),
            low=1.5,
        ),
    ]
    if small != large:
        out += [
            Claim(
                f"bulk distance, vocabulary {large} widths over {small} widths, width {size[0]}",
                of("ks", large, size) / of("ks", small, size),
                low=1.1,
            )
            for size in sizes
        ]
    if len(sizes) > 1:
        out.append(
            Claim(
                f"bulk distance, width {wide} over width {sizes[-2][0]}, largest vocabulary",
                of("ks", large) / of("ks", large, sizes[-2]),
                low=0.8,
                high=1.25,
            )
        )
    return out


def draw(settings: dict, results: dict):
    """Bulk distance and share beyond over training; against the vocabulary; one spectrum."""
    import matplotlib.pyplot as plt

    sizes, ratios, seeds = settings["sizes"], settings["ratios"], range(settings["seeds"])
    largest = sizes[-1]
    names = {
        "ks": "bulk distance (KS)",
        "share": "share beyond the bulk",
        "over_edge": "largest eigenvalue / edge",
    }
    with plotting.style():
        fig, axes = plt.subplots(2, 3, figsize=(10.2, 5.6))
        for ax, (name, label) in zip(axes[0], names.items(), strict=True):
            for ratio, color in zip(ratios, plotting.sequence(len(ratios)), strict=True):
                group = [results[largest, ratio, seed] for seed in seeds]
                over_training(ax, group, name, color=color, label=ratio or "GPT-2")
            ax.set(xlabel="step", ylabel=label, title=f"width {largest[0]}")
        axes[0, 0].legend(title="vocabulary / width")
        for ax, name in zip(axes[1, :2], ("ks", "over_edge"), strict=True):
            shown = set()
            for size, color in zip(sizes, plotting.sequence(len(sizes)), strict=True):
                x = [(ratio or PAPER_VOCABULARY / size[0]) for ratio in ratios]
                groups = [[results[size, ratio, seed] for seed in seeds] for ratio in ratios]
                at_the_end(ax, x, groups, name, color=color, label=f"{size[0]}")
                shown |= set(x)
            dial(ax, sorted(shown), "vocabulary / width")
            ax.set(ylabel=names[name], title="end of training")
            ax.legend(title="width")
        last = results[largest, ratios[-1], 0]["spectra"]
        draw_spectrum(axes[1, 2], max(last.values(), key=lambda found: found.ks))
    plt.close(fig)
    return fig


def label(size: tuple, ratio: int | None, seed: int) -> str:
    """First part of the names of a setting's arrays."""
    return f"width_{size[0]}_ratio_{ratio}_seed_{seed}"


def main() -> None:
    """Train, measure, draw, write, judge."""
    args = arguments(__doc__)
    dials = ("sizes", "ratios")
    settings = chosen(args, {"small": SMALL, "paper": PAPER}, QUICK, dials)
    results = sweep(partial(run, args, settings), settings, args.seed, *dials)
    judged, figure = claims(settings, results), draw(settings, results)
    finish(args, "gpt_spectra", settings, results, label, judged, figure)


if __name__ == "__main__":
    main()
