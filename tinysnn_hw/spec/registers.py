"""Formats of all stored words of a network: those of its file and the counters that follow from it."""

from __future__ import annotations

from tinysnn_hw.fixed.format import Format
from tinysnn_hw.spec.network import REGISTERS, NetworkSpec

COUNTERS = ("refractory_count", "n_post", "n_window", "inhibitory_count")
"""Stored counters, in the order of `register_formats`."""


def register_formats(spec: NetworkSpec) -> dict[str, Format]:
    """Return the number format of every stored register.

    Parameters
    ----------
    spec : NetworkSpec

    Returns
    -------
    dict of str to Format
        The formats of ``spec.formats`` in the order of `REGISTERS`, then the counters, which are unsigned and
        just wide enough for their largest value: ``refractory_count`` holds ``neuron.refractory`` (at least
        1 bit), ``n_post`` (output spikes of a neuron since image onset) ``encoding.n_steps``, ``n_window``
        (in this window) ``learning.update_steps``; a neuron fires at most once per step.  ``inhibitory_count``
        holds ``inhibitory.refractory``.  Registers the network has no use for are absent.
    """
    registers = {name: getattr(spec.formats, name) for name in REGISTERS}
    formats: dict[str, Format] = {
        name: register.format for name, register in registers.items() if register is not None
    }
    inhibitory = None if spec.inhibitory is None else spec.inhibitory.refractory
    largest = (spec.neuron.refractory, spec.encoding.n_steps, spec.learning.update_steps, inhibitory)
    for name, value in zip(COUNTERS, largest, strict=True):
        if value is not None:
            formats[name] = Format(False, max(value.bit_length(), 1), 0)
    return formats
