"""Every statement alone: the reference starts from the oracle's own registers, so only one cut lies between them.

After step ``t - 1`` of an image the oracle's words, read as real numbers, are given to the reference, which takes step
``t``; the oracle's words after ``t`` must then lie within the range of errors of the one cut that wrote them
(``floor``: above -1 LSB up to 0; to nearest: half an LSB to either side), widened by what its constants are off.
Nothing accumulates, so one LSB too many or too few shows wherever that range is narrower than 1 LSB. The steps of an
image are taken all at once, as a batch of networks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from tests.reference.cases import Case
from tests.reference.courses import Course
from tests.reference.grids import FLOAT, cut_range, grid_of, rates, scale_gap
from tinysnn_hw.reference import state_from
from tinysnn_hw.reference.constants import constants_of
from tinysnn_hw.reference.dynamics import Registers, drive, finish_image, learn_window, onset, step
from tinysnn_hw.reference.run import decayed_trace
from tinysnn_hw.reference.spikes import SpikeFeed
from tinysnn_hw.reference.state import ReferenceState
from tinysnn_hw.spec.network import RegisterSpec

UNUSED = (
    "x_pre", "c_pre", "learned", "spiked", "x_post", "v_inh", "inhibitory_held_until", "inhibitory_spiked",
)  # fmt: skip
"""Registers that a step of a network with direct inhibition does not read."""

Range = tuple[np.ndarray, np.ndarray]


@dataclass
class Residuals:
    """Outcome of the check.

    Attributes
    ----------
    writes : dict of str to int
        Compared words of each register.
    undecided : int
        Steps in which another neuron won, by less than its margin's own error; their words are left out.
    up, p_up : dict of str to list of array
        For cuts by stochastic rounding and nothing else: whether the word was rounded up, and the fraction that is
        the probability of it.
    """

    writes: dict[str, int] = field(default_factory=dict)
    undecided: int = 0
    up: dict[str, list[np.ndarray]] = field(default_factory=dict)
    p_up: dict[str, list[np.ndarray]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def check_steps(case: Case, fixed: Course) -> Residuals:
    """Check every write of a training."""
    out = Residuals()
    for image in range(case.raster.n_images):
        _Image(case, fixed, image, out).check()
    return out


class _Image:
    def __init__(self, case: Case, fixed: Course, image: int, out: Residuals) -> None:
        self.case, self.fixed, self.image, self.out, self.spec = case, fixed, image, out, case.spec
        self.g = grid_of(case.spec)
        self.n_steps, self.window = case.spec.encoding.n_steps, case.spec.learning.update_steps
        self.eta, self.eta_gap, self.inhibition, self.inhibition_gap = rates(
            case.spec, image, case.n_presentations
        )
        self.after = {name: values[image] for name, values in fixed.registers.items()}
        zero = {name: np.zeros_like(values[:1]) for name, values in self.after.items()}
        zero |= {"theta": fixed.theta[image][None], "v_th": fixed.v_th[image][None]}
        self.before = {name: np.concatenate([zero[name], self.after[name][:-1]]) for name in zero}
        # The weights of every window, and of the steps after the last one.
        self.weights = np.concatenate([fixed.weight[image][None], fixed.weight_window[image]])

    def check(self) -> None:
        self._steps()
        self._trace()
        for u in range(len(self.fixed.weight_window[self.image])):
            self._learn(u)
        self._end()

    def _compare(
        self,
        name: str,
        fixed: np.ndarray,
        exact: np.ndarray,
        allowed: Range,
        which: np.ndarray,
        slack: np.ndarray | float,
    ) -> None:
        """Note every word of ``which`` whose error lies outside ``allowed``, widened by ``slack``."""
        error, (low, high) = fixed - exact, allowed
        bad = which & ~((error >= low - slack) & (error <= high + slack))
        self.out.writes[name] = self.out.writes.get(name, 0) + int(which.sum())
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            self.out.violations.append(
                f"{name} image {self.image} {place}: {error[place]:.3g} off, allowed "
                f"{low[place]:.3g} to {high[place]:.3g}"
            )

    def _exact(
        self, name: str, fixed: np.ndarray, exact: np.ndarray, which: np.ndarray | bool = True
    ) -> None:
        zero = np.zeros(fixed.shape)
        self._compare(name, fixed, exact, (zero, zero), np.broadcast_to(which, fixed.shape), 0.0)

    def _rounded(self, name: str, register: RegisterSpec, dropped: int, fixed: np.ndarray, exact: np.ndarray,
                 which: np.ndarray) -> None:  # fmt: skip
        """Remember which way stochastic rounding went, where nothing but it was at work."""
        if register.rounding.name != "STOCHASTIC" or dropped <= 0:
            return
        scaled = exact[which] / register.format.lsb
        self.out.p_up.setdefault(name, []).append(scaled - np.floor(scaled))
        self.out.up.setdefault(name, []).append(fixed[which] / register.format.lsb - np.floor(scaled))

    def _steps(self) -> None:
        """Integrate, fire, threshold: section 6, items 2 and 3."""
        spec, g, before, after = self.spec, self.g, self.before, self.after
        n_steps = self.n_steps
        c = constants_of([spec] * n_steps, torch.zeros(1, dtype=torch.float64))
        events = self.case.raster.to_dense(np.int64)[self.image].astype(np.float64)
        window_of = np.minimum(np.arange(n_steps) // self.window, len(self.weights) - 1)
        current = np.einsum("ti,tij->tj", events, self.weights[window_of])
        times = torch.arange(n_steps, dtype=torch.float64)[:, None]
        state = ReferenceState(
            torch.zeros(n_steps, 1, 1), *(torch.from_numpy(before[n]) for n in ("theta", "v_th"))
        )
        r = Registers(
            v_mem=torch.from_numpy(before["v_mem"]),
            held_until=times - 1.0 + torch.from_numpy(before["refractory_count"]),
            n_post=torch.from_numpy(before["n_post"]),
            n_window=torch.from_numpy(before["n_window"]),
            **{name: torch.zeros(1) for name in UNUSED},
        )  # fmt: skip
        strength = torch.full((n_steps, 1), self.inhibition, dtype=torch.float64)
        driven = drive(c, torch.from_numpy(current)[:, None])[:, 0]
        fired = step(c, state, r, times, driven, strength, learn=True)
        winner = fired.winner[:, 0].numpy()
        size = np.abs(before["v_mem"]) + current
        slack = np.abs(before["v_mem"] + current) * g.leak_gap + g.leak_step_gap + FLOAT * (size + 1.0)
        free = fired.free.numpy() > 0.0
        margin = fired.margin.numpy()
        integrated = margin + before["v_th"]
        low, high = cut_range(spec.formats.v_mem, g.dropped_v_mem, integrated)
        # The shift leak subtracts a floor, so the sum before the cut is up to one accumulator LSB higher.
        high = high + g.accumulator
        same = winner == after["winner"]
        self._winners(winner, margin, np.maximum(high, -low) + slack, same)

        neurons = np.arange(spec.network.neurons)
        won = neurons == winner[:, None]
        fires = (winner >= 0)[:, None]
        slack = slack + fires * (self.inhibition_gap + g.v_floor_gap)
        v, exact = after["v_mem"], r.v_mem.numpy()
        rows = np.broadcast_to(same[:, None], v.shape)
        self._compare("v_mem", v, exact, (low, high), rows & free & ~won, slack)
        at_reset = np.full(v.shape, g.v_reset_gap)
        self._compare("v_mem", v, exact, (-at_reset, at_reset), rows & (won | ~free), FLOAT)
        count = (r.held_until - times).clamp(min=0.0).numpy()
        self._exact("refractory_count", after["refractory_count"], count, rows)
        self._exact("n_post", after["n_post"], r.n_post.numpy(), rows)
        ends = (np.arange(n_steps) + 1) % self.window == 0
        self._exact("n_window", after["n_window"], np.where(ends[:, None], 0.0, r.n_window.numpy()), rows)
        if not g.leak_gap and not g.accumulator and not g.leak_step_gap:
            self._rounded("v_mem", spec.formats.v_mem, g.dropped_v_mem, v, exact, rows & free & ~fires)

        theta, v_th = after["theta"], after["v_th"]
        allowed = cut_range(spec.formats.theta, g.dropped_theta, state.theta.numpy())
        grown = rows & won & (winner >= 0)[:, None]
        wide = g.plus_gap + g.clamp_gap + FLOAT * (state.theta.numpy() + 1.0)
        self._compare("theta", theta, state.theta.numpy(), allowed, grown, wide)
        self._exact("theta", theta, state.theta.numpy(), rows & ~grown)
        # Only the threshold's own cut is to show, so what theta's was off is taken over.
        self._threshold(v_th, state.v_th.numpy() + (theta - state.theta.numpy()), grown)
        self._exact("v_th", v_th, state.v_th.numpy(), rows & ~grown)

    def _winners(self, winner: np.ndarray, margin: np.ndarray, error: np.ndarray, same: np.ndarray) -> None:
        """Accept another winner only where its margin is that close."""
        for t in np.flatnonzero(~same):
            values, errors = np.append(margin[t], 0.0), np.append(error[t], 0.0)
            mine, other = int(winner[t]), int(self.after["winner"][t])
            lead = values[mine] - values[other]
            if not lead <= errors[mine] + errors[other]:
                self.out.violations.append(
                    f"winner image {self.image} step {t}: {other} instead of {mine}, {lead:.3g} ahead"
                )
            self.out.undecided += 1

    def _threshold(self, v_th: np.ndarray, exact: np.ndarray, which: np.ndarray) -> None:
        allowed = cut_range(self.spec.formats.v_th, self.g.dropped_v_th, exact)
        self._compare("v_th", v_th, exact, allowed, which, self.g.base_gap + FLOAT * exact)

    def _trace(self) -> None:
        """Traces: section 6, item 1; those of a window stand still between its ends."""
        within = ((np.arange(self.n_steps) + 1) % self.window != 0)[:, None]
        self._exact("c_pre", self.after["c_pre"], self.before["c_pre"], within)
        if self.spec.learning.trace == "window":
            self._exact("x_pre", self.after["x_pre"], self.before["x_pre"], within)
            return
        steps = [
            SpikeFeed((self.case.raster,), 1, torch.device("cpu")).window(self.image, t, t + 1)
            for t in range(self.n_steps)
        ]
        c = constants_of([self.spec], torch.zeros(1, dtype=torch.float64))
        before, after = self.before["x_pre"], self.after["x_pre"]
        exact = torch.cat(
            [
                decayed_trace(c, torch.from_numpy(x[None]), events, 1)
                for x, events in zip(before, steps, strict=True)
            ]
        )
        allowed = cut_range(self.spec.formats.x_pre, 16, exact.numpy())
        everywhere = np.ones(after.shape, bool)
        self._compare(
            "x_pre",
            after,
            exact.numpy(),
            allowed,
            everywhere,
            before * self.g.trace_gap + FLOAT * (exact.numpy() + 1.0),
        )
        if not self.g.trace_gap:
            self._rounded("x_pre", self.spec.formats.x_pre, 16, after, exact.numpy(), everywhere)

    def _learn(self, u: int) -> None:
        """Section 7, window ``u``."""
        spec, g = self.spec, self.g
        begin, end = u * self.window, (u + 1) * self.window
        won = self.after["winner"][begin:end]
        n_window = np.bincount(won[won >= 0], minlength=spec.network.neurons).astype(np.float64)
        state = state_from(spec, self.weights[u][None])
        r = onset(state)
        r.n_window, r.n_post = (
            torch.from_numpy(n_window[None]),
            torch.from_numpy(self.after["n_post"][end - 1][None]),
        )
        r.c_pre = torch.from_numpy(
            (self.after["c_pre"][begin - 1] if u else np.zeros(spec.network.inputs))[None]
        )
        events = SpikeFeed((self.case.raster,), 1, torch.device("cpu")).window(self.image, begin, end)
        eta = torch.tensor([[self.eta]], dtype=torch.float64)
        x = self.after["x_pre"][end - 1]
        if spec.learning.trace == "window":
            other = state.copy()
            learn_window(constants_of([spec], state.weight), other, windowed := replace(r), eta, events, u)
            counts, exact = self.after["c_pre"][end - 1], windowed.x_pre[0].numpy()
            self._exact("c_pre", counts, windowed.c_pre[0].numpy())
            wide = counts * scale_gap(spec, u) + FLOAT
            allowed = cut_range(spec.formats.x_pre, 16, exact)
            self._compare("x_pre", x, exact, allowed, np.ones(x.shape, bool), wide)
        # From here on the trace is a given word, as it is where it decays.
        learning = spec.learning.model_copy(update={"trace": "exponential"})
        c = constants_of([spec.model_copy(update={"learning": learning})], state.weight)
        r.x_pre = torch.from_numpy(x[None])
        learners = learn_window(c, state, r, eta, events, u)[0].numpy()
        n_post_max = int(self.after["n_post"][end - 1].max())
        k = -(-n_post_max // spec.learning.n_th) if spec.learning.potentiation == "eq1" else 1
        w, m, c_k = self.weights[u], spec.learning.w_max, k * self.eta
        pull = x[:, None] * m - w if spec.learning.rule == "attract" else x[:, None] * (m - w)
        slack = k * self.eta_gap * np.abs(pull) + g.w_max_gap * (1.0 + c_k * x[:, None])
        slack = slack + FLOAT * (np.abs(w) + c_k * np.abs(pull))
        exact, fixed = state.weight[0].numpy(), self.weights[u + 1]
        which = np.broadcast_to(learners, fixed.shape)
        allowed = cut_range(spec.formats.weight, g.dropped_weight, exact)
        self._compare("weight", fixed, exact, allowed, which, slack)
        self._exact("weight", fixed, exact, ~which)
        if self.eta_gap < FLOAT and not g.w_max_gap:
            inside = which & (exact > 0.0) & (exact < m)
            self._rounded("weight", spec.formats.weight, g.dropped_weight, fixed, exact, inside)

    def _end(self) -> None:
        """Section 8."""
        spec, g = self.spec, self.g
        state = state_from(
            spec, self.weights[-1][None], theta=self.after["theta"][-1:], v_th=self.after["v_th"][-1:]
        )
        c = constants_of([spec], state.weight)
        r = onset(state)
        learned = (self.weights[1:] != self.weights[:-1]).any(axis=(0, 1)) | self._learners()
        r.learned = torch.from_numpy(learned[None])
        due = np.broadcast_to(finish_image(c, state, r)[0].numpy(), self.weights[-1].shape)
        exact, fixed = state.weight[0].numpy(), self.fixed.weight[self.image + 1]
        if due.any():
            # The reciprocal is cut to 16 fraction bits.
            total = np.maximum(self.weights[-1].sum(axis=0), spec.formats.weight.format.lsb)
            slack = self.weights[-1] * (2.0**-16 + g.weight_sum_gap / total) + g.w_max_gap + FLOAT * 4.0
            self._compare("weight", fixed, exact, cut_range(spec.formats.weight, 16, exact), due, slack)
        self._exact("weight", fixed, exact, ~due)
        theta, v_th = self.fixed.theta[self.image + 1], self.fixed.v_th[self.image + 1]
        everywhere = np.ones(theta.shape, bool)
        if spec.neuron.theta_forget == "none":
            self._exact("theta", theta, self.after["theta"][-1])
            self._exact("v_th", v_th, self.after["v_th"][-1])
            return
        fell = state.theta[0].numpy()
        if spec.neuron.theta_forget == "subtract":
            dropped, slack = g.dropped_theta, g.down_gap
        else:
            dropped, slack = 32, self.after["theta"][-1] * g.theta_factor_gap
        self._compare(
            "theta",
            theta,
            fell,
            cut_range(spec.formats.theta, dropped, fell),
            everywhere,
            slack + FLOAT * (fell + 1.0),
        )
        self._threshold(v_th, state.v_th[0].numpy() + (theta - fell), everywhere)

    def _learners(self) -> np.ndarray:
        """Return which columns learned in this image, as the spikes say."""
        n_windows = len(self.weights) - 1
        learned = np.zeros(self.spec.network.neurons, bool)
        for won in self.after["winner"][: n_windows * self.window].reshape(n_windows, -1):
            n_window = np.bincount(won[won >= 0], minlength=len(learned))
            spiked = n_window > 0
            if self.spec.learning.learners == "winner":
                spiked &= np.arange(len(learned)) == n_window.argmax()
            learned |= spiked
        return learned
