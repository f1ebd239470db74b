"""One step, one learning window and one image's end of a batch of networks (docs/numerics.md, sections 6 to 8).

Every function works on all networks and all their neurons at once; index ``b`` runs over networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tinysnn_hw.reference.constants import Constants
    from tinysnn_hw.reference.spikes import Window
    from tinysnn_hw.reference.state import ReferenceState


@dataclass(slots=True)
class Registers:
    """What starts anew with every image; counts are whole numbers in floating point.

    Attributes
    ----------
    v_mem : Tensor
        [B, n_neurons] [mV].
    held_until : Tensor
        [B, n_neurons]: the last step in which a neuron is held; after step ``t`` its refractory count is
        ``max(held_until - t, 0)``.
    n_post, n_window : Tensor
        [B, n_neurons].
    x_pre, c_pre : Tensor
        [B, n_inputs].
    learned : Tensor
        bool [B, n_neurons]: columns that learned in this image.
    spiked : Tensor
        [B, n_neurons]: 1 for the neuron that fired in the last step.
    x_post : Tensor
        [B, n_neurons]: post-synaptic trace of pair-wise learning.
    v_inh, inhibitory_held_until, inhibitory_spiked : Tensor
        [B, n_neurons]: the same of the inhibitory neurons, in networks that have them.
    """

    v_mem: Tensor
    held_until: Tensor
    n_post: Tensor
    n_window: Tensor
    x_pre: Tensor
    c_pre: Tensor
    learned: Tensor
    spiked: Tensor
    x_post: Tensor
    v_inh: Tensor
    inhibitory_held_until: Tensor
    inhibitory_spiked: Tensor


def onset(state: ReferenceState) -> Registers:
    """Return the registers at the onset of an image."""
    n_networks, n_inputs, n_neurons = state.weight.shape
    of_neurons = state.theta.new_zeros(n_networks, n_neurons)
    of_inputs = state.theta.new_zeros(n_networks, n_inputs)
    return Registers(
        v_mem=of_neurons,
        held_until=of_neurons - 1.0,
        n_post=of_neurons,
        n_window=of_neurons,
        x_pre=of_inputs,
        c_pre=of_inputs,
        learned=of_neurons.to(torch.bool),
        spiked=of_neurons,
        x_post=of_neurons,
        v_inh=of_neurons,
        inhibitory_held_until=of_neurons - 1.0,
        inhibitory_spiked=of_neurons,
    )


@dataclass(frozen=True, slots=True)
class Fired:
    """Outcome of one step.

    Attributes
    ----------
    winner : Tensor
        int64 [B, 1]; -1 for none.
    margin : Tensor
        [B, n_neurons]: ``v_mem - v_th`` when neurons are compared.
    free : Tensor
        [B, n_neurons]: 1, or 0 for a neuron held in this step, which does not compete.
    """

    winner: Tensor
    margin: Tensor
    free: Tensor


def drive(c: Constants, current: Tensor) -> Tensor:
    """Return what currents [B, n_steps, n_neurons] add to `v_mem`: the leak acts on the sum of both."""
    return current * c.leak_factor[:, :, None]


def step(
    c: Constants,
    state: ReferenceState,
    r: Registers,
    t: Tensor,
    driven: Tensor,
    inhibition: Tensor,
    *,
    learn: bool,
) -> Fired:
    """Advance by one step: integrate, fire, and in training raise the winner's threshold.

    Masks are 0 and 1 in floating point, which PyTorch handles several times as fast as bool.

    Parameters
    ----------
    c : Constants
    state : ReferenceState
        `theta` and `v_th` are replaced in training.
    r : Registers
        Replaced.
    t : Tensor
        Step within the image, a scalar or [B, 1].
    driven : Tensor
        [B, n_neurons], this step's part of `drive`.
    inhibition : Tensor
        [B, 1]; 0 where inhibitory neurons do it.
    learn : bool
        Training.
    """
    free = (t - r.held_until).clamp(0.0, 1.0)
    v = torch.addcmul(driven, r.v_mem, c.leak_factor)
    if c.leaks_by_step:
        v = v.sign() * (v.abs() - c.leak_step).clamp(min=0.0)
    # A held neuron stays at v_reset, which is below every threshold.
    v = torch.lerp(c.v_reset, v, free)
    margin = v - state.v_th
    best = margin.amax(dim=1, keepdim=True)
    if not v.is_cuda and best.max().item() < 0.0:
        # Asking costs a GPU more than the rest of the step.
        r.v_mem, r.spiked = v, torch.zeros_like(v)
        return Fired(c.nobody, margin, free)
    spike = (best >= 0.0).to(v.dtype)
    winner = margin.argmax(dim=1, keepdim=True)  # the first of equals
    won = torch.zeros_like(v).scatter_(1, winner, spike)
    # Without a spike nothing is subtracted, and the floor, which is not above rest or v_reset, changes nothing.
    v = torch.maximum(v - inhibition * spike, c.v_floor)
    r.v_mem, r.spiked = torch.lerp(c.v_reset, v, free - won), won
    r.held_until = torch.lerp(r.held_until, t + c.refractory, won)
    r.n_post = r.n_post + won
    if learn:
        r.n_window = r.n_window + won
        grown = torch.minimum(state.theta + c.theta_plus, c.theta_clamp)
        state.theta = torch.lerp(state.theta, grown, won)
        state.v_th = torch.lerp(state.v_th, c.v_th + state.theta, won)
    return Fired(torch.where(spike > 0.0, winner, c.nobody), margin, free)


def learn_window(
    c: Constants, state: ReferenceState, r: Registers, eta: Tensor, events: Window, u: int
) -> Tensor:
    """Learn at the end of window ``u``; return bool [B, n_neurons], which columns did.

    Parameters
    ----------
    c, state, r
        ``state.weight`` is changed in place; an exponential `x_pre` is that of the window's end.
    eta : Tensor
        [B, 1].
    events : Window
        Events of the window, used by the window trace.
    u : int
        Window within the image.
    """
    if c.window_trace:
        r.c_pre = (r.c_pre / 2.0).floor() + events.counts(r.c_pre)
        r.x_pre = (r.c_pre / c.full[:, u : u + 1]).clamp(max=1.0)
    spiked = r.n_window > 0.0
    if c.spec.learning.learners == "winner":
        # max gives the first of equals.
        spiked &= c.index == r.n_window.max(dim=1, keepdim=True).indices
    k = (r.n_post.amax(dim=1, keepdim=True) / c.n_th).ceil().clamp(min=1.0)
    b, j = spiked.nonzero(as_tuple=True)
    w, x, w_max = state.weight[b, :, j], r.x_pre[b], c.w_max[b]
    pull = x * w_max - w if c.spec.learning.rule == "attract" else x * (w_max - w)
    state.weight[b, :, j] = torch.minimum((w + (k * eta)[b] * pull).clamp(min=0.0), w_max)
    r.learned = r.learned | spiked
    r.n_window = torch.zeros_like(r.n_window)
    return spiked


def finish_image(c: Constants, state: ReferenceState, r: Registers) -> Tensor:
    """End a training image: normalise, let `theta` fall; return bool [B, n_neurons], the columns normalised."""
    due = r.learned & c.weight_sum.isfinite()
    b, j = due.nonzero(as_tuple=True)
    state.weight[b, :, j] = normalized(state.weight[b, :, j], c.weight_sum[b], c.w_max[b], dim=1)
    if any(spec.neuron.theta_forget != "none" for spec in c.specs):
        forgets = c.forgets
        theta = (state.theta - c.theta_down).clamp(min=0.0) * c.theta_factor
        state.theta = torch.where(forgets, theta, state.theta)
        state.v_th = torch.where(forgets, c.v_th + state.theta, state.v_th)
    return due


def normalized(columns: Tensor, weight_sum: Tensor, w_max: Tensor, *, dim: int) -> Tensor:
    """Scale columns along ``dim`` to a sum, each weight at most ``w_max``; a column of zeros stays."""
    total = columns.sum(dim=dim, keepdim=True)
    return torch.where(total > 0.0, torch.minimum(columns * (weight_sum / total), w_max), columns)
