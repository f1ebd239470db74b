"""`tinysnn train`: train one network in fixed point and keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.inputs import NetworkFlags, load_data, subset_note
from tinysnn_hw.cli.model import check_free, model_json, say_backend, training_tables
from tinysnn_hw.cli.output import note, progress_bars, reporting_errors, show, show_json


@reporting_errors
def train(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write the trained network to.")],
    network: options.Network = "tinysnn-wta",
    force: Annotated[bool, typer.Option("--force", help="Replace a trained network in the folder.")] = False,
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    limit_train: options.LimitTrain = None,
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
    threads: options.Threads = None,
    backend: options.Backend = "auto",
    json: options.Json = False,
) -> None:
    """Train a network in fixed point, bit by bit, and write it to a folder."""
    check_free(out, force=force)
    say_backend(backend, "training", training=True)
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
    spec = flags.resolve(data).spec
    images = load_data(data, data_dir, limit_train)

    from tinysnn_hw import learning

    with progress_bars() as progress:
        model = learning.train(spec, images, seed=seed, backend=backend, progress=progress, threads=threads)
    learning.save_model(model, out, force=force)
    subset = subset_note(limit_train, None)
    if json:
        show_json({"folder": str(out), **model_json(model), "subset": subset or None})
    else:
        show(*training_tables(model), *([subset] if subset else []))
    note(f"written to {out}; next: tinysnn evaluate {out}")


__all__ = ["train"]
