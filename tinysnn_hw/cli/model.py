"""Trained networks on the command line: their data, and how they are shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tinysnn_hw.cli.inputs import NetworkFlags, load_data
from tinysnn_hw.cli.output import note, show, show_json
from tinysnn_hw.errors import DataError, ModelFileError, SpecError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tinysnn_hw.data import Dataset, SpikeDataset
    from tinysnn_hw.learning import Model


def check_free(folder: Path, *, force: bool) -> None:
    """Refuse a folder that a model cannot be written to, before the training and not after it.

    Raises
    ------
    ModelFileError
        The folder is not empty, with `force` holds something other than a model, or lies where nothing can be written.
    """
    from tinysnn_hw.learning.model import MODEL_FILE

    # A model is written beside its place and moved there, so what has to be writable is the folder around it.
    around = folder.absolute().parent
    while not os.path.lexists(around):
        around = around.parent
    if not around.is_dir():
        raise ModelFileError(f"--out {folder}: {around} is not a folder; name another place")
    if not os.access(around, os.W_OK | os.X_OK):
        raise ModelFileError(f"--out {folder}: the folder {around} cannot be written to; name another place")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ModelFileError(f"--out {folder}: is a file; name a folder")
    if not any(folder.iterdir()):
        return
    if not force:
        raise ModelFileError(
            f"--out {folder}: the folder is not empty; name another, or replace it with --force"
        )
    if not (folder / MODEL_FILE).is_file():
        raise ModelFileError(
            f"--out {folder}: holds something other than a model, which --force does not replace"
        )


def say_backend(asked: str, stage: str, *, training: bool, arithmetic: str = "fixed") -> None:
    """Say which back end ``auto`` takes for a stage, before it begins; refuse one that is not there.

    Raises
    ------
    SpecError, BackendUnavailableError
        See `tinysnn_hw.learning.choose_backend`.
    """
    from tinysnn_hw.learning import choose_backend

    chosen = choose_backend(asked, 1, training=training, arithmetic=arithmetic)
    if asked == "auto":
        note(f"backend of {stage}: {chosen.name} ({chosen.why})")


def load_model_data(
    model: Model,
    name: str | None,
    folder: Path | None,
    limit_train: int | None = None,
    limit_test: int | None = None,
) -> Dataset | SpikeDataset:
    """Return the data set a ``--data`` flag names, or the one a model was trained on.

    Raises
    ------
    DataError
        The model was trained on data that has no registered name, and none was given.
    """
    from tinysnn_hw.data import SOURCES

    trained_on = model.data.partition("[")[0]
    if name is None and trained_on not in SOURCES:
        raise DataError(
            f"the model was trained on {model.data!r}, which is not the name of a data set that can be "
            "found; give its path with --data"
        )
    data = load_data(trained_on if name is None else name, folder, limit_train, limit_test)
    if data.name != model.data:
        note(f"data: {data.name}; the model was trained on {model.data}")
    elif data.digests._asdict() != model.digests:
        note(f"data: {data.name} has other contents than the data set of that name the model was trained on")
    return data


def model_json(model: Model) -> dict[str, object]:
    """Return a trained network as JSON: configuration, training, memory; without its arrays."""
    from tinysnn_hw.cost import memory_table
    from tinysnn_hw.report.payload import activity_json, number, plain, registers_json
    from tinysnn_hw.version import NUMERIC_VERSION

    return {
        "config": plain(model.config()),
        "kernel": model.kernel,
        "registers": registers_json(model.registers),
        "activity": activity_json(model.activity),
        "speed": {"train_images_per_s": number(model.images_per_s)},
        "memory": memory_table(model.network),
        "versions": dict(model.versions),
        "numeric_version": NUMERIC_VERSION,
    }


def training_tables(model: Model) -> list[RenderableType]:
    """Return what a training did, as rich renderables."""
    from rich.text import Text

    from tinysnn_hw.report import register_table
    from tinysnn_hw.report.text import count, rate

    spec, activity = model.network, model.activity
    lines = Text(
        f"{spec.name}, recipe {spec.recipe}: {count(spec.network.inputs)} inputs, "
        f"{count(spec.network.neurons)} neurons, {model.arithmetic}\n"
        f"trained on {model.data} with seed {model.seed}: {count(model.presentations)} images at "
        f"{rate(model.images_per_s)} images/s (kernel {model.kernel})\n"
        f"{count(activity.input_spikes)} input spikes, {count(activity.output_spikes)} output spikes, "
        f"{count(activity.updates)} columns learned\n"
    )
    return [lines, register_table(model.registers, "Registers in training")]


def show_model(folder: Path, flags: NetworkFlags, *, meanings: bool, json: bool) -> None:
    """Print a trained network: its training, every value, its memory.

    Raises
    ------
    SpecError
        Flags that would change the network are given.
    """
    from tinysnn_hw.cost import memory_table
    from tinysnn_hw.learning import load_model
    from tinysnn_hw.report import memory_tables, network_json, network_table

    if flags.changes():
        raise SpecError(
            f"{folder} is a trained network and cannot be changed; leave out {', '.join(flags.changes())}"
        )
    model = load_model(folder)
    if json:
        show_json({**model_json(model), "network": network_json(model.network)})
        return
    show(
        *training_tables(model),
        network_table(model.network, meanings=meanings),
        memory_tables(memory_table(model.network)),
    )


__all__ = ["check_free", "load_model_data", "model_json", "say_backend", "show_model", "training_tables"]
