"""What the figure scripts share: the bars of the paper, CSV and PNG files written whole, and the comparison."""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

PRECISIONS = (16, 14, 12, 10, 8, 6, 4)
BASELINES = ("baseline", "sl-stdp")
OURS = "tinysnn"
COLOURS = {"baseline": "#7f7f7f", "sl-stdp": "#bcbd22", "tinysnn": "#1f77b4"}


def arguments(
    description: str, add: Callable[[argparse.ArgumentParser], None] = lambda parser: None
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--out", type=Path, default=Path("figures"), help="folder to write to (default: figures)"
    )
    parser.add_argument("--neurons", type=int, default=400, help="excitatory neurons (the paper: 400)")
    add(parser)
    return parser.parse_args()


def write_whole(target: Path, write: Callable[[Path], object], *, quiet: bool = False) -> None:
    """Write a file under another name and rename it when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix)
    os.close(handle)
    try:
        write(Path(name))
        Path(name).chmod(0o644)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
    if not quiet:
        print(f"written: {target}", file=sys.stderr)


def write_csv(target: Path, rows: Sequence[Mapping[str, object]]) -> None:
    def write(file: Path) -> None:
        with file.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    write_whole(target, write)


def pyplot_or_none() -> Any:
    """Return matplotlib's pyplot, drawing to files; None, said on stderr, where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        print("no PNG: matplotlib is not installed; pip install 'tinysnn-hw[figures]'", file=sys.stderr)
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw_bars(
    target: Path, title: str, unit: str, panels: Mapping[str, Sequence[tuple[str, str, float]]]
) -> None:
    """Draw one panel of bars per entry: (network, label, height)."""
    pyplot = pyplot_or_none()
    if pyplot is None:
        return
    rows = -(-len(panels) // 2)
    figure, axes = pyplot.subplots(rows, 2, figsize=(11, 3.6 * rows), squeeze=False)
    for axis, (name, bars) in zip(axes.flat, panels.items(), strict=True):
        for place, (network, _, height) in enumerate(bars):
            axis.bar(place, height, color=COLOURS[network])
            text = f"{height:.0f}" if height >= 100 else f"{height:.3g}"
            axis.text(place, height, text, ha="center", va="bottom", fontsize=6, rotation=90)
        axis.set_xticks(range(len(bars)), [label for _, label, _ in bars], rotation=90, fontsize=7)
        axis.set_title(name, fontsize=9)
        axis.set_ylabel(unit)
        axis.set_ylim(0, 1.15 * max(height for _, _, height in bars))
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    write_whole(target, lambda file: figure.savefig(file, dpi=150))
    pyplot.close(figure)


def print_comparison(rows: Iterable[tuple[str, str, float]], reasons: Iterable[str]) -> None:
    """Print the paper's factors beside ours, and why they differ."""
    print(f"{'saving against the FP32 baseline':<58}{'paper':>8}{'ours':>8}")
    for what, paper, ours in rows:
        print(f"{what:<58}{paper:>8}{f'{ours:.2f}x':>8}")
    print("\nWhy they differ:")
    for reason in reasons:
        print(f"- {reason}")
