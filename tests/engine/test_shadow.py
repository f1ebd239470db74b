"""Shadow weights: a model in plain Python, written from docs/quantization.md, and what shadows tend to."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from tinysnn_hw.data import Raster, load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import initial_float_state, lower, open_session
from tinysnn_hw.engine.schedule import eta_pre_values, eta_values, full_counts, inhibition_values
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning import evaluate, load_model, save_model, train
from tinysnn_hw.spec import NetworkSpec, load_network

SEED = 11
N_IMAGES = 6
M32 = 0xFFFFFFFF


def mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D & M32
    x ^= x >> 15
    x = x * 0x846CA68B & M32
    return x ^ x >> 16


def draw(purpose: int, *words: int) -> int:
    h = mix(SEED + purpose * 0x9E3779B9 & M32)
    for word in words:
        h = mix(h ^ word)
    return h


class Plain:
    """One shadow network with direct inhibition, image by image."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec
        n, m = spec.network.neurons, spec.network.inputs
        low, high = spec.learning.w_init_low, spec.learning.w_init_high
        self.master = [[low + (high - low) * (draw(7, j, i) / 2**32) for j in range(n)] for i in range(m)]
        self.weight = [[0.0] * n for _ in range(m)]
        self.theta = [0.0] * n
        for j in range(n):
            if spec.learning.weight_sum:
                self.normalize(j)
            for i in range(m):
                self.use(i, j, draw(21, M32, 0, j, i))

    def use(self, i: int, j: int, word: int) -> None:
        register = self.spec.formats.weight
        f, mode = register.format.frac_bits, register.rounding.text
        exact = Fraction(self.master[i][j]) * 2**f
        raw = math.floor(exact)
        part = exact - raw
        if mode == "stochastic":
            b = register.rand_bits
            raw += math.floor(part * 2**b) + (word >> (32 - b)) >= 2**b
        elif mode == "nearest":
            raw += part >= Fraction(1, 2)
        else:
            assert mode == "floor"
        top = min(
            math.floor(Fraction(self.spec.learning.w_max) * 2**f + Fraction(1, 2)), register.format.raw_max
        )
        self.weight[i][j] = min(raw, top) / 2**f

    def normalize(self, j: int) -> None:
        total = 0.0
        for row in self.master:
            total += row[j]
        if total > 0.0:
            for row in self.master:
                row[j] = min(row[j] * (self.spec.learning.weight_sum / total), self.spec.learning.w_max)

    def show(self, p: int, events: list[list[int]]) -> list[int]:
        spec, neuron, learning = self.spec, self.spec.neuron, self.spec.learning
        n, m = spec.network.neurons, spec.network.inputs
        piece = p * learning.schedule_pieces // N_IMAGES
        eta, inhibition = eta_values(learning)[piece], inhibition_values(spec)[piece]
        eta_pre = eta_pre_values(learning)[piece]
        pairwise, soft = learning.rule == "pairwise", learning.soft_bounds
        fade = math.exp(-1.0 / learning.tau_trace)
        v, x, y, c = [0.0] * n, [0.0] * m, [0.0] * n, [0] * m
        free, counts, window, learned, seen = [0] * n, [0] * n, [0] * n, set(), []
        for t, now in enumerate(events):
            seen += now
            total = [0.0] * n
            for i in now:
                for j in range(n):
                    total[j] += self.weight[i][j]
            if learning.trace == "exponential":
                x = [value * fade for value in x]
                for i in now:
                    x[i] = 1.0 if learning.trace_mode == "set" else x[i] + 1.0
            y = [value * fade for value in y]
            best, winner = -1.0, -1
            for j in range(n):
                v[j] = (v[j] + total[j]) * (1.0 - 2.0**-neuron.leak_shift) if t >= free[j] else neuron.v_reset
                margin = v[j] - (neuron.v_th + self.theta[j])
                if t >= free[j] and margin >= 0.0 and margin > best:
                    best, winner = margin, j
            if winner >= 0:
                for j in range(n):
                    if t >= free[j]:
                        v[j] = max(v[j] - inhibition, neuron.v_floor)
                v[winner], free[winner] = neuron.v_reset, t + neuron.refractory + 1
                counts[winner] += 1
                window[winner] += 1
                y[winner] = 1.0 if learning.trace_mode == "set" else y[winner] + 1.0
                self.theta[winner] = min(
                    self.theta[winner] + neuron.theta_plus, neuron.v_th_cap - neuron.v_th
                )
            if pairwise:
                for i in dict.fromkeys(now):
                    for j in range(n):
                        if counts[j] and counts[j] >= learning.n_essential:
                            w = self.weight[i][j] if soft else learning.w_max
                            self.master[i][j] = max(self.master[i][j] - eta_pre * y[j] * w, 0.0)
                            self.use(i, j, draw(24, p, t, j, i))
                if winner >= 0 and counts[winner] >= learning.n_essential:
                    learned.add(winner)
                    for i in range(m):
                        if x[i] > 0.0:
                            w = learning.w_max - (self.weight[i][winner] if soft else 0.0)
                            self.master[i][winner] = min(
                                self.master[i][winner] + eta * x[i] * w, learning.w_max
                            )
                            self.use(i, winner, draw(16, p, t, winner, i))
            elif (t + 1) % learning.update_steps == 0:
                u = (t + 1) // learning.update_steps - 1
                if learning.trace == "window":
                    c = [(count >> 1) + seen.count(i) for i, count in enumerate(c)]
                    x = [min(count / full_counts(spec)[u], 1.0) for count in c]
                    seen = []
                rate = eta * (math.ceil(max(counts) / learning.n_th) if learning.potentiation == "eq1" else 1)
                most = max(range(n), key=lambda j: (window[j], -j))
                for j in [most] if learning.learners == "winner" else range(n):
                    if window[j]:
                        learned.add(j)
                        for i in range(m):
                            w = self.weight[i][j]
                            pull = (x[i] * learning.w_max - w if learning.rule == "attract"
                                    else x[i] * (learning.w_max - w))  # fmt: skip
                            moved = self.master[i][j] + rate * pull
                            self.master[i][j] = min(max(moved, 0.0), learning.w_max)
                            self.use(i, j, draw(16, p, u, j, i))
                window = [0] * n
        if learning.weight_sum:
            for j in learned:
                self.normalize(j)
                for i in range(m):
                    self.use(i, j, draw(21, p, 0, j, i))
        if neuron.theta_forget == "subtract":
            down = neuron.theta_plus * neuron.theta_forget_spikes / n
            self.theta = [max(value - down, 0.0) for value in self.theta]
        return counts


