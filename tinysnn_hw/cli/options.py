"""The flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_NETWORK, _DATA, _RUN = "Network", "Data", "Run"


def flag(panel: str, metavar: str | None, text: str, *names: str, **limits: Any) -> object:
    """Return a flag for a panel of ``--help``; `names` and `limits` are those of `typer.Option`."""
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel, **limits)


Network = Annotated[
    str, typer.Argument(metavar="NETWORK", help="A shipped network ('tinysnn list') or a .toml file.")
]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder written by 'tinysnn train'.")]

Recipe = Annotated[
    str | None,
    flag(
        _NETWORK,
        "NAME",
        "Recipe of the network file; else the one named after the data set, else the network's default.",
    ),
]
Neurons = Annotated[int | None, flag(_NETWORK, "N", "Excitatory neurons.")]


def _format(text: str) -> object:
    return flag(_NETWORK, "FORMAT", text)


Weight = Annotated[str | None, _format("Number format of the weights, such as u0.8 or u0.4.")]
VMem = Annotated[str | None, _format("Number format of the membrane potential, such as s8.8.")]
VTh = Annotated[str | None, _format("Number format of the effective threshold.")]
Theta = Annotated[str | None, _format("Number format of the adaptive part of the threshold.")]
Rounding = Annotated[
    str | None,
    flag(
        _NETWORK,
        "MODE",
        "Rounding of every register: floor, to_zero, nearest, nearest_away, nearest_even, stochastic.",
    ),
]
Overflow = Annotated[
    str | None,
    flag(_NETWORK, "MODE", "Overflow of every register: saturate, wrap, saturate_symmetric, error."),
]
Epochs = Annotated[int | None, flag(_NETWORK, "N", "Passes over the training images.")]
Settings = Annotated[
    list[str] | None,
    flag(
        _NETWORK,
        "KEY=VALUE",
        "Any other value of the network, such as neuron.refractory=5; can be given again. "
        "'tinysnn show NETWORK' lists the keys; an empty value takes an optional one away.",
        "--set",
    ),
]

Data = Annotated[
    str,
    flag(
        _DATA,
        "NAME|PATH",
        "digits, mnist, fashion-mnist, an .npz file, a folder with idx files, or two spike rasters as "
        "TRAIN,TEST.",
    ),
]
ModelData = Annotated[
    str | None,
    flag(_DATA, "NAME|PATH", "Data set, as in 'tinysnn train'; absent: the one trained on."),
]
DataDir = Annotated[
    Path | None,
    flag(
        _DATA,
        "FOLDER",
        "Where the files of mnist and fashion-mnist are; else TINYSNN_DATA, the user cache, a download.",
    ),
]
LimitTrain = Annotated[
    int | None,
    flag(_DATA, "N", "Use the first N training images only: a quick look.", min=1),
]
LimitTest = Annotated[
    int | None,
    flag(_DATA, "N", "Use the first N test images only: a quick look.", min=1),
]

Seed = Annotated[
    int,
    flag(_RUN, "N", "Decides every random bit of the run.", min=0, max=2**32 - 1),
]
LabelImages = Annotated[
    int | None,
    flag(_RUN, "N", "Training images that label the neurons; absent: all.", min=1),
]
Threads = Annotated[int | None, flag(_RUN, "N", "Threads; absent: all cores.", min=1)]
Backend = Annotated[
    str,
    flag(
        _RUN,
        "auto|cpu|cuda",
        "Where it runs; the bits are the same. auto: a GPU where there is one and the run can fill it.",
    ),
]
Json = Annotated[bool, flag(_RUN, None, "Print the result as JSON on stdout.", "--json")]
