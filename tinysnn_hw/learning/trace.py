"""Every register after every step of chosen images, for comparison with a simulation of the hardware."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from tinysnn_hw.data import SpikeDataset
from tinysnn_hw.engine import lower
from tinysnn_hw.engine.run import run
from tinysnn_hw.errors import DataError, SpecError
from tinysnn_hw.fixed.format import Format
from tinysnn_hw.learning.memories import register_memories, write_memories
from tinysnn_hw.learning.model import Model
from tinysnn_hw.learning.stream import Data, Stream, check_data
from tinysnn_hw.version import NUMERIC_VERSION

if TYPE_CHECKING:
    from tinysnn_hw.engine import NetworkState

TRACE_FORMATS = (".npz", ".csv", ".hex")
_REGISTERS = ("v_mem", "refractory_count", "v_inh", "inhibitory_count")
"""Registers of inference; the last two are those of an inhibitory layer."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Registers after every step.

    Attributes
    ----------
    images : int64[n_images]
        Indices into the split.
    split : {"test", "train"}
    labels : int64[n_images]
    registers : dict of str to int64[n_images, n_steps, n_neurons]
        Raw ``v_mem`` and ``refractory_count`` at the end of each step; with an inhibitory layer ``v_inh`` and
        ``inhibitory_count`` too.
    winner : int64[n_images, n_steps]
        Neuron that fired, -1 for none.
    inhibitory_winner : int64[n_images, n_steps] or None
        Inhibitory neuron that fired, -1 for none; None without an inhibitory layer.
    inputs : list of arrays
        Per image the events as rows ``(step, input)``, int64[n_events, 2].
    weight, v_th : arrays
        Frozen words: raw int64[n_inputs, n_neurons] and int64[n_neurons].
    formats : dict of str to Format
    meta : dict
        Configuration and versions.
    """

    images: npt.NDArray[np.int64]
    split: str
    labels: npt.NDArray[np.int64]
    registers: dict[str, npt.NDArray[np.int64]]
    winner: npt.NDArray[np.int64]
    inhibitory_winner: npt.NDArray[np.int64] | None
    inputs: list[npt.NDArray[np.int64]]
    weight: npt.NDArray[np.int64]
    v_th: npt.NDArray[np.int64]
    formats: dict[str, Format]
    meta: dict[str, Any]


def trace(model: Model, data: Data, images: int | Sequence[int], *, split: str = "test") -> Trace:
    """Record every register after every step of inference.

    Parameters
    ----------
    model : Model
        Fixed point.
    data : Dataset or SpikeDataset
    images : int or sequence of int
        Indices into the split.
    split : {"test", "train"}
        Test images are shown as in the test, training images as in labelling, with the same spikes.

    Returns
    -------
    Trace

    Raises
    ------
    SpecError
        The model is a float64 one.
    DataError
        An index is out of range, or the data does not fit the network.
    """
    if model.arithmetic != "fixed":
        raise SpecError(f"arithmetic = {model.arithmetic!r}: only a fixed-point model has registers to trace")
    if split not in ("test", "train"):
        raise SpecError(f"split = {split!r}; allowed: test, train")
    check_data(model.network, data)
    phase = "test" if split == "test" else "label"
    available = data.n_test if split == "test" else data.n_train
    chosen = np.atleast_1d(np.asarray(images))
    if (chosen.size and chosen.dtype.kind not in "iu") or chosen.ndim > 1:
        raise DataError(f"images: {images!r}; a whole number or a list of them is required")
    chosen = chosen.astype(np.int64)
    if not len(chosen):
        raise DataError(
            f"images: none given; the {split} split of {data.name!r} has images 0 to {available - 1}"
        )
    for index in chosen.tolist():
        if not 0 <= index < available:
            raise DataError(
                f"image {index}: the {split} split of {data.name!r} has images 0 to {available - 1}"
            )
    tables = None if isinstance(data, SpikeDataset) else model.tables
    stream = Stream(data, model.network, tables, model.spike_seed, phase, available)
    lowered = lower(model.network)
    registers = [name for name in _REGISTERS if name in lowered.formats]
    winners = ["winner"] if model.network.inhibitory is None else ["winner", "inhibitory_winner"]
    records: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in (*registers, *winners)}
    inputs = []
    state = cast("NetworkState", model.state)
    for index in chosen.tolist():
        raster = stream.raster(index, 1)
        result = run(
            lowered, state, raster, phase=phase, seed=model.seed, first=index, kernel="generic", record=True
        )
        for name, rows in records.items():
            rows.append(result.trace[name][0])
        steps = np.repeat(np.arange(raster.n_steps), np.diff(raster.offsets[0]))
        inputs.append(np.stack([steps, raster.inputs.astype(np.int64)], axis=1))
    labels = data.test_labels if split == "test" else data.train_labels
    return Trace(
        images=chosen,
        split=split,
        labels=labels[chosen],
        registers={name: np.stack(records[name]) for name in registers},
        winner=np.stack(records["winner"]),
        inhibitory_winner=np.stack(records["inhibitory_winner"]) if "inhibitory_winner" in records else None,
        inputs=inputs,
        weight=model.weight.astype(np.int64),
        v_th=model.v_th.astype(np.int64),
        formats={name: lowered.formats[name] for name in ("weight", "v_th", *registers)},
        meta={
            "numeric_version": NUMERIC_VERSION,
            "config": model.config(),
            "versions": model.versions,
            "traced": {
                "data": data.name,
                "digests": data.digests._asdict(),
                "split": split,
                "phase": phase,
                "events": ["place in images", "step", "input"],
            },
        },
    )


def write_trace(recorded: Trace, path: str | os.PathLike[str]) -> Path:
    """Write a trace as ``.npz``, ``.csv`` or ``.hex``; the file appears only when it is complete.

    Without a suffix it becomes a folder for an HDL test bench, see `tinysnn_hw.learning.memories.write_memories`.
    ``.npz``: one array per register and the winners; ``events`` as rows (place in ``images``, step, input);
    ``weight`` and ``v_th`` as frozen; ``meta`` (JSON): configuration, formats, and under ``traced`` the data, split and
    phase.  The presentation number of docs/numerics.md, section 2, is the image index.
    ``.csv``: one row per image, step and neuron; an inhibitory neuron has the number of the neuron that excites it.
    ``.hex``: all registers in one text, in sections headed by ``// name format shape``, one two's-complement word of
    ``ceil(width / 4)`` digits per line.

    Raises
    ------
    DataError
        The suffix names no format, or the file cannot be written.
    """
    target = Path(path)
    if not target.suffix:
        return write_memories(recorded, target)
    if target.suffix not in TRACE_FORMATS:
        raise DataError(
            f"{target}: suffix {target.suffix!r}; allowed: {', '.join(TRACE_FORMATS)}, or none for a folder of "
            "$readmemh files"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent
        )
        os.close(handle)
        try:
            {".npz": _write_npz, ".csv": _write_csv, ".hex": _write_hex}[target.suffix](
                recorded, Path(temporary)
            )
            Path(temporary).chmod(0o644)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error}") from error
    return target


def _write_npz(recorded: Trace, path: Path) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {
        **recorded.registers,
        "winner": recorded.winner,
        "weight": recorded.weight,
    }
    if recorded.inhibitory_winner is not None:
        arrays["inhibitory_winner"] = recorded.inhibitory_winner
    arrays |= {"v_th": recorded.v_th, "images": recorded.images, "labels": recorded.labels}
    events = [np.insert(rows, 0, place, axis=1) for place, rows in enumerate(recorded.inputs)]
    arrays["events"] = np.concatenate(events)
    meta = {**recorded.meta, "formats": {name: str(fmt) for name, fmt in recorded.formats.items()}}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _write_csv(recorded: Trace, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = list(recorded.registers)
        fired = {"fired": recorded.winner}
        if recorded.inhibitory_winner is not None:
            fired["inhibitory_fired"] = recorded.inhibitory_winner
        writer.writerow(["image", "step", "neuron", *(f"{name}_raw" for name in names), *fired])
        for place, image in enumerate(recorded.images.tolist()):
            columns = [recorded.registers[name][place] for name in names]
            n_steps, n_neurons = columns[0].shape
            for t in range(n_steps):
                winners = [int(winner[place, t]) for winner in fired.values()]
                writer.writerows(
                    [
                        image, t, j,
                        *(int(column[t, j]) for column in columns),
                        *(int(j == winner) for winner in winners),
                    ]
                    for j in range(n_neurons)
                )  # fmt: skip


def _write_hex(recorded: Trace, path: Path) -> None:
    with path.open("w", encoding="ascii") as file:
        file.writelines(memory.text() for memory in register_memories(recorded))
