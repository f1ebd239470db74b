"""The oracle: docs/numerics.md as a program, in Python integers, slow and plain.

It is written from that page alone and shares no arithmetic with the kernels; each docstring names the section
it carries out.  Here is section 6.  Sections 1, 2 and 4 are in `tinysnn_hw.engine.oracle_constants`,
section 3 is in `tinysnn_hw.engine.oracle_encode`, sections 5 and 9 in `tinysnn_hw.engine.oracle_state`, 7 and 8 in
`tinysnn_hw.engine.oracle_learning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from tinysnn_hw.engine.oracle_constants import (
    ROUND_V_INH,
    ROUND_V_MEM,
    ROUND_X_POST,
    ROUND_X_PRE,
    Phase,
    cut,
    ends,
    fit,
    times_power,
)
from tinysnn_hw.engine.oracle_encode import encode_image, encoding_tables, epoch_order
from tinysnn_hw.engine.oracle_learning import OracleLearning
from tinysnn_hw.errors import DataError, SpecError
from tinysnn_hw.spec.network import RegisterSpec

__all__ = ["ImageTrace", "Oracle", "encode_image", "encoding_tables", "epoch_order"]


@dataclass(slots=True)
class ImageTrace:
    """Every register at the end of every step of one image: ``v_mem[t][j]``, ``x_pre[t][i]``, ``winner[t]``.

    ``winner`` is -1 where no neuron fired, ``inhibitory_winner`` where no inhibitory one did; ``counts`` are the
    output spikes of each neuron.
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
    x_post: list[list[int]] = field(default_factory=list)
    v_inh: list[list[int]] = field(default_factory=list)
    inhibitory_count: list[list[int]] = field(default_factory=list)
    inhibitory_winner: list[int] = field(default_factory=list)


