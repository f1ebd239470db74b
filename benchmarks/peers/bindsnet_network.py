"""BindsNET's DiehlAndCook2015 and DiehlAndCook2015v2: training and inference, one image after another."""

from __future__ import annotations

from functools import partial

import torch
from bindsnet.encoding import poisson
from bindsnet.models import DiehlAndCook2015, DiehlAndCook2015v2
from bindsnet.network.monitors import Monitor
from protocol import N_NEURONS, SETTINGS, Repeat, arguments, first, serve, timed

IMAGES_PER_REPEAT = 12

options = arguments()
torch.set_num_threads(1)


def prepare(model: type, n_steps: int, rate_hz: float, learn: bool) -> Repeat:
    torch.manual_seed(0)
    network = model(
        n_inpt=784, n_neurons=N_NEURONS, inh=120.0, dt=1.0, norm=78.4, theta_plus=0.05, nu=(1e-4, 1e-2),
        inpt_shape=(1, 28, 28),
    )  # fmt: skip
    network.train(learn)
    chosen = first(options.images, IMAGES_PER_REPEAT, options.limit)
    rates = torch.from_numpy(chosen.reshape(-1, 1, 28, 28).astype("float32")) / 255.0 * rate_hz

    def present(image: torch.Tensor) -> None:
        network.run(inputs={"X": poisson(image, time=n_steps, dt=1.0)}, time=n_steps)
        network.reset_state_variables()

    # Spikes are counted on images of their own, so that no monitor slows the repeats.
    monitor = Monitor(network.layers["Ae" if "Ae" in network.layers else "Y"], ["s"], time=n_steps)
    network.add_monitor(monitor, "count")
    spikes = 0
    for image in rates[:4]:
        network.run(inputs={"X": poisson(image, time=n_steps, dt=1.0)}, time=n_steps)
        spikes += int(monitor.get("s").sum())
        network.reset_state_variables()
    del network.monitors["count"]

    def repeat() -> tuple[int, float, float | None]:
        seconds = timed(lambda: [present(image) for image in rates])
        return len(rates), seconds, spikes / len(rates[:4])

    return repeat


serve(
    {
        f"{model.__name__}, {what} {name}": partial(prepare, model, *setting, what == "train")
        for model in (DiehlAndCook2015, DiehlAndCook2015v2)
        for name, setting in SETTINGS.items()
        for what in ("train", "infer")
    },
    ["bindsnet", "torch", "numpy"],
    "float32, batch 1, dt 1 ms, inh 120, theta_plus 0.05, nu (1e-4, 1e-2), norm 78.4; bindsnet.encoding.poisson, "
    "reset_state_variables per image, no monitors, one torch thread",
    "float32 dense; DiehlAndCook2015 has an inhibitory layer, v2 lateral inhibition; pair STDP at every step and "
    "normalisation per image instead of windowed learning; at most one excitatory spike a step, chosen at random; "
    "inter-spike intervals drawn from a Poisson distribution",
)
