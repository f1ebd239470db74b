"""Why a network lost accuracy at its formats: what its registers, its updates and its thresholds did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from tinysnn_hw.engine import Lowered, lower
from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed import Rounding
from tinysnn_hw.fixed.scalar import round_shift
from tinysnn_hw.learning import Model, present
from tinysnn_hw.learning.stream import Data, Progress
from tinysnn_hw.quantize.replay import WHEN, UpdateCounts, record_training, replay
from tinysnn_hw.records import RegisterRange

N_REPLAYED = 16
"""Training images recorded at the start and again at the end, unless told otherwise."""
N_SHOWN = 1000
"""Training images shown to find neurons that never fire, unless told otherwise."""
MOSTLY, MANY, SOME = 0.5, 0.9, 0.05
DRAIN = 1.5
"""Fall written per fall asked for from which the falls are called inflated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that went wrong.

    Attributes
    ----------
    code : str
        ``saturated``, ``updates_lost``, ``negative_updates_inflated``, ``initial_weights_vanish``, ``weights_at_zero``,
        ``silent_neurons``, ``unreachable_thresholds``, ``theta_never_rises``, ``theta_never_falls`` or
        ``theta_falls_too_fast``.
    register : str
    text : str
        What it is and what helps.
    values : mapping of str to float
        The numbers of the text.
    """

    code: str
    register: str
    text: str
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a network's registers, updates and thresholds did.

    Attributes
    ----------
    findings : tuple of Finding
    saturations : dict of str to (int, int)
        Register -> writes below and above its range in training (of a model quantized afterwards: in that cut).
        Exact.
    updates : dict of str to UpdateCounts
        ``start`` and ``end`` of the training, a sample; empty for a model quantized afterwards.
    n_replayed, n_shown : int
        Images of the samples.
    zero_weights : float
        Share of the weights that are 0 after training.  Exact.
    silent_neurons : int
        Neurons that never fired in ``n_shown`` training images with learning off.
    unreachable_thresholds : int
        Neurons whose threshold lies above the largest value `v_mem` can hold.  Exact.
    """

    findings: tuple[Finding, ...]
    saturations: dict[str, tuple[int, int]]
    updates: dict[str, UpdateCounts]
    n_replayed: int
    n_shown: int
    zero_weights: float
    silent_neurons: int
    unreachable_thresholds: int

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the findings, in their order."""
        return tuple(finding.code for finding in self.findings)


def diagnose(
    model: Model,
    data: Data,
    *,
    n_replayed: int = N_REPLAYED,
    n_shown: int = N_SHOWN,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Diagnosis:
    """Say what the formats of a trained network did to it.

    Parameters
    ----------
    model : Model
        Fixed point: trained in place, or quantized after training.
    data : Dataset or SpikeDataset
        The one it was trained on.
    n_replayed : int
        Training images whose updates are counted, so many at the start and so many at the end of the training.
    n_shown : int
        Training images shown with learning off; at most all.
    progress, threads
        As in `tinysnn_hw.learning.evaluate`.

    Returns
    -------
    Diagnosis

    Raises
    ------
    SpecError
        The model is not fixed point.
    """
    if model.arithmetic != "fixed":
        raise SpecError(
            f"arithmetic = {model.arithmetic!r}: only a fixed-point model has formats to diagnose"
        )
    lowered = lower(model.network)
    total = data.n_train * model.network.learning.epochs
    updates: dict[str, UpdateCounts] = {}
    if model.quantized is None:
        for when in WHEN:
            counts = UpdateCounts()
            for recording in record_training(model, data, n_replayed, when):
                counts += replay(lowered, model.seed, total, recording).counts
            updates[when] = counts
    n_shown = min(n_shown, data.n_train)
    shown = present(model, data, "label", n_images=n_shown, progress=progress, threads=threads)
    silent = int((shown.counts.sum(axis=0, dtype=np.int64) == 0).sum())
    v_mem, v_th = lowered.formats["v_mem"], lowered.formats["v_th"]
    unreachable = int((model.v_th * v_th.lsb > v_mem.max).sum())
    zero = float((model.weight == 0).mean())
    findings = (
        *_saturations(model.registers),
        *_updates(lowered, updates, zero),
        *_thresholds(lowered, unreachable, model),
        *_silence(silent, n_shown, lowered.params.n_neurons),
    )
    return Diagnosis(
        findings=findings,
        saturations={
            name: (seen.saturated_low, seen.saturated_high) for name, seen in model.registers.items()
        },
        updates=updates,
        n_replayed=min(n_replayed, total) if updates else 0,
        n_shown=n_shown,
        zero_weights=zero,
        silent_neurons=silent,
        unreachable_thresholds=unreachable,
    )


def _saturations(registers: Mapping[str, RegisterRange]) -> Iterator[Finding]:
    for name, seen in registers.items():
        low, high = seen.saturated_low, seen.saturated_high
        # Weights are clipped to 0..w_max by their rule, whatever their format.
        if name == "weight" or not low + high:
            continue
        yield Finding(
            code="saturated",
            register=name,
            text=f"{name} left the range of {seen.format} {low + high:,} times ({low:,} below, {high:,} above): "
            "it needs more integer bits, or the network a bound such as v_floor or v_th_cap.",
            values={"low": low, "high": high},
        )


def _updates(lowered: Lowered, updates: Mapping[str, UpdateCounts], zero: float) -> Iterator[Finding]:
    weight = lowered.spec.formats.weight
    counts = sum(updates.values(), UpdateCounts())
    if counts.lost_share > MOSTLY and weight.rounding != Rounding.STOCHASTIC:
        yield Finding(
            code="updates_lost",
            register="weight",
            text=f"The learning rate times the trace is below one LSB of {weight.format} in "
            f"{100 * counts.below_lsb_share:.0f} % of the updates, and {weight.rounding.text} rounding takes "
            f"{100 * counts.lost_share:.0f} % of all changes away: these weights hardly learn. Stochastic rounding "
            "keeps such updates on average; a shadow or more fraction bits keep them all.",
            values={"below_lsb_share": counts.below_lsb_share, "lost_share": counts.lost_share},
        )
    when, worst = max(updates.items(), key=lambda item: item[1].drain, default=("start", UpdateCounts()))
    if worst.drain > DRAIN:
        small = worst.negative_below_lsb / worst.negative
        whole = worst.negative_whole / max(worst.negative_below_lsb, 1)
        yield Finding(
            code="negative_updates_inflated",
            register="weight",
            text=f"{weight.rounding.text} rounding of negative updates drives weights to zero: at the {when} of the "
            f"training {100 * small:.0f} % of the negative updates are below one LSB of {weight.format}, "
            f"{100 * whole:.0f} % of those cost a whole LSB, and weights fall {worst.drain:.1f} times as fast as the "
            f"rule asks; {100 * zero:.0f} % of them are 0 after training. Take nearest or stochastic rounding for "
            "the weights.",
            values={
                "drain": worst.drain,
                "whole_share": whole,
                "below_lsb_share": small,
                "zero_weights": zero,
            },
        )
    syn, high = lowered.params.syn, lowered.spec.learning.w_init_high
    if updates and syn.w_init_low == 0 and syn.w_init_span == 1:
        yield Finding(
            code="initial_weights_vanish",
            register="weight",
            text=f"Every initial weight is 0: w_init_high = {high:g} leaves no other value in {weight.format} (LSB "
            f"{weight.format.lsb:g}), so no neuron ever fires or learns. Raise w_init_high or give the weights more "
            "fraction bits.",
            values={"w_init_high": high, "lsb": weight.format.lsb},
        )
    if zero > MANY:
        yield Finding(
            code="weights_at_zero",
            register="weight",
            text=f"{100 * zero:.0f} % of the weights are 0.",
            values={"zero_weights": zero},
        )


def _thresholds(lowered: Lowered, unreachable: int, model: Model) -> Iterator[Finding]:
    thr, n_steps = lowered.params.thr, lowered.params.n_steps
    formats, neuron = lowered.formats, lowered.spec.neuron
    v_mem, theta = formats["v_mem"], formats["theta"]
    n = lowered.params.n_neurons
    if unreachable:
        yield Finding(
            code="unreachable_thresholds",
            register="v_th",
            text=f"{unreachable:,} of {n:,} neurons have a threshold above {v_mem.max:g}, the largest value of "
            f"v_mem = {v_mem}: they can never fire. Give v_mem more integer bits, or cap the threshold (v_th_cap).",
            values={"neurons": unreachable, "v_mem_max": v_mem.max},
        )
    if model.quantized is not None or thr.theta_rounding == Rounding.STOCHASTIC:
        return
    step = _written(thr.theta_plus, thr.theta_sum_shift, thr.theta_rounding)
    if neuron.theta_plus > 0 and step == 0:
        yield Finding(
            code="theta_never_rises",
            register="theta",
            text=f"theta_plus = {neuron.theta_plus:g} is rounded to nothing on the grid of theta = {theta} (LSB "
            f"{theta.lsb:g}): no threshold adapts. Give theta more fraction bits, or stochastic rounding.",
            values={"theta_plus": neuron.theta_plus, "lsb": theta.lsb},
        )
    if neuron.theta_forget != "subtract" or not thr.theta_down:
        return
    down = thr.theta_down / (1 << max(thr.theta_sum_shift, 0))
    fall = -_written(-thr.theta_down, thr.theta_sum_shift, thr.theta_rounding)
    if fall == 0:
        yield Finding(
            code="theta_never_falls",
            register="theta",
            text=f"The fall of theta per image, {down * theta.lsb:.3g}, is rounded to nothing on the grid of theta = "
            f"{theta} (LSB {theta.lsb:g}): thresholds only rise. Give theta more fraction bits, or stochastic "
            "rounding.",
            values={"down": down * theta.lsb, "lsb": theta.lsb},
        )
    elif fall > DRAIN * down:
        yield Finding(
            code="theta_falls_too_fast",
            register="theta",
            text=f"theta falls by {fall * theta.lsb:.3g} per image in place of {down * theta.lsb:.3g}: "
            f"{lowered.spec.formats.theta.rounding.text} rounding makes a whole LSB of theta = {theta} of it, "
            f"{fall / down:.1f} times as much. Give theta more fraction bits, or nearest or stochastic rounding.",
            values={"down": down * theta.lsb, "written": fall * theta.lsb, "n_steps": n_steps},
        )


def _silence(silent: int, n_shown: int, n_neurons: int) -> Iterator[Finding]:
    if silent > SOME * n_neurons:
        yield Finding(
            code="silent_neurons",
            register="v_mem",
            text=f"{silent:,} of {n_neurons:,} neurons never fired in {n_shown:,} training images.",
            values={"neurons": silent, "n_shown": n_shown},
        )


def _written(change: int, shift: int, rounding: int) -> int:
    """Return what a change on the threshold grid does to a word that lies on its own grid, in LSB."""
    return int(round_shift(change, shift, rounding, np.uint32(0), 32))


__all__ = ["Diagnosis", "Finding", "diagnose"]
