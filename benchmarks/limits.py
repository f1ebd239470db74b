"""The limit: how fast this core could run the load at best, and the fraction of it that tinysnn_hw reaches.

    python benchmarks/limits.py --data-dir FOLDER [--neurons 400]

The least time of an image is counted from its exact events, each at the fastest rate measured on this core:

- every input event reads one weight row (N bytes, filled up to whole vectors) and adds it to 16-bit sums,
- every step passes once over all neurons,
- every input event draws one random word (not counted where the raster is shared),
- in training every learned or normalised column draws a word per weight where rounding is stochastic, and is
  stored into the matrix the rows are read from.

Everything else (winners, inhibition, counting, traces, finding the events, calls) counts as nothing, so it is a
bound and no forecast. Rows count as read from L1, the fastest; a second figure takes the cache in which the rows
of one image fit.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from ceilings import Ceilings, lanes_of, measure_ceilings
from harness import REPEATS, Row, Sample, machine, number, pin, table
from networks import ENCODERS, NETWORKS, Prepared, images_per_repeat, measure

from tinysnn_hw.data import Raster, load_dataset
from tinysnn_hw.engine.params import ACTIVITY
from tinysnn_hw.fixed import Rounding


@dataclass(frozen=True)
class Events:
    """Exact counts per image."""

    steps: int
    inputs: float
    active_inputs: float
    """Different weight rows read."""
    columns: float
    """Columns learned or normalised (0 in inference)."""


def events_of(raster: Raster, activity: Sequence[int] | None) -> Events:
    """Return the counts of a raster and, in training, of the activity a run reported."""
    active = [
        len(np.unique(raster.inputs[raster.offsets[i, 0] : raster.offsets[i, -1]]))
        for i in range(min(raster.n_images, 200))
    ]
    columns = 0.0
    if activity is not None:
        counted = dict(zip(ACTIVITY, activity, strict=True))
        columns = int(counted["updates"] + counted["normalizations"]) / raster.n_images
    return Events(raster.n_steps, raster.n_events / raster.n_images, float(np.mean(active)), columns)


@dataclass(frozen=True)
class Bound:
    """Least seconds per image, by part."""

    rows: float
    passes: float
    draws: float
    learning: float
    rows_where_they_fit: float
    level: str

    def seconds(self, *, shared: bool, fitting: bool = False) -> float:
        rows = self.rows_where_they_fit if fitting else self.rows
        return rows + self.passes + self.learning + (0.0 if shared else self.draws)


def bound_of(events: Events, neurons: int, n_inputs: int, stochastic: bool, ceilings: Ceilings) -> Bound:
    """Return the bound of one image."""
    row_bytes = lanes_of(neurons)
    level = ceilings.level(events.active_inputs * row_bytes)
    column = ceilings.scatter[neurons] + (n_inputs * ceilings.draw if stochastic else 0.0)
    return Bound(
        rows=events.inputs * row_bytes * ceilings.row_add["L1"],
        passes=events.steps * ceilings.lif_pass[neurons],
        draws=events.inputs * ceilings.draw,
        learning=events.columns * column,
        rows_where_they_fit=events.inputs * row_bytes * ceilings.row_add[level],
        level=level,
    )


@dataclass(frozen=True)
class Counted:
    """What the bounds of one network are computed from."""

    neurons: int
    n_inputs: int
    stochastic: bool
    events: dict[str, Events]
    """By phase, ``train`` and ``infer``."""


def counted(prepared: Prepared) -> Counted:
    """Return the exact event counts of a network on its raster."""
    spec = prepared.spec
    return Counted(
        prepared.neurons,
        spec.network.inputs,
        spec.formats.weight.rounding == Rounding.STOCHASTIC,
        {
            "train": events_of(prepared.raster, prepared.train(prepared.raster).activity),
            "infer": events_of(prepared.raster, None),
        },
    )


def limit_rows(load: Counted, measured: Sequence[Row], ceilings: Ceilings) -> list[Row]:
    """Return one row per measured rate of a network: its bound [images/s] and the fraction reached."""
    rows = []
    for row in measured:
        phase = row.what.split(",")[0]
        if row.sample is None or phase not in load.events or "twin" in row.what:
            continue
        events, shared = load.events[phase], "shared" in row.what
        bound = bound_of(events, load.neurons, load.n_inputs, load.stochastic, ceilings)
        limit, fitting = (1.0 / bound.seconds(shared=shared, fitting=f) for f in (False, True))
        parts = {
            "rows": bound.rows,
            "LIF passes": bound.passes,
            "draws": 0.0 if shared else bound.draws,
            "learning": bound.learning,
        }
        spent = ", ".join(f"{name} {number(1e6 * seconds)}" for name, seconds in parts.items() if seconds)
        rows.append(
            Row(
                "limit", row.subject, row.what, "images/s", Sample((limit,)), row.size, row.encoder,
                {
                    "reached": Sample(tuple(value / limit for value in row.sample.values)),
                    f"reached, rows from {bound.level}": Sample(
                        tuple(value / fitting for value in row.sample.values)
                    ),
                },
                note=f"least time of an image [us]: {spent}; measured {number(1e6 / row.sample.median)}; "
                f"{events.inputs:,.0f} events, {events.active_inputs:.0f} different rows, {events.columns:.1f} "
                "columns written",
            )
        )  # fmt: skip
    return rows


def ceiling_rows(ceilings: Ceilings) -> list[Row]:
    return [
        Row("ceiling", "this core", name, unit, Sample((value,))) for name, value, unit in ceilings.lines()
    ]


def percent(part: Sample) -> str:
    """Return the median of fractions and their range: the limit is a best rate, and so is the upper end."""
    low, high = (100 * end(part.values) for end in (min, max))
    return f"{100 * part.median:.0f} ({low:.0f}-{high:.0f})"


def limit_table(rows: Sequence[Row]) -> str:
    """Return the table of bounds and fractions."""
    lines = []
    for row in rows:
        reached, fitting = row.ratios.values()
        level = list(row.ratios)[1].rsplit(" ", 1)[1]
        assert row.sample is not None
        lines.append(
            [row.subject, row.what, row.encoder, str(row.size), number(row.sample.median),
             percent(reached), f"{percent(fitting)} {level}"]
        )  # fmt: skip
    heading = ["network", "what", "encoder", "N", "limit images/s", "reached [%]", "rows where they fit [%]"]
    return table(heading, lines, left=3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-dir", type=Path, help="folder with the MNIST files (default: TINYSNN_DATA, cache)"
    )
    parser.add_argument("--neurons", type=int, nargs="+", default=[100, 400, 1600, 6400])
    parser.add_argument("--images", type=int, default=2000, help="images per repeat at N = 400")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    cores = pin()
    print("\n".join(f"{name:10}{text}" for name, text in machine(cores).items()), "\n")
    images = load_dataset("mnist", options.data_dir).train_images
    ceilings = measure_ceilings(options.neurons)
    found = []
    for neurons in options.neurons:
        for name, encoder in product(NETWORKS, ENCODERS):
            prepared = Prepared(name, neurons, images[: images_per_repeat(neurons, options.images)], encoder)
            found.append((counted(prepared), measure(prepared, options.repeats)))
    ceilings = ceilings.best(measure_ceilings(options.neurons))
    for name, value, unit in ceilings.lines():
        print(f"{name:48}{number(value):>10} {unit}")
    rows = [row for load, measured in found for row in limit_rows(load, measured, ceilings)]
    print("\n" + limit_table(rows) + "\n")
    for row in rows:
        print(f"{row.subject} N={row.size} {row.what}: {row.note}")


if __name__ == "__main__":
    main()
