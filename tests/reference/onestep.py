"""Every statement alone: the reference starts from the oracle's own registers, so only one cut lies between them.

After step ``t - 1`` of an image the oracle's words, read as real numbers, are given to the reference, which takes step
``t``; the oracle's words after ``t`` must then lie within the range of errors of the one cut that wrote them
(``floor``: above -1 LSB up to 0; to nearest: half an LSB to either side), widened by what its constants are off.
Nothing accumulates, so one LSB too many or too few shows wherever that range is narrower than 1 LSB. The steps of an
image are taken all at once, as a batch of networks.
"""

from __future__ import annotations

import numpy as np
import torch

from tests.reference.cases import Case
from tests.reference.courses import Course
from tests.reference.grids import FLOAT, cut_range, grid_of, rates
from tests.reference.onestep_learning import check_pairs, check_window
from tests.reference.residuals import Residuals
from tinysnn_hw.reference import state_from
from tinysnn_hw.reference.constants import Constants, constants_of
from tinysnn_hw.reference.dynamics import Registers, drive, finish_image, onset, step
from tinysnn_hw.reference.pairwise import decay_post, inhibitory_step, mark_post
from tinysnn_hw.reference.run import decayed_trace
from tinysnn_hw.reference.spikes import SpikeFeed
from tinysnn_hw.reference.state import ReferenceState


def check_steps(case: Case, fixed: Course) -> Residuals:
    """Check every write of a training."""
    out = Residuals()
    for image in range(case.raster.n_images):
        ImageCheck(case, fixed, image, out).check()
    return out


