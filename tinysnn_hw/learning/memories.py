"""A trace as memory images for an HDL test bench: one ``$readmemh`` file per register, and what declares them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tinysnn_hw.errors import DataError
from tinysnn_hw.fixed.format import Format

if TYPE_CHECKING:
    from tinysnn_hw.learning.trace import Trace

DECLARATIONS, MANIFEST = "memories.svh", "trace.json"
_MEANING = {
    "weight": "[input][neuron], frozen",
    "v_th": "[neuron], frozen",
    "event_count": "[image][step]: input events of a step",
    "events": "[event]: the input it comes from; those of one step follow one another",
    "winner": "[image][step]: neuron that fired; all ones: none",
    "inhibitory_winner": "[image][step]: inhibitory neuron that fired; all ones: none",
}


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory: raw words of a format."""

    name: str
    format: Format
    words: npt.NDArray[np.int64]

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}.hex"

    @property
    def meaning(self) -> str:
        """What its indices are, the last one running fastest."""
        return _MEANING.get(self.name, "[image][step][neuron] after the step")

    def text(self) -> str:
        """Return the content of its file: name, format and shape, then a two's-complement word per line."""
        shape = "x".join(map(str, self.words.shape))
        digits, mask = -(-self.format.width // 4), (1 << self.format.width) - 1
        lines = [f"{word & mask:0{digits}x}\n" for word in self.words.ravel().tolist()]
        return f"// {self.name} {self.format} {shape}\n{''.join(lines)}"

    def declaration(self) -> str:
        """Return the SystemVerilog that declares the memory and reads its file."""
        kind = "logic signed" if self.format.signed else "logic"
        last = max(self.words.size - 1, 0)
        return (
            f"{kind} [{self.format.width - 1}:0] {self.name} [0:{last}]; // {self.format} {self.meaning}\n"
            f'initial $readmemh({{`TRACE_DIR, "/{self.file}"}}, {self.name});\n'
        )


def register_memories(recorded: Trace) -> Iterator[Memory]:
    """Yield the frozen words of a trace and its registers after every step."""
    words = {"weight": recorded.weight, "v_th": recorded.v_th, **recorded.registers}
    for name, array in words.items():
        yield Memory(name, recorded.formats[name], array)


def memories(recorded: Trace) -> Iterator[Memory]:
    """Yield the memories of a trace: its registers, the events, the winners."""
    yield from register_memories(recorded)
    n_steps = recorded.winner.shape[1]
    counts = np.stack([np.bincount(rows[:, 0], minlength=n_steps) for rows in recorded.inputs])
    yield _numbers("event_count", counts, int(counts.max(initial=0)) + 1)
    yield _numbers(
        "events", np.concatenate([rows[:, 1] for rows in recorded.inputs]), recorded.weight.shape[0]
    )
    winners = {"winner": recorded.winner, "inhibitory_winner": recorded.inhibitory_winner}
    for name, winner in winners.items():
        if winner is not None:
            # One number more than there are neurons: all ones is none of them.
            yield _numbers(name, winner, recorded.weight.shape[1] + 1)


def _numbers(name: str, words: npt.NDArray[np.int64], how_many: int) -> Memory:
    width = max((how_many - 1).bit_length(), 1)
    return Memory(name, Format.parse(f"u{width}.0"), words)


def write_memories(recorded: Trace, folder: str | os.PathLike[str]) -> Path:
    """Write a trace as a folder of memory images; the folder appears only when it is complete.

    Parameters
    ----------
    recorded : Trace
    folder : path
        New, or empty.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        The folder holds something, or cannot be written.

    Notes
    -----
    One ``NAME.hex`` per memory as ``$readmemh`` reads it: a word of ``ceil(width / 4)`` digits per line, the last
    index running fastest.  ``memories.svh`` declares them for a test bench that defines ``TRACE_DIR``;
    ``trace.json`` says the same for programs, with configuration, data and versions.
    """
    target = Path(folder)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DataError(f"{target}: exists and is not an empty folder; choose another one")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _write(recorded, temporary)
            temporary.chmod(0o755)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error}") from error
    return target


def _write(recorded: Trace, folder: Path) -> None:
    n_inputs, n_neurons = recorded.weight.shape
    n_images, n_steps = recorded.winner.shape
    sizes = {"N_IMAGES": n_images, "N_STEPS": n_steps, "N_INPUTS": n_inputs, "N_NEURONS": n_neurons}
    declared = [f"localparam int {name} = {size};\n" for name, size in sizes.items()]
    described = {}
    for memory in memories(recorded):
        (folder / memory.file).write_text(memory.text(), encoding="ascii")
        declared.append(memory.declaration())
        described[memory.name] = {
            "file": memory.file, "width": memory.format.width, "signed": memory.format.signed,
            "format": str(memory.format), "shape": list(memory.words.shape), "meaning": memory.meaning,
        }  # fmt: skip
    head = "// Words of a traced network: `define TRACE_DIR as the folder of this file, then include it.\n"
    (folder / DECLARATIONS).write_text(head + "".join(declared), encoding="ascii")
    about = {"images": recorded.images.tolist(), "labels": recorded.labels.tolist(), "memories": described}
    text = json.dumps({**recorded.meta, **about}, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
