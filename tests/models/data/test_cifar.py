"""Small files in the format of CIFAR-10's binary version, whole and damaged."""

import numpy as np
import pytest

from models.data import cifar10

NAMES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
RECORDS = 8


@pytest.fixture
def written(tmp_path):
    """The folder, and pixels (48, 32, 32, 3) and labels (48,) that were written there."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6 * RECORDS, 32, 32, 3), np.uint8)
    pixels[..., 1] //= 2  # so that channels differ
    labels = rng.integers(0, 10, 6 * RECORDS, np.uint8)
    for k, name in enumerate(NAMES):
        part = range(k * RECORDS, (k + 1) * RECORDS)
        planes = [bytes([labels[i]]) + pixels[i].transpose(2, 0, 1).tobytes() for i in part]
        (tmp_path / name).write_bytes(b"".join(planes))
    return tmp_path, pixels.astype(float), labels


def sentence(folder) -> str:
    with pytest.raises(ValueError) as error:
        cifar10(folder, records=RECORDS)
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    return text


def test_pixels_and_labels_come_back(written):
    folder, pixels, labels = written
    data = cifar10(folder, records=RECORDS)
    assert data.shape == (32, 32, 3) and data.num_classes == 10
    train, test = pixels[: 5 * RECORDS], pixels[5 * RECORDS :]
    mean, spread = train.mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
    np.testing.assert_allclose(data.inputs, (train - mean) / spread, atol=1e-5)
    np.testing.assert_allclose(data.test_inputs, (test - mean) / spread, atol=1e-5)
    np.testing.assert_array_equal(np.concatenate([data.labels, data.test_labels]), labels)


def test_options_reach_the_batches(written):
    data = cifar10(written[0], records=RECORDS, seed=4, augment=True)
    plain = cifar10(written[0], records=RECORDS, seed=4)
    np.testing.assert_array_equal(data.batch(1, 8)[1], plain.batch(1, 8)[1])
    assert not np.array_equal(data.batch(1, 8)[0], plain.batch(1, 8)[0])


@pytest.mark.parametrize("name", ["data_batch_4.bin", "test_batch.bin"])
def test_missing_file_says_what_where_and_how_to_obtain_it(written, name):
    (written[0] / name).unlink()
    with pytest.raises(FileNotFoundError) as error:
        cifar10(written[0], records=RECORDS)
    for part in (name, str(written[0]), "binary version", "www.cs.toronto.edu/~kriz/cifar.html"):
        assert part in str(error.value)


@pytest.mark.parametrize("change", [-1, 1, -3073, 3073, -RECORDS * 3073])
def test_wrong_length_is_named(written, change):
    """Also if whole records are missing, and if the file is empty."""
    path = written[0] / "data_batch_2.bin"
    content = path.read_bytes()
    path.write_bytes((content + bytes(4000))[: len(content) + change])
    text = sentence(written[0])
    assert "data_batch_2.bin" in text and f"got {len(content) + change}" in text


def test_files_of_the_true_size_are_expected_by_default(written):
    with pytest.raises(ValueError, match=r"must have 30730000 bytes \(10000 records of 3073\)"):
        cifar10(written[0])


def test_labels_above_nine_are_named(written):
    path = written[0] / "test_batch.bin"
    content = bytearray(path.read_bytes())
    content[3 * 3073] = 10
    path.write_bytes(content)
    assert "got 10 in record 3" in sentence(written[0])
