"""tinysnn_hw beside its peers and beside the limit of the machine: one run, one core, one thread.

    python benchmarks/compare.py --data-dir FOLDER --out FOLDER

Prints tables and saves `compare.csv`, `compare.txt` and `compare.png`. Needs `pip install "tinysnn-hw[bench]"`.
Every peer gets a virtual environment of its own, made at the first run under --env-dir (default: the user's cache
folder). A peer that cannot be installed or fails has a row that says why.

The workload is that of Diehl & Cook (2015): 784 inputs, N excitatory neurons, MNIST training images in file
order, one at a time; 350 steps at 63.75 Hz or 250 at 128 Hz. A peer's repeats take turns with tinysnn_hw on the
same workload, and ratios are those of one turn, so that a busy machine slows both alike. Times include encoding,
normalisation and reset; they exclude import, building, compilation and loading of data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
from ceilings import measure_ceilings
from environments import ALL_PEERS, NotInstalled, Peer, default_folder, ready
from harness import (
    REPEATS,
    Row,
    Sample,
    csv_lines,
    machine,
    number,
    pin,
    seconds_of,
    table,
    take_turns,
    write_csv,
    write_text,
)
from limits import ceiling_rows, counted, limit_rows, limit_table
from networks import ENCODERS, LOAD, NETWORKS, WIDE, Prepared, images_per_repeat, measure
from processes import PeerError, Process
from quantize import array_rows, array_table

from tinysnn_hw.data import load_dataset
from tinysnn_hw.errors import TinySnnError

PEER_NEURONS = 400
PEER_SETTINGS = {
    "350/63.75": LOAD,
    "250/128": LOAD | {"encoding.n_steps": 250, "encoding.rate_max_hz": 128.0},
}
RECIPES = {
    "W": ("tinysnn-wta", "mnist"),
    "G": ("tinysnn-wta", "fashion-mnist"),
    "P": ("tinysnn", "mnist-poisson"),
}
SHARING = 8
OURS = "tinysnn_hw"


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    neurons: Sequence[int] = (100, 400, 1600, 6400)
    images: int = 2000
    repeats: int = REPEATS
    peers: Sequence[Peer] = ALL_PEERS
    elements: Sequence[int] = (1_000_000, 10_000_000)
    environments: Path = field(default_factory=default_folder)
    ceiling_s: float = 0.1
    recipes: bool = True
    """Also measure the recipes as shipped, the wide state and shared rasters, at N=400."""
    peer_images: int | None = None
    """Limits the images of a peer's repeat."""


# --- tinysnn_hw alone -------------------------------------------------------------------------------------------


def own_rows(images: np.ndarray, plan: Plan) -> tuple[list[Row], list[Row]]:
    """Return the rows of every network and size under the stated load, and the ceilings with their limits.

    Ceilings are measured before and after, and the faster counts.
    """
    ceilings = measure_ceilings(plan.neurons, images.shape[1], plan.ceiling_s)
    found = []
    for neurons in plan.neurons:
        for name, encoder in product(NETWORKS, ENCODERS):
            prepared = Prepared(name, neurons, images[: images_per_repeat(neurons, plan.images)], encoder)
            found.append((counted(prepared), measure(prepared, plan.repeats)))
    ceilings = ceilings.best(measure_ceilings(plan.neurons, images.shape[1], plan.ceiling_s))
    rows = [row for _, measured in found for row in measured]
    limits = [row for load, measured in found for row in limit_rows(load, measured, ceilings)]
    return rows, ceiling_rows(ceilings) + limits


def recipe_rows(images: dict[str, np.ndarray], plan: Plan) -> list[Row]:
    """Return the recipes as shipped, the wide state, and several networks on one raster, all at N=400."""
    rows = []
    for label, (name, recipe) in RECIPES.items():
        data = "fashion-mnist" if recipe == "fashion-mnist" else "mnist"
        if data not in images:
            rows.append(Row(OURS, name, f"recipe {label}", "images/s", note=f"not measured: no {data} files"))
            continue
        prepared = Prepared(name, PEER_NEURONS, images[data][: plan.images], settings={}, recipe=recipe)
        for row in measure(prepared, plan.repeats):
            if "included" in row.what:
                row.what = f"recipe {label}: {row.what}"
                rows.append(row)
    for name in NETWORKS:
        prepared = Prepared(name, PEER_NEURONS, images["mnist"][: plan.images], settings=LOAD | WIDE)
        for row in measure(prepared, plan.repeats):
            if "included" in row.what:
                row.what = f"32-bit lanes, multiply leak: {row.what}"
                rows.append(row)
        rows.append(sharing_row(name, images["mnist"][: plan.images], plan))
    return rows


