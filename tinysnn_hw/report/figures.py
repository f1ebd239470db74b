"""Figures of a study: trade-offs, and the views of the paper's Fig. 6 to 9 where the study covers them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from tinysnn_hw.errors import MissingPackageError
from tinysnn_hw.explore import MU_SWEEP, Selection, StudyRecord, TrialRow, pareto_front, reward
from tinysnn_hw.report.text import BITS_PER_KIB
from tinysnn_hw.spec.space import FLOAT_BITS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito's colours, told apart by all readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DPI = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One figure.

    Attributes
    ----------
    name : str
        File name without ending.
    title, caption : str
    png : bytes
    """

    name: str
    title: str
    caption: str
    png: bytes


def study_views(study: StudyRecord, selection: Selection) -> list[View]:
    """Return the figures a study has enough trials for.

    Raises
    ------
    MissingPackageError
        matplotlib is not installed.
    """
    rows = list(study.distinct)
    if not rows:
        return []
    found = [_tradeoffs(study, rows, selection)]
    grid = [row for row in study.finished if "bits" in row.parameters]
    if len({row.parameters["bits"] for row in grid}) > 1:
        found += [_figure_6(grid), _figure_7(study, grid)]
        if all(row.result["energy_j"] is not None for row in grid):
            found.append(_figure_8(grid))
    found.append(_figure_9(study, rows, selection))
    return found


