"""Label the neurons on training images, read the test images, report what happened."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinysnn_hw.data import SpikeDataset
from tinysnn_hw.engine import RunResult, empty_stats, lower, merge_stats
from tinysnn_hw.engine.params import ACTIVITY
from tinysnn_hw.errors import DataError
from tinysnn_hw.learning.model import Model
from tinysnn_hw.learning.readout import (
    READOUTS,
    ClassResponses,
    Readouts,
    accuracy_percent,
    confusion,
    fit_readouts,
    predict,
)
from tinysnn_hw.learning.stream import Data, Progress, Stream, check_data, in_order
from tinysnn_hw.learning.train import make_activity, register_ranges, thread_count, warmed_session
from tinysnn_hw.records import Result


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a frozen network over images.

    Attributes
    ----------
    counts : uint16[n_images, n_neurons]
        Output spikes.
    stats, activity : int64 arrays
        As in `tinysnn_hw.engine.RunResult`, over the whole pass.
    seconds : float
        Wall time, encoding included.
    """

    counts: npt.NDArray[np.uint16]
    stats: npt.NDArray[np.int64]
    activity: npt.NDArray[np.int64]
    seconds: float


def present(
    model: Model,
    data: Data,
    phase: str,
    *,
    n_images: int | None = None,
    kernel: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> Pass:
    """Show images to a trained network with learning off, on all cores.

    Parameters
    ----------
    model : Model
    data : Dataset or SpikeDataset
    phase : {"label", "test"}
        Training or test images.
    n_images : int, optional
        The first so many; absent: all.
    kernel, progress, threads
        As in `tinysnn_hw.learning.train`; the bits do not depend on ``threads``.

    Returns
    -------
    Pass
    """
    check_data(model.network, data)
    available = data.n_test if phase == "test" else data.n_train
    n_images = available if n_images is None else n_images
    if not 1 <= n_images <= available:
        raise DataError(f"{phase} images = {n_images}; data set {data.name!r} has 1 to {available}")
    tables = None if isinstance(data, SpikeDataset) else model.tables
    stream = Stream(data, model.network, tables, model.seed, phase, n_images)
    lowered = lower(model.network)
    stage = phase if model.arithmetic == "fixed" else f"{phase} float64"
    if progress is not None:
        progress(stage, 0, n_images)
    session = warmed_session(stream, lowered, model.state, kernel)
    began = time.perf_counter()

    def work(first: int, length: int) -> RunResult:
        raster = stream.raster(first, length)
        return session.fitting(raster).run(raster, phase=phase, seed=model.seed, first=first)

    counts = np.zeros((n_images, model.network.network.neurons), np.uint16)
    stats, activity = empty_stats(), np.zeros(len(ACTIVITY), np.int64)
    n_threads = thread_count(threads)
    workers = n_threads if n_threads > 1 else 0
    for first, result in in_order(work, stream, workers=workers, waiting=2 * workers):
        counts[first : first + len(result.counts)] = result.counts
        stats = merge_stats(stats, result.stats)
        activity += result.activity
        if progress is not None:
            progress(stage, first + len(result.counts), n_images)
    return Pass(counts, stats, activity, time.perf_counter() - began)


def label(
    model: Model,
    data: Data,
    *,
    n_images: int | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> tuple[Readouts, Pass]:
    """Give the neurons their classes from training images, with learning off and thresholds frozen.

    Returns
    -------
    tuple of Readouts and Pass
    """
    shown = present(model, data, "label", n_images=n_images, progress=progress, threads=threads)
    responses = ClassResponses.empty(data.n_classes, model.network.network.neurons)
    return fit_readouts(responses.add(shown.counts, data.train_labels[: len(shown.counts)])), shown


def evaluate(
    model: Model,
    data: Data,
    *,
    label_images: int | None = None,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Result:
    """Measure the accuracy of a trained network on the test images of a data set.

    Parameters
    ----------
    model : Model
    data : Dataset or SpikeDataset
        Neurons are labelled on its training images, never on its test images.
    label_images : int, optional
        Label on the first so many training images; absent: all.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    threads : int, optional
        Default: the number of cores.

    Returns
    -------
    Result
        Registers cover labelling and test together; activity is that of the test images.
    """
    readouts, shown = label(model, data, n_images=label_images, progress=progress, threads=threads)
    tested = present(model, data, "test", progress=progress, threads=threads)
    lowered = lower(model.network)
    predicted = predict(readouts, tested.counts)
    matrices = {name: confusion(data.test_labels, predicted[name], data.n_classes) for name in READOUTS}
    accuracies = {name: accuracy_percent(data.test_labels, predicted[name]) for name in READOUTS}
    spikes = tested.counts.sum(axis=1, dtype=np.int64)
    return Result(
        accuracy=accuracies["naive_bayes"],
        readouts=accuracies,
        confusion=matrices,
        n_images=len(spikes),
        spikes_per_image=float(spikes.mean()),
        silent_images=int((spikes == 0).sum()),
        registers=register_ranges(lowered, merge_stats(shown.stats, tested.stats)),
        activity=make_activity(model.network, len(spikes), tested.activity),
        images_per_s=(len(shown.counts) + len(spikes)) / (shown.seconds + tested.seconds),
        data=data.name,
    )
