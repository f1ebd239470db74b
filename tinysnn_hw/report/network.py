"""Tables of what a network is: every value, its memory, and what else there is to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from tinysnn_hw.report.text import count, kib, plain_table, section
from tinysnn_hw.spec.describe import FieldDescription, describe_network, describe_spec
from tinysnn_hw.spec.load import ResolvedNetwork
from tinysnn_hw.spec.network import NetworkSpec

HOW_TO_CHANGE = (
    "Potentials are relative to rest. --set key=value changes a value; --set key= takes an optional one away."
)


def network_table(network: ResolvedNetwork | NetworkSpec, *, meanings: bool = False) -> RenderableType:
    """Return every hyperparameter of a network: value, unit, origin and source, or meaning.

    Parameters
    ----------
    network : ResolvedNetwork or NetworkSpec
        A bare spec has no origins and sources.
    meanings : bool
        Say what each value does, in place of where it comes from.

    Returns
    -------
    rich renderable
    """
    if isinstance(network, ResolvedNetwork):
        spec, rows = network.spec, describe_network(network)
    else:
        spec, rows = network, describe_spec(network)
    has_origins = isinstance(network, ResolvedNetwork) and not meanings
    numbers: dict[str, int] = {}
    extra = ["meaning"] if meanings else ["origin", "source"] if has_origins else []
    table = plain_table("key", ">value", "unit", *extra)
    group = ""
    for row in rows:
        first = row.key.split(".")[0]
        if group not in ("", first):
            table.add_section()
        group = first
        unit = "" if row.unit in ("-", "1", "format") else row.unit
        cells = [row.key, value_text(row), unit]
        if meanings:
            cells.append(row.meaning.replace("`", ""))
        elif has_origins:
            number = numbers.setdefault(row.source, len(numbers) + 1) if row.source else None
            cells += [row.origin, f"[{number}]" if number else ""]
        table.add_row(*map(Text, cells))
    sources = [Text(f"[{number}] {source}", style="dim") for source, number in numbers.items()]
    return section(
        f"{spec.name}, recipe {spec.recipe}", Text(spec.summary), table, *sources, note=HOW_TO_CHANGE
    )


def value_text(row: FieldDescription) -> str:
    """Return a value as ``--set`` would take it; ``absent`` for an optional value that is not there."""
    if row.value is None:
        return "absent"
    if isinstance(row.value, bool):
        return "true" if row.value else "false"
    return f"{row.value:.12g}" if isinstance(row.value, float) else str(row.value)


def memory_tables(memory: Mapping[str, Any]) -> RenderableType:
    """Return the memory footprint in every accounting, and word by word.

    Parameters
    ----------
    memory : mapping
        As `tinysnn_hw.cost.memory_table` returns it.

    Returns
    -------
    rich renderable
    """
    return Group(accounting_table(memory), word_table(memory))


def accounting_table(memory: Mapping[str, Any]) -> RenderableType:
    """Return the memory footprint of every accounting beside the FP32 baseline."""
    table = plain_table(
        *("phase", "weights", "neurons", ">bits"),
        *(">weights\nKiB", ">neurons\nKiB", ">sum\nKiB", ">FP32\nKiB", ">saving"),
        gap=1,
    )
    phase = ""
    for row in memory["accountings"]:
        if row["phase"] == "training" and row["neurons"] == "paper":
            continue  # the same as in inference
        if phase not in ("", row["phase"]):
            table.add_section()
        phase = row["phase"]
        table.add_row(
            row["phase"],
            row["weights"],
            row["neurons"],
            count(row["bits"]),
            kib(row["weight_bits"]),
            kib(row["neuron_bits"]),
            kib(row["bits"]),
            kib(row["fp32_bits"]),
            f"{row['saving']:.2f}x",
        )
    return section(
        "Memory (Eq. 4: the sum of count x width)",
        table,
        note="Weights: learned = input weights and one constant per kind of fixed connection, sparse = every "
        "connection, dense = full matrices. Neurons: full = every stored word, paper = v_mem and v_th. "
        "FP32 = Diehl & Cook's network of this size, inhibitory neurons included, in 32-bit words, counted "
        "alike. memory_bits is the first row.",
    )


def word_table(memory: Mapping[str, Any]) -> RenderableType:
    """Return the stored words one by one, and whether only training needs them."""
    table = plain_table("word", "kind", ">count", ">bits each", ">bits", "needed in")
    inference = {item["name"] for item in memory["items"]["inference"]}
    for item in memory["items"]["training"]:
        where = "inference and training" if item["name"] in inference else "training"
        table.add_row(
            item["name"], item["kind"], count(item["count"]), str(item["width"]), count(item["bits"]), where
        )
    packings = memory["packings"]
    return section(
        "Stored words (learned, full)",
        table,
        note=f"Inference takes {kib(packings['packed'])} KiB bit by bit, {kib(packings['byte'])} KiB with "
        f"every word in whole bytes, {kib(packings['word32'])} KiB with every word in 32 bits.",
    )


def catalogue_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], note: str = ""
) -> RenderableType:
    """Return a table of things to choose from."""
    table = plain_table(*columns)
    for row in rows:
        table.add_row(*map(Text, row))
    return section(title, table, note=note)


__all__ = [
    "accounting_table",
    "catalogue_table",
    "memory_tables",
    "network_table",
    "value_text",
    "word_table",
]
