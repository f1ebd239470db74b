"""Data sets are what they say: digits' known facts, a user's own files, parts, refusals."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinysnn_hw.data import Dataset, Parts, load_dataset, make_dataset
from tinysnn_hw.data.sources import MNIST_FILES
from tinysnn_hw.errors import DataError, DataNotFoundError


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {
        "train_images": rng.integers(0, 256, (6, 4, 3), np.uint8),
        "train_labels": np.array([0, 1, 2, 3, 0, 1], np.uint8),
        "test_images": rng.integers(0, 256, (3, 4, 3), np.uint8),
        "test_labels": np.array([2, 1, 0], np.uint8),
    }


def sha(array: np.ndarray, dtype: str) -> str:
    return hashlib.sha256(array.astype(dtype).tobytes()).hexdigest()


def idx_bytes(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


# digits


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def test_digits_facts(digits):
    assert (digits.n_train, digits.n_test, digits.n_inputs, digits.n_classes) == (1437, 360, 64, 10)
    assert digits.image_shape == (8, 8)
    assert digits.train_images.dtype == digits.test_images.dtype == np.uint8
    assert digits.train_labels.dtype == digits.test_labels.dtype == np.int64
    assert digits.train_images.max() == digits.test_images.max() == 255
    assert np.bincount(digits.train_labels).tolist() == [136, 154, 151, 135, 143, 143, 151, 153, 138, 133]
    assert "scikit-learn" in digits.source


def test_digits_bits(digits):
    assert digits.digests == Parts(
        "3f55a1aff74d7e7221435b79980353ce124ee6a01975e64f58dd009c06804bc8",
        "c31c6c9a4b0b3e6adf01aa5262d8da4a3742847c38c977fed673b71586b0f6c1",
        "3bf0866715652353c65eb00318e5879d759045fa995d76eba54557b81903312b",
        "706323aadbd0629ca0c1dfb6dc02ddf390fcfbf02f0e1c15e1cb3fc81f82ce38",
    )


def test_digits_pixels_are_the_nearest_of_255_sixteenths(digits):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = bunch.data.astype(int)
    test = np.arange(len(pixels)) % 5 == 0
    pixels = np.concatenate([pixels[~test], pixels[test]])
    scaled = np.concatenate([digits.train_images, digits.test_images]).astype(int)
    assert (abs(scaled * 16 - pixels * 255) <= 8).all()
    assert sorted(set(scaled.ravel())) == [
        0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255,
    ]  # fmt: skip
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    np.testing.assert_array_equal(labels, np.concatenate([bunch.target[~test], bunch.target[test]]))


def test_digits_is_the_default(digits):
    assert load_dataset().digests == digits.digests


# Parts of a set


def test_limit_takes_the_first(arrays):
    data = make_dataset("toy", **arrays)
    part = data.limit(4, n_test=1)
    assert part.name == "toy[train 4, test 1]"
    np.testing.assert_array_equal(part.train_images, data.train_images[:4])
    np.testing.assert_array_equal(part.train_labels, data.train_labels[:4])
    np.testing.assert_array_equal(part.test_images, data.test_images[:1])
    np.testing.assert_array_equal(part.test_labels, data.test_labels[:1])
    assert (part.n_classes, part.image_shape, part.source) == (4, (4, 3), data.source)
    assert part.digests.train_images == sha(data.train_images[:4], "u1")
    assert data.limit(n_test=2).name == "toy[test 2]"
    assert data.limit().name == "toy"


def test_holdout_takes_the_last_training_images(arrays):
    data = make_dataset("toy", **arrays)
    part = data.holdout(2)
    assert part.name == "toy[holdout 2]"
    np.testing.assert_array_equal(part.train_images, data.train_images[:4])
    np.testing.assert_array_equal(part.test_images, data.train_images[4:])
    np.testing.assert_array_equal(part.test_labels, [0, 1])
    assert part.n_classes == 4
    assert part.limit(n_train=3).name == "toy[holdout 2][train 3]"


@pytest.mark.parametrize("n", [0, -1, 7, True, 2.0, "2"])
def test_parts_out_of_range(arrays, n):
    data = make_dataset("toy", **arrays)
    with pytest.raises(DataError, match=r"limit n_train = .*allowed an integer 1\.\.6"):
        data.limit(n)
    with pytest.raises(DataError, match=r"limit n_test = .*allowed an integer 1\.\.3"):
        data.limit(n_test=n)
    with pytest.raises(DataError, match=r"holdout n = .*allowed an integer 1\.\.5"):
        data.holdout(n)


def test_holdout_needs_two_images(arrays):
    with pytest.raises(DataError, match="too few training images"):
        make_dataset("toy", **arrays).limit(1).holdout(1)


def test_a_dataset_is_read_only_and_travels_between_processes(arrays):
    data = make_dataset("toy", **arrays)
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    arrays["train_images"][0] = 0  # the caller's own array stays writable
    copy = pickle.loads(pickle.dumps(data))
    assert copy.digests == data.digests
    assert repr(copy) == "Dataset('toy', 6 + 3 images of 4 x 3, 4 classes, from arrays)"


# Validation


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", "u4", "i8", "u8"])
def test_any_integer_labels(arrays, dtype):
    arrays["train_labels"] = arrays["train_labels"].astype(dtype)
    data = make_dataset("toy", **arrays)
    assert data.train_labels.dtype == np.int64
    assert data.digests.train_labels == sha(arrays["train_labels"], "<i8")


@pytest.mark.parametrize(
    ("pixels", "shape"), [(784, (28, 28)), (12, (1, 12)), (1, (1, 1)), (65536, (256, 256))]
)
def test_flat_images(arrays, pixels, shape):
    flat = {name: np.zeros((len(arrays[name]), pixels), np.uint8) for name in ("train_images", "test_images")}
    assert make_dataset("toy", **{**arrays, **flat}).image_shape == shape


def test_strided_images_are_made_contiguous(arrays):
    arrays["train_images"] = np.asfortranarray(arrays["train_images"])
    data = make_dataset("toy", **arrays)
    assert data.train_images.flags.c_contiguous
    assert data.digests.train_images == sha(np.ascontiguousarray(arrays["train_images"]), "u1")


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("train_images", lambda a: a / 255, r"dtype float64, expected uint8.*convert explicitly"),
        ("test_images", lambda a: a.astype(np.int64), "dtype int64, expected uint8"),
        ("train_images", lambda a: a > 0, "dtype bool, expected uint8"),
        ("train_images", lambda a: a[0, 0], "shape"),
        ("train_images", lambda a: a[..., None], "shape"),
        ("train_images", lambda a: a[:0], "none of them empty"),
        ("test_images", lambda a: a[:0], "none of them empty"),
        ("train_images", lambda a: a[:, :0], "none of them empty"),
        ("test_images", lambda a: a[:, :3], r"shape \(3, 3, 3\), expected \[n, 4, 3\] or \[n, 12\]"),
        ("test_images", lambda a: a.transpose(0, 2, 1), r"expected \[n, 4, 3\]"),
        ("test_images", lambda a: a.reshape(3, 12)[:, :9], r"shape \(3, 9\), expected"),
        ("train_images", lambda a: np.zeros((6, 65537), np.uint8), "65537 pixels per image, allowed"),
        ("train_labels", lambda a: a[:5], "5 labels for 6 images"),
        ("test_labels", lambda a: np.append(a, 1), "4 labels for 3 images"),
        ("train_labels", lambda a: a.astype(float), "float64 with shape"),
        ("train_labels", lambda a: a[:, None], r"shape \(6, 1\), expected integers of rank 1"),
        ("train_labels", lambda a: a.astype(int) - 1, "label 0 is -1"),
        ("test_labels", lambda a: a + np.array([0, 9, 0]), r"label 1 is 10, allowed 0\.\.3"),
        ("test_labels", lambda a: a + np.array([0, 2**63, 0], np.uint64), "label 1 is 9223372036854775809"),
    ],
)  # fmt: skip
def test_a_faulty_array_is_named(arrays, field, change, words):
    arrays[field] = change(arrays[field])
    with pytest.raises(DataError, match=f"data set 'toy': {field}: .*{words}"):
        make_dataset("toy", **arrays, n_classes=4)


@pytest.mark.parametrize("n_classes", [0, -1, 65537])
def test_n_classes_out_of_range(arrays, n_classes):
    with pytest.raises(DataError, match="n_classes"):
        make_dataset("toy", **arrays, n_classes=n_classes)


def test_absurd_labels_are_not_classes(arrays):
    arrays["train_labels"] = arrays["train_labels"].astype(np.int64) + 10**12
    with pytest.raises(DataError, match="train_labels: label 0 is 1000000000000"):
        make_dataset("toy", **arrays)


# A user's own files


def test_npz(arrays, tmp_path):
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, **arrays, note=np.array("ignored"))
    for name in (path, str(path)):
        data = load_dataset(name)
        assert (data.name, data.n_classes, data.image_shape, data.source) == ("mine", 4, (4, 3), str(path))
        np.testing.assert_array_equal(data.train_images, arrays["train_images"].reshape(6, 12))


def test_npz_lacks_an_array(arrays, tmp_path):
    del arrays["test_labels"]
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError, match="lacks the arrays test_labels, holds train_images"):
        load_dataset(tmp_path / "mine.npz")


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("trap-was-sprung"),))


def test_npz_with_pickled_objects_is_refused_unopened(arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays["train_labels"] = np.array([Trap()] * 6, dtype=object)
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError, match=r"'train_labels' cannot be read .*pickled objects are refused"):
        load_dataset(tmp_path / "mine.npz")
    assert not (tmp_path / "trap-was-sprung").exists()


def test_folder_of_idx_files_without_known_sums(arrays, tmp_path):
    folder = tmp_path / "letters"
    folder.mkdir()
    for name, array in zip(MNIST_FILES, arrays.values(), strict=True):
        (folder / name).write_bytes(idx_bytes(array))
    data = load_dataset(folder)
    assert (data.name, data.n_classes) == ("letters", 4)
    np.testing.assert_array_equal(data.test_images, arrays["test_images"].reshape(3, 12))
    (folder / MNIST_FILES.train_labels).unlink()
    with pytest.raises(DataNotFoundError, match=f"lacks {MNIST_FILES.train_labels}"):
        load_dataset(folder)


def test_swapped_files_in_a_folder(arrays, tmp_path):
    for name, array in zip(MNIST_FILES, arrays.values(), strict=True):
        (tmp_path / name).write_bytes(idx_bytes(array))
    (tmp_path / MNIST_FILES.test_images).write_bytes(idx_bytes(arrays["test_labels"]))
    with pytest.raises(DataError, match=r"t10k-images.* a label file.*swapped"):
        load_dataset(tmp_path)


def test_paths_and_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataNotFoundError, match="no such file or folder"):
        load_dataset("./digits")
    with pytest.raises(DataNotFoundError):
        load_dataset(Path("digits"))
    with pytest.raises(DataNotFoundError):
        load_dataset("missing.npz")
    (tmp_path / "data.csv").touch()
    with pytest.raises(DataError, match=r"expected an \.npz file or a folder"):
        load_dataset("./data.csv")
    with pytest.raises(DataError, match="goes with a registered name"):
        load_dataset(tmp_path, tmp_path)


def test_a_path_without_a_separator_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    with pytest.raises(DataError, match=r"'faces' is unknown.*; did you mean '\./faces'\?"):
        load_dataset("faces")


@pytest.mark.parametrize(
    ("name", "near"),
    [("MNIST", "mnist"), ("fashion_mnist", "fashion-mnist"), ("Digit", "digits"), ("cifar100", None)],
)
def test_unknown_name(name, near):
    with pytest.raises(DataError, match="allowed: digits, mnist, fashion-mnist") as caught:
        load_dataset(name)
    assert ("did you mean" in str(caught.value)) == (near is not None)
    assert near is None or f"did you mean {near!r}?" in str(caught.value)


def test_importing_the_room_is_light():
    code = (
        "import sys, tinysnn_hw.data;"
        "print([m for m in ('numba', 'sklearn', 'pooch', 'requests', 'platformdirs') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
