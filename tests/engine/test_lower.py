"""Lowering: constants against exact fractions, and refusals that help."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.lowered import lowered_network, nearest
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import Proof, initial_state, lower, run
from tinysnn_hw.engine.lower import constant, eta_values, full_counts, inhibition_values, piece_of
from tinysnn_hw.errors import SpecError, TinySnnError
from tinysnn_hw.fixed import Format
from tinysnn_hw.spec import list_networks, load_network
from tinysnn_hw.spec.describe import describe_spec

# --- Constants -----------------------------------------------------------------------------------------


@given(st.floats(-1e12, 1e12), st.integers(-20, 40))
def test_a_constant_is_the_nearest_integer(value: float, frac_bits: int) -> None:
    raw = constant(value, frac_bits)
    # Within half an LSB; on a tie, the upper one.
    distance = Fraction(value) * Fraction(2) ** frac_bits - raw
    assert Fraction(-1, 2) <= distance < Fraction(1, 2)


@pytest.mark.parametrize(
    ("value", "frac_bits", "raw"),
    # In float64 both 0.49999999999999994 + 0.5 and 0.1 * 2**55 + 0.5 round: only exact sums get these right.
    [(0.5, 0, 1), (-0.5, 0, 0), (1.5, 0, 2), (-1.5, 0, -1), (0.49999999999999994, 0, 0), (2.0**53 + 2, 0, 2**53 + 2),
     (0.1, 55, 3602879701896397), (3.0, -1, 2), (1.0, -1, 1), (-1.0, -1, 0), (0.0, 30, 0)],
)  # fmt: skip
def test_ties_and_neighbours(value: float, frac_bits: int, raw: int) -> None:
    assert constant(value, frac_bits) == raw == nearest(value, frac_bits)


SCHEDULES = st.fixed_dictionaries(
    {
        "learning.eta_start": st.floats(0.01, 0.9),
        "learning.eta_end": st.floats(0.001, 0.01),
        "learning.eta_schedule": st.sampled_from(["geometric", "linear", "cosine"]),
        "learning.schedule_pieces": st.integers(1, 40),
        "inhibition.strength": st.floats(0.0, 500.0),
        "inhibition.start": st.floats(0.0, 1.0),
        "inhibition.ramp": st.floats(0.01, 1.0),
    }
)


@given(SCHEDULES)
def test_schedules(changes: dict[str, Any]) -> None:
    spec = load_network(settings=changes, eta="u0.16")
    lowered = lower(spec)
    learning, pieces = spec.learning, spec.learning.schedule_pieces
    start, end = Fraction(learning.eta_start), Fraction(learning.eta_end)
    full = nearest(spec.inhibition.strength, 8)
    assert len(lowered.eta) == len(lowered.inhibition) == pieces
    assert lowered.inhibition_full == full
    # The course goes from the first value to the last and never back.
    assert lowered.eta[0] == nearest(start, 16)
    if pieces > 1:
        assert abs(int(lowered.eta[-1]) - nearest(end, 16)) <= 1  # float64 rounds end / start
    assert (np.diff(lowered.eta) <= 0).all() and (np.diff(lowered.inhibition) >= 0).all()
    assert lowered.inhibition[0] == nearest(spec.inhibition.strength * spec.inhibition.start, 8)
    for q in range(pieces):
        a = Fraction(q, pieces - 1) if pieces > 1 else Fraction(0)
        if learning.eta_schedule == "linear":
            exact = start + (end - start) * a
        elif learning.eta_schedule == "geometric":
            exact = Fraction(learning.eta_start * (learning.eta_end / learning.eta_start) ** float(a))
        else:
            exact = Fraction(
                learning.eta_end
                + (learning.eta_start - learning.eta_end) * (1 + math.cos(math.pi * float(a))) / 2
            )
        # Float64 sums and powers differ from the exact ones by a few of their last bits.
        assert abs(Fraction(eta_values(learning)[q]) - exact) < Fraction(1, 2**48)
        assert abs(int(lowered.eta[q]) - exact * 2**16) <= Fraction(1, 2) + Fraction(1, 2**30)
        rise = min(Fraction(1), Fraction(q, pieces) / Fraction(spec.inhibition.ramp))
        level = Fraction(spec.inhibition.start) + (1 - Fraction(spec.inhibition.start)) * rise
        exact = Fraction(spec.inhibition.strength) * level
        assert abs(Fraction(inhibition_values(spec)[q]) - exact) < Fraction(1, 2**40)
        assert abs(int(lowered.inhibition[q]) - exact * 2**8) <= Fraction(1, 2) + Fraction(1, 2**30)


@given(st.integers(1, 5000), st.integers(1, 100))
def test_pieces_are_equal_parts_of_a_training(n_presentations: int, n_pieces: int) -> None:
    pieces = [piece_of(p, n_presentations, n_pieces) for p in range(n_presentations)]
    assert pieces == [math.floor(Fraction(p * n_pieces, n_presentations)) for p in range(n_presentations)]
    assert pieces[0] == 0 and pieces == sorted(pieces) and pieces[-1] < n_pieces
    lengths = np.bincount(pieces, minlength=n_pieces)
    assert lengths.max() - lengths.min() <= 1
    if n_presentations >= n_pieces:
        assert lengths.min() >= 1


@given(st.integers(1, 250), st.floats(1.0, 2000.0), st.integers(0, 12))
def test_window_counts_and_their_reciprocals(update_steps: int, rate: float, x_frac: int) -> None:
    spec = load_network(
        c_pre="u16.0", x_pre=f"u1.{x_frac}",
        settings={"learning.update_steps": update_steps, "encoding.rate_max_hz": rate},
    )  # fmt: skip
    per_window = math.floor(Fraction(rate * spec.encoding.dt * update_steps) + Fraction(1, 2))
    expected, count = [], 0
    for _ in range(spec.encoding.n_steps // update_steps):
        count = count // 2 + per_window
        expected.append(count)
    assert full_counts(spec) == expected
    if min(expected) < 1:
        with pytest.raises(SpecError, match=r"formats\.c_pre = u16\.0: a full-rate pixel counts 0"):
            lower(spec)
        return
    lowered = lower(spec)
    assert lowered.n_updates == len(expected)
    assert lowered.x_scale.tolist() == [
        math.floor(Fraction(2 ** (16 + x_frac), count) + Fraction(1, 2)) for count in expected
    ]


@pytest.mark.parametrize("rounding", ["floor", "to_zero", "nearest", "nearest_away", "nearest_even"])
@pytest.mark.parametrize("v_th", [8.0, 8.03125, 8.0312501, 7.96875, 0.001])
def test_initial_thresholds(v_th: float, rounding: str) -> None:
    """With 4 fraction bits 8.03125 is a tie; the sum is cut once, from the threshold grid."""
    lowered = lowered_network(neurons=5, v_th="s8.4", neuron__v_th=v_th, formats__v_th__rounding=rounding)
    # v_th on the grid of max(16, f_v_th, f_theta) = 16 bits, then 12 bits are dropped.
    whole, rest = divmod(nearest(v_th, 16), 2**12)
    up = {
        "floor": False,
        "to_zero": False,
        "nearest": rest >= 2**11,
        "nearest_away": rest >= 2**11,
        "nearest_even": rest > 2**11 or (rest == 2**11 and whole % 2 == 1),
    }[rounding]
    assert initial_state(lowered, 3).v_th.tolist() == [whole + up] * 5


@given(
    st.floats(0.0, 1.2), st.floats(0.001, 1.2), st.floats(0.1, 1.5), st.sampled_from(["u0.8", "u0.4", "u1.7"])
)
def test_initial_weights(low: float, width: float, w_max: float, weight: str) -> None:
    lowered = lowered_network(
        neurons=20, inputs=50, weight=weight, learning__w_init_low=low, learning__w_init_high=low + width,
        learning__w_max=w_max,
    )  # fmt: skip
    fmt = Format.parse(weight)
    top = min(nearest(w_max, fmt.frac_bits), fmt.raw_max)
    first = min(nearest(low, fmt.frac_bits), top)
    end = min(nearest(low + width, fmt.frac_bits), top + 1)
    seen = initial_state(lowered, 1).weight
    assert first <= seen.min() and seen.max() <= max(first, end - 1) <= top
    # 1000 draws over at most 9 words miss one by a chance below 9 * (8/9)**1000 < 1e-50.
    if end - first <= 9:
        assert set(range(first, max(end, first + 1))) == set(np.unique(seen).tolist())


# --- Refusals ------------------------------------------------------------------------------------------


def refused(**changes: Any) -> str:
    with pytest.raises(SpecError) as refusal:
        lowered_network(**changes)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "register", "key", "value"),
    [
        ({"v_mem": "s4.8", "neuron__v_floor": None}, "v_mem", "neuron.v_th", "8"),
        ({"v_mem": "s6.8"}, "v_mem", "neuron.v_floor", "-117"),
        ({"v_mem": "u7.8"}, "v_mem", "neuron.v_floor", "-117"),
        ({"v_th": "u3.8"}, "v_th", "neuron.v_th", "8"),
        ({"v_th": "s4.8"}, "v_th", "neuron.v_th", "8"),
        ({"v_th": "s7.8"}, "v_th", "neuron.v_th_cap", "104.8"),
        ({"v_mem": "s8.8", "neuron__v_reset": -150.0, "neuron__v_floor": None}, "v_mem", "neuron.v_reset", "-150"),
        ({"v_mem": "s8.8", "neuron__v_th": 500.0, "neuron__v_th_cap": None}, "v_mem", "neuron.v_th", "500"),
    ],
)  # fmt: skip
def test_a_register_too_narrow_for_its_constant(
    changes: dict[str, Any], register: str, key: str, value: str
) -> None:
    """The message names register, format, range, key and value, and a width that would do."""
    said = refused(**changes)
    fmt = Format.parse(changes[register])
    assert said.startswith(
        f"formats.{register} = {fmt} ({fmt.min:g} to {fmt.max:g}) cannot hold {key} = {value} "
    )
    enough = Format.parse(re.search(r"use at least ([su]\d+\.\d+)", said)[1])
    raw = nearest(float(value), fmt.frac_bits)
    assert enough.frac_bits == fmt.frac_bits and enough.signed == (fmt.signed or raw < 0)
    assert enough.raw_min <= raw <= enough.raw_max
    # Following the advice until nothing is left to advise gives a network.
    for _ in range(4):
        changes = {**changes, register: str(enough)}
        try:
            lowered_network(**changes)
            break
        except SpecError as refusal:
            assert (register, key) != re.match(
                r"formats\.(\w+) = .* cannot hold (\S+) = ", str(refusal)
            ).groups()
            register, width = re.match(r"formats\.(\w+) = .* use at least (\S+),", str(refusal)).groups()
            enough = Format.parse(width)
    else:
        pytest.fail("the advice never ends")


@given(st.integers(-4000, -1) | st.sampled_from([-128, -256, -2048]), st.integers(0, 4))
def test_the_advised_width_is_the_narrowest_below_zero(v_floor: int, frac_bits: int) -> None:
    """Two's complement holds one word more below zero: -128 needs no bit more than -127."""
    changes: dict[str, Any] = {
        "neuron__v_floor": float(v_floor),
        "neuron__v_th": 0.25,
        "neuron__v_th_cap": None,
    }
    raw = v_floor << frac_bits
    if raw >= Format(True, 1, frac_bits).raw_min:
        return
    said = refused(v_mem=f"s1.{frac_bits}", **changes)
    enough = Format.parse(re.search(r"use at least (\S+),", said)[1])
    assert enough.raw_min <= raw < Format(True, enough.int_bits - 1, frac_bits).raw_min


