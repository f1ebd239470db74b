"""Spikes in device memory: rasters copied there, or images encoded there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from tinysnn_hw.data.encode import SPIKES, EncodingTables, spike_purpose
from tinysnn_hw.data.raster import Raster
from tinysnn_hw.engine.cuda import encode
from tinysnn_hw.engine.cuda.device import is_simulated, launch, require_device, threads_for
from tinysnn_hw.errors import SpecError

Int64Array = npt.NDArray[np.int64]

_MAX_BLOCKS = 1024


@dataclass(frozen=True, slots=True)
class DeviceSpikes:
    """Several rasters with the same number of images, in device memory.

    Attributes
    ----------
    n_images : int
    n_inputs, n_steps : tuple of int
        Of each raster.
    offsets : device array of int64
    inputs : device array of uint16
    offset_at : int64[n_rasters]
        Where the positions of each raster begin in ``offsets``.
    max_events_per_step : tuple of int
        Of each raster.
    """

    n_images: int
    n_inputs: tuple[int, ...]
    n_steps: tuple[int, ...]
    offsets: Any
    inputs: Any
    offset_at: Int64Array
    max_events_per_step: tuple[int, ...]

    @property
    def n_rasters(self) -> int:
        """Number of rasters."""
        return len(self.n_inputs)

    def reordered(self, order: Sequence[int] | Int64Array) -> DeviceSpikes:
        """Return the same rasters in another order; nothing is copied."""
        chosen = [int(k) for k in order]
        return replace(
            self,
            n_inputs=tuple(self.n_inputs[k] for k in chosen),
            n_steps=tuple(self.n_steps[k] for k in chosen),
            offset_at=self.offset_at[chosen],
            max_events_per_step=tuple(self.max_events_per_step[k] for k in chosen),
        )

    def raster(self, k: int) -> Raster:
        """Return a raster as the host has it, inputs ascending within a step."""
        rows = self.n_images * (self.n_steps[k] + 1)
        offsets = self.offsets.copy_to_host()[self.offset_at[k] : self.offset_at[k] + rows]
        first, last = int(offsets[0]), int(offsets[-1])
        inputs = self.inputs.copy_to_host()[first:last]
        offsets = offsets.reshape(self.n_images, -1) - first
        steps = np.repeat(np.arange(offsets.size - self.n_images), np.diff(offsets, axis=1).ravel())
        return Raster(self.n_inputs[k], self.n_steps[k], offsets, inputs[np.lexsort((inputs, steps))])


def copy_rasters(rasters: Sequence[Raster]) -> DeviceSpikes:
    """Copy rasters to the GPU.

    Raises
    ------
    SpecError
        They have different numbers of images.
    """
    counts = {raster.n_images for raster in rasters}
    if len(counts) != 1:
        raise SpecError(f"rasters of one launch have the same number of images, not {sorted(counts)}")
    events = starts([raster.n_events for raster in rasters])
    offsets = [raster.offsets.ravel() + at for raster, at in zip(rasters, events, strict=True)]
    # A kernel cannot be handed an array without elements.
    inputs = [*(raster.inputs for raster in rasters), np.zeros(1, np.uint16)]
    return DeviceSpikes(
        n_images=counts.pop(),
        n_inputs=tuple(raster.n_inputs for raster in rasters),
        n_steps=tuple(raster.n_steps for raster in rasters),
        offsets=cuda.to_device(np.concatenate(offsets)),
        inputs=cuda.to_device(np.concatenate(inputs)),
        offset_at=starts([raster.offsets.size for raster in rasters]),
        max_events_per_step=tuple(raster.max_events_per_step for raster in rasters),
    )


def join_spikes(parts: Sequence[DeviceSpikes]) -> DeviceSpikes:
    """Return the rasters of several `DeviceSpikes` in one, behind one another.

    Raises
    ------
    SpecError
        They have different numbers of images.
    """
    if len(parts) == 1:
        return parts[0]
    counts = {part.n_images for part in parts}
    if len(counts) != 1:
        raise SpecError(f"rasters of one launch have the same number of images, not {sorted(counts)}")
    rows, events = starts([p.offsets.size for p in parts]), starts([p.inputs.size for p in parts])
    offsets = cuda.device_array(sum(part.offsets.size for part in parts), np.int64)
    inputs = cuda.device_array(sum(part.inputs.size for part in parts), np.uint16)
    for part, row, event in zip(parts, rows.tolist(), events.tolist(), strict=True):
        for source, target, at, shift in (
            (part.offsets, offsets, row, event),
            (part.inputs, inputs, event, 0),
        ):
            threads = threads_for(source.size)
            blocks = min(-(-source.size // threads), 2 if is_simulated() else _MAX_BLOCKS)
            launch(encode.copy_shifted, blocks, threads, source, target, at, shift)
    return DeviceSpikes(
        n_images=counts.pop(),
        n_inputs=tuple(n for part in parts for n in part.n_inputs),
        n_steps=tuple(n for part in parts for n in part.n_steps),
        offsets=offsets,
        inputs=inputs,
        offset_at=np.concatenate([part.offset_at + at for part, at in zip(parts, rows, strict=True)]),
        max_events_per_step=tuple(n for part in parts for n in part.max_events_per_step),
    )


def copy_images(images: npt.NDArray[np.uint8]) -> Any:
    """Copy images uint8[n, n_inputs] to the GPU, for several `DeviceImages`."""
    return cuda.to_device(np.ascontiguousarray(images))


class DeviceImages:
    """Images in device memory, to be encoded there for many seeds at once.

    Parameters
    ----------
    images : uint8[n, n_inputs]
        On the host, or in device memory already.
    tables : EncodingTables
    threads : int, optional
        Threads per block.

    Raises
    ------
    BackendUnavailableError
        There is no GPU.
    """

    def __init__(
        self, images: npt.NDArray[np.uint8] | Any, tables: EncodingTables, *, threads: int | None = None
    ) -> None:
        require_device()
        self._images = copy_images(images) if isinstance(images, np.ndarray) else images
        self._tables = [cuda.to_device(table) for table in tables.arrays()]
        self.n_steps = tables.n_steps
        self.n_inputs = images.shape[1]
        self._threads = threads or threads_for(self.n_inputs)

    def encode(
        self, orders: npt.NDArray[np.int64], seeds: Sequence[int], *, spikes: str, phase: str, first: int = 0
    ) -> DeviceSpikes:
        """Encode images for several seeds.

        Parameters
        ----------
        orders : int64[n_seeds, n_images]
            Rows of the images that each seed presents, in order.
        seeds : sequence of int
        spikes, phase, first
            As in `tinysnn_hw.data.encode.encode`.

        Returns
        -------
        DeviceSpikes
            One raster per seed, with the events that `tinysnn_hw.data.encode.encode` gives.
        """
        n_seeds, n_images = orders.shape
        rows = n_seeds * n_images
        purpose = int(spike_purpose(phase, spikes))
        filled = cuda.to_device(np.zeros((rows, self.n_steps), np.int32))
        offsets = cuda.device_array((rows, self.n_steps + 1), np.int64)
        totals, largest = cuda.device_array(rows, np.int64), cuda.device_array(rows, np.int64)
        order, keys = cuda.to_device(orders), cuda.to_device(np.array(seeds, np.int64))
        kind = SPIKES.index(spikes)
        below = None
        if kind == encode.POOLED:
            below = cuda.device_array((rows, self.n_inputs), np.int64)
        per_row = (-(-rows // self._threads), self._threads)

        def make(fill: bool, inputs: Any) -> None:
            shared = (fill, self._images, order, *self._tables, keys, purpose, first)
            if below is not None:
                launch(encode.pooled, *per_row, *shared, below, filled, offsets, inputs)
            else:
                launch(
                    encode.renewal, (n_seeds, n_images), self._threads,
                    *shared, kind == encode.REGULAR, filled, offsets, inputs,
                )  # fmt: skip

        make(False, cuda.device_array(1, np.uint16))
        launch(encode.place_events, *per_row, filled, offsets, totals, largest)
        events = totals.copy_to_host()
        launch(encode.shift_offsets, rows, self._threads, offsets, cuda.to_device(starts(events)))
        inputs = cuda.device_array(int(events.sum()) + 1, np.uint16)
        make(True, inputs)
        most = largest.copy_to_host().reshape(n_seeds, n_images).max(axis=1)
        return DeviceSpikes(
            n_images=n_images,
            n_inputs=(self.n_inputs,) * n_seeds,
            n_steps=(self.n_steps,) * n_seeds,
            offsets=offsets.reshape(rows * (self.n_steps + 1)),
            inputs=inputs,
            offset_at=starts([n_images * (self.n_steps + 1)] * n_seeds),
            max_events_per_step=tuple(most.tolist()),
        )


def starts(sizes: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where each of several parts begins that lie behind one another."""
    sizes = np.asarray(sizes, np.int64)
    return np.cumsum(sizes) - sizes
