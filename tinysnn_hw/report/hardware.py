"""Tables and JSON of hardware: every number with unit, range, source and scope."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tinysnn_hw.report.text import plain_table, real, section
from tinysnn_hw.spec.hardware import HardwareSpec
from tinysnn_hw.spec.hardware_load import HardwareValue, hardware_values, unsourced


def hardware_table(hardware: HardwareSpec) -> RenderableType:
    """Return every number of a hardware file, and where variables are placed.

    Parameters
    ----------
    hardware : HardwareSpec

    Returns
    -------
    rich renderable
    """
    numbers: dict[str, int] = {}
    table = plain_table("key", ">value", "unit", "range", "source", "scope")
    for value in hardware_values(hardware):
        number = numbers.setdefault(value.source, len(numbers) + 1) if value.source else None
        quantity = value.quantity
        cells = [
            value.key,
            real(quantity.value),
            "" if quantity.unit == "1" else quantity.unit,
            _range(value),
        ]
        table.add_row(*map(Text, [*cells, f"[{number}]" if number else "none", quantity.scope]))
    sources = [Text(f"[{number}] {source}", style="dim") for source, number in numbers.items()]
    missing = unsourced(hardware)
    note = f"Without source: {', '.join(missing)}; do not publish figures made with them." if missing else ""
    parts = [
        section(
            f"{hardware.name} ({hardware.technology})", Text(hardware.summary), table, *sources, note=note
        )
    ]
    if hardware.placement:
        places = plain_table("variable", "memory level")
        for variable, level in hardware.placement.items():
            places.add_row("all others" if variable == "default" else variable, level)
        parts.append(section("Placement", places))
    return Group(*parts)


def _range(value: HardwareValue) -> str:
    quantity = value.quantity
    if quantity.low is None and quantity.high is None:
        return ""
    ends = (quantity.value if end is None else end for end in (quantity.low, quantity.high))
    return " to ".join(map(real, ends))


def hardware_json(hardware: HardwareSpec) -> dict[str, object]:
    """Return hardware as JSON, with the numbers as a list under ``values``."""
    return {
        "name": hardware.name,
        "summary": hardware.summary,
        "technology": hardware.technology,
        "kind": hardware.kind,
        "placement": dict(hardware.placement),
        "scaling": None if hardware.operations is None else hardware.operations.scaling,
        "values": [
            {
                "key": value.key,
                "value": value.quantity.value,
                "low": value.quantity.low,
                "high": value.quantity.high,
                "unit": value.quantity.unit,
                "source": value.source,
                "scope": value.quantity.scope,
            }
            for value in hardware_values(hardware)
        ],
    }


__all__ = ["hardware_json", "hardware_table"]
