"""Bounds of every intermediate of a step and an update, and the refusal of what no carrier holds."""

from __future__ import annotations

from dataclasses import dataclass

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.params import Params
from tinysnn_hw.errors import SpecError

CARRIER_BITS = 63
"""Widest intermediate: one bit below the int64 of the generic kernel, for the bias of a rounding."""
_READABLE_BITS = 128
"""Widest number that a message spells out."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One bound proven for an intermediate: ``low <= value <= high`` and the bits a signed carrier needs."""

    name: str
    low: int
    high: int
    formats: str = ""
    """Keys of ``formats`` that enter it."""

    @property
    def bits(self) -> int:
        """Width of the narrowest two's-complement word that holds the interval."""
        return max(self.high.bit_length(), (-self.low - 1).bit_length() if self.low < 0 else 0) + 1


def max_potentiation(p: Params) -> int:
    """Return a bound on k of Eq. 1: no neuron spikes more often than its refractory time allows."""
    most = -(-p.n_steps // (p.refractory + 1))
    return -(-most // p.syn.n_th) if p.syn.eq1 else 1


def largest_pull(p: Params, eta_max: int) -> int:
    """Return a bound on what a rule adds, such as ``k * eta * (x * w_max - w * 2**x_frac)``, of either sign."""
    x_max = p.tra.x_one if p.trace == P.TRACE_WINDOW else p.tra.x_max
    return max_potentiation(p) * eta_max * max(x_max, 1 << p.syn.x_frac) * p.syn.w_max


def prove(p: Params, eta_max: int, events: int, eta_pre_max: int = 0) -> tuple[Proof, ...]:
    """Bound every intermediate of a step and an update; refuse what does not fit an int64.

    Parameters
    ----------
    p : Params
    eta_max : int
        Largest raw learning rate.
    events : int
        Largest number of input events in a step.
    eta_pre_max : int
        Largest raw rate of depression.

    Returns
    -------
    tuple of Proof

    Raises
    ------
    SpecError
        An intermediate needs more bits than there are; the message names the formats that enter it.
    """
    v_low, v_high = p.mem.v_min << p.mem.v_shift, p.mem.v_max << p.mem.v_shift
    total = events * p.syn.w_max << p.mem.sum_shift
    decay = 1 << P.DECAY_BITS
    grid = p.syn.x_frac + p.syn.eta_frac
    step = largest_pull(p, eta_max)
    acc, rounding = p.mem.acc_max + 1, 1 << p.mem.v_shift
    leak = decay if p.mem.leak == P.LEAK_MULTIPLY else 1
    proofs = [
        Proof("input sum", 0, total, "weight"),
        Proof("accumulator before saturation", v_low, v_high + total, "v_mem, weight, guard_bits"),
        Proof("leak product", p.mem.acc_min * leak, (acc + rounding) * leak, "v_mem, guard_bits"),
        Proof("threshold comparison", *_margin(p), "v_mem, v_th"),
        Proof(
            "threshold sum",
            0,
            p.thr.th_base + (p.thr.theta_max << p.thr.theta_sum_shift) + p.thr.theta_plus,
            "v_th, theta",
        ),
        Proof("weight update", -step, (p.syn.w_max << grid) + step + (1 << grid), "weight, x_pre, eta"),
        Proof("normalisation product", 0, (p.syn.weight_sum + 1) << P.DECAY_BITS, "weight"),
    ]
    if p.thr.theta_forget == P.FORGET_MULTIPLY:
        proofs.append(Proof("theta decay", 0, p.thr.theta_max << P.THETA_DECAY_BITS, "theta"))
    if p.trace == P.TRACE_EXPONENTIAL:
        product = p.tra.x_max * decay + (events << (p.syn.x_frac + P.DECAY_BITS))
        proofs.append(Proof("trace product", 0, product, "x_pre"))
    else:
        product = p.tra.c_max << (P.DECAY_BITS + p.syn.x_frac + 1)
        proofs.append(Proof("count product", 0, product, "c_pre, x_pre"))
    if p.pair.on:
        grid, y = p.pair.y_frac + p.pair.eta_frac, p.pair.y_max
        fall = eta_pre_max * y * p.syn.w_max
        proofs.append(
            Proof("depression", -fall, (p.syn.w_max << grid) + (1 << grid), "weight, x_post, eta_pre")
        )
        proofs.append(
            Proof("post-synaptic trace product", 0, (y + 1) * decay + (1 << p.pair.y_frac), "x_post")
        )
    if p.lay.on:
        reach = max(p.lay.v_max + p.lay.excitation, -p.lay.v_min) + 1
        proofs.append(Proof("inhibitory leak product", -reach * decay, reach * decay, "v_inh"))
    for proof in proofs:
        if proof.bits > CARRIER_BITS:
            raise SpecError(
                f"{proof.name}: values from {_shown(proof.low)} to {_shown(proof.high)} need {proof.bits} bits; "
                f"{CARRIER_BITS} are available: narrow what enters it (formats: {proof.formats})"
            )
    return tuple(proofs)


def _shown(value: int) -> str:
    """Return a number as text, as a power of two where nobody would read its digits."""
    sign, bits = "-" if value < 0 else "", value.bit_length()
    return str(value) if bits <= _READABLE_BITS else f"about {sign}2**{bits}"


def _margin(p: Params) -> tuple[int, int]:
    return (
        (p.mem.v_min << p.mem.cmp_v_shift) - (p.thr.th_max << p.mem.cmp_th_shift),
        (p.mem.v_max << p.mem.cmp_v_shift) - (p.thr.th_min << p.mem.cmp_th_shift),
    )
