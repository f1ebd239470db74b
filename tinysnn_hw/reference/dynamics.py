"""One step, one learning window and one image's end of a batch of networks (docs/numerics.md, sections 6 to 8).

Every function works on all networks and all their neurons at once; index ``b`` runs over networks.
"""

from __future__ import annotations

import math
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
    """What starts anew with every image.

    Attributes
    ----------
    v_mem : Tensor
        [B, n_neurons] [mV].
    refractory_count, n_post, n_window : Tensor
        int32 [B, n_neurons].
    x_pre, c_pre : Tensor
        [B, n_inputs].
    learned : Tensor
        bool [B, n_neurons]: columns that learned in this image.
    """

    v_mem: Tensor
    refractory_count: Tensor
    n_post: Tensor
    n_window: Tensor
    x_pre: Tensor
    c_pre: Tensor
    learned: Tensor


def onset(state: ReferenceState) -> Registers:
    """Return the registers at the onset of an image."""
    n_networks, n_inputs, n_neurons = state.weight.shape
    of_neurons = state.theta.new_zeros(n_networks, n_neurons)
    of_inputs = state.theta.new_zeros(n_networks, n_inputs)
    return Registers(
        v_mem=of_neurons,
        refractory_count=of_neurons.to(torch.int32),
        n_post=of_neurons.to(torch.int32),
        n_window=of_neurons.to(torch.int32),
        x_pre=of_inputs,
        c_pre=of_inputs.clone(),
        learned=of_neurons.to(torch.bool),
    )


@dataclass(frozen=True, slots=True)
class Fired:
    """Outcome of one step: ``winner`` int64 [B, 1], -1 for none; ``margin`` [B, n_neurons], -inf where held."""

    winner: Tensor
    margin: Tensor


def step(
    c: Constants, state: ReferenceState, r: Registers, current: Tensor, inhibition: Tensor, *, learn: bool
) -> Fired:
    """Advance by one step: integrate, fire, and in training raise the winner's threshold.

    Parameters
    ----------
    c : Constants
    state : ReferenceState
        `theta` and `v_th` are replaced in training.
    r : Registers
        Replaced.
    current : Tensor
        [B, n_neurons], sum of the weights of the step's events.
    inhibition : Tensor
        [B, 1].
    learn : bool
        Training.
    """
    held = r.refractory_count > 0
    v = (r.v_mem + current) * c.leak_factor
    if any(spec.neuron.leak == "subtract" for spec in c.specs):
        v = v.sign() * (v.abs() - c.leak_step).clamp(min=0.0)
    margin = torch.where(held, -math.inf, v - state.v_th)
    best, winner = margin.max(dim=1, keepdim=True)
    fired = best >= 0.0
    won = (c.index == winner) & fired
    # Without a winner nothing is subtracted, and the floor, which is not above rest or v_reset, changes nothing.
    v = torch.maximum(v - inhibition * fired, c.v_floor)
    # A held neuron is at v_reset and stays there.
    r.v_mem = torch.where(held | won, c.v_reset, v)
    r.refractory_count = torch.where(won, c.refractory, r.refractory_count - held.to(torch.int32))
    r.n_post = r.n_post + won
    if learn:
        r.n_window = r.n_window + won
        state.theta = torch.where(won, torch.minimum(state.theta + c.theta_plus, c.theta_clamp), state.theta)
        state.v_th = torch.where(won, c.v_th + state.theta, state.v_th)
    return Fired(torch.where(fired, winner, -1), margin)


def decay_and_count(c: Constants, r: Registers, events: Tensor) -> None:
    """Exponential trace, one step: ``events`` [B, n_inputs] are the step's counts."""
    r.x_pre = torch.addcmul(events, r.x_pre, c.trace_factor)


def learn_window(
    c: Constants, state: ReferenceState, r: Registers, eta: Tensor, events: Window, u: int
) -> Tensor:
    """Learn at the end of window ``u``; return bool [B, n_neurons], which columns did.

    Parameters
    ----------
    c, state, r
        ``state.weight`` is changed in place.
    eta : Tensor
        [B, 1].
    events : Window
        Events of the window, used by the window trace.
    u : int
        Window within the image.
    """
    if c.spec.learning.trace == "window":
        r.c_pre = (r.c_pre / 2.0).floor() + events.counts(r.c_pre)
        r.x_pre = (r.c_pre / c.full[:, u : u + 1]).clamp(max=1.0)
    spiked = r.n_window > 0
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
    """End a training image: normalise, let thresholds fall; return bool [B, n_neurons], which columns were normalised."""
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
