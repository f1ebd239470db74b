"""How far fixed point may be from real numbers after any number of steps: the bounds, and the check against them.

Let ``E_r`` bound ``|fixed - real|`` of register ``r``, both trained on the same events from the same words, as long as
the same neurons have won. Write ``u_r`` for the LSB, ``rho_r`` for the largest error of a cut (1 LSB, to nearest 1/2,
0 if no bits drop), ``g(c)`` for the distance of a constant from its fixed-point value, ``~`` for fixed point. Clamping
and comparing with a bound never increase a distance, so ``E`` passes through ``min`` and ``max`` but is then at least
the gap of the bound. Statement by statement of docs/numerics.md:

- integrate, ``a = v + I``: ``E_a = E_v + sum of E_w over the step's events``. Leak: none ``E_a``; shift
  ``(1 - 2**-s) E_a + u_a``, the second for the floor of ``a >> s``; multiply, from
  ``a~ L~ - a L = (a~ - a) L~ + a (L~ - L)``, ``E_a L~ + |a| g(L)``; subtract ``E_a + g(leak_step)``. Then the cut:
  ``+ rho_v``.
- fire: margins differ by at most ``E_v + E_vth``. Inhibited: ``E_v + g(inhibition)``, at least ``g(v_floor)`` at the
  floor; winner and held: ``g(v_reset)``. Winner: ``E_theta += g(plus) + rho_theta``, at the clamp its gap;
  ``E_vth = E_theta + g(v_th) + rho_vth``.
- trace: ``E_x = E_x d~ + |x| g(d) + rho_x``; windowed: ``E_x = c g(1/full) + rho_x``, the counts ``c`` being equal.
- learn, ``c = k eta``, ``c~ = k eta~``, ``m = w_max``: potentiate, ``w~ + c x~ (m~ - w~) - w - c x (m - w) =
  (w~ - w)(1 - c x~) + c (x~ - x)(m - w) + c x~ (m~ - m)``; attract
  ``(w~ - w)(1 - c) + c (x~ - x) m~ + c x (m~ - m)``; both with ``c~`` in place of ``c``, plus ``|c~ - c| |pull|`` and
  ``rho_w``.
- normalise, ``S`` the column sum, ``E_S = sum of E_w``:
  ``|s~ - s| <= 2**-16 + g(weight_sum)/S~ + weight_sum E_S/(S S~)`` with ``S~ >= S - E_S``;
  ``E_w = E_w s~ + w |s~ - s| + rho_w``. Where ``E_S`` reaches half of ``S`` the comparison ends.
- image end: subtract ``E_theta + g(down)``, multiply ``E_theta f~ + theta g(f)``, then ``rho_theta``; `v_th` as above.

The reference's own float64 sums add ``2**-50`` of the magnitudes involved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.reference.cases import Case
from tests.reference.courses import Course
from tests.reference.grids import FLOAT, Grid, grid_of, largest_cut, rates, scale_gap
from tinysnn_hw.reference import constants as real


@dataclass
class Comparison:
    """Outcome: what was compared, and every violation found."""

    steps: int = 0
    spikes: int = 0
    updates: int = 0
    differs: bool = False
    """The runs part at a spike whose margin is within the bound."""
    ended: bool = False
    """The bound of a normalisation grew beyond all use."""
    largest: dict[str, float] = field(default_factory=dict)
    """Largest ``|fixed - real|`` of each register."""
    violations: list[str] = field(default_factory=list)


def compare(case: Case, fixed: Course, ref: Course) -> Comparison:
    """Hold a fixed-point training against the reference's, up to the first spike that differs."""
    return _Comparer(case, fixed, ref).run()


