"""Random small networks that reach every rule and saturate nowhere, with formats of a chosen resolution."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinysnn_hw.data import Raster
from tinysnn_hw.fixed import Format
from tinysnn_hw.spec.network import NetworkSpec

DETERMINISTIC = ("floor", "to_zero", "nearest", "nearest_away", "nearest_even")
ROUNDINGS = (*DETERMINISTIC, "stochastic")

# Integer bits that no register of these networks outgrows.
WHOLE = {"weight": 2, "v_mem": 14, "v_th": 10, "theta": 9, "x_pre": 9, "eta": 0}
WHOLE_PAIRWISE = {"x_post": 9, "eta_pre": 0}
WHOLE_LAYER = {"v_inh": 14}
SIGNED = ("v_mem", "v_inh")


@dataclass(frozen=True)
class Case:
    """A network, the raster it is trained on and the length of the whole training."""

    spec: NetworkSpec
    raster: Raster
    seed: int
    n_presentations: int


GRID = 64
"""With ``representable``, constants are multiples of one part in so many."""


@dataclass(frozen=True)
class Draw:
    """Random choices of a network; for ``representable`` see `make_case`."""

    rng: Random
    frac_bits: tuple[int, int]
    representable: bool

    def some(self, *values: Any) -> Any:
        """Choose one."""
        return self.rng.choice(values)

    def number(self, low: float, high: float) -> float:
        """Draw a number between two ends."""
        x = self.rng.uniform(low, high)
        return round(x * GRID) / GRID if self.representable else x

    def decay(self, low: float, high: float) -> float:
        """Draw a time constant whose decay ``exp(-1/tau)`` has 16 fraction bits, or in half the cases any."""
        tau = self.rng.uniform(low, high)
        if not self.representable and self.rng.random() < 0.5:
            return tau
        return -1.0 / log(round(np.exp(-1.0 / tau) * 65536) / 65536)

    def formats(self, whole: dict[str, int]) -> dict[str, Format]:
        """Draw formats that have these integer bits."""
        return {n: Format(n in SIGNED, bits, self.rng.randint(*self.frac_bits)) for n, bits in whole.items()}


def make_case(
    rng: Random,
    frac_bits: tuple[int, int],
    roundings: tuple[str, ...] = ROUNDINGS,
    *,
    representable: bool = False,
    pairwise: bool = False,
) -> Case:
    """Draw a network; every register has a number of fraction bits between the ends of ``frac_bits``.

    ``representable``: constants that 6 fraction bits (decays: 16) hold exactly, so that cuts are the only errors.
    ``pairwise``: with pair-wise learning, an inhibitory layer, or, as `baseline` and `sl-stdp`, both.
    """
    draw = Draw(rng, frac_bits, representable)
    some, number = draw.some, draw.number
    inputs, neurons, n_steps = rng.randint(2, 12), rng.randint(1, 8), rng.randint(10, 60)
    v_th = number(0.8, 3.0)
    update_steps = rng.randint(3, n_steps)
    per_window = rng.randint(1, 2 * update_steps)
    formats = draw.formats(WHOLE)
    registers: dict[str, object] = {
        name: {"format": "u0.8", "rounding": some(*roundings)} for name in formats
    }
    registers |= {"v_mem": {"format": "s8.8", "rounding": some(*roundings)}, "c_pre": {"format": "u16.0"}}
    eta_end = max(number(0.03, 0.4), formats["eta"].lsb)
    values: dict[str, Any] = {
        "name": "random",
        "summary": "",
        "recipe": "",
        "network": {"inputs": inputs, "neurons": neurons},
        "neuron": {
            "leak": some("none", "shift", "multiply", "subtract"),
            "leak_shift": rng.randint(1, 9),
            "tau_mem": draw.decay(3.0, 150.0),
            "leak_step": number(0.0, 0.05),
            "v_reset": some(0.0, 0.0, 0.25, -0.5) if representable else some(0.0, 0.0, 0.3, -0.4),
            "v_floor": some(None, -0.5, -3.0),
            "refractory": some(0, 1, 3, 7),
            "v_th": v_th,
            "v_th_cap": some(None, v_th + 0.5),
            "theta_plus": some(0.0, number(0.05, 0.3)),
            "theta_forget": some("none", "subtract", "multiply"),
            "theta_forget_spikes": number(0.0, 4.0),
            "tau_theta": some(1e7, 300.0),
        },
        "inhibition": {
            "strength": number(0.0, 4.0),
            "start": 1.0 if representable else rng.uniform(0.0, 1.0),
            "ramp": rng.uniform(0.1, 1.0),
        },
        "learning": {
            "rule": some("potentiate", "attract"),
            "learners": some("spikers", "winner"),
            "update_steps": update_steps,
            "potentiation": some("eq1", "constant"),
            "n_th": rng.randint(1, 4),
            "trace": some("exponential", "window"),
            "tau_trace": draw.decay(1.0, 30.0),
            "eta_start": eta_end if representable else rng.uniform(eta_end, 0.6),
            "eta_end": eta_end,
            "eta_schedule": some("geometric", "cosine", "linear"),
            "schedule_pieces": rng.randint(1, 4),
            "weight_sum": some(None, 0.4 * inputs),
            "w_max": some(1.0, number(0.7, 1.5)),
            "w_init_low": 0.0,
            "w_init_high": number(0.5, 1.0),
            "epochs": 1,
        },
        "encoding": {
            "n_steps": n_steps,
            "rate_max_hz": 1000.0 * per_window / update_steps,
            "train_spikes": "poisson",
            "inference_spikes": "regular",
        },
        "formats": registers | {"guard_bits": some(0, 0, 2)},
    }
    if pairwise:
        _add_pairwise(draw, values, formats)
    for name in [name for name in formats if name not in registers]:
        values["formats"][name] = {
            "format": "s8.8" if name in SIGNED else "u0.8",
            "rounding": some(*roundings),
        }
    spec = NetworkSpec.model_validate(values)
    # A description read from a file has at most 32 bits in a register; the oracle takes any number.
    wide = {
        name: getattr(spec.formats, name).model_copy(update={"format": fmt}) for name, fmt in formats.items()
    }
    spec = spec.model_copy(update={"formats": spec.formats.model_copy(update=wide)})
    chance = np.random.default_rng(rng.getrandbits(64))
    n_images = rng.randint(1, 3)
    rate = chance.choice([0.1, 0.4], size=(n_images, 1, inputs))
    events = chance.poisson(rate, size=(n_images, n_steps, inputs))
    return Case(spec, Raster.from_dense(events), rng.getrandbits(32), n_images + rng.randint(0, 3))


def _add_pairwise(draw: Draw, values: dict[str, Any], formats: dict[str, Format]) -> None:
    """Give a network pair-wise learning, an inhibitory layer, or both, with their formats."""
    some, number = draw.some, draw.number
    kind = some("both", "both", "both", "rule", "layer")
    if values["neuron"]["v_reset"] >= 0.0 and some(True, False):
        values["neuron"]["v_floor"] = 0.0
    if kind != "layer":
        formats |= draw.formats(WHOLE_PAIRWISE)
        end = max(number(0.02, 0.2), formats["eta_pre"].lsb)
        values["learning"] |= {
            "rule": "pairwise", "learners": "spikers", "update_steps": 1, "potentiation": "constant",
            "trace": "exponential", "trace_mode": some("add", "set"), "soft_bounds": some(True, False),
            "n_essential": some(0, 0, 1, 2),
            "eta_pre_start": end if draw.representable else draw.rng.uniform(end, 0.3), "eta_pre_end": end,
        }  # fmt: skip
    if kind != "rule":
        formats |= draw.formats(WHOLE_LAYER)
        v_th = number(0.5, 3.0)
        values["inhibition"]["kind"] = "layer"
        values["inhibitory"] = {
            "excitation": v_th + number(0.0, 2.0) if draw.representable else v_th * number(0.8, 3.0),
            "v_th": v_th, "v_reset": some(0.0, 0.25, -0.5), "refractory": some(0, 0, 1, 3),
            "tau_mem": draw.decay(2.0, 30.0),
        }  # fmt: skip


def cases(low: int, high: int, *, pairwise: bool = False) -> st.SearchStrategy[Case]:
    """Draw cases whose registers have ``low`` to ``high`` fraction bits."""
    # One number per case: hypothesis repeats parts of earlier draws, so half the networks would be alike.
    return st.integers(0, 2**64 - 1).map(
        lambda number: make_case(Random(number), (low, high), pairwise=pairwise)
    )