PAIRWISE = {
    "learning.rule": "pairwise", "learning.update_steps": 1, "learning.learners": "spikers",
    "learning.potentiation": "constant", "learning.trace": "exponential", "learning.trace_mode": "set",
    "learning.eta_pre_start": 0.02, "learning.eta_pre_end": 0.01, "learning.eta_start": 0.1,
    "formats.x_post": {"format": "u1.8"}, "formats.eta_pre": {"format": "u0.16"},
}  # fmt: skip
VARIANTS = {
    "attract": {"learning.potentiation": "eq1"},
    "potentiate": {
        "learning.rule": "potentiate",
        "learning.learners": "spikers",
        "learning.weight_sum": 12.0,
    },
    "exponential": {
        "learning.rule": "potentiate",
        "learning.trace": "exponential",
        "learning.update_steps": 50,
    },
    "pairwise": PAIRWISE | {"learning.soft_bounds": True, "learning.weight_sum": 12.0},
    "pairwise, hard bounds": PAIRWISE | {"learning.trace_mode": "add", "learning.n_essential": 2},
}


def small(rounding: str = "nearest", weight: str = "u0.4", **settings) -> NetworkSpec:
    return load_network(
        "tinysnn-wta", recipe="digits", neurons=7, epochs=1, weight=weight, settings={
            "formats.weight.rounding": rounding, "learning.update_steps": 83, "learning.schedule_pieces": 3,
            "neuron.theta_plus": 0.5, "encoding.n_steps": 170, **settings,
        },
    )  # fmt: skip


