"""What a network costs, as tables, sentences and JSON; every energy beside the hardware it holds for."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tinysnn_hw.cost import Cost
from tinysnn_hw.cost.estimate import si
from tinysnn_hw.report.payload import activity_json
from tinysnn_hw.report.text import count, kib, plain_table, section
from tinysnn_hw.spec.quantity import Range

SHOWN = 0.005
"""Share of the energy below which rows are put together in the table."""


def energy_text(energy: Range) -> str:
    """Return an energy, with its range where the literature leaves one."""
    if energy.is_exact:
        return si(energy.nominal, "J")
    return f"{si(energy.nominal, 'J')} ({si(energy.low, 'J')} to {si(energy.high, 'J')})"


def cost_table(cost: Cost) -> RenderableType:
    """Return the energy of one phase, row by row, largest first.

    Parameters
    ----------
    cost : Cost

    Returns
    -------
    rich renderable
    """
    table = plain_table("part", "what", "where", "operation", ">J per image", ">share")
    total, small = cost.energy_j, Range(0.0, 0.0, 0.0)
    for (part, variable, level, operation), energy in cost.by(
        "part", "variable", "level", "operation"
    ).items():
        if total and energy.nominal < SHOWN * total:
            small += energy
            continue
        share = f"{energy.nominal / total:.1%}" if total else "-"
        table.add_row(part, variable, level, operation, si(energy.nominal, "J"), share)
    if small.nominal:
        table.add_row("all else", "", "", "", si(small.nominal, "J"), f"{small.nominal / total:.1%}")
    table.add_section()
    table.add_row("sum", "", "", "", si(total, "J"), "")
    title = f"Modelled energy of {cost.network} on {cost.hardware}, {cost.phase}"
    seen = cost.activity
    note = (
        f"{energy_text(cost.energy)} per image, {energy_text(cost.total_energy)} for {count(seen.images)} images. "
        f"Activity {cost.activity_origin}: {seen.input_spikes / seen.images:.4g} input and "
        f"{seen.output_spikes / seen.images:.4g} output spikes per image. Range: all low and all high figures of the "
        "hardware file together."
    )
    return section(title, table, note=note)


def cost_tables(costs: Iterable[Cost], reasons: Iterable[str]) -> RenderableType:
    """Return every phase, the memory, and what it means in words."""
    costs = tuple(costs)
    sentences = Table.grid(padding=(0, 1))
    for text in (*findings(costs), *reasons):
        sentences.add_row("•", Text(text))
    return Group(*(cost_table(cost) for cost in costs), section("In words", sentences))


def findings(costs: Iterable[Cost]) -> tuple[str, ...]:
    """Return the findings in plain words: memory, what dominates, what is left out."""
    said: list[str] = []
    for cost in costs:
        said.append(
            f"{cost.phase.capitalize()} needs {count(cost.memory_bits)} bits ({kib(cost.memory_bits)} KiB), weights "
            f"{kib(cost.memory.weight_bits)} KiB, accounting {cost.accounting}."
        )
        said.append(cost.dominant())
    for cost in costs:
        said.append(f"Not counted: {'; '.join(cost.not_counted)}.")
        if cost.unsourced:
            said.append(
                f"Without source in {cost.hardware}: {', '.join(cost.unsourced)}; do not publish these figures."
            )
    return tuple(dict.fromkeys(said))


def cost_json(cost: Cost) -> dict[str, object]:
    """Return one phase as JSON.

    Returns
    -------
    dict
        - ``network``, ``hardware``, ``phase``, ``accounting``, ``arithmetic``, ``origin`` (always ``modelled``);
        - ``energy_j``: one image, ``{low, nominal, high}``; ``total_energy_j``: all images of the activity;
        - ``memory_bits``, ``weight_bits``, ``neuron_bits``;
        - ``activity``, ``activity_origin``;
        - ``rows``: one image, each with ``part``, ``variable``, ``level``, ``operation``, ``count`` (all images) and
          ``energy_j``;
        - ``dominant``, ``not_counted``, ``unsourced``.
    """
    images = cost.activity.images
    return {
        "network": cost.network,
        "hardware": cost.hardware,
        "phase": cost.phase,
        "accounting": cost.accounting,
        "arithmetic": cost.arithmetic,
        "origin": "modelled",
        "energy_j": range_json(cost.energy),
        "total_energy_j": range_json(cost.total_energy),
        "memory_bits": cost.memory_bits,
        "weight_bits": cost.memory.weight_bits,
        "neuron_bits": cost.memory.neuron_bits,
        "activity": activity_json(cost.activity),
        "activity_origin": cost.activity_origin,
        "rows": [
            {
                "part": row.part,
                "variable": row.variable,
                "level": row.level,
                "operation": row.operation,
                "count": row.count,
                "energy_j": range_json(row.energy * (1.0 / images)),
            }
            for row in cost.rows
        ],
        "dominant": cost.dominant(),
        "not_counted": list(cost.not_counted),
        "unsourced": list(cost.unsourced),
    }


def range_json(value: Range) -> dict[str, float]:
    """Return a range as JSON."""
    return {"low": value.low, "nominal": value.nominal, "high": value.high}


__all__ = ["cost_json", "cost_table", "cost_tables", "energy_text", "findings", "range_json"]
