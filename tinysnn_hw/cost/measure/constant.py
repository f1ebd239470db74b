"""Time multiplied by a power that is given, not measured: the paper's own method."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tinysnn_hw.cost.measure.sampling import Clock
from tinysnn_hw.cost.measure.source import Reading
from tinysnn_hw.errors import MeasurementError, PowerSourceError


@dataclass(slots=True)
class ConstantSource:
    """Energy as elapsed time times a given power.

    Parameters
    ----------
    power_w : float
        Operational power [W], above 0.

    Raises
    ------
    MeasurementError
        The power is no number above 0.
    """

    power_w: float
    clock: Clock = time.perf_counter
    name: str = "constant"
    scope: str = field(init=False)
    method: str = "elapsed time times a given power"
    update_s: float = 0.0
    sees_idle: bool = False
    details: Mapping[str, str] = field(init=False)
    _began: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.power_w) and self.power_w > 0):
            raise MeasurementError(f"power = {self.power_w} W; a number above 0 is required")
        self.scope = f"a device assumed to draw {self.power_w:g} W; nothing was measured but the time"
        self.details = {"power_w": f"{self.power_w:g}"}

    def begin(self) -> None:
        """Open a window."""
        self._began = self.clock()

    def end(self) -> Reading:
        """Close the window."""
        if self._began is None:
            raise PowerSourceError("constant: no window was opened")
        elapsed = self.clock() - self._began
        self._began = None
        return Reading(
            time_s=elapsed, energy_j=self.power_w * elapsed, check_j=None, n_samples=2, largest_gap_s=elapsed
        )


__all__ = ["ConstantSource"]
