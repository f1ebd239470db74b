"""A network so small that its every number can be worked out by hand, and a way to show it images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinysnn_hw.engine.oracle import ImageTrace, Oracle
from tinysnn_hw.spec.network import NetworkSpec

HALF_LIFE_1 = 1 / math.log(2)
"""Time constant, in steps, of a decay by one half per step."""

BASE: dict[str, dict[str, Any]] = {
    "network": {"inputs": 2, "neurons": 2},
    "neuron": {"leak": "none", "refractory": 0, "v_th": 100.0, "theta_plus": 0.0},
    "inhibition": {"strength": 0.0},
    "learning": {
        "rule": "potentiate", "learners": "winner", "update_steps": 1, "potentiation": "constant",
        "trace": "window", "eta_start": 0.0625, "eta_end": 0.0625, "w_max": 8.0, "w_init_high": 8.0,
    },
    "encoding": {
        "n_steps": 1, "rate_max_hz": 1000.0, "train_spikes": "regular", "inference_spikes": "regular",
    },
    "formats": {
        "weight": {"format": "u4.4"}, "v_mem": {"format": "s9.4"}, "v_th": {"format": "s9.4"},
        "theta": {"format": "u8.2"}, "x_pre": {"format": "u2.8"}, "c_pre": {"format": "u8.0"},
        "eta": {"format": "u0.8"},
    },
}  # fmt: skip


def network(**changes: object) -> NetworkSpec:
    """Return the base network with ``section__key=value`` (or ``formats__register__key``) changed."""
    values = {section: dict(keys) for section, keys in BASE.items()}
    values["formats"] = {register: dict(keys) for register, keys in BASE["formats"].items()}
    for name, value in changes.items():
        *path, last = name.split("__")
        table: Any = values
        for part in path:
            table = table[part]
        table[last] = value
    return NetworkSpec.model_validate({"name": "tiny", "summary": "", "recipe": "", **values})


def show(
    oracle: Oracle,
    events: Sequence[Sequence[int]],
    *,
    weight: list[list[int]] | None = None,
    phase: Any = "test",
    presentation: int = 0,
    n_presentations: int = 1,
) -> ImageTrace:
    if weight is not None:
        oracle.weight = weight
    return oracle.present(events, phase=phase, presentation=presentation, n_presentations=n_presentations)


def column(rows: list[list[int]], j: int = 0) -> list[int]:
    return [row[j] for row in rows]
