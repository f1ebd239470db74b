"""Accesses and operations of lateral inhibition: direct, or by a layer of inhibitory neurons.

With ``C`` spikes of inhibitory neurons, in words read and written:

==================  ==============================  =====================
variable            read                            written
==================  ==============================  =====================
`v_mem`, direct     B N                             B N
`v_mem`, layer      C N                             C N + B
`v_inh`             T N                             T N + M N
`inhibitory_count`  T N                             T N + M N
`v_th_inh`          T N
`lateral`           (B or C) times N - 1 or N
`excitation`        B sparse, B N dense
==================  ==============================  =====================

Spikes that are still on their way when an image ends are counted as if they arrived.
"""

from __future__ import annotations

from tinysnn_hw.cost.counts import ADD, COMPARE, MULTIPLY, Ledger
from tinysnn_hw.cost.words import CONSTANT_BITS, Words
from tinysnn_hw.records import Activity


def count_inhibition(ledger: Ledger, words: Words, activity: Activity, weights: str) -> None:
    """Add what a spike does to all other neurons, and the inhibitory neurons if there are any."""
    layer = words.spec.inhibition.kind == "layer"
    spikes = activity.inhibitory_spikes if layer else activity.output_spikes
    neurons, width = words.neurons, words.width("v_mem")
    others = spikes * (neurons - 1)
    ledger.update("inhibit", "v_mem", spikes, neurons)
    ledger.operate("inhibit", ADD, others, width)
    if words.spec.neuron.v_floor is not None:
        ledger.operate("inhibit", COMPARE, others, width)
    if weights != "learned":
        row = neurons - 1 if weights == "sparse" else neurons
        ledger.store("lateral", neurons * row, words.width("lateral"))
        ledger.read("inhibit", "lateral", spikes, row)
    if layer:
        # Direct inhibition resets the winner on its pass; here the pass comes two steps later.
        ledger.write("fire", "v_mem", activity.output_spikes, 1)
        _layer(ledger, words, activity, weights)


def _layer(ledger: Ledger, words: Words, activity: Activity, weights: str) -> None:
    steps, neurons, spikes = activity.images * activity.steps_per_image, words.neurons, activity.output_spikes
    width = words.width("v_inh")
    for variable in ("v_inh", "inhibitory_count", "v_th_inh"):
        ledger.store(variable, neurons, words.width(variable))
    for variable in ("v_inh", "inhibitory_count"):
        ledger.write("onset", variable, activity.images, neurons)
        ledger.update("inhibit", variable, steps, neurons)
    ledger.read("inhibit", "v_th_inh", steps, neurons)
    total = steps * neurons
    ledger.operate("inhibit", ADD, total, words.width("inhibitory_count"))
    ledger.operate("inhibit", ADD, spikes, width)
    ledger.operate("inhibit", MULTIPLY, total, width, CONSTANT_BITS)
    words.cut(ledger, "inhibit", "v_inh", total, CONSTANT_BITS)
    ledger.operate("inhibit", COMPARE, total, width)
    if weights != "learned":
        row = 1 if weights == "sparse" else neurons
        ledger.store("excitation", neurons * row, words.width("excitation"))
        ledger.read("inhibit", "excitation", spikes, row)


__all__ = ["count_inhibition"]
