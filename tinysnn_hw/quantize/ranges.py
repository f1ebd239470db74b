"""What every register and every intermediate of a network needs: range, histogram, bits; and its constants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import numpy as np
import numpy.typing as npt

from tinysnn_hw.engine import Lowered, NetworkState, lower, run
from tinysnn_hw.engine.schedule import constant
from tinysnn_hw.errors import SpecError, TinySnnError
from tinysnn_hw.fixed import Format
from tinysnn_hw.learning import Model
from tinysnn_hw.learning.stream import Data, Stream
from tinysnn_hw.quantize.ptq import with_formats
from tinysnn_hw.quantize.replay import record_training, replay, update_bits
from tinysnn_hw.records import RegisterRange
from tinysnn_hw.spec import NetworkSpec

N_BINS = 32
N_SAMPLED = 16
"""Training images recorded with learning on, and again with learning off, unless told otherwise."""
_MAX_FRAC_BITS = 32
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAnalysis:
    """What one register or intermediate needs.

    Attributes
    ----------
    name : str
        A register, ``accumulator`` (``v_mem`` plus the input sum, before the leak) or ``update`` (the change of a
        weight that the learning rule asks for: learning rate times trace times distance).
    format : str
        Its format; of an intermediate, the exact grid it lies on.
    min_raw, max_raw : int
        Smallest and largest raw value.
    exact : bool
        Whether these ends are those of every write of the whole training; else of the sample.
    n_values : int
        Values in the histogram, all of the sample; of weights and thresholds every word after training.
    edges, counts : arrays
        Histogram: ``N_BINS`` bins of equal width in real units, float64[N_BINS + 1] and int64[N_BINS].
    int_bits : int
        Integer bits that hold the range, with sign bit and head-room.
    fitted : Format
        The format with these integer bits and as many fraction bits as now.
    """

    name: str
    format: str
    min_raw: int
    max_raw: int
    exact: bool
    n_values: int
    edges: npt.NDArray[np.float64]
    counts: Ints
    int_bits: int
    fitted: Format


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantBits:
    """Fraction bits a constant needs.

    Attributes
    ----------
    key : str
        Key of the network file.
    value : float
    frac_bits : int or None
        The fewest, 0 to 32, that hold it within the error allowed; None if not even 32 do.
    stored : float
        Value as stored with them (with 32 if None).
    error : float
        ``abs(stored - value) / abs(value)``.
    """

    key: str
    value: float
    frac_bits: int | None
    stored: float
    error: float


@dataclass(slots=True)
class _Sample:
    """Values of one name as they come in, counted by raw value where few, so that no array grows."""

    parts: list[tuple[Ints, Ints]] = field(default_factory=list)

    def add(self, raw: npt.NDArray[np.integer]) -> None:
        values, counts = np.unique(raw, return_counts=True)
        self.parts.append((values.astype(np.int64), counts.astype(np.int64)))
        if len(self.parts) > 64:
            self.parts = [self.merged()]

    def merged(self) -> tuple[Ints, Ints]:
        values = np.concatenate([values for values, _ in self.parts])
        unique, inverse = np.unique(values, return_inverse=True)
        counts = np.zeros(len(unique), np.int64)
        np.add.at(counts, inverse, np.concatenate([counts for _, counts in self.parts]))
        return unique, counts


def analyse_ranges(
    model: Model, data: Data, *, n_images: int = N_SAMPLED, head_room: int = 0
) -> dict[str, RangeAnalysis]:
    """Return what every register and intermediate of a trained network needs.

    Parameters
    ----------
    model : Model
        Fixed point, trained in place.
    data : Dataset or SpikeDataset
        The one it was trained on.
    n_images : int
        The last training images are recorded with learning on, the first with learning off, so many each.
    head_room : int
        Integer bits beyond those the range needs.

    Returns
    -------
    dict of str to RangeAnalysis
        Registers in the order of the network file, then ``update`` and, with direct inhibition, ``accumulator``.
        (With an inhibitory layer the potential before integration is not recorded.)

    Raises
    ------
    SpecError
        The model is not fixed point or was quantized after training, or ``head_room`` is not 0 to 16.
    """
    if not 0 <= head_room <= 16:
        raise SpecError(f"head_room = {head_room}; 0 to 16 bits are allowed")
    if model.arithmetic != "fixed" or model.quantized is not None:
        raise SpecError("ranges are those of a training in fixed point; this model was not trained so")
    lowered = lower(model.network)
    samples: dict[str, _Sample] = {}
    formats: dict[str, Format] = {name: lowered.formats[name] for name in model.registers}
    p = lowered.params
    formats["update"] = Format(True, 1, lowered.formats["weight"].frac_bits + update_bits(lowered))
    for name, raw in _training_values(model, data, lowered, n_images):
        samples.setdefault(name, _Sample()).add(raw)
    if not p.lay.on:
        acc = lowered.formats["v_mem"].frac_bits + p.mem.v_shift
        v_mem = lowered.formats["v_mem"]
        formats["accumulator"] = Format(v_mem.signed, v_mem.int_bits, acc)
    for name, raw in _inference_values(model, data, lowered, n_images):
        samples.setdefault(name, _Sample()).add(raw)
    for name in ("weight", "v_th", "theta"):
        samples[name] = _Sample()
        samples[name].add(getattr(model, name))
    return {
        name: _analysis(name, formats[name], samples[name], model.registers.get(name), head_room)
        for name in formats
        if name in samples
    }


def _training_values(model: Model, data: Data, lowered: Lowered, n_images: int) -> Iterator[tuple[str, Ints]]:
    total = data.n_train * model.network.learning.epochs
    for recording in record_training(model, data, n_images, "end"):
        for name in ("v_mem", "x_pre", "x_post", "v_inh"):
            if name in recording.trace:
                yield name, recording.trace[name]
        for change in replay(lowered, model.seed, total, recording).changes:
            yield "update", change


def _inference_values(
    model: Model, data: Data, lowered: Lowered, n_images: int
) -> Iterator[tuple[str, Ints]]:
    p = lowered.params
    stream = Stream(data, model.network, model.tables, model.spike_seed, "label", data.n_train)
    state = cast("NetworkState", model.state)
    for image in range(min(n_images, data.n_train)):
        raster = stream.raster(image, 1)
        trace = run(lowered, state, raster, phase="label", seed=model.seed, first=image, record=True).trace
        v_mem, held = trace["v_mem"][0], trace["refractory_count"][0]
        yield "v_mem", v_mem
        if p.lay.on:
            continue
        before = np.vstack([np.zeros((1, p.n_neurons), np.int64), v_mem[:-1]]) << p.mem.v_shift
        free = np.vstack([np.ones((1, p.n_neurons), bool), held[:-1] == 0])
        for t in range(p.n_steps):
            events = raster.inputs[raster.offsets[0, t] : raster.offsets[0, t + 1]]
            total = model.weight[events].sum(axis=0, dtype=np.int64) << p.mem.sum_shift
            yield "accumulator", (before[t] + total)[free[t]]


def _analysis(
    name: str, fmt: Format, sample: _Sample, seen: RegisterRange | None, head_room: int
) -> RangeAnalysis:
    values, counts = sample.merged()
    low, high = int(values[0]), int(values[-1])
    if seen is not None:
        low, high = min(low, seen.min_raw), max(high, seen.max_raw)
    signed = name == "v_inh" or low < 0
    needed = max(max(high, 0).bit_length(), max(-low - 1, 0).bit_length(), 1 - signed)
    int_bits = needed + signed - fmt.frac_bits + head_room
    binned, edges = np.histogram(
        values * fmt.lsb, bins=N_BINS, range=(low * fmt.lsb, max(high, low + 1) * fmt.lsb), weights=counts
    )
    return RangeAnalysis(
        name=name,
        format=str(fmt),
        min_raw=low,
        max_raw=high,
        exact=seen is not None,
        n_values=int(counts.sum()),
        edges=edges,
        counts=binned.astype(np.int64),
        int_bits=int_bits,
        fitted=Format(signed, int_bits, fmt.frac_bits),
    )


def fitted_formats(network: NetworkSpec, found: Mapping[str, RangeAnalysis]) -> dict[str, Format]:
    """Return formats with the integer bits that a range analysis found, as far as the network's constants allow.

    Parameters
    ----------
    network : NetworkSpec
    found : mapping
        As `analyse_ranges` returns it.

    Returns
    -------
    dict of str to Format
        Of every register analysed, with as many fraction bits as now.  Where a constant such as ``v_th_cap`` needs
        more integer bits than the values seen, it gets them; never more than the larger of what was found and
        what the network has.
    """
    chosen: dict[str, Format] = {}
    for name, seen in found.items():
        register = getattr(network.formats, name, None)
        if register is None:
            continue
        fmt, now = seen.fitted, register.format
        while fmt.int_bits - fmt.signed < now.int_bits - now.signed and not _possible(network, name, fmt):
            fmt = Format(fmt.signed, fmt.int_bits + 1, fmt.frac_bits)
        chosen[name] = fmt if _possible(network, name, fmt) else now
    return chosen


def _possible(network: NetworkSpec, name: str, fmt: Format) -> bool:
    try:
        lower(with_formats(network, {name: fmt}))
    except TinySnnError:
        return False
    return True


def fewest_frac_bits(value: float, error: float = 0.0) -> tuple[int | None, float, float]:
    """Return the fewest fraction bits that hold a constant, its stored value and its relative error.

    Parameters
    ----------
    value : float
    error : float
        Largest ``abs(stored - value) / abs(value)`` allowed; 0: exact.

    Returns
    -------
    frac_bits : int or None
        0 to 32; None if not even 32 are enough.
    stored, error : float
        Of the fraction bits returned, else of 32.  ``stored`` is ``const(value, frac_bits) * 2**-frac_bits``.
    """
    exact, stored = Fraction(value), Fraction(0)
    for frac_bits in range(_MAX_FRAC_BITS + 1):
        stored = Fraction(constant(value, frac_bits), 1 << frac_bits)
        if abs(stored - exact) <= Fraction(error) * abs(exact):
            return frac_bits, float(stored), _relative(stored, exact)
    return None, float(stored), _relative(stored, exact)


def analyse_constants(network: NetworkSpec, error: float = 0.0) -> tuple[ConstantBits, ...]:
    """Return the fewest fraction bits of every constant that is added, subtracted, compared or multiplied.

    Parameters
    ----------
    network : NetworkSpec
    error : float
        As in `fewest_frac_bits`.

    Raises
    ------
    SpecError
        ``error`` is not from 0 up to but not including 1.
    """
    if not 0.0 <= error < 1.0:
        raise SpecError(f"error = {error:g}; 0 to below 1 is allowed")
    found = []
    for key, value in _constants(network).items():
        frac_bits, stored, off = fewest_frac_bits(value, error)
        found.append(ConstantBits(key=key, value=value, frac_bits=frac_bits, stored=stored, error=off))
    return tuple(found)


def _constants(network: NetworkSpec) -> Mapping[str, float]:
    neuron, learning, layer = network.neuron, network.learning, network.inhibitory
    down = neuron.theta_plus * neuron.theta_forget_spikes / network.network.neurons
    values: dict[str, float | None] = {
        "neuron.v_th": neuron.v_th,
        "neuron.v_th_cap": neuron.v_th_cap,
        "neuron.v_reset": neuron.v_reset,
        "neuron.v_floor": neuron.v_floor,
        "neuron.theta_plus": neuron.theta_plus,
        "neuron.theta_forget_spikes": down if neuron.theta_forget == "subtract" else None,
        "neuron.tau_mem": math.exp(-1.0 / neuron.tau_mem) if neuron.leak == "multiply" else None,
        "neuron.leak_step": neuron.leak_step if neuron.leak == "subtract" else None,
        "inhibition.strength": network.inhibition.strength,
        "inhibitory.excitation": None if layer is None else layer.excitation,
        "inhibitory.v_th": None if layer is None else layer.v_th,
        "inhibitory.v_reset": None if layer is None else layer.v_reset,
        "learning.eta_start": learning.eta_start,
        "learning.eta_end": learning.eta_end,
        "learning.eta_pre_start": learning.eta_pre_start,
        "learning.eta_pre_end": learning.eta_pre_end,
        "learning.tau_trace": math.exp(-1.0 / learning.tau_trace)
        if learning.trace == "exponential"
        else None,
        "learning.weight_sum": learning.weight_sum,
        "learning.w_max": learning.w_max,
    }
    return {key: value for key, value in values.items() if value is not None}


def _relative(stored: Fraction, exact: Fraction) -> float:
    return float(abs(stored - exact) / abs(exact)) if exact else float(stored != exact)


__all__ = [
    "N_BINS", "N_SAMPLED", "ConstantBits", "RangeAnalysis", "analyse_constants", "analyse_ranges",
    "fewest_frac_bits", "fitted_formats",
]  # fmt: skip
