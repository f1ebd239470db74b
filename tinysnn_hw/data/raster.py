"""Spike rasters: which input spikes in which step of which image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tinysnn_hw.errors import DataError

__all__ = ["MAX_INPUTS", "Raster", "first_bad_row"]

MAX_INPUTS = 1 << 16
"""Largest number of inputs: an input index is stored in 16 bits."""
MAX_COUNT = (1 << 16) - 1
"""Largest number of events of one input in one step that a dense array may hold."""
MAX_SIZE = (1 << 31) - 1
"""Largest number of images, and of steps."""


@dataclass(frozen=True, eq=False, repr=False)
class Raster:
    """Input spikes of several images in time order, stored as the inputs of each step.

    Events of step ``s`` of image ``i`` are ``inputs[offsets[i, s] : offsets[i, s + 1]]``.
    The constructor checks types, shapes and end points only, as is enough for a trusted encoder;
    `check` verifies every number, and `from_dense`, `from_events` and `load_raster` only return what it
    would accept.  The arrays are not copied and are not to be changed afterwards.

    Attributes
    ----------
    n_inputs : int
        Number of inputs, 1 to 65,536.
    n_steps : int
        Steps per image, at least 1.
    offsets : numpy.ndarray
        int64[n_images, n_steps + 1], positions in `inputs`; ``offsets[0, 0] == 0`` and
        ``offsets[i, n_steps] == offsets[i + 1, 0]``.
    inputs : numpy.ndarray
        uint16[n_events], in any order within a step.  An input that occurs twice in a step has two events.

    Raises
    ------
    DataError
        A size is out of range, or an array has a wrong dtype, shape or end point.
    """

    n_inputs: int
    n_steps: int
    offsets: NDArray[np.int64]
    inputs: NDArray[np.uint16]

    def __post_init__(self) -> None:
        _check_size("n_inputs", self.n_inputs, MAX_INPUTS)
        _check_size("n_steps", self.n_steps, MAX_SIZE)
        expected = (("offsets", self.offsets, np.int64, 2), ("inputs", self.inputs, np.uint16, 1))
        for name, array, dtype, rank in expected:
            if array.dtype != dtype or array.ndim != rank or not array.flags.c_contiguous:
                raise DataError(
                    f"raster {name}: {array.dtype} with shape {array.shape}, expected C-contiguous "
                    f"{np.dtype(dtype)} of rank {rank}; use Raster.from_events or Raster.from_dense"
                )
        if self.offsets.shape[0] < 1 or self.offsets.shape[1] != self.n_steps + 1:
            raise DataError(
                f"raster offsets: shape {self.offsets.shape}, expected (n_images, {self.n_steps + 1}) "
                "with at least one image; one row holds n_steps + 1 positions"
            )
        first, last = int(self.offsets[0, 0]), int(self.offsets[-1, -1])
        if (first, last) != (0, len(self.inputs)):
            raise DataError(
                f"raster offsets: go from {first} to {last}, expected 0 to {len(self.inputs)}, "
                "the number of events; positions count from the start of inputs"
            )

    def __repr__(self) -> str:
        return (
            f"Raster({self.n_images} images, {self.n_steps} steps, {self.n_inputs} inputs, "
            f"{self.n_events} events)"
        )

    @property
    def n_images(self) -> int:
        """Number of images."""
        return int(self.offsets.shape[0])

    @property
    def n_events(self) -> int:
        """Number of events of all images."""
        return len(self.inputs)

    @cached_property
    def max_events_per_step(self) -> int:
        """Largest number of events in any one step, repeated inputs included."""
        return int(np.diff(self.offsets, axis=1).max())

    def check(self) -> None:
        """Verify every position and every event.

        Raises
        ------
        DataError
            Positions descend or do not continue from one image to the next, or an input is out of range; the
            message names the first such place.
        """
        lengths = np.diff(self.offsets, axis=1)
        if (lengths < 0).any():
            image, step = np.unravel_index(int((lengths < 0).argmax()), lengths.shape)
            raise DataError(
                f"raster offsets: image {image}, step {step}: from {self.offsets[image, step]} to "
                f"{self.offsets[image, step + 1]}, expected positions that never descend"
            )
        gaps = self.offsets[1:, 0] != self.offsets[:-1, -1]
        if gaps.any():
            late = int(gaps.argmax()) + 1
            raise DataError(
                f"raster offsets: image {late} starts at {self.offsets[late, 0]}, "
                f"expected {self.offsets[late - 1, -1]}, where the image before it ends"
            )
        outside = self.inputs >= self.n_inputs
        if outside.any():
            raise DataError(
                f"raster inputs: {self._place(int(outside.argmax()))}, allowed 0..{self.n_inputs - 1}"
            )

    def _place(self, event: int) -> str:
        position = int(np.searchsorted(self.offsets.ravel(), event, side="right")) - 1
        image, step = divmod(position, self.n_steps + 1)
        return f"event {event} (image {image}, step {step}): input {self.inputs[event]}"

    def to_dense(self, dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """Return the number of events per image, step and input.

        Parameters
        ----------
        dtype
            Integer type of the result, one that holds the largest count.

        Returns
        -------
        numpy.ndarray
            `dtype` [n_images, n_steps, n_inputs].

        Raises
        ------
        DataError
            A count does not fit `dtype`.
        """
        dense = np.zeros((self.n_images, self.n_steps, self.n_inputs), dtype)
        lengths = np.diff(self.offsets, axis=1).ravel()
        cells = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths) * self.n_inputs + self.inputs
        cells, counts = np.unique(cells, return_counts=True)
        if len(counts) and counts.max() > np.iinfo(dense.dtype).max:
            raise DataError(
                f"raster: an input has {counts.max()} events in one step, but {dense.dtype} holds at most "
                f"{np.iinfo(dense.dtype).max}; pass a wider dtype"
            )
        dense.reshape(-1)[cells] = counts
        return dense

    def slice(self, images: slice | Sequence[int] | NDArray[np.integer[Any]]) -> Raster:
        """Return a raster of some of the images.

        Parameters
        ----------
        images
            A Python slice, or image numbers in any order; a number may occur more than once.

        Returns
        -------
        Raster
            With offsets that start at 0; shares `inputs` where the images are consecutive.

        Raises
        ------
        DataError
            No image is selected, or a number is not that of an image.
        """
        if isinstance(images, slice):
            chosen = np.arange(self.n_images, dtype=np.int64)[images]
        else:
            chosen = _integers("images", images)
            bad = first_bad_row(chosen, self.n_images)
            if bad is not None:
                raise DataError(
                    f"raster images: position {bad} selects image {chosen[bad]}, "
                    f"allowed 0..{self.n_images - 1}"
                )
        if not len(chosen):
            raise DataError(f"raster images: none of the {self.n_images} selected, expected at least one")
        first, lengths = self.offsets[chosen, 0], self.offsets[chosen, -1] - self.offsets[chosen, 0]
        ends = np.cumsum(lengths)
        offsets = self.offsets[chosen] + (ends - lengths - first)[:, None]
        if (np.diff(chosen) == 1).all():
            return Raster(self.n_inputs, self.n_steps, offsets, self.inputs[first[0] : first[0] + ends[-1]])
        positions = np.arange(ends[-1]) + np.repeat(first - (ends - lengths), lengths)
        return Raster(self.n_inputs, self.n_steps, offsets, self.inputs[positions])

    @classmethod
    def from_dense(cls, spikes: ArrayLike) -> Raster:
        """Make a raster from an array of event counts.

        Parameters
        ----------
        spikes
            bool or any integer type [image, step, input]; a count above 1 stands for as many events,
            at most 65,535.

        Returns
        -------
        Raster

        Raises
        ------
        DataError
            Wrong dtype or rank, an empty dimension, or a count out of range; the message names the first.
        """
        dense = np.asarray(spikes)
        if dense.dtype != np.bool_ and dense.dtype.kind not in "iu":
            raise DataError(
                f"dense spikes: dtype {dense.dtype}, expected bool or an integer type (event counts); "
                "compare or round explicitly, for example array > 0"
            )
        if dense.ndim != 3 or 0 in dense.shape:
            raise DataError(
                f"dense spikes: shape {dense.shape}, expected [image, step, input], none of them empty"
            )
        n_images, n_steps, n_inputs = dense.shape
        _check_size("n_inputs", n_inputs, MAX_INPUTS)
        flat = dense.reshape(-1)
        cells = np.flatnonzero(flat)
        counts = flat[cells]
        bad = first_bad_row(counts, MAX_COUNT + 1)
        if bad is not None:
            image, step, column = np.unravel_index(cells[bad], dense.shape)
            raise DataError(
                f"dense spikes: [{image}, {step}, {column}] = {counts[bad]}, allowed 0..{MAX_COUNT} events"
            )
        counts = counts.astype(np.int64)
        rows, columns = np.divmod(np.repeat(cells, counts), n_inputs)
        return cls(n_inputs, n_steps, _offsets(rows, n_images, n_steps), columns.astype(np.uint16))

    @classmethod
    def from_events(
        cls,
        images: ArrayLike,
        steps: ArrayLike,
        inputs: ArrayLike,
        *,
        n_images: int,
        n_steps: int,
        n_inputs: int,
    ) -> Raster:
        """Make a raster from a list of events in any order.

        Parameters
        ----------
        images, steps, inputs
            Integers, one of each per event, counted from 0.  Equal events count as many times as they occur.
        n_images, n_steps, n_inputs
            Sizes; they are never guessed, as the last image, step or input may have no event.

        Returns
        -------
        Raster

        Raises
        ------
        DataError
            A size is out of range, a column is not of integers or not as long as the others, or an entry is
            out of range; the message names the first offending row and value.
        """
        sizes = {
            "image": _check_size("n_images", n_images, MAX_SIZE),
            "step": _check_size("n_steps", n_steps, MAX_SIZE),
            "input": _check_size("n_inputs", n_inputs, MAX_INPUTS),
        }
        given = dict(zip(sizes, (images, steps, inputs), strict=True))
        columns = {name: _integers(f"event column {name}", column) for name, column in given.items()}
        if len({len(column) for column in columns.values()}) > 1:
            lengths = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
            raise DataError(f"event columns differ in length: {lengths}; expected one entry each per event")
        bad_rows = {name: first_bad_row(column, sizes[name]) for name, column in columns.items()}
        found = [(row, name) for name, row in bad_rows.items() if row is not None]
        if found:
            row, name = min(found, key=lambda item: item[0])
            raise DataError(f"event {row}: {name} = {columns[name][row]}, allowed 0..{sizes[name] - 1}")
        image, step, column = (columns[name].astype(np.int64) for name in sizes)
        order = np.lexsort((column, step, image))
        rows = image * n_steps + step
        return cls(n_inputs, n_steps, _offsets(rows, n_images, n_steps), column[order].astype(np.uint16))


def first_bad_row(column: NDArray[Any], size: int) -> int | None:
    """Return the index of the first entry outside ``0..size - 1``, or ``None``."""
    bad = (column < 0) | (column >= size)
    return int(bad.argmax()) if bad.any() else None


def _offsets(rows: NDArray[np.int64], n_images: int, n_steps: int) -> NDArray[np.int64]:
    """Turn the row ``image * n_steps + step`` of each event into absolute positions."""
    offsets = np.zeros((n_images, n_steps + 1), np.int64)
    ends = np.cumsum(np.bincount(rows, minlength=n_images * n_steps)).reshape(n_images, n_steps)
    offsets[:, 1:] = ends
    offsets[1:, 0] = ends[:-1, -1]
    return offsets


def _integers(subject: str, values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise DataError(f"{subject}: {array.dtype} with shape {array.shape}, expected integers of rank 1")
    return array


def _check_size(name: str, value: int, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 1 <= value <= largest:
        raise DataError(f"raster {name} = {value!r}, allowed an integer 1..{largest}")
    return int(value)
