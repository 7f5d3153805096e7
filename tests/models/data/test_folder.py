"""Small folders of real JPEG and PNG files, whole and damaged."""

import dataclasses
import inspect
import os
import sys

import numpy as np
import pytest
from PIL import Image

from models.data import image_folder
from models.data.folder import MEAN, SPREAD, ImageFolder, decode

CLASSES = {"bird": (200, 30, 30), "fish": (20, 180, 40), "tree": (90, 90, 210)}
SUFFIXES = (".JPEG", ".jpg", ".png", ".PNG")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of one colour each; the class can be told from it, and the shapes differ."""
    root = tmp_path_factory.mktemp("images") / "colours"
    for part, count in (("train", 8), ("val", 4)):
        for name, colour in CLASSES.items():
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                shape = (40 + 7 * i, 60 - 5 * i)
                path = root / part / name / f"{name}_{i}{SUFFIXES[i % 4]}"
                shade = tuple(level + 3 * i for level in colour)
                Image.new("RGB", shape, shade).save(path, quality=95)
            (root / part / name / "notes.txt").write_text("no image")
    return root


@pytest.fixture
def data(folder):
    return image_folder(folder, size=32)


def standardised(colour):
    return (np.array(colour) - MEAN) / SPREAD


def test_images_are_decoded_with_their_labels(folder, data):
    assert data.shape == (32, 32, 3) and data.num_classes == 3 and data.name == "colours"
    assert len(data.labels) == 24 and len(data.test_labels) == 12
    inputs, targets = data.batch(0, 24)
    assert inputs.shape == (24, 32, 32, 3) and inputs.dtype == np.float32
    assert targets.dtype == np.int32 and sorted(targets) == [0] * 8 + [1] * 8 + [2] * 8
    for image, target in zip(inputs, targets, strict=True):
        colour = standardised(list(CLASSES.values())[target])
        shade = (image - colour) * SPREAD / 3  # the number of the image, within JPEG's error
        assert np.ptp(shade) < 2 and -1 < shade.mean() < 8


def test_a_batch_depends_on_seed_step_and_size_alone(data):
    forward = [data.batch(step, 5) for step in range(6)]
    for step in (5, 1, 3):
        found = dataclasses.replace(data, threads=1).batch(step, 5)
        np.testing.assert_array_equal(found[0], forward[step][0])
        np.testing.assert_array_equal(found[1], forward[step][1])
    other = dataclasses.replace(data, seed=1)
    assert not np.array_equal(other.batch(0, 24)[1], data.batch(0, 24)[1])
    np.testing.assert_array_equal(other.evaluation(9)[0], data.evaluation(9)[0])


def test_options_of_the_folder_are_those_of_the_data(folder, data):
    options = {"seed": 1, "augment": True, "threads": 3}
    found = image_folder(folder, size=32, **options)
    assert {name: getattr(found, name) for name in options} == options
    expected = dataclasses.replace(data, **options).batch(0, 24)
    for x, y in zip(found.batch(0, 24), expected, strict=True):
        np.testing.assert_array_equal(x, y)
    defaults = inspect.signature(image_folder).parameters
    for name, parameter in inspect.signature(ImageFolder).parameters.items():
        if parameter.default is not parameter.empty:
            assert parameter.default == defaults[name].default


def test_evaluation_mixes_the_classes(data):
    inputs, targets = data.evaluation(12)
    assert sorted(targets) == [0] * 4 + [1] * 4 + [2] * 4 and list(targets) != sorted(targets)
    assert inputs.shape == (12, 32, 32, 3)
    with pytest.raises(ValueError, match="from 1 to 12, got 13"):
        data.evaluation(13)


def test_augmentation_shifts_training_images_only(data):
    augmented = dataclasses.replace(data, augment=True)
    inputs = augmented.batch(0, 24)[0]
    assert np.any(inputs == 0) and not np.any(data.batch(0, 24)[0] == 0)
    np.testing.assert_array_equal(augmented.batch(0, 24)[0], inputs)
    np.testing.assert_array_equal(augmented.evaluation(6)[0], data.evaluation(6)[0])


@pytest.mark.parametrize("shape", [(256, 256), (400, 256), (256, 600), (1024, 1024)])
def test_the_centre_remains(tmp_path, shape):
    """Levels that grow by place tell which place is shown: 7/8 of the shorter side."""
    size, width, height = 56, *shape
    cols, rows = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    picture = np.stack([255 * cols, 255 * rows, 0 * rows], axis=-1).astype(np.uint8)
    short = min(shape)
    for suffix in (".png", ".jpg"):
        Image.fromarray(picture).save(tmp_path / f"a{suffix}", quality=95)
        found = decode(tmp_path / f"a{suffix}", size).astype(float)
        place = (np.arange(size) + 0.5) / size - 0.5
        across, down = (0.5 + place * 7 / 8 * short / extent for extent in shape)
        np.testing.assert_allclose(found[size // 2, :, 0], 255 * across, atol=4)
        np.testing.assert_allclose(found[:, size // 2, 1], 255 * down, atol=4)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P", "1"])
def test_every_image_becomes_rgb(tmp_path, mode):
    suffix = "jpg" if mode in ("L", "CMYK") else "png"
    Image.new("RGB", (50, 40), (255, 255, 255)).convert(mode).save(tmp_path / f"a.{suffix}")
    found = decode(tmp_path / f"a.{suffix}", 16)
    assert found.shape == (16, 16, 3) and found.dtype == np.uint8 and found.min() > 250


def test_small_images_are_enlarged(tmp_path):
    Image.new("RGB", (3, 5), (10, 20, 30)).save(tmp_path / "a.png")
    assert np.all(decode(tmp_path / "a.png", 40) == (10, 20, 30))


# --- what can be missing or wrong


def noise(path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return path.read_bytes()


DAMAGE = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "text": lambda content: b"no image" * 50,
    "header alone": lambda content: content[:24],
    "other format": lambda content: b"BM" + content,
}


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_broken_image_is_named(folder, tmp_path, damage, suffix):
    path = tmp_path / f"broken.{suffix}"
    path.write_bytes(DAMAGE[damage](noise(path)))
    data = image_folder(folder, size=32)
    data = dataclasses.replace(data, paths=(*data.paths[:-1], str(path)))
    with pytest.raises(ValueError) as error:
        data.batch(0, 24)
    text = str(error.value)
    assert text.startswith(f"Cannot read {str(path)!r}: ") and text.endswith(".")
    assert "\n" not in text


def test_other_formats_are_not_decoded(tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png", format="BMP")
    with pytest.raises(ValueError, match="Cannot read"):
        decode(tmp_path / "a.png", 8)


@pytest.mark.parametrize("present", [(), ("train",), ("train", "train/a", "val", "val/a")])
def test_missing_images_say_what_where_and_how_to_obtain_them(tmp_path, present):
    for name in present:
        (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError) as error:
        image_folder(tmp_path)
    for part in ("There is no", str(tmp_path), "train/<class>/", "https://www.image-net.org"):
        assert part in str(error.value)


def test_images_without_class_folders_are_refused(folder, tmp_path):
    """As the validation images of ImageNet come."""
    (tmp_path / "val").mkdir()
    (tmp_path / "train").symlink_to(folder / "train")
    Image.new("RGB", (20, 20)).save(tmp_path / "val" / "a.JPEG")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/val.*val/<class>/"):
        image_folder(tmp_path)


def test_class_without_training_images_is_named(folder, tmp_path):
    (tmp_path / "train").symlink_to(folder / "train")
    (tmp_path / "val" / "whale").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "val" / "whale" / "a.png")
    with pytest.raises(ValueError, match="must also be in 'train', got 'whale'"):
        image_folder(tmp_path)


def test_classes_without_held_out_images_keep_their_numbers(folder, tmp_path):
    (tmp_path / "train").symlink_to(folder / "train")
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "tree").symlink_to(folder / "val" / "tree")
    data = image_folder(tmp_path, size=16)
    assert data.num_classes == 3 and set(data.test_labels) == {2}


@pytest.mark.parametrize("name", ["size", "threads"])
def test_arguments_out_of_range_are_named(folder, name):
    with pytest.raises(ValueError, match=f"Argument `{name}` must be .* got 0"):
        image_folder(folder, **{name: 0})


def test_without_pillow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"spectrax-dmft\[models\]"):
        image_folder(folder)


# --- what can hurt


def grey(path, levels, bits):
    kind = {8: np.uint8, 16: np.uint16}[bits]
    Image.fromarray(levels.astype(kind)).save(path)
    with Image.open(path) as saved:
        assert saved.mode == {8: "L", 16: "I;16"}[bits]
    return decode(path, 16)


def test_grey_of_sixteen_bits_has_the_levels_of_eight(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (40, 50))
    few = grey(tmp_path / "a.png", levels, 8)
    assert np.ptp(few) > 50 and np.all(few == few[..., :1])
    for low in (0, 128, 255):  # the lower eight bits, which colours lose as well
        np.testing.assert_array_equal(grey(tmp_path / "b.png", 256 * levels + low, 16), few)


def test_images_of_one_mode_are_scaled_as_before_conversion(tmp_path):
    """Grey and colours are scaled as they are, which gives what RGB gives."""
    rng = np.random.default_rng(1)
    for mode in ("L", "RGB"):
        made = Image.fromarray(rng.integers(0, 256, (50, 70, 3), np.uint8)).convert(mode)
        made.save(tmp_path / "a.png")
        made.convert("RGB").save(tmp_path / "b.png")
        np.testing.assert_array_equal(
            decode(tmp_path / "a.png", 24), decode(tmp_path / "b.png", 24)
        )


@pytest.mark.parametrize(("mode", "depth"), [("RGB", 4), ("L", 1), ("RGBA", 8), ("P", 8)])
def test_pixels_are_bounded_by_bytes(tmp_path, monkeypatch, mode, depth):
    path = tmp_path / "a.png"
    Image.new(mode, (400, 300)).save(path)
    claimed = 400 * 300 * depth
    monkeypatch.setattr("models.data.folder.INFLATION", 0)
    monkeypatch.setattr("models.data.folder.SPARE", claimed)
    assert decode(path, 8).shape == (8, 8, 3)
    monkeypatch.setattr("models.data.folder.SPARE", claimed - 1)
    with pytest.raises(ValueError, match="its 400 × 300 pixels take"):
        decode(path, 8)
    monkeypatch.setattr("models.data.folder.SPARE", claimed)
    monkeypatch.setattr("models.data.folder.MOST", 400 * 300 - 1)
    with pytest.raises(ValueError, match="its 400 × 300 pixels take"):
        decode(path, 8)


def test_pixels_may_be_so_many_times_the_bytes(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("RGB", (400, 300)).save(path)
    times = 400 * 300 * 4 / path.stat().st_size
    assert times > 100
    monkeypatch.setattr("models.data.folder.SPARE", 0)
    for inflation in (times * 1.01, times * 0.99):
        monkeypatch.setattr("models.data.folder.INFLATION", inflation)
        if inflation > times:
            assert decode(path, 8).shape == (8, 8, 3)
        else:
            with pytest.raises(ValueError, match="its 400 × 300 pixels take 0 MB"):
                decode(path, 8)


def test_large_images_are_decoded_one_at_a_time(folder, monkeypatch):
    """Who decodes one holds the lock; small ones do not need it."""
    from models.data.folder import ALONE

    path = image_folder(folder, size=8).paths[0]
    monkeypatch.setattr("models.data.folder.LARGE", 0)
    monkeypatch.setattr("models.data.folder._coloured", lambda image: locked(image, ALONE))
    assert decode(path, 8).shape == (8, 8, 3) and not ALONE.locked()
    monkeypatch.setattr("models.data.folder.LARGE", 10**9)
    with pytest.raises(ValueError, match="not locked"):
        decode(path, 8)


def locked(image, lock):
    if not lock.locked():
        raise ValueError("not locked")
    return image.convert("RGB")


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("what", ["pipe", "folder", "nothing", "circle"])
def test_what_is_no_file_among_images_is_named(folder, tmp_path, part, what):
    other = {"train": "val", "val": "train"}[part]
    (tmp_path / other).symlink_to(folder / other)
    (tmp_path / part / "bird").mkdir(parents=True)
    path = tmp_path / part / "bird" / "x.png"
    make = {"pipe": os.mkfifo, "folder": os.mkdir}
    if what in make:
        make[what](path)
    else:
        path.symlink_to(path if what == "circle" else tmp_path / "none")
    with pytest.raises(ValueError, match="^Cannot read .*x.png.*(no regular file|Too many levels)"):
        image_folder(tmp_path)
    with pytest.raises(ValueError, match="^Cannot read .*x.png.*no such file"):
        decode(path, 8)


def test_classes_that_lead_in_a_circle_are_named(folder, tmp_path):
    (tmp_path / "val").symlink_to(folder / "val")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "again").symlink_to(tmp_path / "train" / "again")
    with pytest.raises(ValueError, match="^Cannot read .*again.*Too many levels"):
        image_folder(tmp_path)


def test_scans_of_a_jpeg_are_counted(tmp_path, monkeypatch):
    """Progressive images go over their pixels several times."""
    path = tmp_path / "a.jpg"
    rng = np.random.default_rng(2)
    Image.fromarray(rng.integers(0, 256, (50, 40, 3), np.uint8)).save(path, progressive=True)
    scans = path.read_bytes().count(b"\xff\xda")
    assert scans > 5
    monkeypatch.setattr("models.data.folder.SCANNED", scans * 50 * 40)
    assert decode(path, 8).shape == (8, 8, 3)
    monkeypatch.setattr("models.data.folder.SCANNED", scans * 50 * 40 - 1)
    with pytest.raises(ValueError, match="goes over its 40 × 50 pixels too often"):
        decode(path, 8)