def sharing_row(name: str, images: np.ndarray, plan: Plan) -> Row:
    """Measure networks that share one raster: all of them against one, both with one encoding."""
    first = Prepared(name, PEER_NEURONS, images)
    sessions = [first] + [
        Prepared(name, PEER_NEURONS, images, settings=LOAD | {"learning.eta_start": 0.05 + 0.01 * k})
        for k in range(1, SHARING)
    ]

    def several() -> None:
        raster = first.encode()
        for each in sessions:
            each.train(raster)

    seconds = take_turns({"one": first.train, "several": several}, plan.repeats)
    one = Sample(tuple(len(images) / taken for taken in seconds["one"]))
    each = Sample(tuple(SHARING * len(images) / taken for taken in seconds["several"]))
    return Row(
        OURS, name, f"train {SHARING} networks on one raster, each", "images/s", each, PEER_NEURONS, first.encoder,
        {"of one network's rate": each.over(one)}, first.describe(),
    )  # fmt: skip


def own_table(rows: Sequence[Row]) -> str:
    lines = [
        [row.subject, row.what, row.encoder, "" if row.size is None else str(row.size),
         str(row.sample) if row.sample else row.note,
         "  ".join(f"x{number(ratio.median)} {name}" for name, ratio in row.ratios.items())]
        for row in rows
    ]  # fmt: skip
    heading = ["network", "what", "encoder", "N", "images/s: median (min-max)", "ratio"]
    return table(heading, lines, left=3)


# --- Peers ------------------------------------------------------------------------------------------------------


class Partners:
    """The networks of tinysnn_hw that take turns with the peers."""

    def __init__(self, images: np.ndarray, n_images: int) -> None:
        self.networks = {
            setting: {
                name: Prepared(name, PEER_NEURONS, images[:n_images], settings=settings) for name in NETWORKS
            }
            for setting, settings in PEER_SETTINGS.items()
        }
        self.rates: dict[tuple[str, str, str], list[float]] = {}
        self.spikes: dict[tuple[str, str, str], float] = {}

    def turn(self, setting: str, phase: str, shared: bool) -> dict[str, float]:
        """Run each network once unmeasured and once measured; return images/s by network."""
        found = {}
        for name, prepared in self.networks[setting].items():
            run = prepared.train if phase == "train" else prepared.infer
            raster = prepared.raster if shared else None
            warm = run(raster)
            found[name] = prepared.n_images / seconds_of(lambda run=run, raster=raster: run(raster))
            key = (name, f"{phase}, {'raster shared' if shared else 'encoding included'}", setting)
            self.rates.setdefault(key, []).append(found[name])
            self.spikes[key] = float(warm.counts.sum()) / prepared.n_images
        return found

    def rows(self) -> list[Row]:
        """Return what was measured between the peers' repeats."""
        rows = []
        for (name, what, setting), rates in sorted(self.rates.items()):
            prepared = self.networks[setting][name]
            rows.append(
                Row("peer", OURS, f"{name}, {what} {setting}", "images/s", Sample(tuple(rates)), PEER_NEURONS,
                    prepared.encoder, settings=prepared.describe(),
                    note=f"{number(self.spikes[name, what, setting])} output spikes per image")
            )  # fmt: skip
        return rows


def peer_rows(peer: Peer, partners: Partners, images_file: Path, plan: Plan) -> list[Row]:
    """Measure one peer, its repeats taking turns with tinysnn_hw; a peer that fails says why in its row."""
    rows: list[Row] = []
    shared = peer.section == "layer"
    try:
        python = ready(peer, plan.environments)
        with Process(
            peer, python, images_file, plan.environments / "work" / peer.environment, plan.peer_images
        ) as process:
            versions = ", ".join(f"{name} {text}" for name, text in process.versions.items())
            for case in process.cases:
                what, setting = case.rsplit(" ", 1)
                phase = "train" if what.endswith("train") else "infer"
                rates, ratios = [], {name: [] for name in NETWORKS}
                for _ in range(min(peer.repeats, plan.repeats)):
                    answer = process.repeat(case)
                    rates.append(answer["images_per_s"])
                    for name, ours in partners.turn(setting, phase, shared).items():
                        ratios[name].append(ours / rates[-1])
                spikes = answer["spikes_per_image"]
                row = Row(
                    "peer", peer.name, case, "images/s", Sample(tuple(rates)), PEER_NEURONS, "its own",
                    {name: Sample(tuple(ratios[name])) for name in NETWORKS},
                    f"{versions}; {process.settings}; {answer['n_images']} images a repeat",
                    f"{number(spikes)} output spikes per image; {process.differences}",
                )  # fmt: skip
                rows.append(row)
                print(f"{peer.name:12}{case:44}{row.sample}", flush=True)
    except (NotInstalled, PeerError) as error:
        rows.append(Row("peer", peer.name, "", "images/s", note=str(error)))
        print(f"{peer.name:12}{error}", flush=True)
    return rows


