"""What a network may be expected to do before it has run: an activity from its description alone."""

from __future__ import annotations

from tinysnn_hw.errors import SpecError
from tinysnn_hw.records import Activity
from tinysnn_hw.spec.network import NetworkSpec

OUTPUT_SPIKES_PER_IMAGE = 20.0
"""Assumed output spikes of one image; tinysnn and tinysnn-wta give 13 to 26 on MNIST and Fashion-MNIST."""
FULL_PIXEL = 255


def assumed_activity(
    spec: NetworkSpec,
    *,
    images: int = 10_000,
    input_spikes: float | None = None,
    output_spikes: float = OUTPUT_SPIKES_PER_IMAGE,
) -> Activity:
    """Return an activity assumed for a network.

    Parameters
    ----------
    spec : NetworkSpec
    images : int
        Images it stands for.
    input_spikes : float, optional
        Input events of one image; absent: a mean image at the network's rate, see the notes.
    output_spikes : float
        Output spikes of one image.

    Returns
    -------
    Activity

    Raises
    ------
    SpecError
        A number is out of range.

    Notes
    -----
    Without `input_spikes` an image is taken to have the total intensity ``encoding.gain_reference``, at most that of
    all inputs full: ``n_steps * rate_max_hz * dt * gain_reference / 255`` events.  Every output spike is taken to
    fall to another neuron and window as far as there are any, so updates and normalised columns are upper bounds for
    that number of spikes, as are depressed synapses.  An inhibitory neuron is taken to fire for every spike it gets.
    """
    if images < 1:
        raise SpecError(f"images = {images}; at least 1 is required")
    encoding, learning = spec.encoding, spec.learning
    if input_spikes is None:
        full = min(encoding.gain_reference / FULL_PIXEL, float(spec.network.inputs))
        input_spikes = encoding.n_steps * encoding.rate_max_hz * encoding.dt * full
    for name, value, most in (
        ("input_spikes", input_spikes, 16.0 * encoding.n_steps * spec.network.inputs),
        ("output_spikes", output_spikes, float(encoding.n_steps)),
    ):
        if not 0 <= value <= most:
            raise SpecError(f"{name} = {value} per image; 0 to {most:g} is possible for {spec.name}")
    windows = encoding.n_steps // learning.update_steps
    most_learners = 1 if learning.learners == "winner" else spec.network.neurons
    updates = min(output_spikes, float(windows * most_learners))
    depressed = 0.0
    if learning.rule == "pairwise":
        # With n_essential, each of so many neurons is taken to be concerned from the first event on.
        able = output_spikes / learning.n_essential if learning.n_essential else float(spec.network.neurons)
        depressed = input_spikes * min(able, float(spec.network.neurons))
    normalized = min(updates, float(spec.network.neurons)) if learning.weight_sum is not None else 0.0
    return Activity(
        images=images,
        steps_per_image=encoding.n_steps,
        input_spikes=round(images * input_spikes),
        output_spikes=round(images * output_spikes),
        updates=round(images * updates),
        normalizations=round(images * normalized),
        inhibitory_spikes=round(images * output_spikes) if spec.inhibition.kind == "layer" else 0,
        depressions=round(images * depressed),
    )


__all__ = ["OUTPUT_SPIKES_PER_IMAGE", "assumed_activity"]
