"""A study on the command line: how far it is, what can be chosen, what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from tinysnn_hw.explore import Exploration, Selection, Standing, StudyRecord, Timing, TrialRow
from tinysnn_hw.report.text import count, kib, percent, plain_table, section

_FRONT_ROWS = 20


def duration(seconds: float) -> str:
    """Return a time in the two units that matter."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def standing_line(standing: Standing, *, counts: bool = True) -> str:
    """Return how far a study is, in one line."""
    parts = [f"{count(standing.done)} of {count(standing.total)} trials"] if counts else []
    if standing.best:
        parts.append(
            f"best {percent(standing.best['accuracy'])} % with {kib(standing.best['memory_bits'])} KiB "
            f"(trial {standing.best_trial})"
        )
        parts.append(f"{standing.front} on the front")
    counted = {name: getattr(standing, name) for name in ("pruned", "reused", "failed")}
    parts += [f"{n} {name}" for name, n in counted.items() if n]
    if standing.done >= standing.total:
        parts.append(f"done in {duration(standing.elapsed_s)}")
    elif standing.left_s >= 0:
        parts.append(f"about {duration(standing.left_s)} left")
    return ", ".join(parts) or "starting"


def timing_text(timing: Timing) -> str:
    """Return where the time of a run went."""
    if not timing.trials:
        return "Nothing was left to do: all trials of this study are finished."
    saved = 1 - timing.images / timing.full_images if timing.full_images else 0.0
    lines = [
        f"{count(timing.trials)} trials in {duration(timing.wall_s)} on {timing.workers} worker"
        f"{'s' if timing.workers != 1 else ''}; {100 * timing.overhead:.1f} % of the workers' time went into search, "
        "storage, hand-off and start-up."
    ]
    if saved > 0:
        lines.append(
            f"Halving: {count(timing.images)} images shown instead of {count(timing.full_images)}, {100 * saved:.0f} % "
            "saved."
        )
    return "\n".join(lines)


def energy(value: float | None) -> str:
    """Return an energy in microjoules; a dash where it is unknown."""
    return "-" if value is None else f"{value * 1e6:.4g}"


def parameters_text(parameters: Mapping[str, Any]) -> str:
    """Return the values of a trial in one line."""
    return " ".join(f"{key.split('.')[-2] + '.' if '.' in key else ''}{key.split('.')[-1]}={_value(value)}"
                    for key, value in parameters.items())  # fmt: skip


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def trial_table(
    rows: Sequence[TrialRow], firsts: Sequence[Sequence[str]] = (), *columns: str
) -> RenderableType:
    """Return trials as a table, with cells in front of each."""
    table = plain_table(*columns, ">trial", ">accuracy %", ">memory KiB", ">energy uJ", "parameters")
    for k, row in enumerate(rows):
        table.add_row(
            *(firsts[k] if firsts else ()),
            str(row.number),
            percent(row.result["accuracy"]),
            kib(row.result["memory_bits"]),
            energy(row.result["energy_j"]),
            parameters_text(row.parameters),
        )
    return table


def exploration_tables(found: Exploration, selection: Selection) -> list[RenderableType]:
    """Return what a run of `explore` found."""
    study = found.study
    return [*study_tables(study, selection), Text(timing_text(found.timing))]


def study_tables(study: StudyRecord, selection: Selection) -> list[RenderableType]:
    """Return the front of a study and its failures."""
    objectives = ", ".join(study.space.search.objectives)
    states = ", ".join(
        f"{count(study.count(state))} {state}"
        for state in ("complete", "pruned", "failed", "running", "waiting")
        if study.count(state)
    )
    shown = selection.front[:_FRONT_ROWS]
    more = f" The first {len(shown)} of {len(selection.front)}." if len(shown) < len(selection.front) else ""
    parts: list[RenderableType] = [
        section(
            f"Pareto front of {objectives}",
            trial_table(shown),
            note=f"{study.space.name} on {study.manifest['data']['name']}: {states}; {count(len(study.distinct))} "
            f"different configurations.{more} Accuracy on {count(study.manifest['data']['holdout'])} held-out training "
            "images; energy of one image in inference, modelled.",
        )
    ]
    failures = [row for row in study.trials if row.state == "failed"]
    if failures:
        table = plain_table(">trial", "reason")
        for row in failures[:10]:
            table.add_row(str(row.number), row.reason)
        parts.append(section(f"Failed trials ({len(failures)})", table))
    return parts


