"""A clock-driven machine written from docs/numerics.md whose memories and arithmetic count how often they are used.

It computes the network's bits, so that what it counts is what an implementation does, and is slow and plain.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from tinysnn_hw.engine.oracle_constants import (
    INITIAL_WEIGHTS,
    ROUND_NORMALISED,
    ROUND_THETA,
    ROUND_V_MEM,
    ROUND_V_TH,
    ROUND_WEIGHT,
    ROUND_X_PRE,
    Constants,
    const,
    draw,
    fit,
    round_shift,
    times_power,
)
from tinysnn_hw.fixed.modes import Rounding


class Memory:
    """An array that counts the words read and written."""

    def __init__(self, counts, name, size):
        self.counts, self.name, self.words = counts, name, [0] * size

    def __getitem__(self, at):
        self.counts[self.name, "read"] += 1
        return self.words[at]

    def __setitem__(self, at, value):
        self.counts[self.name, "write"] += 1
        self.words[at] = value


class Machine:
    """One network; `present` shows it an image as lists of events per step."""

    def __init__(self, spec, seed, phase):
        self.spec, self.seed, self.phase = spec, seed, phase
        self.training = phase == "train"
        self.c = Constants.of(spec)
        self.I, self.N = range(spec.network.inputs), range(spec.network.neurons)
        self.moved, self.done = Counter(), Counter()
        self.activity = Counter()
        n_inputs, n_neurons = len(self.I), len(self.N)
        self.weight = Memory(self.moved, "weight", n_inputs * n_neurons)
        for name in ("v_mem", "v_th", "theta", "refractory_count", "n_post", "n_window", "accumulator"):
            setattr(self, name, Memory(self.moved, name, n_neurons))
        for name in ("x_pre", "c_pre"):
            setattr(self, name, Memory(self.moved, name, n_inputs))
        self.lateral = 0
        self.start()
        self.moved.clear()
        self.done.clear()
        self.activity.clear()

    # Arithmetic that counts itself --------------------------------------------------------------------

    def add(self, a, b):
        self.done["add"] += 1
        return a + b

    def multiply(self, a, b):
        self.done["multiply"] += 1
        return a * b

    def smaller(self, a, b):
        self.done["compare"] += 1
        return min(a, b)

    def larger(self, a, b):
        self.done["compare"] += 1
        return max(a, b)

    def divide(self, a, b, quotient_bits):
        self.done["add"] += quotient_bits
        return a // b

    def round(self, n, s, register, *key):
        rules = getattr(self.spec.formats, register)
        if s > 0 and rules.rounding is not Rounding.FLOOR:
            self.done["add"] += 1
        if s > 0 and rules.rounding is Rounding.STOCHASTIC:
            self.done["random bit"] += min(s, rules.rand_bits)
        return round_shift(n, s, rules, (self.seed, *key))

    def cut(self, n, s, register, *key):
        rules = getattr(self.spec.formats, register)
        return fit(self.round(n, s, register, *key), rules.format, rules.overflow)

    def f(self, register):
        return getattr(self.spec.formats, register).format.frac_bits

    def at(self, i, j):
        return i * len(self.N) + j

    # Section 5 ----------------------------------------------------------------------------------------

    def start(self):
        learning, f = self.spec.learning, self.f("weight")
        low = min(const(learning.w_init_low, f), self.c.w_max)
        span = max(min(const(learning.w_init_high, f), self.c.w_max + 1) - low, 1)
        for i in self.I:
            for j in self.N:
                word = draw(self.seed, INITIAL_WEIGHTS, j, i)
                self.weight[self.at(i, j)] = low + (word * span >> 32)
        for j in self.N:
            if self.c.weight_sum is not None:
                self.normalize(j, 0xFFFFFFFF)
            self.v_th[j] = self.threshold(0, 0xFFFFFFFF, 0, j)

    def onset(self):
        names = ["v_mem", "refractory_count"]
        if self.training:
            names += ["n_window", "x_pre"]
            names += ["n_post"] if self.spec.learning.potentiation == "eq1" else []
            names += ["c_pre"] if self.spec.learning.trace == "window" else []
        for name in names:
            memory = getattr(self, name)
            for k in range(len(memory.words)):
                memory[k] = 0
        self.learned = set()

    # Section 6 ----------------------------------------------------------------------------------------

    def present(self, events, p, total):
        self.p = p
        self.piece = self.c.piece(p, total) if self.training else None
        self.onset()
        self.activity["images"] += 1
        winners = [self.step(t, step) for t, step in enumerate(events)]
        if self.training:
            self.end(len(events))
        return winners

    def step(self, t, events):
        for i in events:
            self.activity["input_spikes"] += 1
            self.moved["input_spikes", "write"] += 1
            self.moved["input_spikes", "read"] += 1
            for j in self.N:
                self.accumulator[j] = self.add(self.accumulator[j], self.weight[self.at(i, j)])
        if self.training:
            self.trace(t, events)
        held, winner, best, pending = [], -1, Fraction(-1), {}
        for j in self.N:
            v = self.integrate(t, j, held)
            margin = v / Fraction(2) ** self.f("v_mem") - self.v_th[j] / Fraction(2) ** self.f("v_th")
            self.done["add"] += 1  # the margin
            self.done["compare"] += 1  # with the best so far
            if not held[j] and margin >= 0 and margin > best:
                winner, best = j, margin
            pending[j] = v
        if winner >= 0:
            self.fire(t, winner, held)
        if self.training and (t + 1) % self.spec.learning.update_steps == 0:
            self.learn((t + 1) // self.spec.learning.update_steps - 1)
        return winner

    def integrate(self, t, j, held):
        neuron, c, f_v = self.spec.neuron, self.c, self.f("v_mem")
        count = self.refractory_count[j]
        held.append(count > 0)
        self.refractory_count[j] = max(self.add(count, -1), 0)
        v, total = self.v_mem[j], self.accumulator[j]
        self.accumulator[j] = 0
        a = self.add(times_power(v, c.f_a - f_v), times_power(total, c.f_a - self.f("weight")))
        a = fit(a, c.accumulator, self.spec.formats.v_mem.overflow)
        s = c.f_a - f_v
        if neuron.leak == "shift":
            a = self.add(a, -(a >> neuron.leak_shift))
        elif neuron.leak == "subtract":
            a = (
                self.larger(self.add(a, -c.leak_sub), 0)
                if a >= 0
                else self.smaller(self.add(a, c.leak_sub), 0)
            )
        elif neuron.leak == "multiply":
            a, s = self.multiply(a, c.leak_mul), s + 16
        new = self.cut(a, s, "v_mem", ROUND_V_MEM[self.phase], self.p, t, j)
        new = v if held[j] else new  # a held neuron keeps its potential; the datapath streams it all the same
        self.v_mem[j] = new
        return new

    def fire(self, t, winner, held):
        c, register = self.c, self.spec.formats.v_mem
        inhibition = c.inhibition if self.piece is None else c.inhibition_pieces[self.piece]
        self.moved["lateral", "read"] += self.lateral
        for j in self.N:
            v = self.v_mem[j]
            if j == winner:
                self.v_mem[j] = c.v_reset
                continue
            low = self.add(v, -inhibition)
            if c.v_floor is not None:
                low = self.larger(low, c.v_floor)
            self.v_mem[j] = v if held[j] else fit(low, register.format, register.overflow)
        self.refractory_count[winner] = self.spec.neuron.refractory
        self.activity["output_spikes"] += 1
        self.moved["output_spikes", "write"] += 1
        if not self.training:
            return
        if self.spec.learning.potentiation == "eq1":
            self.n_post[winner] = self.add(self.n_post[winner], 1)
        self.n_window[winner] = self.add(self.n_window[winner], 1)
        s = c.f_t - self.f("theta")
        wide = self.add(times_power(self.theta[winner], s), c.plus)
        theta = self.cut(wide, s, "theta", ROUND_THETA, self.p, t, winner)
        if self.spec.neuron.v_th_cap is not None:
            theta = self.smaller(theta, c.theta_clamp)
        self.theta[winner] = theta
        self.v_th[winner] = self.threshold(theta, self.p, t, winner)

    def threshold(self, theta, p, t, j):
        c = self.c
        wide = self.add(c.base, times_power(theta, c.f_t - self.f("theta")))
        return self.cut(wide, c.f_t - self.f("v_th"), "v_th", ROUND_V_TH, p, t, j)

    # Traces -------------------------------------------------------------------------------------------

    def trace(self, t, events):
        if self.spec.learning.trace == "window":
            top = self.spec.formats.c_pre.format.raw_max
            for i in events:
                self.c_pre[i] = min(self.add(self.c_pre[i], 1), top)
            return
        f = self.f("x_pre")
        for i in self.I:
            wide = self.multiply(self.x_pre[i], self.c.trace_mul)
            for _ in range(events.count(i)):
                wide = self.add(wide, 1 << (f + 16))
            self.x_pre[i] = self.cut(wide, 16, "x_pre", ROUND_X_PRE, self.p, t, i)

    # Section 7 ----------------------------------------------------------------------------------------

    def learn(self, u):
        learning, c = self.spec.learning, self.c
        if learning.trace == "window":
            for i in self.I:
                count = self.c_pre[i]
                x = self.round(self.multiply(count, c.x_scale[u]), 16, "x_pre", ROUND_X_PRE, self.p, u, i)
                self.x_pre[i] = self.smaller(x, c.x_one)
                self.c_pre[i] = count >> 1  # for the next window
        rate = c.eta[self.piece]
        if learning.potentiation == "eq1":
            most = 0
            for j in self.N:
                most = self.larger(most, self.n_post[j])
            bits = (-(-self.spec.encoding.n_steps // learning.n_th)).bit_length()
            rate = self.multiply(-self.divide(-most, learning.n_th, bits), rate)
        counts = []
        for j in self.N:
            counts.append(self.n_window[j])
            self.done["compare"] += 1
            self.n_window[j] = 0
        learners = [j for j in self.N if counts[j]]
        if learning.learners == "winner":
            learners = [counts.index(max(counts))] if learners else []
        for j in learners:
            self.learned.add(j)
            self.activity["updates"] += 1
            for i in self.I:
                self.weight[self.at(i, j)] = self.updated(self.weight[self.at(i, j)], i, j, rate, u)

    def updated(self, w, i, j, rate, u):
        c, f_x, x = self.c, self.f("x_pre"), self.x_pre[i]
        s = f_x + self.f("eta")
        if self.spec.learning.rule == "potentiate":
            change = self.multiply(self.multiply(x, self.add(c.w_max, -w)), rate)
        else:
            change = self.multiply(self.add(self.multiply(x, c.w_max), -(w << f_x)), rate)
        new = self.round(self.add(times_power(w, s), change), s, "weight", ROUND_WEIGHT, self.p, u, j, i)
        new = self.smaller(new, c.w_max)
        return new if self.spec.learning.rule == "potentiate" else self.larger(new, 0)

    # Section 8 ----------------------------------------------------------------------------------------

    def end(self, n_steps):
        c, forget = self.c, self.spec.neuron.theta_forget
        if c.weight_sum is not None:
            for j in sorted(self.learned):
                self.activity["normalizations"] += 1
                self.normalize(j, self.p)
        if forget == "none":
            return
        s = c.f_t - self.f("theta")
        for j in self.N:
            if forget == "subtract":
                wide, dropped = self.larger(self.add(times_power(self.theta[j], s), -c.down), 0), s
            else:
                wide, dropped = self.multiply(self.theta[j], c.theta_mul), 32
            theta = self.cut(wide, dropped, "theta", ROUND_THETA, self.p, n_steps, j)
            self.theta[j] = theta
            self.v_th[j] = self.threshold(theta, self.p, n_steps, j)

    def normalize(self, j, p):
        total = 0
        for i in self.I:
            total = self.add(total, self.weight[self.at(i, j)])
        if total == 0:
            return
        scale = self.divide(self.c.weight_sum * 65536, total, 17)
        for i in self.I:
            new = self.multiply(self.weight[self.at(i, j)], scale)
            new = self.round(new, 16, "weight", ROUND_NORMALISED, p, 0, j, i)
            self.weight[self.at(i, j)] = self.smaller(new, self.c.w_max)
