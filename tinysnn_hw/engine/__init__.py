"""How a step is computed: spec to integers, and kernels that see nothing but integers."""

from __future__ import annotations

from tinysnn_hw.engine.lower import Lowered, Proof, lower
from tinysnn_hw.engine.run import NetworkState, RunResult, choose_plan, initial_state, merge_stats, run

__all__ = [
    "Lowered",
    "NetworkState",
    "Proof",
    "RunResult",
    "choose_plan",
    "initial_state",
    "lower",
    "merge_stats",
    "run",
]
