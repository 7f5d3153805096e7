"""CIFAR-10 from its binary version."""

import os
import pathlib

import numpy as np

from models.data.files import missing
from models.data.images import Images, from_pixels
from spectrax import check

TRAINING = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = "test_batch.bin"
IMAGE = (3, 32, 32)  # channels first
RECORD = 1 + 3 * 32 * 32  # bytes: label, then red, green, blue
CLASSES = 10
OBTAIN = (
    "download and unpack the binary version of CIFAR-10 from "
    "https://www.cs.toronto.edu/~kriz/cifar.html"
)


def cifar10(
    folder: str | os.PathLike, *, seed: int = 0, augment: bool = False, records: int = 10_000
) -> Images:
    """CIFAR-10: 50 000 training and 10 000 held-out images, 32 × 32 × 3, ten classes.

    Args:
        folder: holds data_batch_1.bin … data_batch_5.bin and test_batch.bin.
        seed: of the order of samples and of the augmentation.
        augment: shift and mirror training images at random.
        records: images in each file; another number reads smaller files of the same format.

    Returns:
        `Images`, standardised by channel with the training set; 740 MB.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file does not have the length of its records, or a label is above 9.
    """
    check.integer("records", records, 1)
    folder = pathlib.Path(folder)
    for name in (*TRAINING, TEST):
        if not (folder / name).is_file():
            raise missing(f"file {name!r}", folder, OBTAIN)
    parts = [_read(folder / name, records) for name in TRAINING]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return from_pixels(
        (pixels, labels),
        _read(folder / TEST, records),
        name="cifar10",
        num_classes=CLASSES,
        seed=seed,
        augment=augment,
    )


def _read(path: pathlib.Path, records: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 32, 32, 3) and labels (n,) of one file."""
    size = path.stat().st_size
    if size != records * RECORD:
        raise ValueError(
            f"{str(path)!r} must have {records * RECORD} bytes ({records} records of {RECORD}), "
            f"got {size}."
        )
    content = np.fromfile(path, np.uint8).reshape(records, RECORD)
    labels = content[:, 0]
    if np.any(labels >= CLASSES):
        bad = int(np.argmax(labels >= CLASSES))
        raise ValueError(
            f"{str(path)!r} must have labels below {CLASSES}, got {labels[bad]} in record {bad}."
        )
    return content[:, 1:].reshape(records, *IMAGE).transpose(0, 2, 3, 1), labels
