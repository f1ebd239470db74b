#!/usr/bin/env python3
"""Figure 6 of the paper: accuracy of baseline, SL-STDP and tinySNN over precisions, post- and in-training quantization.

Quantized are the weights alone (the paper's qW): b bits are the format u0.b. Everything else keeps the format of its
recipe: 16-bit potentials and thresholds, 24-bit theta. What the paper runs in FP32 runs here in float64. Post-training
quantization (ptq) cuts the weights of that float64 network once; in-training (in_place) cuts them at every update.

Each finished cell is kept in a file named by the digest of all that decides it: kill the program, and run it again to
go on. All precisions of one network, seed and rounding mode are shown the same spikes, encoded once.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from figures import BASELINES, COLOURS, OURS, arguments, pyplot_or_none, write_csv, write_whole
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from scipy.stats import t as student

from tinysnn_hw import load_dataset
from tinysnn_hw.data import Dataset
from tinysnn_hw.errors import TinySnnError
from tinysnn_hw.learning import Model, evaluate_many, load_model, save_model, train_many
from tinysnn_hw.quantize import quantize
from tinysnn_hw.records import Result
from tinysnn_hw.spec import NetworkSpec, load_network
from tinysnn_hw.version import NUMERIC_VERSION

APART = "tinysnn-wta"
NETWORKS = (*BASELINES, OURS, APART)
QUANTIZED = (OURS, APART)
BITS = (16, 14, 12, 10, 8, 6, 5, 4, 3)
SCHEMES = ("ptq", "in_place")
ROUNDINGS = ("floor", "nearest", "stochastic")
READOUTS = ("naive_bayes", "weighted_vote", "mean_rate")
CONFIDENCE = 0.95
NOTE = (
    "The three networks are tuned with one budget (scripts/reproduce_tuning.py); `sl-stdp` is our reading of "
    "Srinivasan et al. 2017."
)
# Microseconds per image of one network with 400 neurons on one core of an AMD Zen 3, for bar and estimate.
COSTS = {"train": 110.0, "show": 80.0, "train float64": 320.0, "show float64": 225.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One trained network of the figure; ``rounding`` is empty and ``bits`` is 0 for float64."""

    data: str
    network: str
    seed: int
    scheme: str
    rounding: str = ""
    bits: int = 0

    @property
    def settings(self) -> dict[str, str]:
        """What differs from the recipe in training."""
        if self.scheme != "in_place":
            return {}
        return {"formats.weight.format": f"u0.{self.bits}", "formats.weight.rounding": self.rounding}


def options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--data",
        nargs="+",
        default=["mnist", "fashion-mnist"],
        help="data sets (default: mnist fashion-mnist)",
    )
    add("--data-dir", type=Path, help="folder of the data sets; absent: TINYSNN_DATA, the cache, a download")
    add("--networks", nargs="+", default=NETWORKS, choices=NETWORKS, help="networks (default: all)")
    add(
        "--bits",
        nargs="+",
        type=int,
        default=BITS,
        help=f"bits of a weight (default: {' '.join(map(str, BITS))})",
    )
    add("--seeds", type=int, default=5, help="seeds, counted from 0 (default: 5)")
    add("--limit", type=int, help="first so many images of training and of test; absent: all")
    add("--label-images", type=int, help="first so many training images label the neurons; absent: all")
    add("--threads", type=int, help="threads; absent: all cores")
    add(
        "--readout",
        default=READOUTS[0],
        choices=READOUTS,
        help="readout drawn; the CSV has all (default: %(default)s)",
    )


def groups(chosen: argparse.Namespace) -> Iterator[list[Cell]]:
    """Yield the cells that are computed together; a whole figure of the first seed comes before the second."""
    for seed, data, network in itertools.product(range(chosen.seeds), chosen.data, chosen.networks):
        yield [Cell(data=data, network=network, seed=seed, scheme="float64")]
        if network in QUANTIZED:
            for scheme, rounding in itertools.product(SCHEMES, ROUNDINGS):
                yield [
                    Cell(data=data, network=network, seed=seed, scheme=scheme, rounding=rounding, bits=bits)
                    for bits in chosen.bits
                ]


