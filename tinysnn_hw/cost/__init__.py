"""What a network costs in hardware: memory (Eq. 4), accesses and operations, modelled and measured energy."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from tinysnn_hw.cost.accesses import count_accesses
from tinysnn_hw.cost.assumed import assumed_activity
from tinysnn_hw.cost.counts import Counts
from tinysnn_hw.cost.energy import EnergyRow
from tinysnn_hw.cost.estimate import Cost, cost
from tinysnn_hw.cost.memory import (
    NEURON_ACCOUNTINGS,
    PACKINGS,
    PHASES,
    WEIGHT_ACCOUNTINGS,
    MemoryFootprint,
    fp32_baseline,
    memory_footprint,
    memory_table,
    saving,
)

__all__ = [
    "NEURON_ACCOUNTINGS",
    "PACKINGS",
    "PHASES",
    "WEIGHT_ACCOUNTINGS",
    "Cost",
    "Counts",
    "EnergyRow",
    "MemoryFootprint",
    "assumed_activity",
    "cost",
    "count_accesses",
    "fp32_baseline",
    "memory_footprint",
    "memory_table",
    "saving",
]


class _CallableRoom(ModuleType):
    """Lets ``tinysnn_hw.cost(...)`` be called: the room and the function a user meets first share a name."""

    def __call__(self, *args: Any, **options: Any) -> Cost:
        """Call `cost`."""
        return cost(*args, **options)


sys.modules[__name__].__class__ = _CallableRoom
