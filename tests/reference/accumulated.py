"""How far fixed point may be from real numbers after any number of steps: the bounds, and the check against them.

Let ``E_r`` bound ``|fixed - real|`` of register ``r``, both trained on the same events from the same words, as long as
the same neurons have won. Write ``u_r`` for the LSB, ``rho_r`` for the largest error of a cut (1 LSB, to nearest 1/2,
0 if no bits drop or if the number is 0 on both sides), ``g(c)`` for the distance of a constant from its fixed-point
value, ``~`` for fixed point, ``clip(E, ...)`` for the bound of a clipped value (`propagated.clipped`: never more than
``E`` or the gap of the bound, and nothing but that gap where both sides are sure to be clipped). Per statement of
docs/numerics.md:

- trace, `x_pre` and `x_post` alike: ``E_x = E_x d~ + |x| g(d) + rho_x``; a spike that sets a trace to 1 leaves
  ``g(1)``, one that adds 1 nothing; windowed: ``E_x = c g(1/full) + rho_x``, the counts ``c`` being equal.
- `v_inh`, ``b = v_inh + excitation`` or ``b = v_inh``: ``E_b = E_v_inh + g(excitation)``, then ``E_v_inh = E_b l~ +
  |b| g(l) + rho_v_inh``; fired ``g(v_reset)``, held unchanged. Two runs part here if ``|b l - v_th|`` is at most
  ``E_v_inh + g(v_th)``.
- inhibition, direct or by the layer: ``E_v = clip(E_v + g(inhibition), v_floor)``.
- integrate, ``a = v + I``: ``E_a = E_v + sum of E_w over the step's events``. Leak: none ``E_a``; shift
  ``(1 - 2**-s) E_a + u_a``, the second for the floor of ``a >> s``; multiply, from
  ``a~ L~ - a L = (a~ - a) L~ + a (L~ - L)``, ``E_a L~ + |a| g(L)``; subtract ``E_a + g(leak_step)``. Then ``+ rho_v``.
- fire: margins differ by at most ``E_v + E_vth``. Winner and held: ``E_v = g(v_reset)``. Winner:
  ``E_theta = clip(E_theta + g(plus) + rho_theta, theta_clamp)``, ``E_vth = E_theta + g(v_th) + rho_vth``.
- learn: the product of rate and trace ``p = c x`` has ``E_p = c~ E_x + x g(c)``; ``m = w_max``. Eq. 2 and soft bounds
  ``E_w |1 - p~| + E_p |m - w| + p~ g(m)``; soft depression the same with ``m = 0``; hard bounds
  ``E_w + E_p m~ + p g(m)`` both ways; attract see `propagated.attracted`. Then ``+ rho_w`` and ``clip(E_w, 0, m)``.
- normalise, ``S`` the column sum, ``E_S = sum of E_w``: `propagated.normalised`, ``+ rho_w``, ``clip(E_w, m)``. Where
  ``E_S`` reaches half of ``S`` the comparison ends.
- image end: subtract ``E_theta + g(down)``, multiply ``E_theta f~ + theta g(f)``, then ``rho_theta``; `v_th` as above.

The reference's own float64 sums add ``2**-50`` of the magnitudes involved.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tests.reference.cases import Case
from tests.reference.courses import Course
from tests.reference.grids import FLOAT, Grid, Rates, grid_of, largest_cut, one_gap, rates, scale_gap
from tests.reference.propagated import attracted, clipped, normalised, product, shifted, toward
from tinysnn_hw.reference import constants as real
from tinysnn_hw.spec.network import RegisterSpec

COUNTERS = ("refractory_count", "n_post", "n_window", "c_pre", "inhibitory_count")
STEPWISE = ("v_mem", "theta", "v_th", "x_pre", "x_post", "v_inh")


@dataclass
class Comparison:
    """Outcome: what was compared, and every violation found."""

    compared: Counter[str] = field(default_factory=Counter)
    """``steps``, ``spikes``, ``inhibitory spikes``, ``updates`` and ``depressions`` up to the end."""
    differs: bool = False
    """The runs part at a spike whose margin is within the bound."""
    ended: bool = False
    """The bound of a normalisation grew beyond all use."""
    largest: dict[str, float] = field(default_factory=dict)
    """Largest ``|fixed - real|`` of each register."""
    used: dict[str, list[float]] = field(default_factory=dict)
    """Of each comparison of a register with bounds of 2**-40 and more: the largest part of a bound that was used."""
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
        self.neurons = np.arange(case.spec.network.neurons)
        # Real values and bounds of every register, as far as the comparison has come.
        self.now = {name: getattr(ref, name)[0] for name in ("weight", "theta", "v_th")}
        self.e = {name: np.zeros(values.shape) for name, values in self.now.items()}
        # Words begin at up to w_max~; where that is above w_max the reference clips them once it learns.
        self.e["weight"] = np.maximum(self.now["weight"] - case.spec.learning.w_max, 0.0)
        self.now["weight"] = np.minimum(self.now["weight"], case.spec.learning.w_max)

    def run(self) -> Comparison:
        self._within("weight", (0,), self.fixed.weight[0], self.ref.weight[0])
        for image in range(self.case.raster.n_images):
            if not self._image(image):
                break
            for name in ("weight", "theta", "v_th"):
                self.now[name] = getattr(self.ref, name)[image + 1]
                self._within(name, (image + 1,), getattr(self.fixed, name)[image + 1], self.now[name])
            self.now["weight"] = np.minimum(self.now["weight"], self.spec.learning.w_max)
        return self.out

    def _within(self, name: str, place: tuple[int, ...], a: np.ndarray, b: np.ndarray) -> None:
        self._all_within(name, place, a[None], b[None], self.e[name][None])

    def _all_within(
        self, name: str, place: tuple[int, ...], a: np.ndarray, b: np.ndarray, bound: np.ndarray
    ) -> None:
        """Compare arrays whose first axis runs over steps."""
        distance = np.abs(a - b)
        self.out.largest[name] = max(self.out.largest.get(name, 0.0), float(distance.max()))
        if not (distance <= bound).all():
            step, *index = (int(i) for i in np.argwhere(~(distance <= bound))[0])
            off, allowed = distance[step][*index], bound[step][*index]
            self.out.violations.append(
                f"{name}{index} at {(*place, step)}: {off:.3g} off, bound {allowed:.3g}"
            )
        # Smaller ones are hardly more than what float64 sums are allowed.
        if (large := bound > 2.0**-40).any():
            used = (
                np.where(large, distance / np.where(large, bound, 1.0), -1.0)
                .reshape(len(bound), -1)
                .max(axis=1)
            )
            self.out.used.setdefault(name, []).extend(used[used >= 0.0].tolist())

    def _registers(self, image: int, bounds: dict[str, list[np.ndarray]]) -> None:
        """Compare the registers of the steps that ``bounds`` are given for."""
        for name in (*STEPWISE, *COUNTERS):
            if name in self.ref.registers and (n := len(bounds["v_mem"])):
                a, b = (course.registers[name][image, :n] for course in (self.fixed, self.ref))
                self._all_within(
                    name, (image,), a, b, np.array(bounds[name]) if name in bounds else np.zeros(a.shape)
                )

    def _image(self, image: int) -> bool:
        """Compare one image; return whether the next can be compared."""
        spec, ref = self.spec, self.ref.registers
        for name in ("v_mem", "x_pre", "x_post", "v_inh"):
            self.now[name] = np.zeros(spec.network.inputs if name == "x_pre" else len(self.neurons))
            self.e[name] = np.zeros_like(self.now[name])
        self.held, self.inhibitory_held = (np.zeros(len(self.neurons), bool) for _ in range(2))
        self.learned = np.zeros(len(self.neurons), bool)
        self.rates: Rates = rates(spec, image, self.case.n_presentations)
        bounds: dict[str, list[np.ndarray]] = {name: [] for name in STEPWISE}
        for t in range(spec.encoding.n_steps):
            self._traces(image, t)
            if (spec.inhibition.kind == "layer" and not self._layer(image, t)) or not self._fire(image, t):
                break
            if (t + 1) % spec.learning.update_steps == 0:
                self._learn(image, t)
            self.out.compared["steps"] += 1
            for name in STEPWISE:
                bounds[name].append(self.e[name].copy())
                if name in ref:
                    self.now[name] = ref[name][image, t]
        self._registers(image, bounds)
        return not self.out.differs and self._end(image)

    def _traces(self, image: int, t: int) -> None:
        """Section 6, item 1."""
        learning, formats = self.spec.learning, self.spec.formats
        if learning.trace == "exponential":
            self._decay("x_pre", formats.x_pre, t, 0.0 if learning.trace_mode == "set" else 8.0)
            if learning.trace_mode == "set":
                self.e["x_pre"][self.events[image, t] > 0.0] = one_gap(formats.x_pre)
        if formats.x_post is not None:
            self._decay("x_post", formats.x_post, t, 0.0)

    def _decay(self, name: str, register: RegisterSpec, t: int, gained: float) -> None:
        x, e = np.abs(self.now[name]), self.e[name]
        after = e * self.g.trace_factor + x * self.g.trace_gap + FLOAT * (x + gained) * (t + 1)
        self.e[name] = np.where((x == 0.0) & (e == 0.0), FLOAT * gained, after + largest_cut(register, 16))
        self.now[name] = self.now[name] * np.exp(-1.0 / self.spec.learning.tau_trace)

    def _inhibit(self, v: np.ndarray, which: np.ndarray) -> None:
        floor, strength = self.spec.neuron.v_floor, self.rates.inhibition
        value, e = clipped(
            v - strength,
            self.e["v_mem"] + self.rates.inhibition_gap + FLOAT * (np.abs(v) + strength),
            low=-np.inf if floor is None else floor,
            low_gap=self.g.v_floor_gap,
            high=np.inf,
            high_gap=0.0,
        )
        self.e["v_mem"] = np.where(which, e, self.e["v_mem"])
        self.now["v_mem"] = np.where(which, value, v)

    def _layer(self, image: int, t: int) -> bool:
        """Section 6, item 2; return whether the same inhibitory neuron fires."""
        g, layer, register, ref = self.g, self.spec.inhibitory, self.spec.formats.v_inh, self.ref.registers
        assert layer is not None and register is not None
        striking = ref["inhibitory_winner"][image, t - 1] if t else -1
        if striking >= 0:
            self._inhibit(self.now["v_mem"], ~self.held & (self.neurons != striking))
        excited = self.neurons == (ref["winner"][image, t - 1] if t else -1)
        b = self.now["v_inh"] + excited * layer.excitation
        e = (self.e["v_inh"] + excited * g.excitation_gap) * g.inhibitory_factor
        e = e + np.abs(b) * (g.inhibitory_factor_gap + FLOAT)
        e = np.where((b == 0.0) & (e == 0.0), 0.0, e + largest_cut(register, 16))
        mine, other = (int(c.registers["inhibitory_winner"][image, t]) for c in (self.ref, self.fixed))
        if mine != other:
            margin = np.abs(b * np.exp(-1.0 / layer.tau_mem) - layer.v_th)
            margin = np.where(self.inhibitory_held, np.inf, margin)
            for j in {mine, other} - {-1}:
                if not margin[j] <= e[j] + g.inhibitory_v_th_gap:
                    self.out.violations.append(
                        f"inhibitory_winner({image}, {t}): {other} instead of {mine}, {margin[j]:.3g} from threshold"
                    )
            self.out.differs = True
            return False
        self.e["v_inh"] = np.where(self.inhibitory_held, self.e["v_inh"], e)
        if mine >= 0:
            self.e["v_inh"][mine] = g.inhibitory_v_reset_gap
            self.out.compared["inhibitory spikes"] += 1
        self.inhibitory_held = ref["inhibitory_count"][image, t] > 0
        return True

    def _integrate(self, image: int, t: int) -> None:
        """Section 6, item 3."""
        g, layer = self.g, self.spec.inhibition.kind == "layer"
        n = self.events[image, t - layer] if t >= layer else np.zeros(self.events.shape[2])
        v, weight = self.now["v_mem"], self.now["weight"]
        size, e_a = np.abs(v) + n @ weight, self.e["v_mem"] + n @ self.e["weight"]
        e = e_a * g.leak_factor + np.abs(v + n @ weight) * g.leak_gap + g.leak_step_gap + g.accumulator
        e = e + largest_cut(self.spec.formats.v_mem, g.dropped_v_mem) + FLOAT * (size + 1.0)
        e = np.where((size == 0.0) & (e_a == 0.0), 0.0, e)
        self.e["v_mem"] = np.where(self.held, self.e["v_mem"], e)

    def _fire(self, image: int, t: int) -> bool:
        """Section 6, items 3 and 4; return whether the same neuron fires."""
        self._integrate(image, t)
        g, spec, ref = self.g, self.spec, self.ref.registers
        winner, other = int(ref["winner"][image, t]), int(self.fixed.registers["winner"][image, t])
        if winner != other:
            bound = np.append(self.e["v_mem"] + self.e["v_th"], 0.0)
            margin = np.append(ref["margin"][image, t], 0.0)
            lead = margin[winner] - margin[other]
            if not lead <= bound[winner] + bound[other]:
                self.out.violations.append(
                    f"winner({image}, {t}): {other} instead of {winner}, whose lead is {lead:.3g}; the bound is "
                    f"{bound[winner] + bound[other]:.3g}"
                )
            self.out.differs = True
            return False
        if winner >= 0:
            self.out.compared["spikes"] += 1
            if spec.inhibition.kind == "direct":
                v = np.where(self.held, 0.0, ref["margin"][image, t]) + self.now["v_th"]
                self._inhibit(v, ~self.held)
            self.e["v_mem"][winner] = g.v_reset_gap
            if spec.formats.x_post is not None and spec.learning.trace_mode == "set":
                self.e["x_post"][winner] = one_gap(spec.formats.x_post)
            theta = self.now["theta"][winner] + spec.neuron.theta_plus
            # A sum that did not change is on its grid.
            dropped = g.dropped_theta if spec.neuron.theta_plus else 0
            cut = largest_cut(spec.formats.theta, dropped) + FLOAT * (theta + 1.0)
            cap = np.inf if spec.neuron.v_th_cap is None else spec.neuron.v_th_cap - spec.neuron.v_th
            grown = self.e["theta"][winner] + g.plus_gap + cut
            _, e = clipped(theta, grown, low=-np.inf, low_gap=0.0, high=cap, high_gap=g.clamp_gap)
            self.e["theta"][winner] = e + FLOAT
            self._threshold(winner)
        self.held = ref["refractory_count"][image, t] > 0
        return True

    def _threshold(self, which: int | slice) -> None:
        cut = largest_cut(self.spec.formats.v_th, self.g.dropped_v_th)
        self.e["v_th"][which] = self.e["theta"][which] + self.g.base_gap + cut + FLOAT * 64.0

    def _learn(self, image: int, t: int) -> None:
        """Section 7."""
        spec, g, ref, r = self.spec, self.g, self.ref.registers, self.rates
        learning, formats = spec.learning, spec.formats
        u = (t + 1) // learning.update_steps - 1
        n_post, x = ref["n_post"][image, t], ref["x_pre"][image, t]
        if learning.trace == "window":
            self.e["x_pre"] = ref["c_pre"][image, t] * scale_gap(spec, u) + FLOAT
            self.e["x_pre"] = self.e["x_pre"] + largest_cut(formats.x_pre, 16)
        won = ref["winner"][image, t + 1 - learning.update_steps : t + 1]
        n_window = np.bincount(won[won >= 0], minlength=len(self.neurons))
        learners = n_window > 0
        if learning.learners == "winner":
            learners &= self.neurons == n_window.argmax()
        k, m, g_m = 1, learning.w_max, g.w_max_gap
        if learning.potentiation == "eq1":
            k = -(-int(n_post.max()) // learning.n_th)
        if learning.rule == "pairwise":
            essential = n_post >= learning.n_essential
            learners &= essential
            self._depress(image, t, essential)
        w, e_w, x, e_x = self.now["weight"], self.e["weight"], x[:, None], self.e["x_pre"][:, None]
        p, e_p = product(k * r.eta, k * r.eta_gap, x, e_x)
        if learning.rule == "attract":
            changed = attracted(w, e_w, k * r.eta, k * r.eta_gap, x, e_x, m, g_m)
        elif learning.rule == "pairwise" and not learning.soft_bounds:
            changed = shifted(w, e_w, p, e_p, m, g_m)
        else:
            changed = toward(w, e_w, p, e_p, m, g_m)
        # Without a trace pair-wise learning writes nothing, and Eq. 2 what was there; attract lets a weight fall.
        still = (p == 0.0) & (e_p == 0.0) & (learning.rule != "attract")
        self._write(*changed, learners & ~still, g.dropped_weight)
        self.now["weight"] = np.minimum(self.ref.weight_window[image, u], m)
        self.learned |= learners
        self.out.compared["updates"] += int(learners.sum())
        self._within(
            "weight", (image, u), self.fixed.weight_window[image, u], self.ref.weight_window[image, u]
        )

    def _depress(self, image: int, t: int, essential: np.ndarray) -> None:
        """Section 7, item 2."""
        learning, r, y, e_y = (
            self.spec.learning,
            self.rates,
            self.ref.registers["x_post"][image, t],
            self.e["x_post"],
        )
        w, e_w = self.now["weight"], self.e["weight"]
        p, e_p = product(r.eta_pre, r.eta_pre_gap, y, e_y)
        if learning.soft_bounds:
            changed = toward(w, e_w, p, e_p, 0.0, 0.0)
        else:
            changed = shifted(w, e_w, -p, e_p, learning.w_max, self.g.w_max_gap)
        due = (self.events[image, t][:, None] > 0.0) & essential & ((y > 0.0) | (e_y > 0.0))
        self._write(*changed, due, self.g.dropped_depressed)
        self.out.compared["depressions"] += int(due.sum())

    def _write(self, new: np.ndarray, e: np.ndarray, which: np.ndarray, dropped: int) -> None:
        """Cut new weights and clip them to 0..w_max."""
        e = e + largest_cut(self.spec.formats.weight, dropped) + FLOAT * (np.abs(new) + 8.0)
        m, g_m = self.spec.learning.w_max, self.g.w_max_gap
        value, e = clipped(new, e, low=0.0, low_gap=0.0, high=m, high_gap=g_m)
        self.e["weight"] = np.where(which, e + FLOAT, self.e["weight"])
        self.now["weight"] = np.where(which, value, self.now["weight"])

    def _end(self, image: int) -> bool:
        """Section 8; return whether columns can be compared any further."""
        spec, g = self.spec, self.g
        if spec.learning.weight_sum is not None and self.learned.any():
            w, e_w = self.now["weight"], self.e["weight"]
            total, e_total = w.sum(axis=0), e_w.sum(axis=0)
            if (self.learned & (total <= 2.0 * e_total)).any():
                self.out.ended = True
                return False
            # Columns that did not learn are left alone, also those of zeros.
            total, e_total = np.where(self.learned, total, 1.0), np.where(self.learned, e_total, 0.0)
            scaled = normalised(w, e_w, total, e_total, spec.learning.weight_sum, g.weight_sum_gap)
            self._write(*scaled, np.broadcast_to(self.learned, w.shape), 16)
        theta, register = self.now["theta"], spec.formats.theta
        rest = (theta == 0.0) & (self.e["theta"] == 0.0)
        e = self.e["theta"]
        if spec.neuron.theta_forget == "subtract":
            e = e + g.down_gap + largest_cut(register, g.dropped_theta)
        elif spec.neuron.theta_forget == "multiply":
            e = (
                e * (g.theta_factor + g.theta_factor_gap)
                + theta * g.theta_factor_gap
                + largest_cut(register, 32)
            )
        if spec.neuron.theta_forget != "none":
            self.e["theta"] = np.where(rest, 0.0, e + FLOAT * 64.0)
            self._threshold(slice(None))
        return True
