"""Sections 1, 2 and 4 of docs/numerics.md in Python integers: cutting bits, random words, constants.

Written from that page alone.  Nothing here is shared with the kernels, so that a misunderstanding in one
place cannot hide in the other; speed does not matter and any register width is allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from tinysnn_hw.errors import SpecError
from tinysnn_hw.fixed.format import Format
from tinysnn_hw.fixed.modes import Overflow, Rounding
from tinysnn_hw.spec.network import LearningSpec, NetworkSpec, RegisterSpec

__all__ = ["Constants", "Cut", "Phase", "const", "cut", "draw", "ends", "fit", "mix", "round_shift"]

Phase = Literal["train", "label", "test"]

WORD = 2**32
SPIKES = {"train": 1, "label": 2, "test": 3}
PHASES = {"train": 4, "label": 5, "test": 6}
INITIAL_WEIGHTS, SHUFFLE = 7, 8
POOL = {"train": 9, "label": 10, "test": 11}
ROUND_WEIGHT, ROUND_V_TH, ROUND_THETA, ROUND_X_PRE, ROUND_NORMALISED = 16, 18, 19, 20, 21
ROUND_X_POST, ROUND_DEPRESSED = 23, 24
ROUND_V_MEM = {"train": 17, "label": 49, "test": 81}
ROUND_V_INH = {"train": 25, "label": 57, "test": 89}
BEFORE_TRAINING = 0xFFFFFFFF
"""The ``p`` of everything that is cut before the first presentation."""


# --- Section 1: formats and cutting bits ---------------------------------------------------------------


def times_power(n: int, s: int) -> int:
    """Return ``n * 2**s``, which must be an integer."""
    if s >= 0:
        return n << s
    quotient, rest = divmod(n, 1 << -s)
    if rest:
        raise SpecError(f"{n} * 2**{s} is not an integer; these number formats do not go together")
    return quotient


def round_shift(n: int, s: int, register: RegisterSpec, key: tuple[int, ...]) -> int:
    """Section 1, "Rounding": drop ``s`` bits of ``n``; ``key`` names the random word, see `draw`."""
    if s <= 0:
        return times_power(n, -s)
    shifted, f = divmod(n, 1 << s)
    h = 1 << (s - 1)
    match register.rounding:
        case Rounding.FLOOR:
            up = False
        case Rounding.TO_ZERO:
            up = n < 0 and f > 0
        case Rounding.NEAREST:
            up = f >= h
        case Rounding.NEAREST_AWAY:
            up = f > h or (f == h and n >= 0)
        case Rounding.NEAREST_EVEN:
            up = f > h or (f == h and shifted % 2 == 1)
        case Rounding.STOCHASTIC:
            b = min(s, register.rand_bits)
            r = (draw(*key) >> (32 - b)) << (s - b)
            up = f + r >= 1 << s
    return shifted + (1 if up else 0)


def ends(fmt: Format, overflow: Overflow) -> tuple[int, int]:
    """Section 1, "Overflow": the smallest and largest raw value a write can leave."""
    top = (1 << (fmt.width - 1)) - 1 if fmt.signed else (1 << fmt.width) - 1
    if not fmt.signed:
        return 0, top
    return (-top if overflow is Overflow.SATURATE_SYMMETRIC else -top - 1), top


def fit(n: int, fmt: Format, overflow: Overflow) -> int:
    """Section 1, "Overflow": bring a rounded value into a format."""
    low, high = ends(fmt, overflow)
    if overflow is Overflow.WRAP:
        return (n - low) % (1 << fmt.width) + low
    return max(low, min(n, high))


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut value, and whether it lay below or above the range before."""

    value: int
    low: bool
    high: bool


def cut(n: int, s: int, register: RegisterSpec, key: tuple[int, ...]) -> Cut:
    """Section 1, "Cut": round, then fit."""
    rounded = round_shift(n, s, register, key)
    low, high = ends(register.format, register.overflow)
    return Cut(fit(rounded, register.format, register.overflow), rounded < low, rounded > high)


