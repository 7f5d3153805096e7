"""Which samples a step sees: the same whether a training is run through or resumed."""

import functools

import numpy as np

from spectrax import check


def training_order(seed: int, step: int, size: int, count: int) -> np.ndarray:
    """Samples k = step·size … (step + 1)·size − 1 of an endless sequence of shuffled epochs.

    Place k is place k mod count of epoch ⌊k/count⌋; each epoch is a permutation of all samples. No
    sample is dropped: a batch may begin in one epoch and end in the next.

    Args:
        seed: non-negative; another seed gives other permutations.
        step: number of batches before this one.
        size: samples in the batch, also more than count.
        count: number of training samples.

    Returns:
        Indices below count, (size,).

    Raises:
        ValueError: if an argument is not an integer in its range.
    """
    seed, step = check.integer("seed", seed, 0), check.integer("step", step, 0)
    size = check.integer("size", size, 1)
    start, stop = step * size, (step + 1) * size
    epochs = range(start // count, (stop - 1) // count + 1)
    return np.concatenate(
        [_permutation(seed, e, count)[max(0, start - e * count) : stop - e * count] for e in epochs]
    )


def held_out_order(size: int, count: int) -> np.ndarray:
    """A fixed choice of held-out samples: the same for every seed, and mixed across classes.

    Args:
        size: samples to choose; the choice of fewer is the beginning of the choice of more.
        count: number of held-out samples.

    Returns:
        Indices below count, without repetition, (size,).

    Raises:
        ValueError: unless 1 <= size <= count.
    """
    return _permutation(0, 0, count)[: check.integer("size", size, 1, count)]


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """One epoch; remembered because every step asks for it again."""
    order = np.random.default_rng([1, seed, epoch]).permutation(count)
    order.flags.writeable = False
    return order
