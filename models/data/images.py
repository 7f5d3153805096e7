"""Labelled images in memory."""

import dataclasses

import numpy as np

from models.data.augment import crop_and_flip
from models.data.order import held_out_order, training_order


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Labelled images in memory, split into training and held-out samples.

    Args:
        name: what the data are called in results.
        inputs: training images, standardised, (n, H, W, C), float32.
        labels: their classes, (n,), int32.
        test_inputs, test_labels: the same for the held-out images.
        num_classes: number of classes; labels lie below it.
        seed: of the order of samples and of the augmentation.
        augment: shift and mirror training images at random (`crop_and_flip`).
    """

    name: str
    inputs: np.ndarray = dataclasses.field(repr=False)
    labels: np.ndarray = dataclasses.field(repr=False)
    test_inputs: np.ndarray = dataclasses.field(repr=False)
    test_labels: np.ndarray = dataclasses.field(repr=False)
    num_classes: int
    seed: int = 0
    augment: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        return self.inputs.shape[1:]

    def batch(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training samples of one step, a pure function of (seed, step, size).

        Args:
            step: number of batches of this size before this one.
            size: samples; at most, at least, or more than there are: epochs follow one another.

        Returns:
            Inputs (size, H, W, C), float32, and targets (size,), int32.

        Raises:
            ValueError: if step or size is not an integer in its range.
        """
        chosen = training_order(self.seed, step, size, len(self.labels))
        inputs = self.inputs[chosen]
        if self.augment:
            inputs = crop_and_flip(inputs, self.seed, step)
        return inputs, self.labels[chosen]

    def evaluation(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """A fixed choice of held-out samples, the same for every seed.

        Args:
            size: samples, at most as many as are held out.

        Returns:
            Inputs (size, H, W, C), float32, and targets (size,), int32; never augmented.

        Raises:
            ValueError: if size is not an integer in its range.
        """
        chosen = held_out_order(size, len(self.test_labels))
        return self.test_inputs[chosen], self.test_labels[chosen]


def from_pixels(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], **rest
) -> Images:
    r"""Images standardised by channel with mean and standard deviation of the training part.

    $$x = (p - \bar p_c)/s_c$$

    Args:
        train: pixels, uint8, (n, H, W, C), and labels, integers, (n,).
        test: the same for the held-out part.
        rest: other arguments of `Images`.

    Returns:
        `Images`; a channel without any variation is only centred.
    """
    # By counting values: exact, and without a copy of the data in double precision.
    values = np.arange(256.0)
    channels = np.moveaxis(train[0], -1, 0)
    share = np.array([np.bincount(c.ravel(), minlength=256) / c.size for c in channels])
    mean = share @ values
    spread = np.sqrt(np.sum(share * (values - mean[:, None]) ** 2, axis=1))
    spread[spread == 0] = 1.0
    (inputs, labels), (test_inputs, test_labels) = (
        (standardise(pixels, mean, spread), np.asarray(classes, np.int32))
        for pixels, classes in (train, test)
    )
    return Images(
        inputs=inputs,
        labels=labels,
        test_inputs=test_inputs,
        test_labels=test_labels,
        **rest,
    )


def standardise(pixels: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(pixels − mean)/spread by channel (the last axis), in single precision."""
    result = pixels.astype(np.float32)
    result -= np.asarray(mean, np.float32)
    result /= np.asarray(spread, np.float32)
    return result
