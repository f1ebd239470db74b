"""The sentences say what the numbers say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.report.verdict import noise_points, verdict


def words(validation):
    return "\n".join(verdict(validation))


def test_kept(make_validation):
    assert "keeps its accuracy at these widths: 97.00 % in fixed point, 96.00 %" in words(
        make_validation(97, 96)
    )


def test_kept_within_noise(make_validation):
    text = words(make_validation(95.0, 96.0))
    assert "keeps its accuracy" in text and "cannot tell from chance" in text
    # The same difference on 10,000 images is a loss.
    text = words(make_validation(95.0, 96.0, n_images=10_000))
    assert "loses 1.00 points at these widths" in text
    assert "No register left its range" in text and "more fraction bits for the weights first" in text


def test_nothing_learned_means_nothing_compared(make_validation):
    text = words(make_validation(11.0, 15.0))
    assert "Neither network has learned" in text and "10.00 %" in text


@pytest.mark.parametrize("accuracy", [0.0, 100.0])
def test_noise_at_the_ends_is_at_least_an_image(accuracy):
    assert noise_points(accuracy, 400) >= 0.25


@given(st.floats(0, 100), st.integers(1, 10_000))
def test_more_images_less_noise(accuracy, n_images):
    assert noise_points(accuracy, 4 * n_images) <= noise_points(accuracy, n_images)


def test_no_saturation(make_validation, make_seen):
    text = words(make_validation())
    assert "No register left its range" in text and "fraction bits" not in text


def test_harmless_saturation(make_validation, make_seen):
    registers = {
        "weight": make_seen("u0.8", 0, 255, 7, 1234),
        "v_mem": make_seen("s8.8", -300, 32767, 0, 5),
        "v_th": make_seen("s8.8", 2048, 26829),
    }
    text = words(make_validation(registers=registers))
    assert "weight 7 times low and 1,234 times high (clipping weights to 0..w_max is part of" in text
    assert "v_mem 5 times high (a membrane at its ceiling has still reached every threshold)" in text
    assert "do not show in the accuracy" in text


def test_harmful_saturation_says_what_to_widen(make_validation, make_seen):
    registers = {"v_mem": make_seen("s6.4", -512, 511, 9, 9), "v_th": make_seen("s6.4", 100, 511, 0, 3)}
    text = words(make_validation(80.0, 96.0, registers=registers))
    assert "v_th 3 times high (a threshold at its ceiling no longer adapts)" in text
    assert "try v_th = s7.4 first" in text


def test_a_ceiling_below_the_threshold_is_not_excused(make_validation, make_seen):
    registers = {"v_mem": make_seen("s6.4", 0, 511, 0, 9), "v_th": make_seen("s8.4", 100, 1000)}
    assert "reached every threshold" not in words(make_validation(registers=registers))


def test_floor_of_the_format(make_validation, make_seen):
    text = words(make_validation(registers={"v_mem": make_seen("s8.8", -32768, 5, 4, 0)}))
    assert (
        "v_mem 4 times low (inhibition stops at the lowest value of the format, which acts as a floor)"
        in text
    )


def test_wrapping_is_never_excused(make_validation, make_seen):
    config = {"network": {"formats": {"v_mem": {"overflow": "wrap"}}}}
    registers = {"v_mem": make_seen("s8.8", -300, 32767, 0, 5), "v_th": make_seen("s8.8", 0, 9)}
    text = words(make_validation(registers=registers, config=config))
    assert "v_mem 5 times high (wrapped around: a value beyond one end reappears at the other)" in text


def test_room(make_validation, make_seen):
    registers = {"v_th": make_seen("s8.8", 2048, 15360), "v_mem": make_seen("s8.8", -8000, 8191)}
    text = words(make_validation(registers=registers))
    assert "Unused on these images: v_th fits u6.8 (2 bits less)." in text
    # The cap must fit too, and v_mem is left out: its sums before the leak need room that was not recorded.
    capped = {"network": {"neuron": {"v_th": 8.0, "v_th_cap": 100.0}}}
    text = words(make_validation(registers=registers, config=capped))
    assert "Unused on these images: v_th fits u7.8 (1 bit less)." in text


def test_two_classes_can_be_learned(make_validation):
    validation = make_validation(98.0, 98.0)
    matrix = np.array([[90, 2], [1, 87]])
    two = replace(validation, fixed=replace(validation.fixed, confusion={"naive_bayes": matrix}))
    assert "keeps its accuracy" in words(two)


def test_a_dead_network_is_called_dead(make_validation):
    validation = make_validation(10.0, 90.0)
    dead = replace(validation.fixed, activity=replace(validation.fixed.activity, output_spikes=0))
    text = words(replace(validation, fixed=dead))
    assert "No neuron fired" in text and "fits" not in text and "resolution" not in text


def test_registers_never_written_are_no_room(make_validation, make_seen):
    assert "fits" not in words(make_validation(registers={"theta": make_seen("u8.8", 2**63 - 1, -(2**63))}))


def test_memory(make_validation):
    # 64 x 16 weights of 8 bits, one constant of 16; 16 x (16 + 16 + 3); training adds theta 24, windows of
    # 62 steps 6, and per input 9 + 8.
    inference = 1024 * 8 + 16 + 16 * 35
    training = inference + 16 * (24 + 6) + 64 * 17
    fp32 = (1026 + 96) * 32
    text = words(make_validation())
    assert (
        f"Inference needs {inference:,} bits ({inference / 8192:.1f} KiB), {fp32 / inference:.2f} times"
        in text
    )
    assert f"({fp32 / 8192:.1f} KiB); learning on the chip needs {training / 8192:.1f} KiB" in text
