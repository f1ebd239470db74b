"""Formats of all stored registers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.fixed import Format
from tinysnn_hw.spec import REGISTERS, load_network
from tinysnn_hw.spec.registers import COUNTERS, register_formats


@given(st.integers(0, 1000), st.integers(1, 65535), st.data())
def test_counters_are_just_wide_enough(refractory, n_steps, data):
    update_steps = data.draw(st.integers(1, n_steps))
    settings = {
        "neuron.refractory": refractory,
        "encoding.n_steps": n_steps,
        "learning.update_steps": update_steps,
    }
    formats = register_formats(load_network(settings=settings))
    for name, largest in (("refractory_count", refractory), ("n_post", n_steps), ("n_window", update_steps)):
        fmt = formats[name]
        assert not fmt.signed and fmt.frac_bits == 0
        assert fmt.raw_max >= largest
        assert fmt.width == 1 or Format(False, fmt.width - 1, 0).raw_max < largest


def test_registers_keep_their_formats():
    formats = register_formats(load_network(weight="u0.4", theta="u8.16"))
    layer = load_network("baseline", weight="u0.4")
    assert tuple(register_formats(layer)) == REGISTERS + COUNTERS
    assert tuple(formats) == REGISTERS[:7] + COUNTERS[:3]
    assert str(formats["weight"]) == "u0.4" and str(formats["theta"]) == "u8.16"
