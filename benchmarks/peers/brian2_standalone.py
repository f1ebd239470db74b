"""Brian2 C++ standalone: the network of Diehl & Cook as generated C++, training and inference."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from brian2 import (
    Hz,
    NeuronGroup,
    Synapses,
    TimedArray,
    defaultclock,
    device,
    ms,
    prefs,
    run,
    seed,
    set_device,
)
from protocol import N_NEURONS, SETTINGS, Repeat, arguments, first, serve

IMAGES_PER_REPEAT = 200

INPUT = """
rates = stimulus(t, i) : Hz
dx/dt = -x / tau_trace : 1
"""
EXCITATORY = """
dv/dt = (v_rest_e - v) / tau_e : 1 (unless refractory)
dtheta/dt = -theta / tau_theta : 1
dy/dt = -y / tau_trace : 1
total : 1
count : 1
"""
INHIBITORY = "dv/dt = (v_rest_i - v) / tau_i : 1 (unless refractory)"
CONSTANTS = {
    "tau_e": 100 * ms, "tau_i": 10 * ms, "tau_trace": 20 * ms, "tau_theta": 1e7 * ms,
    "v_rest_e": -65.0, "v_reset_e": -60.0, "v_thresh_e": -52.0, "theta_plus": 0.05,
    "v_rest_i": -60.0, "v_reset_i": -45.0, "v_thresh_i": -40.0,
    "nu_pre": 1e-4, "nu_post": 1e-2, "norm": 78.4, "exc": 22.5, "inh": 120.0,
}  # fmt: skip

options = arguments()


def simulate(
    folder: Path, images: np.ndarray, n_steps: int, rate_hz: float, learn: bool, built: bool
) -> Repeat:
    """Describe the network and the whole run, generate and compile it unless it is built; return the repeat."""
    device.reinit()
    device.activate(build_on_run=False, directory=str(folder))
    seed(0)
    defaultclock.dt = 1 * ms
    duration = n_steps * ms
    constants = CONSTANTS | {
        "stimulus": TimedArray(images / 255.0 * rate_hz * Hz, dt=duration, name="stimulus")
    }
    inputs = NeuronGroup(
        784, INPUT, threshold="rand() < rates * dt", reset="x = 1", method="exact", namespace=constants,
        name="inputs",
    )  # fmt: skip
    adapt = "; theta += theta_plus" if learn else ""
    excitatory = NeuronGroup(
        N_NEURONS, EXCITATORY, threshold="v > v_thresh_e + theta", refractory=5 * ms, method="exact",
        reset=f"v = v_reset_e; y = 1; count += 1{adapt}", namespace=constants, name="excitatory",
    )  # fmt: skip
    inhibitory = NeuronGroup(
        N_NEURONS, INHIBITORY, threshold="v > v_thresh_i", reset="v = v_reset_i", refractory=2 * ms,
        method="exact", namespace=constants, name="inhibitory",
    )  # fmt: skip
    rule = {
        "on_pre": "v_post += w; w = clip(w - nu_pre * y_post, 0, 1)",
        "on_post": "w = clip(w + nu_post * x_pre, 0, 1)",
    }
    plastic = Synapses(
        inputs, excitatory, "w : 1", **(rule if learn else {"on_pre": "v_post += w"}), namespace=constants,
        name="plastic",
    )  # fmt: skip
    plastic.connect()
    weights = np.random.default_rng(0).uniform(0.0, 0.3, (784, N_NEURONS))
    plastic.w = (weights * (78.4 / weights.sum(axis=0))).ravel()
    up = Synapses(excitatory, inhibitory, on_pre="v_post += exc", namespace=constants, name="up")
    up.connect(j="i")
    down = Synapses(inhibitory, excitatory, on_pre="v_post -= inh", namespace=constants, name="down")
    down.connect(condition="i != j")
    excitatory.v, inhibitory.v = CONSTANTS["v_rest_e"], CONSTANTS["v_rest_i"]
    # At the start of every image: column sums, then the state.
    excitatory.run_regularly("v = v_rest_e; y = 0; total = 0", dt=duration, when="start", order=0)
    inhibitory.run_regularly("v = v_rest_i", dt=duration, when="start", order=0)
    inputs.run_regularly("x = 0", dt=duration, when="start", order=0)
    if learn:
        plastic.run_regularly("total_post += w", dt=duration, when="start", order=1)
        plastic.run_regularly("w = w * norm / total_post", dt=duration, when="start", order=2)
    run(len(images) * duration)
    device.build(directory=str(folder), compile=not built, run=False, with_output=False)

    def repeat() -> tuple[int, float, float | None]:
        device.run(str(folder), with_output=False)
        # The time of the run loop alone, as the binary itself took it: no loading, no construction of synapses.
        seconds = float((folder / "results" / "last_run_info.txt").read_text().split()[0])
        if learn:
            sums = np.asarray(plastic.w[:]).reshape(784, N_NEURONS).sum(axis=0)
            if not 40.0 < sums.mean() < 120.0:
                raise RuntimeError(
                    f"weights are not normalised: mean column sum {sums.mean():.1f}, expected near 78.4"
                )
        return len(images), seconds, float(np.sum(excitatory.count[:])) / len(images)

    return repeat


def prepare(n_steps: int, rate_hz: float, learn: bool) -> Repeat:
    images = first(options.images, IMAGES_PER_REPEAT, options.limit)
    key = json.dumps([version("brian2"), Path(__file__).read_text(), n_steps, rate_hz, learn, len(images)])
    folder = options.work / hashlib.sha256(key.encode()).hexdigest()[:16]
    built = (folder / "built").exists()
    repeat = simulate(folder, images, n_steps, rate_hz, learn, built)
    (folder / "built").touch()
    repeat()
    return repeat


prefs.codegen.cpp.extra_compile_args_gcc = [
    "-w",
    "-O3",
    "-ffast-math",
    "-fno-finite-math-only",
    "-march=native",
    "-std=c++11",
]
prefs.devices.cpp_standalone.openmp_threads = 0
prefs.devices.cpp_standalone.extra_make_args_unix = ["-j1"]
set_device("cpp_standalone", build_on_run=False, directory=str(options.work / "unused"))

serve(
    {
        f"C++ standalone, {what} {name}": partial(prepare, *setting, what == "train")
        for name, setting in SETTINGS.items()
        for what in ("train", "infer")
    },
    ["brian2", "numpy"],
    "float64, -O3 -ffast-math -march=native, no OpenMP, dt 1 ms, traces kept per neuron; time of the generated "
    "program's run loop: no compilation, no loading",
    "float64; an inhibitory layer (22.5 up, 120 down, all but self) instead of direct inhibition; pair STDP at "
    "every spike and normalisation per image instead of windowed learning; several winners a step; v stands still "
    "while refractory; one Bernoulli draw per pixel and step",
)
