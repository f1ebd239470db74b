"""Data sets of labelled images: loading, validation, parts."""

from __future__ import annotations

import difflib
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysnn_hw.data.files import read_npz
from tinysnn_hw.data.raster import MAX_INPUTS, first_bad_row
from tinysnn_hw.data.sources import SOURCES, Parts, read_folder
from tinysnn_hw.errors import DataError, DataNotFoundError

__all__ = ["Dataset", "load_dataset", "make_dataset"]

MAX_CLASSES = 1 << 16


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dataset:
    """Labelled images for training and testing; made by `load_dataset` or `make_dataset`, which validate.

    Attributes
    ----------
    name : str
        What it is, including what part of a larger set, for example ``"mnist[holdout 10000]"``.
    train_images, test_images : numpy.ndarray
        uint8[n, n_inputs], read-only; intensities 0 to 255, images in row-major order.
    train_labels, test_labels : numpy.ndarray
        int64[n], read-only; classes 0 to n_classes - 1.
    n_classes : int
        Number of classes.
    image_shape : tuple of int
        Height and width in pixels; their product is n_inputs.
    digests : Parts of str
        SHA-256, hexadecimal, of the bytes of the four arrays as stored here (labels as little-endian
        64-bit integers).
    source : str
        Where the data came from.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    n_classes: int
    image_shape: tuple[int, int]
    digests: Parts[str]
    source: str

    def __repr__(self) -> str:
        height, width = self.image_shape
        return (
            f"Dataset({self.name!r}, {self.n_train} + {self.n_test} images of {height} x {width}, "
            f"{self.n_classes} classes, from {self.source})"
        )

    @property
    def n_inputs(self) -> int:
        """Pixels per image."""
        return int(self.train_images.shape[1])

    @property
    def n_train(self) -> int:
        """Number of training images."""
        return len(self.train_labels)

    @property
    def n_test(self) -> int:
        """Number of test images."""
        return len(self.test_labels)

    def limit(self, n_train: int | None = None, n_test: int | None = None) -> Dataset:
        """Return the first images of each part; the name says so.

        Parameters
        ----------
        n_train, n_test
            How many, 1 to all; ``None`` keeps all.

        Returns
        -------
        Dataset

        Raises
        ------
        DataError
            A number is out of range.
        """
        suffix = limit_suffix(self.name, n_train, self.n_train, n_test, self.n_test)
        return self._with(
            suffix,
            Parts(
                self.train_images[:n_train],
                self.train_labels[:n_train],
                self.test_images[:n_test],
                self.test_labels[:n_test],
            ),
        )

    def holdout(self, n: int) -> Dataset:
        """Return a data set to choose settings on: the last training images in place of the test images.

        Parameters
        ----------
        n
            How many training images to hold out, 1 to one less than there are.

        Returns
        -------
        Dataset
            Trains on the others, tests on those held out; the real test images do not occur in it.

        Raises
        ------
        DataError
            The number is out of range.
        """
        cut = self.n_train - checked_count("holdout n", self.name, n, self.n_train - 1)
        images, labels = self.train_images, self.train_labels
        return self._with(f"[holdout {n}]", Parts(images[:cut], labels[:cut], images[cut:], labels[cut:]))

    def _with(self, suffix: str, parts: Parts[NDArray[Any]]) -> Dataset:
        return make_dataset(
            self.name + suffix,
            *parts,
            n_classes=self.n_classes,
            image_shape=self.image_shape,
            source=self.source,
        )


def load_dataset(
    name: str | os.PathLike[str] = "digits",
    data_dir: str | os.PathLike[str] | None = None,
    *,
    progress: bool | None = None,
) -> Dataset:
    """Load a data set by name, or a user's own from files.

    Parameters
    ----------
    name
        ``"digits"`` (8 x 8, comes with scikit-learn, needs no files), ``"mnist"`` or ``"fashion-mnist"``
        (28 x 28), or the path of

        - an ``.npz`` file with the arrays ``train_images``, ``train_labels``, ``test_images`` and
          ``test_labels``; images uint8[n, h, w] or uint8[n, n_inputs], labels integers from 0, or
        - a folder with four idx files under MNIST's names, plain or ``.gz``.

        A registered name is taken as such even if a file is called so; ``"./mnist"`` is a path.
    data_dir
        Folder with the files of a registered data set, directly or in a subfolder of its name; it is then the
        only place searched.  ``None``: the environment variable TINYSNN_DATA, then the user's cache, then the
        official mirrors, whose files are verified and kept in the cache.
    progress
        Whether to show a download's progress on stderr; ``None``: if stderr is a terminal.

    Returns
    -------
    Dataset

    Raises
    ------
    DataNotFoundError
        The files are neither on disk nor obtainable.
    DataError
        The name is unknown, or a file is damaged, mislabelled or malformed.
    """
    if isinstance(name, str) and name in SOURCES:
        source = SOURCES[name]
        parts, where = source.read(name, data_dir, progress)
        return make_dataset(
            name, *parts, n_classes=source.n_classes, image_shape=source.image_shape, source=where
        )
    path = Path(name).expanduser()
    if isinstance(name, str) and not _looks_like_path(name):
        near = difflib.get_close_matches(name.lower(), SOURCES, n=1)
        meant = f".{os.sep}{name}" if name and path.exists() else "".join(near)
        raise DataError(
            f"data set {name!r} is unknown; allowed: {', '.join(SOURCES)}, or the path of an .npz file or of "
            f"a folder with idx files{f'; did you mean {meant!r}?' if meant else ''}"
        )
    if data_dir is not None:
        raise DataError(
            f"data_dir={os.fspath(data_dir)!r} given with the path {str(path)!r}; it goes with a registered "
            f"name ({', '.join(SOURCES)}) only, leave it out"
        )
    if path.is_dir():
        return make_dataset(path.resolve().name, *read_folder(path), source=str(path))
    if not path.is_file():
        raise DataNotFoundError(f"data set {str(path)!r}: no such file or folder; check the path")
    if path.suffix.lower() != ".npz":
        raise DataError(f"data set {str(path)!r}: expected an .npz file or a folder with four idx files")
    arrays = read_npz(path)
    missing = [field for field in Parts._fields if field not in arrays]
    if missing:
        raise DataError(
            f"{path}: lacks the arrays {', '.join(missing)}, holds {', '.join(arrays) or 'none'}; "
            f"expected {', '.join(Parts._fields)}"
        )
    return make_dataset(path.stem, *(arrays[field] for field in Parts._fields), source=str(path))


def _looks_like_path(name: str) -> bool:
    separators = [os.sep, "/", *([os.altsep] if os.altsep else [])]
    return name.endswith(".npz") or name.startswith("~") or any(mark in name for mark in separators)


def make_dataset(
    name: str,
    train_images: ArrayLike,
    train_labels: ArrayLike,
    test_images: ArrayLike,
    test_labels: ArrayLike,
    *,
    n_classes: int | None = None,
    image_shape: tuple[int, int] | None = None,
    source: str = "arrays",
) -> Dataset:
    """Make a data set from arrays, validated.

    Arrays are copied only where their dtype or order requires it: do not change them afterwards.

    Parameters
    ----------
    name
        What to call it.
    train_images, test_images
        uint8[n, h, w] or uint8[n, n_inputs], 1 to 65,536 pixels each.
    train_labels, test_labels
        Any integer type [n], 0 to n_classes - 1.
    n_classes
        Number of classes; ``None``: the largest label plus 1.
    image_shape
        Height and width; ``None``: as the images have it; flat ones are square if n_inputs is a square
        number, else one row.
    source
        Where the data came from.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        An array is empty, has a wrong dtype, rank or length, or a label is out of range; the message names
        the array.
    """
    train, shape = _checked_images(name, "train_images", train_images, image_shape)
    test, _ = _checked_images(name, "test_images", test_images, shape)
    labels = (train_labels, test_labels)
    train_classes, test_classes, n_classes = checked_labels(name, labels, (len(train), len(test)), n_classes)
    digests = Parts(digest(train), digest(train_classes), digest(test), digest(test_classes))
    return Dataset(name, train, train_classes, test, test_classes, n_classes, shape, digests, source)


def checked_labels(
    name: str, labels: tuple[ArrayLike, ArrayLike], lengths: tuple[int, int], n_classes: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Validate the labels of the training and the test part.

    Parameters
    ----------
    name
        Name of the data set, for messages.
    labels
        Of the training part, of the test part.
    lengths
        How many each part must have.
    n_classes
        Number of classes; ``None``: the largest label plus 1.

    Returns
    -------
    train_labels, test_labels, n_classes
        Labels as int64, read-only.

    Raises
    ------
    DataError
        Wrong dtype, rank or length, or a label out of range; the message names the array and the first place.
    """
    if n_classes is not None and not 1 <= n_classes <= MAX_CLASSES:
        raise DataError(f"data set {name!r}: n_classes = {n_classes}, allowed 1..{MAX_CLASSES}")
    checked = []
    for field, values, length in zip(("train_labels", "test_labels"), labels, lengths, strict=True):
        array = np.asarray(values)
        subject = f"data set {name!r}: {field}"
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise DataError(
                f"{subject}: {array.dtype} with shape {array.shape}, expected integers of rank 1, "
                "the class of each image from 0"
            )
        if len(array) != length:
            raise DataError(f"{subject}: {len(array)} labels for {length} images; expected one per image")
        size = MAX_CLASSES if n_classes is None else n_classes
        bad = first_bad_row(array, size)
        if bad is not None:
            raise DataError(f"{subject}: label {bad} is {array[bad]}, allowed 0..{size - 1}")
        checked.append(_read_only(array.astype(np.int64)))
    if n_classes is None:
        n_classes = 1 + int(max(array.max() for array in checked))
    return checked[0], checked[1], int(n_classes)


