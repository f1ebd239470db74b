"""Post-training quantization: the stored words of a trained network, cut to other formats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinysnn_hw import fixed
from tinysnn_hw.engine import lower
from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import Format, Overflow, Purpose, RangeRecord, Rounding
from tinysnn_hw.fixed.random import draw3
from tinysnn_hw.learning import Model
from tinysnn_hw.learning.train import checked_seed
from tinysnn_hw.records import RegisterRange
from tinysnn_hw.spec import NetworkSpec, network_from_dict
from tinysnn_hw.spec.load import nearest
from tinysnn_hw.spec.registers import register_formats

INFERENCE_REGISTERS = ("weight", "v_mem", "v_th", "v_inh")
"""The registers inference has; the others exist in training only."""
PRESETS = {"qW": ("weight",), "qWN": ("weight", "v_mem", "v_th")}
"""The paper's choices of what to quantize: weights; weights and neuron parameters."""
_WORD = 0xFFFFFFFF


def quantize(
    model: Model,
    *,
    preset: str | None = None,
    bits: int | None = None,
    rounding: Rounding | str = Rounding.NEAREST,
    seed: int = 0,
    **formats: Format | str,
) -> Model:
    """Quantize a trained network after training.

    Parameters
    ----------
    model : Model
        Of any arithmetic; it is left alone.
    preset : {"qW", "qWN"}, optional
        Which registers get ``bits`` bits: the weights, or the weights, ``v_mem`` and ``v_th``.  See
        `preset_formats`.
    bits : int, optional
        Width of the registers of ``preset``, 1 to 32.
    rounding : Rounding or str
        How the words are cut; it becomes the rounding mode of every register quantized here.
    seed : int
        0 to 2**32 - 1; of stochastic rounding.
    **formats
        ``weight``, ``v_mem``, ``v_th``, ``v_inh``: a number format; it takes precedence over the preset.
        Registers not named keep the format and modes that the network gives them.

    Returns
    -------
    Model
        A fixed-point model.  ``quantized`` says what it was made from, ``registers`` what the cut of its words did.

    Raises
    ------
    SpecError
        A register or preset is unknown, or a constant of the network does not fit its new format.
    FormatError
        A format cannot be parsed.
    FixedPointOverflowError
        ``v_th`` has ``overflow = "error"`` and a threshold leaves its range.

    Notes
    -----
    ``weight`` and ``v_th`` are stored words: each is cut once, here, exactly as `tinysnn_hw.fixed.requantize` says;
    weights saturate at ``w_max`` of the new format, ``v_th`` overflows by its own mode.  ``v_th`` is the frozen
    word ``v_th + theta``; the sum is cut, not its parts.  ``v_mem`` and ``v_inh`` are states: nothing of them is
    stored, they are cut in every step of inference, and the constants on their grids (reset, floor, inhibition) are
    lowered anew.  ``theta`` and the traces play no part in inference.  Stochastic rounding takes element ``i``
    of a register in C order with the seed ``draw(seed, purpose, 0xFFFFFFFF, 0xFFFFFFFF, 0)``, purpose 16 for
    ``weight`` and 18 for ``v_th``.

    Examples
    --------
    >>> small = quantize(model, weight="u0.4")  # doctest: +SKIP
    >>> small = quantize(model, preset="qWN", bits=8, v_th="u7.1")  # doctest: +SKIP
    """
    mode, seed = Rounding.parse(rounding), checked_seed(seed)
    chosen = _chosen(model.network, preset, bits, formats)
    network = with_formats(model.network, chosen, mode)
    w_max = lower(network).params.syn.w_max
    old, new = register_formats(model.network), register_formats(network)
    words: dict[str, npt.NDArray[np.int64]] = {}
    registers: dict[str, RegisterRange] = {}
    for name, purpose in (("weight", Purpose.ROUND_WEIGHT), ("v_th", Purpose.ROUND_V_TH), ("theta", None)):
        register = getattr(network.formats, name)
        overflow = Overflow.SATURATE if name == "weight" else register.overflow
        key = 0 if purpose is None else int(draw3(seed, int(purpose), _WORD, _WORD, 0))
        how = (mode if name in chosen else register.rounding, overflow)
        options: dict[str, Any] = {"seed": key, "rand_bits": register.rand_bits, "stats": True}
        values = getattr(model, name)
        if model.arithmetic == "fixed":
            raw, record = fixed.requantize(values, old[name], new[name], *how, **options)
        else:
            raw, record = fixed.quantize(values, new[name], *how, **options)
        words[name] = raw.astype(np.int64)
        if name == "weight" and w_max < new[name].raw_max:
            record = replace(record, saturated_high=int((words[name] > w_max).sum()))
            words[name] = np.minimum(words[name], w_max)
        registers[name] = _range(new[name], words[name], record)
    return replace(
        model,
        network=network,
        arithmetic="fixed",
        weight=words["weight"],
        theta=words["theta"],
        v_th=words["v_th"],
        registers=registers,
        quantized={
            "source": model.config(),
            "registers": sorted(chosen),
            "rounding": mode.text,
            "seed": seed,
        },
    )


