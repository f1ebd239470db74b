"""Real constants of a batch of networks, computed from their specs (docs/numerics.md, section 4, before rounding)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec.network import InhibitorySpec, NetworkSpec

# What one batch must share: it decides shapes, or which statements run.
_SHARED: tuple[tuple[str, Callable[[NetworkSpec], object]], ...] = (
    ("network.inputs", lambda spec: spec.network.inputs),
    ("network.neurons", lambda spec: spec.network.neurons),
    ("encoding.n_steps", lambda spec: spec.encoding.n_steps),
    ("learning.update_steps", lambda spec: spec.learning.update_steps),
    ("learning.rule", lambda spec: spec.learning.rule),
    ("learning.learners", lambda spec: spec.learning.learners),
    ("learning.trace", lambda spec: spec.learning.trace),
    ("learning.trace_mode", lambda spec: spec.learning.trace_mode),
    ("learning.soft_bounds", lambda spec: spec.learning.soft_bounds),
    ("inhibition.kind", lambda spec: spec.inhibition.kind),
)


@dataclass(frozen=True, slots=True)
class Constants:
    """Constants of ``B`` networks, each a tensor [B, 1] unless noted; potentials in mV, times in steps.

    Attributes
    ----------
    specs : tuple of NetworkSpec
        One per network.
    spec : NetworkSpec
        The first of them; what all share is read from it.
    leak_factor, leak_step : Tensor
        Each step `v_mem` is multiplied by the one, then drawn toward 0 by the other.
    theta_clamp : Tensor
        Largest `theta`; infinite without a cap.
    theta_factor, theta_down : Tensor
        After each training image ``theta = max(theta - theta_down, 0) * theta_factor``.
    n_th : Tensor
        Of Eq. 1; infinite where ``k`` is always 1.
    weight_sum : Tensor
        Infinite where columns are not normalised.
    forgets : Tensor
        bool: whether `theta` falls after an image.
    full : Tensor
        [B, n_windows]: what a full-rate pixel's windowed count is at each update.
    excitation, inhibitory_factor, inhibitory_v_th, inhibitory_v_reset, inhibitory_refractory : Tensor
        Of the inhibitory neurons; 0 in networks without them.
    n_essential : Tensor
        Spikes after which a neuron's weights change in pair-wise learning.
    index : Tensor
        int64 [N]: the neurons' numbers.
    nobody : Tensor
        int64 [B, 1] of -1: no winner.
    """

    specs: tuple[NetworkSpec, ...]
    leak_factor: Tensor
    leak_step: Tensor
    v_reset: Tensor
    v_floor: Tensor
    v_th: Tensor
    theta_plus: Tensor
    theta_clamp: Tensor
    theta_factor: Tensor
    theta_down: Tensor
    forgets: Tensor
    refractory: Tensor
    trace_factor: Tensor
    n_th: Tensor
    full: Tensor
    w_max: Tensor
    weight_sum: Tensor
    excitation: Tensor
    inhibitory_factor: Tensor
    inhibitory_v_th: Tensor
    inhibitory_v_reset: Tensor
    inhibitory_refractory: Tensor
    n_essential: Tensor
    index: Tensor
    nobody: Tensor
    leaks_by_step: bool
    window_trace: bool
    layer: bool
    pairwise: bool

    @property
    def spec(self) -> NetworkSpec:
        """The first network's description; what all share is read from it."""
        return self.specs[0]

    @property
    def n_networks(self) -> int:
        """Number of networks."""
        return len(self.specs)


