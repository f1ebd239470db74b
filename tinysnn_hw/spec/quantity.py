"""A physical number as a hardware file holds it: value, unit, source, scope and, where known, its range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, model_validator

from tinysnn_hw.spec.fields import SpecModel

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
# Unit -> factor to SI and the dimension; information is in bits.
UNITS: dict[str, tuple[float, str]] = {
    **{f"{prefix}J": (factor, "energy") for prefix, factor in _PREFIXES.items()},
    **{f"{prefix}W": (factor, "power") for prefix, factor in _PREFIXES.items()},
    "bit": (1.0, "information"),
    "B": (8.0, "information"),
    "KiB": (8.0 * 1024, "information"),
    "MiB": (8.0 * 1024**2, "information"),
    "1": (1.0, "number"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """A quantity in SI units with the bounds the literature leaves it.

    Sums and products keep bounds apart: all low ends together, all high ends together.
    """

    low: float
    nominal: float
    high: float

    def __add__(self, other: Range) -> Range:
        """Return the sum, bound by bound."""
        return Range(self.low + other.low, self.nominal + other.nominal, self.high + other.high)

    def __mul__(self, factor: float | Range) -> Range:
        """Return the product with a non-negative factor, bound by bound."""
        other = factor if isinstance(factor, Range) else Range(factor, factor, factor)
        return Range(self.low * other.low, self.nominal * other.nominal, self.high * other.high)

    @property
    def is_exact(self) -> bool:
        """Whether low, nominal and high are the same number."""
        return self.low == self.nominal == self.high


ZERO = Range(0.0, 0.0, 0.0)


class Quantity(SpecModel):
    """One number of a hardware file."""

    value: float
    """Nominal value, in `unit`."""
    unit: str
    """Unit, one of `UNITS`."""
    low: float | None = None
    """Lowest value found in the literature; absent: the nominal one."""
    high: float | None = None
    """Highest value found in the literature; absent: the nominal one."""
    source: str = ""
    """Where the number comes from: a key of the file's ``[sources]``, or a text."""
    scope: str = ""
    """What the number includes and what it leaves out."""

    @model_validator(mode="after")
    def _check(self) -> Quantity:
        if self.unit not in UNITS:
            raise ValueError(f"unit = {self.unit!r} is unknown; allowed: {', '.join(UNITS)}")
        low, high = self._ends()
        if not 0 <= low <= self.value <= high:
            raise ValueError(
                f"low = {low}, value = {self.value}, high = {high}: need 0 <= low <= value <= high"
            )
        return self

    @property
    def dimension(self) -> str:
        """Dimension of the unit: ``energy``, ``power``, ``information`` or ``number``."""
        return UNITS[self.unit][1]

    @property
    def si(self) -> Range:
        """The number in J, W, bit or 1, with its bounds."""
        factor = UNITS[self.unit][0]
        low, high = self._ends()
        return Range(low * factor, self.value * factor, high * factor)

    def _ends(self) -> tuple[float, float]:
        return (
            self.value if self.low is None else self.low,
            self.value if self.high is None else self.high,
        )


def of_dimension(dimension: str) -> Callable[[Quantity], Quantity]:
    """Return a validator that refuses a quantity of another dimension."""

    def check(quantity: Quantity) -> Quantity:
        if quantity.dimension != dimension:
            allowed = [unit for unit, (_, known) in UNITS.items() if known == dimension]
            raise ValueError(
                f"unit = {quantity.unit!r} is a unit of {quantity.dimension}; {dimension} is needed: "
                f"{', '.join(allowed)}"
            )
        return quantity

    return check


Energy = Annotated[Quantity, AfterValidator(of_dimension("energy"))]
Power = Annotated[Quantity, AfterValidator(of_dimension("power"))]
Information = Annotated[Quantity, AfterValidator(of_dimension("information"))]
Number = Annotated[Quantity, AfterValidator(of_dimension("number"))]

__all__ = ["UNITS", "ZERO", "Energy", "Information", "Number", "Power", "Quantity", "Range", "of_dimension"]
