"""Rasters in chunks: images encoded a little ahead of the simulation, or a user's own spikes in pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tinysnn_hw.data import Dataset, Raster, SpikeDataset
from tinysnn_hw.data.encode import EncodingTables, encode, epoch_order
from tinysnn_hw.errors import DataError
from tinysnn_hw.spec.network import NetworkSpec

CHUNK = 256
"""Images per chunk: long enough to hide the hand-over, short enough for a smooth progress bar and Ctrl-C."""

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
Data = Dataset | SpikeDataset


class Steps:
    """Counts the images that are done and tells how many.

    Parameters
    ----------
    progress : callable, optional
    stage : str
    total : int
        Images to come.
    """

    def __init__(self, progress: Progress | None, stage: str, total: int) -> None:
        self._progress, self._stage, self._total, self._done = progress, stage, total, 0
        self(0)

    def __call__(self, n_images: int) -> None:
        """Count some images."""
        self._done += n_images
        if self._progress is not None:
            self._progress(self._stage, self._done, self._total)


@dataclass(frozen=True, slots=True)
class Stream:
    """The images of one pass, as rasters.

    Attributes
    ----------
    data : Dataset or SpikeDataset
    spec : NetworkSpec
    tables : EncodingTables or None
        None for a data set that already consists of spikes.
    seed : int
        Of the spikes and of the order.
    phase : {"train", "label", "test"}
    n_images : int
        Images of one epoch.
    epochs : int
    """

    data: Data
    spec: NetworkSpec
    tables: EncodingTables | None
    seed: int
    phase: str
    n_images: int
    epochs: int = 1

    @property
    def total(self) -> int:
        """Presentations of the whole pass."""
        return self.n_images * self.epochs

    def chunks(self, first: int = 0) -> Iterator[tuple[int, int]]:
        """Yield ``(first presentation, length)`` of each chunk; a chunk stays within an epoch."""
        while first < self.total:
            epoch_end = (first // self.n_images + 1) * self.n_images
            length = min(CHUNK, epoch_end - first)
            yield first, length
            first += length

    def order(self, first: int, length: int) -> npt.NDArray[np.int64]:
        """Return which images presentations ``first`` to ``first + length - 1`` show, all of one epoch."""
        epoch, begin = divmod(first, self.n_images)
        shuffle = self.phase == "train" and self.spec.learning.shuffle
        order = epoch_order(self.n_images, seed=self.seed, epoch=epoch, shuffle=shuffle)
        return order[begin : begin + length]

    @property
    def spikes(self) -> str:
        """How pixels become spikes in this phase."""
        encoding = self.spec.encoding
        return encoding.train_spikes if self.phase == "train" else encoding.inference_spikes

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """The images of the phase, in file order."""
        if isinstance(self.data, SpikeDataset):
            raise DataError(f"data set {self.data.name!r} consists of spikes; it has no images to encode")
        return self.data.test_images if self.phase == "test" else self.data.train_images

    def raster(self, first: int, length: int) -> Raster:
        """Return the spikes of presentations ``first`` to ``first + length - 1``, all of one epoch."""
        order = self.order(first, length)
        if isinstance(self.data, SpikeDataset):
            source = self.data.test if self.phase == "test" else self.data.train
            return source.slice(order)
        if self.tables is None:
            raise DataError("a data set of images needs encoding tables")
        return encode(
            self.images,
            self.tables,
            spikes=self.spikes,
            phase=self.phase,
            seed=self.seed,
            first=first,
            order=order,
        )


def in_order(
    work: Callable[[int, int], T], stream: Stream, *, workers: int, waiting: int
) -> Iterator[tuple[int, T]]:
    """Yield ``(first presentation, work(first, length))`` of all chunks in order.

    ``workers`` threads take chunks from one queue as they get free, up to ``waiting`` chunks ahead of the caller;
    without workers the caller's thread does the work.
    """
    if not workers:
        for first, length in stream.chunks():
            yield first, work(first, length)
        return
    with ThreadPoolExecutor(workers) as pool:
        queue: deque[tuple[int, Future[T]]] = deque()
        try:
            for first, length in stream.chunks():
                queue.append((first, pool.submit(work, first, length)))
                if len(queue) > waiting:
                    begin, future = queue.popleft()
                    yield begin, future.result()
            while queue:
                begin, future = queue.popleft()
                yield begin, future.result()
        finally:
            for _, future in queue:
                future.cancel()


def ahead(stream: Stream, threads: int) -> Iterator[tuple[int, Raster]]:
    """Yield ``(first presentation, raster)`` in order, encoded by another thread while the caller works."""
    return in_order(stream.raster, stream, workers=min(threads - 1, 1), waiting=2)


def check_data(spec: NetworkSpec, data: Data) -> None:
    """Refuse data whose inputs or steps are not the network's."""
    if data.n_inputs != spec.network.inputs:
        raise DataError(
            f"data set {data.name!r} has {data.n_inputs} inputs per image; network {spec.name!r} (recipe "
            f"{spec.recipe!r}) has network.inputs = {spec.network.inputs}; choose the recipe of this "
            f"data set or set inputs={data.n_inputs}"
        )
    if isinstance(data, SpikeDataset) and data.n_steps != spec.encoding.n_steps:
        raise DataError(
            f"data set {data.name!r} has {data.n_steps} steps per image; network {spec.name!r} has "
            f"encoding.n_steps = {spec.encoding.n_steps}; set encoding.n_steps={data.n_steps}"
        )
