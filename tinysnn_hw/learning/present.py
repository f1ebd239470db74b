"""Show images to trained networks with learning off; those that see the same spikes share one raster."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from tinysnn_hw.data import SpikeDataset
from tinysnn_hw.engine import NetworkState, RunResult, empty_stats, lower, merge_stats
from tinysnn_hw.engine.params import ACTIVITY
from tinysnn_hw.errors import DataError
from tinysnn_hw.learning import gpu
from tinysnn_hw.learning.backend import choose_backend
from tinysnn_hw.learning.model import Model
from tinysnn_hw.learning.stream import Data, Progress, Steps, Stream, check_data, in_order
from tinysnn_hw.learning.train import thread_count, warmed_session

Take = Callable[[int, int, npt.NDArray[np.uint16]], None]
"""Called as ``take(model, first, counts)`` with the output spikes uint16[n, n_neurons] of image ``first`` and on."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a frozen network over images.

    Attributes
    ----------
    n_images : int
    stats, activity : int64 arrays
        As in `tinysnn_hw.engine.RunResult`, over the whole pass.
    seconds : float
        Wall time, encoding included; of a network that shares its raster, its part of the time.
    """

    n_images: int
    stats: npt.NDArray[np.int64]
    activity: npt.NDArray[np.int64]
    seconds: float


def present_many(
    models: Sequence[Model],
    data: Data,
    phase: str,
    take: Take,
    *,
    n_images: int | None = None,
    kernel: str = "auto",
    backend: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> list[Pass]:
    """Show images to trained networks, each spike raster encoded once for all that see it.

    Parameters
    ----------
    models : sequence of Model
    data : Dataset or SpikeDataset
    phase : {"label", "test"}
        Training or test images.
    take : callable
        Receives the output spikes of every model, chunk by chunk and in order.
    n_images : int, optional
        The first so many; absent: all.
    kernel, backend, progress, threads
        As in `tinysnn_hw.learning.train`; the bits do not depend on ``threads``.

    Returns
    -------
    list of Pass
    """
    for model in models:
        check_data(model.network, data)
    available = data.n_test if phase == "test" else data.n_train
    n_images = available if n_images is None else n_images
    if not (hasattr(n_images, "__index__") and 1 <= n_images <= available):
        raise DataError(f"{phase} images = {n_images}; data set {data.name!r} has 1 to {available}")
    n_threads = thread_count(threads)
    workers = n_threads if n_threads > 1 else 0
    stage = phase if not models or models[0].arithmetic == "fixed" else f"{phase} {models[0].arithmetic}"
    step = Steps(progress, stage, n_images * len(models))
    arithmetic = models[0].arithmetic if models else "fixed"
    chosen = choose_backend(backend, len(models), training=False, arithmetic=arithmetic, kernel=kernel)
    if chosen.name == "cuda":
        passes = _present_on_gpu(models, data, phase, n_images, take, step)
    else:
        passes = _present_on_cpu(models, data, phase, n_images, take, step, kernel, workers)
    return [passes[k] for k in range(len(models))]


def _present_on_cpu(
    models: Sequence[Model],
    data: Data,
    phase: str,
    n_images: int,
    take: Take,
    step: Steps,
    kernel: str,
    workers: int,
) -> dict[int, Pass]:
    passes: dict[int, Pass] = {}
    for members in _groups(models, data).values():
        group = [models[k] for k in members]
        stream = _stream(group[0], data, phase, n_images)
        sessions = [
            warmed_session(stream, lower(model.network), model.state, kernel, model.seed) for model in group
        ]
        stats, activity = [empty_stats() for _ in group], [np.zeros(len(ACTIVITY), np.int64) for _ in group]
        began = time.perf_counter()

        def work(first: int, length: int) -> list[RunResult]:
            raster = stream.raster(first, length)  # noqa: B023  # used up before the next group begins
            return [
                session.fitting(raster).run(raster, phase=phase, seed=model.seed, first=first)
                for session, model in zip(sessions, group, strict=True)  # noqa: B023
            ]

        for first, results in in_order(work, stream, workers=workers, waiting=2 * workers):
            for k, result in enumerate(results):
                take(members[k], first, result.counts)
                stats[k] = merge_stats(stats[k], result.stats)
                activity[k] = activity[k] + result.activity
            step(len(results) * len(results[0].counts))
        seconds = (time.perf_counter() - began) / len(group)
        for k, member in enumerate(members):
            passes[member] = Pass(n_images, stats[k], activity[k], seconds)
    return passes


def _present_on_gpu(
    models: Sequence[Model], data: Data, phase: str, n_images: int, take: Take, step: Steps
) -> dict[int, Pass]:
    keys = {k: key for key, members in _groups(models, data).items() for k in members}
    jobs = [
        gpu.Job(
            _stream(model, data, phase, n_images),
            keys[k],
            lower(model.network),
            cast("NetworkState", model.state),
            model.seed,
        )
        for k, model in enumerate(models)
    ]
    stats = [empty_stats() for _ in models]
    activity = [np.zeros(len(ACTIVITY), np.int64) for _ in models]
    passes: dict[int, Pass] = {}
    for members in gpu.launches(jobs):

        def count(place: int, first: int, result: RunResult) -> None:
            k = members[place]  # noqa: B023  # used up before the next launch begins
            take(k, first, result.counts)
            stats[k] = merge_stats(stats[k], result.stats)
            activity[k] += result.activity
            step(len(result.counts))

        work = gpu.run_launch([jobs[k] for k in members], count)
        began = time.perf_counter()
        work()
        seconds = (time.perf_counter() - began) / len(members)
        passes |= {k: Pass(n_images, stats[k], activity[k], seconds) for k in members}
    return passes


def _stream(model: Model, data: Data, phase: str, n_images: int) -> Stream:
    tables = None if isinstance(data, SpikeDataset) else model.tables
    return Stream(data, model.network, tables, model.spike_seed, phase, n_images)


@dataclass(frozen=True, slots=True)
class Shown(Pass):
    """A pass with its output spikes, ``counts``: uint16[n_images, n_neurons]."""

    counts: npt.NDArray[np.uint16]


def present(
    model: Model,
    data: Data,
    phase: str,
    *,
    n_images: int | None = None,
    kernel: str = "auto",
    backend: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> Shown:
    """Show images to one trained network and keep its output spikes; arguments as in `present_many`."""
    parts: list[npt.NDArray[np.uint16]] = []
    (done,) = present_many(
        [model], data, phase, lambda _, __, counts: parts.append(counts),
        n_images=n_images, kernel=kernel, backend=backend, progress=progress, threads=threads,
    )  # fmt: skip
    return Shown(done.n_images, done.stats, done.activity, done.seconds, np.concatenate(parts))


def _groups(models: Sequence[Model], data: Data) -> dict[str, list[int]]:
    """Return the models that are shown the same spikes, by their positions."""
    groups: dict[str, list[int]] = {}
    for k, model in enumerate(models):
        key = "given spikes"
        if not isinstance(data, SpikeDataset):
            digest = hashlib.sha256(b"".join(t.tobytes() for t in model.tables.arrays())).hexdigest()
            key = f"{model.spike_seed} {digest} {model.network.encoding.model_dump_json()}"
        groups.setdefault(key, []).append(k)
    return groups
