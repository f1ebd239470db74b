"""Random small networks with all that they can vary, and rasters for them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinysnn_hw.data.raster import Raster
from tinysnn_hw.fixed import Format
from tinysnn_hw.spec.network import NetworkSpec

ROUNDINGS = ["floor", "to_zero", "nearest", "nearest_away", "nearest_even", "stochastic"]


Registers = dict[str, Any]
"""Name -> what is compared: an array, or a list of numbers and None."""


@dataclass(frozen=True)
class Case:
    """A network, its rasters and how its training is divided into runs."""

    spec: NetworkSpec
    seed: int
    training: Raster
    labelling: Raster
    test: Raster
    first_run: int
    n_presentations: int


def register(rng: Random, fmt: str, *, plain: bool) -> dict[str, object]:
    modes = ["saturate"] * (9 if plain else 4) + ["saturate_symmetric", "wrap"] * (1 if plain else 2)
    return {
        "format": fmt,
        "rounding": rng.choice(ROUNDINGS),
        "overflow": "error" if not plain and rng.random() < 0.04 else rng.choice(modes),
        "rand_bits": rng.choice([32, 32, 8, 3, 1]),
    }


def number(rng: Random, low: float, high: float) -> float:
    """Return a number between two ends, now and then one of the ends, else one on no grid."""
    return rng.choice([low, high, rng.uniform(low, high), rng.uniform(low, high)])


def add_layer(rng: Random, values: Registers, v_th: float, *, plain: bool) -> None:
    """Put inhibitory neurons into a network; now and then a spike does not suffice to make one fire."""
    some, whole = rng.choice, rng.randint
    fmt = Format(True, some([2, 4, 6]), whole(4, 10) if plain else whole(0, 14))
    layer_v_th = number(rng, 0.3, 0.95) * fmt.max
    values["inhibition"]["kind"] = "layer"
    values["inhibition"]["strength"] = min(values["inhibition"]["strength"], 4.0 * v_th)
    values["inhibitory"] = {
        "excitation": some([0.4, 0.8, 1.2, 3.0]) * layer_v_th,
        "tau_mem": number(rng, 0.6, 30.0),
        "v_th": layer_v_th,
        "v_reset": some([0.0, 0.5, -0.5]) * layer_v_th,
        "refractory": some([0, 1, 2, 9]),
    }
    values["formats"]["v_inh"] = register(rng, str(fmt), plain=plain)


def make_pairwise(rng: Random, values: Registers, *, plain: bool) -> None:
    """Give a network pair-wise learning."""
    some, whole, learning = rng.choice, rng.randint, values["learning"]
    eta_frac = whole(3, 16)
    start = number(rng, 2.0 ** (1 - eta_frac), 0.5)
    learning |= {
        "rule": "pairwise", "learners": "spikers", "update_steps": 1, "potentiation": "constant",
        "trace": "exponential", "trace_mode": some(["add", "set"]), "soft_bounds": some([True, False]),
        "n_essential": some([0, 0, 1, 2, 3]), "eta_pre_start": start,
        "eta_pre_end": max(start * number(rng, 0.1, 1.0), 2.0**-eta_frac),
    }  # fmt: skip
    values["formats"]["x_post"] = register(rng, f"u{whole(1, 3)}.{whole(0, 10)}", plain=plain)
    values["formats"]["eta_pre"] = register(rng, f"u0.{eta_frac}", plain=plain)


def network(
    rng: Random, inputs: int, neurons: int, n_steps: int, *, plain: bool, pairwise: bool = False
) -> NetworkSpec:
    """Make a network that spikes; ``plain``: formats and modes that the fast kernel has a chance with."""
    some = lambda *values: rng.choice(values)  # noqa: E731
    whole = rng.randint
    width = whole(4, 8) if plain else whole(1, 16)
    signed = not plain and width > 1 and some(False, False, True)
    frac = width if plain else whole(-1, width + 2)
    weight = Format(signed, width - frac, frac)
    w_max = min(number(rng, 0.3, 1.0) * weight.max, weight.max)
    w_high = number(rng, 0.3, 1.2) * w_max
    w_low = number(rng, 0.0, 0.9) * w_high

    width = whole(10, 16) if plain else whole(4, 24)
    # A range of 2 to 64 full weights, above and below 0.
    above = int(np.ceil(np.log2(w_max))) + whole(1, 6)
    signed = some(True, True, False)
    v_mem = Format(signed, above + signed, width - above - signed)
    v_th = min(w_max * number(rng, 0.2, 4.0), 0.9 * v_mem.max)
    theta_plus = some(0.0, 0.02, 0.1, 0.6) * v_th
    cap = v_th + some(0.0, 0.3, 1.0, 3.0) * v_th if some(True, plain, plain) else None
    top = max(v_th, cap or 0.0, v_mem.max if some(True, False) else 0.0)
    above = int(np.ceil(np.log2(top))) + whole(0, 1)
    signed = some(False, True)
    v_th_frac = v_mem.frac_bits + some(0, 0, -1, 2, 5)
    v_th_frac = max(v_th_frac, 1 - above)
    theta_above = above + some(0, 0, -1, -3)
    theta_frac = max(some(16, 20, 10, v_th_frac, v_th_frac - 1, v_th_frac + 3), 2 - theta_above)
    theta_frac = min(theta_frac, 30 - theta_above)

    update_steps = whole(1, n_steps)
    trace = some("exponential", "window")
    rate = max(whole(1, 1500), int(510 / update_steps) + 1)
    x_frac = whole(0, 10)
    eta_frac = whole(3, 16)
    eta_start = number(rng, 2.0 ** (1 - eta_frac), 0.8)
    eta_end = max(eta_start * number(rng, 0.1, 1.0), 2.0**-eta_frac)
    full_count = 2 * rate * update_steps // 1000 + 2
    leak = some("none", "shift", "multiply", "subtract")
    values = {
        "name": "random",
        "summary": "",
        "recipe": "",
        "network": {"inputs": inputs, "neurons": neurons},
        "neuron": {
            "leak": leak,
            "leak_shift": whole(1, 9),
            "tau_mem": number(rng, 0.6, 200.0),
            "leak_step": number(rng, 0.0, 0.3) * v_th,
            "v_reset": max(some(0.0, 0.0, 0.4, -0.4) * v_th, v_mem.min),
            "v_floor": None if some(True, False) else max(-some(0.4, 1.0, 3.0) * v_th, v_mem.min),
            "refractory": some(0, 1, 2, 5, 60),
            "v_th": v_th,
            "v_th_cap": cap,
            "theta_plus": theta_plus,
            "theta_forget": some("none", "subtract", "multiply"),
            "theta_forget_spikes": number(rng, 0.0, 6.0),
            "tau_theta": some(1e7, 500.0, 20.0, 3.0),
        },
        "inhibition": {
            # Up to several times the whole range of v_mem: only the bound of the result limits it.
            "strength": some(0.0, 0.5 * v_th, 2.0 * v_th, 20.0 * v_th, number(rng, 0.5, 4.0) * v_mem.max),
            "start": number(rng, 0.0, 1.0),
            "ramp": number(rng, 0.1, 1.0),
        },
        "learning": {
            "rule": some("potentiate", "attract"),
            "learners": some("spikers", "winner"),
            "update_steps": update_steps,
            "potentiation": some("eq1", "constant"),
            "n_th": whole(1, 6),
            "trace": trace,
            "tau_trace": number(rng, 0.6, 40.0),
            "eta_start": eta_start,
            "eta_end": eta_end,
            "eta_schedule": some("geometric", "cosine", "linear"),
            "schedule_pieces": whole(1, 5),
            "weight_sum": some(None, some(0.2, 0.6, 1.1) * inputs * w_max),
            "w_max": w_max,
            "w_init_low": w_low,
            "w_init_high": w_high,
            "epochs": 1,
        },
        "encoding": {
            "n_steps": n_steps,
            "rate_max_hz": float(rate),
            "train_spikes": "poisson",
            "inference_spikes": "regular",
        },
        "formats": {
            "weight": register(rng, str(weight), plain=plain),
            "v_mem": register(rng, str(v_mem), plain=plain),
            "v_th": register(rng, str(Format(signed, above + signed, v_th_frac)), plain=plain),
            "theta": register(rng, str(Format(False, theta_above, theta_frac)), plain=plain),
            "x_pre": register(rng, f"u{whole(1, 4)}.{x_frac}", plain=plain),
            "c_pre": register(rng, f"u{full_count.bit_length() + some(0, 0, 2)}.0", plain=plain),
            "eta": register(rng, f"u0.{eta_frac}", plain=plain),
            "guard_bits": some(0, 0, 1, 4),
        },
    }
    if pairwise:
        # Three kinds: both together, as baseline has them, and either alone.
        kind = some("both", "both", "layer", "rule")
        if kind != "rule":
            add_layer(rng, values, v_th, plain=plain)
        if kind != "layer":
            make_pairwise(rng, values, plain=plain)
    return NetworkSpec.model_validate(values)


def random_raster(rng: np.random.Generator, n_images: int, spec: NetworkSpec) -> Raster:
    """Make a raster with silent and busy images, and inputs that spike several times in a step."""
    shape = (n_images, spec.encoding.n_steps, spec.network.inputs)
    rate = rng.choice([0.04, 0.4, 1.6], size=(n_images, 1, 1)) * rng.random((n_images, 1, shape[2]))
    return Raster.from_dense(rng.poisson(rate, size=shape))


def make_case(chance: Random, *, plain: bool, pairwise: bool = False) -> Case:
    # Beyond one vector of the fast kernel, and its odd end; the oracle is too slow for that.
    inputs, neurons = (chance.randint(1, most) for most in ((30, 70) if plain else (12, 9)))
    spec = network(chance, inputs, neurons, chance.randint(4, 40), plain=plain, pairwise=pairwise)
    rng = np.random.default_rng(chance.getrandbits(64))
    n_training = chance.randint(1, 4)
    return Case(
        spec=spec,
        seed=chance.choice([0, 2**32 - 1, chance.getrandbits(32)]),
        training=random_raster(rng, n_training, spec),
        labelling=random_raster(rng, 2, spec),
        test=random_raster(rng, 1, spec),
        first_run=chance.randint(1, n_training),
        n_presentations=n_training + chance.choice([0, 0, 3]),
    )


def cases(*, plain: bool = False, pairwise: bool = False) -> st.SearchStrategy[Case]:
    # One number per case: hypothesis repeats parts of earlier draws, so half the networks would be alike.
    return st.integers(0, 2**64 - 1).map(
        lambda number: make_case(Random(number), plain=plain, pairwise=pairwise)
    )


def lively_case() -> Case:
    values: dict[str, Any] = {
        "name": "lively", "summary": "", "recipe": "",
        "network": {"inputs": 6, "neurons": 4},
        "neuron": {"leak": "shift", "leak_shift": 4, "refractory": 2, "v_th": 1.0, "theta_plus": 0.05,
                   "theta_forget": "subtract", "theta_forget_spikes": 1.0},
        "inhibition": {"strength": 1.5},
        "learning": {"rule": "attract", "learners": "spikers", "update_steps": 10, "potentiation": "eq1",
                     "trace": "window", "eta_start": 0.1, "eta_end": 0.05, "weight_sum": 2.0,
                     "w_init_high": 0.6},
        "encoding": {"n_steps": 30, "rate_max_hz": 800.0, "train_spikes": "regular",
                     "inference_spikes": "regular"},
        "formats": {"weight": {"format": "u0.8", "rounding": "stochastic"}, "v_mem": {"format": "s4.8"},
                    "v_th": {"format": "s4.8"}, "theta": {"format": "u4.16"}, "x_pre": {"format": "u1.8"},
                    "c_pre": {"format": "u8.0"}, "eta": {"format": "u0.16"}},
    }  # fmt: skip
    spec = NetworkSpec.model_validate(values)
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.6, size=(2, 30, 6))
    rasters = [Raster.from_dense(counts), Raster.from_dense(counts[:1]), Raster.from_dense(counts[1:])]
    return Case(spec, 5, *rasters, first_run=2, n_presentations=2)
