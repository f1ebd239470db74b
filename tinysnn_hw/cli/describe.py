"""`tinysnn list` and `tinysnn show`: what there is, and what it consists of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.inputs import NetworkFlags
from tinysnn_hw.cli.output import reporting_errors, show_json
from tinysnn_hw.cli.output import show as show_text
from tinysnn_hw.errors import SpecError

if TYPE_CHECKING:
    from tinysnn_hw.spec import NetworkSpec, ResolvedNetwork

FORMAT_HELP = (
    ("s8.8", "signed, 8 bits before the binary point (sign included), 8 behind it: -128 to 127.996"),
    ("u0.8", "unsigned, 8 bits behind the binary point: 0 to 0.996"),
    ("u8.0", "unsigned integer of 8 bits"),
    ("ap_fixed<16,8>", "the same as s8.8; also ap_ufixed<8,0>, fi(x,1,16,8), fxp-s16/8, 'Q8.8 arm', UQ0.8"),
)


@reporting_errors
def list_choices(json: options.Json = False) -> None:
    """List networks and recipes, hardware, search spaces, data sets, number formats, rounding and overflow modes."""
    from tinysnn_hw.data.sources import SOURCES, BundledSource
    from tinysnn_hw.fixed import Overflow, Rounding
    from tinysnn_hw.spec import REGISTERS, list_hardware, load_hardware
    from tinysnn_hw.spec.describe import summarize_networks
    from tinysnn_hw.spec.space_load import list_spaces, load_space

    networks = summarize_networks()
    chips = [load_hardware(name) for name in list_hardware()]
    spaces = [load_space(name) for name in list_spaces()]
    data = {
        name: {
            "image_shape": list(source.image_shape),
            "n_classes": source.n_classes,
            "needs_files": not isinstance(source, BundledSource),
        }
        for name, source in SOURCES.items()
    }
    roundings, overflows = [mode.text for mode in Rounding], [mode.text for mode in Overflow]
    if json:
        show_json(
            {
                "networks": {
                    item.name: {
                        "summary": item.summary,
                        "recipes": list(item.recipes),
                        "default_recipe": item.default_recipe,
                    }
                    for item in networks
                },
                "hardware": {chip.name: {"summary": chip.summary, "kind": chip.kind} for chip in chips},
                "spaces": {
                    space.name: {"summary": space.summary, "trials": space.n_trials} for space in spaces
                },
                "data": data,
                "registers": list(REGISTERS),
                "rounding": roundings,
                "overflow": overflows,
            }
        )
        return
    from tinysnn_hw.report import catalogue_table

    show_text(
        catalogue_table(
            "Networks",
            ("name", "recipes (* default)", "summary"),
            [
                (
                    item.name,
                    ", ".join(f"{name}*" if name == item.default_recipe else name for name in item.recipes),
                    item.summary,
                )
                for item in networks
            ],
            note="tinysnn show NAME lists every value; a .toml file of your own works in place of a name.",
        ),
        catalogue_table(
            "Search spaces (tinysnn explore)",
            ("name", "trials", "summary"),
            [(space.name, f"{space.n_trials:,}", space.summary) for space in spaces],
            note="A .toml file of your own works in place of a name.",
        ),
        catalogue_table(
            "Hardware (tinysnn cost --hardware)",
            ("name", "energies of", "summary"),
            [
                (chip.name, {"access": "accesses", "event": "events"}[chip.kind], chip.summary)
                for chip in chips
            ],
            note="tinysnn show NAME lists every number with its source; a .toml file of your own works too.",
        ),
        catalogue_table(
            "Data sets (--data)",
            ("name", "images", "classes", "files"),
            [
                (
                    name,
                    "{} x {}".format(*source.image_shape),
                    str(source.n_classes),
                    "none needed"
                    if isinstance(source, BundledSource)
                    else "found (--data-dir) or downloaded",
                )
                for name, source in SOURCES.items()
            ],
            note="Also the path of an .npz file, of a folder with idx files, or of rasters as TRAIN,TEST.",
        ),
        catalogue_table(
            "Number formats (--weight, --v-mem, --v-th, --theta; --set formats.<register>.format=...)",
            ("format", "meaning"),
            FORMAT_HELP,
            note=f"Registers: {', '.join(REGISTERS)}. 1 to 32 bits.",
        ),
        catalogue_table(
            "Modes (--rounding, --overflow for all registers; --set formats.<register>.rounding=...)",
            ("kind", "modes"),
            (("rounding", ", ".join(roundings)), ("overflow", ", ".join(overflows))),
        ),
    )


@reporting_errors
def show(
    target: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK|FOLDER|HARDWARE", help="A network, a folder of 'tinysnn train', or hardware."
        ),
    ] = "tinysnn-wta",
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
    meanings: Annotated[
        bool, typer.Option("--meanings", help="Say what each value does, in place of where it comes from.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Show every value of a network or of hardware with unit and source; or a trained model."""
    from tinysnn_hw.spec import list_networks
    from tinysnn_hw.spec.hardware_load import is_hardware

    flags = NetworkFlags(
        network=target,
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
    if target not in list_networks() and Path(target).is_dir():
        from tinysnn_hw.cli.model import show_model

        show_model(Path(target), flags, meanings=meanings, json=json)
        return
    if is_hardware(target):
        show_hardware(flags, json=json)
        return
    show_network(flags.resolve(None), meanings=meanings, json=json)


def show_hardware(flags: NetworkFlags, *, json: bool) -> None:
    """Print hardware: every number with unit, range, source and scope.

    Raises
    ------
    SpecError
        Flags that belong to networks are given.
    """
    from tinysnn_hw.report.hardware import hardware_json, hardware_table
    from tinysnn_hw.spec import load_hardware

    if flags.changes():
        raise SpecError(f"{flags.network} is hardware; leave out {', '.join(flags.changes())}")
    hardware = load_hardware(flags.network)
    if json:
        show_json(hardware_json(hardware))
    else:
        show_text(hardware_table(hardware))


def show_network(network: ResolvedNetwork | NetworkSpec, *, meanings: bool, json: bool) -> None:
    """Print a network and its memory."""
    from tinysnn_hw.cost import memory_table
    from tinysnn_hw.report import memory_tables, network_json, network_table
    from tinysnn_hw.spec import ResolvedNetwork

    memory = memory_table(network.spec if isinstance(network, ResolvedNetwork) else network)
    if json:
        show_json({**network_json(network), "memory": memory})
        return
    show_text(network_table(network, meanings=meanings), memory_tables(memory))


__all__ = ["list_choices", "show", "show_hardware", "show_network"]