@given(st.sampled_from(["v_mem", "v_th"]), st.floats(0.01, 4000.0), st.integers(0, 10))
def test_the_advised_width_is_the_narrowest(register: str, v_th: float, frac_bits: int) -> None:
    changes: dict[str, Any] = {
        "neuron__v_th": v_th, "neuron__v_th_cap": None, "neuron__v_floor": None,
        "v_mem": "s14.4", "v_th": "s14.4",
    } | {register: f"s1.{frac_bits}"}  # fmt: skip
    raw = nearest(v_th, frac_bits)
    if raw <= Format(True, 1, frac_bits).raw_max:
        lowered_network(**changes)
        return
    said = refused(**changes)
    enough = Format.parse(re.search(r"use at least (\S+),", said)[1])
    assert enough.raw_max >= raw > Format(True, enough.int_bits - 1, frac_bits).raw_max
    lowered_network(**changes | {register: str(enough)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # A learning rate that vanishes or does not fit.
        ({"eta": "u0.6"}, r"formats\.eta = u0\.6: learning rate 0\.00\d+ becomes raw 0; 1 to 63 is allowed \(0\.0156"),
        ({"eta": "u-3.13"}, r"formats\.eta = u-3\.13: learning rate 0\.125 becomes raw 1024; 1 to 1023 is allowed"),
        # A counter too narrow for a full-rate pixel: 128 Hz in 125 steps.
        ({"c_pre": "u4.0"}, r"formats\.c_pre = u4\.0: a full-rate pixel counts 16 in a window of 125 steps; 1 to 15"),
        ({"encoding__rate_max_hz": 3.0}, r"formats\.c_pre = u8\.0: a full-rate pixel counts 0 in a window of 125"),
        # Less than one LSB.
        ({"learning__weight_sum": 0.001}, r"learning\.weight_sum = 0\.001 is below one LSB of formats\.weight = u0\.8"),
        ({"learning__w_max": 0.001}, r"formats\.weight = u0\.8: w_max = 0\.001 is below one LSB \(0\.00390625\)"),
        # The cap leaves more to theta than it holds.
        ({"theta": "u6.16"}, r"formats\.theta = u6\.16: v_th_cap - v_th = 96\.8 mV does not fit; its largest .* is 64"),
        # The symmetric range lacks one word.
        ({"formats__v_mem__overflow": "saturate_symmetric", "neuron__v_floor": -128.0},
         r"neuron\.v_floor = -128: with overflow saturate_symmetric s8\.8 goes down to -127\.996 only"),
        # An accumulator without bits.
        ({"v_mem": "s-8.9", "weight": "u0.8"}, r"formats\.v_mem = s-8\.9: the accumulator .* is empty"),
    ],
)  # fmt: skip
def test_impossible_networks(changes: dict[str, Any], message: str) -> None:
    assert re.search(message, refused(**changes)), refused(**changes)


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"weight": "u0.32", "v_mem": "s16.16", "guard_bits": 16}, "accumulator before saturation"),
        ({"v_mem": "s16.16", "v_th": "s16.16", "guard_bits": 16, "neuron__leak": "multiply"}, "leak product"),
        ({"weight": "u0.24", "eta": "u0.24", "x_pre": "u8.16"}, "weight update"),
        ({"theta": "u8.24", "v_th": "s8.8", "learning__potentiation": "constant",
          "neuron__theta_forget": "multiply"}, "theta decay"),
        ({"weight": "u16.16", "learning__w_max": 6e4, "learning__weight_sum": 1e12, "eta": "u0.9"},
         "normalisation product"),
    ],
)  # fmt: skip
def test_an_intermediate_too_wide_is_named(changes: dict[str, Any], subject: str) -> None:
    said = refused(**changes)
    match = re.fullmatch(
        r"(.+): values from (-?\d+) to (-?\d+) need (\d+) bits; 63 are available: narrow what "
        r"enters it \(formats: [a-z_, ]+\)", said,
    )  # fmt: skip
    assert match and match[1] == subject, said
    assert Proof(subject, int(match[2]), int(match[3])).bits == int(match[4]) > 63