def limit_suffix(name: str, n_train: int | None, all_train: int, n_test: int | None, all_test: int) -> str:
    """Validate the two numbers of `Dataset.limit` and return what they add to the name."""
    said = [
        f"{part} {checked_count(f'limit n_{part}', name, n, n_all)}"
        for part, n, n_all in (("train", n_train, all_train), ("test", n_test, all_test))
        if n is not None
    ]
    return f"[{', '.join(said)}]" if said else ""


def checked_count(subject: str, name: str, n: int, largest: int) -> int:
    """Return `n` if it is an integer 1..largest, else raise `DataError`."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= largest:
        allowed = f"allowed an integer 1..{largest}" if largest else "too few training images to split"
        raise DataError(f"data set {name!r}: {subject} = {n!r}, {allowed}")
    return int(n)


def digest(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's bytes, in row-major order and little-endian, as hexadecimal."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def _checked_images(
    name: str, field: str, images: ArrayLike, image_shape: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Validate images and flatten them; return them with their height and width."""
    array = np.asarray(images)
    subject = f"data set {name!r}: {field}"
    if array.dtype != np.uint8:
        raise DataError(
            f"{subject}: dtype {array.dtype}, expected uint8 intensities 0..255: the encoder works on "
            "integers and does not guess a scale; convert explicitly, for values 0 to 1 for example by "
            "(x * 255).round().astype(np.uint8)"
        )
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(
            f"{subject}: shape {array.shape}, expected [n, h, w] or [n, n_inputs], none of them empty"
        )
    n_inputs = math.prod(array.shape[1:])
    if n_inputs > MAX_INPUTS:
        raise DataError(f"{subject}: {n_inputs} pixels per image, allowed 1..{MAX_INPUTS}")
    side = math.isqrt(n_inputs)
    square_or_row = (side, side) if side * side == n_inputs else (1, n_inputs)
    own = array.shape[1:] if array.ndim == 3 else image_shape or square_or_row
    shape = own if image_shape is None else image_shape
    if tuple(own) != tuple(shape) or math.prod(shape) != n_inputs:
        raise DataError(
            f"{subject}: shape {array.shape}, expected [n, {shape[0]}, {shape[1]}] or [n, {math.prod(shape)}]"
        )
    flat = np.ascontiguousarray(array).reshape(len(array), n_inputs)
    return _read_only(flat), (int(shape[0]), int(shape[1]))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written, so that the digests stay true."""
    view = array.view()
    view.flags.writeable = False
    return view
