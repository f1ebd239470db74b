"""Inhibitory layer and pair-wise learning as integers: docs/numerics.md, section 4."""

from __future__ import annotations

import math

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.params import LayerParams, PairParams
from tinysnn_hw.engine.schedule import constant, named_constant, require
from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed.modes import Overflow
from tinysnn_hw.spec.network import NetworkSpec


def lower_layer(spec: NetworkSpec) -> LayerParams:
    """Return the inhibitory layer of a network, or one that is off.

    Raises
    ------
    SpecError
        `v_inh` cannot hold the threshold or the reset, or they fall on one raw value.
    """
    layer, register = spec.inhibitory, spec.formats.v_inh
    if layer is None or register is None:
        return LayerParams()
    fmt = register.format
    for key in ("v_th", "v_reset"):
        require(spec, "v_inh", fmt, f"inhibitory.{key}", getattr(layer, key))
    v_min = -fmt.raw_max if register.overflow == Overflow.SATURATE_SYMMETRIC else fmt.raw_min
    v_th, v_reset = constant(layer.v_th, fmt.frac_bits), constant(layer.v_reset, fmt.frac_bits)
    if v_reset < v_min:
        raise SpecError(
            f"inhibitory.v_reset = {layer.v_reset:g}: with overflow saturate_symmetric {fmt} goes down to "
            f"{v_min * fmt.lsb:g} only"
        )
    if v_th <= max(v_reset, 0):
        raise SpecError(
            f"formats.v_inh = {fmt}: inhibitory.v_th = {layer.v_th:g} becomes raw {v_th}, not above rest (0) and "
            f"v_reset ({v_reset}); give it more fraction bits"
        )
    return LayerParams(
        on=1,
        excitation=named_constant("inhibitory.excitation", layer.excitation, fmt.frac_bits),
        leak_mul=constant(math.exp(-1.0 / layer.tau_mem), P.DECAY_BITS),
        v_th=v_th,
        v_reset=v_reset,
        refractory=layer.refractory,
        v_min=v_min,
        v_max=fmt.raw_max,
        v_width=fmt.width,
        v_rounding=int(register.rounding),
        v_overflow=int(register.overflow),
        v_rand_bits=register.rand_bits,
    )


def lower_pair(spec: NetworkSpec) -> PairParams:
    """Return the pair-wise learning of a network, or one that is off."""
    learning, register, eta_pre = spec.learning, spec.formats.x_post, spec.formats.eta_pre
    if register is None or eta_pre is None:
        return PairParams()
    fmt = register.format
    return PairParams(
        on=1,
        soft=int(learning.soft_bounds),
        n_essential=learning.n_essential,
        eta_frac=eta_pre.format.frac_bits,
        y_frac=fmt.frac_bits,
        y_one=min(1 << fmt.frac_bits, fmt.raw_max),
        y_max=fmt.raw_max,
        y_width=fmt.width,
        y_rounding=int(register.rounding),
        y_overflow=int(register.overflow),
        y_rand_bits=register.rand_bits,
    )