def const(x: float | Fraction, f: int) -> int:
    """Section 1, "Constants": ``floor(x * 2**f + 1/2)``, exactly."""
    return math.floor(Fraction(x) * Fraction(2) ** f + Fraction(1, 2))


# --- Section 2: random words ---------------------------------------------------------------------------


def mix(x: int) -> int:
    """Section 2: the 32-bit mixer."""
    x ^= x >> 16
    x = x * 0x7FEB352D % WORD
    x ^= x >> 15
    x = x * 0x846CA68B % WORD
    return x ^ x >> 16


def draw(seed: int, purpose: int, *indices: int) -> int:
    """Section 2: the 32-bit random word of a purpose and its indices."""
    x = mix((seed + purpose * 0x9E3779B9) % WORD)
    for index in indices:
        x = mix(x ^ index)
    return x


# --- Section 4: constants ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constants:
    """Section 4: every constant of one network; the names are those of the page."""

    accumulator: Format
    f_a: int
    f_t: int
    w_max: int
    weight_sum: int | None
    v_reset: int
    v_floor: int | None
    inhibition: int
    leak_mul: int
    leak_sub: int
    base: int
    plus: int
    down: int
    theta_mul: int
    theta_clamp: int
    trace_mul: int
    x_one: int
    x_scale: tuple[int, ...]
    eta: tuple[int, ...]
    inhibition_pieces: tuple[int, ...]
    eta_pre: tuple[int, ...]
    y_one: int
    excitation: int
    inhibitory_mul: int
    inhibitory_v_th: int
    inhibitory_v_reset: int

    @classmethod
    def of(cls, spec: NetworkSpec) -> Constants:
        """Compute the constants of ``spec``."""
        formats, neuron, learning, n_steps = spec.formats, spec.neuron, spec.learning, spec.encoding.n_steps
        f_weight, f_v_mem = formats.weight.format.frac_bits, formats.v_mem.format.frac_bits
        f_v_th, f_theta = formats.v_th.format.frac_bits, formats.theta.format.frac_bits
        f_x_pre, f_eta = formats.x_pre.format.frac_bits, formats.eta.format.frac_bits
        f_a = max(f_weight, f_v_mem) + formats.guard_bits
        f_t = max(16, f_v_th, f_theta)
        forgotten = neuron.theta_plus * neuron.theta_forget_spikes / spec.network.neurons
        pieces = range(learning.schedule_pieces)
        window_trace = learning.trace == "window"
        return cls(
            accumulator=Format(formats.v_mem.format.signed, formats.v_mem.format.int_bits, f_a),
            f_a=f_a,
            f_t=f_t,
            w_max=min(const(learning.w_max, f_weight), formats.weight.format.raw_max),
            weight_sum=None if learning.weight_sum is None else const(learning.weight_sum, f_weight),
            v_reset=const(neuron.v_reset, f_v_mem),
            v_floor=None if neuron.v_floor is None else const(neuron.v_floor, f_v_mem),
            inhibition=const(spec.inhibition.strength, f_v_mem),
            leak_mul=const(math.exp(-1 / neuron.tau_mem), 16),
            leak_sub=const(neuron.leak_step, f_a),
            base=const(neuron.v_th, f_t),
            plus=const(neuron.theta_plus, f_t),
            down=const(forgotten, f_t) if neuron.theta_forget == "subtract" else 0,
            theta_mul=const(math.exp(-n_steps / neuron.tau_theta), 32),
            theta_clamp=_theta_clamp(spec),
            trace_mul=const(math.exp(-1 / learning.tau_trace), 16),
            x_one=min(times_power(1, f_x_pre), formats.x_pre.format.raw_max),
            x_scale=_x_scale(spec) if window_trace else (),
            eta=tuple(const(_eta(learning, q, learning.eta_start, learning.eta_end), f_eta) for q in pieces),
            inhibition_pieces=tuple(const(_inhibition(spec, q), f_v_mem) for q in pieces),
            **_pairwise(spec),
            **_layer(spec),
        )

    def piece(self, presentation: int, n_presentations: int) -> int:
        """Section 4, "Schedules": the piece that presentation ``p`` of ``P`` is in."""
        return presentation * len(self.eta) // n_presentations


