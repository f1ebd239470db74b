"""The figure of benchmarks/compare.py: tinysnn_hw beside its peers, against the limit, and fixed-point arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import Row, number
from matplotlib.figure import Figure
from networks import DEFAULT_ENCODER

OURS, PEER, LIMIT = "#0b6e99", "#b9b9b9", "#c0392b"
SETTING = "350/63.75"


def bars(axes, named: Sequence[tuple[str, Row]]) -> None:
    """Draw medians as horizontal bars on a logarithmic axis, with the range of the repeats."""
    for place, (label, row) in enumerate(reversed(named)):
        assert row.sample is not None
        median = row.sample.median
        spread = [[median - min(row.sample.values)], [max(row.sample.values) - median]]
        color = OURS if "tinysnn" in label else PEER
        axes.barh(place, median, color=color, xerr=spread, error_kw={"lw": 1, "ecolor": "#444444"})
        axes.annotate(
            f"  {number(median)}", (max(row.sample.values), place), va="center", fontsize=8, color="#222222"
        )
    axes.set_yticks(range(len(named)), [label for label, _ in reversed(named)], fontsize=8)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 4)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)


def peers_panel(axes, rows: Sequence[Row], phase: str) -> None:
    chosen = [
        row for row in rows
        if row.section == "peer" and row.sample and row.what.endswith(SETTING) and f"{phase}" in row.what
        and "layer" not in row.what and "shared" not in row.what
    ]  # fmt: skip
    chosen.sort(key=lambda row: -row.sample.median if row.sample else 0.0)
    named = []
    for row in chosen:
        model = row.what.split(",")[0]
        label = (
            f"tinysnn_hw\n{model} ({row.encoder})"
            if row.subject == "tinysnn_hw"
            else f"{row.subject}\n{model}"
        )
        named.append((label, row))
    bars(axes, named)
    axes.set_xlabel("images/s")
    axes.set_title(f"{phase}, N=400, 350 steps, 63.75 Hz", fontsize=10)


def limit_panel(axes, rows: Sequence[Row]) -> None:
    for phase, style in (("train", "-"), ("infer", "--")):
        what = f"{phase}, encoding included"
        for network, color in (("tinysnn-wta", OURS), ("tinysnn", "#e08e0b")):
            for section, width, tone in (("tinysnn_hw", 2.0, color), ("limit", 1.0, LIMIT)):
                if section == "limit" and network != "tinysnn-wta":
                    continue
                found = [
                    row for row in rows
                    if (row.section, row.subject, row.what, row.encoder) == (section, network, what, DEFAULT_ENCODER)
                    and row.sample and row.size
                ]  # fmt: skip
                label = f"limit ({network}), {phase}" if section == "limit" else f"{network}, {phase}"
                axes.plot(
                    [row.size for row in found], [row.sample.median for row in found if row.sample],
                    style, marker="o" if section != "limit" else None, ms=4, lw=width, color=tone, label=label,
                )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("neurons")
    axes.set_ylabel("images/s")
    axes.set_title("tinysnn_hw and the limit of this core, encoding included", fontsize=10)
    axes.legend(fontsize=8)
    axes.grid(color="#eeeeee")


def arrays_panel(axes, rows: Sequence[Row]) -> None:
    arrays = [row for row in rows if row.section == "array" and row.sample]
    smallest = min((row.size or 0 for row in arrays), default=0)
    chosen = [
        row for row in arrays
        if row.size == smallest and row.what.startswith(("quantize", "requantize", "copy of the float64"))
    ]  # fmt: skip
    named = [
        (f"{row.subject}\n{row.what}", row)
        for row in sorted(chosen, key=lambda row: -row.sample.median if row.sample else 0.0)
    ]
    bars(axes, named)
    axes.set_xlabel("million elements/s")
    axes.set_title(f"fixed-point arrays, {smallest:,} elements", fontsize=10)


def draw(rows: Sequence[Row], block: Mapping[str, str], path: Path) -> None:
    """Draw the figure into a PNG file."""
    figure = Figure(figsize=(14, 10), layout="constrained")
    axes = figure.subplots(2, 2)
    peers_panel(axes[0, 0], rows, "train")
    peers_panel(axes[0, 1], rows, "infer")
    limit_panel(axes[1, 0], rows)
    arrays_panel(axes[1, 1], rows)
    figure.suptitle(f"One core, one thread: {block['cpu']}, {block['time']}", fontsize=11)
    unfinished = path.with_name(path.name + ".part")
    figure.savefig(unfinished, dpi=120, format="png")
    unfinished.replace(path)
