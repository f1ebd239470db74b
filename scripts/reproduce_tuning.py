#!/usr/bin/env python3
"""The recipes of the paper's three networks, tuned with one budget: searched by `tinysnn explore`, then a final.

Every network has a space of its own (models/spaces/tune-*.toml) with as many parameters, trials and images as the
others; the first trial is the recipe. The best trials and the recipe are then trained again, with seeds and spikes the
search has not seen; a trial that beats the recipe is confirmed on training images nothing was judged on before. Test
images are not looked at. What is finished is kept: run it again to go on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from figures import BASELINES, OURS, write_csv, write_whole

from tinysnn_hw.data import Dataset, load_dataset, make_dataset
from tinysnn_hw.errors import StudyError, TinySnnError
from tinysnn_hw.explore import StudyRecord, explore
from tinysnn_hw.explore.candidate import make_candidate, recipe_point
from tinysnn_hw.explore.executors import Executor, make_executor
from tinysnn_hw.explore.work import Batch
from tinysnn_hw.learning import evaluate_many, train_many
from tinysnn_hw.spec.space_load import load_space, with_trials

NETWORKS = (*BASELINES, OURS)
APART = "tinysnn-wta"  # by a space that is wider, and so no comparison
FIRST_SEED = 1  # the searches train with seed 0
BEYOND = 2.0  # standard errors by which a final must exceed the recipe's


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/tuning"), help="folder (default: runs/tuning)")
    add("--data", nargs="+", default=["mnist", "fashion-mnist"], help="data sets")
    add("--data-dir", type=Path, help="folder of the data sets; absent: TINYSNN_DATA, the cache, a download")
    add(
        "--networks",
        nargs="+",
        default=NETWORKS,
        choices=(*NETWORKS, APART),
        help="networks (default: the paper's three)",
    )
    add("--trials", type=int, help="trials of a search; absent: what its space says")
    add("--finalists", type=int, default=2, help="best trials that go on, besides the recipe (default: 2)")
    add("--seeds", type=int, default=2, help="seeds of a final (default: 2)")
    add("--executor", default="local", help="as in tinysnn explore (default: local)")
    return parser.parse_args()


@dataclass(frozen=True, slots=True)
class Final:
    """One training of one finalist."""

    study: StudyRecord
    trial: int
    seed: int

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of the trial."""
        return next(row.parameters for row in self.study.trials if row.number == self.trial)

    @property
    def file(self) -> Path:
        return self.study.folder / "finals" / f"trial-{self.trial}-seed-{self.seed}.json"

    def batch(self) -> Batch:
        """Return the training for an executor."""
        space, protocol = self.study.space, self.study.space.protocol
        return Batch(
            candidates=(make_candidate(space, self.values, Path(self.study.data.name).stem),),
            data=self.study.data,
            label_images=protocol.label_images,
            seeds=(self.seed,),
            spike_seed=self.seed,
            hardware=protocol.hardware,
            objectives=space.search.objectives,
            halving=None,
        )

    def read(self) -> float | None:
        """Return the accuracy; None if it is not there yet."""
        if not self.file.exists():
            return None
        return float(json.loads(self.file.read_text(encoding="utf-8"))["accuracy"])

    def confirm(self, data_dir: Path | None) -> float:
        """Return the accuracy on the images before those held out in the search, which train here."""
        file = self.file.with_name(f"other-images-{self.file.name}")
        if not file.exists():
            data = other_images(load_dataset(self.study.data.name, data_dir), self.study.data.holdout)
            (candidate,), label = self.batch().candidates, self.study.space.protocol.label_images
            models = train_many([candidate.network], data, seeds=[self.seed], spike_seed=self.seed)
            accuracy = evaluate_many(models, data, label_images=label)[0].accuracy
            text = (
                json.dumps({"parameters": self.values, "seed": self.seed, "accuracy": accuracy}, indent=1)
                + "\n"
            )
            write_whole(file, lambda target: target.write_text(text, encoding="utf-8"), quiet=True)
        return float(json.loads(file.read_text(encoding="utf-8"))["accuracy"])

    def keep(self, result: Mapping[str, Any]) -> None:
        text = json.dumps({"parameters": self.values, "seed": self.seed, **result}, indent=1) + "\n"
        write_whole(self.file, lambda file: file.write_text(text, encoding="utf-8"), quiet=True)


def other_images(data: Dataset, n: int) -> Dataset:
    """Return a data set that holds out the `n` training images before the last `n`, and trains on all others."""
    end = data.n_train - n
    held, rest = np.arange(end - n, end), np.r_[: end - n, end : data.n_train]
    images, labels = data.train_images, data.train_labels
    return make_dataset(
        f"{data.name}[holdout {end - n}..{end - 1}]", images[rest], labels[rest], images[held], labels[held],
        n_classes=data.n_classes, image_shape=data.image_shape, source=data.source,
    )  # fmt: skip


def finals_of(study: StudyRecord, chosen: argparse.Namespace) -> Iterator[Final]:
    """Yield the trainings of the recipe and of the best other trials."""
    best = sorted(study.distinct, key=lambda row: (-row.result["accuracy"], row.number))
    own = recipe_point(study.space, Path(study.data.name).stem)
    recipe = next((row.number for row in best if row.parameters == own), None)
    if recipe is None:
        raise StudyError(
            f"{study.folder}: no finished trial has the values of the recipe; if the recipe has changed since the "
            "study began, name a new --out"
        )
    others = [row.number for row in best if row.number != recipe][: chosen.finalists]
    for trial in (recipe, *others):
        for seed in range(FIRST_SEED, FIRST_SEED + chosen.seeds):
            yield Final(study, trial, seed)