class Run:
    """Computes cells, keeps each in a file, and says how far it is.

    Parameters
    ----------
    chosen : argparse.Namespace
    data : mapping of str to Dataset
    """

    def __init__(self, chosen: argparse.Namespace, data: Mapping[str, Dataset]) -> None:
        self.chosen = chosen
        self.data = data
        self.folder = chosen.out / "fig6-cells"
        self.spec = cache(self._spec)
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TextColumn("remaining"), TimeRemainingColumn(), console=Console(stderr=True), speed_estimate_period=1800.0,
        )  # fmt: skip

    def _spec(self, network: str, data: str, settings: tuple[tuple[str, str], ...] = ()) -> NetworkSpec:
        return load_network(network, recipe=data, neurons=self.chosen.neurons, settings=dict(settings))

    def trained_spec(self, cell: Cell) -> NetworkSpec:
        """Return the network that is trained for a cell."""
        return self.spec(cell.network, cell.data, tuple(cell.settings.items()))

    def key(self, cell: Cell, *, trained: bool = False) -> str:
        """Return the digest of everything that decides the result of a cell, or its trained network alone."""
        config = {
            "numeric_version": NUMERIC_VERSION,
            "network": self.trained_spec(cell).model_dump(mode="json", exclude={"summary"}),
            "data": self.data[cell.data].digests._asdict(),
            "label_images": None if trained else self.label_images(cell),
            "seed": cell.seed,
            "scheme": cell.scheme,
            "quantized": [f"u0.{cell.bits}", cell.rounding] if cell.scheme == "ptq" else None,
        }
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:32]

    def label_images(self, cell: Cell) -> int:
        """Return how many training images label the neurons."""
        n_train = self.data[cell.data].n_train
        return min(self.chosen.label_images or n_train, n_train)

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """Return a finished cell; None if it is not there."""
        file = self.folder / f"{self.key(cell)}.json"
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise SystemExit(
                f"error: {file}: not a finished cell ({error}); delete it and run again"
            ) from error

    def keep(self, cell: Cell, result: Result) -> None:
        """Write a finished cell."""
        found = {
            "data": self.data[cell.data].name, "network": cell.network, "neurons": self.chosen.neurons,
            "scheme": cell.scheme, "rounding": cell.rounding, "bits": cell.bits or "", "seed": cell.seed,
            **{name: round(result.readouts[name], 6) for name in READOUTS},
            "spikes_per_image": result.spikes_per_image, "silent_images": result.silent_images, "cell": self.key(cell),
        }  # fmt: skip
        text = json.dumps(found, indent=1) + "\n"
        write_whole(
            self.folder / f"{found['cell']}.json",
            lambda file: file.write_text(text, encoding="utf-8"),
            quiet=True,
        )

    def compute(self, plan: Sequence[Sequence[Cell]]) -> None:
        """Compute every cell that is not there yet."""
        due = [[cell for cell in group if self.read(cell) is None] for group in plan]
        due = [group for group in due if group]
        total, left = sum(len(group) for group in plan), sum(len(group) for group in due)
        hours = sum(self.cost(group) for group in due) / 3.6e9
        print(
            f"{left} of {total} cells to compute, about {hours:.2f} core-hours", file=sys.stderr, flush=True
        )
        with self.progress as bar:
            self.task = bar.add_task("", total=sum(self.cost(group) for group in due))
            for group in due:
                first = group[0]
                what = f"{first.data} {first.network} {first.scheme} {first.rounding}".strip()
                bar.update(self.task, description=f"{what}, seed {first.seed}")
                for cell, result in zip(group, self.results(group), strict=True):
                    self.keep(cell, result)
                left -= len(group)
                if not bar.console.is_terminal:
                    print(f"{what}, seed {first.seed}: done, {left} cells left", file=sys.stderr, flush=True)

    def results(self, group: Sequence[Cell]) -> list[Result]:
        """Return the results of cells of one network, data set, seed, scheme and rounding mode."""
        first = group[0]
        if first.scheme == "in_place":
            models = self.train([self.trained_spec(cell) for cell in group], first, "fixed")
        else:
            models = [self.twin(first)]
        if first.scheme == "ptq":
            models = [
                quantize(models[0], weight=f"u0.{cell.bits}", rounding=cell.rounding, seed=cell.seed)
                for cell in group
            ]
        return evaluate_many(
            models,
            self.data[first.data],
            label_images=self.label_images(first),
            threads=self.chosen.threads,
            progress=self.say(models[0].arithmetic),
        )

    def twin(self, cell: Cell) -> Model:
        """Return the float64 network, trained once and kept for post-training quantization."""
        source = Cell(data=cell.data, network=cell.network, seed=cell.seed, scheme="float64")
        folder = self.chosen.out / "fig6-models" / self.key(source, trained=True)
        if folder.exists():
            return load_model(folder)
        (model,) = self.train([self.trained_spec(source)], source, "float64")
        save_model(model, folder)
        return model

    def train(self, specs: Sequence[NetworkSpec], cell: Cell, arithmetic: str) -> list[Model]:
        return train_many(
            specs, self.data[cell.data], seeds=[cell.seed], spike_seed=cell.seed, arithmetic=arithmetic,
            threads=self.chosen.threads, progress=self.say(arithmetic),
        )  # fmt: skip

    def cost(self, group: Sequence[Cell]) -> float:
        """Return how long a group takes, in the unit of COSTS."""
        first, data = group[0], self.data[group[0].data]
        kind = " float64" if first.scheme == "float64" else ""
        one = COSTS[f"show{kind}"] * (self.label_images(first) + data.n_test)
        if first.scheme != "ptq":
            one += COSTS[f"train{kind}"] * data.n_train * self.trained_spec(first).learning.epochs
        return one * len(group)

    def say(self, arithmetic: str):
        """Return a function that moves the bar by what train_many and evaluate_many report."""
        seen: dict[str, int] = {}

        def progress(stage: str, done: int, total: int) -> None:
            what = "train" if stage.startswith("train") else "show"
            cost = COSTS[what if arithmetic == "fixed" else f"{what} float64"]
            self.progress.update(self.task, advance=cost * (done - seen.get(stage, 0)))
            seen[stage] = done

        return progress


