"""The oracle's inhibitory layer and pair-wise learning, worked out by hand from docs/numerics.md."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tinysnn_hw.engine.oracle import ImageTrace, Oracle
from tinysnn_hw.engine.oracle_constants import draw
from tinysnn_hw.spec.network import NetworkSpec

HALF_LIFE_1 = 1 / math.log(2)
"""Time constant, in steps, of a decay by one half per step."""


def network(
    n_steps: int, *, inputs: int = 1, neurons: int = 2, layer: bool = True, **changes: object
) -> NetworkSpec:
    """Return a network on the grid of 1/16 that learns at every spike, with or without an inhibitory layer."""
    values: dict[str, Any] = {
        "name": "tiny", "summary": "", "recipe": "",
        "network": {"inputs": inputs, "neurons": neurons},
        "neuron": {"leak": "none", "refractory": 0, "v_th": 4.0, "theta_plus": 0.0},
        "inhibition": {"kind": "layer" if layer else "direct", "strength": 3.0},
        "learning": {
            "rule": "pairwise", "learners": "spikers", "update_steps": 1, "potentiation": "constant",
            "trace": "exponential", "trace_mode": "set", "tau_trace": HALF_LIFE_1, "eta_start": 0.25,
            "eta_end": 0.25, "eta_pre_start": 0.125, "eta_pre_end": 0.125, "w_max": 8.0, "w_init_high": 8.0,
        },
        "encoding": {
            "n_steps": n_steps, "rate_max_hz": 1000.0, "train_spikes": "regular", "inference_spikes": "regular",
        },
        "formats": {
            "weight": {"format": "u4.4"}, "v_mem": {"format": "s9.4"}, "v_th": {"format": "s9.4"},
            "theta": {"format": "u8.2"}, "x_pre": {"format": "u2.4"}, "c_pre": {"format": "u8.0"},
            "eta": {"format": "u0.8"}, "x_post": {"format": "u2.4"}, "eta_pre": {"format": "u0.8"},
        },
    }  # fmt: skip
    if layer:
        values["inhibitory"] = {
            "excitation": 10.0, "tau_mem": HALF_LIFE_1, "v_th": 4.0, "v_reset": 2.0, "refractory": 1,
        }  # fmt: skip
        values["formats"]["v_inh"] = {"format": "s6.4"}
    for name, value in changes.items():
        *path, last = name.split("__")
        table = values
        for part in path:
            table = table[part]
        table[last] = value
    return NetworkSpec.model_validate(values)


def show(
    spec: NetworkSpec,
    events: list[list[int]],
    weight: list[list[int]],
    *,
    phase: Any = "train",
    seed: int = 0,
) -> tuple[Oracle, ImageTrace]:
    oracle = Oracle(spec, seed)
    oracle.clear_counts()
    oracle.weight = [list(row) for row in weight]
    return oracle, oracle.present(events, phase=phase, presentation=0, n_presentations=1)


def column(rows: list[list[int]], j: int = 0) -> list[int]:
    return [row[j] for row in rows]


# --- Section 6, item 2 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["train", "label", "test"])
def test_every_connection_delays_by_a_step(phase: str) -> None:
    # The event of step 0 arrives in 1, the spike of 1 excites in 2, the inhibitory spike of 2 inhibits in 3.
    oracle, trace = show(network(5), [[0], [], [], [], []], [[64, 16]], phase=phase)
    assert trace.winner == [-1, 0, -1, -1, -1]
    assert trace.inhibitory_winner == [-1, -1, 0, -1, -1]
    assert column(trace.v_mem, 0) == [0] * 5
    assert column(trace.v_mem, 1) == [0, 16, 16, -32, -32]  # 16 - 48
    # (0 + 160) / 2 = 80 >= 64: reset to 32, held one step, then halved.
    assert column(trace.v_inh, 0) == [0, 0, 32, 32, 16]
    assert column(trace.inhibitory_count, 0) == [0, 0, 1, 0, 0]
    assert column(trace.v_inh, 1) == [0] * 5
    assert oracle.activity["inhibitory_spikes"] == 1
    assert oracle.stats["v_inh"] == [0, 80, 0, 0]
    assert oracle.stats["v_mem"][:2] == [-32, 64]


def test_inhibition_by_the_layer_respects_the_floor() -> None:
    _, trace = show(network(4, neuron__v_floor=-1.0), [[0], [], [], []], [[64, 16]])
    assert column(trace.v_mem, 1) == [0, 16, 16, -16]


def test_inhibition_comes_before_input() -> None:
    # Step 3: 16 - 48 = -32, bounded by the floor of -16; then the event of step 2 adds 16.
    _, trace = show(network(4, neuron__v_floor=-1.0), [[0], [], [0], []], [[64, 16]], phase="test")
    assert column(trace.v_mem, 1) == [0, 16, 16, 0]


def test_held_neurons_are_not_inhibited() -> None:
    # Neuron 0 fires in step 1, neuron 1 in step 2; the layer strikes in 3 and 4, when the victims are held.
    spec = network(6, inputs=2, neuron__refractory=3, neuron__v_floor=-1.0)
    oracle, trace = show(spec, [[0], [1], [], [], [], []], [[64, 0], [0, 64]], phase="test")
    assert trace.winner == [-1, 0, 1, -1, -1, -1]
    assert trace.inhibitory_winner == [-1, -1, 0, 1, -1, -1]
    assert column(trace.refractory_count, 0) == [0, 3, 2, 1, 0, 0]
    assert trace.v_mem == [[0, 0]] * 6
    assert oracle.activity["inhibitory_spikes"] == 2


def test_held_inhibitory_neurons_lose_what_arrives() -> None:
    # The neuron fires in steps 1 and 2; its inhibitory neuron in 2, and is held in 3.
    oracle, trace = show(network(5), [[0], [0], [], [], []], [[64, 0]], phase="test")
    assert trace.winner == [-1, 0, 0, -1, -1]
    assert trace.inhibitory_winner == [-1, -1, 0, -1, -1]
    assert column(trace.v_inh) == [0, 0, 32, 32, 16]
    assert oracle.activity["inhibitory_spikes"] == 1


def test_weak_excitation_adds_up() -> None:
    # 6 -> 3 in step 2, (3 + 6) / 2 = 4.5 >= 4 in step 3.
    spec = network(5, inhibitory__excitation=6.0)
    _, trace = show(spec, [[0], [0], [], [], []], [[64, 0]], phase="test")
    assert trace.inhibitory_winner == [-1, -1, -1, 0, -1]
    assert column(trace.v_inh) == [0, 0, 48, 32, 32]


def test_v_inh_saturates() -> None:
    oracle, _ = show(network(3, inhibitory__excitation=100.0), [[0], [], []], [[64, 0]], phase="test")
    assert oracle.stats["v_inh"] == [0, 511, 0, 1]  # 800 does not fit s6.4


@pytest.mark.parametrize(("phase", "purpose"), [("train", 25), ("label", 57), ("test", 89)])
def test_v_inh_takes_a_word_of_its_own(phase: str, purpose: int) -> None:
    # Step 2: 161 / 2 = 80.5, so one bit decides whether it is 80 or 81; a threshold of 5.0625 = 81 sees it.
    seen = set()
    for seed in range(8):
        spec = network(3, inhibitory__excitation=161 / 16, inhibitory__v_th=81 / 16,
                       formats__v_inh={"format": "s6.4", "rounding": "stochastic"})  # fmt: skip
        _, trace = show(spec, [[0], [], []], [[64, 0]], phase=phase, seed=seed)
        up = draw(seed, purpose, 0, 2, 0) >> 16 >= 1 << 15
        assert trace.inhibitory_winner[2] == (0 if up else -1)
        seen.add(up)
    assert seen == {True, False}


# --- Sections 6 and 7: traces and pair-wise learning ---------------------------------------------------

HELD = {"layer": False, "neurons": 1, "neuron__refractory": 5}


def test_hard_bounds() -> None:
    # Step 0: the spike sets x_post to 1: 64 - 128/8 = 48, then 48 + 128/4 = 80. Then x_post 1/2, 1/4: -8, -4.
    oracle, trace = show(network(3, **HELD), [[0], [0], [0]], [[64]])
    assert column(trace.x_post) == [16, 8, 4]
    assert column(trace.x_pre) == [16, 16, 16]
    assert oracle.weight == [[68]]
    assert oracle.activity == {
        "input_spikes": 3, "output_spikes": 1, "updates": 1, "normalizations": 0, "inhibitory_spikes": 0,
        "depressions": 3,
    }  # fmt: skip
    assert oracle.stats["x_post"] == [0, 16, 0, 0]


def test_soft_bounds() -> None:
    # 64 - 64/8 = 56; 56 + (128 - 56)/4 = 74; 74 - 74/16 = 69.4 -> 69; 69 - 69/32 = 66.8 -> 67.
    oracle, _ = show(network(3, learning__soft_bounds=True, **HELD), [[0], [0], [0]], [[64]])
    assert oracle.weight == [[67]]


def test_the_pre_trace_decays_until_the_spike() -> None:
    # Events in step 0 of input 0, in step 2 of input 1, which makes the neuron fire: x_pre 1/4 and 1.
    spec = network(3, inputs=2, **HELD)
    oracle, trace = show(spec, [[0], [], [1]], [[16], [64]])
    assert trace.winner == [-1, -1, 0]
    assert (trace.x_pre[2][0], trace.x_pre[2][1]) == (4, 16)
    # Input 0: 16 + 128/16 = 24. Input 1, which has an event now: 64 - 16 + 32 = 80.
    assert oracle.weight == [[24], [80]]


def test_events_of_one_input_depress_once() -> None:
    oracle, _ = show(network(2, **HELD), [[0], [0, 0, 0]], [[64]])
    assert oracle.weight == [[80 - 8]]
    assert oracle.activity["depressions"] == 2


def test_depression_stops_at_0_and_potentiation_at_w_max() -> None:
    rates = {"learning__eta_start": 0.992, "learning__eta_end": 0.992, "learning__eta_pre_start": 0.9,
             "learning__eta_pre_end": 0.9}  # fmt: skip
    oracle, _ = show(network(1, **rates, **HELD), [[0]], [[64]])
    # 0.9 is 230/256: 64 - 115 -> 0, counted low; 0 + 254/256 * 128 = 127.
    assert oracle.weight == [[127]]
    assert oracle.stats["weight"] == [0, 127, 1, 0]
    oracle, _ = show(network(1, learning__eta_start=0.992, learning__eta_end=0.992, **HELD), [[0]], [[120]])
    assert oracle.weight == [[128]]  # 120 - 16 + 127
    assert oracle.stats["weight"][2:] == [0, 1]


@pytest.mark.parametrize(
    ("mode", "fmt", "trace_values", "stats"),
    [
        ("add", "u2.4", [16, 24], [0, 24, 0, 0]),
        ("set", "u2.4", [16, 16], [0, 16, 0, 0]),
        ("add", "u1.4", [16, 24], [0, 24, 0, 0]),
        ("add", "u0.4", [15, 15], [0, 15, 0, 2]),  # 16 and 8 + 16 do not fit
        ("set", "u0.4", [15, 15], [0, 15, 0, 0]),
    ],
)  # fmt: skip
def test_post_trace(mode: str, fmt: str, trace_values: list[int], stats: list[int]) -> None:
    spec = network(2, layer=False, neurons=1, learning__trace_mode=mode, formats__x_post__format=fmt)
    oracle, trace = show(spec, [[0], [0]], [[64]])
    assert trace.winner == [0, 0]
    assert column(trace.x_post) == trace_values
    assert oracle.stats["x_post"] == stats


def test_pre_trace_adds_or_sets() -> None:
    spec = network(2, layer=False, neurons=1, learning__trace_mode="add", neuron__v_th=100.0)
    assert column(show(spec, [[0], [0, 0]], [[1]])[1].x_pre) == [16, 40]
    spec = network(2, layer=False, neurons=1, neuron__v_th=100.0, formats__x_pre__format="u0.4")
    assert column(show(spec, [[0, 0], []], [[1]])[1].x_pre) == [15, 8]  # 7.5, to the nearest


def test_essential_neurons_only() -> None:
    # Two spikes are needed: nothing in step 0; in step 1 64 - 16 + 32.
    spec = network(2, layer=False, neurons=2, learning__n_essential=2)
    oracle, trace = show(spec, [[0], [0]], [[64, 10]])
    assert trace.winner == [0, 0]
    assert oracle.weight == [[80, 10]]
    assert (oracle.activity["updates"], oracle.activity["depressions"]) == (1, 1)
    oracle, _ = show(network(2, layer=False, neurons=2), [[0], [0]], [[64, 10]])
    assert (oracle.activity["updates"], oracle.activity["depressions"]) == (2, 4)


def test_only_who_learned_is_normalised() -> None:
    spec = network(2, layer=False, neurons=1, learning__n_essential=3, learning__weight_sum=1.0)
    oracle, _ = show(spec, [[0], [0]], [[64]])
    assert oracle.weight == [[64]] and oracle.activity["normalizations"] == 0
    spec = network(2, layer=False, neurons=1, learning__n_essential=2, learning__weight_sum=1.0)
    oracle, _ = show(spec, [[0], [0]], [[64]])
    assert oracle.weight == [[16]] and oracle.activity["normalizations"] == 1


def test_depression_takes_a_word_of_its_own() -> None:
    # 65 - 65/8 = 56.875: up to 57 with 7 of 8 words; then the potentiation of 32 is exact.
    seen = set()
    for seed in range(40):
        spec = network(
            1,
            learning__soft_bounds=True,
            formats__weight={"format": "u4.4", "rounding": "stochastic"},
            **HELD,
        )
        oracle, _ = show(spec, [[0]], [[65]], seed=seed)
        lowered = 56 + (0.875 * 4096 + (draw(seed, 24, 0, 0, 0, 0) >> 20) >= 4096)
        raised = lowered * 4096 + 64 * 16 * (128 - lowered)
        expected = raised // 4096 + (raised % 4096 + (draw(seed, 16, 0, 0, 0, 0) >> 20) >= 4096)
        assert oracle.weight == [[expected]]
        seen.add(lowered)
    assert seen == {56, 57}


def test_post_trace_takes_a_word_of_its_own() -> None:
    # 15 / 2 = 7.5 in step 1.
    seen = set()
    for seed in range(8):
        spec = network(2, formats__x_post={"format": "u0.4", "rounding": "stochastic"}, **HELD)
        _, trace = show(spec, [[0], []], [[64]], seed=seed)
        assert trace.x_post[1] == [7 + (draw(seed, 23, 0, 1, 0) >> 31)]
        seen.add(trace.x_post[1][0])
    assert seen == {7, 8}


def test_rates_follow_the_schedule() -> None:
    spec = network(
        1, layer=False, learning__eta_pre_start=0.5, learning__eta_pre_end=0.125, learning__schedule_pieces=3
    )
    assert Oracle(spec, 0).constants.eta_pre == (128, 64, 32)


def test_nothing_is_learned_outside_training() -> None:
    oracle, trace = show(network(3, layer=False, neurons=1), [[0], [0], [0]], [[64]], phase="label")
    assert oracle.weight == [[64]] and trace.winner == [0, 0, 0]
    assert oracle.activity["depressions"] == oracle.activity["updates"] == 0
    assert oracle.stats["x_post"][0] is None
