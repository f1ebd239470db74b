"""A clock-driven machine written from docs/numerics.md whose memories and arithmetic count how often they are used.

It computes the network's bits, so that what it counts is what an implementation does, and is slow and plain.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from tests.cost.counted import CountedArithmetic, Memory
from tinysnn_hw.engine.oracle_constants import (
    INITIAL_WEIGHTS,
    ROUND_DEPRESSED,
    ROUND_NORMALISED,
    ROUND_THETA,
    ROUND_V_INH,
    ROUND_V_MEM,
    ROUND_V_TH,
    ROUND_WEIGHT,
    ROUND_X_POST,
    ROUND_X_PRE,
    Constants,
    const,
    draw,
    fit,
    times_power,
)


class Machine(CountedArithmetic):
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
        for name in (
            "v_mem", "v_th", "theta", "refractory_count", "n_post", "n_window", "accumulator", "x_post", "v_inh",
            "inhibitory_count", "v_th_inh",
        ):  # fmt: skip
            setattr(self, name, Memory(self.moved, name, n_neurons))
        for name in ("x_pre", "c_pre"):
            setattr(self, name, Memory(self.moved, name, n_inputs))
        self.layer = spec.inhibition.kind == "layer"
        self.pairwise = spec.learning.rule == "pairwise"
        self.lateral = self.excitation = 0
        self.lost = 0
        self.v_th_inh.words = [self.c.inhibitory_v_th] * n_neurons
        self.start()
        self.moved.clear()
        self.done.clear()
        self.activity.clear()

    # Arithmetic that counts itself --------------------------------------------------------------------

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
        learning = self.spec.learning
        names = ["v_mem", "refractory_count"]
        names += ["v_inh", "inhibitory_count"] if self.layer else []
        if self.training:
            names += ["x_pre", "x_post" if self.pairwise else "n_window"]
            names += ["n_post"] if learning.potentiation == "eq1" or learning.n_essential else []
            names += ["c_pre"] if self.spec.learning.trace == "window" else []
        for name in names:
            memory = getattr(self, name)
            for k in range(len(memory.words)):
                memory[k] = 0
        self.learned = set()
        self.essential = [learning.n_essential == 0] * len(self.N)
        self.before = ([], -1, -1)  # events, winner and inhibitory neuron of the last step

    # Section 6 ----------------------------------------------------------------------------------------

    def present(self, events, p, total):
        self.p = p
        self.piece = self.c.piece(p, total) if self.training else None
        self.onset()
        self.activity["images"] += 1
        winners = [self.step(t, step) for t, step in enumerate(events)]
        if self.layer:
            self.lost += len(self.before[0]) + (self.before[1] >= 0) + (self.before[2] >= 0)
        if self.training:
            self.end(len(events))
        return winners

    def step(self, t, events):
        for _ in events:
            self.activity["input_spikes"] += 1
            self.moved["input_spikes", "write"] += 1
        if self.training:
            self.moved["input_spikes", "read"] += len(events) * self.layer
            self.trace(t, events)
        sender = self.inhibitory_layer(t) if self.layer else -1
        for i in self.before[0] if self.layer else events:
            self.moved["input_spikes", "read"] += 1
            for j in self.N:
                self.accumulator[j] = self.add(self.accumulator[j], self.weight[self.at(i, j)])
        held, winner, best = [], -1, Fraction(-1)
        for j in self.N:
            v = self.integrate(t, j, held)
            margin = v / Fraction(2) ** self.f("v_mem") - self.v_th[j] / Fraction(2) ** self.f("v_th")
            self.done["add"] += 1  # the margin
            self.done["compare"] += 1  # with the best so far
            if not held[j] and margin >= 0 and margin > best:
                winner, best = j, margin
        if winner >= 0:
            self.fire(t, winner, held)
        self.before = (events, winner, sender)
        if self.training and (t + 1) % self.spec.learning.update_steps == 0:
            self.learn((t + 1) // self.spec.learning.update_steps - 1, events, winner)
        return winner

    def inhibitory_layer(self, t):
        _, spiked, inhibits = self.before
        c, sender = self.c, -1
        if inhibits >= 0:
            self.inhibit(inhibits, [count > 0 for count in self.refractory_count.words])
        if spiked >= 0:
            self.moved["excitation", "read"] += self.excitation
        for j in self.N:
            count, v, threshold = self.inhibitory_count[j], self.v_inh[j], self.v_th_inh[j]
            left = max(self.add(count, -1), 0)
            b = self.add(v, c.excitation) if j == spiked else v
            new = self.cut(
                self.multiply(b, c.inhibitory_mul), 16, "v_inh", ROUND_V_INH[self.phase], self.p, t, j
            )
            self.done["compare"] += 1
            if count > 0:
                new = v
            elif new >= threshold:
                sender, new, left = j, c.inhibitory_v_reset, self.spec.inhibitory.refractory
                self.activity["inhibitory_spikes"] += 1
            self.v_inh[j], self.inhibitory_count[j] = new, left
        return sender

    def inhibit(self, sender, held):
        c, register = self.c, self.spec.formats.v_mem
        inhibition = c.inhibition if self.piece is None else c.inhibition_pieces[self.piece]
        self.moved["lateral", "read"] += self.lateral
        for j in self.N:
            v = self.v_mem[j]
            if j == sender:
                self.v_mem[j] = v if self.layer else c.v_reset
                continue
            low = self.add(v, -inhibition)
            if c.v_floor is not None:
                low = self.larger(low, c.v_floor)
            self.v_mem[j] = v if held[j] else fit(low, register.format, register.overflow)

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
        c, learning = self.c, self.spec.learning
        if self.layer:
            self.v_mem[winner] = c.v_reset
        else:
            self.inhibit(winner, held)
        self.refractory_count[winner] = self.spec.neuron.refractory
        self.activity["output_spikes"] += 1
        self.moved["output_spikes", "write"] += 1
        if not self.training:
            return
        if learning.n_essential:
            self.n_post[winner] = self.add(self.n_post[winner], 1)
            self.done["compare"] += 1
            self.essential[winner] = self.n_post.words[winner] >= learning.n_essential
        if self.pairwise and learning.trace_mode == "set":
            self.x_post[winner] = c.y_one
        elif self.pairwise:
            register = self.spec.formats.x_post
            raised = self.add(self.x_post[winner], 1 << self.f("x_post"))
            self.x_post[winner] = fit(raised, register.format, register.overflow)
        if self.spec.learning.potentiation == "eq1":
            self.n_post[winner] = self.add(self.n_post[winner], 1)
        if not self.pairwise:
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
            for _ in range(events.count(i) if self.spec.learning.trace_mode == "add" else 0):
                wide = self.add(wide, 1 << (f + 16))
            x = self.cut(wide, 16, "x_pre", ROUND_X_PRE, self.p, t, i)
            self.x_pre[i] = self.c.x_one if self.spec.learning.trace_mode == "set" and i in events else x
        for j in self.N if self.pairwise else ():
            wide = self.multiply(self.x_post[j], self.c.trace_mul)
            self.x_post[j] = self.cut(wide, 16, "x_post", ROUND_X_POST, self.p, t, j)

    # Section 7 ----------------------------------------------------------------------------------------

    def learn(self, u, events, winner):
        learning, c = self.spec.learning, self.c
        if self.pairwise:
            self.depress(u, set(events))
            if winner >= 0 and self.essential[winner]:
                self.update(winner, c.eta[self.piece], u)
            return
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
            self.update(j, rate, u)

    def update(self, j, rate, u):
        self.learned.add(j)
        self.activity["updates"] += 1
        for i in self.I:
            self.weight[self.at(i, j)] = self.updated(self.weight[self.at(i, j)], i, j, rate, u)

    def depress(self, t, inputs):
        c, s = self.c, self.f("x_post") + self.f("eta_pre")
        for i in inputs:
            for j in self.N:
                if not self.essential[j]:
                    continue
                self.activity["depressions"] += 1
                w, y = self.weight[self.at(i, j)], self.x_post[j]
                change = self.multiply(y, w if self.spec.learning.soft_bounds else c.w_max)
                change = self.multiply(change, c.eta_pre[self.piece])
                n = self.add(times_power(w, s), -change)
                new = self.round(n, s, "weight", ROUND_DEPRESSED, self.p, t, j, i)
                self.weight[self.at(i, j)] = self.larger(new, 0)

    def updated(self, w, i, j, rate, u):
        c, f_x, x = self.c, self.f("x_pre"), self.x_pre[i]
        s = f_x + self.f("eta")
        rule = self.spec.learning.rule
        if rule == "potentiate" or self.spec.learning.soft_bounds:
            change = self.multiply(self.multiply(x, self.add(c.w_max, -w)), rate)
        elif rule == "pairwise":
            change = self.multiply(self.multiply(x, c.w_max), rate)
        else:
            change = self.multiply(self.add(self.multiply(x, c.w_max), -(w << f_x)), rate)
        new = self.round(self.add(times_power(w, s), change), s, "weight", ROUND_WEIGHT, self.p, u, j, i)
        new = self.smaller(new, c.w_max)
        return self.larger(new, 0) if rule == "attract" else new

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
