"""`tinysnn validate`: whether a network still recognises its images at these widths."""

from __future__ import annotations

from typing import Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.inputs import NetworkFlags, load_data, subset_note
from tinysnn_hw.cli.model import say_backend
from tinysnn_hw.cli.output import NEGATIVE, note, progress_bars, reporting_errors, show, show_json


@reporting_errors
def validate(
    network: options.Network = "tinysnn-wta",
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    limit_train: options.LimitTrain = None,
    limit_test: options.LimitTest = None,
    recipe: options.Recipe = None,
    neurons: options.Neurons = None,
    weight: options.Weight = None,
    v_mem: options.VMem = None,
    v_th: options.VTh = None,
    theta: options.Theta = None,
    rounding: options.Rounding = None,
    overflow: options.Overflow = None,
    epochs: options.Epochs = None,
    settings: options.Settings = None,
    seed: options.Seed = 0,
    label_images: options.LabelImages = None,
    threads: options.Threads = None,
    backend: options.Backend = "auto",
    max_drop: Annotated[
        float,
        options.flag(
            "Run",
            "POINTS",
            "Largest loss of accuracy against float64 that still counts as good; more exits with 1.",
            min=0.0,
        ),
    ] = 2.0,
    json: options.Json = False,
) -> None:
    """Train in fixed point and in float64 from the same spikes; compare accuracy, show registers and memory.

    Exits with 1 if the accuracy (naive_bayes) in fixed point is more than --max-drop points, and more than chance
    explains, below float64.
    """
    flags = NetworkFlags(
        network=network,
        recipe=recipe,
        neurons=neurons,
        weight=weight,
        v_mem=v_mem,
        v_th=v_th,
        theta=theta,
        rounding=rounding,
        overflow=overflow,
        epochs=epochs,
        settings=settings or (),
    )
    say_backend(backend, "training", training=True)
    say_backend(backend, "labelling and test", training=False)
    spec = flags.resolve(data).spec
    images = load_data(data, data_dir, limit_train, limit_test)

    from tinysnn_hw import learning
    from tinysnn_hw.report import is_lost, validation_json, validation_table

    with progress_bars() as progress:
        found = learning.validate(
            spec,
            images,
            seed=seed,
            label_images=label_images,
            backend=backend,
            progress=progress,
            threads=threads,
        )
    drop = found.float64.accuracy - found.fixed.accuracy
    lost = is_lost(found)
    passed = not lost or drop <= max_drop
    subset = subset_note(limit_train, limit_test)
    if json:
        show_json(
            {**validation_json(found), "passed": passed, "max_drop": max_drop, "subset": subset or None}
        )
    else:
        show(validation_table(found), *([subset] if subset else []))
    if lost and passed:
        note(f"passed: {drop:.2f} points are lost to the widths, within --max-drop {max_drop:g}")
    if not passed:
        note(f"negative: {drop:.2f} points are lost to the widths, more than --max-drop {max_drop:g}")
        raise typer.Exit(NEGATIVE)


__all__ = ["validate"]
