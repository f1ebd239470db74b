"""Proofs that hold, and the plan of the fast kernel that rests on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.lowered import lowered_network, nearest
from tinysnn_hw.data import Raster
from tinysnn_hw.engine import Lowered, Proof, choose_plan, initial_state, lower, run
from tinysnn_hw.engine.lower import piece_of
from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import NetworkSpec, list_networks, load_network

# --- Proofs --------------------------------------------------------------------------------------------


@given(st.integers(-(2**70), 2**70), st.integers(0, 2**70))
def test_bits_of_an_interval(low: int, length: int) -> None:
    proof = Proof("x", low, low + length)
    limits = range(-(1 << (proof.bits - 1)), 1 << (proof.bits - 1))
    assert proof.low in limits and proof.high in limits
    if proof.bits > 1:
        narrower = range(-(1 << (proof.bits - 2)), 1 << (proof.bits - 2))
        assert proof.low not in narrower or proof.high not in narrower


@pytest.mark.parametrize("name", list_networks())
def test_shipped_networks_need_few_bits(name: str) -> None:
    for recipe in ("mnist", "fashion-mnist", "digits"):
        lowered = lower(load_network(name, recipe=recipe))
        assert len({proof.name for proof in lowered.proofs}) == len(lowered.proofs)
        assert max(proof.bits for proof in lowered.proofs) < 60


def proof_of(lowered: Lowered, name: str) -> Proof:
    (found,) = (proof for proof in lowered.proofs if proof.name == name)
    return found


def holds(proof: Proof, values: np.ndarray) -> None:
    assert proof.low <= int(values.min()) and int(values.max()) <= proof.high, proof.name


@st.composite
def observed_networks(draw: st.DrawFn) -> tuple[NetworkSpec, int]:
    n_steps = draw(st.integers(4, 25))
    spec = load_network(
        "tinysnn-wta", inputs=draw(st.integers(1, 10)), neurons=draw(st.integers(1, 6)),
        weight=draw(st.sampled_from(["u0.8", "u0.3", "u2.6", "u0.12"])),
        v_mem=draw(st.sampled_from(["s8.8", "s8.2", "s4.10", "s9.12"])),
        v_th="s8.8", theta="u8.12", x_pre=draw(st.sampled_from(["u1.8", "u2.3", "u1.0"])), c_pre="u8.0",
        eta="u0.13", guard_bits=draw(st.sampled_from([0, 3])),
        settings={
            "neuron.v_th": draw(st.floats(0.2, 4.0)), "neuron.v_th_cap": draw(st.sampled_from([None, 5.0])),
            "neuron.v_floor": None, "neuron.refractory": draw(st.integers(0, 3)),
            "neuron.leak": draw(st.sampled_from(["none", "shift", "multiply"])),
            "learning.w_max": 3.9, "learning.rule": draw(st.sampled_from(["attract", "potentiate"])),
            "learning.learners": draw(st.sampled_from(["spikers", "winner"])),
            # One window per image: the weights before it are those after the image before.
            "encoding.n_steps": n_steps, "learning.update_steps": n_steps,
            "encoding.rate_max_hz": 1000.0, "learning.n_th": draw(st.integers(1, 4)),
        },
    )  # fmt: skip
    return spec, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=60)
@given(observed_networks())
def test_recorded_values_stay_inside_their_proofs(observed: tuple[NetworkSpec, int]) -> None:
    spec, seed = observed
    rng = np.random.default_rng(seed)
    shape = (3, spec.encoding.n_steps, spec.network.inputs)
    raster = Raster.from_dense(rng.poisson(rng.random((3, 1, shape[2])) * 1.5, shape))
    lowered = lower(spec, max_events=max(raster.max_events_per_step, 1))
    state = initial_state(lowered, seed)
    start = state.weight.copy()
    result = run(
        lowered, state, raster, phase="train", seed=seed, n_presentations=3, kernel="generic", record=True
    )
    trace, dense = result.trace, raster.to_dense(np.int64)
    f = {name: fmt.frac_bits for name, fmt in lowered.formats.items()}
    f_a = max(f["v_mem"], f["weight"]) + spec.formats.guard_bits
    before = np.concatenate([start[None], trace["weight"][:-1]])

    sums = np.einsum("pti,pij->ptj", dense, before) * 2 ** (f_a - f["weight"])
    holds(proof_of(lowered, "input sum"), sums)
    v_before = np.concatenate([np.zeros_like(trace["v_mem"][:, :1]), trace["v_mem"][:, :-1]], axis=1)
    held = np.concatenate(
        [np.zeros_like(trace["refractory_count"][:, :1]), trace["refractory_count"][:, :-1]], axis=1
    )
    accumulated = v_before * 2 ** (f_a - f["v_mem"]) + sums
    holds(proof_of(lowered, "accumulator before saturation"), accumulated)
    v_mem = lowered.formats["v_mem"]
    kept = np.clip(accumulated[held == 0], None, 2 ** (v_mem.int_bits - v_mem.signed + f_a) - 1)
    if kept.size:
        holds(proof_of(lowered, "leak product"), kept * (2**16 if spec.neuron.leak == "multiply" else 1))
    grid = max(f["v_mem"], f["v_th"])
    margins = trace["v_mem"] * 2 ** (grid - f["v_mem"]) - trace["v_th"] * 2 ** (grid - f["v_th"])
    holds(proof_of(lowered, "threshold comparison"), margins)
    holds(proof_of(lowered, "count product"), trace["c_pre"] * lowered.x_scale[0])
    if spec.neuron.theta_forget == "multiply":
        holds(proof_of(lowered, "theta decay"), trace["theta"] * 2**32)

    update = proof_of(lowered, "weight update")
    w_max = min(nearest(3.9, f["weight"]), lowered.formats["weight"].raw_max)
    for p in range(3):
        spikes = trace["n_post"][p, -1]
        k = max(1, -(-int(spikes.max()) // spec.learning.n_th))
        eta = int(lowered.eta[piece_of(p, 3, len(lowered.eta))])
        x, w = trace["x_pre"][p, -1][:, None], before[p]
        pull = x * w_max - w * 2 ** f["x_pre"] if spec.learning.rule == "attract" else x * (w_max - w)
        holds(update, w * 2 ** (f["x_pre"] + f["eta"]) + k * eta * pull)


def test_the_bound_of_the_input_sum_is_met() -> None:
    """A bound that nothing ever reaches would prove too much: all weights full, the densest step."""
    spec = load_network(inputs=6, neurons=2, settings={"encoding.n_steps": 4, "learning.update_steps": 4,
                                                       "encoding.rate_max_hz": 500.0})  # fmt: skip
    dense = np.zeros((1, 4, 6), np.int64)
    dense[0, 2] = 3
    raster = Raster.from_dense(dense)
    lowered = lower(spec, max_events=raster.max_events_per_step)
    assert raster.max_events_per_step == 18
    top = lowered.formats["weight"].raw_max
    assert proof_of(lowered, "input sum").high == 18 * top
    state = initial_state(lowered, 0)
    state.weight[:] = top
    result = run(lowered, state, raster, phase="test", seed=0, kernel="generic", record=True)
    # 18 full weights minus the leak of one step, below the threshold of neither neuron: one fires.
    assert result.counts.sum() == 1 and result.trace["winner"][0].tolist() == [-1, -1, 0, -1]


# --- The plan of the fast kernel -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{}, {"weight": "u0.4"}, {"v_mem": "s8.4", "weight": "u0.12"}, {"v_mem": "s4.2", "weight": "u0.3",
     "neuron__v_th_cap": 7.0, "neuron__v_th": 2.0, "neuron__v_floor": None, "inhibition__strength": 7.0}],
)  # fmt: skip
@pytest.mark.parametrize("name", list_networks())
def test_more_events_never_get_narrower_lanes(name: str, changes: dict[str, Any]) -> None:
    lowered = lowered_network(name, **changes)
    widths: list[int] = []
    rows: dict[int, list[int]] = {2: [], 4: []}
    for max_events in (
        0,
        1,
        2,
        3,
        5,
        8,
        16,
        64,
        127,
        128,
        129,
        1000,
        2**12,
        2**16,
        2**20,
        2**22,
        2**24,
        2**30,
    ):
        plan = choose_plan(lowered, max_events)
        widths.append(100 if plan is None else plan.lane.itemsize)
        if plan is not None:
            rows[plan.lane.itemsize].append(plan.row.itemsize)
    assert widths == sorted(widths)
    # Within 32-bit lanes weights are stored wider where sums of bytes would pass 16 bits.
    assert all(sizes == sorted(sizes) for sizes in rows.values()) and len(set(rows[2])) <= 1
    assert widths[0] in (2, 4) and widths[-1] == 100


def test_the_first_event_too_many() -> None:
    """128 full 8-bit weights stay below half of the range of 16 bits, 129 do not."""
    lowered = lowered_network("tinysnn-wta")
    plans = [choose_plan(lowered, n) for n in (128, 129)]
    assert [plan.name for plan in plans] == ["fast w8 l16", "fast w8 l32"]
    assert 128 * 255 < 2**15 <= 129 * 255


def test_a_silent_raster_changes_no_word() -> None:
    """Without an input event nothing is added up, but every weight still has to fit the row it is stored in."""
    lowered = lowered_network(
        "baseline", recipe="digits", neurons=3, weight="u10.-2", v_mem="s4.9", neuron__v_th=5.0, neuron__v_th_cap=5.0,
        neuron__theta_plus=0.0, learning__w_max=1000.0, learning__w_init_high=1000.0, learning__weight_sum=32000.0,
    )  # fmt: skip
    assert choose_plan(lowered, 0) == choose_plan(lowered, 1)
    raster = Raster.from_events([], [], [], n_images=1, n_steps=250, n_inputs=64)
    states = []
    for kernel in ("generic", "auto"):
        state = initial_state(lowered, 0)
        run(lowered, state, raster, phase="train", seed=0, n_presentations=1, kernel=kernel)
        states.append(state.weight)
    assert states[0].any() and (states[0] == states[1]).all()


def test_only_what_runs_is_proven() -> None:
    """A wide format is refused for the arithmetic the network has, not for what another would do with it."""
    theta = {"formats.theta.format": "u16.16"}
    assert load_and_lower(theta).formats["theta"].width == 32
    with pytest.raises(SpecError, match=r"theta decay.*\(formats: theta\)"):
        load_and_lower({**theta, "formats.theta.format": "u8.24", "neuron.theta_forget": "multiply"})


def load_and_lower(settings: dict[str, object]) -> Lowered:
    return lower(load_network("tinysnn-wta", settings=settings))
