"""The cells of figure 6: one trained network each, kept in a file named by the digest of all that decides it."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from figures import BASELINES, OURS, write_whole
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tinysnn_hw.data import Dataset
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