def _theta_clamp(spec: NetworkSpec) -> int:
    neuron, fmt = spec.neuron, spec.formats.theta.format
    if neuron.v_th_cap is None:
        return fmt.raw_max
    room = Fraction(neuron.v_th_cap) - Fraction(neuron.v_th)
    return math.floor(room * Fraction(2) ** fmt.frac_bits)


def _x_scale(spec: NetworkSpec) -> tuple[int, ...]:
    """``x_scale[u]`` for every full window of an image."""
    update_steps = spec.learning.update_steps
    per_window = const(spec.encoding.rate_max_hz * spec.encoding.dt * update_steps, 0)
    scales, full = [], 0
    for _ in range(spec.encoding.n_steps // update_steps):
        full = (full >> 1) + per_window
        if full == 0:
            raise SpecError(
                f"rate_max_hz * dt * update_steps rounds to 0 with update_steps = {update_steps}; "
                "the window trace needs at least one event of a full pixel per window"
            )
        scales.append(const(Fraction(2) ** (16 + spec.formats.x_pre.format.frac_bits) / full, 0))
    return tuple(scales)


def _pairwise(spec: NetworkSpec) -> dict[str, Any]:
    """Return the constants of pair-wise learning; empty without it."""
    learning, x_post, eta_pre = spec.learning, spec.formats.x_post, spec.formats.eta_pre
    if x_post is None or eta_pre is None or learning.eta_pre_start is None or learning.eta_pre_end is None:
        return {"eta_pre": (), "y_one": 0}
    rates = [
        _eta(learning, q, learning.eta_pre_start, learning.eta_pre_end)
        for q in range(learning.schedule_pieces)
    ]
    return {
        "eta_pre": tuple(const(rate, eta_pre.format.frac_bits) for rate in rates),
        "y_one": min(times_power(1, x_post.format.frac_bits), x_post.format.raw_max),
    }


def _layer(spec: NetworkSpec) -> dict[str, Any]:
    """Return the constants on the `v_inh` grid; 0 without an inhibitory layer."""
    layer, v_inh = spec.inhibitory, spec.formats.v_inh
    if layer is None or v_inh is None:
        return dict.fromkeys(("excitation", "inhibitory_mul", "inhibitory_v_th", "inhibitory_v_reset"), 0)
    f = v_inh.format.frac_bits
    return {
        "excitation": const(layer.excitation, f),
        "inhibitory_mul": const(math.exp(-1 / layer.tau_mem), 16),
        "inhibitory_v_th": const(layer.v_th, f),
        "inhibitory_v_reset": const(layer.v_reset, f),
    }


def _eta(learning: LearningSpec, q: int, start: float, end: float) -> float:
    """Return the rate of piece ``q`` between two ends, in float64."""
    n = learning.schedule_pieces
    a = q / (n - 1) if n > 1 else 0.0
    match learning.eta_schedule:
        case "geometric":
            return float(start * (end / start) ** a)
        case "linear":
            return start + (end - start) * a
        case "cosine":
            return end + (start - end) * (1 + math.cos(math.pi * a)) / 2


def _inhibition(spec: NetworkSpec, q: int) -> float:
    """Return the inhibition of piece ``q``, in float64."""
    n, start, ramp = spec.learning.schedule_pieces, spec.inhibition.start, spec.inhibition.ramp
    return spec.inhibition.strength * (start + (1 - start) * min(1.0, q / n / ramp))
