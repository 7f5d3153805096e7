"""Noise in the shape of data: for short runs that need no files."""

import numpy as np

from models.data.images import Images
from models.data.tokens import Tokens, token_type
from spectrax import check


def synthetic_images(
    shape: tuple[int, int, int],
    num_classes: int,
    *,
    count: int = 256,
    held_out: int = 64,
    seed: int = 0,
    augment: bool = False,
) -> Images:
    """Images of independent standard Gaussian pixels with uniformly random labels.

    Args:
        shape: (H, W, C): (32, 32, 3) like CIFAR-10, (224, 224, 3) like ImageNet.
        num_classes: number of classes.
        count: training images; 320 images of ImageNet's size take 190 MB.
        held_out: held-out images.
        seed: of the pixels and of the order of samples.
        augment: shift and mirror training images at random.

    Returns:
        `Images`. There is nothing to learn but the training labels by heart.

    Raises:
        ValueError: if an argument is not an integer in its range.
    """
    if len(shape) != 3:
        raise ValueError(f"Argument `shape` must be (H, W, C), got {shape}.")
    shape = tuple(check.integer("shape", extent, 1) for extent in shape)
    check.integer("num_classes", num_classes, 1)
    sizes = [check.integer("count", count, 1), check.integer("held_out", held_out, 1)]
    rng = np.random.default_rng([3, check.integer("seed", seed, 0)])
    inputs, test_inputs = (rng.standard_normal((n, *shape), np.float32) for n in sizes)
    labels, test_labels = (rng.integers(0, num_classes, n, np.int32) for n in sizes)
    return Images("synthetic", inputs, labels, test_inputs, test_labels, num_classes, seed, augment)


def synthetic_tokens(
    vocabulary: int, length: int, *, count: int = 64, held_out: int = 16, seed: int = 0
) -> Tokens:
    """Uniformly random, independent tokens.

    Args:
        vocabulary: number of different tokens; 50257 for GPT-2.
        length: tokens in a window; 1024 for GPT-2.
        count: training windows.
        held_out: held-out windows.
        seed: of the tokens and of the order of windows.

    Returns:
        `Tokens`; the best possible loss is that of guessing, log(vocabulary).

    Raises:
        ValueError: if an argument is not an integer in its range.
    """
    check.integer("vocabulary", vocabulary, 2)
    check.integer("length", length, 1)
    sizes = [check.integer("count", count, 1), check.integer("held_out", held_out, 1)]
    rng = np.random.default_rng([4, check.integer("seed", seed, 0)])
    train, test = (size * length + 1 for size in sizes)
    tokens = rng.integers(0, vocabulary, train + test, token_type(vocabulary))
    return Tokens("synthetic", tokens, vocabulary, length, test, seed)
