"""Folders of images as in ImageNet, too large for memory: decoded when a batch asks for them."""

import contextlib
import dataclasses
import os
import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from models.data.augment import crop_and_flip
from models.data.files import EXTRA, missing, reading
from models.data.images import standardise
from models.data.order import held_out_order, training_order
from spectrax import check
from spectrax._progress import watched

# Mean and standard deviation of the red, green and blue of ImageNet's training images (levels
# from 0 to 255): the constants in general use. Computing them would decode every image once.
MEAN = 255 * np.array([0.485, 0.456, 0.406])
SPREAD = 255 * np.array([0.229, 0.224, 0.225])
SUFFIXES = (".jpeg", ".jpg", ".png")  # in small or capital letters
FORMATS = ("JPEG", "PNG")  # by content, which suffixes do not always tell
MOST = 89_478_485  # pixels: what Pillow calls a bomb
INFLATION, SPARE = 10, 160_000_000  # bytes in memory for each in the file, and more
SCANNED = 2_000_000_000  # pixels of all scans of a JPEG, two seconds; it has about ten
LARGE, ALONE = 32_000_000, threading.Lock()  # images of so many bytes are decoded one at a time
BORDER = 1 / 16  # of the shorter side, left out at both ends: 224 of 256 remain
OBTAIN = (
    "images are read from train/<class>/ and val/<class>/, as of ImageNet, which "
    "https://www.image-net.org gives to registered users"
)


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFolder:
    """Labelled images in files: `Images` without `inputs` and `test_inputs`.

    Args:
        name: what the data are called in results.
        paths: training images, n of them.
        labels: their classes, (n,), int32.
        test_paths, test_labels: the same for the held-out images.
        classes: names of the classes.
        size: height and width after decoding.
        seed: of the order of samples and of the augmentation.
        augment: shift and mirror training images at random (`crop_and_flip`).
        threads: images decoded at the same time.
    """

    name: str
    paths: tuple[str, ...] = dataclasses.field(repr=False)
    labels: np.ndarray = dataclasses.field(repr=False)
    test_paths: tuple[str, ...] = dataclasses.field(repr=False)
    test_labels: np.ndarray = dataclasses.field(repr=False)
    classes: tuple[str, ...] = dataclasses.field(repr=False)
    size: int
    seed: int = 0
    augment: bool = False
    threads: int = 8

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image."""
        return self.size, self.size, 3

    def batch(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training samples of one step, a pure function of (seed, step, size) and the files.

        Args:
            step: number of batches of this size before this one.
            size: samples; at most, at least, or more than there are: epochs follow one another.

        Returns:
            Inputs (size, H, W, C), float32, and targets (size,), int32.

        Raises:
            ValueError: if step or size is not an integer in its range, or an image is broken.
        """
        chosen = training_order(self.seed, step, size, len(self.labels))
        inputs = self._decoded([self.paths[i] for i in chosen])
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
            ValueError: if size is not an integer in its range, or an image is broken.
        """
        chosen = held_out_order(size, len(self.test_labels))
        return self._decoded([self.test_paths[i] for i in chosen]), self.test_labels[chosen]

    def _decoded(self, paths: list[str]) -> np.ndarray:
        """Standardised images, (n, size, size, 3); threads share what decoding takes."""
        with ThreadPoolExecutor(min(self.threads, len(paths))) as pool:
            pixels = list(pool.map(lambda path: decode(path, self.size), paths))
        return standardise(np.stack(pixels), MEAN, SPREAD)


def image_folder(
    folder: str | os.PathLike,
    *,
    size: int = 224,
    seed: int = 0,
    augment: bool = False,
    threads: int = 8,
) -> ImageFolder:
    """Images in train/<class>/ and val/<class>/, as ImageNet is usually unpacked.

    Of each image the centre remains, a square over 7/8 of the shorter side (224 of 256), scaled to
    `size`. Colours are standardised with the constants of ImageNet's training images: means
    (0.485, 0.456, 0.406), standard deviations (0.229, 0.224, 0.225), levels from 0 to 1.

    Args:
        folder: holds train/ and val/, each a folder per class with files .jpeg, .jpg or .png.
        size: height and width of the result.
        seed: of the order of samples and of the augmentation.
        augment: shift and mirror training images at random.
        threads: images decoded at the same time.

    Returns:
        `ImageFolder`; nothing is decoded yet. Classes are numbered in the order of their names.

    Raises:
        FileNotFoundError: if there are no images where they should be.
        ValueError: if val/ has a class that train/ has not, or something is no regular file.
        ImportError: if Pillow is missing.
    """
    try:
        import PIL.Image  # noqa: F401  - said now, not by the first batch
    except ImportError as error:
        raise ImportError(f"Decoding images needs Pillow: {EXTRA}.") from error
    check.integer("size", size, 1)
    check.integer("threads", threads, 1)
    folder = pathlib.Path(folder)
    train, test = (_classes(folder / part) for part in ("train", "val"))
    unknown = sorted(test.keys() - train.keys())
    if unknown:
        raise ValueError(
            f"Every class in {str(folder / 'val')!r} must also be in 'train', got {unknown[0]!r}."
        )
    classes = tuple(train)
    test = {name: test.get(name, []) for name in classes}
    return ImageFolder(
        folder.resolve().name,
        *_flat(train),
        *_flat(test),
        classes=classes,
        size=size,
        seed=seed,
        augment=augment,
        threads=threads,
    )


def _classes(folder: pathlib.Path) -> dict[str, list[str]]:
    """Sorted image files by class, classes sorted by name."""
    if not folder.is_dir():
        raise missing(f"folder {folder.name!r}", folder.parent, OBTAIN)
    names = sorted(entry.name for entry in _entries(folder) if _is(entry.is_dir, entry))
    found = {name: [] for name in names}
    for name in watched(names, "folders"):
        entries = [x for x in _entries(folder / name) if x.name.lower().endswith(SUFFIXES)]
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not _is(entry.is_file, entry):  # a pipe would be waited for
                raise ValueError(f"Cannot read {entry.path!r}: it is no regular file.")
            found[name].append(entry.path)
    if not any(found.values()):
        raise missing("<class>/*.JPEG, .jpg or .png", folder, OBTAIN)
    return found


def _entries(folder: pathlib.Path) -> list[os.DirEntry]:
    with reading(folder), os.scandir(folder) as entries:
        return list(entries)


def _is(kind, entry: os.DirEntry) -> bool:
    """Whether an entry is of a kind; a loop of symbolic links is of none, and says so."""
    with reading(entry.path):
        return kind()


def _flat(classes: dict[str, list[str]]) -> tuple[tuple[str, ...], np.ndarray]:
    """All files in order, and the class of each."""
    sizes = [len(files) for files in classes.values()]
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return tuple(path for files in classes.values() for path in files), labels


def decode(path: str | os.PathLike, size: int) -> np.ndarray:
    """One image: its centre, a square over 7/8 of the shorter side, scaled to `size`.

    Args:
        path: a JPEG or PNG file; grey, transparent and CMYK images become RGB.
        size: height and width of the result.

    Returns:
        Levels from 0 to 255, (size, size, 3), uint8.

    Raises:
        ValueError: if the file is no such image, is cut short, or claims far more pixels than it
            has bytes.
    """
    from PIL import Image, ImageOps

    with contextlib.ExitStack() as stack:
        stack.enter_context(reading(path))
        if not os.path.isfile(path):  # a pipe would be waited for
            raise ValueError("there is no such file")
        stored = os.stat(path).st_size
        image = stack.enter_context(Image.open(path, formats=FORMATS))
        pixels = image.width * image.height
        claimed = pixels * _depth(image.mode)
        if pixels > MOST or claimed > INFLATION * stored + SPARE:
            raise ValueError(
                f"its {image.width} × {image.height} pixels take {claimed / 1e6:.0f} MB, out of "
                f"{stored / 1e6:.2g} MB"
            )
        if image.format == "JPEG" and _scans(path, SCANNED // max(pixels, 1)) * pixels > SCANNED:
            raise ValueError(f"it goes over its {image.width} × {image.height} pixels too often")
        if claimed > LARGE:
            stack.enter_context(ALONE)
        bilinear = Image.Resampling.BILINEAR
        fitted = ImageOps.fit(_coloured(image), (size, size), bilinear, bleed=BORDER)
        return np.asarray(fitted.convert("RGB"))


def _scans(path: str | os.PathLike, enough: int) -> int:
    """How often a JPEG file goes over its pixels, counted until it is more than enough."""
    count = 0
    with open(path, "rb") as file:
        while count <= enough and (data := file.read(2**20)):
            count += data.count(b"\xff\xda")
    return count


def _depth(mode: str) -> int:
    """Bytes that a pixel takes in memory while it becomes red, green and blue."""
    return {"RGB": 4, "L": 1}.get(mode, 8)


def _coloured(image):
    """The image in a mode that scaling treats well: colours, or grey of eight bits.

    Pillow would clip grey of sixteen bits; of colours it keeps the upper eight, as is done here.
    """
    from PIL import Image

    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode in ("RGB", "L") else image.convert("RGB")
