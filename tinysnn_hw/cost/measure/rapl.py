"""CPU energy by the counters of RAPL, as Linux shows them under ``/sys/class/powercap``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tinysnn_hw.cost.measure.sampling import Clock, Sampler
from tinysnn_hw.cost.measure.source import Reading
from tinysnn_hw.cost.measure.sysfs import read_integer, read_text
from tinysnn_hw.errors import PowerSourceError

POWERCAP = Path("/sys/class/powercap")
UPDATE_S = 1e-3
POLL_S = 1.0
"""Counters are read so often that they cannot wrap around twice unseen: at 1 kW a range of 65 kJ lasts a minute."""
JOULES_PER_COUNT = 1e-6


@dataclass(slots=True)
class WrappingCounter:
    """An energy counter that starts again at 0 behind its largest value.

    Attributes
    ----------
    folder : Path
        Zone of powercap.
    label : str
    total_uj : int
        Energy since `reset` [uJ].
    """

    folder: Path
    label: str
    range_uj: int
    last_uj: int = 0
    total_uj: int = 0

    def reset(self) -> None:
        """Start at 0."""
        self.last_uj, self.total_uj = read_integer(self.folder / "energy_uj"), 0

    def update(self) -> None:
        """Add what was counted since the last time, across at most one wrap-around."""
        now = read_integer(self.folder / "energy_uj")
        step = now - self.last_uj
        # A counter of range R goes from R to 0, so R + 1 counts lie in one turn.
        self.total_uj += step if step >= 0 else step + self.range_uj + 1
        self.last_uj = now


def find_zones(root: Path) -> list[WrappingCounter]:
    """Return the zones that together cover packages and memory, none of them twice.

    ``core`` and ``uncore`` are parts of a package, ``psys`` contains the packages, and ``intel-rapl-mmio`` shows the
    packages again: all are left out.

    Raises
    ------
    PowerSourceError
        There are none.
    """
    if not root.is_dir():
        raise PowerSourceError(
            f"{root}: does not exist; RAPL needs Linux on an x86 machine that is not virtual"
        )
    packages = sorted(root.glob("intel-rapl:[0-9]*")) or sorted(root.glob("intel-rapl-mmio:[0-9]*"))
    zones = []
    for folder in packages:
        label = read_text(folder / "name")
        if label.startswith("package") or label == "dram":
            place = (
                label
                if label.startswith("package")
                else f"{label} of {read_text(Path(str(folder).rpartition(':')[0]) / 'name')}"
            )
            zones.append(WrappingCounter(folder, place, read_integer(folder / "max_energy_range_uj")))
    if not zones:
        raise PowerSourceError(
            f"{root}: no RAPL package found; the processor or a virtual machine does not offer it"
        )
    return zones


@dataclass(slots=True)
class RaplSource:
    """Energy of CPU packages, and of their memory where RAPL counts it.

    Parameters
    ----------
    root : Path
        The folder of powercap.

    Raises
    ------
    PowerSourceError
        RAPL is absent or unreadable; the message says why.
    """

    root: Path = POWERCAP
    clock: Clock = time.perf_counter
    poll_s: float = POLL_S
    name: str = "rapl"
    scope: str = field(init=False)
    method: str = "energy counters of RAPL, wrap-around included"
    update_s: float = UPDATE_S
    sees_idle: bool = True
    details: Mapping[str, str] = field(init=False)
    _zones: list[WrappingCounter] = field(init=False)
    _sampler: Sampler = field(init=False)

    def __post_init__(self) -> None:
        self._zones = find_zones(self.root)
        for zone in self._zones:
            zone.reset()
        names = ", ".join(zone.label for zone in self._zones)
        self.scope = f"CPU: {names}; the rest of the machine is not included"
        self.details = {zone.label: str(zone.folder) for zone in self._zones}
        self._sampler = Sampler(self._total, self.poll_s, self.clock)

    def begin(self) -> None:
        """Open a window."""
        for zone in self._zones:
            zone.reset()
        self._sampler.start()

    def end(self) -> Reading:
        """Close the window."""
        trace = self._sampler.stop()
        energy = trace.values[-1]
        if energy <= 0:
            raise PowerSourceError(
                f"rapl: the counters did not move in {trace.time_s:.3g} s; this machine shows RAPL without counting"
            )
        return trace.reading(energy)

    def _total(self) -> float:
        for zone in self._zones:
            zone.update()
        return sum(zone.total_uj for zone in self._zones) * JOULES_PER_COUNT


__all__ = ["POWERCAP", "RaplSource", "WrappingCounter", "find_zones"]
