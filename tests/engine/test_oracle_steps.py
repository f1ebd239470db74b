"""The oracle by hand from docs/numerics.md, section 6: integrate and fire."""

from __future__ import annotations

import pytest

from tests.engine.golden import HALF_LIFE_1, column, network, show
from tinysnn_hw.engine.oracle import Oracle

# --- Section 6: integrate ------------------------------------------------------------------------------

COARSE = {"encoding__n_steps": 5, "formats__v_mem__format": "s9.2"}
"""Accumulator on 1/16, v_mem on 1/4: two bits are dropped in every step."""


@pytest.mark.parametrize(
    ("leak", "expected"),
    [
        # Input 0 (weight 21/16) spikes in steps 0 and 1; accumulator in brackets.
        ({"neuron__leak": "none"}, [5, 10, 10, 10, 10]),  # (21) 5.25, (41) 10.25
        # (21-5) 4, (37-9) 7, (28-7) 5.25, (20-5) 3.75, (16-4) 3
        ({"neuron__leak": "shift", "neuron__leak_shift": 2}, [4, 7, 5, 4, 3]),
        # 0.375 = 6/16: (21-6) 3.75, (37-6) 7.75, (32-6) 6.5, (28-6) 5.5, (24-6) 4.5
        ({"neuron__leak": "subtract", "neuron__leak_step": 0.375}, [4, 8, 7, 6, 5]),
        # Half: (21) 2.625, (33) 4.125, (16) 2, (8) 1, (4) 0.5
        ({"neuron__leak": "multiply", "neuron__tau_mem": HALF_LIFE_1}, [3, 4, 2, 1, 1]),
        (
            {"neuron__leak": "multiply", "neuron__tau_mem": HALF_LIFE_1, "formats__v_mem__rounding": "floor"},
            [2, 3, 1, 0, 0],  # (21) 2.625, (29) 3.625, (12) 1.5, (4) 0.5, (0)
        ),
    ],
)
def test_leak(leak: dict[str, object], expected: list[int]) -> None:
    oracle = Oracle(network(**COARSE, **leak), 0)
    trace = show(oracle, [[0], [0], [], [], []], weight=[[21, 0], [0, 0]])
    assert column(trace.v_mem) == expected
    assert column(trace.v_mem, 1) == [0] * 5


@pytest.mark.parametrize(
    ("leak", "expected"),
    [
        ({"neuron__leak": "shift", "neuron__leak_shift": 1}, [-20, -10, -5]),  # -5 - (-5 >> 1) comes next
        ({"neuron__leak": "subtract", "neuron__leak_step": 0.5}, [-20, -12, -4]),
        ({"neuron__leak": "multiply", "neuron__tau_mem": HALF_LIFE_1}, [-20, -10, -5]),
    ],
)
def test_leak_pulls_up_from_below(leak: dict[str, object], expected: list[int]) -> None:
    # Neuron 0 fires in step 0 and lowers neuron 1 to -20/16; weights are on the same grid.
    spec = network(
        encoding__n_steps=4, neuron__v_th=0.5, neuron__refractory=9, inhibition__strength=1.25, **leak
    )  # fmt: skip
    trace = show(Oracle(spec, 0), [[0], [], [], []], weight=[[16, 0], [0, 0]])
    last = {"shift": -2, "subtract": 0, "multiply": -2}[str(leak["neuron__leak"])]
    assert column(trace.v_mem, 1) == [*expected, last]


def test_events_of_one_input_all_count() -> None:
    trace = show(Oracle(network(), 0), [[0, 1, 1, 1]], weight=[[1, 2], [10, 20]])
    assert trace.v_mem == [[31, 62]]


def test_guard_bits_keep_what_the_leak_takes() -> None:
    # a = 1 * 2**6 on the finer grid: shift leak 64 - 1 = 63, / 64 rounds to 1 or, by floor, to 0;
    # without guard bits 1 - (1 >> 6) = 1.
    changes: dict[str, object] = {
        "neuron__leak": "shift", "neuron__leak_shift": 6, "formats__v_mem__rounding": "floor",
    }  # fmt: skip
    for guard_bits, expected in ((0, 1), (6, 0)):
        spec = network(formats__guard_bits=guard_bits, **changes)
        assert show(Oracle(spec, 0), [[0]], weight=[[1, 0], [0, 0]]).v_mem == [[expected, 0]]


