"""Learning of the oracle: docs/numerics.md, sections 7 and 8."""

from __future__ import annotations

from collections.abc import Sequence

from tinysnn_hw.engine.oracle_constants import (
    ROUND_DEPRESSED,
    ROUND_THETA,
    ROUND_WEIGHT,
    ROUND_X_PRE,
    cut,
    round_shift,
    times_power,
)
from tinysnn_hw.engine.oracle_state import OracleState


class OracleLearning(OracleState):
    """What changes weights and thresholds at the end of a window and of an image."""

    # Section 7 ---------------------------------------------------------------------------------------

    def _learn(self, u: int, step_events: Sequence[int]) -> None:
        """Section 7."""
        learning, c = self.spec.learning, self.constants
        if learning.trace == "window":
            self._window_trace(u)
        if learning.rule == "pairwise":
            self._depress(u, step_events)
        k = 1
        if learning.potentiation == "eq1":
            k = -(-max(self.n_post) // learning.n_th)
        for j in self._learners():
            self.learned.add(j)
            self.activity["updates"] += 1
            for i in self.inputs:
                self._update(i, j, k * c.eta[self.piece], u)
        self.n_window = [0 for _ in self.neurons]

    def _window_trace(self, u: int) -> None:
        """Section 7, item 1."""
        c, formats = self.constants, self.spec.formats
        for i in self.inputs:
            self.c_pre[i] = min((self.c_pre[i] >> 1) + self.window_events[i], formats.c_pre.format.raw_max)
            key = (self.seed, ROUND_X_PRE, self.p, u, i)
            x = round_shift(self.c_pre[i] * c.x_scale[u], 16, formats.x_pre, key)
            self.x_pre[i] = self._note("x_pre", min(x, c.x_one))
        self.window_events = [0 for _ in self.inputs]

    def _learners(self) -> list[int]:
        """Section 7, item 3."""
        if self.spec.learning.learners == "spikers":
            return [j for j in self.neurons if self.n_window[j] > 0 and self._essential(j)]
        most = max(self.n_window)
        return [self.n_window.index(most)] if most > 0 else []

    def _essential(self, j: int) -> bool:
        """Section 7, items 2 and 3: whether ``j`` has fired often enough; only pair-wise learning asks."""
        return self.n_post[j] >= self.spec.learning.n_essential

    def _depress(self, t: int, step_events: Sequence[int]) -> None:
        """Section 7, item 2, and ``depressions`` of section 9."""
        c, formats, soft = self.constants, self.spec.formats, self.spec.learning.soft_bounds
        assert formats.x_post is not None and formats.eta_pre is not None
        d = c.eta_pre[self.piece]
        s = formats.x_post.format.frac_bits + formats.eta_pre.format.frac_bits
        spiking = [i for i in self.inputs if i in step_events]
        self.activity["depressions"] += len(spiking) * sum(self._essential(j) for j in self.neurons)
        for i in spiking:
            for j in self.neurons:
                y, w = self.x_post[j], self.weight[i][j]
                if y == 0 or not self._essential(j):
                    continue
                n = times_power(w, s) - d * y * (w if soft else c.w_max)
                new = round_shift(n, s, formats.weight, (self.seed, ROUND_DEPRESSED, self.p, t, j, i))
                self.weight[i][j] = self._note(
                    "weight", max(0, min(new, c.w_max)), low=new < 0, high=new > c.w_max
                )

    def _update(self, i: int, j: int, k_e: int, u: int) -> None:
        """Section 7, item 5."""
        c, formats = self.constants, self.spec.formats
        f_x_pre = formats.x_pre.format.frac_bits
        x, w, s = self.x_pre[i], self.weight[i][j], f_x_pre + formats.eta.format.frac_bits
        if self.spec.learning.rule == "pairwise" and x == 0:
            return
        match self.spec.learning.rule:
            case "potentiate":
                n = times_power(w, s) + k_e * x * (c.w_max - w)
            case "attract":
                n = times_power(w, s) + k_e * (x * c.w_max - times_power(w, f_x_pre))
            case "pairwise":
                n = times_power(w, s) + k_e * x * (c.w_max - w if self.spec.learning.soft_bounds else c.w_max)
        new = round_shift(n, s, formats.weight, (self.seed, ROUND_WEIGHT, self.p, u, j, i))
        self.weight[i][j] = self._note("weight", max(0, min(new, c.w_max)), low=new < 0, high=new > c.w_max)

    # Section 8 ---------------------------------------------------------------------------------------

    def _end_of_image(self, n_steps: int) -> None:
        """Section 8."""
        c, register, forget = self.constants, self.spec.formats.theta, self.spec.neuron.theta_forget
        if c.weight_sum is not None:
            for j in sorted(self.learned):
                self._normalise(j, self.p)
        if forget == "none":
            return
        s = c.f_t - register.format.frac_bits
        for j in self.neurons:
            key = (self.seed, ROUND_THETA, self.p, n_steps, j)
            if forget == "subtract":
                theta = cut(max(times_power(self.theta[j], s) - c.down, 0), s, register, key)
            else:
                theta = cut(self.theta[j] * c.theta_mul, 32, register, key)
            self.theta[j] = self._note("theta", theta.value, low=theta.low, high=theta.high)
            self._set_v_th(j, self.p, n_steps)
