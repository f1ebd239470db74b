"""What a validation means, in sentences a hardware designer can act on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tinysnn_hw.fixed.format import Format
from tinysnn_hw.records import RegisterRange, Validation
from tinysnn_hw.report.result import HEADLINE
from tinysnn_hw.report.text import count, fitting_format, is_saturated, is_written, kib, percent

LEARNED = 0.1
"""Part of the way from guessing to perfection that a network must have come for a comparison to mean anything."""


def noise_points(accuracy: float, n_images: int) -> float:
    """Return the difference of two accuracies that chance alone explains, in points.

    Two standard errors of the difference of two independent shares, ``2 sqrt(2 p (1 - p) / n)``, at least one
    image; ``p`` is kept half an image away from 0 and 1.
    """
    p = min(max(accuracy / 100.0, 0.5 / n_images), 1.0 - 0.5 / n_images)
    return 100.0 * max(2.0 * math.sqrt(2.0 * p * (1.0 - p) / n_images), 1.0 / n_images)


def verdict(validation: Validation) -> tuple[str, ...]:
    """Return the findings in plain words: accuracy kept or lost, saturations, unused bits, memory.

    Parameters
    ----------
    validation : Validation

    Returns
    -------
    tuple of str
        One paragraph each.
    """
    return (
        _accuracy(validation),
        *_saturation(validation),
        *_room(validation),
        *_memory(validation.memory),
    )


def is_lost(validation: Validation) -> bool:
    """Return whether fixed point is less accurate than float64 by more than chance explains."""
    fixed, float64 = validation.fixed.accuracy, validation.float64.accuracy
    return float64 - fixed > noise_points(float64, validation.fixed.n_images)


def _accuracy(validation: Validation) -> str:
    fixed, float64 = validation.fixed.accuracy, validation.float64.accuracy
    n_images = validation.fixed.n_images
    both = f"{percent(fixed)} % in fixed point, {percent(float64)} % in float64"
    matrix = validation.fixed.confusion.get(HEADLINE)
    chance = 100.0 / len(matrix) if matrix is not None and len(matrix) > 1 else 0.0
    if max(fixed, float64) < chance + LEARNED * (100.0 - chance):
        return (
            f"Neither network has learned to recognise its images: {both}, where guessing gives "
            f"{percent(chance)} %. The difference says nothing about the widths; train on more images first."
        )
    noise = noise_points(float64, n_images)
    if fixed >= float64:
        return f"The network keeps its accuracy at these widths: {both}."
    if not is_lost(validation):
        return (
            f"The network keeps its accuracy at these widths: {both}, a difference of "
            f"{percent(float64 - fixed)} points, which {count(n_images)} test images cannot tell from chance "
            f"(up to about {noise:.1f} points)."
        )
    return f"The network loses {percent(float64 - fixed)} points at these widths: {both}."


def _saturation(validation: Validation) -> Iterator[str]:
    cut = {name: seen for name, seen in validation.registers.items() if is_saturated(seen)}
    if not validation.fixed.activity.output_spikes:
        yield (
            "No neuron fired: the weights cannot reach the threshold. Look at the initial weights at this format "
            "(learning.w_init_high against one LSB), v_th and the input rate."
        )
        return
    if not cut:
        yield "No register left its range: nothing was cut off in training, labelling or test."
        if is_lost(validation):
            yield (
                "So the loss comes from resolution, not from range: try more fraction bits for the weights "
                "first, or stochastic rounding, which keeps updates smaller than the last bit."
            )
        return
    said = [f"{name} {_how_often(seen)}{_meaning(name, seen, validation)}" for name, seen in cut.items()]
    yield f"Values were cut off at the end of the range: {'; '.join(said)}."
    if not is_lost(validation):
        yield "Those cuts do not show in the accuracy."
        return
    wider = [name for name in ("v_th", "theta", "x_pre", "v_mem") if name in cut]
    if wider:
        fmt = Format.parse(cut[wider[0]].format)
        better = Format(fmt.signed, fmt.int_bits + 1, fmt.frac_bits)
        yield f"They may explain the loss: try {wider[0]} = {better} first, one integer bit more."


def _how_often(seen: RegisterRange) -> str:
    ends = (("low", seen.saturated_low), ("high", seen.saturated_high))
    return " and ".join(f"{count(n)} times {end}" for end, n in ends if n)


def _meaning(name: str, seen: RegisterRange, validation: Validation) -> str:
    if _overflow(name, validation.config) == "wrap" and name != "weight":
        return " (wrapped around: a value beyond one end reappears at the other)"
    if name == "weight":
        return " (clipping weights to 0..w_max is part of the learning rule)"
    if name in ("v_th", "theta") and seen.saturated_high:
        return " (a threshold at its ceiling no longer adapts)"
    if name == "x_pre":
        return " (the most active inputs count less than they should)"
    if name == "v_mem" and not seen.saturated_low:
        threshold = validation.registers.get("v_th")
        if threshold is not None and is_written(threshold) and threshold.max <= Format.parse(seen.format).max:
            return " (a membrane at its ceiling has still reached every threshold)"
    if name == "v_mem" and not seen.saturated_high:
        return " (inhibition stops at the lowest value of the format, which acts as a floor)"
    return ""


def _overflow(name: str, config: Mapping[str, Any]) -> str:
    """Return the overflow mode of a register, as the configuration of the run has it."""
    mode: str = config.get("network", {}).get("formats", {}).get(name, {}).get("overflow", "saturate")
    return mode


def _room(validation: Validation) -> Iterator[str]:
    """Say which stored words could be narrower; `v_mem` is left out, whose sums before the leak need their own room."""
    if not validation.fixed.activity.output_spikes:
        return
    network: Any = validation.config.get("network", {})
    neuron = network.get("neuron", {})
    cap = neuron.get("v_th_cap")
    ceilings = {} if cap is None else {"v_th": cap, "theta": cap - neuron.get("v_th", 0.0)}
    spare = []
    for name, seen in validation.registers.items():
        if name == "v_mem" or not is_written(seen) or is_saturated(seen):
            continue
        fmt = Format.parse(seen.format)
        ceiling = math.ceil(ceilings.get(name, 0.0) / fmt.lsb)
        needed = fitting_format(name, replace(seen, max_raw=max(seen.max_raw, ceiling)))
        unused = fmt.width - needed.width
        if unused > 0:
            bits = "bit" if unused == 1 else "bits"
            spare.append(f"{name} fits {needed} ({unused} {bits} less)")
    if spare:
        yield f"Unused on these images: {', '.join(spare)}."


def _memory(memory: Mapping[str, Any]) -> Iterator[str]:
    bits, fp32 = memory["memory_bits"], memory["memory_bits_fp32"]
    training = sum(item["bits"] for item in memory["items"]["training"])
    yield (
        f"Inference needs {count(bits)} bits ({kib(bits)} KiB), {fp32 / bits:.2f} times less than the FP32 "
        f"baseline ({kib(fp32)} KiB); learning on the chip needs {kib(training)} KiB."
    )


__all__ = ["is_lost", "noise_points", "verdict"]
