"""What a network runs on: energies of memory accesses and operations, or of the events of a neuromorphic chip.

Every number is a `Quantity`.  An absent number is unknown and never taken as zero: what needs it is refused or
named as not counted.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tinysnn_hw.spec.fields import SpecModel, quantity
from tinysnn_hw.spec.quantity import Energy, Information, Number, Power, Quantity, of_dimension

DEFAULT_PLACE = "default"
VARIABLES = (
    DEFAULT_PLACE, "input_spikes", "weight", "accumulator", "v_mem", "v_inh", "inhibitory_count", "v_th_inh",
    "refractory_count", "v_th", "output_spikes", "lateral", "excitation", "theta", "x_pre", "c_pre", "n_window",
    "n_post", "x_post",
)  # fmt: skip
"""What can be placed: the variables of docs/cost.md, section 3, and the name that stands for all others."""


class WidthPoint(Quantity):
    """Energy of one operation at one operand width."""

    width: int = quantity("bits", ge=1, le=64)
    """Operand width."""


class CapacityPoint(Quantity):
    """Energy of one access of a memory of one size."""

    capacity_bytes: int | None = quantity("B", default=None, ge=1)
    """Size of the memory; absent: the energy does not depend on it."""


def _ordered_by(field: str) -> AfterValidator:
    def check(points: tuple[Quantity, ...]) -> tuple[Quantity, ...]:
        if not points:
            raise ValueError("at least one point is needed")
        keys = [getattr(point, field) for point in points]
        if len(points) > 1 and (None in keys or any(a >= b for a, b in pairwise(keys))):
            raise ValueError(f"{field} = {keys}: several points need ascending values")
        if any(a.value > b.value for a, b in pairwise(points)):
            raise ValueError(f"energies must not fall with {field}")
        if any(point.value <= 0 for point in points):
            raise ValueError("energies must be above 0")
        for point in points:
            of_dimension("energy")(point)
        return points

    return AfterValidator(check)


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


WidthPoints = Annotated[tuple[WidthPoint, ...], BeforeValidator(_as_tuple), _ordered_by("width")]
CapacityPoints = Annotated[
    tuple[CapacityPoint, ...], BeforeValidator(_as_tuple), _ordered_by("capacity_bytes")
]


class OperationsSpec(SpecModel):
    """Energies of arithmetic, logic only."""

    scaling: Literal["power", "flat"] = quantity("-")
    """Between and beyond the points: a power of the width, exact at each point; or the same at every width."""
    add: WidthPoints
    """Integer addition or subtraction."""
    multiply: WidthPoints
    """Integer multiplication of two operands of that width; mixed widths take the geometric mean."""
    compare: WidthPoints | None = None
    """Integer comparison; absent: as an addition."""
    random_bit: Energy
    """One random bit."""
    float_add: Energy
    """Addition or comparison of 32-bit floating-point numbers."""
    float_multiply: Energy
    """Multiplication of 32-bit floating-point numbers."""

    @model_validator(mode="after")
    def _check(self) -> OperationsSpec:
        for name in ("add", "multiply", "compare"):
            points = getattr(self, name)
            if self.scaling == "flat" and points is not None and len(points) > 1:
                raise ValueError(f"{name}: scaling = 'flat' takes one point, not {len(points)}")
        return self


class MemorySpec(SpecModel):
    """One level of memory."""

    width: Information
    """Port, word or burst: what one access moves, whole, however little of it is wanted."""
    read: CapacityPoints
    """Energy of one read access."""
    write: Energy | None = None
    """Energy of one write access; absent: that of a read times `write_factor`."""
    write_factor: Number | None = None
    """Energy of a write over that of a read; needed where `write` is absent."""
    capacity: Information | None = None
    """Size; absent: as large as what is placed in it."""
    row: Information | None = None
    """DRAM row (page); given together with `activate` and `row_misses`."""
    activate: Energy | None = None
    """Opening and closing one DRAM row."""
    row_misses: Number | None = None
    """Share of the runs of contiguous accesses that find their row closed, 0 to 1."""
    static_power: Power | None = None
    """Leakage, refresh and background; absent: unknown, and named as not counted."""

    @model_validator(mode="after")
    def _check(self) -> MemorySpec:
        if (self.write is None) == (self.write_factor is None):
            raise ValueError("give either write or write_factor")
        rows = (self.row, self.activate, self.row_misses)
        if any(part is None for part in rows) and any(part is not None for part in rows):
            raise ValueError("row, activate and row_misses belong together")
        if self.row_misses is not None and self.row_misses.si.high > 1:
            raise ValueError(f"row_misses = {self.row_misses.si.high}; a share of 0 to 1 is needed")
        for name in ("width", "capacity", "row"):
            size = getattr(self, name)
            if size is not None and (size.si.nominal < 1 or not size.si.is_exact):
                raise ValueError(f"{name} = {size.value} {size.unit}; one number of at least 1 bit is needed")
        return self


class EventsSpec(SpecModel):
    """Energies of the events of a neuromorphic chip, memory included."""

    synop: Energy
    """One synaptic operation: one weight applied because of one spike."""
    neuron_update: Energy | None = None
    """One neuron in one step; absent: inside `synop`, or unknown."""
    spike: Energy | None = None
    """One spike sent out by a neuron."""
    learned_synapse: Energy | None = None
    """One weight changed by learning; absent: unknown, so that training cannot be costed."""


class HardwareSpec(SpecModel):
    """One piece of hardware: either memories and operations, or events."""

    name: str
    summary: str
    technology: str
    """Process and supply, in words."""
    kind: Literal["access", "event"] = quantity("-")
    """``access``: energies of memory accesses and operations; ``event``: of events of a chip."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Key -> full reference."""
    operations: OperationsSpec | None = None
    memory: dict[str, MemorySpec] = Field(default_factory=dict)
    placement: dict[str, str] = Field(default_factory=dict)
    """Variable -> memory level; ``default`` stands for every variable that is not named."""
    events: EventsSpec | None = None

    @model_validator(mode="after")
    def _check(self) -> HardwareSpec:
        if self.kind == "event":
            if self.events is None or self.operations is not None or self.memory or self.placement:
                raise ValueError(
                    "kind = 'event' takes [events] and neither [operations], [memory] nor [placement]"
                )
            return self
        if self.operations is None or not self.memory or self.events is not None:
            raise ValueError(
                "kind = 'access' takes [operations], [memory.<level>] and [placement], no [events]"
            )
        if DEFAULT_PLACE not in self.placement:
            raise ValueError("placement.default is missing: it names the level of every variable not listed")
        for variable, level in self.placement.items():
            if variable not in VARIABLES:
                raise ValueError(
                    f"placement.{variable} is no variable of a datapath; variables: {', '.join(VARIABLES)}"
                )
            if level not in self.memory:
                raise ValueError(
                    f"placement.{variable} = {level!r} is no memory level; levels: {', '.join(self.memory)}"
                )
        return self

    def level_of(self, variable: str) -> str:
        """Return the memory level a variable is placed in."""
        return self.placement.get(variable, self.placement[DEFAULT_PLACE])


__all__ = [
    "DEFAULT_PLACE", "CapacityPoint", "EventsSpec", "HardwareSpec", "MemorySpec", "OperationsSpec",
    "WidthPoint",
]  # fmt: skip