def preset_formats(network: NetworkSpec, preset: str, bits: int) -> dict[str, Format]:
    """Return the formats of a preset: every register keeps its sign and integer bits and gets ``bits`` bits in all.

    Parameters
    ----------
    network : NetworkSpec
    preset : {"qW", "qWN"}
    bits : int
        1 to 32.

    Raises
    ------
    SpecError
        The preset is unknown, or the width out of range.
    """
    if preset not in PRESETS:
        raise SpecError(
            f"preset = {preset!r}; allowed: {', '.join(PRESETS)}{nearest(str(preset), list(PRESETS))}"
        )
    return {name: with_width(register_formats(network)[name], bits, name) for name in PRESETS[preset]}


def with_width(fmt: Format, bits: int, name: str) -> Format:
    """Return the format with the same sign and integer bits that is ``bits`` wide."""
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 32:
        raise SpecError(f"bits of {name} = {bits!r}; 1 to 32 is allowed")
    return Format(fmt.signed, fmt.int_bits, bits - fmt.int_bits)


def with_formats(
    network: NetworkSpec, formats: dict[str, Format], rounding: Rounding | str | None = None
) -> NetworkSpec:
    """Return a network with other formats of some registers, and optionally their rounding mode.

    Raises
    ------
    SpecError
        The network has no such register, or a format is not allowed for it.
    """
    values = network.model_dump(mode="json")
    for name, fmt in formats.items():
        if values["formats"].get(name) is None:
            raise SpecError(f"network {network.name!r} has no register {name!r}")
        values["formats"][name]["format"] = str(fmt)
        if rounding is not None:
            values["formats"][name]["rounding"] = Rounding.parse(rounding).text
    return network_from_dict(values, network.name)


def _chosen(
    network: NetworkSpec, preset: str | None, bits: int | None, formats: dict[str, Format | str]
) -> dict[str, Format]:
    if (preset is None) != (bits is None):
        raise SpecError(f"preset = {preset!r} and bits = {bits!r}: give both or neither")
    chosen = {} if preset is None or bits is None else preset_formats(network, preset, bits)
    for name, fmt in formats.items():
        if name not in INFERENCE_REGISTERS:
            what = (
                "exists in training only; train with that format instead (load_network)"
                if name in register_formats(network)
                else f"is no register{nearest(name, list(INFERENCE_REGISTERS))}"
            )
            raise SpecError(
                f"{name} = {fmt}: {name!r} {what}; after training can be quantized: "
                f"{', '.join(INFERENCE_REGISTERS)}"
            )
        chosen[name] = Format.parse(fmt)
    return chosen


def _range(fmt: Format, raw: npt.NDArray[np.int64], record: RangeRecord) -> RegisterRange:
    low, high = int(raw.min()), int(raw.max())
    return RegisterRange(
        format=str(fmt),
        min_raw=low,
        max_raw=high,
        min=low * fmt.lsb,
        max=high * fmt.lsb,
        saturated_low=record.saturated_low,
        saturated_high=record.saturated_high,
    )


__all__ = [
    "INFERENCE_REGISTERS", "PRESETS", "preset_formats", "quantize", "with_formats", "with_width",
]  # fmt: skip
