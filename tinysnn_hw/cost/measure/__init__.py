"""Energy by the power meter: one file per power source, and the protocol that makes a number of its readings."""

from __future__ import annotations

from tinysnn_hw.cost.measure.choose import SOURCES, open_source
from tinysnn_hw.cost.measure.protocol import EnergyMeasurement, Interval, Trial, measure_energy
from tinysnn_hw.cost.measure.source import PowerSource, Reading

__all__ = [
    "SOURCES",
    "EnergyMeasurement",
    "Interval",
    "PowerSource",
    "Reading",
    "Trial",
    "measure_energy",
    "open_source",
]
