"""Inhibitory neurons and pair-wise learning of `baseline` and `sl-stdp` (docs/numerics.md, sections 6 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tinysnn_hw.reference.constants import Constants
    from tinysnn_hw.reference.dynamics import Registers
    from tinysnn_hw.reference.spikes import Window
    from tinysnn_hw.reference.state import ReferenceState


def inhibitory_step(c: Constants, r: Registers, t: Tensor, inhibition: Tensor) -> None:
    """Let what fired in the step before act: inhibitory neurons on the others, neurons on their inhibitory ones.

    ``t`` is a scalar or [B, 1], ``inhibition`` [B, 1].
    """
    # An inhibitory neuron spares the neuron it belongs to; at most one of a network fires in a step.
    struck = r.inhibitory_spiked.sum(dim=1, keepdim=True) - r.inhibitory_spiked
    lowered = torch.maximum(r.v_mem - inhibition, c.v_floor)
    free = (t - r.held_until).clamp(0.0, 1.0)
    r.v_mem = torch.where(struck * free > 0.0, lowered, r.v_mem)

    free = (t - r.inhibitory_held_until).clamp(0.0, 1.0)
    v = torch.addcmul(r.v_inh, r.spiked, c.excitation) * c.inhibitory_factor
    v = torch.lerp(c.inhibitory_v_reset, v, free)
    # A held one is at v_reset, which is below its threshold.
    fires = (v >= c.inhibitory_v_th).to(v.dtype)
    r.v_inh = torch.lerp(v, c.inhibitory_v_reset, fires)
    r.inhibitory_held_until = torch.lerp(r.inhibitory_held_until, t + c.inhibitory_refractory, fires)
    r.inhibitory_spiked = fires


def decay_post(c: Constants, r: Registers) -> None:
    """Let the post-synaptic trace decay, at the beginning of a step."""
    r.x_post = r.x_post * c.trace_factor


def mark_post(c: Constants, r: Registers) -> None:
    """Enter the spike of a step into the post-synaptic trace."""
    if c.spec.learning.trace_mode == "set":
        r.x_post = torch.lerp(r.x_post, torch.ones_like(r.x_post), r.spiked)
    else:
        r.x_post = r.x_post + r.spiked


def learn_pairs(
    c: Constants, state: ReferenceState, r: Registers, eta: Tensor, eta_pre: Tensor, events: Window
) -> tuple[Tensor, Tensor]:
    """Depress at the inputs that have an event in this step, then potentiate at the neurons that fire.

    Parameters
    ----------
    c, state, r
        ``state.weight`` is changed in place.
    eta, eta_pre : Tensor
        [B, 1].
    events : Window
        Of this step.

    Returns
    -------
    Tensor
        bool [B, n_neurons], columns potentiated.
    Tensor
        int64 [B], synapses that depression concerned.
    """
    soft = c.spec.learning.soft_bounds
    essential = r.n_post >= c.n_essential
    # An input with several events in the step occurs as often here and gets the same new weights each time.
    b = events.row // events.n_inputs
    rows = state.weight.view(-1, state.weight.shape[2])
    w, w_max = rows[events.row], c.w_max[b]
    fall = (eta_pre * r.x_post * essential)[b]
    rows[events.row] = torch.minimum((w - fall * (w if soft else w_max)).clamp(min=0.0), w_max)
    depressed = (events.counts(r.x_post) > 0.0).sum(dim=1) * essential.sum(dim=1)

    due = (r.n_window > 0.0) & essential
    b, j = due.nonzero(as_tuple=True)
    w, w_max = state.weight[b, :, j], c.w_max[b]
    rise = eta[b] * r.x_pre[b]
    state.weight[b, :, j] = torch.minimum((w + rise * (w_max - w if soft else w_max)).clamp(min=0.0), w_max)
    r.learned = r.learned | due
    r.n_window = torch.zeros_like(r.n_window)
    return due, depressed
