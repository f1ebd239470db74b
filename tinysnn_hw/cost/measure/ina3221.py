"""Power rails of Jetson boards by their INA3221 monitors, read from sysfs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinysnn_hw.cost.measure.sampling import Clock, Sampler
from tinysnn_hw.cost.measure.source import Reading
from tinysnn_hw.cost.measure.sysfs import read_integer, read_text
from tinysnn_hw.errors import PowerSourceError

SYSFS = Path("/sys")
TOTAL_RAILS = ("POM_5V_IN", "VDD_IN", "VIN")
"""Rails that carry the whole board; the others are parts of them."""
UPDATE_S = 0.1
SAMPLE_S = 0.02


@dataclass(frozen=True, slots=True)
class Rail:
    """One monitored rail, and how its power is read [W]."""

    label: str
    place: str
    read_w: Callable[[], float]


def find_rails(root: Path) -> list[Rail]:
    """Return all rails of all INA3221 monitors.

    Two layouts exist: ``class/hwmon`` has volts in mV and amperes in mA, and on some kernels power in uW; the older
    ``iio`` of JetPack 4 has power in mW.

    Raises
    ------
    PowerSourceError
        There are none.
    """
    rails = [*_hwmon_rails(root), *_iio_rails(root)]
    if not rails:
        raise PowerSourceError(
            f"{root}: no INA3221 monitor found under class/hwmon or bus/i2c; NVIDIA Jetson boards have one"
        )
    return rails


def _hwmon_rails(root: Path) -> Iterator[Rail]:
    for folder in sorted((root / "class" / "hwmon").glob("hwmon*")):
        if read_text(folder / "name") != "ina3221":
            continue
        for number in (1, 2, 3):
            label, power = read_text(folder / f"in{number}_label"), folder / f"power{number}_input"
            volts, amperes = folder / f"in{number}_input", folder / f"curr{number}_input"
            if label in ("", "NC") or not (power.exists() or amperes.exists()):
                continue
            yield Rail(label, str(folder), _power(power) if power.exists() else _product(volts, amperes))


def _iio_rails(root: Path) -> Iterator[Rail]:
    for folder in sorted((root / "bus" / "i2c" / "drivers" / "ina3221x").glob("*/iio:device*")):
        for number in (0, 1, 2):
            label, power = read_text(folder / f"rail_name_{number}"), folder / f"in_power{number}_input"
            if label not in ("", "NC") and power.exists():
                yield Rail(label, str(folder), _scaled(power, 1e-3))


def _scaled(file: Path, factor: float) -> Callable[[], float]:
    return lambda: read_integer(file) * factor


def _power(file: Path) -> Callable[[], float]:
    return _scaled(file, 1e-6)


def _product(volts: Path, amperes: Path) -> Callable[[], float]:
    return lambda: read_integer(volts) * 1e-3 * read_integer(amperes) * 1e-3


def choose_rails(rails: Sequence[Rail], wanted: Sequence[str] = ()) -> list[Rail]:
    """Return the rails to add up: those wanted, else the one of the whole board, else all.

    A rail of the whole board is never added to its parts.

    Raises
    ------
    PowerSourceError
        A wanted rail does not exist, or is the whole board's and comes with others.
    """
    by_label = {rail.label: rail for rail in rails}
    for label in wanted:
        if label not in by_label:
            raise PowerSourceError(
                f"ina3221: rail {label!r} does not exist; rails here: {', '.join(by_label)}"
            )
    totals = [label for label in TOTAL_RAILS if label in by_label]
    if wanted:
        doubled = [label for label in wanted if label in totals]
        if doubled and len(set(wanted)) > 1:
            raise PowerSourceError(
                f"ina3221: {doubled[0]} carries the whole board; do not add other rails to it"
            )
        return [by_label[label] for label in dict.fromkeys(wanted)]
    return [by_label[totals[0]]] if totals else list(by_label.values())


@dataclass(slots=True)
class Ina3221Source:
    """Energy of a Jetson board as the integral of its rail power.

    Parameters
    ----------
    rails : sequence of str
        Rails to add up; empty: the whole board.
    root : Path
        The folder of sysfs.

    Raises
    ------
    PowerSourceError
        No monitor, or no such rail.
    """

    rails: Sequence[str] = ()
    root: Path = SYSFS
    clock: Clock = time.perf_counter
    sample_s: float = SAMPLE_S
    name: str = "ina3221"
    scope: str = field(init=False)
    method: str = "integral of sampled rail power (trapezoidal rule)"
    update_s: float = UPDATE_S
    sees_idle: bool = True
    details: Mapping[str, str] = field(init=False)
    _chosen: list[Rail] = field(init=False)
    _sampler: Sampler = field(init=False)

    def __post_init__(self) -> None:
        self._chosen = choose_rails(find_rails(self.root), self.rails)
        labels = [rail.label for rail in self._chosen]
        whole = len(labels) == 1 and labels[0] in TOTAL_RAILS
        self.scope = f"{'whole board' if whole else 'rails'}: {', '.join(labels)}"
        self.details = {rail.label: rail.place for rail in self._chosen}
        self._sampler = Sampler(self._power_w, self.sample_s, self.clock)
        self._power_w()

    def begin(self) -> None:
        """Open a window."""
        self._sampler.start()

    def end(self) -> Reading:
        """Close the window."""
        trace = self._sampler.stop()
        energy = trace.integral()
        if energy <= 0:
            raise PowerSourceError(
                f"ina3221: {self.scope} shows no power over {trace.time_s:.3g} s; is the rail in use?"
            )
        return trace.reading(energy)

    def _power_w(self) -> float:
        return sum(rail.read_w() for rail in self._chosen)


__all__ = ["SYSFS", "TOTAL_RAILS", "Ina3221Source", "Rail", "choose_rails", "find_rails"]
