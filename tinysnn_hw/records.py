"""Frozen results that cross rooms; imports nothing of the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRange:
    """What one register saw.

    Attributes
    ----------
    format : str
        Number format, such as ``s8.8``.
    min_raw, max_raw : int
        Smallest and largest raw value written.
    min, max : float
        The same as real numbers, in the unit of the register.
    saturated_low, saturated_high : int
        Writes that left the range of the format at its lower and upper end.
    """

    format: str
    min_raw: int
    max_raw: int
    min: float
    max: float
    saturated_low: int
    saturated_high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What happened in a run [events], summed over its images.

    Attributes
    ----------
    images, steps_per_image : int
    input_spikes : int
        Input events delivered; each costs one weight row.
    output_spikes : int
    updates : int
        Columns of weights learned (one neuron in one window).
    normalizations : int
        Columns normalised.
    inhibitory_spikes : int
        Spikes of inhibitory neurons; 0 where inhibition is direct.
    depressions : int
        Synapses that depression concerns at input events; 0 for rules without it.
    """

    images: int
    steps_per_image: int
    input_spikes: int
    output_spikes: int
    updates: int
    normalizations: int
    inhibitory_spikes: int = 0
    depressions: int = 0

    def __add__(self, other: Activity) -> Activity:
        """Return the activity of both runs together; their images must have as many steps."""
        if self.steps_per_image != other.steps_per_image:
            raise ValueError(f"steps_per_image differ: {self.steps_per_image} and {other.steps_per_image}")
        return Activity(
            images=self.images + other.images,
            steps_per_image=self.steps_per_image,
            input_spikes=self.input_spikes + other.input_spikes,
            output_spikes=self.output_spikes + other.output_spikes,
            updates=self.updates + other.updates,
            normalizations=self.normalizations + other.normalizations,
            inhibitory_spikes=self.inhibitory_spikes + other.inhibitory_spikes,
            depressions=self.depressions + other.depressions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Outcome of an evaluation.

    Attributes
    ----------
    accuracy : float
        Percent, by the `naive_bayes` readout.
    readouts : mapping of str to float
        Accuracy of every readout [percent].
    confusion : mapping of str to int64[n_classes, n_classes]
        Per readout: rows are true classes, columns predicted ones.
    n_images : int
    spikes_per_image : float
        Mean output spikes.
    silent_images : int
        Images without a single output spike.
    registers : mapping of str to RegisterRange
        Empty for a floating-point network.
    activity : Activity
    images_per_s : float
        Simulation speed, encoding included.
    data : str
        What the accuracy is measured on.
    """

    accuracy: float
    readouts: Mapping[str, float]
    confusion: Mapping[str, npt.NDArray[np.int64]]
    n_images: int
    spikes_per_image: float
    silent_images: int
    registers: Mapping[str, RegisterRange]
    activity: Activity
    images_per_s: float
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryItem:
    """One parameter group of Eq. 4: ``bits = count * width``."""

    name: str
    kind: str
    """``weights`` or ``neurons``."""
    count: int
    width: int

    @property
    def bits(self) -> int:
        """Footprint of the group [bit]."""
        return self.count * self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Everything `validate` finds out about one network.

    Attributes
    ----------
    network, recipe, data : str
    fixed, float64 : Result
        The same network in fixed point and in float64, trained and tested on the same spikes.
    training : mapping of str to RegisterRange
        Registers over the whole fixed-point training.
    registers : mapping of str to RegisterRange
        Registers over training, labelling and test together.
    memory : mapping
        ``memory_bits``, ``memory_bits_fp32`` and the table of accountings, see `tinysnn_hw.cost`.
    train_images_per_s, inference_images_per_s, float_train_images_per_s : float
    kernel : str
        Which kernel ran, such as ``fast w8 l16``.
    config, versions : mapping
        Complete configuration and versions of the run.
    """

    network: str
    recipe: str
    data: str
    fixed: Result
    float64: Result
    training: Mapping[str, RegisterRange]
    registers: Mapping[str, RegisterRange]
    memory: Mapping[str, object]
    train_images_per_s: float
    inference_images_per_s: float
    float_train_images_per_s: float
    kernel: str
    config: Mapping[str, object]
    versions: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())