def selection_tables(study: StudyRecord, found: Selection, mu: float) -> list[RenderableType]:
    """Return the choices of a sweep over mu, the one asked for marked."""
    if not found.kept:
        return [
            Text(
                f"No trial keeps the limits {found.limits.plain()}: {count(len(study.distinct))} different "
                "configurations are finished. Loosen a limit, or explore further."
            )
        ]
    firsts = [
        (f"{'> ' if choice.mu == mu else '  '}{choice.mu:g}", f"{choice.reward:.2f}")
        for choice in found.choices
    ]
    rows = [choice.trial for choice in found.choices]
    assert found.knee is not None
    limits = f" within {found.limits.plain()}" if found.limits.plain() else ""
    return [
        section(
            "Selected by reward R = accuracy - mu * memory / FP32 memory (Eq. 3)",
            trial_table(rows, firsts, "mu", ">reward"),
            note=f"{count(len(found.kept))} of {count(len(study.distinct))} configurations{limits}; FP32 memory "
            f"{kib(study.memory_bits_0)} KiB. Knee of accuracy and memory: trial {found.knee.number}. Chosen on "
            f"{count(study.manifest['data']['holdout'])} held-out training images; no test image was looked at.",
        )
    ]


def validation_lines(selection: Mapping[str, Any]) -> list[RenderableType]:
    """Return what the one test of a chosen network found."""
    test, held_out = selection["test"], selection["chosen_on"]
    return [
        Text(
            f"Trial {selection['trial']} on {test['images']}: {percent(test['accuracy'])} % (held out: "
            f"{percent(held_out['accuracy'])} %).\nTrained on {test['trained_on']}; seed {test['seed']}. The test "
            "images were used once, after the choice."
        )
    ]


def row_json(row: TrialRow) -> dict[str, Any]:
    """Return a trial, ready for JSON."""
    return {"trial": row.number, "state": row.state, "parameters": row.parameters, **row.result}


def exploration_json(found: Exploration, selection: Selection) -> dict[str, Any]:
    """Return what a run of `explore` found, ready for JSON."""
    study, timing = found.study, found.timing
    return {
        "folder": str(study.folder),
        "study": study.manifest["study"],
        "states": {
            state: study.count(state) for state in ("complete", "pruned", "failed", "running", "waiting")
        },
        "configurations": len(study.distinct),
        "front": [row_json(row) for row in selection.front],
        "failed": [
            {"trial": row.number, "reason": row.reason} for row in study.trials if row.state == "failed"
        ],
        "timing": {
            "trials": timing.trials,
            "wall_s": timing.wall_s,
            "kernel_s": timing.kernel_s,
            "busy_s": timing.busy_s,
            "workers": timing.workers,
            "overhead": timing.overhead,
            "images": timing.images,
            "images_without_halving": timing.full_images,
        },
    }


def selection_json(
    study: StudyRecord, found: Selection, mu: float, validated: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a selection, ready for JSON."""
    return {
        "mu": mu,
        "limits": found.limits.plain(),
        "configurations": len(study.distinct),
        "within_limits": len(found.kept),
        "memory_bits_0": study.memory_bits_0,
        "choices": [
            {"mu": choice.mu, "reward": choice.reward, **row_json(choice.trial)} for choice in found.choices
        ],
        "front": [row.number for row in found.front],
        "knee": None if found.knee is None else found.knee.number,
        "selected": None if validated is None else dict(validated),
    }


__all__ = [
    "duration", "energy", "exploration_json", "exploration_tables", "parameters_text", "row_json", "selection_json",
    "selection_tables", "standing_line", "study_tables", "timing_text", "trial_table", "validation_lines",
]  # fmt: skip
