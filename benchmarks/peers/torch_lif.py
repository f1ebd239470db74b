"""A 784-400 layer of leaky integrate-and-fire neurons in plain torch: one matrix product, then a loop over steps."""

from __future__ import annotations

from functools import partial

import torch
from protocol import N_NEURONS, SETTINGS, Repeat, arguments, bernoulli, first, serve, timed

IMAGES_PER_REPEAT = {1: 32, 128: 128}

options = arguments()
torch.set_num_threads(1)


def prepare(batch: int, n_steps: int, rate_hz: float) -> Repeat:
    torch.manual_seed(0)
    weight = torch.rand(784, N_NEURONS) * 0.3
    chosen = first(options.images, IMAGES_PER_REPEAT[batch], options.limit)
    spikes = torch.from_numpy(bernoulli(chosen, n_steps, rate_hz)).float()
    parts = [part.transpose(0, 1).contiguous() for part in spikes.split(batch)]
    decay, threshold = 0.99, 13.0

    @torch.no_grad()
    def simulate() -> torch.Tensor:
        total = torch.zeros(N_NEURONS)
        for part in parts:
            current = part @ weight
            v = torch.zeros(part.shape[1], N_NEURONS)
            for step in range(n_steps):
                v = v * decay + current[step]
                fired = v >= threshold
                v = torch.where(fired, 0.0, v)
                total += fired.sum(dim=0)
        return total

    spikes_per_image = float(simulate().sum()) / len(chosen)
    return lambda: (len(chosen), timed(simulate), spikes_per_image)


serve(
    {
        f"LIF layer, batch {batch}, infer 350/63.75": partial(prepare, batch, *SETTINGS["350/63.75"])
        for batch in IMAGES_PER_REPEAT
    },
    ["torch", "numpy"],
    "float32, decay 0.99, threshold 13, reset to 0, one matrix product over all steps, one torch thread",
    "a dense LIF layer alone: no lateral inhibition, adaptive threshold, refractory time or learning; spikes drawn "
    "beforehand, not timed",
)
