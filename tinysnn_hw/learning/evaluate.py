"""Label the neurons on training images, read the test images, report what happened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tinysnn_hw.engine import lower, merge_stats
from tinysnn_hw.learning.model import Model
from tinysnn_hw.learning.present import Pass, present_many
from tinysnn_hw.learning.readout import (
    READOUTS,
    ClassResponses,
    Readouts,
    accuracy_percent,
    confusion,
    fit_readouts,
    predict,
)
from tinysnn_hw.learning.stream import Data, Progress
from tinysnn_hw.learning.train import make_activity, register_ranges
from tinysnn_hw.records import Result


def label_many(
    models: Sequence[Model],
    data: Data,
    *,
    n_images: int | None = None,
    backend: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> list[tuple[Readouts, Pass]]:
    """Give the neurons of several networks their classes; see `label`."""
    responses = [ClassResponses.empty(data.n_classes, model.network.network.neurons) for model in models]

    def take(k: int, first: int, counts: npt.NDArray[np.uint16]) -> None:
        responses[k] = responses[k].add(counts, data.train_labels[first : first + len(counts)])

    shown = present_many(
        models, data, "label", take, n_images=n_images, backend=backend, progress=progress, threads=threads
    )
    return [(fit_readouts(seen), one) for seen, one in zip(responses, shown, strict=True)]


def label(
    model: Model,
    data: Data,
    *,
    n_images: int | None = None,
    backend: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> tuple[Readouts, Pass]:
    """Give the neurons their classes from training images, with learning off and thresholds frozen.

    Returns
    -------
    tuple of Readouts and Pass
    """
    return label_many([model], data, n_images=n_images, backend=backend, progress=progress, threads=threads)[
        0
    ]


def evaluate_many(
    models: Sequence[Model],
    data: Data,
    *,
    label_images: int | None = None,
    backend: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> list[Result]:
    """Measure the accuracy of several trained networks at once; those that see the same spikes share rasters.

    Parameters
    ----------
    models : sequence of Model
    data, label_images, backend, progress, threads
        As in `evaluate`.

    Returns
    -------
    list of Result
        Each the same as `evaluate` returns it, but for ``images_per_s``, in which networks that share a raster
        share its time.
    """
    labelled = label_many(
        models, data, n_images=label_images, backend=backend, progress=progress, threads=threads
    )
    predicted = [{name: np.zeros(data.n_test, np.int64) for name in READOUTS} for _ in models]
    spikes = [np.zeros(data.n_test, np.int64) for _ in models]

    def take(k: int, first: int, counts: npt.NDArray[np.uint16]) -> None:
        part = slice(first, first + len(counts))
        spikes[k][part] = counts.sum(axis=1, dtype=np.int64)
        for name, classes in predict(labelled[k][0], counts).items():
            predicted[k][name][part] = classes

    tested = present_many(models, data, "test", take, backend=backend, progress=progress, threads=threads)
    return [
        _result(model, data, labelled[k][1], tested[k], predicted[k], spikes[k])
        for k, model in enumerate(models)
    ]


def evaluate(
    model: Model,
    data: Data,
    *,
    label_images: int | None = None,
    backend: str = "auto",
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
    backend : {"auto", "cpu", "cuda"}
        Where it runs; the bits are the same.  ``auto`` takes a GPU where there is one, and logs its choice.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    threads : int, optional
        Default: the number of cores.

    Returns
    -------
    Result
        Registers cover labelling and test together; activity is that of the test images.
    """
    return evaluate_many(
        [model], data, label_images=label_images, backend=backend, progress=progress, threads=threads
    )[0]


def _result(
    model: Model,
    data: Data,
    shown: Pass,
    tested: Pass,
    predicted: dict[str, npt.NDArray[np.int64]],
    spikes: npt.NDArray[np.int64],
) -> Result:
    accuracies = {name: accuracy_percent(data.test_labels, predicted[name]) for name in READOUTS}
    ranges = register_ranges(lower(model.network), merge_stats(shown.stats, tested.stats))
    return Result(
        accuracy=accuracies["naive_bayes"],
        readouts=accuracies,
        confusion={name: confusion(data.test_labels, predicted[name], data.n_classes) for name in READOUTS},
        n_images=tested.n_images,
        spikes_per_image=float(spikes.mean()),
        silent_images=int((spikes == 0).sum()),
        registers=ranges,
        activity=make_activity(model.network, tested.n_images, tested.activity),
        images_per_s=(shown.n_images + tested.n_images) / (shown.seconds + tested.seconds),
        data=data.name,
    )