def digit_raster(spec: NetworkSpec) -> Raster:
    images = load_dataset("digits").train_images[:N_IMAGES]
    return encode(images, encoding_tables(spec.encoding), spikes="regular", phase="train", seed=SEED)


def run(spec: NetworkSpec, *, shadow: bool):
    lowered, raster = lower(spec), digit_raster(spec)
    state = initial_float_state(lowered, SEED, shadow=shadow)
    session = open_session(lowered, state, raster)
    counts = session.run(raster, phase="train", seed=SEED, n_presentations=N_IMAGES).counts
    session.store(state)
    return state, counts, raster


@pytest.mark.parametrize("rounding", ["floor", "nearest", "stochastic"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_weight_is_that_of_the_plain_model(variant, rounding):
    spec = small(rounding, **VARIANTS[variant])
    state, counts, raster = run(spec, shadow=True)
    plain = Plain(spec)
    for p in range(N_IMAGES):
        ends = raster.offsets[p]
        events = [raster.inputs[ends[t] : ends[t + 1]].tolist() for t in range(raster.n_steps)]
        assert plain.show(p, events) == counts[p].tolist()
    assert counts.sum() > 20
    assert (np.array(plain.weight) == state.weight).all()
    np.testing.assert_allclose(state.master, plain.master, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.theta, plain.theta, rtol=0, atol=1e-12)
    assert not (state.master == state.weight).all()


def test_a_copy_of_many_bits_is_the_float64_twin():
    spec = small(weight="u0.32")
    shadow, counts, _ = run(spec, shadow=True)
    twin, expected, _ = run(spec, shadow=False)
    assert (counts == expected).all() and twin.master is None
    np.testing.assert_allclose(shadow.weight, twin.weight, rtol=0, atol=2.0**-28)


def test_masters_move_where_words_would_not():
    """One bit per weight: an update below half an LSB is lost in place and kept by a master."""
    spec = small(weight="u0.1", **{"learning.eta_start": 0.1, "learning.eta_end": 0.1})
    state, _, _ = run(spec, shadow=True)
    first = initial_float_state(lower(spec), SEED, shadow=True)
    moved = state.master != first.master
    assert moved.any() and set(np.unique(state.weight)) == {0.0, 0.5}
    assert (np.abs(state.master - first.master)[moved] < 0.25).any()


def test_training_a_shadow(tmp_path):
    data = load_dataset("digits").limit(200, 50)
    spec = load_network("tinysnn-wta", recipe="digits", neurons=20, epochs=1, weight="u0.3")
    model = train(spec, data, seed=1, arithmetic="shadow", threads=1)
    assert model.arithmetic == "shadow" and model.config()["arithmetic"] == "shadow"
    assert (model.weight * 8 == np.floor(model.weight * 8)).all() and len(np.unique(model.weight)) > 4
    assert not (model.weight == train(spec, data, seed=1, arithmetic="float64", threads=1).weight).all()
    result = evaluate(model, data)
    assert result.registers == {} and result.accuracy > 20.0
    again = load_model(save_model(model, tmp_path / "m"))
    assert again.weight.dtype == np.float64 and evaluate(again, data).readouts == result.readouts


def test_an_unknown_arithmetic_is_refused():
    data = load_dataset("digits").limit(5, 5)
    with pytest.raises(SpecError, match="fixed, float64, shadow"):
        train(load_network("tinysnn-wta", recipe="digits"), data, arithmetic="shadows")