def constants_of(specs: Sequence[NetworkSpec], like: Tensor) -> Constants:
    """Compute the constants of a batch, with the dtype and on the device of ``like``."""
    for name, field in _SHARED:
        values = sorted({str(field(spec)) for spec in specs})
        if len(values) > 1:
            raise SpecError(f"{name} = {', '.join(values)}: the networks of one batch must agree on it")

    def column(value: Callable[[NetworkSpec], float]) -> Tensor:
        return like.new_tensor([[value(spec)] for spec in specs])

    def layer(value: Callable[[InhibitorySpec], float]) -> Tensor:
        return column(lambda s: 0.0 if s.inhibitory is None else value(s.inhibitory))

    return Constants(
        specs=tuple(specs),
        leak_factor=column(_leak_factor),
        leak_step=column(lambda s: s.neuron.leak_step if s.neuron.leak == "subtract" else 0.0),
        v_reset=column(lambda s: s.neuron.v_reset),
        v_floor=column(lambda s: -math.inf if s.neuron.v_floor is None else s.neuron.v_floor),
        v_th=column(lambda s: s.neuron.v_th),
        theta_plus=column(lambda s: s.neuron.theta_plus),
        theta_clamp=column(
            lambda s: math.inf if s.neuron.v_th_cap is None else s.neuron.v_th_cap - s.neuron.v_th
        ),
        theta_factor=column(
            lambda s: (
                math.exp(-s.encoding.n_steps / s.neuron.tau_theta)
                if s.neuron.theta_forget == "multiply"
                else 1.0
            )
        ),
        theta_down=column(
            lambda s: (
                s.neuron.theta_plus * s.neuron.theta_forget_spikes / s.network.neurons
                if s.neuron.theta_forget == "subtract"
                else 0.0
            )
        ),
        forgets=column(lambda s: s.neuron.theta_forget != "none").to(torch.bool),
        refractory=column(lambda s: s.neuron.refractory),
        trace_factor=column(lambda s: math.exp(-1.0 / s.learning.tau_trace)),
        n_th=column(lambda s: s.learning.n_th if s.learning.potentiation == "eq1" else math.inf),
        full=like.new_tensor([full_counts(spec) for spec in specs]),
        w_max=column(lambda s: s.learning.w_max),
        weight_sum=column(lambda s: math.inf if s.learning.weight_sum is None else s.learning.weight_sum),
        excitation=layer(lambda n: n.excitation),
        inhibitory_factor=layer(lambda n: math.exp(-1.0 / n.tau_mem)),
        inhibitory_v_th=layer(lambda n: n.v_th),
        inhibitory_v_reset=layer(lambda n: n.v_reset),
        inhibitory_refractory=layer(lambda n: n.refractory),
        n_essential=column(lambda s: s.learning.n_essential),
        index=torch.arange(specs[0].network.neurons, device=like.device),
        nobody=torch.full((len(specs), 1), -1, device=like.device),
        leaks_by_step=any(spec.neuron.leak == "subtract" for spec in specs),
        window_trace=specs[0].learning.trace == "window",
        layer=specs[0].inhibition.kind == "layer",
        pairwise=specs[0].learning.rule == "pairwise",
    )


def _leak_factor(spec: NetworkSpec) -> float:
    match spec.neuron.leak:
        case "shift":
            return 1.0 - 2.0**-spec.neuron.leak_shift
        case "multiply":
            return math.exp(-1.0 / spec.neuron.tau_mem)
        case "none" | "subtract":
            return 1.0


def full_counts(spec: NetworkSpec) -> list[int]:
    """Return what a full-rate pixel's windowed count is at each update of an image, a whole number of events."""
    learning, encoding = spec.learning, spec.encoding
    per_window = math.floor(encoding.rate_max_hz * encoding.dt * learning.update_steps + 0.5)
    counts = [0]
    for _ in range(encoding.n_steps // learning.update_steps):
        counts.append(counts[-1] // 2 + per_window)
    if learning.trace == "window" and per_window == 0:
        raise SpecError(
            f"learning.update_steps = {learning.update_steps}: a full pixel has no event in a window of the "
            "window trace; use a longer window or a higher encoding.rate_max_hz"
        )
    return counts[1:]


def eta(spec: NetworkSpec, piece: int) -> float:
    """Return the learning rate of a piece of the training."""
    return _scheduled(spec, piece, spec.learning.eta_start, spec.learning.eta_end)


def eta_pre(spec: NetworkSpec, piece: int) -> float:
    """Return the rate of depression of a piece of the training; 0 without depression."""
    start, end = spec.learning.eta_pre_start, spec.learning.eta_pre_end
    return 0.0 if start is None or end is None else _scheduled(spec, piece, start, end)


def _scheduled(spec: NetworkSpec, piece: int, start: float, end: float) -> float:
    learning = spec.learning
    a = piece / (learning.schedule_pieces - 1) if learning.schedule_pieces > 1 else 0.0
    match learning.eta_schedule:
        case "geometric":
            return math.exp((1.0 - a) * math.log(start) + a * math.log(end))
        case "linear":
            return (1.0 - a) * start + a * end
        case "cosine":
            return 0.5 * (start + end) + 0.5 * (start - end) * math.cos(math.pi * a)


def inhibition(spec: NetworkSpec, piece: int) -> float:
    """Return the inhibition of a piece of the training [mV]."""
    lateral = spec.inhibition
    risen = min(1.0, piece / spec.learning.schedule_pieces / lateral.ramp)
    return lateral.strength * (risen + (1.0 - risen) * lateral.start)
