"""Accesses and operations that only learning needs: traces, windows, weight updates, normalisation.

Pair-wise STDP, which has no windows, is in `tinysnn_hw.cost.pairwise`.

With ``W`` full windows, ``U`` updates, ``Z`` normalised columns over ``M`` images and ``T`` steps, in words read
and written:

===============  =========================================  =========================================
variable         read                                       written
===============  =========================================  =========================================
`x_pre`          exponential: T I, window: -; and U I       exponential: T I, window: W I; and M I
`c_pre`          window trace: A + W I                      A + W I + M I
`n_post`         eq1: B + W N                               eq1: B + M N
`n_window`       B + W N                                    B + W N + M N
`theta`          B, and M N if forgotten                    the same
`weight`         U I + 2 Z I                                U I + Z I
===============  =========================================  =========================================

A column of weights is ``I`` single words, because weights lie row by row.  The window trace counts events into
`c_pre` as they come and halves it when a window has ended, which gives the bits of docs/numerics.md.
"""

from __future__ import annotations

from tinysnn_hw.cost.counts import ADD, COMPARE, MULTIPLY, Ledger
from tinysnn_hw.cost.pairwise import count_pairwise
from tinysnn_hw.cost.words import CONSTANT_BITS, SCALE_BITS, Words, address_bits
from tinysnn_hw.records import Activity


def count_learning(ledger: Ledger, words: Words, activity: Activity) -> None:
    """Add what learning does to a ledger that knows the weights."""
    learning = words.spec.learning
    ledger.store("x_pre", words.inputs, words.width("x_pre"))
    ledger.write("onset", "x_pre", activity.images, words.inputs)
    if learning.weight_sum is not None:
        _normalization(ledger, words, activity.normalizations)
    if learning.rule == "pairwise":
        _exponential_trace(ledger, words, activity)
        count_pairwise(ledger, words, activity)
        return
    windows = activity.images * (activity.steps_per_image // learning.update_steps)
    if learning.trace == "exponential":
        _exponential_trace(ledger, words, activity)
    else:
        _window_trace(ledger, words, activity, windows)
    _counters(ledger, words, activity, windows)
    _updates(ledger, words, activity.updates)


def _exponential_trace(ledger: Ledger, words: Words, activity: Activity) -> None:
    steps = activity.images * activity.steps_per_image
    ledger.update("trace", "x_pre", steps, words.inputs)
    ledger.operate("trace", MULTIPLY, steps * words.inputs, words.width("x_pre"), CONSTANT_BITS)
    if words.spec.learning.trace_mode == "add":
        ledger.operate("trace", ADD, activity.input_spikes, words.width("x_pre") + CONSTANT_BITS)
    words.cut(ledger, "trace", "x_pre", steps * words.inputs, CONSTANT_BITS)


def _window_trace(ledger: Ledger, words: Words, activity: Activity, windows: int) -> None:
    inputs, width = words.inputs, words.width("c_pre")
    ledger.store("c_pre", inputs, width)
    ledger.write("onset", "c_pre", activity.images, inputs)
    ledger.update("trace", "c_pre", activity.input_spikes, 1)
    ledger.operate("trace", ADD, activity.input_spikes, width)
    ledger.update("trace", "c_pre", windows, inputs)
    ledger.write("trace", "x_pre", windows, inputs)
    scale = CONSTANT_BITS + words.fraction("x_pre")
    ledger.operate("trace", MULTIPLY, windows * inputs, width, scale)
    ledger.operate("trace", COMPARE, windows * inputs, words.width("x_pre"))
    words.cut(ledger, "trace", "x_pre", windows * inputs, CONSTANT_BITS)


def _counters(ledger: Ledger, words: Words, activity: Activity, windows: int) -> None:
    """Spike counters, the choice of the learners, and ``k`` of Eq. 1."""
    neurons, spikes = words.neurons, activity.output_spikes
    counters = ["n_post", "n_window"] if words.spec.learning.potentiation == "eq1" else ["n_window"]
    for name in counters:
        width = words.width(name)
        ledger.store(name, neurons, width)
        ledger.write("onset", name, activity.images, neurons)
        ledger.update("fire", name, spikes, 1)
        ledger.operate("fire", ADD, spikes, width)
        ledger.read("learn", name, windows, neurons)
        ledger.operate("learn", COMPARE, windows * neurons, width)
    ledger.write("learn", "n_window", windows, neurons)
    if len(counters) > 1:
        width, factor = words.width("n_post"), factor_bits(words)
        _divide(ledger, words, "learn", windows, factor, width)
        ledger.operate("learn", MULTIPLY, windows, factor, words.width("eta"))


def factor_bits(words: Words) -> int:
    """Return the width of ``k``, whose largest value is ``ceil(n_steps / n_th)`` [bit]."""
    learning = words.spec.learning
    if learning.potentiation != "eq1":
        return 0
    return address_bits(-(-words.spec.encoding.n_steps // learning.n_th) + 1)


def _updates(ledger: Ledger, words: Words, updates: int) -> None:
    inputs, learning = words.inputs, words.spec.learning
    total, weight, trace = updates * inputs, words.width("weight"), words.width("x_pre")
    rate = words.width("eta") + factor_bits(words)
    f_x, dropped = words.fraction("x_pre"), words.fraction("x_pre") + words.fraction("eta")
    ledger.update("learn", "weight", total, 1)
    ledger.read("learn", "x_pre", updates, inputs)
    if learning.rule == "potentiate":
        ledger.operate("learn", ADD, total, weight)
        ledger.operate("learn", COMPARE, total, weight)
    else:
        ledger.operate("learn", ADD, total, weight + f_x)
        ledger.operate("learn", COMPARE, 2 * total, weight)
    ledger.operate("learn", MULTIPLY, total, trace, weight)
    ledger.operate("learn", MULTIPLY, total, trace + weight, rate)
    ledger.operate("learn", ADD, total, weight + dropped)
    words.cut(ledger, "learn", "weight", total, dropped)


def _normalization(ledger: Ledger, words: Words, columns: int) -> None:
    """Sum a column, divide once, scale every weight of it."""
    total, weight = columns * words.inputs, words.width("weight")
    column_sum = weight + address_bits(words.inputs)
    ledger.read("normalize", "weight", total, 1)
    ledger.update("normalize", "weight", total, 1)
    ledger.operate("normalize", ADD, total, column_sum)
    _divide(ledger, words, "normalize", columns, SCALE_BITS, column_sum)
    ledger.operate("normalize", MULTIPLY, total, weight, SCALE_BITS)
    ledger.operate("normalize", COMPARE, total, weight)
    words.cut(ledger, "normalize", "weight", total, CONSTANT_BITS)


def _divide(ledger: Ledger, words: Words, part: str, count: int, quotient: int, width: int) -> None:
    """Count divisions: one subtraction per bit of the quotient; in floating point as multiplications."""
    if words.is_float:
        ledger.operate(part, MULTIPLY, count, width)
    else:
        ledger.operate(part, ADD, count * quotient, width)


__all__ = ["count_learning", "factor_bits"]
