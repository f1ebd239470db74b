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
    """One memory: words of ``width`` bits, two's complement where ``signed``."""

    name: str
    width: int
    signed: bool
    format: str
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
        """Return the content of its file."""
        shape = "x".join(map(str, self.words.shape))
        digits, mask = -(-self.width // 4), (1 << self.width) - 1
        lines = [f"{word & mask:0{digits}x}\n" for word in self.words.ravel().tolist()]
        return f"// {self.name} {self.format} {shape} {self.meaning}\n{''.join(lines)}"

    def declaration(self) -> str:
        """Return the SystemVerilog that declares the memory and reads its file."""
        kind = f"logic signed [{self.width - 1}:0]" if self.signed else f"logic [{self.width - 1}:0]"
        return (
            f"{kind} {self.name} [0:{max(self.words.size - 1, 0)}]; // {self.format} {self.meaning}\n"
            f'initial $readmemh({{`TRACE_DIR, "/{self.file}"}}, {self.name});\n'
        )


def memories(recorded: Trace) -> Iterator[Memory]:
    """Yield the memories of a trace: frozen words, registers after every step, events, winners."""
    registers = {"weight": recorded.weight, "v_th": recorded.v_th, **recorded.registers}
    for name, array in registers.items():
        fmt = recorded.formats[name]
        yield Memory(name, fmt.width, fmt.signed, str(fmt), array)
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
    return Memory(name, width, False, f"u{width}.0", words.astype(np.int64))


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
            "file": memory.file, "width": memory.width, "signed": memory.signed, "format": memory.format,
            "shape": list(memory.words.shape), "meaning": memory.meaning,
        }  # fmt: skip
    head = "// Words of a traced network: `define TRACE_DIR as the folder of this file, then include it.\n"
    (folder / DECLARATIONS).write_text(head + "".join(declared), encoding="ascii")
    about = {"images": recorded.images.tolist(), "labels": recorded.labels.tolist(), "memories": described}
    text = json.dumps({**recorded.meta, **about}, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