def peer_table(rows: Sequence[Row]) -> str:
    """Return the side-by-side table, with the peers' settings and differences below it."""
    lines, notes = [], {}
    for row in rows:
        if row.sample is None:
            lines.append([row.subject, row.what, row.note, "", "", ""])
            continue
        spikes, _, difference = row.note.partition(" output spikes per image")
        ratios = [
            f"x{number(row.ratios[name].median)} ({number(min(row.ratios[name].values))}-"
            f"{number(max(row.ratios[name].values))})"
            if name in row.ratios
            else ""
            for name in NETWORKS
        ]
        lines.append([row.subject, row.what, str(row.sample), *ratios, spikes])
        if row.subject != OURS:
            notes[row.subject] = (row.settings.rsplit("; ", 1)[0], difference.removeprefix("; "))
    heading = [
        "simulator",
        "what",
        "images/s: median (min-max)",
        *(f"{name} faster" for name in NETWORKS),
        "spikes",
    ]
    below = [f"{name}: {settings}.\n  Not the same: {other}." for name, (settings, other) in notes.items()]
    return "\n".join([table(heading, lines, left=2), "", *below])


# --- One run ----------------------------------------------------------------------------------------------------


def collect(images: dict[str, np.ndarray], plan: Plan) -> tuple[list[Row], str]:
    """Measure everything; return all rows and the tables as text."""
    tables: list[str] = []

    def show(title: str, text: str) -> None:
        tables.append(f"{title}\n{'=' * len(title)}\n{text}\n")
        print("\n" + tables[-1], flush=True)

    rows, limits = own_rows(images["mnist"], plan)
    show("tinysnn_hw, stated load", own_table(rows))
    ceilings = [row for row in limits if row.section == "ceiling"]
    bounds = [row for row in limits if row.section == "limit"]
    lines = [[row.what, number(row.sample.median), row.unit] for row in ceilings if row.sample]
    show("What this core can do at best", table(["loop", "", "unit"], lines))
    show("The limit, and what is reached", limit_table(bounds))
    rows += limits
    if plan.recipes:
        recipes = recipe_rows(images, plan)
        show(f"tinysnn_hw, N={PEER_NEURONS}, other settings", own_table(recipes))
        rows += recipes

    found: list[Row] = []
    if plan.peers:
        partners = Partners(images["mnist"], max(8, plan.images // 2))
        with tempfile.TemporaryDirectory() as folder:
            images_file = Path(folder) / "images.npz"
            np.savez(images_file, images=images["mnist"][:512])
            for peer in plan.peers:
                found += peer_rows(peer, partners, images_file, plan)
        found = partners.rows() + found
        title = f"Side by side, N={PEER_NEURONS}, steps/Hz of a full pixel behind each name"
        show(title, peer_table(found))
    rows += found
    for n_elements in plan.elements:
        arrays = array_rows(n_elements, plan.repeats)
        show(f"Fixed-point arrays, {n_elements:,} elements", array_table(arrays))
        rows += arrays
    return rows, "\n".join(tables)


def chosen_peers(names: Sequence[str]) -> list[Peer]:
    """Return the peers of the names; ``none`` alone is none."""
    if list(names) == ["none"]:
        return []
    by_name = {peer.name.lower(): peer for peer in ALL_PEERS}
    wrong = [name for name in names if name.lower() not in by_name]
    if wrong:
        raise SystemExit(
            f"--peers {wrong[0]!r} is unknown; allowed: none, {', '.join(peer.name for peer in ALL_PEERS)}"
        )
    return [by_name[name.lower()] for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-dir", type=Path, help="folder with the data sets (default: TINYSNN_DATA, cache)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for compare.csv, .txt and .png")
    parser.add_argument(
        "--env-dir", type=Path, default=default_folder(), help="folder of the peers' environments"
    )
    parser.add_argument(
        "--peers", nargs="+", default=[peer.name for peer in ALL_PEERS], help="peers, or none"
    )
    parser.add_argument("--neurons", type=int, nargs="+", default=list(Plan.neurons))
    parser.add_argument("--images", type=int, default=Plan.images, help="images per repeat at N = 400")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument(
        "--elements", type=int, nargs="+", default=list(Plan.elements), help="sizes of arrays"
    )
    options = parser.parse_args()
    peers = chosen_peers(options.peers)
    from figure import draw  # fails before the measurements where matplotlib is missing

    images = {"mnist": load_dataset("mnist", options.data_dir).train_images}
    try:
        images["fashion-mnist"] = load_dataset("fashion-mnist", options.data_dir).train_images
    except TinySnnError as error:
        print(f"fashion-mnist is left out: {error}")
    options.out.mkdir(parents=True, exist_ok=True)
    block = machine(pin())
    heading = "\n".join(f"{name:10}{text}" for name, text in block.items())
    print(heading, flush=True)
    plan = Plan(
        neurons=options.neurons, images=options.images, repeats=options.repeats, peers=peers,
        elements=options.elements, environments=options.env_dir,
    )  # fmt: skip
    rows, text = collect(images, plan)
    facts = [["machine", name, "", "", "", "", "", "", "", "", value, ""] for name, value in block.items()]
    write_csv(options.out / "compare.csv", [*csv_lines(rows), *facts])
    write_text(options.out / "compare.txt", f"{heading}\n\n{text}")
    draw(rows, block, options.out / "compare.png")
    print(f"saved in {options.out}: compare.csv, compare.txt, compare.png")


if __name__ == "__main__":
    main()