class ImageCheck:
    """The statements of one training image.

    Attributes
    ----------
    before, after : dict of str to float64[n_steps, index]
        The oracle's registers before and after every step.
    weights : float64[n_windows + 1, n_inputs, n_neurons]
        The oracle's before every window, and after the last.
    learned : bool[n_neurons]
        Columns that learned so far.
    """

    def __init__(self, case: Case, fixed: Course, image: int, out: Residuals) -> None:
        self.case, self.fixed, self.image, self.out, self.spec = case, fixed, image, out, case.spec
        self.g = grid_of(case.spec)
        self.n_steps, self.window = case.spec.encoding.n_steps, case.spec.learning.update_steps
        self.layer = case.spec.inhibition.kind == "layer"
        self.rates = rates(case.spec, image, case.n_presentations)
        self.events = case.raster.to_dense(np.int64)[image].astype(np.float64)
        self.neurons = np.arange(case.spec.network.neurons)
        self.after = {name: values[image] for name, values in fixed.registers.items()}
        zero = {name: np.zeros_like(values[:1]) for name, values in self.after.items()}
        zero |= {"theta": fixed.theta[image][None], "v_th": fixed.v_th[image][None]}
        zero |= {name: np.full(1, -1) for name in ("winner", "inhibitory_winner") if name in zero}
        self.before = {name: np.concatenate([zero[name], self.after[name][:-1]]) for name in zero}
        self.weights = np.concatenate([fixed.weight[image][None], fixed.weight_window[image]])
        self.learned = np.zeros(len(self.neurons), bool)

    def check(self) -> None:
        """Check all of them, in the order of docs/numerics.md."""
        c = constants_of([self.spec] * self.n_steps, torch.zeros(1, dtype=torch.float64))
        r = self.registers()
        self._trace_pre()
        if c.pairwise:
            decay_post(c, r)
        decayed = r.x_post.numpy()
        times = torch.arange(self.n_steps, dtype=torch.float64)[:, None]
        same = self._layer(c, r, times)
        same &= self._step(c, r, times, same)
        if c.pairwise:
            mark_post(c, r)
            self._trace_post(r, decayed, same)
            check_pairs(self)
        else:
            for u in range(len(self.weights) - 1):
                check_window(self, u)
        self._end()

    def registers(self) -> Registers:
        """Return the registers before every step, as those of a batch of networks."""
        times = np.arange(self.n_steps)[:, None]
        none = np.zeros_like(self.before["v_mem"])

        def one_hot(name: str) -> np.ndarray:
            return (
                (self.neurons == self.before[name][:, None]).astype(np.float64)
                if name in self.before
                else none
            )

        registers = {
            name: self.before.get(name, none) for name in ("v_mem", "n_post", "n_window", "x_post", "v_inh")
        }
        registers |= {
            "held_until": times - 1.0 + self.before["refractory_count"],
            "spiked": one_hot("winner"),
            "inhibitory_held_until": times - 1.0 + self.before.get("inhibitory_count", none),
            "inhibitory_spiked": one_hot("inhibitory_winner"),
        }
        # Traces of inputs and what learned are checked apart.
        unused = {name: torch.zeros(1) for name in ("x_pre", "c_pre", "learned")}
        return Registers(**{name: torch.from_numpy(values) for name, values in registers.items()}, **unused)

    def _trace_pre(self) -> None:
        """Section 6, item 1; traces of a window stand still between its ends."""
        out, image, learning = self.out, self.image, self.spec.learning
        within = ((np.arange(self.n_steps) + 1) % self.window != 0)[:, None]
        out.exact("c_pre", image, self.after["c_pre"], self.before["c_pre"], within)
        before, after = self.before["x_pre"], self.after["x_pre"]
        if learning.trace == "window":
            out.exact("x_pre", image, after, before, within)
            return
        feed = SpikeFeed((self.case.raster,), 1, torch.device("cpu"))
        c = constants_of([self.spec], torch.zeros(1, dtype=torch.float64))
        exact = np.concatenate([
            decayed_trace(c, torch.from_numpy(x[None]), feed.window(self.image, t, t + 1), 1).numpy()
            for t, x in enumerate(before)
        ])  # fmt: skip
        set_to_one = (self.events > 0.0) & (learning.trace_mode == "set")
        out.exact("x_pre", image, after, exact, set_to_one)
        slack = before * self.g.trace_gap + FLOAT * (exact + 1.0)
        allowed = cut_range(self.spec.formats.x_pre, 16, exact)
        out.compare("x_pre", image, after, exact, allowed, ~set_to_one, slack)
        if not self.g.trace_gap:
            out.rounded("x_pre", self.spec.formats.x_pre, 16, after, exact, ~set_to_one)

    def _trace_post(self, r: Registers, decayed: np.ndarray, same: np.ndarray) -> None:
        """Section 6, items 1 and 4."""
        register = self.spec.formats.x_post
        assert register is not None
        after, exact, rows = self.after["x_post"], r.x_post.numpy(), same[:, None]
        set_to_one = (r.spiked.numpy() > 0.0) & (self.spec.learning.trace_mode == "set")
        self.out.exact("x_post", self.image, after, exact, rows & set_to_one)
        slack = self.before["x_post"] * self.g.trace_gap + FLOAT * (exact + 1.0)
        allowed = cut_range(register, 16, decayed)
        self.out.compare("x_post", self.image, after, exact, allowed, rows & ~set_to_one, slack)
        if not self.g.trace_gap:
            self.out.rounded("x_post", register, 16, after, exact, rows & ~set_to_one)

    def _layer(self, c: Constants, r: Registers, times: torch.Tensor) -> np.ndarray:
        """Section 6, item 2; return the steps in which the same inhibitory neuron fires."""
        if not self.layer:
            return np.ones(self.n_steps, bool)
        g, layer, register, out, image = (
            self.g,
            self.spec.inhibitory,
            self.spec.formats.v_inh,
            self.out,
            self.image,
        )
        assert layer is not None and register is not None
        spiked, held = r.spiked.numpy(), self.before["inhibitory_count"] > 0
        inhibitory_step(
            c, r, times, torch.full((self.n_steps, 1), self.rates.inhibition, dtype=torch.float64)
        )
        b = self.before["v_inh"] + spiked * layer.excitation
        cut_of = b * np.exp(-1.0 / layer.tau_mem)
        allowed = cut_range(register, 16, cut_of)
        slack = spiked * g.excitation_gap + np.abs(b) * (g.inhibitory_factor_gap + FLOAT)
        fired = np.where(
            r.inhibitory_spiked.numpy().any(axis=1), r.inhibitory_spiked.numpy().argmax(axis=1), -1
        )
        other = self.after["inhibitory_winner"]
        near = (
            np.abs(cut_of - layer.v_th) <= np.maximum(allowed[1], -allowed[0]) + slack + g.inhibitory_v_th_gap
        )
        for t in np.flatnonzero(fired != other):
            apart = [int(j) for j in (fired[t], other[t]) if j >= 0]
            if not (near & ~held)[t, apart].all():
                out.violations.append(
                    f"inhibitory_winner image {image} step {t}: {other[t]} instead of {fired[t]}"
                )
            out.undecided += 1
        rows = (fired == other)[:, None]
        reset = held | (self.neurons == fired[:, None])
        v, exact = self.after["v_inh"], r.v_inh.numpy()
        out.compare("v_inh", image, v, exact, allowed, rows & ~reset, slack)
        at_reset = np.full(v.shape, g.inhibitory_v_reset_gap)
        out.compare("v_inh", image, v, exact, (-at_reset, at_reset), rows & reset, FLOAT)
        count = (r.inhibitory_held_until - times).clamp(min=0.0).numpy()
        out.exact("inhibitory_count", image, self.after["inhibitory_count"], count, rows)
        if not g.inhibitory_factor_gap and not g.excitation_gap:
            out.rounded("v_inh", register, 16, v, exact, rows & ~reset)
        return fired == other

    def _step(self, c: Constants, r: Registers, times: torch.Tensor, decided: np.ndarray) -> np.ndarray:
        """Section 6, items 3 and 4; return the steps in which the same neuron wins."""
        spec, g, before, after, out, image = self.spec, self.g, self.before, self.after, self.out, self.image
        events = (
            np.concatenate([np.zeros_like(self.events[:1]), self.events[:-1]]) if self.layer else self.events
        )
        window_of = np.minimum(np.arange(self.n_steps) // self.window, len(self.weights) - 1)
        current = np.einsum("ti,tij->tj", events, self.weights[window_of])
        state = ReferenceState(
            torch.zeros(self.n_steps, 1, 1), *(torch.from_numpy(before[name]) for name in ("theta", "v_th"))
        )
        inhibited = r.v_mem.numpy()
        direct = torch.full(
            (self.n_steps, 1), 0.0 if self.layer else self.rates.inhibition, dtype=torch.float64
        )
        fired = step(
            c, state, r, times, drive(c, torch.from_numpy(current)[:, None])[:, 0], direct, learn=True
        )
        winner = fired.winner[:, 0].numpy()
        slack = np.abs(inhibited + current) * g.leak_gap + g.leak_step_gap
        slack = slack + FLOAT * (np.abs(inhibited) + current + 1.0)
        # What inhibition by the layer is off lies in the sum that leaks.
        struck = inhibited != before["v_mem"]
        slack = slack + struck * (self.rates.inhibition_gap + g.v_floor_gap)
        free = fired.free.numpy() > 0.0
        margin = fired.margin.numpy()
        allowed = cut_range(spec.formats.v_mem, g.dropped_v_mem, margin + before["v_th"])
        # The shift leak subtracts a floor, so the sum before the cut is up to one accumulator LSB higher.
        allowed = (allowed[0], allowed[1] + g.accumulator)
        same = winner == after["winner"]
        self._winners(winner, margin, np.maximum(allowed[1], -allowed[0]) + slack, decided & ~same)
        same &= decided

        won = self.neurons == winner[:, None]
        fires = (winner >= 0)[:, None]
        if not self.layer:
            slack = slack + fires * (self.rates.inhibition_gap + g.v_floor_gap)
        v, exact = after["v_mem"], r.v_mem.numpy()
        rows = np.broadcast_to(same[:, None], v.shape)
        out.compare("v_mem", image, v, exact, allowed, rows & free & ~won, slack)
        at_reset = np.full(v.shape, g.v_reset_gap)
        out.compare("v_mem", image, v, exact, (-at_reset, at_reset), rows & (won | ~free), FLOAT)
        count = (r.held_until - times).clamp(min=0.0).numpy()
        out.exact("refractory_count", image, after["refractory_count"], count, rows)
        out.exact("n_post", image, after["n_post"], r.n_post.numpy(), rows)
        ends = (np.arange(self.n_steps) + 1) % self.window == 0
        n_window = np.where(ends[:, None], 0.0, r.n_window.numpy())
        out.exact("n_window", image, after["n_window"], n_window, rows)
        if not g.leak_gap and not g.accumulator and not g.leak_step_gap:
            quiet = rows & free & ~won & ~struck & (self.layer | ~fires)
            out.rounded("v_mem", spec.formats.v_mem, g.dropped_v_mem, v, exact, quiet)

        theta, v_th, grown = after["theta"], after["v_th"], rows & won
        real_theta = state.theta.numpy()
        allowed = cut_range(spec.formats.theta, g.dropped_theta, real_theta)
        wide = g.plus_gap + g.clamp_gap + FLOAT * (real_theta + 1.0)
        out.compare("theta", image, theta, real_theta, allowed, grown, wide)
        out.exact("theta", image, theta, real_theta, rows & ~grown)
        # Only the threshold's own cut is to show, so what theta's was off is taken over.
        self._threshold(v_th, state.v_th.numpy() + (theta - real_theta), grown)
        out.exact("v_th", image, v_th, state.v_th.numpy(), rows & ~grown)
        return same

    def _winners(self, winner: np.ndarray, margin: np.ndarray, error: np.ndarray, other: np.ndarray) -> None:
        """Accept another winner only where its margin is that close."""
        for t in np.flatnonzero(other):
            values, errors = np.append(margin[t], 0.0), np.append(error[t], 0.0)
            mine, theirs = int(winner[t]), int(self.after["winner"][t])
            lead = values[mine] - values[theirs]
            if not lead <= errors[mine] + errors[theirs]:
                self.out.violations.append(
                    f"winner image {self.image} step {t}: {theirs} instead of {mine}, {lead:.3g} ahead"
                )
            self.out.undecided += 1

    def _threshold(self, v_th: np.ndarray, exact: np.ndarray, which: np.ndarray) -> None:
        allowed = cut_range(self.spec.formats.v_th, self.g.dropped_v_th, exact)
        self.out.compare("v_th", self.image, v_th, exact, allowed, which, self.g.base_gap + FLOAT * exact)

    def _end(self) -> None:
        """Section 8."""
        spec, g, out, image = self.spec, self.g, self.out, self.image
        state = state_from(
            spec, self.weights[-1][None], theta=self.after["theta"][-1:], v_th=self.after["v_th"][-1:]
        )
        r = onset(state)
        r.learned = torch.from_numpy(self.learned[None])
        due = finish_image(constants_of([spec], state.weight), state, r)[0].numpy()
        due = np.broadcast_to(due, self.weights[-1].shape)
        exact, fixed = state.weight[0].numpy(), self.fixed.weight[image + 1]
        if due.any():
            # The reciprocal is cut to 16 fraction bits.
            total = np.maximum(self.weights[-1].sum(axis=0), spec.formats.weight.format.lsb)
            slack = self.weights[-1] * (2.0**-16 + g.weight_sum_gap / total) + g.w_max_gap + FLOAT * 4.0
            out.compare("weight", image, fixed, exact, cut_range(spec.formats.weight, 16, exact), due, slack)
        out.exact("weight", image, fixed, exact, ~due)
        theta, v_th = self.fixed.theta[image + 1], self.fixed.v_th[image + 1]
        everywhere = np.ones(theta.shape, bool)
        if spec.neuron.theta_forget == "none":
            out.exact("theta", image, theta, self.after["theta"][-1])
            out.exact("v_th", image, v_th, self.after["v_th"][-1])
            return
        fell = state.theta[0].numpy()
        if spec.neuron.theta_forget == "subtract":
            dropped, slack = g.dropped_theta, g.down_gap
        else:
            dropped, slack = 32, self.after["theta"][-1] * g.theta_factor_gap
        slack = slack + FLOAT * (fell + 1.0)
        out.compare(
            "theta", image, theta, fell, cut_range(spec.formats.theta, dropped, fell), everywhere, slack
        )
        self._threshold(v_th, state.v_th[0].numpy() + (theta - fell), everywhere)
