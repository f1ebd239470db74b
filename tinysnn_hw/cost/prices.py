"""Energy of one access and of one operation, from the points of a hardware file."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinysnn_hw.cost.counts import ADD, COMPARE, MULTIPLY, RANDOM_BIT
from tinysnn_hw.spec.hardware import MemorySpec, OperationsSpec, WidthPoint
from tinysnn_hw.spec.quantity import Range


def power_law(points: Sequence[tuple[float, float]], x: float) -> float:
    """Return the value at `x` of straight lines through `points` in log-log, the end slopes continued.

    Parameters
    ----------
    points : sequence of (float, float)
        Ascending in both; all above 0. One point: its value everywhere.
    x : float
        Above 0.

    Returns
    -------
    float
        Exactly the value of a point at its own `x`.
    """
    for at, value in points:
        if x == at:
            return value
    if len(points) == 1:
        return points[0][1]
    above = next((k for k, (at, _) in enumerate(points) if at > x), len(points) - 1)
    (x0, y0), (x1, y1) = points[max(above, 1) - 1], points[max(above, 1)]
    slope = math.log(y1 / y0) / math.log(x1 / x0)
    return float(y0 * (x / x0) ** slope)


def _bounds(points: Sequence[tuple[float, Range]], x: float) -> Range:
    low, nominal, high = (
        power_law([(at, getattr(energy, end)) for at, energy in points], x)
        for end in ("low", "nominal", "high")
    )
    return Range(low, nominal, high)


def operation_energy(
    operations: OperationsSpec, kind: str, width: int, width2: int, *, is_float: bool
) -> Range:
    """Return the energy of one operation [J].

    Parameters
    ----------
    operations : OperationsSpec
    kind : {"add", "multiply", "compare", "random bit"}
    width, width2 : int
        Operand widths [bit]; the second one matters to multiplications only.
    is_float : bool
        32-bit floating point: comparisons are charged as additions.

    Notes
    -----
    ``E(b) = E(b0) * (b / b0) ** a`` through the points; a product of widths ``a`` and ``b`` takes
    ``sqrt(E(a) * E(b))``.
    """
    if kind == RANDOM_BIT:
        return operations.random_bit.si
    if is_float:
        return (operations.float_multiply if kind == MULTIPLY else operations.float_add).si
    if kind == MULTIPLY:
        first, second = (_at_width(operations.multiply, bits) for bits in (width, width2))
        return Range(
            *(math.sqrt(getattr(first, end) * getattr(second, end)) if width != width2 else getattr(first, end)
              for end in ("low", "nominal", "high"))
        )  # fmt: skip
    if kind == COMPARE and operations.compare is not None:
        return _at_width(operations.compare, width)
    if kind in (ADD, COMPARE):
        return _at_width(operations.add, width)
    raise ValueError(f"operation {kind!r} is unknown")


def _at_width(points: tuple[WidthPoint, ...], width: int) -> Range:
    return _bounds([(point.width, point.si) for point in points], width)


def read_energy(memory: MemorySpec, stored_bits: float) -> Range:
    """Return the energy of one read access [J] of a memory that holds so many bits, or of its given capacity.

    Between and beyond the sizes of the file's points the energy is a power of the size.
    """
    points = memory.read
    if points[0].capacity_bytes is None:
        return points[0].si
    size = stored_bits if memory.capacity is None else memory.capacity.si.nominal
    return _bounds([(8.0 * (point.capacity_bytes or 0), point.si) for point in points], max(size, 8.0))


def write_energy(memory: MemorySpec, stored_bits: float) -> Range:
    """Return the energy of one write access [J]."""
    if memory.write is not None:
        return memory.write.si
    assert memory.write_factor is not None  # the file was checked
    return read_energy(memory, stored_bits) * memory.write_factor.si


def port_accesses(memory: MemorySpec, words: int, width: int) -> int:
    """Return the accesses that move a run of neighbouring words: ``ceil(words * width / port width)``."""
    return -(-words * width // int(memory.width.si.nominal))


def rows_opened(memory: MemorySpec, words: int, width: int) -> Range | None:
    """Return the DRAM rows a run of words opens, or None for a memory without rows."""
    if memory.row is None or memory.row_misses is None:
        return None
    return memory.row_misses.si * float(-(-words * width // int(memory.row.si.nominal)))


__all__ = ["operation_energy", "port_accesses", "power_law", "read_energy", "rows_opened", "write_energy"]
