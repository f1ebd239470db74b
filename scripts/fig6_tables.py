"""The tables and the drawing of figure 6, from the rows of finished cells."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fig6_cells import QUANTIZED, ROUNDINGS, SCHEMES
from figures import BASELINES, COLOURS, pyplot_or_none, write_whole
from scipy.stats import t as student

CONFIDENCE = 0.95
NOTE = (
    "The three networks are tuned with one budget (scripts/reproduce_tuning.py); `sl-stdp` is our reading of "
    "Srinivasan et al. 2017."
)


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
