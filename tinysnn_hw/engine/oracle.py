"""The oracle: docs/numerics.md as a program, in Python integers, slow and plain.

It is written from that page alone and shares no arithmetic with the kernels; each docstring names the section
it carries out.  Sections 1, 2 and 4 are in `tinysnn_hw.engine.oracle_constants`,
section 3 is in `tinysnn_hw.engine.oracle_encode`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from tinysnn_hw.engine.oracle_constants import (
    BEFORE_TRAINING,
    INITIAL_WEIGHTS,
    ROUND_NORMALISED,
    ROUND_THETA,
    ROUND_V_MEM,
    ROUND_V_TH,
    ROUND_WEIGHT,
    ROUND_X_PRE,
    Constants,
    Phase,
    const,
    cut,
    draw,
    ends,
    fit,
    round_shift,
    times_power,
)
from tinysnn_hw.engine.oracle_encode import encode_image, encoding_tables, epoch_order
from tinysnn_hw.errors import DataError, SpecError
from tinysnn_hw.fixed.modes import Overflow
from tinysnn_hw.spec.network import NetworkSpec

__all__ = ["ImageTrace", "Oracle", "encode_image", "encoding_tables", "epoch_order"]

COUNTED = ("weight", "v_mem", "v_th", "theta", "x_pre")


@dataclass(slots=True)
class ImageTrace:
    """Every register at the end of every step of one image: ``v_mem[t][j]``, ``x_pre[t][i]``, ``winner[t]``.

    ``winner`` is -1 where no neuron fired; ``counts`` are the output spikes of each neuron.
    """

    counts: list[int]
    v_mem: list[list[int]] = field(default_factory=list)
    refractory_count: list[list[int]] = field(default_factory=list)
    v_th: list[list[int]] = field(default_factory=list)
    theta: list[list[int]] = field(default_factory=list)
    n_post: list[list[int]] = field(default_factory=list)
    n_window: list[list[int]] = field(default_factory=list)
    x_pre: list[list[int]] = field(default_factory=list)
    c_pre: list[list[int]] = field(default_factory=list)
    winner: list[int] = field(default_factory=list)


class Oracle:
    """One network and its state; `present` shows it one image.

    Parameters
    ----------
    spec : NetworkSpec
    seed : int
        Seed of every random word.

    Attributes
    ----------
    weight : list of list of int
        Raw ``weight[i][j]``.
    theta, v_th : list of int
        Raw, one per neuron.
    activity : dict of str to int
        ``input_spikes``, ``output_spikes``, ``updates`` (one per learner and window) and
        ``normalizations`` (one per column) since `clear_counts`.
    """

    def __init__(self, spec: NetworkSpec, seed: int) -> None:
        self.spec = spec
        self.seed = seed
        self.constants = Constants.of(spec)
        self.inputs, self.neurons = range(spec.network.inputs), range(spec.network.neurons)
        self.clear_counts()
        self._initial_state()
        self._onset()

    # Section 9 ---------------------------------------------------------------------------------------

    def clear_counts(self) -> None:
        """Start counting anew: ranges, saturations and activity."""
        self._ranges: dict[str, tuple[int, int]] = {}
        self._saturated = {register: [0, 0] for register in COUNTED}
        self.activity = dict.fromkeys(("input_spikes", "output_spikes", "updates", "normalizations"), 0)

    @property
    def stats(self) -> dict[str, list[int | None]]:
        """Section 9: register -> smallest and largest raw value written, writes saturated low and high."""
        none = (None, None)
        return {name: [*self._ranges.get(name, none), *self._saturated[name]] for name in COUNTED}

    @property
    def refused(self) -> list[str]:
        """Section 1: the registers with overflow ``error`` that left their range.

        Weights are clipped by their rules and never cut by their overflow mode, so they are never among them.
        """
        formats = self.spec.formats
        fatal = [register for register in COUNTED if getattr(formats, register).overflow is Overflow.ERROR]
        return [register for register in fatal if register != "weight" and any(self._saturated[register])]

    def _note(self, register: str, value: int, *, low: bool = False, high: bool = False) -> int:
        """Count the write of ``value`` and return it."""
        smallest, largest = self._ranges.get(register, (value, value))
        self._ranges[register] = (min(smallest, value), max(largest, value))
        self._saturated[register][0] += low
        self._saturated[register][1] += high
        return value

    # Section 5 ---------------------------------------------------------------------------------------

    def _initial_state(self) -> None:
        """Section 5, first paragraph."""
        c, learning, f_weight = self.constants, self.spec.learning, self.spec.formats.weight.format.frac_bits
        low = min(const(learning.w_init_low, f_weight), c.w_max)
        high = min(const(learning.w_init_high, f_weight), c.w_max + 1)
        span = max(high - low, 1)
        self.weight = [
            [low + (draw(self.seed, INITIAL_WEIGHTS, j, i) * span >> 32) for j in self.neurons]
            for i in self.inputs
        ]
        if c.weight_sum is not None:
            for j in self.neurons:
                self._normalise(j, BEFORE_TRAINING)
        self.theta = [0 for _ in self.neurons]
        self.v_th = [0 for _ in self.neurons]
        for j in self.neurons:
            self._set_v_th(j, BEFORE_TRAINING, 0)

    def _onset(self) -> None:
        """Section 5, last paragraph: what every image starts from."""
        self.v_mem = [0 for _ in self.neurons]
        self.refractory_count = [0 for _ in self.neurons]
        self.n_post = [0 for _ in self.neurons]
        self.n_window = [0 for _ in self.neurons]
        self.x_pre = [0 for _ in self.inputs]
        self.c_pre = [0 for _ in self.inputs]
        self.window_events = [0 for _ in self.inputs]
        self.learned: set[int] = set()

    # Section 6 ---------------------------------------------------------------------------------------

    def present(
        self,
        events: Sequence[Sequence[int]],
        *,
        phase: Phase,
        presentation: int,
        n_presentations: int | None = None,
    ) -> ImageTrace:
        """Show one image: section 6 for every step and, in training, section 8 at its end.

        Parameters
        ----------
        events : sequence of sequences of int
            The inputs that spike in each step; an input may occur more than once.
        phase : {"train", "label", "test"}
        presentation : int
            ``p`` of section 2.
        n_presentations : int, optional
            ``P`` of section 4; needed in training.

        Raises
        ------
        DataError
            Not one list of events per step, or an input that does not exist.
        SpecError
            Training without ``n_presentations``.
        """
        n_steps = self.spec.encoding.n_steps
        if len(events) != n_steps or any(i not in self.inputs for step in events for i in step):
            raise DataError(f"events: {len(events)} steps; give {n_steps}, inputs 0..{len(self.inputs) - 1}")
        if phase == "train" and n_presentations is None:
            raise SpecError("n_presentations is None; training needs it to place an image in the schedules")
        self.phase, self.p = phase, presentation
        self.training = phase == "train"
        self.piece = self.constants.piece(presentation, n_presentations) if n_presentations else 0
        self._onset()
        for weight in (w for row in self.weight for w in row):
            self._note("weight", weight)
        for j in self.neurons:
            self._note("v_th", self.v_th[j])
            self._note("v_mem", self.v_mem[j])
        for i in self.inputs if self.training else ():
            self._note("x_pre", self.x_pre[i])
        trace = ImageTrace(counts=[0 for _ in self.neurons])
        for t in range(n_steps):
            winner = self._step(t, events[t])
            if winner >= 0:
                trace.counts[winner] += 1
            self._record(trace, winner)
        if self.training:
            self._end_of_image(n_steps)
        return trace

    def _step(self, t: int, step_events: Sequence[int]) -> int:
        """Section 6, items 1 to 4; return the winner or -1."""
        self.activity["input_spikes"] += len(step_events)
        if self.training:
            self._trace(t, step_events)
        held = self._integrate(t, step_events)
        winner = self._fire(t, held)
        update_steps = self.spec.learning.update_steps
        if self.training and (t + 1) % update_steps == 0:
            self._learn((t + 1) // update_steps - 1)
        return winner

    def _trace(self, t: int, step_events: Sequence[int]) -> None:
        """Section 6, item 1."""
        register = self.spec.formats.x_pre
        for i in self.inputs:
            n = list(step_events).count(i)
            if self.spec.learning.trace == "window":
                self.window_events[i] += n
                continue
            wide = self.x_pre[i] * self.constants.trace_mul + times_power(n, register.format.frac_bits + 16)
            x = cut(wide, 16, register, (self.seed, ROUND_X_PRE, self.p, t, i))
            self.x_pre[i] = self._note("x_pre", x.value, low=x.low, high=x.high)

    def _integrate(self, t: int, step_events: Sequence[int]) -> list[bool]:
        """Section 6, item 2; return which neurons are held in this step."""
        c, formats, neuron = self.constants, self.spec.formats, self.spec.neuron
        register = formats.v_mem
        to_v_mem, to_weight = c.f_a - register.format.frac_bits, c.f_a - formats.weight.format.frac_bits
        held = [self.refractory_count[j] > 0 for j in self.neurons]
        for j in self.neurons:
            if held[j]:
                self.refractory_count[j] -= 1
                continue
            total = sum(self.weight[i][j] for i in step_events)
            wide = times_power(self.v_mem[j], to_v_mem) + times_power(total, to_weight)
            a = fit(wide, c.accumulator, register.overflow)
            match neuron.leak:
                case "none":
                    b, s = a, to_v_mem
                case "shift":
                    b, s = a - (a >> neuron.leak_shift), to_v_mem
                case "subtract":
                    b, s = (max(a - c.leak_sub, 0) if a >= 0 else min(a + c.leak_sub, 0)), to_v_mem
                case "multiply":
                    b, s = a * c.leak_mul, to_v_mem + 16
            v = cut(b, s, register, (self.seed, ROUND_V_MEM[self.phase], self.p, t, j))
            self.v_mem[j] = self._note("v_mem", v.value, high=wide > c.accumulator.raw_max or v.high)
        return held

    def _fire(self, t: int, held: list[bool]) -> int:
        """Section 6, item 3; return the winner or -1."""
        c, register = self.constants, self.spec.formats.v_mem
        f_v_mem, f_v_th = register.format.frac_bits, self.spec.formats.v_th.format.frac_bits
        winner, largest = -1, Fraction(-1)
        for j in self.neurons:
            margin = self.v_mem[j] / Fraction(2) ** f_v_mem - self.v_th[j] / Fraction(2) ** f_v_th
            if not held[j] and margin >= 0 and margin > largest:
                winner, largest = j, margin
        if winner < 0:
            return -1
        inhibition = c.inhibition_pieces[self.piece] if self.training else c.inhibition
        for j in self.neurons:
            if j == winner or held[j]:
                continue
            v = self.v_mem[j] - inhibition
            if c.v_floor is not None:
                v = max(v, c.v_floor)
            low = v < ends(register.format, register.overflow)[0]
            self.v_mem[j] = self._note("v_mem", fit(v, register.format, register.overflow), low=low)
        self.v_mem[winner] = self._note("v_mem", c.v_reset)
        self.refractory_count[winner] = self.spec.neuron.refractory
        self.activity["output_spikes"] += 1
        if self.training:
            self.n_post[winner] += 1
            self.n_window[winner] += 1
            self._grow_theta(winner, t)
            self._set_v_th(winner, self.p, t)
        return winner

    def _grow_theta(self, w: int, t: int) -> None:
        """Section 6, item 3: ``theta`` of the winner."""
        c, register = self.constants, self.spec.formats.theta
        s = c.f_t - register.format.frac_bits
        key = (self.seed, ROUND_THETA, self.p, t, w)
        theta = cut(times_power(self.theta[w], s) + c.plus, s, register, key)
        self.theta[w] = self._note("theta", min(theta.value, c.theta_clamp), low=theta.low, high=theta.high)

    def _set_v_th(self, j: int, p: int, t: int) -> None:
        """Section 6, item 3, last line: the effective threshold from ``base`` and ``theta``."""
        c, formats = self.constants, self.spec.formats
        wide = c.base + times_power(self.theta[j], c.f_t - formats.theta.format.frac_bits)
        key = (self.seed, ROUND_V_TH, p, t, j)
        v = cut(wide, c.f_t - formats.v_th.format.frac_bits, formats.v_th, key)
        self.v_th[j] = self._note("v_th", v.value, low=v.low, high=v.high)

    # Section 7 ---------------------------------------------------------------------------------------

    def _learn(self, u: int) -> None:
        """Section 7."""
        learning, c = self.spec.learning, self.constants
        if learning.trace == "window":
            self._window_trace(u)
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
        """Section 7, item 2."""
        if self.spec.learning.learners == "spikers":
            return [j for j in self.neurons if self.n_window[j] > 0]
        most = max(self.n_window)
        return [self.n_window.index(most)] if most > 0 else []

    def _update(self, i: int, j: int, k_e: int, u: int) -> None:
        """Section 7, item 4."""
        c, formats = self.constants, self.spec.formats
        f_x_pre = formats.x_pre.format.frac_bits
        x, w, s = self.x_pre[i], self.weight[i][j], f_x_pre + formats.eta.format.frac_bits
        if self.spec.learning.rule == "potentiate":
            n = times_power(w, s) + k_e * x * (c.w_max - w)
        else:
            n = times_power(w, s) + k_e * (x * c.w_max - times_power(w, f_x_pre))
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

    def _normalise(self, j: int, p: int) -> None:
        """Section 8, item 1, for column ``j``; before training nothing of it is counted (section 9)."""
        c = self.constants
        self.activity["normalizations"] += p != BEFORE_TRAINING
        total = sum(self.weight[i][j] for i in self.inputs)
        if total == 0 or c.weight_sum is None:
            return
        scale = (c.weight_sum * 65536) // total
        for i in self.inputs:
            key = (self.seed, ROUND_NORMALISED, p, 0, j, i)
            new = round_shift(self.weight[i][j] * scale, 16, self.spec.formats.weight, key)
            self.weight[i][j] = min(new, c.w_max)
            if p != BEFORE_TRAINING:
                self._note("weight", self.weight[i][j], high=new > c.w_max)

    def _record(self, trace: ImageTrace, winner: int) -> None:
        """Copy every register into the trace, at the end of a step."""
        for name in ("v_mem", "refractory_count", "v_th", "theta", "n_post", "n_window", "x_pre", "c_pre"):
            getattr(trace, name).append(list(getattr(self, name)))
        trace.winner.append(winner)