# --- What was found ------------------------------------------------------------------------------------


class Table:
    """Accuracies of finished cells, seed by seed."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], readout: str) -> None:
        self.found: dict[tuple[str, str, str, str, int], dict[int, float]] = {}
        for row in rows:
            place = (row["data"], row["network"], row["scheme"], row["rounding"], row["bits"] or 0)
            self.found.setdefault(place, {})[row["seed"]] = row[readout]

    def seeds(self, data: str, network: str, scheme: str, rounding: str = "", bits: int = 0) -> np.ndarray:
        by_seed = self.found[data, network, scheme, rounding, bits]
        return np.array([by_seed[seed] for seed in sorted(by_seed)])


def interval(values: np.ndarray) -> float:
    """Return half the width of Student's confidence interval of the mean; not a number for one seed."""
    n = len(values)
    if n < 2:
        return float("nan")
    return float(student.ppf(0.5 + CONFIDENCE / 2, n - 1) * values.std(ddof=1) / n**0.5)


def text(values: np.ndarray) -> str:
    """Return mean and confidence interval."""
    return f"{values.mean():.2f}" + ("" if len(values) < 2 else f" ± {interval(values):.2f}")


def markdown(table: Table, data: Sequence[str], chosen: argparse.Namespace) -> str:
    """Return the tables of accuracies and of differences."""
    spread = f"mean ± {CONFIDENCE:.0%} confidence interval (Student) of" if chosen.seeds > 1 else "of"
    what = (
        f"Accuracy [%], {chosen.readout}, N={chosen.neurons}, {spread} {chosen.seeds} seed(s); weights u0.b; "
        f"neurons labelled by {f'the first {chosen.label_images:,}' if chosen.label_images else 'all'} training images."
    )
    lines = [what, "", NOTE, ""]
    head = ["network", "quantization", "rounding", "float64", *(f"{bits} bits" for bits in chosen.bits)]
    for name in data:
        lines += [f"{name}:", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for network in chosen.networks:
            real = text(table.seeds(name, network, "float64"))
            if network not in QUANTIZED:
                lines.append("| " + " | ".join([network, "", "", real, *[""] * len(chosen.bits)]) + " |")
                continue
            for scheme, rounding in itertools.product(SCHEMES, ROUNDINGS):
                cells = [text(table.seeds(name, network, scheme, rounding, bits)) for bits in chosen.bits]
                lines.append("| " + " | ".join([network, scheme, rounding, real, *cells]) + " |")
        lines.append("")
    return "\n".join(lines + differences(table, data, chosen)) + "\n"


def differences(table: Table, data: Sequence[str], chosen: argparse.Namespace) -> list[str]:
    """Return how far every network at 8 bits is from the float64 baselines."""
    others = [name for name in BASELINES if name in chosen.networks]
    ours = [name for name in QUANTIZED if name in chosen.networks]
    if 8 not in chosen.bits or not others or not ours:
        return []
    head = ["data", "network", *(f"less {name} float64" for name in others)]
    lines = [
        "Difference [points], the same seeds paired:",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for name, network in itertools.product(data, ours):
        places = [("float64", "", 0), *((*both, 8) for both in itertools.product(SCHEMES, ROUNDINGS))]
        for scheme, rounding, bits in places:
            what = f"{network} {f'{bits} bits {scheme} {rounding}' if bits else scheme}"
            own = table.seeds(name, network, scheme, rounding, bits)
            cells = [text(own - table.seeds(name, other, "float64")) for other in others]
            lines.append("| " + " | ".join([name, what, *cells]) + " |")
    return [*lines, ""]


def draw(target: Path, table: Table, data: Sequence[str], chosen: argparse.Namespace) -> None:
    """Draw accuracy over bits: one row per data set, one column per quantized network."""
    pyplot = pyplot_or_none()
    ours = [name for name in QUANTIZED if name in chosen.networks]
    if pyplot is None or not ours:
        return
    figure, axes = pyplot.subplots(
        len(data), len(ours), figsize=(6 * len(ours), 4 * len(data)), squeeze=False
    )
    places = np.arange(len(chosen.bits))
    shades = dict(zip(ROUNDINGS, ("#d62728", "#2ca02c", "#1f77b4"), strict=True))
    for (name, network), axis in zip(itertools.product(data, ours), axes.flat, strict=True):
        for other in (*(one for one in BASELINES if one in chosen.networks), network):
            values = table.seeds(name, other, "float64")
            colour, label = (
                (COLOURS[other], f"{other} float64") if other in BASELINES else ("black", "float64")
            )
            axis.axhline(values.mean(), color=colour, linestyle=":", label=label)
            if len(values) > 1:
                half = interval(values)
                axis.axhspan(values.mean() - half, values.mean() + half, color=colour, alpha=0.1)
        for scheme, rounding in itertools.product(SCHEMES, ROUNDINGS):
            cells = [table.seeds(name, network, scheme, rounding, bits) for bits in chosen.bits]
            axis.errorbar(
                places, [cell.mean() for cell in cells], [interval(cell) for cell in cells], color=shades[rounding],
                linestyle="-" if scheme == "in_place" else "--", marker="o" if scheme == "in_place" else "x",
                markersize=4, linewidth=1, capsize=2, label=f"{scheme} {rounding}",
            )  # fmt: skip
        axis.set_xticks(places, [str(bits) for bits in chosen.bits])
        axis.set_title(f"{network}, {name}", fontsize=10)
        axis.set_xlabel("bits of a weight")
        axis.set_ylabel(f"accuracy [%], {chosen.readout}")
        top = max(np.mean(list(found.values())) for place, found in table.found.items() if place[0] == name)
        axis.set_ylim(max(0.0, top - 12.0), top + 1.0)
    axes.flat[0].legend(fontsize=6, loc="lower left")
    figure.tight_layout()
    write_whole(target, lambda file: figure.savefig(file, dpi=150))
    pyplot.close(figure)


def main() -> None:
    chosen = arguments(__doc__.splitlines()[0], options)
    for name in ("seeds", "label_images"):
        if (value := getattr(chosen, name)) is not None and value < 1:
            raise SystemExit(f"error: --{name.replace('_', '-')} {value}: at least 1 is required")
    try:
        data = {name: load_dataset(name, chosen.data_dir) for name in chosen.data}
        if chosen.limit is not None:
            data = {
                name: each.limit(min(chosen.limit, each.n_train), min(chosen.limit, each.n_test))
                for name, each in data.items()
            }
        run, plan = Run(chosen, data), list(groups(chosen))
        run.compute(plan)
    except TinySnnError as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command goes on from what is finished") from None
    rows = [row for group in plan for cell in group if (row := run.read(cell)) is not None]
    table = Table(rows, chosen.readout)
    names = [each.name for each in data.values()]
    said = markdown(table, names, chosen)
    write_csv(chosen.out / "fig6.csv", rows)
    write_whole(chosen.out / "fig6.md", lambda file: file.write_text(said, encoding="utf-8"))
    draw(chosen.out / "fig6.png", table, names, chosen)
    sys.stdout.write(said)


if __name__ == "__main__":
    main()
