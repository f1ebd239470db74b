"""The flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_NETWORK, _DATA, _RUN = "Network", "Data", "Run"

Network = Annotated[
    str, typer.Argument(metavar="NETWORK", help="A shipped network ('tinysnn list') or a .toml file.")
]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder written by 'tinysnn train'.")]

Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Recipe of the network file; else the one named after the data set, else the network's default.",
        rich_help_panel=_NETWORK,
    ),
]
Neurons = Annotated[
    int | None, typer.Option(metavar="N", help="Excitatory neurons.", rich_help_panel=_NETWORK)
]


def _format(register: str) -> object:
    return typer.Option(metavar="FORMAT", help=register, rich_help_panel=_NETWORK)


Weight = Annotated[str | None, _format("Number format of the weights, such as u0.8 or u0.4.")]
VMem = Annotated[str | None, _format("Number format of the membrane potential, such as s8.8.")]
VTh = Annotated[str | None, _format("Number format of the effective threshold.")]
Theta = Annotated[str | None, _format("Number format of the adaptive part of the threshold.")]
Rounding = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="Rounding of every register: floor, to_zero, nearest, nearest_away, nearest_even, stochastic.",
        rich_help_panel=_NETWORK,
    ),
]
Overflow = Annotated[
    str | None,
    typer.Option(
        metavar="MODE",
        help="Overflow of every register: saturate, wrap, saturate_symmetric, error.",
        rich_help_panel=_NETWORK,
    ),
]
Epochs = Annotated[
    int | None, typer.Option(metavar="N", help="Passes over the training images.", rich_help_panel=_NETWORK)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other value of the network, such as neuron.refractory=5; can be given again. "
        "'tinysnn show NETWORK' lists the keys; an empty value takes an optional one away.",
        rich_help_panel=_NETWORK,
    ),
]

Data = Annotated[
    str,
    typer.Option(
        metavar="NAME|PATH",
        help="digits, mnist, fashion-mnist, an .npz file, a folder with idx files, or two spike rasters as "
        "TRAIN,TEST.",
        rich_help_panel=_DATA,
    ),
]
ModelData = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Data set, as in 'tinysnn train'; absent: the one trained on.",
        rich_help_panel=_DATA,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where the files of mnist and fashion-mnist are; else TINYSNN_DATA, the user cache, a download.",
        rich_help_panel=_DATA,
    ),
]
LimitTrain = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Use the first N training images only: a quick look.", rich_help_panel=_DATA
    ),
]
LimitTest = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Use the first N test images only: a quick look.", rich_help_panel=_DATA
    ),
]

Seed = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, max=2**32 - 1, help="Decides every random bit of the run.", rich_help_panel=_RUN
    ),
]
LabelImages = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Training images that label the neurons; absent: all.", rich_help_panel=_RUN
    ),
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Threads; absent: all cores.", rich_help_panel=_RUN)
]
Backend = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda",
        help="Where it runs; the bits are the same. auto: a GPU where there is one and the run can fill it.",
        rich_help_panel=_RUN,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on stdout.", rich_help_panel=_RUN)
]
