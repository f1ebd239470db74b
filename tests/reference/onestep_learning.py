"""One learning window, or one step of pair-wise learning, beside the reference's from the same words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from tests.reference.grids import FLOAT, cut_range, scale_gap
from tinysnn_hw.data import Raster
from tinysnn_hw.reference import state_from
from tinysnn_hw.reference.constants import constants_of
from tinysnn_hw.reference.dynamics import learn_window, onset
from tinysnn_hw.reference.pairwise import learn_pairs
from tinysnn_hw.reference.spikes import SpikeFeed, Window

if TYPE_CHECKING:
    from tests.reference.onestep import ImageCheck


def check_window(check: ImageCheck, u: int) -> None:
    """Section 7, window ``u``."""
    spec, g, rates, out, image = check.spec, check.g, check.rates, check.out, check.image
    begin, end = u * check.window, (u + 1) * check.window
    won = check.after["winner"][begin:end].astype(np.int64)
    n_window = np.bincount(won[won >= 0], minlength=spec.network.neurons).astype(np.float64)
    state = state_from(spec, check.weights[u][None])
    r = onset(state)
    r.n_window = torch.from_numpy(n_window[None])
    r.n_post = torch.from_numpy(check.after["n_post"][end - 1][None])
    counted = check.after["c_pre"][begin - 1] if u else np.zeros(spec.network.inputs)
    r.c_pre = torch.from_numpy(counted[None])
    events = SpikeFeed((check.case.raster,), 1, torch.device("cpu")).window(image, begin, end)
    eta = torch.tensor([[rates.eta]], dtype=torch.float64)
    x = check.after["x_pre"][end - 1]
    if spec.learning.trace == "window":
        other = state.copy()
        learn_window(constants_of([spec], state.weight), other, windowed := replace(r), eta, events, u)
        counts, exact = check.after["c_pre"][end - 1], windowed.x_pre[0].numpy()
        out.exact("c_pre", image, counts, windowed.c_pre[0].numpy())
        wide = counts * scale_gap(spec, u) + FLOAT
        allowed = cut_range(spec.formats.x_pre, 16, exact)
        out.compare("x_pre", image, x, exact, allowed, np.ones(x.shape, bool), wide)
    # From here on the trace is a given word, as it is where it decays.
    learning = spec.learning.model_copy(update={"trace": "exponential"})
    c = constants_of([spec.model_copy(update={"learning": learning})], state.weight)
    r.x_pre = torch.from_numpy(x[None])
    learners = learn_window(c, state, r, eta, events, u)[0].numpy()
    check.learned |= learners
    n_post_max = int(check.after["n_post"][end - 1].max())
    k = -(-n_post_max // spec.learning.n_th) if spec.learning.potentiation == "eq1" else 1
    w, m, c_k = check.weights[u], spec.learning.w_max, k * rates.eta
    pull = x[:, None] * m - w if spec.learning.rule == "attract" else x[:, None] * (m - w)
    slack = k * rates.eta_gap * np.abs(pull) + g.w_max_gap * (1.0 + c_k * x[:, None])
    slack = slack + FLOAT * (np.abs(w) + c_k * np.abs(pull))
    exact, fixed = state.weight[0].numpy(), check.weights[u + 1]
    which = np.broadcast_to(learners, fixed.shape)
    allowed = cut_range(spec.formats.weight, g.dropped_weight, exact)
    out.compare("weight", image, fixed, exact, allowed, which, slack)
    out.exact("weight", image, fixed, exact, ~which)
    if rates.eta_gap < FLOAT and not g.w_max_gap:
        inside = which & (exact > 0.0) & (exact < m)
        out.rounded("weight", spec.formats.weight, g.dropped_weight, fixed, exact, inside)


def check_pairs(check: ImageCheck) -> None:
    """Section 7 of every step, pair-wise: depression and potentiation each from the oracle's words before it."""
    depressed = check.fixed.weight_depressed[check.image]
    _check_half(check, check.weights[:-1], depressed, depresses=True)
    _check_half(check, depressed, check.weights[1:], depresses=False)


def _check_half(check: ImageCheck, w: np.ndarray, fixed: np.ndarray, *, depresses: bool) -> None:
    spec, g, rates, out, image = check.spec, check.g, check.rates, check.out, check.image
    n_steps, m = check.n_steps, spec.learning.w_max
    state = state_from([spec] * n_steps, w)
    r = onset(state)
    r.n_post = torch.from_numpy(check.after["n_post"])
    x = check.after["x_post" if depresses else "x_pre"]
    if depresses:
        r.x_post, dropped, rate, rate_gap = (
            torch.from_numpy(x),
            g.dropped_depressed,
            rates.eta_pre,
            rates.eta_pre_gap,
        )
        rows, columns = check.events > 0.0, r.n_post.numpy() >= spec.learning.n_essential
        product = np.broadcast_to(rate * x[:, None, :], w.shape)
    else:
        won = check.neurons == check.after["winner"][:, None]
        r.n_window, r.x_pre = torch.from_numpy(won.astype(np.float64)), torch.from_numpy(x)
        dropped, rate, rate_gap = g.dropped_weight, rates.eta, rates.eta_gap
        rows = np.ones(check.events.shape, bool)
        columns = won & (r.n_post.numpy() >= spec.learning.n_essential)
        product = np.broadcast_to(rate * x[:, :, None], w.shape)
        check.learned |= columns.any(axis=0)
    eta, eta_pre = (
        torch.full((n_steps, 1), value, dtype=torch.float64) for value in (rates.eta, rates.eta_pre)
    )
    learn_pairs(
        constants_of([spec] * n_steps, state.weight),
        state,
        r,
        eta,
        eta_pre,
        _events(check, depresses=depresses),
    )
    exact = state.weight.numpy()
    pull = (w if depresses else m - w) if spec.learning.soft_bounds else np.full(w.shape, m)
    slack = product * (rate_gap / rate) * np.abs(pull) + g.w_max_gap * (1.0 + product)
    slack = slack + FLOAT * (w + product * np.abs(pull) + 1.0)
    which = rows[:, :, None] & columns[:, None, :] & (product > 0.0)
    allowed = cut_range(spec.formats.weight, dropped, exact)
    out.compare("weight", image, fixed, exact, allowed, which, slack)
    # Words that start above w_max, by less than an LSB, are clipped by the reference alone.
    out.exact("weight", image, fixed, exact, ~which & (w <= m))
    if rate_gap < FLOAT and not g.w_max_gap:
        inside = which & (exact > 0.0) & (exact < m)
        name = "weight, depressed" if depresses else "weight"
        out.rounded(name, spec.formats.weight, dropped, fixed, exact, inside)


def _events(check: ImageCheck, *, depresses: bool) -> Window:
    """Return step ``t``'s events for network ``t`` of a batch of all steps; none to leave depression out."""
    dense = check.events.astype(np.int64) if depresses else np.zeros(check.events.shape, np.int64)
    rasters = tuple(Raster.from_dense(step[None, None]) for step in dense)
    return SpikeFeed(rasters, check.n_steps, torch.device("cpu")).window(0, 0, 1)
