"""What a network costs in hardware, from its description alone: memory (Eq. 4)."""

from __future__ import annotations

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
    "MemoryFootprint",
    "fp32_baseline",
    "memory_footprint",
    "memory_table",
    "saving",
]
