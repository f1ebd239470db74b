"""`tinysnn cost`: memory and modelled energy of a network on one piece of hardware."""

from __future__ import annotations

import dataclasses
import json as json_text
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinysnn_hw.cli import options
from tinysnn_hw.cli.inputs import NetworkFlags
from tinysnn_hw.cli.output import note, reporting_errors, show, show_json
from tinysnn_hw.errors import DataError, SpecError

if TYPE_CHECKING:
    from tinysnn_hw.cost import Cost
    from tinysnn_hw.records import Activity
    from tinysnn_hw.spec import NetworkSpec

_flag = partial(options.flag, "Cost")


@reporting_errors
def cost(
    target: Annotated[
        str, typer.Argument(metavar="NETWORK|FOLDER", help="A network, or a folder of 'tinysnn train'.")
    ] = "tinysnn-wta",
    hardware: Annotated[
        str, _flag("NAME|FILE", "Hardware of 'tinysnn list', or a .toml file of your own.")
    ] = "edge-45nm",
    accounting: Annotated[
        str, _flag("NAME", "Lateral connections: learned (one constant), sparse (entries), dense (a matrix).")
    ] = "learned",
    arithmetic: Annotated[
        str, _flag("NAME", "fixed: the network's formats; float32: 32-bit floating point throughout.")
    ] = "fixed",
    spike_storage: Annotated[
        str,
        _flag("NAME", "Input spikes in memory: events (addresses), or bitmap (a bit per input and step)."),
    ] = "events",
    image_time: Annotated[
        float | None, _flag("SECONDS", "Time of one image; absent: static power is not counted.")
    ] = None,
    activity: Annotated[
        Path | None,
        _flag("FILE", "JSON of 'tinysnn evaluate', 'train' or 'validate', whose activity is then used."),
    ] = None,
    input_spikes: Annotated[
        float | None, _flag("N", "Assumed input spikes per image; absent: from the encoding.")
    ] = None,
    output_spikes: Annotated[float | None, _flag("N", "Assumed output spikes per image; absent: 20.")] = None,
    recipe: options.Recipe = None,
    neurons: options.Neurons = None,
    weight: options.Weight = None,
    v_mem: options.VMem = None,
    v_th: options.VTh = None,
    theta: options.Theta = None,
    rounding: options.Rounding = None,
    overflow: options.Overflow = None,
    settings: options.Settings = None,
    json: options.Json = False,
) -> None:
    """Estimate memory and energy from a description with assumed activity, or from what a run measured."""
    from tinysnn_hw.cost import WEIGHT_ACCOUNTINGS
    from tinysnn_hw.report.cost import cost_json, cost_tables, findings
    from tinysnn_hw.spec import list_networks
    from tinysnn_hw.spec.load import nearest

    if accounting not in WEIGHT_ACCOUNTINGS:
        raise SpecError(
            f"--accounting {accounting!r}: allowed: {', '.join(WEIGHT_ACCOUNTINGS)}"
            f"{nearest(accounting, list(WEIGHT_ACCOUNTINGS))}"
        )
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
        epochs=None,
        settings=settings or (),
    )
    assumed = {"input_spikes": input_spikes, "output_spikes": output_spikes}
    given = {name: value for name, value in assumed.items() if value is not None}
    is_run = target not in list_networks() and Path(target).is_dir()
    if given and (is_run or activity is not None):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise SpecError(f"{names}: the activity is measured here; leave out what would be assumed")
    options_: dict[str, object] = {
        "hardware": hardware,
        "weights": accounting,
        "arithmetic": arithmetic,
        "spike_storage": spike_storage,
        "image_time_s": image_time,
    }
    spec, seen, origins = _run(target, flags) if is_run else _network(flags, given)
    if activity is not None:
        measured = read_activity(activity)
        phase = "training" if measured.updates else "inference"
        seen[phase], origins[phase] = measured, "measured"
    costs, reasons = _phases(spec, seen, origins, options_)
    if json:
        phases = {found.phase: cost_json(found) for found in costs}
        show_json(
            {
                "network": spec.name,
                "recipe": spec.recipe,
                "hardware": costs[0].hardware,
                "inference": phases.get("inference"),
                "training": phases.get("training"),
                "findings": [*findings(costs), *reasons],
            }
        )
    else:
        show(cost_tables(costs, reasons))
    if costs[0].unsourced:
        note(f"{costs[0].hardware}: {len(costs[0].unsourced)} numbers have no source; see the last lines")


Seen = tuple["NetworkSpec", "dict[str, Activity]", dict[str, str]]


def _network(flags: NetworkFlags, given: dict[str, float]) -> Seen:
    from tinysnn_hw.cost import assumed_activity

    spec = flags.resolve(None).spec
    activity = assumed_activity(spec, **given)  # type: ignore[arg-type]
    return (
        spec,
        dict.fromkeys(("inference", "training"), activity),
        dict.fromkeys(("inference", "training"), "assumed"),
    )


def _run(target: str, flags: NetworkFlags) -> Seen:
    from tinysnn_hw.learning import load_model

    if flags.changes():
        raise SpecError(
            f"{target} is a trained network and cannot be changed; leave out {', '.join(flags.changes())}"
        )
    model = load_model(target)
    origins = {"inference": "measured in training", "training": "measured"}
    return model.network, dict.fromkeys(origins, model.activity), origins


def _phases(
    spec: NetworkSpec, seen: dict[str, Activity], origins: dict[str, str], options_: dict[str, object]
) -> tuple[list[Cost], list[str]]:
    """Return both phases; a chip without figures for learning has the reason in place of training."""
    from tinysnn_hw.cost import cost as estimate
    from tinysnn_hw.spec import load_hardware

    chip = load_hardware(str(options_["hardware"]))
    options_ = options_ | {"hardware": chip}
    phases = ["inference", "training"]
    reasons = []
    if chip.events is not None and chip.events.learned_synapse is None:
        phases.remove("training")
        reasons.append(f"No training energy: {chip.name} states no energy of a learned synapse.")
    found = [estimate(spec, seen[phase], phase=phase, **options_) for phase in phases]  # type: ignore[arg-type]
    return [dataclasses.replace(each, activity_origin=origins[each.phase]) for each in found], reasons


def read_activity(file: Path) -> Activity:
    """Return the activity in the JSON of another command.

    Raises
    ------
    DataError
        The file has none.
    """
    from tinysnn_hw.records import Activity

    try:
        found = json_text.loads(file.read_text(encoding="utf-8"))
        values = found.get("activity", found.get("fixed", {}).get("activity"))
        return Activity(**values)
    except OSError as error:
        raise DataError(f"--activity {file}: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"--activity {file}: holds no activity ({error}); write one with 'tinysnn evaluate FOLDER --json > {file}'"
        ) from error


__all__ = ["cost", "read_activity"]
