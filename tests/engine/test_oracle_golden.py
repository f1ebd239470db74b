"""The oracle on tiny networks whose every number was worked out by hand from docs/numerics.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from tinysnn_hw.engine import oracle_constants
from tinysnn_hw.engine.oracle import ImageTrace, Oracle, encode_image, encoding_tables, epoch_order
from tinysnn_hw.engine.oracle_constants import const, draw, mix, round_shift
from tinysnn_hw.errors import DataError, SpecError
from tinysnn_hw.fixed import Format, Overflow, Rounding
from tinysnn_hw.spec.network import NetworkSpec, RegisterSpec

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


# --- Section 1 -----------------------------------------------------------------------------------------

DROPPED = [-7, -6, -5, -2, 2, 5, 6, 7]
"""In quarters: -1.75, -1.5, -1.25, -0.5, 0.5, 1.25, 1.5, 1.75."""


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("floor", [-2, -2, -2, -1, 0, 1, 1, 1]),
        ("to_zero", [-1, -1, -1, 0, 0, 1, 1, 1]),
        ("nearest", [-2, -1, -1, 0, 1, 1, 2, 2]),
        ("nearest_away", [-2, -2, -1, -1, 1, 1, 2, 2]),
        ("nearest_even", [-2, -2, -1, 0, 0, 1, 2, 2]),
    ],
)
def test_rounding(mode: str, expected: list[int]) -> None:
    register = RegisterSpec(format=Format(True, 8, 0), rounding=Rounding.parse(mode))
    assert [round_shift(n, 2, register, (0, 0)) for n in DROPPED] == expected
    assert [round_shift(n, -2, register, (0, 0)) for n in DROPPED] == [4 * n for n in DROPPED]
    assert [round_shift(n, 0, register, (0, 0)) for n in DROPPED] == DROPPED


@pytest.mark.parametrize(
    ("rand_bits", "expected"),
    [
        # Rows: random words whose top two bits are 0, 1, 2, 3; columns: fractions 0, 1/4, 1/2, 3/4.
        (32, [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]]),
        (1, [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]),
    ],
)
def test_stochastic_rounding(
    rand_bits: int, expected: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    register = RegisterSpec(format=Format(True, 8, 0), rounding=Rounding.STOCHASTIC, rand_bits=rand_bits)
    for top, row in enumerate(expected):
        monkeypatch.setattr(oracle_constants, "draw", lambda *key, top=top: (top << 30) + 12345)
        assert [round_shift(n, 2, register, (0, 0)) for n in (4, 5, 6, 7)] == [1 + up for up in row]
        assert [round_shift(n, 2, register, (0, 0)) for n in (-4, -3, -2, -1)] == [up - 1 for up in row]


@pytest.mark.parametrize(
    ("fmt", "mode", "expected"),
    [
        ("s3.0", "saturate", [-4, -4, -3, 3, 3]),
        ("s3.0", "wrap", [3, -4, -3, 3, -4]),
        ("s3.0", "saturate_symmetric", [-3, -3, -3, 3, 3]),
        ("s3.0", "error", [-4, -4, -3, 3, 3]),
        ("u2.0", "saturate", [0, 0, 0, 3, 3]),
        ("u2.0", "wrap", [3, 0, 1, 3, 0]),
        ("u2.0", "saturate_symmetric", [0, 0, 0, 3, 3]),
    ],
)
def test_overflow(fmt: str, mode: str, expected: list[int]) -> None:
    fitted = [oracle_constants.fit(n, Format.parse(fmt), Overflow.parse(mode)) for n in (-5, -4, -3, 3, 4)]
    assert fitted == expected


def test_constants_are_rounded_exactly() -> None:
    assert [const(x, 0) for x in (0.5, 1.5, -0.5, -1.5, -1.25)] == [1, 2, 0, -1, -1]
    assert const(0.49999999999999994, 0) == 0  # adding 0.5 in float64 gives 1
    assert const(6.0, -2) == 2
    assert const(0.1, 60) == 115292150460684704  # 0.1 is a little more than 1/10 in float64


# --- Section 2 -----------------------------------------------------------------------------------------


def test_random_words() -> None:
    # mix(1): 1 -> 7feb352d -> ^ ffd6 = 7febcafb -> * 846ca68b = 6889f279 -> ^ 6889 = 68899af0
    product = 0x7FEBCAFB * 0x846CA68B % 2**32
    assert mix(1) == product ^ product >> 16
    assert mix(0) == 0
    assert draw(0, 0, 1, 0) == mix(mix(1))
    assert draw(5, 2) == mix((5 + 0x3C6EF372) % 2**32)
    assert draw(2**32 + 5, 2, 7) == draw(5, 2, 7)


# --- Section 3 -----------------------------------------------------------------------------------------


def test_regular_spikes_come_every_interval() -> None:
    encoding = network(encoding__n_steps=8, encoding__rate_max_hz=500.0).encoding
    interval, quantile = encoding_tables(encoding)
    assert (interval[0], interval[255], interval[51]) == (0, 2 * 65536, 10 * 65536)
    assert (len(quantile), quantile[2047], quantile[4095]) == (4096, 2840, 1)
    for phase, purpose in (("train", 4), ("label", 5), ("test", 6)):
        events = encode_image(encoding, [0, 255], phase=phase, presentation=3, seed=9)
        first = 2 * (draw(9, purpose, 3, 1, 0) >> 8) >> 24
        assert events == [[1] if (t - first) % 2 == 0 else [] for t in range(8)]


@pytest.mark.parametrize(("pixels", "g"), [([255], 255 * 256 // 510), ([16], 64), ([255] * 9, 1024)])
def test_gain_scales_the_interval(pixels: list[int], g: int) -> None:
    encoding = network(encoding__n_steps=64, encoding__gain="total", encoding__gain_reference=510).encoding
    interval, _ = encoding_tables(encoding)
    mean = interval[pixels[0]] * g >> 8
    events = encode_image(encoding, pixels, phase="test", presentation=0, seed=0)
    phase = mean * (draw(0, 6, 0, 0, 0) >> 8) >> 24
    times = [phase + k * mean for k in range(1000)]
    assert [step.count(0) for step in events] == [sum(time >> 16 == t for time in times) for t in range(64)]


def test_poisson_spikes_take_one_word_each() -> None:
    encoding = network(encoding__n_steps=50, encoding__train_spikes="poisson").encoding
    _, quantile = encoding_tables(encoding)
    events = encode_image(encoding, [255, 0], phase="train", presentation=2, seed=1)
    time, expected = 0, [0] * 50
    for k in range(1000):
        time += 16 * quantile[draw(1, 1, 2, 0, k) >> 20]  # 65536 >> 12
        if time >= 50 * 65536:
            break
        expected[time >> 16] += 1
    assert [step.count(0) for step in events] == expected
    assert max(expected) > 1  # several events of one input in one step all count


def test_order_of_images() -> None:
    assert epoch_order(4, 7, 1, False) == [0, 1, 2, 3]
    keys = [draw(7, 8, 1, image) for image in range(6)]
    assert [keys[image] for image in epoch_order(6, 7, 1, True)] == sorted(keys)


# --- Section 4 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "middle"), [("geometric", 64), ("linear", 80), ("cosine", 80)]
)  # 0.5 .. 0.125 on 1/256: 0.25 or 0.3125
def test_schedules(schedule: str, middle: int) -> None:
    constants = Oracle(
        network(
            learning__eta_start=0.5, learning__eta_end=0.125, learning__eta_schedule=schedule,
            learning__schedule_pieces=3,
        ),
        0,
    ).constants  # fmt: skip
    assert constants.eta == (128, middle, 32)
    assert [constants.piece(p, 7) for p in range(7)] == [0, 0, 0, 1, 1, 2, 2]


def test_inhibition_rises() -> None:
    ramp = network(
        inhibition__strength=8.0, inhibition__start=0.5, inhibition__ramp=0.5, learning__schedule_pieces=4
    )
    constants = Oracle(ramp, 0).constants
    assert constants.inhibition_pieces == (4 * 16, 6 * 16, 8 * 16, 8 * 16)
    assert constants.inhibition == 8 * 16


def test_single_piece_has_the_first_rate() -> None:
    assert Oracle(
        network(learning__schedule_pieces=1, learning__eta_start=0.5, learning__eta_end=0.25), 0
    ).constants.eta == (128,)


def test_widest_weight_bounds_w_max() -> None:
    assert Oracle(network(formats__weight__format="u0.8", learning__w_max=1.0), 0).constants.w_max == 255


# --- Section 5 -----------------------------------------------------------------------------------------


def test_initial_state() -> None:
    spec = network(learning__w_init_low=2.0, learning__w_init_high=4.0, neuron__v_th=4.03125)
    oracle = Oracle(spec, 3)
    expected = [[32 + (draw(3, 7, j, i) * 32 >> 32) for j in range(2)] for i in range(2)]
    assert oracle.weight == expected
    assert (oracle.theta, oracle.v_th) == ([0, 0], [65, 65])  # 64.5 / 16, rounded up


def test_initial_weights_have_the_sum() -> None:
    oracle = Oracle(network(learning__weight_sum=3.0, learning__w_init_low=3.9, learning__w_init_high=4.0), 0)
    # One value, 62 (3.9 = 62.4 / 16, 4.0 = 64 / 16: 62 or 63), per weight; 48 * 65536 // sum.
    assert all(abs(sum(column(oracle.weight, j)) - 48) <= 1 for j in range(2))
    assert oracle.activity["normalizations"] == 0


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
