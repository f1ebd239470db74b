"""`tinysnn train`: train one network in fixed point and keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.inputs import NetworkFlags, load_data, subset_note
from tinysnn_hw.cli.output import progress_bars, reporting_errors, show, show_json
from tinysnn_hw.errors import ModelFileError


@reporting_errors
def train(
    network: options.Network = "tinysnn-wta",
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder to write the trained network to.", rich_help_panel="Run"),
    ] = Path("runs/model"),
    force: Annotated[
        bool,
        typer.Option("--force", help="Write even if the folder is not empty.", rich_help_panel="Run"),
    ] = False,
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
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Train a network in fixed point, bit-accurately, and write it to a folder."""
    check_free(out, force=force)
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
    images = load_data(data, data_dir, limit_train, limit_test)

    from tinysnn_hw import learning

    with progress_bars() as progress:
        model = learning.train(spec, images, seed=seed, progress=progress, threads=threads)
    learning.save_model(model, out)


def check_free(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds something, unless forced; before the training, not after it.

    Raises
    ------
    ModelFileError
        The folder is not empty, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ModelFileError(f"--out {folder}: is a file; name a folder")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise ModelFileError(
            f"--out {folder}: the folder is not empty; name another, or overwrite with --force"
        )


__all__ = ["check_free", "train"]
