"""Lava's bit-accurate LIF and Dense processes (tag fixed_pt) on the CPU: a 784-400 layer."""

from __future__ import annotations

from functools import partial

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF
from protocol import N_NEURONS, SETTINGS, Repeat, arguments, bernoulli, first, serve, timed

IMAGES_PER_REPEAT = 2

options = arguments()
running: list[LIF] = []


def prepare(n_steps: int, rate_hz: float) -> Repeat:
    chosen = first(options.images, IMAGES_PER_REPEAT, options.limit)
    spikes = bernoulli(chosen, n_steps, rate_hz).reshape(-1, 784).T.astype(np.int32)
    weights = np.random.default_rng(0).integers(0, 77, (N_NEURONS, 784))
    source = Source(data=spikes)
    dense = Dense(weights=weights)
    layer = LIF(shape=(N_NEURONS,), du=4095, dv=41, vth=3328, bias_mant=0)
    sink = Sink(shape=(N_NEURONS,), buffer=spikes.shape[1])
    source.s_out.connect(dense.s_in)
    dense.a_out.connect(layer.a_in)
    layer.s_out.connect(sink.a_in)
    config = Loihi2SimCfg(select_tag="fixed_pt", select_sub_proc_model=True)
    condition = RunSteps(num_steps=n_steps)
    layer.run(condition=condition, run_cfg=config)  # starts the processes; not timed
    running.append(layer)

    def repeat() -> tuple[int, float, float | None]:
        seconds = timed(lambda: [layer.run(condition=condition, run_cfg=config) for _ in chosen])
        return len(chosen), seconds, float(sink.data.get().sum()) / len(chosen)

    return repeat


if __name__ == "__main__":
    serve(
        {"LIF layer, fixed point, infer 350/63.75": partial(prepare, *SETTINGS["350/63.75"])},
        ["lava-nc", "numpy"],
        "Loihi2SimCfg, tag fixed_pt, LIF(du 4095, dv 41, vth 3328), Dense of 8-bit weights, RingBuffer in and out",
        "bit-accurate, but another neuron (current and membrane decay of 12 bits); a dense LIF layer alone: no lateral "
        "inhibition, adaptive threshold, refractory time or learning; spikes drawn beforehand, not timed",
    )
    for layer in running:
        layer.stop()
