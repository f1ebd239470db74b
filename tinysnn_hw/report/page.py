"""A study as one self-contained HTML page, with its figures as PNG and its trials as CSV beside it."""

from __future__ import annotations

import base64
import csv
import html
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from io import StringIO
from pathlib import Path
from string import Template
from typing import Any

from tinysnn_hw.errors import StudyError
from tinysnn_hw.explore import Selection, StudyRecord, TrialRow, read_selections, select, write_text
from tinysnn_hw.report.figures import View, study_views
from tinysnn_hw.report.study import energy, parameters_text
from tinysnn_hw.report.text import count, kib, percent
from tinysnn_hw.version import __version__

PAGE_FILE, TABLE_FILE = "report.html", "trials.csv"
_RESULT = (
    "accuracy",
    "memory_bits",
    "memory_bits_training",
    "energy_j",
    "energy_j_training",
    "spikes_per_image",
)


def write_report(study: StudyRecord, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the report of a study, finished or not.

    Parameters
    ----------
    study : StudyRecord
    folder : path
        Where ``report.html``, ``trials.csv`` and the figures go; files of an earlier report are replaced.

    Returns
    -------
    list of Path
        The page first.

    Raises
    ------
    StudyError
        matplotlib is not installed, or a file cannot be written.
    """
    place = Path(folder)
    selection = select(study)
    views = study_views(study, selection)
    write_text(place / PAGE_FILE, page(study, selection, views, read_selections(study.folder)))
    write_text(place / TABLE_FILE, trials_csv(study))
    files = [place / PAGE_FILE, place / TABLE_FILE]
    for view in views:
        _write_bytes(place / f"{view.name}.png", view.png)
        files.append(place / f"{view.name}.png")
    return files


def page(
    study: StudyRecord, selection: Selection, views: Sequence[View], validated: Sequence[Mapping[str, Any]]
) -> str:
    """Return the page; it loads nothing."""
    template = Template(
        resources.files("tinysnn_hw.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    manifest = study.manifest
    title = f"{study.space.name} on {manifest['data']['name']}"
    return template.substitute(
        title=html.escape(title),
        heading=html.escape(title),
        summary=html.escape(_summary(study)),
        selected=_selected(study, selection),
        validated=_validated(validated),
        figures="".join(_figure(view) for view in views) or "<p>No trial is finished yet.</p>",
        table_note=_table_note(study),
        trials=_trials(study, {row.number for row in selection.front}),
        provenance_note=(
            f"Written by tinysnn_hw {html.escape(__version__)}. The study is a database of Optuna; the digest of every "
            "trial covers its full configuration, the data, seeds and numeric version."
        ),
        provenance=html.escape(json.dumps(manifest, indent=2)),
    )


def trials_csv(study: StudyRecord) -> str:
    """Return every trial as CSV: number, state, parameters, numbers (percent, bit, J), reason, digest."""
    keys = list(study.space.parameters)
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *keys, *_RESULT, "images", "kernel_s", "same_as", "reason", "digest"])
    for row in study.trials:
        result = [row.result.get(key) for key in _RESULT]
        values = [row.parameters.get(key) for key in keys]
        rest = [row.images, row.kernel_s, row.same_as, row.reason, row.digest]
        writer.writerow(
            ["" if cell is None else cell for cell in (row.number, row.state, *values, *result, *rest)]
        )
    return text.getvalue()


def _summary(study: StudyRecord) -> str:
    states = ", ".join(
        f"{count(study.count(state))} {state}"
        for state in ("complete", "pruned", "failed", "running", "waiting")
        if study.count(state)
    )
    holdout = count(study.manifest["data"]["holdout"])
    return (
        f"{study.space.summary}. {count(len(study.trials))} trials ({states or 'none'}), "
        f"{count(len(study.distinct))} different configurations. Every choice on this page was made on {holdout} "
        "training images held out from training; test images were used only where the section on validation says so."
    )


def _selected(study: StudyRecord, selection: Selection) -> str:
    if not selection.kept or selection.knee is None:
        return "<p>No trial is finished yet.</p>"
    rows = [[f"{choice.mu:g}", f"{choice.reward:.2f}", *_cells(choice.trial)] for choice in selection.choices]
    rows.append(["knee", "", *_cells(selection.knee)])
    head = ["mu", "reward", "trial", "accuracy %", "memory KiB", "energy uJ", "parameters"]
    note = (
        "Highest reward R = accuracy - mu * memory / FP32 memory (Eq. 3), accuracy in percent on held-out images, FP32 "
        f"memory {kib(study.memory_bits_0)} KiB. knee: where the front of accuracy and memory bends most."
    )
    return f"{_table(head, rows, numeric=range(6))}<p class='note'>{html.escape(note)}</p>"


def _cells(row: TrialRow) -> list[str]:
    return [
        str(row.number),
        percent(row.result["accuracy"]),
        kib(row.result["memory_bits"]),
        energy(row.result["energy_j"]),
        parameters_text(row.parameters),
    ]


def _validated(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "<p>Nothing yet: the test images have not been used. 'tinysnn select' validates a choice.</p>"
    rows = [
        [
            str(one["trial"]),
            f"{one['mu']:g}",
            percent(one["chosen_on"]["accuracy"]),
            percent(one["test"]["accuracy"]),
            one["test"]["images"],
            one["test"]["trained_on"],
        ]
        for one in found
    ]
    head = ["trial", "mu", "held out %", "test %", "tested on", "trained on"]
    times = "once" if len(found) == 1 else f"{len(found)} times, once per choice"
    note = f"The test images of this study were used {times}, each time after the choice."
    return f"{_table(head, rows, numeric=range(4))}<p class='note'>{html.escape(note)}</p>"


def _figure(view: View) -> str:
    data = base64.b64encode(view.png).decode("ascii")
    return (
        f"<figure><h3>{html.escape(view.title)}</h3><img alt='{html.escape(view.title, quote=True)}' "
        f"src='data:image/png;base64,{data}'><figcaption>{html.escape(view.caption)}</figcaption></figure>"
    )


def _table_note(study: StudyRecord) -> str:
    void = f" {study.n_void} trials of explorers that ended early are left out." if study.n_void else ""
    return html.escape(
        "Click a head to sort. Shaded: on the Pareto front of the study's objectives. same as: an earlier trial of the "
        f"same configuration, whose result was taken over.{void}"
    )


def _trials(study: StudyRecord, front: set[int]) -> str:
    keys = list(study.space.parameters)
    head = [
        "trial",
        "state",
        *keys,
        "accuracy %",
        "memory KiB",
        "energy uJ",
        "training uJ",
        "same as",
        "reason",
    ]
    n_text = 2 + len(keys)
    rows = []
    for row in study.trials:
        result = row.result
        numbers = (
            [percent(result["accuracy"]), kib(result["memory_bits"]), energy(result["energy_j"]),
             energy(result["energy_j_training"])]
            if result else ["-"] * 4
        )  # fmt: skip
        same = "" if row.same_as is None else str(row.same_as)
        values = [_plain(row.parameters.get(key)) for key in keys]
        rows.append([str(row.number), row.state, *values, *numbers, same, row.reason])
    classes = ["front" if row.number in front else "" for row in study.trials]
    return _table(head, rows, numeric=[0, *range(n_text, n_text + 5)], classes=classes, sortable=True)


def _plain(value: object) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric: Iterable[int],
    classes: Sequence[str] = (),
    sortable: bool = False,
) -> str:
    right = set(numeric)
    marks = [" class='n'" if k in right else "" for k in range(len(head))]
    parts = [f"<table{' class=sortable' if sortable else ''}><thead><tr>"]
    parts += [f"<th{mark}>{html.escape(name)}</th>" for mark, name in zip(marks, head, strict=True)]
    parts.append("</tr></thead><tbody>")
    for k, row in enumerate(rows):
        parts.append(f"<tr class='{classes[k]}'>" if classes and classes[k] else "<tr>")
        parts += [f"<td{mark}>{html.escape(cell)}</td>" for mark, cell in zip(marks, row, strict=True)]
        parts.append("</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def _write_bytes(file: Path, data: bytes) -> None:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except OSError as error:
        raise StudyError(f"{file}: cannot be written: {error.strerror or error}") from error


__all__ = ["PAGE_FILE", "TABLE_FILE", "page", "trials_csv", "write_report"]
