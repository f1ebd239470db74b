"""snnTorch's Leaky: a 784-400 layer, one torch.nn.Linear and one Leaky call per step, as its tutorials do."""

from __future__ import annotations

from functools import partial

import snntorch
import torch
from protocol import N_NEURONS, SETTINGS, Repeat, arguments, bernoulli, first, serve, timed

IMAGES_PER_REPEAT = {1: 12, 128: 128}

options = arguments()
torch.set_num_threads(1)


def prepare(batch: int, n_steps: int, rate_hz: float) -> Repeat:
    torch.manual_seed(0)
    linear = torch.nn.Linear(784, N_NEURONS, bias=False)
    with torch.no_grad():
        linear.weight.uniform_(0.0, 0.3)
    neurons = snntorch.Leaky(beta=0.99, threshold=13.0, reset_mechanism="zero")
    chosen = first(options.images, IMAGES_PER_REPEAT[batch], options.limit)
    spikes = torch.from_numpy(bernoulli(chosen, n_steps, rate_hz)).float()
    parts = [part.transpose(0, 1).contiguous() for part in spikes.split(batch)]

    @torch.no_grad()
    def simulate() -> torch.Tensor:
        total = torch.zeros(N_NEURONS)
        for part in parts:
            memory = neurons.init_leaky()
            for step in range(n_steps):
                fired, memory = neurons(linear(part[step]), memory)
                total += fired.sum(dim=0)
        return total

    spikes_per_image = float(simulate().sum()) / len(chosen)
    return lambda: (len(chosen), timed(simulate), spikes_per_image)


serve(
    {
        f"LIF layer, batch {batch}, infer 350/63.75": partial(prepare, batch, *SETTINGS["350/63.75"])
        for batch in IMAGES_PER_REPEAT
    },
    ["snntorch", "torch", "numpy"],
    "float32, Leaky(beta 0.99, threshold 13, reset to zero), Linear without bias per step, one torch thread",
    "a dense LIF layer alone: no lateral inhibition, adaptive threshold, refractory time or learning; spikes drawn "
    "beforehand, not timed",
)
