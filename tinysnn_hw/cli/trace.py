"""`tinysnn trace`: every register after every step, for chosen images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.model import load_model_data
from tinysnn_hw.cli.output import note, reporting_errors, show_json
from tinysnn_hw.errors import SpecError

SUFFIXES = (".npz", ".csv", ".hex")
SPLITS = ("test", "train")


@reporting_errors
def trace(
    folder: options.Folder,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE|FOLDER",
            help="File to write: .npz, .csv or .hex; without a suffix a folder of $readmemh files.",
        ),
    ],
    image: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=0, help="Index of an image, from 0; can be given again. [default: 0]"),
    ] = None,
    split: Annotated[str, typer.Option(metavar="test|train", help="Which images the index counts.")] = "test",
    data: options.ModelData = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
) -> None:
    """Write every register after every step for chosen images.

    As .npz, .csv or .hex by the file's suffix; without a suffix as a folder for a test bench: a $readmemh file per
    register, input events, winners, and memories.svh that declares them.
    """
    if out.suffix not in ("", *SUFFIXES):
        raise SpecError(
            f"--out {out}: the suffix {out.suffix!r} names no format; allowed: {', '.join(SUFFIXES)}, or none "
            "for a folder"
        )
    if split not in SPLITS:
        raise SpecError(f"--split {split!r}: allowed: {', '.join(SPLITS)}")

    from tinysnn_hw import learning
    from tinysnn_hw.learning.trace import write_trace

    model = learning.load_model(folder)
    images = load_model_data(model, data, data_dir)
    write_trace(learning.trace(model, images, image or [0], split=split), out)
    if json:
        show_json({"model": str(folder), "file": str(out), "split": split, "images": image or [0]})
    else:
        note(f"wrote {out}")


__all__ = ["trace"]
