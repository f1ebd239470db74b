"""Accesses and operations of pair-wise STDP: depression at input events, potentiation at output spikes.

With ``D`` depressed synapses and ``U`` updates, in words read and written:

===============  ======================  =======================================================
variable         read                    written
===============  ======================  =======================================================
`x_post`         T N + D                 T N + M N + B; a spike that adds to its trace reads B too
`weight`         D + U I                 D + U I
`x_pre`          U I                     the trace itself: `tinysnn_hw.cost.plasticity`
`n_post`         B, where needed         B + M N, where needed
===============  ======================  =======================================================

Without `n_essential` an event depresses its whole row of weights; with it, single words, those of the neurons that have
fired often enough, for which `n_post` is kept.  Synapses whose trace is 0 are read and written like all others.
"""

from __future__ import annotations

from tinysnn_hw.cost.counts import ADD, COMPARE, MULTIPLY, Ledger
from tinysnn_hw.cost.words import CONSTANT_BITS, Words
from tinysnn_hw.records import Activity


def count_pairwise(ledger: Ledger, words: Words, activity: Activity) -> None:
    """Add the post-synaptic traces and both halves of the rule."""
    learning, neurons, spikes = words.spec.learning, words.neurons, activity.output_spikes
    steps, width = activity.images * activity.steps_per_image, words.width("x_post")
    ledger.store("x_post", neurons, width)
    ledger.write("onset", "x_post", activity.images, neurons)
    ledger.update("trace", "x_post", steps, neurons)
    ledger.operate("trace", MULTIPLY, steps * neurons, width, CONSTANT_BITS)
    words.cut(ledger, "trace", "x_post", steps * neurons, CONSTANT_BITS)
    if learning.trace_mode == "set":
        ledger.write("fire", "x_post", spikes, 1)
    else:
        ledger.update("fire", "x_post", spikes, 1)
        ledger.operate("fire", ADD, spikes, width)
    if learning.n_essential:
        _spike_counts(ledger, words, activity)
    _depression(ledger, words, activity.depressions)
    _potentiation(ledger, words, activity.updates)


def _spike_counts(ledger: Ledger, words: Words, activity: Activity) -> None:
    spikes, width = activity.output_spikes, words.width("n_post")
    ledger.store("n_post", words.neurons, width)
    ledger.write("onset", "n_post", activity.images, words.neurons)
    ledger.update("fire", "n_post", spikes, 1)
    ledger.operate("fire", ADD, spikes, width)
    ledger.operate("fire", COMPARE, spikes, width)


def _depression(ledger: Ledger, words: Words, synapses: int) -> None:
    row = 1 if words.spec.learning.n_essential else words.neurons
    rows = -(-synapses // row)
    ledger.update("learn", "weight", rows, row)
    ledger.read("learn", "x_post", rows, row)
    _change(ledger, words, synapses, "x_post", "eta_pre")


def _potentiation(ledger: Ledger, words: Words, updates: int) -> None:
    total = updates * words.inputs
    ledger.update("learn", "weight", total, 1)
    ledger.read("learn", "x_pre", updates, words.inputs)
    if words.spec.learning.soft_bounds:
        ledger.operate("learn", ADD, total, words.width("weight"))
    _change(ledger, words, total, "x_pre", "eta")


def _change(ledger: Ledger, words: Words, synapses: int, trace: str, rate: str) -> None:
    """Count trace times weight (or its largest value) times rate, added to the weight, cut and clipped."""
    weight, x = words.width("weight"), words.width(trace)
    dropped = words.fraction(trace) + words.fraction(rate)
    ledger.operate("learn", MULTIPLY, synapses, x, weight)
    ledger.operate("learn", MULTIPLY, synapses, x + weight, words.width(rate))
    ledger.operate("learn", ADD, synapses, weight + dropped)
    ledger.operate("learn", COMPARE, synapses, weight)
    words.cut(ledger, "learn", "weight", synapses, dropped)


__all__ = ["count_pairwise"]