class _Comparer:
    def __init__(self, case: Case, fixed: Course, ref: Course) -> None:
        self.case, self.fixed, self.ref, self.spec = case, fixed, ref, case.spec
        self.g: Grid = grid_of(case.spec)
        self.full = real.full_counts(case.spec)
        self.events = case.raster.to_dense(np.int64).astype(np.float64)
        self.out = Comparison()
        self.e_w = np.zeros(ref.weight[0].shape)
        self.e_theta, self.e_v_th = np.zeros(ref.theta[0].shape), np.zeros(ref.v_th[0].shape)

    def run(self) -> Comparison:
        self._within("weight", (0,), self.fixed.weight[0], self.ref.weight[0], self.e_w)
        for image in range(self.case.raster.n_images):
            if not self._image(image):
                break
            for name, bound in (("weight", self.e_w), ("theta", self.e_theta), ("v_th", self.e_v_th)):
                self._within(name, (image + 1,), getattr(self.fixed, name)[image + 1],
                             getattr(self.ref, name)[image + 1], bound)  # fmt: skip
        return self.out

    def _within(
        self, name: str, place: tuple[int, ...], a: np.ndarray, b: np.ndarray, bound: np.ndarray
    ) -> None:
        distance = np.abs(a - b)
        self.out.largest[name] = max(self.out.largest.get(name, 0.0), float(distance.max()))
        if not (distance <= bound).all():
            worst = float((distance - bound).max())
            self.out.violations.append(
                f"{name}{place}: {distance.max():.3g}, beyond its bound by {worst:.3g}"
            )

    def _image(self, image: int) -> bool:
        """Compare one image; return whether the next can be compared."""
        spec, g, ref = self.spec, self.g, self.ref.registers
        self.weight = self.ref.weight[image]
        self.v, self.held = np.zeros(self.e_theta.shape), np.zeros(self.e_theta.shape, bool)
        self.e_v, self.e_x = np.zeros_like(self.e_theta), np.zeros(spec.network.inputs)
        self.x, self.learned = np.zeros(spec.network.inputs), np.zeros(self.e_theta.shape, bool)
        eta, eta_gap, inhibition, inhibition_gap = rates(spec, image, self.case.n_presentations)
        self.eta, self.eta_gap, self.inhibition_gap = eta, eta_gap, inhibition_gap + FLOAT * inhibition
        for t in range(spec.encoding.n_steps):
            self._integrate(image, t)
            if not self._fire(image, t):
                return False
            if spec.learning.trace == "exponential":
                size = np.abs(self.x)
                self.e_x = (
                    self.e_x * g.trace_factor + size * g.trace_gap + largest_cut(spec.formats.x_pre, 16)
                )
                self.e_x += FLOAT * (size + 8.0) * (t + 1)
                self.x = ref["x_pre"][image, t]
            if (t + 1) % spec.learning.update_steps == 0:
                self._learn(image, t)
            self.out.steps += 1
            self._registers(image, t)
        return self._end(image)

    def _integrate(self, image: int, t: int) -> None:
        g, n = self.g, self.events[image, t]
        a = np.abs(self.v + n @ self.weight)
        size = np.abs(self.v) + n @ np.abs(self.weight)
        e = (self.e_v + n @ self.e_w) * g.leak_factor + a * g.leak_gap + g.leak_step_gap + g.accumulator
        e += largest_cut(self.spec.formats.v_mem, g.dropped_v_mem) + FLOAT * (size + 1.0)
        self.e_v = np.where(self.held, self.e_v, e)

    def _fire(self, image: int, t: int) -> bool:
        g, spec, ref = self.g, self.spec, self.ref.registers
        winner, other = int(ref["winner"][image, t]), int(self.fixed.registers["winner"][image, t])
        if winner != other:
            margin, bound = np.append(ref["margin"][image, t], 0.0), np.append(self.e_v + self.e_v_th, 0.0)
            lead = margin[winner] - margin[other]
            if not lead <= bound[winner] + bound[other]:
                self.out.violations.append(
                    f"winner({image}, {t}): {other} instead of {winner}, whose lead is {lead:.3g}; the bound is "
                    f"{bound[winner] + bound[other]:.3g}"
                )
            self.out.differs = True
            return False
        if winner >= 0:
            self.out.spikes += 1
            free = ~self.held
            self.e_v = np.where(free, np.maximum(self.e_v + self.inhibition_gap, g.v_floor_gap), self.e_v)
            self.e_v[winner] = g.v_reset_gap
            self.e_theta[winner] = max(
                self.e_theta[winner] + g.plus_gap + largest_cut(spec.formats.theta, g.dropped_theta),
                g.clamp_gap,
            ) + FLOAT * (self.ref.registers["theta"][image, t, winner] + 1.0)
            self._threshold(winner)
        self.v, self.held = ref["v_mem"][image, t], ref["refractory_count"][image, t] > 0
        return True

    def _threshold(self, which: int | slice) -> None:
        cut = largest_cut(self.spec.formats.v_th, self.g.dropped_v_th)
        self.e_v_th[which] = self.e_theta[which] + self.g.base_gap + cut + FLOAT * 64.0

    def _learn(self, image: int, t: int) -> None:
        spec, g, ref = self.spec, self.g, self.ref.registers
        u = (t + 1) // spec.learning.update_steps - 1
        if spec.learning.trace == "window":
            self.x = ref["x_pre"][image, t]
            self.e_x = (
                ref["c_pre"][image, t] * scale_gap(spec, u) + largest_cut(spec.formats.x_pre, 16) + FLOAT
            )
        won = ref["winner"][image, t + 1 - spec.learning.update_steps : t + 1]
        n_window = np.bincount(won[won >= 0], minlength=len(self.held))
        learners = n_window > 0
        if spec.learning.learners == "winner":
            learners &= np.arange(len(n_window)) == n_window.argmax()
        k = 1
        if spec.learning.potentiation == "eq1":
            k = -(-int(ref["n_post"][image, t].max()) // spec.learning.n_th)
        after = self.ref.weight_window[image, u]
        w, x, e_x = self.weight, self.x[:, None], self.e_x[:, None]
        c, m = k * (self.eta + self.eta_gap), spec.learning.w_max
        if spec.learning.rule == "attract":
            pull = x * m - w
            e = self.e_w * max(abs(1 - c), abs(1 - k * (self.eta - self.eta_gap)))
            e = e + c * e_x * (m + g.w_max_gap) + c * x * g.w_max_gap
        else:
            pull = x * (m - w)
            least = k * (self.eta - self.eta_gap) * np.maximum(x - e_x, 0.0)
            e = self.e_w * np.maximum(np.abs(1 - c * (x + e_x)), np.abs(1 - least))
            e = e + c * e_x * np.abs(m - w) + c * (x + e_x) * g.w_max_gap
        e = e + k * self.eta_gap * np.abs(pull) + largest_cut(spec.formats.weight, g.dropped_weight)
        e = np.maximum(e, g.w_max_gap) + FLOAT * (np.abs(w) + c * np.abs(pull) + 1.0)
        self.e_w = np.where(learners, e, self.e_w)
        self.weight = after
        self.learned |= learners
        self.out.updates += int(learners.sum())
        self._within("weight", (image, u), self.fixed.weight_window[image, u], after, self.e_w)

    def _registers(self, image: int, t: int) -> None:
        bounds = {"v_mem": self.e_v, "theta": self.e_theta, "v_th": self.e_v_th, "x_pre": self.e_x}
        bounds |= dict.fromkeys(("refractory_count", "n_post", "n_window", "c_pre"), np.float64(0.0))
        for name, bound in bounds.items():
            a, b = self.fixed.registers[name][image, t], self.ref.registers[name][image, t]
            self._within(name, (image, t), a, b, bound)

    def _end(self, image: int) -> bool:
        spec, g = self.spec, self.g
        if spec.learning.weight_sum is not None and self.learned.any():
            total, e_total = self.weight.sum(axis=0), self.e_w.sum(axis=0)
            if (self.learned & (total <= 2.0 * e_total)).any():
                self.out.ended = True
                return False
            target = spec.learning.weight_sum
            least = np.where(self.learned, total - e_total, 1.0)
            total = np.where(self.learned, total, 1.0)
            e_scale = 2.0**-16 + g.weight_sum_gap / least + target * e_total / (total * least)
            e = self.e_w * (target / total + e_scale) + self.weight * e_scale
            e = np.maximum(e + largest_cut(spec.formats.weight, 16), g.w_max_gap) + FLOAT * 8.0
            self.e_w = np.where(self.learned, e, self.e_w)
        if spec.neuron.theta_forget != "none":
            cut = FLOAT * 64.0
            if spec.neuron.theta_forget == "subtract":
                self.e_theta = self.e_theta + g.down_gap
                cut += largest_cut(spec.formats.theta, g.dropped_theta)
            else:
                theta = self.ref.registers["theta"][image, -1]
                self.e_theta = (
                    self.e_theta * (g.theta_factor + g.theta_factor_gap) + theta * g.theta_factor_gap
                )
                cut += largest_cut(spec.formats.theta, 32)
            self.e_theta = self.e_theta + cut
            self._threshold(slice(None))
        return True
