"""What every power source gives: one reading per window, with what it covers and how fast it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Energy of one window.

    Attributes
    ----------
    time_s : float
    energy_j : float
        By the better method of the source.
    check_j : float or None
        The same by a second, independent method; None where there is none.
    n_samples : int
        Samples taken in the window.
    largest_gap_s : float
        Longest time between two samples.
    """

    time_s: float
    energy_j: float
    check_j: float | None
    n_samples: int
    largest_gap_s: float

    @property
    def power_w(self) -> float:
        """Mean power of the window [W]."""
        return self.energy_j / self.time_s


class PowerSource(Protocol):
    """A power meter that measures one window after the other.

    Attributes
    ----------
    name : str
        ``nvml``, ``rapl``, ``ina3221`` or ``constant``.
    scope : str
        What the reading covers.
    method : str
        How the energy is found, and by what it is checked.
    update_s : float
        Time between two updates of the meter.
    sees_idle : bool
        Whether it can tell an idle device from a busy one.
    details : mapping of str to str
        Device, driver, limits, as far as they are known.
    """

    name: str
    scope: str
    method: str
    update_s: float
    sees_idle: bool
    details: Mapping[str, str]

    def begin(self) -> None:
        """Open a window."""

    def end(self) -> Reading:
        """Close the window and return its reading.

        Raises
        ------
        PowerSourceError
            The meter could not be read, or gave values that cannot be.
        """


__all__ = ["PowerSource", "Reading"]