def _figure(columns: int, width: float = 4.6, height: float = 3.7) -> tuple[Figure, list[Any]]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError("figures need matplotlib; pip install 'tinysnn-hw[explore]'") from error
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(1, columns)))
    for axis in axes:
        axis.grid(True, color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _view(figure: Figure, name: str, title: str, caption: str) -> View:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return View(name=name, title=title, caption=caption, png=buffer.getvalue())


def _column(rows: Sequence[TrialRow], key: str) -> np.ndarray[Any, Any]:
    return np.array([np.nan if row.result[key] is None else row.result[key] for row in rows], float)


def _tradeoffs(study: StudyRecord, rows: list[TrialRow], selection: Selection) -> View:
    accuracy, memory = _column(rows, "accuracy"), _column(rows, "memory_bits") / BITS_PER_KIB
    energy = _column(rows, "energy_j") * 1e6
    planes = [("memory [KiB]", memory, "accuracy [%]", accuracy, True)]
    if not np.isnan(energy).all():
        planes += [
            ("energy per image [uJ]", energy, "accuracy [%]", accuracy, True),
            ("memory [KiB]", memory, "energy per image [uJ]", energy, False),
        ]
    figure, axes = _figure(len(planes))
    kept = {row.number for row in selection.front}
    on_front = np.array([row.number in kept for row in rows])
    for axis, (x_name, x, y_name, y, up) in zip(axes, planes, strict=True):
        axis.scatter(x, y, s=10, color="0.65", linewidths=0, label="configuration")
        axis.scatter(
            x[on_front],
            y[on_front],
            s=18,
            color=COLOURS[0],
            linewidths=0,
            label="Pareto front, all objectives",
        )
        edge = pareto_front(np.column_stack((x, -y if up else y)))
        axis.plot(x[edge], y[edge], color=COLOURS[1], linewidth=1, label="front of this plane")
        axis.set_xlabel(x_name)
        axis.set_ylabel(y_name)
        _log_if_wide(axis, x, "x")
    axes[0].legend(fontsize=7, loc="lower right")
    holdout = study.manifest["data"]["holdout"]
    caption = (
        f"Every different configuration. Accuracy on {holdout:,} held-out training images; memory in inference (Eq. 4, "
        "learned + full); energy of one image in inference, modelled."
    )
    return _view(figure, "tradeoffs", "Accuracy, memory, energy", caption)


def _log_if_wide(axis: Any, values: np.ndarray[Any, Any], which: str) -> None:
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() / values.min() > 20:
        getattr(axis, f"set_{which}scale")("log")


def _bit_axis(axis: Any, bits: Sequence[int]) -> None:
    axis.set_xticks(range(len(bits)), ["FP32" if one == FLOAT_BITS else str(one) for one in bits])
    axis.set_xlabel("precision [bits]")


def _bits(rows: Sequence[TrialRow]) -> list[int]:
    return sorted({row.parameters["bits"] for row in rows}, reverse=True)


def _series(rows: Sequence[TrialRow]) -> Iterator[tuple[str, list[TrialRow]]]:
    """Yield the rows of every scheme and quantized set, in words."""
    names = sorted({_series_name(row) for row in rows})
    for name in names:
        yield name, [row for row in rows if _series_name(row) == name]


def _series_name(row: TrialRow) -> str:
    scheme = str(row.parameters.get("scheme", "itq")).upper()
    return f"{scheme} {row.parameters.get('quantized', 'qWN')}"


def _lines(
    axis: Any, rows: Sequence[TrialRow], bits: Sequence[int], value: Callable[[TrialRow], float]
) -> None:
    for k, (name, of_series) in enumerate(_series(rows)):
        by_bits = {row.parameters["bits"]: value(row) for row in of_series}
        shown = [one for one in bits if one in by_bits]
        axis.plot(
            [bits.index(one) for one in shown],
            [by_bits[one] for one in shown],
            marker="os^D"[k % 4],
            markersize=4,
            linewidth=1.2,
            color=COLOURS[k % len(COLOURS)],
            label=name,
        )


def _figure_6(rows: list[TrialRow]) -> View:
    roundings = sorted({str(row.parameters.get("rounding", "as in the space")) for row in rows})
    bits = _bits(rows)
    figure, axes = _figure(len(roundings), width=3.8)
    low = min(row.result["accuracy"] for row in rows)
    for axis, rounding in zip(axes, roundings, strict=True):
        of_one = [row for row in rows if str(row.parameters.get("rounding", "as in the space")) == rounding]
        _lines(axis, of_one, bits, lambda row: float(row.result["accuracy"]))
        _bit_axis(axis, bits)
        axis.set_title(f"rounding: {rounding}", fontsize=9)
        axis.set_ylim(max(low - 2, 0), 100)
    axes[0].set_ylabel("accuracy [%]")
    axes[0].legend(fontsize=7, loc="lower left")
    caption = (
        "Accuracy on held-out training images by precision, quantization scheme (ITQ: in training, PTQ: after "
        "training) and what is quantized (qW: weights, qWN: weights and neuron parameters). The paper's figure "
        "uses truncation, which is 'floor'."
    )
    return _view(figure, "fig6-accuracy", "As Fig. 6: accuracy by precision", caption)


def _figure_7(study: StudyRecord, rows: list[TrialRow]) -> View:
    bits = _bits(rows)
    figure, (axis,) = _figure(1, width=6.4)
    kinds = sorted({str(row.parameters.get("quantized", "qWN")) for row in rows})
    width = 0.8 / len(kinds)
    for k, kind in enumerate(kinds):
        by_bits = {
            row.parameters["bits"]: row.result["memory_bits"]
            for row in rows
            if str(row.parameters.get("quantized", "qWN")) == kind
        }
        shown = [one for one in bits if one in by_bits]
        places = [bits.index(one) + (k - (len(kinds) - 1) / 2) * width for one in shown]
        bars = axis.bar(
            places, [by_bits[one] / BITS_PER_KIB for one in shown], width * 0.92, color=COLOURS[k], label=kind
        )
        labels = [f"{study.memory_bits_0 / by_bits[one]:.2f}x" for one in shown]
        axis.bar_label(bars, labels, fontsize=6, padding=1)
    _bit_axis(axis, bits)
    axis.set_ylabel("memory in inference [KiB]")
    axis.legend(fontsize=8)
    caption = (
        f"Memory in inference (Eq. 4, learned + full). Above the bars: saving against the same network in 32-bit words "
        f"({study.memory_bits_0 / BITS_PER_KIB:,.1f} KiB)."
    )
    return _view(figure, "fig7-memory", "As Fig. 7: memory by precision", caption)


def _figure_8(rows: list[TrialRow]) -> View:
    bits = _bits(rows)
    chosen = [row for row in rows if row.result["energy_j_training"] is not None]
    keys = [("energy_j", "inference", rows)]
    if chosen:
        keys.insert(0, ("energy_j_training", "training", chosen))
    figure, axes = _figure(len(keys))
    for axis, (key, phase, of_phase) in zip(axes, keys, strict=True):
        # Rounding decides the activity a little; the mean over roundings is shown.
        means = _mean_over_roundings(of_phase, key)
        for k, (name, by_bits) in enumerate(means.items()):
            shown = [one for one in bits if one in by_bits]
            axis.plot(
                [bits.index(one) for one in shown],
                [by_bits[one] * 1e6 for one in shown],
                marker="os^D"[k % 4],
                markersize=4,
                linewidth=1.2,
                color=COLOURS[k % len(COLOURS)],
                label=name,
            )
        _bit_axis(axis, bits)
        axis.set_title(phase, fontsize=9)
        axis.set_ylabel("energy per image [uJ]")
        axis.set_ylim(bottom=0)
    axes[-1].legend(fontsize=7)
    caption = (
        "Modelled energy of one image, from the accesses and operations each trial really made; mean over roundings. "
        "The paper measured time and power of a GPU instead. Networks quantized after training are trained in "
        "floating point."
    )
    return _view(figure, "fig8-energy", "As Fig. 8: energy by precision", caption)


def _mean_over_roundings(rows: Sequence[TrialRow], key: str) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for name, of_series in _series(rows):
        values: dict[int, list[float]] = {}
        for row in of_series:
            values.setdefault(row.parameters["bits"], []).append(row.result[key])
        found[name] = {bits: sum(group) / len(group) for bits, group in values.items()}
    return found


def _figure_9(study: StudyRecord, rows: list[TrialRow], selection: Selection) -> View:
    figure, (plane, curves) = _figure(2)
    kinds: dict[str, list[TrialRow]] = {}
    for row in rows:
        name = "FP32" if row.result["scheme"] == "float" else _series_name(row)
        kinds.setdefault(name if "bits" in row.parameters else "configuration", []).append(row)
    for k, (name, group) in enumerate(sorted(kinds.items())):
        x, y = _column(group, "memory_bits") / BITS_PER_KIB, _column(group, "accuracy")
        plane.scatter(
            x, y, s=16, marker="os^Dv"[k % 5], color=COLOURS[k % len(COLOURS)], linewidths=0, label=name
        )
    picked: dict[int, list[float]] = {}
    for choice in selection.choices:
        picked.setdefault(choice.trial.number, []).append(choice.mu)
    trials = {choice.trial.number: choice.trial for choice in selection.choices}
    for number, mus in picked.items():
        result = trials[number].result
        place = (result["memory_bits"] / BITS_PER_KIB, result["accuracy"])
        plane.scatter(*place, s=90, facecolors="none", edgecolors="k", linewidths=1.1)
        text = f"mu = {mus[0]:g}" if len(mus) == 1 else f"mu = {mus[0]:g} to {mus[-1]:g}"
        right = place[0] > 0.7 * max(row.result["memory_bits"] for row in rows) / BITS_PER_KIB
        plane.annotate(
            text,
            place,
            xytext=(-8 if right else 8, -11),
            ha="right" if right else "left",
            textcoords="offset points",
            fontsize=7,
        )
    plane.set_xlabel("memory [KiB]")
    plane.set_ylabel("accuracy [%]")
    plane.legend(fontsize=7, loc="lower right")
    sweep = np.linspace(0, max(MU_SWEEP), 101)
    for k, (number, _) in enumerate(picked.items()):
        result = trials[number].result
        rewards = [
            float(reward(result["accuracy"], result["memory_bits"], study.memory_bits_0, float(mu)))
            for mu in sweep
        ]
        curves.plot(sweep, rewards, color=COLOURS[k % len(COLOURS)], linewidth=1.2, label=f"trial {number}")
    curves.set_xlabel("mu")
    curves.set_ylabel("reward R")
    curves.legend(fontsize=7)
    limits = f" within {selection.limits.plain()}" if selection.limits.plain() else ""
    caption = (
        f"Circled: the configuration of highest reward R = accuracy - mu * memory / FP32 memory (Eq. 3){limits}. "
        "Right: the reward of the circled ones over mu; where lines cross, the choice changes."
    )
    return _view(figure, "fig9-selection", "As Fig. 9: selection by reward", caption)


__all__ = ["COLOURS", "View", "study_views"]
