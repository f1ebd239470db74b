"""Record what BindsNET's DiehlAndCook2015 does; run with an interpreter that has BindsNET, not needed by the tests.

    python tests/external/record_bindsnet.py > tests/external/bindsnet.json

Only BindsNET's public interface is used. The network is small and its input a plain Bernoulli raster, both drawn from
NumPy's PCG64, so that a test can draw them again. BindsNET resets every neuron that reaches its threshold in a step but
lets only one, drawn at random, send a spike; steps with several are counted, and seeds are tried until a run has none,
because only then are the spikes a property of the network and not of that draw.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version

import numpy as np

N_INPUTS, N_NEURONS, N_STEPS, N_IMAGES = 100, 16, 250, 6
RATE, WEIGHT_SUM = 0.045, 10.0
PARAMETERS = {"exc": 22.5, "inh": 120.0, "nu": (1e-4, 1e-2), "theta_plus": 0.05, "norm": WEIGHT_SUM}


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights [n_inputs, n_neurons] with columns of the right sum, and spikes [image, step, input]."""
    rng = np.random.default_rng(seed)
    weight = 0.3 * rng.random((N_INPUTS, N_NEURONS))
    # Every image drives another half of the inputs, so that the neurons become different.
    driven = rng.random((N_IMAGES, 1, N_INPUTS)) < 0.5
    spikes = rng.random((N_IMAGES, N_STEPS, N_INPUTS)) < 2 * RATE * driven
    return weight * (WEIGHT_SUM / weight.sum(axis=0)), spikes


def record(seed: int) -> dict[str, object]:
    """Train BindsNET's network on the images of a seed, one step at a time."""
    import torch
    from bindsnet.models import DiehlAndCook2015

    torch.manual_seed(0)
    weight, spikes = drawn(seed)
    network = DiehlAndCook2015(
        n_inpt=N_INPUTS, n_neurons=N_NEURONS, inpt_shape=(1, N_INPUTS), device="cpu", **PARAMETERS
    )
    feature = network.connections["X", "Ae"].pipeline[0]
    feature.value.copy_(torch.from_numpy(weight).to(feature.value.dtype))
    excitatory, inhibitory = network.layers["Ae"], network.layers["Ai"]
    fired: dict[str, list[list[int]]] = {"excitatory": [], "inhibitory": []}
    crowded, weights = 0, []

    class Watch:
        """Sees the layers after every step, in BindsNET's own place for it."""

        def __init__(self, image: int) -> None:
            self.image, self.step = image, 0

        def record(self) -> None:
            nonlocal crowded
            crowded += int((excitatory.refrac_count == excitatory.refrac).sum() > 1)
            for name, layer in (("excitatory", excitatory), ("inhibitory", inhibitory)):
                fired[name] += [[self.image, self.step, int(j)] for j in layer.s.flatten().nonzero()]
            self.step += 1

        def reset_state_variables(self) -> None:
            pass

    for image in range(N_IMAGES):
        network.monitors.clear()
        network.add_monitor(Watch(image), name="watch")
        x = torch.from_numpy(spikes[image]).to(torch.uint8).view(N_STEPS, 1, 1, N_INPUTS)
        network.run(inputs={"X": x}, time=N_STEPS)
        network.reset_state_variables()
        weights.append(feature.value.detach().double().sum(dim=1).tolist())
    return {
        "seed": seed,
        "crowded_steps": crowded,
        **fired,
        "weight_row_sums": weights,
        "weight": [[round(w, 7) for w in row] for row in feature.value.detach().double().tolist()],
        "theta": excitatory.theta.double().tolist(),
    }


def main() -> None:
    for seed in range(200):
        recorded = record(seed)
        if not recorded["crowded_steps"]:
            break
    else:
        sys.exit(
            "every seed has a step in which several neurons reach their thresholds; nothing was recorded"
        )
    versions = {name: version(name) for name in ("bindsnet", "torch", "numpy")}
    about = {"script": "tests/external/record_bindsnet.py", "python": platform.python_version(), **versions}
    json.dump({"about": about, **recorded}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
