"""Train a network image by image, in fixed point or as its float64 twin."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, cast

import numpy as np

from tinysnn_hw.data import SpikeDataset
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
from tinysnn_hw.engine.params import STAT_REGISTERS
from tinysnn_hw.engine.run import KERNELS
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning.model import Model, versions
from tinysnn_hw.learning.stream import Data, Progress, Stream, ahead, check_data
from tinysnn_hw.records import Activity, RegisterRange
from tinysnn_hw.spec import NetworkSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tinysnn_hw.engine.cpu.session import CpuSession, FloatSession

ARITHMETICS = ("fixed", "float64")


def train(
    network: NetworkSpec,
    data: Data,
    *,
    seed: int = 0,
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
    arithmetic : {"fixed", "float64"}
        ``fixed`` is in-training quantization, bit by bit as docs/numerics.md says; ``float64`` the same steps
        on the same spikes with real numbers.
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
    check_data(network, data)
    if arithmetic not in ARITHMETICS:
        raise SpecError(f"arithmetic = {arithmetic!r}; allowed: {', '.join(ARITHMETICS)}")
    if not 0 <= seed < 1 << 32:
        raise SpecError(f"seed = {seed}; 0 to {(1 << 32) - 1} is allowed")
    lowered = lower(network)
    tables = encoding_tables(network.encoding)
    stream = Stream(
        data, network, None if isinstance(data, SpikeDataset) else tables, seed, "train", data.n_train,
        network.learning.epochs,
    )  # fmt: skip
    state = initial_state(lowered, seed) if arithmetic == "fixed" else initial_float_state(lowered, seed)
    stats = state.stats if isinstance(state, NetworkState) else empty_stats()
    activity = np.zeros(4, np.int64)
    stage = "train" if arithmetic == "fixed" else "train float64"
    if progress is not None:
        progress(stage, 0, stream.total)
    session = warmed_session(stream, lowered, state, kernel)
    began = time.perf_counter()
    for first, raster in ahead(stream, thread_count(threads)):
        session = session.fitting(raster)
        result = session.run(raster, phase="train", seed=seed, first=first, n_presentations=stream.total)
        stats = merge_stats(stats, result.stats)
        activity += result.activity
        if progress is not None:
            progress(stage, first + raster.n_images, stream.total)
    elapsed = time.perf_counter() - began
    if isinstance(state, FloatState):
        cast("FloatSession", session).store(state)
    else:
        cast("CpuSession", session).store(state)
    return Model(
        network=network,
        arithmetic=arithmetic,
        weight=state.weight,
        theta=state.theta,
        v_th=state.v_th,
        tables=tables,
        seed=seed,
        data=data.name,
        digests=data.digests._asdict(),
        presentations=stream.total,
        registers=register_ranges(lowered, stats),
        activity=make_activity(network, stream.total, activity),
        images_per_s=stream.total / elapsed,
        kernel=session.kernel,
        versions=versions(),
    )


def warmed_session(
    stream: Stream, lowered: Lowered, state: NetworkState | FloatState, kernel: str
) -> CpuSession | FloatSession:
    """Return a session that has run one image without learning, so that no clock sees a compilation."""
    if kernel not in KERNELS:
        raise SpecError(f"kernel = {kernel!r}; allowed: {', '.join(KERNELS)}")
    raster = stream.raster(0, 1)
    session = open_session(lowered, state, raster, kernel=kernel)
    session.run(raster, phase="test", seed=stream.seed)
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
        input_spikes=int(counted[0]),
        output_spikes=int(counted[1]),
        updates=int(counted[2]),
        normalizations=int(counted[3]),
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
