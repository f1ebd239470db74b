#!/usr/bin/env python3
"""Figure 8 of the paper: energy of training and inference of baseline, SL-STDP and tinySNN over precisions.

Two figures that are never mixed. fig8-modelled: accesses and operations of measured activity on one piece of
hardware. fig8-measured (with --watts): time of the float64 simulation times a power, the paper's own method; it has no
precisions, because a processor computes in its own words whatever the formats of the network are.
"""

from __future__ import annotations

import argparse
import sys

from figures import BASELINES, OURS, PRECISIONS, arguments, draw_bars, print_comparison, write_csv

from tinysnn_hw import evaluate, load_dataset, train
from tinysnn_hw.cost import cost
from tinysnn_hw.spec import load_network

DATA_SETS = ("mnist", "fashion-mnist")
PHASES = ("training", "inference")
PAPER = {
    ("training", "FP32"): "1.9x", ("training", "8"): "2.7x", ("inference", "FP32"): "1.9x", ("inference", "8"): "2.9x",
}  # fmt: skip
REASONS = (
    "The paper multiplies the time of a simulation on a GPU by its power; a simulator steps through inhibitory neurons "
    "and dense matrices that an accelerator would hardly notice. Ours counts accesses and operations.",
    "Reading the input weights dominates every network on an accelerator, and removing inhibitory neurons does not "
    "change that: most of the saving in inference is that the recipes differ in input events (see the lines above).",
    "Training differs more: pair-wise STDP rewrites a row of weights at every input spike, Eq. 2 a column at times.",
    "Narrow weights save twice where the memory is on the chip: fewer accesses, and each in a smaller memory. On a GPU "
    "a simulation computes in the machine's own words, and does not become cheaper by them.",
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hardware", default="edge-45nm", help="hardware of 'tinysnn list', or a .toml file")
    parser.add_argument("--limit-train", type=int, default=10_000, help="training images (default: 10,000)")
    parser.add_argument("--limit-test", type=int, default=2_000, help="test images (default: 2,000)")
    parser.add_argument(
        "--data", nargs="+", default=DATA_SETS, help="data sets (default: mnist fashion-mnist)"
    )
    parser.add_argument("--watts", type=float, help="also time x this power, by the float64 simulation")
    parser.add_argument("--threads", type=int, help="threads; absent: all cores")


def first_images(data, chosen: argparse.Namespace):
    return data.limit(min(chosen.limit_train, data.n_train), min(chosen.limit_test, data.n_test))


def measure(name: str, data, recipe: str, chosen: argparse.Namespace, arithmetic: str):
    """Train and test one network; return its description and what happened, per phase."""
    spec = load_network(name, recipe=recipe, neurons=chosen.neurons)
    print(f"{recipe}: training {name} ({arithmetic}) on {data.n_train:,} images", file=sys.stderr)
    model = train(spec, data, seed=0, arithmetic=arithmetic, threads=chosen.threads)
    result = evaluate(model, data, label_images=min(1000, data.n_train), threads=chosen.threads)
    return spec, model, result


def modelled(data, recipe: str, chosen: argparse.Namespace):
    """Yield (phase, network, label, cost)."""
    seen = {name: measure(name, data, recipe, chosen, "fixed") for name in (*BASELINES, OURS)}
    for phase in PHASES:
        for name, (spec, model, result) in seen.items():
            activity = model.activity if phase == "training" else result.activity
            yield (
                phase,
                name,
                f"{name} FP32",
                cost(spec, activity, hardware=chosen.hardware, phase=phase, arithmetic="float32"),
            )
        for bits in PRECISIONS:
            integer = min(bits, 8)
            fmt = f"s{integer}.{bits - integer}"
            narrow = load_network(
                OURS, recipe=recipe, neurons=chosen.neurons, weight=f"u0.{bits}", v_mem=fmt, v_th=fmt
            )
            yield phase, OURS, f"{OURS} {bits}", cost(narrow, activity, hardware=chosen.hardware, phase=phase)


def timed(data, recipe: str, chosen: argparse.Namespace):
    """Yield (phase, network, label, joules per image): time of the simulation times the given power."""
    for name in (*BASELINES, OURS):
        _, model, result = measure(name, data, recipe, chosen, "float64")
        yield "training", name, f"{name} float64", chosen.watts / model.images_per_s
        yield "inference", name, f"{name} float64", chosen.watts / result.images_per_s


def main() -> None:
    chosen = arguments(__doc__.splitlines()[0], options)
    sets = {name: first_images(load_dataset(name), chosen) for name in chosen.data}
    rows, panels, lines = [], {}, []
    for recipe, data in sets.items():
        found = list(modelled(data, recipe, chosen))
        for phase in PHASES:
            of_phase = [(name, label, each) for at, name, label, each in found if at == phase]
            reference = of_phase[0][2].energy_j
            panels[f"{recipe}, {phase}"] = [(n, label, each.energy_j * 1e6) for n, label, each in of_phase]
            for name, label, each in of_phase:
                energy, seen = each.energy, each.activity
                rows.append({
                    "origin": "modelled", "hardware": each.hardware, "data": recipe, "phase": phase, "network": name,
                    "bar": label, "energy_j": energy.nominal, "energy_low_j": energy.low, "energy_high_j": energy.high,
                    "saving": reference / energy.nominal, "input_spikes": seen.input_spikes / seen.images,
                    "output_spikes": seen.output_spikes / seen.images, "updates": seen.updates / seen.images,
                    "depressions": seen.depressions / seen.images, "dominant": each.dominant(),
                })  # fmt: skip
                precision = label.removeprefix(f"{OURS} ")
                if name == OURS and (phase, precision) in PAPER:
                    what = f"{recipe}, {phase}, {OURS} {precision}, on {each.hardware}"
                    lines.append((what, PAPER[phase, precision], reference / energy.nominal))
    for recipe in sets:
        events = {row["network"]: row["input_spikes"] for row in rows if row["data"] == recipe}
        lines.append(
            (
                f"{recipe}, inference, input events of baseline over {OURS}",
                "-",
                events["baseline"] / events[OURS],
            )
        )
    write_csv(chosen.out / "fig8-modelled.csv", rows)
    title = f"Modelled energy per image on {rows[0]['hardware']} [uJ], {chosen.neurons} neurons, activity measured"
    draw_bars(chosen.out / "fig8-modelled.png", title, "uJ", panels)
    if chosen.watts is not None:
        lines += draw_timed(sets, chosen)
    print_comparison(lines, REASONS)


def draw_timed(sets, chosen: argparse.Namespace) -> list[tuple[str, str, float]]:
    """Write the measured figure; return its lines of the comparison."""
    rows, panels, lines = [], {}, []
    for recipe, data in sets.items():
        found = list(timed(data, recipe, chosen))
        for phase in PHASES:
            of_phase = [(name, label, energy) for at, name, label, energy in found if at == phase]
            panels[f"{recipe}, {phase}"] = [(n, label, energy * 1e3) for n, label, energy in of_phase]
            rows += [
                {
                    "origin": "measured: time of the float64 simulation x given power", "power_w": chosen.watts,
                    "data": recipe, "phase": phase, "network": name, "bar": label, "energy_j": energy,
                    "saving": of_phase[0][2] / energy,
                }
                for name, label, energy in of_phase
            ]  # fmt: skip
            what = f"{recipe}, {phase}, {OURS} float64, time x power"
            lines.append((what, PAPER[phase, "FP32"], of_phase[0][2] / of_phase[-1][2]))
    write_csv(chosen.out / "fig8-measured.csv", rows)
    title = f"Time of the float64 simulation x {chosen.watts:g} W per image [mJ], {chosen.neurons} neurons"
    draw_bars(chosen.out / "fig8-measured.png", title, "mJ", panels)
    return lines


if __name__ == "__main__":
    main()
