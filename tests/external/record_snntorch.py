"""Record what one snnTorch `Leaky` neuron does; run with an interpreter that has snnTorch, not needed by the tests.

python tests/external/record_snntorch.py > tests/external/snntorch.json
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import numpy as np

BETA, THRESHOLD, N_STEPS, N_INPUTS = 0.9375, 1.0, 400, 12
"""snnTorch keeps its constants in float32, which holds these exactly."""


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Return weights [n_inputs] and events [step, input]."""
    rng = np.random.default_rng(7)
    return 0.2 * rng.random(N_INPUTS), rng.poisson(0.08, size=(N_STEPS, N_INPUTS))


def leaky() -> tuple[list[float], list[int]]:
    """Return membrane and spike of every step, in float64."""
    import torch
    from snntorch import Leaky

    weight, events = drawn()
    neuron = Leaky(beta=BETA, threshold=THRESHOLD, reset_mechanism="zero").double()
    membrane = torch.zeros(1, dtype=torch.float64)
    potentials, spikes = [], []
    for current in events @ weight:
        spike, membrane = neuron(torch.tensor([current], dtype=torch.float64), membrane)
        potentials.append(float(membrane.detach()))
        spikes.append(int(spike.detach()))
    return potentials, spikes


def main() -> None:
    potentials, spikes = leaky()
    versions = {name: version(name) for name in ("snntorch", "torch", "numpy")}
    about = {"script": "tests/external/record_snntorch.py", **versions}
    json.dump({"about": about, "potentials": potentials, "spikes": spikes}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
