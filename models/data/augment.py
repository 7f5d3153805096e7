"""Random crop and horizontal flip of a batch."""

import numpy as np

PADDING = 4


def crop_and_flip(images: np.ndarray, seed: int, step: int) -> np.ndarray:
    """Every image shifted by up to four pixels in each direction and mirrored in half of the cases.

    What is shifted in is zero, which is the mean of standardised data.

    Args:
        images: (n, H, W, C), standardised.
        seed: non-negative.
        step: with the seed it determines all choices.

    Returns:
        A new array, (n, H, W, C).
    """
    rng = np.random.default_rng([2, seed, step])  # the first word keeps it apart from the order
    n, height, width, _ = images.shape
    shifts = rng.integers(0, 2 * PADDING, (n, 2), endpoint=True)
    mirrored = rng.random(n) < 0.5
    border = (PADDING, PADDING)
    padded = np.pad(images, ((0, 0), border, border, (0, 0)))
    result = np.empty_like(images)
    for i, (row, col) in enumerate(shifts):
        window = padded[i, row : row + height, col : col + width]
        result[i] = window[:, ::-1] if mirrored[i] else window
    return result
