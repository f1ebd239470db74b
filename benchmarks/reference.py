"""Speed of the float reference in PyTorch: one network, 16 networks at once, and a plain loop over one network.

    python benchmarks/reference.py [--images 6] [--rounds 5] [--neurons 400] [--networks 1 16] [--at-least 5]

One thread, float32, training. The plain loop is what one writes first: the same network, one step after another, the
step's spikes times the whole weight matrix, boolean masks, every register updated in every step. It is held against
the reference: same spikes, same weights to 1e-4. Images are random spots of about MNIST's mean intensity, so no data
are needed; each of several networks has its own seed and its own spikes. The rows take turns, so that a busy machine
slows all alike. The table shows the median of networks x images per second and the median ratio to the plain loop of
the same turn. With ``--at-least`` the program fails if the last row's ratio is smaller.
"""

from __future__ import annotations

import argparse
import platform
import time
from statistics import median

import numpy as np
import torch

from tinysnn_hw import reference
from tinysnn_hw.data import Raster
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.reference.constants import eta, inhibition
from tinysnn_hw.spec import NetworkSpec, load_network


def spots(n_images: int, n_inputs: int) -> np.ndarray:
    """Random images with MNIST's share of dark pixels and its mean intensity."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(50, 256, size=(n_images, n_inputs)) * (rng.random((n_images, n_inputs)) < 0.22)
    return pixels.astype(np.uint8)


@torch.no_grad()
def plain_loop(spec: NetworkSpec, raster: Raster, weight: torch.Tensor) -> torch.Tensor:
    """Train one `tinysnn` network in the obvious way, changing ``weight`` [n_inputs, n_neurons]; return counts."""
    neuron, learning, n_neurons = spec.neuron, spec.learning, spec.network.neurons
    assert (neuron.leak, learning.rule, learning.learners) == ("multiply", "potentiate", "spikers")
    assert (
        learning.trace == "exponential"
        and learning.weight_sum
        and neuron.v_floor is not None
        and neuron.v_th_cap
    )
    leak, decay = np.exp(-1 / neuron.tau_mem), np.exp(-1 / learning.tau_trace)
    theta, all_counts = torch.zeros(n_neurons), []
    for image in range(raster.n_images):
        spikes = torch.from_numpy(raster.slice(slice(image, image + 1)).to_dense(np.uint8)[0]).to(
            weight.dtype
        )
        piece = image * learning.schedule_pieces // raster.n_images
        v, refractory = torch.zeros(n_neurons), torch.zeros(n_neurons)
        n_post, n_window, learned = (
            torch.zeros(n_neurons),
            torch.zeros(n_neurons),
            torch.zeros(n_neurons, dtype=torch.bool),
        )
        x = torch.zeros(spec.network.inputs)
        for t in range(spec.encoding.n_steps):
            x = x * decay + spikes[t]
            held = refractory > 0
            refractory = torch.where(held, refractory - 1, refractory)
            v = torch.where(held, neuron.v_reset, (v + spikes[t] @ weight) * leak)
            margin = torch.where(held, -torch.inf, v - neuron.v_th - theta)
            winner = int(margin.argmax())
            if margin[winner] >= 0:
                v = torch.where(held, v, (v - inhibition(spec, piece)).clamp(min=neuron.v_floor))
                v[winner], refractory[winner] = neuron.v_reset, neuron.refractory
                n_post[winner] += 1
                n_window[winner] += 1
                theta[winner] = min(theta[winner] + neuron.theta_plus, neuron.v_th_cap - neuron.v_th)
            if (t + 1) % learning.update_steps == 0:
                k = np.ceil(float(n_post.max()) / learning.n_th) if learning.potentiation == "eq1" else 1.0
                j = n_window > 0
                weight[:, j] += k * eta(spec, piece) * x[:, None] * (learning.w_max - weight[:, j])
                weight.clamp_(0.0, learning.w_max)
                learned |= j
                n_window.zero_()
        scaled = weight[:, learned]
        weight[:, learned] = (scaled * learning.weight_sum / scaled.sum(dim=0)).clamp(max=learning.w_max)
        theta *= np.exp(-spec.encoding.n_steps / neuron.tau_theta)
        all_counts.append(n_post)
    return torch.stack(all_counts)


def check(spec: NetworkSpec, raster: Raster) -> None:
    """Stop unless the plain loop and the reference are the same network."""
    state = reference.initial_state(spec, [0], dtype=torch.float64)
    weight = state.weight[0].to(torch.float32)
    counts = plain_loop(spec, raster, weight)
    result = reference.run(spec, raster, state, phase="train", n_presentations=raster.n_images)
    if (
        not np.array_equal(counts.numpy(), result.counts[0])
        or np.abs(weight.numpy() - state.weight[0].numpy()).max() > 1e-4
    ):
        raise SystemExit("the plain loop and the reference disagree; nothing was measured")
    print(f"checked: {int(counts.sum())} spikes of {raster.n_images} images are the same in both")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--neurons", type=int, default=400)
    parser.add_argument("--networks", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--at-least", type=float, default=0.0, metavar="RATIO")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = load_network("tinysnn", neurons=options.neurons)
    tables = encoding_tables(spec.encoding)
    images = spots(options.images, spec.network.inputs)
    rasters = [
        encode(images, tables, spikes=spec.encoding.train_spikes, phase="train", seed=seed)
        for seed in range(max(options.networks))
    ]
    check(spec, rasters[0])

    def loop() -> None:
        plain_loop(spec, rasters[0], reference.initial_state(spec, [0], dtype=torch.float32).weight[0])

    def batch(n: int) -> None:
        state = reference.initial_state(spec, range(n), dtype=torch.float32)
        reference.run(spec, rasters[:n], state, phase="train", n_presentations=options.images)

    rows = [("plain loop, 1 network", loop, 1)]
    rows += [(f"reference, {n} networks", lambda n=n: batch(n), n) for n in options.networks]
    speeds: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    for round_ in range(options.rounds + 1):
        for name, run, n_networks in rows:
            begin = time.perf_counter()
            run()
            if round_:  # the first round fills caches
                speeds[name].append(n_networks * options.images / (time.perf_counter() - begin))
    plain = speeds[rows[0][0]]
    ratios = {
        name: median(a / b for a, b in zip(values, plain, strict=True)) for name, values in speeds.items()
    }
    machine = platform.processor() or platform.machine()
    print(f"{machine}, PyTorch {torch.__version__}, one thread, {spec.network.neurons} neurons")
    print(f"{'':28}networks x images/s   of the plain loop")
    for name, values in speeds.items():
        print(f"{name:28}{median(values):19.1f}{ratios[name]:19.1f}x")
    if ratios[rows[-1][0]] < options.at_least:
        raise SystemExit(
            f"{rows[-1][0]}: {ratios[rows[-1][0]]:.1f}x of the plain loop, less than {options.at_least}x"
        )


if __name__ == "__main__":
    main()
