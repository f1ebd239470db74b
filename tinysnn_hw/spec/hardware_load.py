"""Find, read and validate hardware files, and list their numbers with unit, source and scope."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec.hardware import CapacityPoint, HardwareSpec, WidthPoint
from tinysnn_hw.spec.load import SCHEMA_VERSION, explain, models_dir, nearest
from tinysnn_hw.spec.quantity import Quantity

DEFAULT_HARDWARE = "edge-45nm"


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareValue:
    """One number of a hardware file.

    Attributes
    ----------
    key : str
        Dotted key, with the width or size it holds for.
    quantity : Quantity
    source : str
        Full reference; empty if the file gives none.
    """

    key: str
    quantity: Quantity
    source: str


def list_hardware() -> list[str]:
    """Return the names of the shipped hardware files, sorted."""
    return sorted(path.stem for path in (models_dir() / "hardware").glob("*.toml"))


def load_hardware(name: str | Path | HardwareSpec = DEFAULT_HARDWARE) -> HardwareSpec:
    """Load hardware by name or file, validated and frozen.

    Parameters
    ----------
    name : str, Path or HardwareSpec
        Shipped hardware (``list_hardware()``), the path of a ``.toml`` file, or what was loaded before.

    Returns
    -------
    HardwareSpec

    Raises
    ------
    SpecError
        Unknown name, malformed file, impossible value; the message names file, key, value and what is allowed.

    Examples
    --------
    >>> load_hardware("edge-45nm").level_of("weight")
    'weight-sram'
    """
    if isinstance(name, HardwareSpec):
        return name
    file = find_hardware(name)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: not valid TOML: {error}") from error
    if table.pop("schema_version", None) != SCHEMA_VERSION:
        raise SpecError(f"{file}: schema_version is not {SCHEMA_VERSION}, which this version reads")
    try:
        return HardwareSpec.model_validate(table)
    except ValidationError as error:
        raise SpecError(explain(error, file, HardwareSpec)) from error


def find_hardware(name: str | Path) -> Path:
    """Return the file of shipped hardware, or the file itself.

    Raises
    ------
    SpecError
        There is neither.
    """
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise SpecError(f"hardware file {str(path)!r} does not exist")
        return path
    names = list_hardware()
    if str(name) not in names:
        raise SpecError(
            f"hardware {str(name)!r} is unknown; shipped hardware: {', '.join(names)}"
            f"{nearest(str(name), names)} (or give the path of a .toml file)"
        )
    return models_dir() / "hardware" / f"{name}.toml"


def is_hardware(name: str) -> bool:
    """Return whether `name` is shipped hardware or a file that describes hardware rather than a network."""
    if name in list_hardware():
        return True
    try:
        return "kind" in tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def hardware_values(hardware: HardwareSpec) -> tuple[HardwareValue, ...]:
    """Return every number of a hardware file, in its order."""
    return tuple(
        HardwareValue(key=key, quantity=found, source=hardware.sources.get(found.source, found.source))
        for key, found in _walk(hardware, "")
    )


def unsourced(hardware: HardwareSpec) -> list[str]:
    """Return the keys of the numbers that name no source."""
    return [value.key for value in hardware_values(hardware) if not value.source.strip()]


def _walk(value: object, key: str) -> Iterator[tuple[str, Quantity]]:
    if isinstance(value, Quantity):
        yield f"{key}{_at(value)}", value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), f"{key}.{name}" if key else name)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, f"{key}.{name}")
    elif isinstance(value, tuple):
        for item in value:
            yield from _walk(item, key)


def _at(point: Quantity) -> str:
    if isinstance(point, WidthPoint):
        return f" ({point.width} bit)"
    if isinstance(point, CapacityPoint) and point.capacity_bytes is not None:
        return f" ({point.capacity_bytes} B)"
    return ""


__all__ = [
    "DEFAULT_HARDWARE", "HardwareValue", "find_hardware", "hardware_values", "is_hardware", "list_hardware",
    "load_hardware", "unsourced",
]  # fmt: skip
