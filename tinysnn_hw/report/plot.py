"""Figures; they need matplotlib, which the extra ``figures`` installs."""

from __future__ import annotations

import os
from pathlib import Path

from tinysnn_hw.errors import MissingPackageError
from tinysnn_hw.fixed.format import Format
from tinysnn_hw.quantize import Sensitivity


def sensitivity_plot(table: Sensitivity, file: str | os.PathLike[str]) -> Path:
    """Draw accuracy over the width of each register, with the range of the seeds.

    Parameters
    ----------
    table : Sensitivity
    file : path
        Its ending decides the kind: ``.png``, ``.pdf``, ``.svg``.

    Returns
    -------
    Path
        The file; it is complete or not there.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            "matplotlib is not installed, so no figure was drawn; pip install 'tinysnn-hw[figures]'"
        ) from error
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, trials in table.trials.items():
        held = [trial for trial in trials if trial.accuracies]
        bits = [Format.parse(trial.formats[name]).width for trial in held]
        means = [sum(trial.accuracies) / len(trial.accuracies) for trial in held]
        (line,) = axes.plot(bits, means, marker="o", markersize=3, label=name)
        low, high = [min(t.accuracies) for t in held], [max(t.accuracies) for t in held]
        axes.fill_between(bits, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    mean = sum(table.reference) / len(table.reference)
    axes.axhline(mean, color="black", linewidth=0.8, linestyle="--", label="float64")
    axes.set_xlabel("bits of the register, all others at their widest")
    axes.set_ylabel("accuracy on held-out training images [%]")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    target = Path(file)
    part = target.with_name(f".{target.stem}.part{target.suffix}")
    try:
        figure.savefig(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


__all__ = ["sensitivity_plot"]
