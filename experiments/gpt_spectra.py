"""GPTs in muP: the bulk of hidden weights is restructured, the more so the larger the vocabulary.

Hidden weights of every block over training, widths and vocabularies: how far the bulk is from the
law of noise, how many eigenvalues lie beyond it, and where its edge is.
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
from models.gpt import GPT, PAPER_SIZES
from models.loss import token_cross_entropy
from models.optimizer import optimizer
from models.roles import hidden_kernels
from models.training import train
from spectrax import plotting
from spectrax.cli.spectrum_figure import draw_spectrum

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
    record = train(
        model,
        transformation,
        tokens,
        token_cross_entropy,
        num_steps=num_steps,
        batch_size=settings["batch_size"],
        accumulate=settings["accumulate"],
        snapshots=snapshots(num_steps, settings["snapshots"]),
        folder=training_folder(args, "gpt_spectra", width=width, vocabulary=vocabulary, seed=seed),
        save_every=max(1, num_steps // 10),
        parameters=describe(settings | {"width": width, "vocabulary": vocabulary, "seed": seed}),
    )
    found = spectra(record, list(hidden_kernels(model)))
    print(f"width {width}, vocabulary {vocabulary}, seed {seed}: {record.message}", flush=True)
    last = found[record.snapshots[-1]]
    return {
        "steps": np.array(record.snapshots),
        "loss": record.losses,
        "beyond": np.array([mean_of(s, lambda m: m.beyond / min(m.shape)) for s in found.values()]),
        "top": np.array([mean_of(s, lambda m: m.top / m.edge) for s in found.values()]),
        "sigma": np.array([mean_of(s, lambda m: m.sigma) for s in found.values()]),
        "ks": np.array([mean_of(s, lambda m: m.ks) for s in found.values()]),
        "excess": np.array([mean_of(s, excess) for s in found.values()]),
        "spectrum": max(last.values(), key=lambda m: m.ks),
    }


def widths_of(settings: dict) -> list[int]:
    """Ascending."""
    return [width for width, *_ in settings["sizes"]]


def claims(settings: dict, results: dict) -> list[Claim]:
    """The paper's claims as numbers, one for each seed."""
    widths, ratios, seeds = widths_of(settings), settings["ratios"], range(settings["seeds"])
    wide, large, small = widths[-1], ratios[-1], ratios[0]

    def of(name, ratio, width=wide, step=-1):
        return np.array([results[width, ratio, seed][name][step] for seed in seeds])

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
                f"bulk distance, vocabulary {large} widths over {small} widths, width {width}",
                of("ks", large, width) / of("ks", small, width),
                low=1.1,
            )
            for width in widths
        ]
    if len(widths) > 1:
        out.append(
            Claim(
                f"bulk distance, width {wide} over width {widths[-2]}, largest vocabulary",
                of("ks", large) / of("ks", large, widths[-2]),
                low=0.8,
                high=1.25,
            )
        )
    return out


def draw(settings: dict, results: dict):
    """Bulk distance and share beyond over training; against the vocabulary; one spectrum."""
    import matplotlib.pyplot as plt

    widths, ratios, seeds = widths_of(settings), settings["ratios"], range(settings["seeds"])
    wide = widths[-1]
    names = {
        "ks": "bulk distance (KS)",
        "beyond": "share of eigenvalues beyond the bulk",
        "top": "largest eigenvalue / edge",
    }
    with plotting.style():
        fig, axes = plt.subplots(2, 3, figsize=(10.2, 5.6))
        for ax, (name, label) in zip(axes[0], names.items(), strict=True):
            for ratio, color in zip(ratios, plotting.sequence(len(ratios)), strict=True):
                group = [results[wide, ratio, seed] for seed in seeds]
                values = np.array([found[name] for found in group])
                steps = np.maximum(group[0]["steps"], 0.5)  # the start, on the logarithmic axis
                ax.plot(steps, values.mean(0), "o-", ms=3, color=color, label=ratio or "GPT-2")
                ax.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.2, lw=0)
            ax.set(xscale="log", xlabel="step", ylabel=label, title=f"width {wide}")
        axes[0, 0].legend(title="vocabulary / width")
        for ax, name in zip(axes[1, :2], ("ks", "top"), strict=True):
            shown = set()
            for width, color in zip(widths, plotting.sequence(len(widths)), strict=True):
                x = [(ratio or PAPER_VOCABULARY / width) for ratio in ratios]
                values = np.array([[results[width, r, s][name][-1] for s in seeds] for r in ratios])
                spread = values.std(1) if len(seeds) > 1 else 0 * values[:, 0]
                ax.errorbar(
                    x, values.mean(1), spread, fmt="o-", ms=3, color=color, label=f"{width}"
                )
                shown |= set(x)
            dial(ax, sorted(shown), "vocabulary / width")
            ax.set(ylabel=names[name], title="end of training")
            ax.legend(title="width")
        draw_spectrum(axes[1, 2], results[wide, ratios[-1], 0]["spectrum"])
    plt.close(fig)
    return fig


def main() -> None:
    """Train, measure, draw, write, judge."""
    args = arguments(__doc__)
    settings = chosen(args, {"small": SMALL, "paper": PAPER}, QUICK, ("sizes", "ratios"))
    results = {
        (size[0], ratio, seed): run(args, settings, size, ratio, args.seed + seed)
        for size in settings["sizes"]
        for ratio in settings["ratios"]
        for seed in range(settings["seeds"])
    }
    arrays = {
        f"width_{width}_ratio_{ratio}_seed_{seed}_{name}": found[name]
        for (width, ratio, seed), found in results.items()
        for name in ("steps", "loss", "beyond", "top", "sigma", "ks", "excess")
    }
    figure = draw(settings, results)
    finish(args, "gpt_spectra", figure, arrays, claims(settings, results), settings)


if __name__ == "__main__":
    main()