def train(finals: Sequence[Final], executor: Executor) -> None:
    """Train what is not there yet."""
    due = [one for one in finals if one.read() is None]
    for place, one in enumerate(due):
        while not executor.free:
            take(executor)
        print(f"final {place + 1} of {len(due)}: {one.file}", file=sys.stderr, flush=True)
        executor.submit(one, one.batch())
    while executor.running:
        take(executor)


def take(executor: Executor) -> None:
    """Keep what has come back."""
    for done in executor.wait(timeout_s=5.0):
        if done.error is not None:
            raise done.error
        (outcome,) = done.result.outcomes
        if outcome.state != "complete":
            raise StudyError(f"{done.key.file}: {outcome.reason}")
        done.key.keep(outcome.result)


def rows_of(finals: Sequence[Final]) -> list[dict[str, Any]]:
    """Return a row per finalist; the standard error pools the spread of the seeds over all finalists."""
    found: dict[tuple[str, str, int], list[float]] = {}
    values: dict[tuple[str, str, int], dict[str, Any]] = {}
    searched: dict[tuple[str, str, int], float] = {}
    for one in finals:
        place = (one.study.data.name, one.study.space.network, one.trial)
        found.setdefault(place, []).append(one.read())
        values[place] = one.values
        searched[place] = next(row.result["accuracy"] for row in one.study.trials if row.number == one.trial)
    n = len(next(iter(found.values())))
    spread = float(np.sqrt(np.mean([np.var(each, ddof=1) for each in found.values()])))
    error = spread * (2 / n) ** 0.5
    rows = []
    for (data, network, trial), accuracies in found.items():
        recipe = next(key for key in found if key[:2] == (data, network))  # its finals come first
        less = float(np.mean(accuracies) - np.mean(found[recipe]))
        rows.append(
            {
                "data": data, "network": network, "trial": trial, "searched": round(searched[data, network, trial], 2),
                "mean": round(float(np.mean(accuracies)), 3), "lowest": min(accuracies), "highest": max(accuracies),
                "less_recipe": round(less, 3), "standard_error": round(error, 3), "beyond": less > BEYOND * error,
                "parameters": json.dumps(
                    {key: float(f"{v:.4g}") if isinstance(v, float) else v
                     for key, v in values[data, network, trial].items()}
                ),
            }
        )  # fmt: skip
    return rows


def confirm(rows: Sequence[dict[str, Any]], finals: Sequence[Final], data_dir: Path | None) -> None:
    """Add to every row that beats its recipe the difference on other images; empty for the rest."""
    for row in rows:
        row["less_recipe_other_images"] = ""
        if not row["beyond"]:
            continue
        own = [
            one
            for one in finals
            if (one.study.data.name, one.study.space.network) == (row["data"], row["network"])
        ]
        found = {
            trial: np.mean([one.confirm(data_dir) for one in own if one.trial == trial])
            for trial in (own[0].trial, row["trial"])
        }
        row["less_recipe_other_images"] = round(float(found[row["trial"]] - found[own[0].trial]), 3)


def markdown(rows: Sequence[Mapping[str, Any]], chosen: argparse.Namespace) -> str:
    lines = [
        f"Held-out accuracy [%], naive Bayes, {chosen.seeds} seeds [lowest..highest]; standard error of a difference "
        f"{rows[0]['standard_error']:.2f} points (spread of the seeds, pooled); a network's first row is its recipe.",
        "",
        "| data | network | trial | in the search | final | less recipe | the same on other images | parameters |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        mark = " *" if row["beyond"] else ""
        final = f"{row['mean']:.2f} [{row['lowest']:.2f}..{row['highest']:.2f}]"
        other = row["less_recipe_other_images"]
        cells = (
            row["data"], row["network"], row["trial"], f"{row['searched']:.2f}", final,
            f"{row['less_recipe']:+.2f}{mark}", "" if other == "" else f"{other:+.2f}", row["parameters"],
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, "", f"* more than {BEYOND:g} standard errors above the recipe."]) + "\n"


def standing(network: str, data: str):
    """Return what says how far a search is."""
    return lambda now: print(
        f"{network} {data}: {now.done} of {now.total} trials", file=sys.stderr, flush=True
    )


def main() -> None:
    chosen = arguments()
    if chosen.seeds < 2:
        raise SystemExit(
            f"error: --seeds {chosen.seeds}: at least 2 are required; their spread is the measure"
        )
    try:
        finals: list[Final] = []
        for network in chosen.networks:
            for data in chosen.data:
                space = with_trials(load_space(f"tune-{network}"), chosen.trials)
                study = explore(
                    space, data, chosen.out / f"{network}-{data}", data_dir=chosen.data_dir, executor=chosen.executor,
                    progress=standing(network, data),
                ).study  # fmt: skip
                finals += finals_of(study, chosen)
        executor = make_executor(chosen.executor)
        try:
            train(finals, executor)
        finally:
            executor.close()
        rows = rows_of(finals)
        confirm(rows, finals, chosen.data_dir)
    except TinySnnError as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command goes on from what is finished") from None
    said = markdown(rows, chosen)
    write_csv(chosen.out / "tuning.csv", rows)
    write_whole(chosen.out / "tuning.md", lambda file: file.write_text(said, encoding="utf-8"))
    sys.stdout.write(said)


if __name__ == "__main__":
    main()
