"""Does a network keep its accuracy at these widths?  Fixed point beside float64, from the same spikes."""

from __future__ import annotations

from collections.abc import Mapping

from tinysnn_hw.cost import memory_table
from tinysnn_hw.data import SpikeDataset
from tinysnn_hw.errors import DataError
from tinysnn_hw.learning.evaluate import evaluate
from tinysnn_hw.learning.model import versions
from tinysnn_hw.learning.stream import Data, Progress
from tinysnn_hw.learning.train import train
from tinysnn_hw.records import RegisterRange, Validation
from tinysnn_hw.spec import NetworkSpec


def validate(
    network: NetworkSpec,
    data: Data,
    *,
    seed: int = 0,
    label_images: int | None = None,
    backend: str = "auto",
    progress: Progress | None = None,
    threads: int | None = None,
) -> Validation:
    """Train and test a network in fixed point and as its float64 twin, and report what its registers did.

    Parameters
    ----------
    network : NetworkSpec
    data : Dataset or SpikeDataset
    seed : int
        0 to 2**32 - 1; both arithmetics get the same spikes and the same initial draws.
    label_images : int, optional
        Label on the first so many training images; absent: all.
    backend : {"auto", "cpu", "cuda"}
        Where fixed point runs, as in `tinysnn_hw.learning.train`; the float64 twin runs on the cpu.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.
    threads : int, optional
        Default: the number of cores.

    Returns
    -------
    Validation
    """
    if label_images is not None and not 1 <= label_images <= data.n_train:
        raise DataError(
            f"label_images = {label_images}; data set {data.name!r} has 1 to {data.n_train} training images"
        )
    model = train(network, data, seed=seed, backend=backend, progress=progress, threads=threads)
    fixed = evaluate(
        model, data, label_images=label_images, backend=backend, progress=progress, threads=threads
    )
    twin = train(network, data, seed=seed, arithmetic="float64", progress=progress, threads=threads)
    float64 = evaluate(twin, data, label_images=label_images, progress=progress, threads=threads)
    return Validation(
        network=network.name,
        recipe=network.recipe,
        data=data.name,
        fixed=fixed,
        float64=float64,
        training=model.registers,
        registers=merge_ranges(model.registers, fixed.registers),
        memory=memory_table(network),
        train_images_per_s=model.images_per_s,
        inference_images_per_s=fixed.images_per_s,
        float_train_images_per_s=twin.images_per_s,
        kernel=model.kernel,
        config={**model.config(), "label_images": data.n_train if label_images is None else label_images},
        versions=versions(),
        notes=_notes(network, data),
    )


def merge_ranges(a: Mapping[str, RegisterRange], b: Mapping[str, RegisterRange]) -> dict[str, RegisterRange]:
    """Return what each register saw in both runs together."""
    merged = dict(a)
    for name, other in b.items():
        seen = merged.get(name)
        if seen is None:
            merged[name] = other
            continue
        merged[name] = RegisterRange(
            format=seen.format,
            min_raw=min(seen.min_raw, other.min_raw),
            max_raw=max(seen.max_raw, other.max_raw),
            min=min(seen.min, other.min),
            max=max(seen.max, other.max),
            saturated_low=seen.saturated_low + other.saturated_low,
            saturated_high=seen.saturated_high + other.saturated_high,
        )
    return merged


def _notes(network: NetworkSpec, data: Data) -> tuple[str, ...]:
    notes = []
    if isinstance(data, SpikeDataset):
        notes.append("Input spikes were given by the user; encoding.* was not used.")
    if network.learning.rule == "potentiate" and network.learning.weight_sum is None:
        notes.append(
            "Eq. 2 only adds: without learning.weight_sum every weight drifts to its maximum and accuracy to "
            "chance."
        )
    return tuple(notes)
