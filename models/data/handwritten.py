"""Handwritten digits that come with scikit-learn."""

import numpy as np

from models.data.files import EXTRA
from models.data.images import Images, from_pixels
from spectrax import check

HELD_OUT = 360  # of 1797, a fifth


def digits(*, seed: int = 0, split: int = 0) -> Images:
    """1797 handwritten digits, 8 × 8 × 1, ten classes; 360 are held out.

    Args:
        seed: of the order of samples.
        split: of the choice of held-out samples, which is the same for every `seed`.

    Returns:
        `Images`, standardised with mean and standard deviation of the training part.

    Raises:
        ValueError: if an argument is not a non-negative integer.
        ImportError: if scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(f"The digits come with scikit-learn: {EXTRA}.") from error
    found = load_digits()  # from a file inside the package
    order = np.random.default_rng(check.integer("split", split, 0)).permutation(len(found.target))
    test, train = order[:HELD_OUT], order[HELD_OUT:]
    pixels = found.images[..., None].astype(np.uint8)
    return from_pixels(
        (pixels[train], found.target[train]),
        (pixels[test], found.target[test]),
        name="digits",
        num_classes=10,
        seed=seed,
    )