def test_numbers_beyond_reading_are_powers_of_two() -> None:
    said = refused(v_mem="s400.-390")
    assert "accumulator before saturation: values from about -2**4" in said and len(said) < 250
    assert "learning.weight_sum = 1e+300: with 8 fraction bits" in refused(learning__weight_sum=1e300)


def test_more_events_need_wider_carriers() -> None:
    """The bound on events per step decides; without one, 16 per input are assumed."""
    spec = load_network(weight="u0.16", v_mem="s14.18", v_th="s14.18", guard_bits=12, eta="u0.12")
    spec_inputs = 16 * spec.network.inputs
    default, given_ = lower(spec), lower(spec, max_events=spec_inputs)
    assert default.proofs == given_.proofs
    high = [lower(spec, max_events=n).proofs[0].high for n in (1, 2, 100)]
    assert high[1] == 2 * high[0] and high[2] == 100 * high[0]
    with pytest.raises(SpecError, match=r"input sum: values from 0 to \d+ need \d+ bits"):
        lower(spec, max_events=2**40)


HUGE = (0, -1, 2, 65536, 2**31, 2**62, 10**18, 10**30, 1e-300, 1e-30, 1e9, 1e300, -1e300)


def numeric_keys() -> Iterator[str]:
    spec = load_network()
    for row in describe_spec(spec):
        number = isinstance(row.value, (int, float)) and not isinstance(row.value, bool)
        if (number or row.value is None) and row.key not in (
            "network.inputs", "network.neurons", "encoding.n_steps",
        ):  # fmt: skip
            yield row.key


@pytest.mark.parametrize("key", list(numeric_keys()))
@pytest.mark.parametrize("name", list_networks())
def test_no_number_breaks_anything_but_itself(name: str, key: str) -> None:
    """Whatever number a field gets, the network runs or is refused with a word about it."""
    small: dict[str, Any] = {"encoding.n_steps": 20, "learning.update_steps": 10}
    for value in HUGE:
        for leak in ("shift", "subtract"):
            changes = {**small, "neuron.leak": leak, key: value}
            try:
                spec = load_network(name, inputs=4, neurons=3, settings=changes)
                lowered = lower(spec)
                raster = encode(
                    np.full((2, 4), 200, np.uint8), encoding_tables(spec.encoding), spikes="regular",
                    phase="train", seed=0,
                )  # fmt: skip
                seen = []
                for kernel in ("generic", "auto"):
                    state = initial_state(lowered, 0)
                    result = run(
                        lowered, state, raster, phase="train", seed=0, n_presentations=2, kernel=kernel
                    )
                    seen.append((result.counts.tolist(), result.stats.tolist(), state.weight.tolist()))
                assert seen[0] == seen[1]
            except TinySnnError as refusal:
                assert str(refusal)
