"""Networks in device memory, trained or shown images together in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cuda import block as B
from tinysnn_hw.engine.cuda import kernel, lane_block, lane_kernel, lanes, table
from tinysnn_hw.engine.cuda.device import launch, multiprocessors, require_device, threads_for
from tinysnn_hw.engine.cuda.plan import (
    block_words,
    choose_storage,
    fits_shared,
    lane_events,
    lane_shared,
)
from tinysnn_hw.engine.cuda.spikes import DeviceSpikes, copy_rasters, starts
from tinysnn_hw.engine.lower import Lowered, prove
from tinysnn_hw.engine.run import (
    NetworkState,
    RunResult,
    check_overflow,
    check_run_arguments,
    check_shape,
    empty_stats,
    schedule_pieces,
)
from tinysnn_hw.errors import SpecError

if TYPE_CHECKING:
    from tinysnn_hw.data.raster import Raster

Int64Array = npt.NDArray[np.int64]

_BLOCKS_PER_PROCESSOR = 16
_OF_NEURONS = (
    "v_mem", "refractory_count", "v_th", "theta", "v_inh", "inhibitory_count", "n_post", "n_window", "x_post"
)  # fmt: skip
_OF_INPUTS = ("x_pre", "c_pre")


class CudaBatch:
    """Networks loaded into the GPU, ready to run any number of rasters together.

    Parameters
    ----------
    networks : sequence of Lowered
        All with the same `choose_storage`.
    states : sequence of NetworkState
        Copied in; `store` copies them out.
    seeds : sequence of int
        0 to 2**32 - 1, of each network.
    threads : int, optional
        Threads per block; absent: about one per two neurons, or as many as lanes need.
    record : bool
        Record every register after every step; slow and large.

    Attributes
    ----------
    kernel : str
        Name of the kernel that ran last.

    Raises
    ------
    BackendUnavailableError
        There is no GPU.
    SpecError
        Networks of different storage.
    """

    def __init__(
        self,
        networks: Sequence[Lowered],
        states: Sequence[NetworkState],
        seeds: Sequence[int],
        *,
        threads: int | None = None,
        record: bool = False,
    ) -> None:
        require_device()
        storages = {choose_storage(lowered) for lowered in networks}
        if len(storages) != 1:
            names = ", ".join(sorted(storage.name for storage in storages)) or "none"
            raise SpecError(
                f"networks of one launch need one storage, not {names}; group them by choose_storage"
            )
        self.networks = list(networks)
        self.seeds = list(seeds)
        self.storage = storages.pop()
        self.record = record
        self._proven = [0] * len(self.networks)
        params = [lowered.params for lowered in networks]
        self._table = np.stack([table.pack_params(p) for p in params])
        self._table[:, table.SEED] = self.seeds
        strides = [self.storage.stride(p.n_neurons) for p in params]
        self._table[:, table.STRIDE] = strides
        self._table[:, table.WEIGHT_AT] = starts(
            [p.n_inputs * stride for p, stride in zip(params, strides, strict=True)]
        )
        self._table[:, table.NEURON_AT] = starts([p.n_neurons for p in params])
        largest = max(p.n_neurons for p in params)
        self.threads = threads or threads_for(-(-largest // 2))
        self._lane_threads = threads_for(-(-largest // lanes.LANES), most=lane_kernel.MAX_THREADS, least=1)
        self._lane_events = [lane_events(lowered) for lowered in networks] if self.storage.lanes else None
        self.kernel = self.storage.name
        word = self.storage.word
        rows = [
            np.zeros((p.n_inputs, stride), self.storage.weight)
            for p, stride in zip(params, strides, strict=True)
        ]
        for array, state in zip(rows, states, strict=True):
            array[:, : state.weight.shape[1]] = state.weight
        self._weight = cuda.to_device(np.concatenate([array.ravel() for array in rows]))
        self._theta = cuda.to_device(np.concatenate([state.theta.astype(word) for state in states]))
        self._v_th = cuda.to_device(np.concatenate([state.v_th.astype(word) for state in states]))
        scales = np.zeros((len(params), max(max(len(lowered.x_scale) for lowered in networks), 1)), np.int64)
        for row, lowered in zip(scales, networks, strict=True):
            row[: len(lowered.x_scale)] = lowered.x_scale
        self._x_scale = cuda.to_device(scales)

    def store(self, states: Sequence[NetworkState]) -> None:
        """Copy the registers back into ``states``."""
        weight, theta, v_th = (array.copy_to_host() for array in (self._weight, self._theta, self._v_th))
        for row, state in zip(self._table, states, strict=True):
            n, m = row[table.N_NEURONS], row[table.N_INPUTS]
            weights, neurons, stride = row[table.WEIGHT_AT], row[table.NEURON_AT], row[table.STRIDE]
            state.weight[:] = weight[weights : weights + m * stride].reshape(m, stride)[:, :n]
            state.theta[:] = theta[neurons : neurons + n]
            state.v_th[:] = v_th[neurons : neurons + n]

    def run(
        self,
        rasters: Sequence[Raster] | DeviceSpikes,
        raster_of: Sequence[int],
        *,
        phase: str,
        first: int = 0,
        n_presentations: Sequence[int] | None = None,
    ) -> list[RunResult]:
        """Show every network the images of its raster, one after another.

        Parameters
        ----------
        rasters : sequence of Raster, or DeviceSpikes
            All with the same number of images.
        raster_of : sequence of int
            Which of them each network is shown.
        phase : {"train", "label", "test"}
        first : int
            Presentation number of the first image.
        n_presentations : sequence of int, optional
            Length of each network's whole training; required in training.

        Returns
        -------
        list of RunResult
            One per network, with the bits of `tinysnn_hw.engine.run`.

        Raises
        ------
        SpecError
            A raster does not fit its network.
        FixedPointOverflowError
            A register with ``overflow = "error"`` left its range.
        """
        spikes = rasters if isinstance(rasters, DeviceSpikes) else copy_rasters(rasters)
        for lowered, seed, k in zip(self.networks, self.seeds, raster_of, strict=True):
            check_shape(lowered, spikes.n_inputs[k], spikes.n_steps[k])
            check_run_arguments(phase, seed)
        self._prove([spikes.max_events_per_step[k] for k in raster_of])
        return self._launch(spikes, raster_of, phase, first, n_presentations)

    def warm_up(self, spikes: DeviceSpikes, raster_of: Sequence[int], phase: str) -> None:
        """Compile the kernel of a phase, so that no clock sees it; no register changes."""
        totals = [spikes.n_images] * len(self.networks)
        self._launch(spikes, raster_of, phase, 0, totals, n_images=0)

    def _prove(self, events: Sequence[int]) -> None:
        for k, (lowered, most) in enumerate(zip(self.networks, events, strict=True)):
            if most > self._proven[k]:
                prove(lowered.params, int(lowered.eta.max()), most, int(lowered.eta_pre.max()))
                self._proven[k] = most

    def _launch(
        self,
        spikes: DeviceSpikes,
        raster_of: Sequence[int],
        phase: str,
        first: int,
        totals: Sequence[int] | None,
        n_images: int | None = None,
    ) -> list[RunResult]:
        n_images = spikes.n_images if n_images is None else n_images
        n, learn = len(self.networks), phase == "train"
        rows = self._table.copy()
        rows[:, table.FIRST] = first
        rows[:, table.OFFSET_AT] = spikes.offset_at[list(raster_of)]
        neurons, inputs, steps = (
            rows[:, column] for column in (table.N_NEURONS, table.N_INPUTS, table.N_STEPS)
        )
        rows[:, table.COUNT_AT] = starts(n_images * neurons)
        words = B.TRACE_NEURON_WORDS * neurons + B.TRACE_INPUT_WORDS * inputs + B.TRACE_WORDS
        rows[:, table.TRACE_AT] = starts(n_images * steps * words)
        rows[:, table.TRACE_WEIGHT_AT] = starts(n_images * neurons * inputs)
        n_groups = 1
        if not learn:
            n_groups = min(max(n_images, 1), -(-_BLOCKS_PER_PROCESSOR * multiprocessors() // n))
        counts = cuda.device_array(max(int(n_images * neurons.sum()), 1), np.uint16)
        stats = cuda.to_device(np.stack([empty_stats()] * n))
        activity = cuda.to_device(np.zeros((n, len(P.ACTIVITY)), np.int64))
        in_lanes = self._lane_events is not None and all(
            spikes.max_events_per_step[k] <= most
            for k, most in zip(raster_of, self._lane_events, strict=True)
        )
        self.kernel = replace(self.storage, lanes=in_lanes).name
        every = [lowered.params for lowered in self.networks]
        if in_lanes:
            shape: tuple[int, ...] = (n * n_groups, lane_block.NEURON_WORDS, max(p.n_neurons for p in every))
            kept = max(lane_shared(p, learn=learn) for p in every)
        else:
            needed = max(block_words(p, learn=learn) for p in every)
            shared = fits_shared(needed, self.storage)
            kept = needed if shared else 0
            shape = (1 if shared else n * n_groups, needed)
        scratch = cuda.device_array(shape, self.storage.word)
        weights = (self._weight, self._weight.view(np.uint32)) if in_lanes else (self._weight,)
        arguments: tuple[Any, ...] = (
            cuda.to_device(rows), P.PHASES[phase], n_images,
            cuda.to_device(self._schedule(phase, first, n_images, totals)), self._x_scale, spikes.offsets,
            spikes.inputs, *weights, self._theta, self._v_th, counts, stats, activity, scratch,
        )  # fmt: skip
        threads = self._lane_threads if in_lanes else self.threads
        if in_lanes:
            noted = (n * n_groups * threads, *empty_stats().shape)
            arguments = (*arguments, cuda.device_array(noted, np.int64))
        else:
            arguments = (*arguments, shared)
        trace = trace_weight = None
        if self.record:
            trace = cuda.device_array(int(n_images * (steps * words).sum()), np.int64)
            trace_weight = cuda.device_array(int(n_images * (neurons * inputs).sum()), np.int64)
            chosen = lane_kernel.observe if in_lanes else kernel.observe
            halves = (self.storage.per_word == 2,) if in_lanes else ()
            arguments = (*halves, learn, *arguments, trace, trace_weight)
        elif in_lanes:
            chosen = lane_kernel.KERNELS[self.storage.weight.itemsize][0 if learn else 1]
        else:
            chosen = kernel.train if learn else kernel.infer
        launch(chosen, (n, n_groups), threads, *arguments, shared_bytes=kept * self.storage.word.itemsize)
        all_counts, all_stats, all_activity = (a.copy_to_host() for a in (counts, stats, activity))
        host = (
            None
            if trace is None or trace_weight is None
            else (trace.copy_to_host(), trace_weight.copy_to_host())
        )
        results = []
        for k, lowered in enumerate(self.networks):
            at, size = rows[k, table.COUNT_AT], n_images * neurons[k]
            seen = all_counts[at : at + size].reshape(n_images, neurons[k])
            check_overflow(lowered, all_stats[k])
            registers = {} if host is None else _split_trace(lowered, rows[k], n_images, learn, *host)
            results.append(RunResult(seen, all_stats[k], all_activity[k], self.kernel, registers))
        return results

    def _schedule(self, phase: str, first: int, n_images: int, totals: Sequence[int] | None) -> Int64Array:
        """Return int64[n_networks, 3, n_images]: learning rate, rate of depression and inhibition of every image."""
        schedule = np.zeros((len(self.networks), 3, max(n_images, 1)), np.int64)
        for k, lowered in enumerate(self.networks):
            total = None if totals is None else totals[k]
            pieces = schedule_pieces(lowered, phase, first, n_images, total)
            if pieces is None:
                schedule[k, 2] = lowered.inhibition_full
            elif n_images > 0:
                schedule[k] = lowered.eta[pieces], lowered.eta_pre[pieces], lowered.inhibition[pieces]
        return schedule


def _split_trace(
    lowered: Lowered, row: Int64Array, n_images: int, learn: bool, trace: Int64Array, weights: Int64Array
) -> dict[str, Int64Array]:
    """Return the recorded registers of one network by name, as `RunResult.trace` has them."""
    p = lowered.params
    n, m = p.n_neurons, p.n_inputs
    words = B.TRACE_NEURON_WORDS * n + B.TRACE_INPUT_WORDS * m + B.TRACE_WORDS
    at, size = row[table.TRACE_AT], n_images * p.n_steps * words
    mine = trace[at : at + size].reshape(n_images, p.n_steps, words)
    registers = {name: mine[:, :, k * n : (k + 1) * n] for k, name in enumerate(_OF_NEURONS)}
    behind = B.TRACE_NEURON_WORDS * n
    registers |= {
        name: mine[:, :, behind + k * m : behind + (k + 1) * m] for k, name in enumerate(_OF_INPUTS)
    }
    registers["winner"], registers["inhibitory_winner"] = mine[:, :, -2], mine[:, :, -1]
    at = row[table.TRACE_WEIGHT_AT]
    registers["weight"] = weights[at : at + n_images * m * n].reshape(n_images, m, n)
    foreign = (() if p.pair.on else ("x_post",)) + (
        () if p.lay.on else ("v_inh", "inhibitory_count", "inhibitory_winner")
    )
    return {name: array for name, array in registers.items() if name not in foreign}
