"""The state of the oracle: docs/numerics.md, sections 5 and 9, and the writes that several sections share."""

from __future__ import annotations

from collections.abc import Sequence

from tinysnn_hw.engine.oracle_constants import (
    BEFORE_TRAINING,
    INITIAL_WEIGHTS,
    ROUND_NORMALISED,
    ROUND_THETA,
    ROUND_V_TH,
    Constants,
    const,
    cut,
    draw,
    round_shift,
    times_power,
)
from tinysnn_hw.fixed.modes import Overflow
from tinysnn_hw.spec.network import NetworkSpec

COUNTED = ("weight", "v_mem", "v_th", "theta", "x_pre", "v_inh", "x_post")
COUNTED_EVENTS = (
    "input_spikes", "output_spikes", "updates", "normalizations", "inhibitory_spikes", "depressions"
)  # fmt: skip


class OracleState:
    """Registers, their counts, and how they start."""

    p: int
    piece: int
    training: bool

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
        self.activity = dict.fromkeys(COUNTED_EVENTS, 0)

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
        registers = {name: getattr(formats, name) for name in COUNTED}
        fatal = [
            name for name, register in registers.items() if register and register.overflow is Overflow.ERROR
        ]
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
        self.x_post = [0 for _ in self.neurons]
        self.v_inh = [0 for _ in self.neurons]
        self.inhibitory_count = [0 for _ in self.neurons]
        self.events_before: Sequence[int] = ()
        self.winner_before = self.inhibitory_before = -1

    # Shared by sections 5, 6 and 8 --------------------------------------------------------------------

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
