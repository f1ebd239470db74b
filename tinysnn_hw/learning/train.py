"""Train a network image by image, in fixed point or as its float64 twin."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from tinysnn_hw.data import Raster, SpikeDataset
from tinysnn_hw.data.encode import encoding_tables
from tinysnn_hw.engine import (
    FloatState,
    Lowered,
    NetworkState,
    empty_stats,
    initial_float_state,
    initial_state,
    lower,
    merge_stats,
    open_session,
)
from tinysnn_hw.engine.params import ACTIVITY, STAT_REGISTERS
from tinysnn_hw.engine.run import KERNELS
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning.model import Model, versions
from tinysnn_hw.learning.stream import Data, Progress, Stream, ahead, check_data
from tinysnn_hw.records import Activity, RegisterRange
from tinysnn_hw.spec import NetworkSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tinysnn_hw.engine.cpu.session import CpuSession, FloatSession

ARITHMETICS = ("fixed", "float64", "shadow")


def train(
    network: NetworkSpec,
    data: Data,
    *,
    seed: int = 0,
    spike_seed: int | None = None,
    arithmetic: str = "fixed",
    kernel: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> Model:
    """Train a network on the training images of a data set.

    Parameters
    ----------
    network : NetworkSpec
        ``learning.epochs`` passes are made.
    data : Dataset or SpikeDataset
    seed : int
        0 to 2**32 - 1; decides initial weights, spikes and stochastic rounding.
    spike_seed : int, optional
        Decides spikes and the order of images in place of ``seed``: networks with the same one are shown the same.
    arithmetic : {"fixed", "float64", "shadow"}
        ``fixed`` is in-training quantization in place, bit by bit as docs/numerics.md says; ``float64`` the same
        steps on the same spikes with real numbers; ``shadow`` these real numbers, but with a copy of the weights,
        cut to their format after every update, in their place wherever a weight is read (docs/quantization.md).
    kernel : {"auto", "generic", "fast"}
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    threads : int, optional
        2 or more: encode in a second thread while training; default: the number of cores.

    Returns
    -------
    Model

    Raises
    ------
    SpecError, DataError
        The network is impossible, or the data does not fit it.
    FixedPointOverflowError
        A register with ``overflow = "error"`` left its range.
    """
    return train_many(
        [network],
        data,
        seeds=[seed],
        spike_seed=spike_seed,
        arithmetic=arithmetic,
        kernel=kernel,
        progress=progress,
        threads=threads,
    )[0]


def train_many(
    networks: Sequence[NetworkSpec],
    data: Data,
    *,
    seeds: Sequence[int] = (0,),
    spike_seed: int | None = None,
    arithmetic: str = "fixed",
    kernel: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> list[Model]:
    """Train several networks at once: each spike raster is encoded once for all networks that see it.

    Parameters
    ----------
    networks : sequence of NetworkSpec
        For example one network at many widths.  Those with the same encoding, epochs and order share rasters.
    data : Dataset or SpikeDataset
    seeds : sequence of int
        Every network is trained with every seed.
    spike_seed : int, optional
        As in `train`.  With it all seeds share rasters too; without, those of different seeds are different.
    arithmetic, kernel, progress, threads
        As in `train`; ``threads`` networks train at the same time.

    Returns
    -------
    list of Model
        Network by network, seed by seed; each the same, bit for bit, as `train` returns it.  ``images_per_s`` is
        that of all networks sharing a raster together.

    Raises
    ------
    SpecError, DataError, FixedPointOverflowError
        As in `train`.
    """
    if arithmetic not in ARITHMETICS:
        raise SpecError(f"arithmetic = {arithmetic!r}; allowed: {', '.join(ARITHMETICS)}")
    workers = thread_count(threads)
    runs = [_Training(network, data, seed, spike_seed, arithmetic) for network in networks for seed in seeds]
    groups: dict[str, list[_Training]] = {}
    for run in runs:
        groups.setdefault(run.raster_key, []).append(run)
    stage = "train" if arithmetic == "fixed" else f"train {arithmetic}"
    total = sum(run.stream.total for run in runs)
    if progress is not None:
        progress(stage, 0, total)
    done = 0
    for group in groups.values():
        for run in group:
            run.session = warmed_session(run.stream, run.lowered, run.state, kernel, run.seed)
        began = time.perf_counter()
        with ThreadPoolExecutor(min(workers, len(group))) as pool:
            for first, raster in ahead(group[0].stream, workers):
                if len(group) == 1:
                    group[0].learn(first, raster)
                else:
                    list(pool.map(partial(_Training.learn, first=first, raster=raster), group))
                done += raster.n_images * len(group)
                if progress is not None:
                    progress(stage, done, total)
        elapsed = time.perf_counter() - began
        for run in group:
            run.images_per_s = run.stream.total * len(group) / elapsed
    return [run.model() for run in runs]


class _Training:
    """One network being trained."""

    session: CpuSession | FloatSession
    images_per_s: float

    def __init__(
        self, network: NetworkSpec, data: Data, seed: int, spike_seed: int | None, arithmetic: str
    ) -> None:
        check_data(network, data)
        seed = checked_seed(seed)
        self.network = network
        self.data = data
        self.seed = seed
        self.spike_seed = seed if spike_seed is None else checked_seed(spike_seed)
        self.arithmetic = arithmetic
        self.lowered = lower(network)
        self.tables = encoding_tables(network.encoding)
        self.stream = Stream(
            data, network, None if isinstance(data, SpikeDataset) else self.tables, self.spike_seed, "train",
            data.n_train,
            network.learning.epochs,
        )  # fmt: skip
        self.state = (
            initial_state(self.lowered, seed)
            if arithmetic == "fixed"
            else initial_float_state(self.lowered, seed, shadow=arithmetic == "shadow")
        )
        self.stats = self.state.stats if isinstance(self.state, NetworkState) else empty_stats()
        self.activity = np.zeros(len(ACTIVITY), np.int64)

    @property
    def raster_key(self) -> str:
        """Equal for networks that are shown the same spikes."""
        learning = self.network.learning
        return f"{self.spike_seed} {learning.epochs} {learning.shuffle} {self.network.encoding.model_dump_json()}"

    def learn(self, first: int, raster: Raster) -> None:
        """Show one chunk of training images."""
        self.session = self.session.fitting(raster)
        result = self.session.run(
            raster, phase="train", seed=self.seed, first=first, n_presentations=self.stream.total
        )
        self.stats = merge_stats(self.stats, result.stats)
        self.activity += result.activity

    def model(self) -> Model:
        """Return the trained network."""
        if isinstance(self.state, FloatState):
            cast("FloatSession", self.session).store(self.state)
        else:
            cast("CpuSession", self.session).store(self.state)
        return Model(
            network=self.network,
            arithmetic=self.arithmetic,
            weight=self.state.weight,
            theta=self.state.theta,
            v_th=self.state.v_th,
            tables=self.tables,
            seed=self.seed,
            spike_seed=self.spike_seed,
            data=self.data.name,
            digests=self.data.digests._asdict(),
            presentations=self.stream.total,
            registers=register_ranges(self.lowered, self.stats),
            activity=make_activity(self.network, self.stream.total, self.activity),
            images_per_s=self.images_per_s,
            kernel=self.session.kernel,
            versions=versions(),
        )


def checked_seed(seed: object) -> int:
    """Return a seed as a Python int, refusing what is not a whole number of 32 bits."""
    try:
        number = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise SpecError(f"seed = {seed!r}; a whole number is required") from None
    if not 0 <= number < 1 << 32:
        raise SpecError(f"seed = {number}; 0 to {(1 << 32) - 1} is allowed")
    return number


def warmed_session(
    stream: Stream, lowered: Lowered, state: NetworkState | FloatState, kernel: str, seed: int
) -> CpuSession | FloatSession:
    """Return a session that has run an image without events, so that no clock sees a compilation."""
    if kernel not in KERNELS:
        raise SpecError(f"kernel = {kernel!r}; allowed: {', '.join(KERNELS)}")
    raster = stream.raster(0, 1)
    session = open_session(lowered, state, raster, kernel=kernel)
    blank = Raster(raster.n_inputs, raster.n_steps, np.zeros_like(raster.offsets), np.zeros(0, np.uint16))
    session.run(blank, phase="test", seed=seed)
    return session


def thread_count(threads: int | None) -> int:
    """Return the number of threads to use: as asked, else the cores this process may run on."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise SpecError(f"threads = {threads}; at least 1 is required")
    return threads


def make_activity(network: NetworkSpec, images: int, counted: NDArray[np.int64]) -> Activity:
    """Return the activity record of a run."""
    return Activity(
        images=images,
        steps_per_image=network.encoding.n_steps,
        **dict(zip(ACTIVITY, counted.tolist(), strict=True)),
    )


def register_ranges(lowered: Lowered, stats: NDArray[np.int64]) -> dict[str, RegisterRange]:
    """Return what each register saw; registers that were never written are absent."""
    ranges = {}
    for name, (low, high, below, above) in zip(STAT_REGISTERS, stats.tolist(), strict=True):
        if low > high:
            continue
        fmt = lowered.formats[name]
        ranges[name] = RegisterRange(
            format=str(fmt),
            min_raw=low,
            max_raw=high,
            min=low * fmt.lsb,
            max=high * fmt.lsb,
            saturated_low=below,
            saturated_high=above,
        )
    return ranges
