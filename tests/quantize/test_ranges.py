"""Range analysis against plain counting: ends, histograms, integer bits, and constants."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.data import load_dataset
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning import trace, train
from tinysnn_hw.quantize import analyse_constants, analyse_ranges, fewest_frac_bits, fitted_formats, quantize
from tinysnn_hw.quantize.ptq import with_formats
from tinysnn_hw.spec import load_network

N = 5


@pytest.fixture(scope="module")
def few():
    return load_dataset("digits").limit(40, 10)


@pytest.fixture(scope="module")
def trained(few):
    network = load_network("tinysnn-wta", recipe="digits", neurons=12, epochs=1, v_mem="s8.6")
    return train(network, few, seed=3, threads=1)


@pytest.fixture(scope="module")
def found(trained, few):
    return analyse_ranges(trained, few, n_images=N)


def needed_int_bits(values, signed):
    """Return the fewest integer bits, by trying."""
    for bits in range(-8, 40):
        low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1)) if signed else (0.0, 2.0**bits)
        if min(values) >= low and max(values) < high:
            return bits
    raise AssertionError


def test_registers_have_the_ends_of_the_whole_training(found, trained):
    assert list(found) == [*trained.registers, "update", "accumulator"]
    for name, seen in trained.registers.items():
        one = found[name]
        assert one.exact and one.format == seen.format
        assert one.min_raw <= seen.min_raw and one.max_raw >= seen.max_raw
        if name != "v_mem":  # the potential is also sampled with learning off
            assert (one.min_raw, one.max_raw) == (seen.min_raw, seen.max_raw)
        signed = one.min_raw < 0
        assert one.int_bits == needed_int_bits(
            [one.min_raw * one.fitted.lsb, one.max_raw * one.fitted.lsb], signed
        )
        assert one.fitted.raw_min <= one.min_raw and one.max_raw <= one.fitted.raw_max
        assert one.counts.sum() == one.n_values and len(one.edges) == len(one.counts) + 1
    assert not found["update"].exact and not found["accumulator"].exact


@pytest.mark.parametrize("name", ["weight", "v_th", "theta"])
def test_words_are_all_counted(found, trained, name):
    words, one = getattr(trained, name) * found[name].fitted.lsb, found[name]
    assert one.n_values == words.size
    expected = np.histogram(words, bins=one.edges)[0]
    assert (one.counts == expected).all()


def test_the_accumulator_by_hand(found, trained, few):
    """Before the leak: the potential of the step before plus the weights of the step's events, neurons not held."""
    shown = trace(trained, few, list(range(N)), split="train")
    values = []
    for image in range(N):
        events = shown.inputs[image]
        for t in range(trained.network.encoding.n_steps):
            now = events[events[:, 0] == t, 1]
            for j in range(12):
                if t and shown.registers["refractory_count"][image, t - 1, j] > 0:
                    continue
                v = int(shown.registers["v_mem"][image, t - 1, j]) if t else 0
                values.append(v * 4 + sum(int(trained.weight[i, j]) for i in now))
    one = found["accumulator"]
    assert (one.n_values, one.min_raw, one.max_raw) == (len(values), min(values), max(values))
    assert one.format == "s8.8"
    assert (one.counts == np.histogram(np.array(values) / 256, bins=one.edges)[0]).all()
    assert one.int_bits == needed_int_bits([min(values) / 256, max(values) / 256], signed=min(values) < 0)


def test_updates_are_on_the_grid_of_the_product(found, trained):
    one = found["update"]
    assert one.format == "s1.29"  # weight 8, trace 8 and learning rate 13 fraction bits
    largest = max(abs(one.min_raw), abs(one.max_raw)) * 2.0**-29
    assert 0 < largest <= float(trained.network.learning.eta_end) * 1.2


def test_head_room(trained, few, found):
    roomy = analyse_ranges(trained, few, n_images=1, head_room=2)
    for name in ("weight", "theta", "x_pre"):
        assert roomy[name].int_bits == found[name].int_bits + 2
        assert roomy[name].fitted.frac_bits == found[name].fitted.frac_bits


def test_what_has_no_training_is_refused(trained, few):
    twin = train(trained.network, few, arithmetic="float64", threads=1)
    for model in (twin, quantize(trained, weight="u0.4")):
        with pytest.raises(SpecError, match="not trained so"):
            analyse_ranges(model, few)
    with pytest.raises(SpecError, match="head_room"):
        analyse_ranges(trained, few, head_room=-1)


def test_the_layer_has_an_inhibitory_potential(few):
    model = train(load_network("baseline", recipe="digits", neurons=8, epochs=1), few, threads=1)
    found = analyse_ranges(model, few, n_images=2)
    assert {"v_inh", "x_post", "update"} <= set(found) and "accumulator" not in found


@given(st.floats(-1e4, 1e4, allow_subnormal=False), st.sampled_from([0.0, 1e-4, 1e-2, 0.2]))
def test_fewest_fraction_bits(value, error):
    def stored(bits):
        return Fraction(math.floor(Fraction(value) * 2**bits + Fraction(1, 2)), 2**bits)

    def good(bits):
        return abs(stored(bits) - Fraction(value)) <= Fraction(error) * abs(Fraction(value))

    bits, kept, off = fewest_frac_bits(value, error)
    assert bits == next((b for b in range(33) if good(b)), None)
    assert kept == float(stored(32 if bits is None else bits))
    assert (off <= error) == (bits is not None) or off == pytest.approx(error)


def test_constants_of_a_network():
    network = load_network("tinysnn-wta", recipe="mnist")
    exact = {row.key: row for row in analyse_constants(network)}
    assert exact["neuron.v_th"].frac_bits == 0 and exact["learning.eta_start"].frac_bits == 3
    assert exact["neuron.theta_plus"].frac_bits is None  # 0.15 is no sum of powers of two
    near = {row.key: row for row in analyse_constants(network, 0.01)}
    assert near["neuron.theta_plus"].frac_bits == 9 and near["neuron.theta_plus"].stored == 77 / 512
    assert near["neuron.theta_forget_spikes"].value == 0.15 * 5.0 / 400
    assert all(row.error <= 0.01 for row in near.values())
    with pytest.raises(SpecError, match="error"):
        analyse_constants(network, 1.0)


def test_fitted_formats_hold_values_and_constants(trained, few, found):
    fitted = fitted_formats(trained.network, found)
    assert set(fitted) == set(trained.registers)
    for name, fmt in fitted.items():
        seen = trained.registers[name]
        assert fmt.min <= seen.min and seen.max <= fmt.max
        assert fmt.frac_bits == getattr(trained.network.formats, name).format.frac_bits
    # The cap of 50 mV needs 6 bits, whatever the few thresholds seen.
    assert found["v_th"].int_bits < 6 or trained.v_th.max() >= 32 * 256
    assert (fitted["v_th"].signed, fitted["v_th"].int_bits) == (False, 6)
    tight = with_formats(trained.network, fitted)
    again = train(tight, few, seed=3, threads=1)
    for name in ("weight", "theta", "v_th"):
        assert (getattr(again, name) == getattr(trained, name)).all()
