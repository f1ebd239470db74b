"""Whole runs on the GPU: networks grouped into launches, their spikes made beside them in device memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tinysnn_hw.data import SpikeDataset
from tinysnn_hw.data.encode import EncodingTables, expected_events
from tinysnn_hw.engine import Lowered, NetworkState, RunResult
from tinysnn_hw.errors import DataError
from tinysnn_hw.learning.stream import CHUNK, Stream

if TYPE_CHECKING:
    from tinysnn_hw.engine.cuda.spikes import DeviceImages, DeviceSpikes

Take = Callable[[int, int, RunResult], None]
"""Called as ``take(job, first, result)`` with what one network did with the images from ``first`` on."""


@dataclass(slots=True)
class Job:
    """One network and the images it is shown.

    Attributes
    ----------
    stream : Stream
    raster_key : str
        Equal for networks that are shown the same spikes.
    lowered : Lowered
    state : NetworkState
        Updated in place by training.
    seed : int
    kernel : str
        Name of the kernel, once it has run.
    """

    stream: Stream
    raster_key: str
    lowered: Lowered
    state: NetworkState
    seed: int
    kernel: str = field(default="", init=False)


def launches(jobs: Sequence[Job]) -> list[list[int]]:
    """Group jobs, by position, into those that one launch can take.

    They share the number of images and of epochs, the phase and the types of their arrays, and fit the free memory.

    Raises
    ------
    BackendUnavailableError
        There is no GPU.
    DeviceMemoryError
        A network does not fit.
    """
    from tinysnn_hw.engine.cuda.device import free_bytes, require_device
    from tinysnn_hw.engine.cuda.plan import choose_storage, plan_launches

    require_device()
    groups: dict[object, list[int]] = {}
    for k, job in enumerate(jobs):
        key = (job.stream.total, job.stream.n_images, job.stream.phase, choose_storage(job.lowered))
        groups.setdefault(key, []).append(k)
    planned: list[list[int]] = []
    for members in groups.values():
        first = jobs[members[0]].stream
        copied = 0 if isinstance(first.data, SpikeDataset) else first.images.nbytes
        sizes = [_bytes(jobs[k]) for k in members]
        names = [jobs[k].lowered.spec.name for k in members]
        divided = plan_launches(sizes, max(free_bytes() - copied, 0), names)
        planned += [[members[place] for place in launch] for launch in divided]
    return planned


def run_launch(jobs: Sequence[Job], take: Take) -> Callable[[], None]:
    """Load the networks of one launch; return what shows them all their images.

    The first call compiles and copies, so that a clock can be started before the second.
    """
    from tinysnn_hw.engine.cuda.batch import CudaBatch

    batch = CudaBatch([job.lowered for job in jobs], [job.state for job in jobs], [job.seed for job in jobs])
    keys = list(dict.fromkeys(job.raster_key for job in jobs))
    raster_of = [keys.index(job.raster_key) for job in jobs]
    source = _Source([next(job.stream for job in jobs if job.raster_key == key) for key in keys])
    phase, total = jobs[0].stream.phase, jobs[0].stream.total
    batch.warm_up(source.spikes(0, 1), raster_of, phase)

    def work() -> None:
        for first, length in jobs[0].stream.chunks():
            results = batch.run(
                source.spikes(first, length), raster_of, phase=phase, first=first,
                n_presentations=[total] * len(jobs) if phase == "train" else None,
            )  # fmt: skip
            for k, result in enumerate(results):
                take(k, first, result)
        if phase == "train":
            batch.store([job.state for job in jobs])
        for job in jobs:
            job.kernel = batch.kernel

    return work


class _Source:
    """The spikes of several streams over the same images, in device memory."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self._encoders: list[tuple[DeviceImages, list[int]]] = []
        if isinstance(streams[0].data, SpikeDataset):
            return
        from tinysnn_hw.engine.cuda.spikes import DeviceImages, copy_images

        images = copy_images(streams[0].images)
        groups: dict[object, list[int]] = {}
        for k, stream in enumerate(streams):
            tables = _tables(stream)
            key = (b"".join(table.tobytes() for table in tables.arrays()), tables.n_steps, stream.spikes)
            groups.setdefault(key, []).append(k)
        for members in groups.values():
            self._encoders.append((DeviceImages(images, _tables(streams[members[0]])), members))

    def spikes(self, first: int, length: int) -> DeviceSpikes:
        """Return the spikes of some presentations of all streams, in their order."""
        from tinysnn_hw.engine.cuda.spikes import copy_rasters, join_spikes

        if not self._encoders:
            return copy_rasters([stream.raster(first, length) for stream in self._streams])
        parts, places = [], []
        for images, members in self._encoders:
            group = [self._streams[k] for k in members]
            orders = np.stack([stream.order(first, length) for stream in group])
            seeds = [stream.seed for stream in group]
            parts.append(
                images.encode(orders, seeds, spikes=group[0].spikes, phase=group[0].phase, first=first)
            )
            places += members
        return join_spikes(parts).reordered(np.argsort(places))


def _tables(stream: Stream) -> EncodingTables:
    if stream.tables is None:
        raise DataError("a data set of images needs encoding tables")
    return stream.tables


def _bytes(job: Job) -> int:
    """Return the device memory that a job takes for one chunk of images."""
    from tinysnn_hw.engine.cuda.plan import network_bytes

    learn, images = job.stream.phase == "train", min(CHUNK, job.stream.n_images)
    blocks = 1 if learn else images
    return network_bytes(job.lowered, images, _events(job.stream, images), learn=learn, n_blocks=blocks)


def _events(stream: Stream, images: int) -> int:
    """Return about how many input events some images of a stream have."""
    if isinstance(stream.data, SpikeDataset):
        source = stream.data.test if stream.phase == "test" else stream.data.train
        return source.n_events * images // source.n_images + 1
    return expected_events(stream.images, stream.order(0, images), _tables(stream))
