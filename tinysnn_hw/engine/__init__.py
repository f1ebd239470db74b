"""How a step is computed: spec to integers, and kernels that see nothing but integers."""

from __future__ import annotations

from tinysnn_hw.engine.lower import Lowered, Proof, lower
from tinysnn_hw.engine.run import (
    FloatState,
    NetworkState,
    RunResult,
    choose_plan,
    empty_stats,
    initial_float_state,
    initial_state,
    merge_stats,
    open_session,
    run,
)

__all__ = [
    "FloatState",
    "Lowered",
    "NetworkState",
    "Proof",
    "RunResult",
    "choose_plan",
    "empty_stats",
    "initial_float_state",
    "initial_state",
    "lower",
    "merge_stats",
    "open_session",
    "run",
]