@pytest.mark.parametrize(
    ("mode", "expected", "stats"),
    [
        ("saturate", [3, 3, 3], [0, 3, 0, 2]),  # 3 + 3, 3 + 5
        ("wrap", [3, -2, 3], [-2, 3, 0, 1]),  # 6 - 8, -2 + 5
        ("saturate_symmetric", [3, 3, 3], [0, 3, 0, 2]),
        ("error", [3, 3, 3], [0, 3, 0, 2]),
    ],
)
def test_overflow_of_the_accumulator(mode: str, expected: list[int], stats: list[int]) -> None:
    spec = network(
        encoding__n_steps=3, network__neurons=1, formats__v_mem__format="s3.0", formats__v_mem__overflow=mode,
        formats__weight__format="u3.0",
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    trace = show(oracle, [[0], [0], [1]], weight=[[3], [5]])
    assert column(trace.v_mem) == expected
    assert oracle.stats["v_mem"] == stats
    assert oracle.refused == (["v_mem"] if mode == "error" else [])


@pytest.mark.parametrize(
    ("mode", "expected", "stats"),
    [
        ("saturate", [3, 6, 7], [0, 7, 0, 1]),  # 6 + 5
        ("wrap", [3, 6, 3], [0, 6, 0, 1]),  # 11 - 8
        ("saturate_symmetric", [3, 6, 7], [0, 7, 0, 1]),
        ("error", [3, 6, 7], [0, 7, 0, 1]),
    ],
)
def test_overflow_of_an_unsigned_accumulator(mode: str, expected: list[int], stats: list[int]) -> None:
    spec = network(
        encoding__n_steps=3, network__neurons=1, neuron__v_floor=None, formats__v_mem__format="u3.0",
        formats__v_mem__overflow=mode, formats__weight__format="u3.0",
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    assert column(show(oracle, [[0], [0], [1]], weight=[[3], [5]]).v_mem) == expected
    assert oracle.stats["v_mem"] == stats


def test_carry_of_rounding_saturates() -> None:
    spec = network(network__neurons=1, formats__v_mem__format="s3.0", formats__weight__format="u3.1")
    oracle = Oracle(spec, 0)
    assert show(oracle, [[0]], weight=[[7], [0]]).v_mem == [[3]]  # 3.5 fits, rounded to 4 it does not
    assert oracle.stats["v_mem"] == [0, 3, 0, 1]


# --- Section 6: fire -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "thresholds", "winner"),
    [
        ([64, 64, 64], [64, 64, 64], 0),
        ([63, 64, 64], [64, 64, 64], 1),
        ([64, 64, 65], [64, 64, 64], 2),
        ([90, 80, 70], [80, 60, 50], 1),  # margins 10, 20, 20
        ([63, 63, 63], [64, 64, 64], -1),
    ],
)
def test_largest_margin_wins(weights: list[int], thresholds: list[int], winner: int) -> None:
    oracle = Oracle(network(network__neurons=3), 0)
    oracle.v_th = thresholds
    trace = show(oracle, [[0]], weight=[weights, [0, 0, 0]])
    assert trace.winner == [winner]
    assert trace.counts == [int(j == winner) for j in range(3)]


def test_threshold_on_its_own_grid_is_compared_exactly() -> None:
    for fine, winner in ((64 * 16, 0), (64 * 16 + 1, -1)):
        oracle = Oracle(network(formats__v_th__format="s9.8"), 0)
        oracle.v_th = [fine, 10**4]
        assert show(oracle, [[0]], weight=[[64, 0], [0, 0]]).winner == [winner]


@pytest.mark.parametrize(
    ("refractory", "fires", "counter"),
    [
        (0, [0, 1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0, 0]),
        (1, [0, 2, 4, 6], [1, 0, 1, 0, 1, 0, 1]),
        (2, [0, 3, 6], [2, 1, 0, 2, 1, 0, 2]),
    ],
)
def test_a_neuron_integrates_again_after_refractory_steps(
    refractory: int, fires: list[int], counter: list[int]
) -> None:
    spec = network(
        network__neurons=1, encoding__n_steps=7, neuron__v_th=4.0, neuron__refractory=refractory,
        neuron__v_reset=1.0,
    )  # fmt: skip
    trace = show(Oracle(spec, 0), [[0]] * 7, weight=[[64], [0]])
    assert [t for t in range(7) if trace.winner[t] == 0] == fires
    assert column(trace.refractory_count) == counter
    assert set(column(trace.v_mem)) == {16}


def test_inhibition_lowers_the_others_but_not_who_is_held() -> None:
    spec = network(
        network__neurons=3, encoding__n_steps=3, neuron__v_th=4.0, neuron__refractory=2, neuron__v_reset=0.5,
        inhibition__strength=2.0,
    )  # fmt: skip
    # Step 0: 0 (80) wins over 1 (70), 2 has 8; step 1: 1 has 70 - 32 + 70; step 2: only neuron 2 is free.
    trace = show(Oracle(spec, 0), [[0]] * 3, weight=[[80, 70, 8], [0, 0, 0]])
    assert trace.winner == [0, 1, -1]
    assert trace.v_mem == [[8, 38, -24], [8, 8, -48], [8, 8, -40]]
    assert trace.refractory_count == [[2, 0, 0], [1, 2, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("floor", "mode", "expected", "low"),
    [
        (None, "saturate", -64, 1),
        (None, "saturate_symmetric", -63, 1),
        (None, "error", -64, 1),
        (None, "wrap", 8 - 80 + 128, 1),
        (-3.0, "saturate", -48, 0),
        (-3.0, "wrap", -48, 0),
        (0.0, "saturate", 0, 0),
        (-20.0, "saturate", -64, 1),
    ],
)
def test_floor_of_inhibition(floor: float | None, mode: str, expected: int, low: int) -> None:
    inhibited_at_a_spike("s3.4", floor, mode, expected, low)


@pytest.mark.parametrize(
    ("floor", "mode", "expected", "low"),
    [
        (None, "saturate", 0, 1),
        (None, "saturate_symmetric", 0, 1),
        (None, "wrap", 8 - 80 + 128, 1),
        (0.0, "wrap", 0, 0),
    ],
)
def test_inhibition_of_an_unsigned_membrane(floor: float | None, mode: str, expected: int, low: int) -> None:
    inhibited_at_a_spike("u3.4", floor, mode, expected, low)


def inhibited_at_a_spike(v_mem: str, floor: float | None, mode: str, expected: int, low: int) -> None:
    spec = network(
        neuron__v_th=3.0, neuron__v_floor=floor, inhibition__strength=5.0, formats__v_mem__format=v_mem,
        formats__v_mem__overflow=mode,
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    trace = show(oracle, [[0]], weight=[[50, 8], [0, 0]])
    assert trace.v_mem == [[0, expected]]
    assert oracle.stats["v_mem"] == [min(0, expected), max(50, expected), low, 0]


def test_theta_grows_to_the_cap_and_raises_the_threshold() -> None:
    spec = network(
        network__neurons=1, encoding__n_steps=3, learning__update_steps=3, neuron__v_th=4.0,
        neuron__theta_plus=1.5, neuron__v_th_cap=6.3,
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    trace = show(oracle, [[0]] * 3, weight=[[127], [0]], phase="train")
    # theta on 1/4: 6, min(12, floor(2.3 * 4)), the same; v_th on 1/16: 64 + 4 * theta.
    assert trace.winner == [0, 0, 0]
    assert column(trace.theta) == [6, 9, 9]
    assert column(trace.v_th) == [88, 100, 100]
    assert column(trace.n_post) == [1, 2, 3]
    assert column(trace.n_window) == [1, 2, 0]
    assert oracle.stats["theta"] == [6, 9, 0, 0]
    assert oracle.stats["v_th"] == [64, 100, 0, 0]
    frozen = show(oracle, [[0]] * 3, phase="label")
    assert column(frozen.v_th) == [100, 100, 100]
    assert (oracle.theta, column(frozen.n_post), column(frozen.x_pre)) == ([9], [0, 0, 0], [0, 0, 0])


def test_theta_that_is_full_saturates() -> None:
    spec = network(
        network__neurons=1, neuron__v_th=4.0, neuron__theta_plus=4.0, formats__theta__format="u2.2",
        formats__v_th__format="s4.4",
    )  # fmt: skip
    oracle = Oracle(spec, 0)
    show(oracle, [[0]], weight=[[64], [0]], phase="train")
    assert oracle.theta == [15]  # 16 does not fit
    assert oracle.v_th == [64 + 60]
    assert oracle.stats["theta"] == [15, 15, 0, 1]
