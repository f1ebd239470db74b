"""The float64 twin against plain loops over steps and events: every bit of weights, thresholds and spikes.

The kernel computes few potentials and bounds the others; this model computes all of them, one addition per event.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from tinysnn_hw.data import Raster, load_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import initial_float_state, lower, open_session
from tinysnn_hw.engine.cpu.float64_bounds import BLOCK, COUNT, above, advance_bounds, below, sum_bounds
from tinysnn_hw.engine.cpu.storage import aligned_zeros
from tinysnn_hw.engine.schedule import eta_pre_values, eta_values, full_counts, inhibition_values
from tinysnn_hw.spec import NetworkSpec, load_network

SEED = 3
N_IMAGES = 3


class Plain:
    """One network, image by image; arrays over neurons stand for a loop over them."""

    def __init__(self, spec: NetworkSpec, weight: np.ndarray) -> None:
        self.spec = spec
        self.weight = weight.copy()
        self.theta = np.zeros(spec.network.neurons)
        self.v_th = np.full(spec.network.neurons, spec.neuron.v_th)
        self.activity = np.zeros(6, np.int64)

    def leak(self, v: np.ndarray) -> np.ndarray:
        neuron = self.spec.neuron
        if neuron.leak == "shift":
            return v * (1.0 - 2.0**-neuron.leak_shift)
        if neuron.leak == "multiply":
            return v * math.exp(-1.0 / neuron.tau_mem)
        if neuron.leak == "subtract":
            step = neuron.leak_step
            return np.where(v >= 0.0, np.maximum(v - step, 0.0), np.minimum(v + step, 0.0))
        return v

    def show(self, image: int, events: list[list[int]], *, learn: bool) -> np.ndarray:
        spec, n = self.spec, self.spec.network.neurons
        neuron, learning, layer = spec.neuron, spec.learning, spec.inhibitory
        piece = image * learning.schedule_pieces // N_IMAGES
        eta, eta_pre = eta_values(learning)[piece], eta_pre_values(learning)[piece]
        strength = inhibition_values(spec)[piece] if learn else spec.inhibition.strength
        floor = -math.inf if neuron.v_floor is None else neuron.v_floor
        pairwise, setting = learning.rule == "pairwise", learning.trace_mode == "set"
        decay = math.exp(-1.0 / learning.tau_trace)
        full = full_counts(spec) if learning.trace == "window" else []
        v, free, counts = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
        window, learned = np.zeros(n, np.int64), np.zeros(n, bool)
        x_pre, x_post, c_pre = np.zeros(spec.network.inputs), np.zeros(n), np.zeros(spec.network.inputs)
        v_inh, inh_free = np.zeros(n), np.zeros(n, np.int64)
        winner = inhibitory = -1
        for t, now in enumerate(events):
            if layer is not None:
                others = (t >= free) & (np.arange(n) != inhibitory)
                if inhibitory >= 0:
                    v[others] = np.maximum(v[others] - strength, floor)
                inhibitory = -1
                for j in np.flatnonzero((counts > 0) & (t >= inh_free)):
                    v_inh[j] = (v_inh[j] + (layer.excitation if j == winner else 0.0)) * math.exp(
                        -1.0 / layer.tau_mem
                    )
                    if v_inh[j] >= layer.v_th:
                        inhibitory, v_inh[j], inh_free[j] = int(j), layer.v_reset, t + layer.refractory + 1
                        self.activity[4] += 1
            arriving = now if layer is None else events[t - 1] if t else []
            total = np.zeros(n)
            for i in arriving:
                total = total + self.weight[i]
            x_pre *= decay
            x_post *= decay
            for i in now:
                x_pre[i] = 1.0 if setting else x_pre[i] + 1.0
            v = np.where(t >= free, self.leak(v + total), neuron.v_reset)
            margin = np.where(t >= free, v - self.v_th, -1.0)
            winner = int(margin.argmax()) if margin.max() >= 0.0 else -1
            if winner >= 0:
                if layer is None:
                    awake = t >= free
                    v[awake] = np.maximum(v[awake] - strength, floor)
                v[winner], free[winner] = neuron.v_reset, t + neuron.refractory + 1
                counts[winner] += 1
                window[winner] += 1
                self.activity[1] += 1
                if learn:
                    x_post[winner] = 1.0 if setting else x_post[winner] + 1.0
                    clamp = math.inf if neuron.v_th_cap is None else neuron.v_th_cap - neuron.v_th
                    self.theta[winner] = min(self.theta[winner] + neuron.theta_plus, clamp)
                    self.v_th[winner] = neuron.v_th + self.theta[winner]
            if learn and pairwise:
                hit = np.flatnonzero(counts >= learning.n_essential)
                for i in sorted(set(now)):
                    w = self.weight[i, hit]
                    lowered = w - eta_pre * x_post[hit] * (w if learning.soft_bounds else learning.w_max)
                    self.weight[i, hit] = np.maximum(lowered, 0.0)
                    self.activity[5] += len(hit)
                if winner in hit:
                    w = self.weight[:, winner]
                    raised = w + eta * x_pre * (
                        learning.w_max - w if learning.soft_bounds else learning.w_max
                    )
                    self.weight[:, winner] = np.minimum(raised, learning.w_max)
                    learned[winner] = True
                    self.activity[2] += 1
            elif learn and (t + 1) % learning.update_steps == 0:
                u = (t + 1) // learning.update_steps - 1
                if learning.trace == "window":
                    c_pre //= 2
                    for step in events[u * learning.update_steps : t + 1]:
                        for i in step:
                            c_pre[i] += 1
                    x_pre = np.minimum(c_pre / full[u], 1.0)
                factor = -(-int(counts.max()) // learning.n_th) if learning.potentiation == "eq1" else 1
                chosen = [int(window.argmax())] if learning.learners == "winner" else range(n)
                for j in chosen:
                    if window[j]:
                        w = self.weight[:, j]
                        pull = (
                            x_pre * learning.w_max - w
                            if learning.rule == "attract"
                            else x_pre * (learning.w_max - w)
                        )
                        self.weight[:, j] = np.minimum(
                            np.maximum(w + factor * eta * pull, 0.0), learning.w_max
                        )
                        learned[j] = True
                        self.activity[2] += 1
                window[:] = 0
        self.activity[0] += sum(map(len, events))
        if learn:
            for j in np.flatnonzero(learned) if learning.weight_sum else ():
                total = 0.0
                for w in self.weight[:, j].tolist():
                    total += w
                self.weight[:, j] = np.minimum(
                    self.weight[:, j] * (learning.weight_sum / total), learning.w_max
                )
                self.activity[3] += 1
            self.forget()
        return counts

    def forget(self) -> None:
        neuron = self.spec.neuron
        if neuron.theta_forget == "none":
            return
        down, factor = 0.0, 1.0
        if neuron.theta_forget == "subtract":
            down = neuron.theta_plus * neuron.theta_forget_spikes / self.spec.network.neurons
        else:
            factor = math.exp(-self.spec.encoding.n_steps / neuron.tau_theta)
        self.theta = np.maximum((self.theta - down) * factor, 0.0)
        self.v_th = neuron.v_th + self.theta


DIRECT = {"inhibition.kind": "direct", "inhibitory": None, "formats.v_inh": None}
WINDOWED: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "no leak": {"neuron.leak": "none", "neuron.refractory": 0},
    "subtract": {"neuron.leak": "subtract", "neuron.leak_step": 0.05},
    "no floor": {"neuron.v_floor": None, "inhibition.strength": 11.0, "inhibition.start": 1.0},
    "low floor": {"neuron.v_floor": -5.0, "neuron.v_reset": -2.0, "inhibition.strength": 8.0},
    "held long": {"neuron.refractory": 40, "learning.update_steps": 10, "inhibition.strength": 3.0},
    "every step": {"learning.update_steps": 1, "learning.learners": "spikers"},
    "eq1": {"learning.potentiation": "eq1", "learning.n_th": 3, "learning.learners": "spikers"},
    "window": {"learning.trace": "window", "learning.rule": "attract"},
    "exponential": {
        "learning.trace": "exponential",
        "learning.rule": "potentiate",
        "learning.tau_trace": 12.0,
    },
    "normalised": {"learning.weight_sum": 12.0, "learning.learners": "spikers"},
    "cap": {"neuron.theta_plus": 1.0, "neuron.v_th_cap": 20.0, "neuron.theta_forget": "none"},
    "ramp": {"inhibition.start": 0.0, "inhibition.ramp": 1.0, "learning.schedule_pieces": 4},
}
PAIRWISE: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "no floor": {"neuron.v_floor": None, "inhibition.strength": 17.5},
    "never held": {"neuron.refractory": 0},
    "slow inhibitory neurons": {"inhibitory.refractory": 12, "inhibition.strength": 9.0},
    "hard bounds": {"learning.soft_bounds": False, "learning.eta_pre_start": 0.0005, "learning.eta_pre_end": 0.0005},
    "traces that add": {"learning.trace_mode": "add"},
    "essential": {"learning.n_essential": 3},
    "direct": DIRECT,
    "direct, no floor, held": {**DIRECT, "neuron.v_floor": None, "neuron.refractory": 9, "inhibition.strength": 6.0},
}  # fmt: skip
CASES = [
    *(
        (name, variant, changes)
        for name in ("tinysnn", "tinysnn-wta")
        for variant, changes in WINDOWED.items()
    ),
    *(("baseline", variant, changes) for variant, changes in PAIRWISE.items()),
]


@pytest.mark.parametrize("neurons", [20, 100])
@pytest.mark.parametrize(
    ("name", "variant", "changes"), CASES, ids=[f"{name}, {which}" for name, which, _ in CASES]
)
def test_every_bit_is_that_of_plain_loops(
    name: str, variant: str, changes: dict[str, Any], neurons: int
) -> None:
    spec = load_network(name, recipe="digits", neurons=neurons, settings=changes)
    images = load_dataset("digits").train_images[:N_IMAGES]
    raster = encode(images, encoding_tables(spec.encoding), spikes="poisson", phase="train", seed=SEED)
    lowered = lower(spec)
    state = initial_float_state(lowered, SEED)
    session, plain = open_session(lowered, state, raster), Plain(spec, state.weight)
    for phase in ("train", "test"):
        result = session.run(raster, phase=phase, seed=SEED, n_presentations=N_IMAGES)
        plain.activity[:] = 0
        for image, ends in enumerate(raster.offsets):
            events = [raster.inputs[ends[t] : ends[t + 1]].tolist() for t in range(raster.n_steps)]
            assert plain.show(image, events, learn=phase == "train").tolist() == result.counts[image].tolist()
        assert plain.activity.tolist() == result.activity.tolist()
    session.store(state)
    assert state.weight.tobytes() == plain.weight.tobytes()
    assert state.theta.tobytes() == plain.theta.tobytes()
    assert state.v_th.tobytes() == plain.v_th.tobytes()
    assert plain.activity[1] > 5 and plain.theta.any()


def test_ties_and_inputs_that_spike_twice() -> None:
    """Equal weights in all neurons: the lowest one fires; an input may have two events in a step."""
    spec = load_network("baseline", recipe="digits", neurons=100)
    raster = Raster.from_dense(np.full((N_IMAGES, spec.encoding.n_steps, 64), 2, np.int64))
    lowered = lower(spec)
    state = initial_float_state(lowered, SEED)
    state.weight[:] = state.weight[:, :1]
    plain = Plain(spec, state.weight)
    session = open_session(lowered, state, raster)
    counts = session.run(raster, phase="train", seed=SEED, n_presentations=N_IMAGES).counts
    session.store(state)
    events = [sorted([*range(64), *range(64)])] * spec.encoding.n_steps
    for image in range(N_IMAGES):
        assert plain.show(image, events, learn=True).tolist() == counts[image].tolist()
    assert counts[0, 0] > 0 and state.weight.tobytes() == plain.weight.tobytes()


@njit
def sum_of(rows, n_inputs, inputs, offsets, first, n_steps, totals):
    sum_bounds(rows, n_inputs, inputs, offsets, first, n_steps, totals)


@njit
def advance(u, reach, totals, row, growth, factor, step):
    return advance_bounds(u, reach, totals, row, growth, factor, step)


def _aligned(values: np.ndarray) -> np.ndarray:
    copy = aligned_zeros(values.shape, values.dtype)
    copy[:] = values
    return copy


@given(
    seed=st.integers(0, 2**32 - 1), size=st.floats(1e-6, 1e4), events=st.integers(0, 3000),
    factor=st.floats(0.5, 1.0), step=st.sampled_from([0.0, 1e-3, 0.7]),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_bounds_are_bounds_and_tight(seed: int, size: float, events: int, factor: float, step: float) -> None:
    """Over the potentials they bound, by a millionth of what has been added up per step."""
    rng = np.random.default_rng(seed)
    n_inputs, lanes, n_steps = 30, BLOCK + COUNT, 8
    weight = rng.random((n_inputs, lanes)) * size
    rows = np.empty(n_inputs * lanes, np.float32)
    for first, width in ((0, BLOCK), (BLOCK, COUNT)):
        block = [above(w) for w in weight[:, first : first + width].ravel()]
        rows[first * n_inputs : (first + width) * n_inputs] = block
    inputs = rng.integers(0, n_inputs, n_steps * events).astype(np.uint16)
    offsets = np.arange(n_steps + 1, dtype=np.int64) * events
    v = rng.normal(0.0, size * 10.0, lanes)
    u, reach = np.array([above(x) for x in v], np.float32), np.full(lanes, np.inf, np.float32)
    rows, u, reach = (_aligned(each) for each in (rows, u, reach))
    totals = _aligned(np.zeros((n_steps, lanes), np.float32))
    sum_of(rows, n_inputs, inputs, offsets, 0, n_steps, totals)
    largest = np.abs(v)
    for t in range(n_steps):
        total = np.zeros(lanes)
        for i in inputs[offsets[t] : offsets[t + 1]]:
            total = total + weight[i]
        largest = np.maximum(largest, np.abs(v) + total)
        v = (v + total) * factor
        if step:
            v = np.where(v >= 0.0, np.maximum(v - step, 0.0), np.minimum(v + step, 0.0))
        reach[t] = below(v[t])
        growth = np.float32(1.0 + (events + 8) * 2.0**-23)
        assert advance(u, reach, totals, t, growth, np.float32(factor), np.float32(step))
        reach[t] = np.inf
        assert (u >= v).all()
        slack = (t + 1) * (events + 64) * 2.0**-22 * largest + (t + 1) * 2.0**-18 * (step + 1e-20)
        assert (u - v <= slack).all()
