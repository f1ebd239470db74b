"""The fast kernel against the plain one, bit for bit, over whole runs at full size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.engine.fast_runs import (
    PHASES,
    PLANS,
    ROUNDINGS,
    SATURATED,
    SEED,
    bits_of,
    compared,
    compared_network,
    differing,
    pinned,
    rasters_from,
    rasters_of,
)
from tinysnn_hw.data import load_dataset
from tinysnn_hw.engine import (
    initial_state,
    lower,
    open_session,
    run,
)
from tinysnn_hw.engine.cpu import storage
from tinysnn_hw.errors import FixedPointOverflowError, SpecError
from tinysnn_hw.spec import load_network
from tinysnn_hw.spec.describe import summarize_network

# --- Whole runs at full size ---------------------------------------------------------------------------

RECIPES = [
    (name, recipe) for name in ("tinysnn", "tinysnn-wta") for recipe in summarize_network(name).recipes
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_shipped_recipes(name: str, recipe: str) -> None:
    seen = compared(load_network(name, recipe=recipe), None)
    assert (seen["train"]["theta"] > 0).any()


@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
def test_mnist(name: str, data_dir: Any) -> None:
    data = load_dataset("mnist", data_dir)
    for spec, plan in (
        (load_network(name, recipe="mnist"), None),
        (pinned(name, recipe="mnist"), PLANS[name]),
    ):
        assert (spec.network.inputs, spec.network.neurons) == (784, 400)
        compared(spec, plan, rasters_from(spec, data.train_images[:40], data.test_images[:40]))


# Few bits below a weight's last one, so that exact ties are common.
TIES = {"learning__eta_start": 0.25, "learning__eta_end": 0.0625, "learning__potentiation": "constant",
        "x_pre": "u1.3", "eta": "u0.4"}  # fmt: skip


@pytest.mark.parametrize("changes", [{}, TIES], ids=["usual", "ties"])
@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
def test_weight_roundings(name: str, changes: dict[str, Any]) -> None:
    learned = {}
    for rounding in ROUNDINGS:
        seen = compared_network(name, PLANS[name], formats__weight__rounding=rounding, **changes)
        learned[rounding] = seen["train"]["weight"].tobytes()
    # A comparison over modes that all round alike would show nothing.  No weight is negative, so two pairs
    # of modes agree, and a tie is needed to tell one of them from nearest_even.
    assert learned["floor"] == learned["to_zero"]
    assert learned["nearest"] == learned["nearest_away"]
    assert len(set(learned.values())) == (4 if changes else 3)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
def test_one_rounding_for_every_register(name: str, rounding: str) -> None:
    # s8.6 under 8 weight bits: every step cuts two bits of v_mem.
    v_mem = "s8.6" if name == "tinysnn-wta" else "s9.6"
    compared_network(name, PLANS[name], rounding=rounding, v_mem=v_mem, v_th="s8.7", theta="u8.10")


@pytest.mark.parametrize("rand_bits", [1, 5, 32])
@pytest.mark.parametrize("leak", ["shift", "multiply"])
@pytest.mark.parametrize(("v_mem", "plan"), [("s8.4", "fast w8 l16"), ("s12.4", "fast w8 l32")])
def test_stochastic_v_mem(v_mem: str, plan: str, leak: str, rand_bits: int) -> None:
    changes = {"formats__v_mem__rounding": "stochastic", "formats__v_mem__rand_bits": rand_bits}
    seen = compared_network("tinysnn-wta", plan, v_mem=v_mem, neuron__leak=leak, **changes)
    # Label and test show the same images with other random bits.
    assert differing(seen["label"], seen["test"]) != []


NARROW, WIDE = "fast w8 l16", "fast w8 l32"


@pytest.mark.parametrize(
    "leak",
    [
        {"neuron__leak": "none"},
        {"neuron__leak": "shift", "neuron__leak_shift": 5},
        {"neuron__leak": "shift", "neuron__leak_shift": 15},
        {"neuron__leak": "multiply", "neuron__tau_mem": 30.0},
    ],
    ids=["none", "shift", "shift15", "multiply"],
)
@pytest.mark.parametrize(
    ("v_mem", "plan"),
    [
        ("s8.8", NARROW), ("s8.5", NARROW), ("s8.0", NARROW), ("s12.8", WIDE), ("s12.3", WIDE), ("s12.0", WIDE),
        # As many values without a sign: the same lane up to u7.8, then the wider one.
        ("u7.8", NARROW), ("u7.1", NARROW), ("u8.8", WIDE), ("u8.0", WIDE), ("u12.3", WIDE),
    ],
)  # fmt: skip
def test_leaks_and_membranes(v_mem: str, plan: str, leak: dict[str, Any]) -> None:
    floor = {"neuron__v_floor": None} if v_mem.startswith("u") else {}
    compared_network("tinysnn-wta", plan, v_mem=v_mem, **leak, **floor)


@pytest.mark.parametrize("floor", [0.0, None])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_an_unsigned_membrane_is_the_signed_one_that_never_falls_below_0(
    rounding: str, floor: float | None
) -> None:
    bits = {
        v_mem: compared_network(
            "tinysnn-wta", NARROW, v_mem=v_mem, neuron__v_floor=0.0 if v_mem == "s8.2" else floor,
            formats__v_mem__rounding=rounding,
        )
        for v_mem in ("s8.2", "u7.2")
    }  # fmt: skip
    for phase in PHASES:
        low = [seen[phase]["stats"][1, 2] for seen in bits.values()]
        assert low[0] == 0 and (low[1] > 0) == (floor is None)
        for seen in bits.values():
            seen[phase]["stats"][1, 2] = 0
        assert differing(*(seen[phase] for seen in bits.values())) == [], phase


@pytest.mark.parametrize(
    ("formats", "plan"),
    [
        # A constant leak needs room in the lane below the accumulator.
        ({"v_mem": "s8.7", "weight": "u0.7"}, NARROW), ({"v_mem": "s8.3", "weight": "u0.7"}, NARROW),
        ({"v_mem": "s8.8"}, WIDE), ({"v_mem": "s8.0"}, WIDE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("leak_step", [0.01, 0.3, 0.0])
def test_constant_leak(formats: dict[str, str], plan: str, leak_step: float) -> None:
    plan = NARROW if not leak_step else plan
    compared_network("tinysnn-wta", plan, neuron__leak="subtract", neuron__leak_step=leak_step, **formats)


@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
@pytest.mark.parametrize(
    ("changes", "plan"),
    [
        ({"weight": "u0.4"}, PLANS),
        ({"weight": "u0.2", "learning__w_init_high": 0.9}, PLANS),
        ({"weight": "u1.7", "learning__w_max": 0.9}, PLANS),
        ({"weight": "u0.4", "v_mem": "s11.4", "v_th": "s11.4"}, "fast w8 l16"),
        (
            {"weight": "u1.8", "learning__w_max": 1.5},
            {"tinysnn": "fast w16 l32", "tinysnn-wta": "fast w16 l16"},
        ),
        ({"weight": "u0.12"}, "fast w16 l32"),
        ({"weight": "u0.16"}, "fast w16 l32"),
        ({"v_mem": "s9.12"}, "fast w8 l32"),
        ({"v_mem": "s12.6", "guard_bits": 5}, "fast w8 l32"),
    ],
)
def test_word_widths(name: str, changes: dict[str, Any], plan: str | dict[str, str]) -> None:
    compared_network(name, plan if isinstance(plan, str) else plan[name], **changes)


def test_wide_rows_in_narrow_lanes() -> None:
    """16-bit words in 16-bit lanes: the one plan in which a row is not two weights per lane or a quarter."""
    spec = load_network(
        "tinysnn-wta", v_mem="s4.12", v_th="s4.12", theta="u4.16",
        settings={"neuron.v_th": 2.0, "neuron.v_th_cap": 6.0, "neuron.v_floor": None,
                  "neuron.theta_plus": 0.05, "inhibition.strength": 7.0, "inhibition.start": 1.0,
                  "encoding.rate_max_hz": 12.0},
    )  # fmt: skip
    compared(spec, "fast w16 l16")


@pytest.mark.parametrize("neurons", [1, 2, 31, 32, 33, 63, 64, 65, 96, 97, 100, 127, 128, 129, 257, 400])
@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
def test_any_number_of_neurons(name: str, neurons: int) -> None:
    compared_network(name, PLANS[name], recipe="digits", neurons=neurons)


@pytest.mark.parametrize("neurons", [1, 32, 64, 97, 290])
@pytest.mark.parametrize("formats", [{}, {"weight": "u0.12", "v_mem": "s8.12", "v_th": "s8.12"}])
def test_long_rows(neurons: int, formats: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Large networks keep their weights in long rows; small ones do too if they must, with the same bits."""
    monkeypatch.setattr(storage, "IN_BLOCKS_BYTES", 0)
    spec = pinned("tinysnn-wta", recipe="digits", neurons=neurons, **formats)
    compared(spec, None)
    weights = open_session(lower(spec), initial_state(lower(spec), SEED), rasters_of(spec)["train"]).weights
    assert weights.row_step == -(-neurons // 32) * 32


@pytest.mark.parametrize("refractory", [0, 1, 7, 249, 250, 1000])
@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
def test_refractory_times(name: str, refractory: int) -> None:
    compared_network(name, PLANS[name], recipe="digits", neuron__refractory=refractory)
    # Without a floor, and too little inhibition to reach the lowest word, a held neuron that was inhibited
    # or counted would show in the range.
    changes = {"neuron__v_floor": None, "inhibition__strength": 2.0, "inhibition__start": 1.0}
    seen = compared_network(name, PLANS[name], recipe="digits", neuron__refractory=refractory, **changes)
    assert seen["test"]["stats"][1, 0] < 0 or refractory > 100
    assert seen["test"]["stats"][1, 2] == 0


@pytest.mark.parametrize("name", ["tinysnn", "tinysnn-wta"])
@pytest.mark.parametrize("inputs", [1, 2, 7])
def test_few_inputs(name: str, inputs: int) -> None:
    changes: dict[str, Any] = {"encoding__rate_max_hz": 900.0, "encoding__gain": "none", "neuron__v_th": 1.5}
    if name == "tinysnn":
        # One weight alone would only ever be scaled back to the sum.
        changes |= {"learning__weight_sum": 0.3 * inputs if inputs > 1 else None}
    spec = pinned(name, inputs=inputs, **changes)
    images = np.full((3, inputs), 255, np.uint8)
    compared(spec, PLANS[name], rasters_from(spec, images, images))


SWAPS: list[dict[str, Any]] = [
    {"learning__learners": "spikers", "learning__rule": "potentiate", "learning__weight_sum": 70.0},
    {"learning__weight_sum": 600.0, "learning__w_max": 0.8},
    {"learning__trace": "exponential", "learning__learners": "spikers", "learning__potentiation": "constant"},
    {"neuron__theta_forget": "multiply", "neuron__tau_theta": 2000.0, "neuron__v_th_cap": None},
    {"neuron__theta_forget": "none", "neuron__v_floor": None},
    {"neuron__v_reset": -3.0, "neuron__v_floor": -20.0},
    {"neuron__v_reset": 4.0, "neuron__v_floor": 0.0},
    {"formats__v_mem__overflow": "saturate_symmetric", "neuron__v_floor": None},
    {"formats__theta__overflow": "saturate_symmetric", "formats__v_th__overflow": "saturate_symmetric"},
    {"learning__update_steps": 7, "learning__schedule_pieces": 2, "inhibition__start": 0.0},
    {"x_pre": "u1.1", "c_pre": "u5.0"},
    {"v_th": "u7.3", "theta": "u7.2"},
    {"v_th": "s8.14", "theta": "u8.20"},
]  # fmt: skip


@pytest.mark.parametrize("changes", SWAPS, ids=lambda changes: next(iter(changes)))
def test_rules_and_registers(changes: dict[str, Any]) -> None:
    compared_network("tinysnn-wta", "fast w8 l16", **changes)


def test_saturations_are_counted_alike() -> None:
    """A membrane too narrow for its input and inhibition leaves its range at both ends, often."""
    changes = {"neuron__v_floor": None, "neuron__v_th_cap": 15.5, "neuron__theta_plus": 2.0,
               "neuron__theta_forget_spikes": 0.0, "inhibition__strength": 30.0}  # fmt: skip
    seen = compared_network("tinysnn-wta", "fast w8 l16", v_mem="s5.8", v_th="s5.8", theta="u4.16", **changes)
    v_mem = seen["train"]["stats"][1]
    assert (v_mem[SATURATED] > 20).all()
    changes = {"neuron__theta_plus": 20.0, "formats__x_pre__rounding": "floor"}
    seen = compared_network("tinysnn", PLANS["tinysnn"], theta="u4.16", x_pre="u0.8", **changes)
    assert seen["train"]["stats"][3][3] > 0 and seen["train"]["stats"][4][3] > 0


@pytest.mark.parametrize("register", ["v_mem", "theta", "x_pre"])
def test_a_refused_overflow_reads_alike(register: str) -> None:
    """With overflow ``error`` both kernels refuse the run with the same words, the counts included."""
    spec = pinned(
        "tinysnn", theta="u4.16", x_pre="u0.8", v_mem="s6.8", v_th="s6.8", neuron__theta_plus=20.0,
        neuron__v_floor=None, inhibition__strength=60.0, **{f"formats__{register}__overflow": "error"},
    )  # fmt: skip
    lowered, raster, said = lower(spec), rasters_of(spec)["train"], []
    for kernel in ("generic", "fast"):
        state = initial_state(lowered, SEED)
        with pytest.raises(FixedPointOverflowError) as refusal:
            run(lowered, state, raster, phase="train", seed=SEED, n_presentations=3, kernel=kernel)
        said.append(str(refusal.value))
    assert said[0] == said[1]
    assert said[0].startswith(f"formats.{register} = ")


def test_auto_takes_the_fast_kernel_only_where_it_is_proven() -> None:
    for spec, expected in (
        (pinned("tinysnn-wta"), "fast w8 l16"),
        (pinned("tinysnn-wta", formats__v_mem__overflow="wrap"), "generic"),
    ):
        lowered, raster = lower(spec), rasters_of(spec)["test"]
        state = initial_state(lowered, SEED)
        assert run(lowered, state, raster, phase="test", seed=SEED).kernel == expected
        if expected == "generic":
            with pytest.raises(SpecError, match="kernel = 'fast'"):
                run(lowered, state, raster, phase="test", seed=SEED, kernel="fast")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": "quick"}, "kernel = 'quick'; allowed: auto, generic, fast"),
        ({"phase": "training"}, "phase = 'training'; allowed: train, label, test"),
        ({"seed": -1}, "seed = -1; 0 to 4294967295 is allowed"),
        ({"n_presentations": None}, "n_presentations = None: training images 0 to 2 need"),
        ({"n_presentations": 2}, "n_presentations = 2: training images 0 to 2 need"),
        ({"first": 1}, "n_presentations = 3: training images 1 to 3 need"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    spec = pinned("tinysnn-wta", recipe="digits")
    lowered, raster = lower(spec), rasters_of(spec)["train"]
    state = initial_state(lowered, SEED)
    arguments = {"phase": "train", "seed": SEED, "n_presentations": 3} | changes
    with pytest.raises(SpecError, match=message):
        run(lowered, state, raster, **arguments)
    other = lower(pinned("tinysnn-wta"))
    with pytest.raises(
        SpecError, match=r"raster has 64 inputs and 250 steps; .* needs 784 inputs and 250 steps"
    ):
        run(other, initial_state(other, SEED), raster, phase="test", seed=SEED)


def test_recording_changes_no_bit() -> None:
    spec = load_network("tinysnn-wta", recipe="digits")
    lowered, raster, seen = lower(spec), rasters_of(spec)["train"], []
    for record in (False, True):
        state = initial_state(lowered, SEED)
        result = run(
            lowered,
            state,
            raster,
            phase="train",
            seed=SEED,
            n_presentations=3,
            kernel="generic",
            record=record,
        )
        assert bool(result.trace) is record
        seen.append(bits_of(result, state))
    assert differing(*seen) == []
