"""Data sets of labelled spikes, for use in place of images."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysnn_hw.data.dataset import checked_count, checked_labels, digest, limit_suffix
from tinysnn_hw.data.files import read_raster
from tinysnn_hw.data.raster import Raster
from tinysnn_hw.data.sources import Parts
from tinysnn_hw.errors import DataError

__all__ = ["SpikeDataset", "load_spikes", "make_spike_dataset"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SpikeDataset:
    """Labelled spikes for training and testing; made by `load_spikes` or `make_spike_dataset`.

    Attributes
    ----------
    name : str
        What it is, as in `Dataset`.
    train, test : Raster
        Input spikes, with the same n_inputs and n_steps.
    train_labels, test_labels : numpy.ndarray
        int64[n_images], read-only; classes 0 to n_classes - 1.
    n_classes : int
        Number of classes.
    source : str
        Where the data came from.
    """

    name: str
    train: Raster
    train_labels: NDArray[np.int64]
    test: Raster
    test_labels: NDArray[np.int64]
    n_classes: int
    source: str = "rasters"

    def __repr__(self) -> str:
        return (
            f"SpikeDataset({self.name!r}, {self.n_train} + {self.n_test} images of {self.n_steps} steps, "
            f"{self.n_inputs} inputs, {self.n_classes} classes, from {self.source})"
        )

    @property
    def n_inputs(self) -> int:
        """Inputs per image."""
        return self.train.n_inputs

    @property
    def n_steps(self) -> int:
        """Steps per image."""
        return self.train.n_steps

    @property
    def n_train(self) -> int:
        """Number of training images."""
        return len(self.train_labels)

    @property
    def n_test(self) -> int:
        """Number of test images."""
        return len(self.test_labels)

    @property
    def digests(self) -> Parts[str]:
        """SHA-256 of the four parts, as in `Dataset`; of a raster, over those of its three arrays."""
        return Parts(
            _raster_digest(self.train), digest(self.train_labels),
            _raster_digest(self.test), digest(self.test_labels),
        )  # fmt: skip

    def limit(self, n_train: int | None = None, n_test: int | None = None) -> SpikeDataset:
        """Return the first images of each part, as `Dataset.limit`."""
        suffix = limit_suffix(self.name, n_train, self.n_train, n_test, self.n_test)
        return SpikeDataset(
            self.name + suffix,
            self.train.slice(slice(n_train)),
            self.train_labels[:n_train],
            self.test.slice(slice(n_test)),
            self.test_labels[:n_test],
            self.n_classes,
            self.source,
        )

    def holdout(self, n: int) -> SpikeDataset:
        """Return a data set to choose settings on, as `Dataset.holdout`."""
        cut = self.n_train - checked_count("holdout n", self.name, n, self.n_train - 1)
        return SpikeDataset(
            f"{self.name}[holdout {n}]",
            self.train.slice(slice(cut)),
            self.train_labels[:cut],
            self.train.slice(slice(cut, None)),
            self.train_labels[cut:],
            self.n_classes,
            self.source,
        )


def load_spikes(
    train_path: str | os.PathLike[str],
    test_path: str | os.PathLike[str],
    *,
    train_labels: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
    n_classes: int | None = None,
    name: str | None = None,
) -> SpikeDataset:
    """Load labelled spikes from two raster files (see `tinysnn_hw.data.files`).

    Parameters
    ----------
    train_path, test_path
        Raster files, ``.npz`` or ``.csv``.
    train_labels, test_labels
        Integer class of each image, for files without ``labels``.
    n_classes
        Number of classes; ``None``: the largest label plus 1.
    name
        What to call the data set; ``None``: the two file names.

    Returns
    -------
    SpikeDataset

    Raises
    ------
    DataNotFoundError
        A file does not exist.
    DataError
        A file is malformed, labels are missing, given twice or invalid, or the two rasters do not fit.
    """
    found: list[tuple[Raster, ArrayLike]] = []
    for path, part, given in ((train_path, "train", train_labels), (test_path, "test", test_labels)):
        raster, labels = read_raster(path)
        if (labels is None) == (given is None):
            state = "has no labels" if given is None else "has labels, but others were passed as well"
            raise DataError(
                f"{os.fspath(path)}: {state}; put an array 'labels' into the .npz file, or pass {part}_labels"
            )
        found.append((raster, cast(ArrayLike, given if labels is None else labels)))
    return make_spike_dataset(
        f"{Path(train_path).stem}+{Path(test_path).stem}" if name is None else name,
        *found[0],
        *found[1],
        n_classes=n_classes,
        source=f"{os.fspath(train_path)}, {os.fspath(test_path)}",
    )


def make_spike_dataset(
    name: str,
    train: Raster,
    train_labels: ArrayLike,
    test: Raster,
    test_labels: ArrayLike,
    *,
    n_classes: int | None = None,
    source: str = "rasters",
) -> SpikeDataset:
    """Make a spike data set, validated; labels, `n_classes` and errors are as in `make_dataset`.

    The rasters must have the same n_inputs and n_steps, and are checked in full.
    """
    for field in ("n_inputs", "n_steps"):
        if getattr(train, field) != getattr(test, field):
            raise DataError(
                f"data set {name!r}: train has {field} = {getattr(train, field)}, "
                f"test has {getattr(test, field)}; expected the same"
            )
    train.check()
    test.check()
    labels, lengths = (train_labels, test_labels), (train.n_images, test.n_images)
    train_classes, test_classes, n_classes = checked_labels(name, labels, lengths, n_classes)
    return SpikeDataset(name, train, train_classes, test, test_classes, n_classes, source)


def _raster_digest(raster: Raster) -> str:
    sizes = np.array([raster.n_images, raster.n_steps, raster.n_inputs], np.int64)
    parts = "".join(digest(array) for array in (sizes, raster.offsets, raster.inputs))
    return hashlib.sha256(parts.encode()).hexdigest()
