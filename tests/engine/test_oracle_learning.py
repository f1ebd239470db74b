"""The oracle by hand from docs/numerics.md, sections 7 and 8, and what it refuses."""

from __future__ import annotations

import pytest

from tests.engine.golden import HALF_LIFE_1, column, network, show
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.errors import DataError, SpecError

# --- Sections 7 and 8 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(10))
def test_k_of_eq_1(n: int) -> None:
    """No spike: no update; 1 to n_th spikes: k = 1; n_th + 1 spikes: k = 2."""
    spec = network(
        encoding__n_steps=9, learning__update_steps=9, neuron__v_th=4.0, learning__potentiation="eq1",
        learning__n_th=4, formats__x_pre__rounding="floor", encoding__rate_max_hz=111.0,
    )  # fmt: skip
    oracle = Oracle(spec, 0)  # a full pixel has round(0.111 * 9) = 1 event per window, so x = 1
    trace = show(oracle, [[0]] * n + [[]] * (9 - n), weight=[[64, 0], [64, 0]], phase="train")
    k = -(-n // 4)
    assert trace.counts == [n, 0]
    # w + k / 16 * (128 - w) = 64 + 4 k for the input that spiked; Eq. 2 leaves the silent one.
    assert oracle.weight == [[64 + 4 * k, 0], [64, 0]]
    assert k == [0, 1, 1, 1, 1, 2, 2, 2, 2, 3][n]
    assert oracle.activity["updates"] == (n > 0)


def test_k_counts_from_image_onset_over_all_neurons() -> None:
    spec = network(
        encoding__n_steps=6, learning__update_steps=3, neuron__v_th=4.0, learning__potentiation="eq1",
        learning__n_th=2, encoding__rate_max_hz=333.0,
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    events = [[0], [0], [0], [1], [], []]
    trace = show(oracle, events, weight=[[64, 0], [0, 64]], phase="train")
    # Window 0: neuron 0, k = ceil(3/2) = 2: 64 + 2/16 * 64 = 72.  Window 1: neuron 1, its first spike, but
    # k = 2 still; c = [1, 1], full = 1: x = 1 for both: 0 + 16 and 64 + 8.
    assert trace.counts == [3, 1]
    assert trace.n_post[-1] == [3, 1]
    assert oracle.weight == [[72, 16], [0, 72]]


@pytest.mark.parametrize(
    ("rule", "learners", "expected"),
    [
        # x = (1, 0), eta = 1/16, w_max = 128.  Neuron 0 fires once, neuron 1 twice.
        ("potentiate", "winner", [[40, 68], [40, 64]]),
        ("potentiate", "spikers", [[45 + 1, 68], [40, 64]]),  # 40 + 88/16 = 45.5
        ("attract", "winner", [[40, 68], [40, 60]]),
        ("attract", "spikers", [[46, 68], [38, 60]]),  # 40 - 40/16 = 37.5
    ],
)
def test_rules_and_learners(rule: str, learners: str, expected: list[list[int]]) -> None:
    spec = network(
        encoding__n_steps=3, learning__update_steps=3, neuron__v_th=2.5, learning__rule=rule,
        learning__learners=learners, neuron__refractory=0, encoding__rate_max_hz=333.0,
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    # Neuron 1 (64) wins steps 0 and 1 over neuron 0 (40, 80), ties are none: margins 24 > 0, then 24 < 40.
    trace = show(oracle, [[0], [0], [0]], weight=[[40, 64], [40, 64]], phase="train")
    assert trace.winner == [1, 0, 1]
    assert oracle.weight == expected
    assert oracle.activity["updates"] == {"winner": 1, "spikers": 2}[learners]


def test_winner_of_a_window_on_a_tie_is_the_lowest_index() -> None:
    spec = network(
        encoding__n_steps=2, learning__update_steps=2, neuron__v_th=2.5, encoding__rate_max_hz=500.0
    )
    oracle = Oracle(spec, 0)
    trace = show(oracle, [[1], [0]], weight=[[40, 0], [0, 40]], phase="train")
    assert trace.winner == [1, 0]
    assert oracle.weight == [[46, 0], [8, 40]]


def test_nothing_is_learned_after_the_last_full_window() -> None:
    spec = network(encoding__n_steps=5, learning__update_steps=2, neuron__v_th=4.0)
    oracle = Oracle(spec, 0)
    trace = show(oracle, [[], [], [], [], [0]], weight=[[64, 0], [0, 0]], phase="train")
    assert trace.counts == [1, 0]
    assert oracle.weight == [[64, 0], [0, 0]]
    assert trace.n_window[-1] == [1, 0]


def test_learned_weights_stay_between_0_and_w_max() -> None:
    spec = network(
        neuron__v_th=4.0, learning__rule="attract", learning__eta_start=0.75, learning__eta_end=0.75,
        encoding__n_steps=3, learning__update_steps=3, learning__potentiation="eq1", learning__n_th=1,
        encoding__rate_max_hz=333.0,
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    show(oracle, [[0], [0], [0]], weight=[[64, 0], [64, 0]], phase="train")
    # k = 3: 64 + 2.25 * 64 > 128, 64 - 2.25 * 64 < 0
    assert oracle.weight == [[128, 0], [0, 0]]
    assert oracle.stats["weight"] == [0, 128, 1, 1]


def test_window_trace_is_halved_and_scaled() -> None:
    spec = network(encoding__n_steps=6, learning__update_steps=2)
    oracle = Oracle(spec, 0)
    trace = show(oracle, [[0, 0], [0], [], [], [1], [0, 0]], phase="train")
    # full = 2, 1 + 2, 1 + 2; x_scale = 2**24 / full
    assert oracle.constants.x_scale == (8388608, 5592405, 5592405)
    assert column(trace.c_pre) == [0, 3, 3, 1, 1, 2]
    assert column(trace.x_pre) == [0, 256, 256, 85, 85, 171]  # 1.5 is cut to 1; 1/3; 2/3
    assert column(trace.x_pre, 1) == [0, 0, 0, 0, 0, 85]
    assert oracle.stats["x_pre"] == [0, 256, 0, 0]


def test_window_count_stops_at_its_largest_value() -> None:
    oracle = Oracle(network(formats__c_pre__format="u2.0"), 0)
    assert show(oracle, [[0] * 9], phase="train").c_pre == [[3, 0]]


def test_window_trace_without_a_full_count_is_refused() -> None:
    with pytest.raises(SpecError, match="rounds to 0"):
        Oracle(network(encoding__rate_max_hz=1.0), 0)


def test_exponential_trace_decays_and_adds() -> None:
    spec = network(
        encoding__n_steps=4, learning__update_steps=4, learning__trace="exponential",
        learning__tau_trace=HALF_LIFE_1, formats__x_pre__format="u2.2",
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    trace = show(oracle, [[0], [], [0, 0], [0, 0, 0]], phase="train")
    assert column(trace.x_pre) == [4, 2, 9, 15]  # 1 + 8; 4.5 + 12 = 16.5 -> 17, which does not fit
    assert oracle.stats["x_pre"] == [0, 15, 0, 1]
    assert column(trace.c_pre) == [0] * 4


def test_normalisation_scales_who_learned() -> None:
    # eta = 1/1024 is 0 on 1/256: the neuron learns without a change of its weights.
    spec = network(
        neuron__v_th=4.0, learning__weight_sum=2.0, learning__eta_start=2**-10, learning__eta_end=2**-10
    )
    oracle = Oracle(spec, 0)
    show(oracle, [[0]], weight=[[65, 48], [31, 48]], phase="train")
    # scale = 32 * 65536 // 96 = 21845: 65 -> 21.67, 31 -> 10.33
    assert oracle.weight == [[22, 48], [10, 48]]
    ones = dict.fromkeys(("input_spikes", "output_spikes", "updates", "normalizations"), 1)
    assert oracle.activity == ones | {"inhibitory_spikes": 0, "depressions": 0}


def test_normalisation_stops_at_w_max() -> None:
    spec = network(
        neuron__v_th=4.0, learning__weight_sum=10.0, learning__eta_start=2**-10, learning__eta_end=2**-10
    )
    oracle = Oracle(spec, 0)
    oracle.clear_counts()
    show(oracle, [[0]], weight=[[64, 48], [8, 48]], phase="train")
    # scale = 160 * 65536 // 72 = 145635: 64 -> 142.2, 8 -> 17.8
    assert oracle.weight == [[128, 48], [18, 48]]
    assert oracle.stats["weight"] == [8, 128, 0, 1]


@pytest.mark.parametrize(
    ("forget", "theta"),
    [
        ({"neuron__theta_forget": "none"}, [32, 0]),
        # 8 * 0.25 / 2 = 1 mV = 4 raw; the silent neuron stays at 0
        ({"neuron__theta_forget": "subtract", "neuron__theta_forget_spikes": 0.25}, [28, 0]),
        # half per image of one step
        ({"neuron__theta_forget": "multiply", "neuron__tau_theta": HALF_LIFE_1}, [16, 0]),
    ],
)
def test_theta_is_forgotten(forget: dict[str, object], theta: list[int]) -> None:
    oracle = Oracle(network(neuron__v_th=4.0, neuron__theta_plus=8.0, **forget), 0)
    trace = show(oracle, [[0]], weight=[[64, 0], [0, 0]], phase="train")
    assert trace.theta == [[32, 0]]  # forgetting comes after the last step
    assert oracle.theta == theta
    assert oracle.v_th == [64 + 4 * raw for raw in theta]
    show(oracle, [[0]], phase="label")
    assert oracle.theta == theta


@pytest.mark.parametrize("overflow", ["saturate", "wrap", "error"])
def test_theta_is_forgotten_down_to_0(overflow: str) -> None:
    spec = network(
        neuron__v_th=4.0, neuron__theta_plus=8.0, neuron__theta_forget="subtract",
        neuron__theta_forget_spikes=9.0, formats__theta__overflow=overflow,
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    show(oracle, [[0]], weight=[[64, 0], [0, 0]], phase="train")
    assert (oracle.theta, oracle.v_th, oracle.refused) == ([0, 0], [64, 64], [])
    assert oracle.stats["theta"] == [0, 32, 0, 0]


def test_onset_clears_all_but_what_was_learned() -> None:
    spec = network(encoding__n_steps=2, learning__update_steps=2, neuron__v_th=4.0, neuron__refractory=5)
    oracle = Oracle(spec, 0)
    show(oracle, [[1], [0]], weight=[[64, 8], [0, 8]], phase="train", n_presentations=2)
    learned = [list(row) for row in oracle.weight]
    assert learned != [[64, 8], [0, 8]]
    trace = show(oracle, [[], []], phase="train", presentation=1, n_presentations=2)
    for name in ("v_mem", "refractory_count", "n_post", "n_window", "x_pre", "c_pre"):
        assert getattr(trace, name) == [[0, 0], [0, 0]]
    assert oracle.weight == learned


def test_inference_ignores_the_ramp_of_inhibition() -> None:
    spec = network(neuron__v_th=4.0, inhibition__strength=2.0, inhibition__start=0.5)
    weight = [[64, 40], [0, 0]]
    assert show(Oracle(spec, 0), [[0]], weight=weight).v_mem == [[0, 8]]
    assert show(Oracle(spec, 0), [[0]], weight=weight, phase="train").v_mem == [[0, 24]]


# --- What is refused -----------------------------------------------------------------------------------


def test_malformed_presentations_are_refused() -> None:
    oracle = Oracle(network(), 0)
    with pytest.raises(DataError, match=r"give 1, inputs 0\.\.1"):
        oracle.present([[2]], phase="test", presentation=0)
    with pytest.raises(DataError, match="2 steps"):
        oracle.present([[], []], phase="test", presentation=0)
    with pytest.raises(SpecError, match="n_presentations"):
        oracle.present([[]], phase="train", presentation=0)
