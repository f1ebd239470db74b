"""The oracle by hand from docs/numerics.md, sections 1 to 5: numbers, words, spikes, schedules, initial state."""

from __future__ import annotations

import pytest

from tests.engine.golden import column, network
from tinysnn_hw.engine import oracle_constants
from tinysnn_hw.engine.oracle import Oracle, encode_image, encoding_tables, epoch_order
from tinysnn_hw.engine.oracle_constants import const, draw, mix, round_shift
from tinysnn_hw.fixed import Format, Overflow, Rounding
from tinysnn_hw.spec.network import RegisterSpec

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