class Oracle(OracleLearning):
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
        ``input_spikes``, ``output_spikes``, ``updates`` (one per learner and window), ``normalizations`` (one per
        column), ``inhibitory_spikes`` and ``depressions`` since `clear_counts`.
    """

    phase: Phase

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
            if self.spec.formats.v_inh is not None:
                self._note("v_inh", self.v_inh[j])
            if self.training and self.spec.formats.x_post is not None:
                self._note("x_post", self.x_post[j])
        for i in self.inputs if self.training else ():
            self._note("x_pre", self.x_pre[i])
        trace = ImageTrace(counts=[0 for _ in self.neurons])
        for t in range(n_steps):
            winner = self._step(t, events[t])
            if winner >= 0:
                trace.counts[winner] += 1
            self._record(trace, winner)
            trace.inhibitory_winner.append(self.inhibitory_before)
        if self.training:
            self._end_of_image(n_steps)
        return trace

    def _step(self, t: int, step_events: Sequence[int]) -> int:
        """Section 6, items 1 to 5; return the winner or -1."""
        self.activity["input_spikes"] += len(step_events)
        layer = self.spec.inhibition.kind == "layer"
        if self.training:
            self._trace(t, step_events)
        inhibitory = self._inhibitory_layer(t) if layer else -1
        held = self._integrate(t, self.events_before if layer else step_events)
        winner = self._fire(t, held)
        update_steps = self.spec.learning.update_steps
        if self.training and (t + 1) % update_steps == 0:
            self._learn((t + 1) // update_steps - 1, step_events)
        self.events_before, self.winner_before, self.inhibitory_before = step_events, winner, inhibitory
        return winner

    def _trace(self, t: int, step_events: Sequence[int]) -> None:
        """Section 6, item 1."""
        register, learning = self.spec.formats.x_pre, self.spec.learning
        for i in self.inputs:
            n = list(step_events).count(i)
            if learning.trace == "window":
                self.window_events[i] += n
                continue
            if learning.trace_mode == "set" and n > 0:
                self.x_pre[i] = self._note("x_pre", self.constants.x_one)
                continue
            wide = self.x_pre[i] * self.constants.trace_mul + times_power(n, register.format.frac_bits + 16)
            x = cut(wide, 16, register, (self.seed, ROUND_X_PRE, self.p, t, i))
            self.x_pre[i] = self._note("x_pre", x.value, low=x.low, high=x.high)
        register_post = self.spec.formats.x_post
        for j in self.neurons if register_post is not None else ():
            assert register_post is not None
            key = (self.seed, ROUND_X_POST, self.p, t, j)
            y = cut(self.x_post[j] * self.constants.trace_mul, 16, register_post, key)
            self.x_post[j] = self._note("x_post", y.value, low=y.low, high=y.high)

    def _inhibitory_layer(self, t: int) -> int:
        """Section 6, item 2; return the inhibitory neuron that fires or -1."""
        c, register, layer = self.constants, self.spec.formats.v_inh, self.spec.inhibitory
        assert register is not None and layer is not None
        if self.inhibitory_before >= 0:
            held = [self.refractory_count[j] > 0 for j in self.neurons]
            self._inhibit([j for j in self.neurons if j != self.inhibitory_before and not held[j]])
        fired = -1
        for j in self.neurons:
            if self.inhibitory_count[j] > 0:
                self.inhibitory_count[j] -= 1
                continue
            b = self.v_inh[j] + (c.excitation if j == self.winner_before else 0)
            key = (self.seed, ROUND_V_INH[self.phase], self.p, t, j)
            v = cut(b * c.inhibitory_mul, 16, register, key)
            self.v_inh[j] = self._note("v_inh", v.value, low=v.low, high=v.high)
            if self.v_inh[j] >= c.inhibitory_v_th:
                if fired >= 0:
                    raise SpecError(
                        f"inhibitory neurons {fired} and {j} fire in one step; section 6 excludes that"
                    )
                fired = j
                self.v_inh[j] = self._note("v_inh", c.inhibitory_v_reset)
                self.inhibitory_count[j] = layer.refractory
                self.activity["inhibitory_spikes"] += 1
        return fired

    def _inhibit(self, neurons: Sequence[int]) -> None:
        """Section 6, items 2 and 4: lower the potentials of these neurons."""
        c, register = self.constants, self.spec.formats.v_mem
        inhibition = c.inhibition_pieces[self.piece] if self.training else c.inhibition
        for j in neurons:
            v = self.v_mem[j] - inhibition
            if c.v_floor is not None:
                v = max(v, c.v_floor)
            low = v < ends(register.format, register.overflow)[0]
            self.v_mem[j] = self._note("v_mem", fit(v, register.format, register.overflow), low=low)

    def _integrate(self, t: int, step_events: Sequence[int]) -> list[bool]:
        """Section 6, item 3; return which neurons are held in this step."""
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
        """Section 6, item 4; return the winner or -1."""
        c, register = self.constants, self.spec.formats.v_mem
        f_v_mem, f_v_th = register.format.frac_bits, self.spec.formats.v_th.format.frac_bits
        winner, largest = -1, Fraction(-1)
        for j in self.neurons:
            margin = self.v_mem[j] / Fraction(2) ** f_v_mem - self.v_th[j] / Fraction(2) ** f_v_th
            if not held[j] and margin >= 0 and margin > largest:
                winner, largest = j, margin
        if winner < 0:
            return -1
        if self.spec.inhibition.kind == "direct":
            self._inhibit([j for j in self.neurons if j != winner and not held[j]])
        self.v_mem[winner] = self._note("v_mem", c.v_reset)
        self.refractory_count[winner] = self.spec.neuron.refractory
        self.activity["output_spikes"] += 1
        if self.training:
            self.n_post[winner] += 1
            self.n_window[winner] += 1
            if self.spec.formats.x_post is not None:
                self._raise_x_post(winner, self.spec.formats.x_post)
            self._grow_theta(winner, t)
            self._set_v_th(winner, self.p, t)
        return winner

    def _raise_x_post(self, w: int, register: RegisterSpec) -> None:
        """Section 6, item 4: the post-synaptic trace of the winner."""
        if self.spec.learning.trace_mode == "set":
            self.x_post[w] = self._note("x_post", self.constants.y_one)
            return
        y = self.x_post[w] + times_power(1, register.format.frac_bits)
        high = y > ends(register.format, register.overflow)[1]
        self.x_post[w] = self._note("x_post", fit(y, register.format, register.overflow), high=high)

    def _record(self, trace: ImageTrace, winner: int) -> None:
        """Copy every register into the trace, at the end of a step."""
        for name in (
            "v_mem", "refractory_count", "v_th", "theta", "n_post", "n_window", "x_pre", "c_pre",
            "x_post", "v_inh", "inhibitory_count",
        ):  # fmt: skip
            getattr(trace, name).append(list(getattr(self, name)))
        trace.winner.append(winner)
