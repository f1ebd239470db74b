"""What is modelled: one network with its neurons, inhibition, learning, encoding and number formats.

Every class is frozen and validated.  Potentials are relative to rest, in millivolts: a threshold of
-52 mV at a rest of -65 mV is written 13.  Times of the network are in steps of ``encoding.dt`` seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, PlainSerializer, model_validator

from tinysnn_hw.fixed.format import Format
from tinysnn_hw.fixed.modes import Overflow, Rounding
from tinysnn_hw.spec.fields import SpecModel, quantity


def _parse_format(value: object) -> object:
    return Format.parse(value)  # type: ignore[arg-type]  # the refusal is what is wanted


def _parse_rounding(value: object) -> object:
    return Rounding.parse(value)  # type: ignore[arg-type]


def _parse_overflow(value: object) -> object:
    return Overflow.parse(value)  # type: ignore[arg-type]


FormatField = Annotated[Format, BeforeValidator(_parse_format), PlainSerializer(str)]
RoundingField = Annotated[
    Rounding, BeforeValidator(_parse_rounding), PlainSerializer(lambda mode: mode.name.lower())
]
OverflowField = Annotated[
    Overflow, BeforeValidator(_parse_overflow), PlainSerializer(lambda mode: mode.name.lower())
]


class SizeSpec(SpecModel):
    """Number of inputs and neurons."""

    inputs: int = quantity("inputs", ge=1, le=65535)
    """Input channels; one per pixel."""
    neurons: int = quantity("neurons", ge=1, le=65536)
    """Excitatory neurons."""


class NeuronSpec(SpecModel):
    """Leaky integrate-and-fire neuron with an adaptive threshold."""

    leak: Literal["none", "shift", "multiply", "subtract"] = quantity("-")
    """Decay of `v_mem` each step: none, ``u - (u >> leak_shift)``, ``u * exp(-1/tau_mem)``, or a constant."""
    leak_shift: int = quantity("bits", default=7, ge=1, le=15)
    """Shift of the shift leak."""
    tau_mem: float = quantity("steps", default=100.0, gt=0.5, le=1e6)
    """Time constant of the multiply leak."""
    leak_step: float = quantity("mV", default=0.0, ge=0)
    """Constant of the subtract leak, toward rest."""
    v_reset: float = quantity("mV", default=0.0)
    """`v_mem` after a spike and while refractory."""
    v_floor: float | None = quantity("mV", default=None)
    """Lower bound that inhibition respects; absent: the lowest value of the format."""
    refractory: int = quantity("steps", ge=0, le=1000)
    """Steps a neuron is held at `v_reset` after a spike."""
    v_th: float = quantity("mV", gt=0)
    """Base threshold."""
    v_th_cap: float | None = quantity("mV", default=None)
    """Largest value of ``v_th + theta``; absent: no cap."""
    theta_plus: float = quantity("mV", ge=0)
    """Step of the adaptive threshold at each training spike."""
    theta_forget: Literal["none", "subtract", "multiply"] = quantity("-", default="none")
    """How `theta` falls after each training image: not, by a constant, or by ``exp(-n_steps/tau_theta)``."""
    theta_forget_spikes: float = quantity("spikes", default=0.0, ge=0)
    """With ``subtract``: every `theta` falls by ``theta_plus * theta_forget_spikes / neurons`` per image."""
    tau_theta: float = quantity("steps", default=1e7, gt=0)
    """With ``multiply``: time constant of `theta`."""

    @model_validator(mode="after")
    def _check(self) -> NeuronSpec:
        if self.v_th_cap is not None and self.v_th_cap < self.v_th:
            raise ValueError(
                f"v_th_cap = {self.v_th_cap} is below v_th = {self.v_th}; it must be at least v_th"
            )
        if self.v_floor is not None and self.v_floor > min(0.0, self.v_reset):
            raise ValueError(
                f"v_floor = {self.v_floor} must not lie above rest (0) or v_reset = {self.v_reset}"
            )
        if self.v_reset >= self.v_th:
            raise ValueError(f"v_reset = {self.v_reset} must lie below v_th = {self.v_th}")
        return self


class InhibitionSpec(SpecModel):
    """Lateral inhibition: a spike, or that of an inhibitory neuron, lowers every other neuron."""

    kind: Literal["direct", "layer"] = quantity("-", default="direct")
    """``direct``: the spike itself inhibits (paper, section 2.1); ``layer``: inhibitory neurons do."""
    strength: float = quantity("mV", ge=0)
    """Amount subtracted from every other neuron's `v_mem` at a spike."""
    start: float = quantity("1", default=1.0, ge=0, le=1)
    """Factor on `strength` at the first training image."""
    ramp: float = quantity("1", default=0.5, gt=0, le=1)
    """Fraction of the training after which the factor, rising linearly, has reached 1."""


class InhibitorySpec(SpecModel):
    """Inhibitory neurons of ``inhibition.kind = "layer"``: one per neuron, excited by it alone."""

    excitation: float = quantity("mV", gt=0)
    """Amount a spike adds to the potential of the neuron's own inhibitory neuron."""
    tau_mem: float = quantity("steps", gt=0.5, le=1e6)
    """Time constant of the leak of `v_inh`."""
    v_th: float = quantity("mV", gt=0)
    """Threshold."""
    v_reset: float = quantity("mV", default=0.0)
    """`v_inh` after a spike and while refractory."""
    refractory: int = quantity("steps", ge=0, le=1000)
    """Steps an inhibitory neuron is held at `v_reset` after a spike."""

    @model_validator(mode="after")
    def _check(self) -> InhibitorySpec:
        if self.v_reset >= self.v_th:
            raise ValueError(f"v_reset = {self.v_reset} must lie below v_th = {self.v_th}")
        return self


_EVERY_STEP: dict[str, object] = {
    "update_steps": 1, "learners": "spikers", "potentiation": "constant", "trace": "exponential",
}  # fmt: skip
"""What pair-wise learning, which acts at every spike, requires of the fields of windowed learning."""


class LearningSpec(SpecModel):
    """Learning in windows (paper, Eq. 1 and 2, and a variant without normalisation), or at every spike."""

    rule: Literal["potentiate", "attract", "pairwise"] = quantity("-")
    """``potentiate``: w += k eta x (w_max - w), Eq. 2; ``attract``: w += k eta (x w_max - w); ``pairwise``: STDP."""
    learners: Literal["spikers", "winner"] = quantity("-")
    """Neurons that learn at a window's end: all that spiked in it, or the one with most spikes."""
    update_steps: int = quantity("steps", ge=1)
    """Length of the learning window."""
    potentiation: Literal["eq1", "constant"] = quantity("-")
    """``eq1``: k = ceil(max_n / n_th); ``constant``: k = 1."""
    n_th: int = quantity("spikes", default=4, ge=1, le=65535)
    """Threshold of Eq. 1."""
    trace: Literal["exponential", "window"] = quantity("-")
    """`x_pre`: a decaying sum of spikes, or the windowed input count over its full-rate value."""
    tau_trace: float = quantity("steps", default=20.0, gt=0.5, le=1e6)
    """Time constant of the exponential trace."""
    eta_start: float = quantity("1", gt=0, lt=1)
    """Learning rate `eta_post` at the first image."""
    eta_end: float = quantity("1", gt=0, lt=1)
    """Learning rate at the last image."""
    eta_pre_start: float | None = quantity("1", default=None, gt=0, lt=1)
    """Rate `eta_pre` of depression at the first image; ``pairwise`` only."""
    eta_pre_end: float | None = quantity("1", default=None, gt=0, lt=1)
    """Rate of depression at the last image; ``pairwise`` only."""
    soft_bounds: bool = quantity("-", default=False)
    """``pairwise``: depression is proportional to w, potentiation to w_max - w; else both to w_max."""
    n_essential: int = quantity("spikes", default=0, ge=0, le=65535)
    """``pairwise``: a neuron's weights change only once it has fired so often in the image; 0: always."""
    trace_mode: Literal["add", "set"] = quantity("-", default="add")
    """A spike adds 1 to its exponential trace, or sets it to 1 (``pairwise`` only)."""
    eta_schedule: Literal["geometric", "cosine", "linear"] = quantity("-", default="geometric")
    """Course of the learning rate between its ends."""
    schedule_pieces: int = quantity("pieces", default=24, ge=1, le=4096)
    """Learning rate and inhibition are constant within each of so many equal pieces of the training."""
    weight_sum: float | None = quantity("1", default=None, gt=0)
    """Column sum a neuron's weights are normalised to after an image in which it learned; absent: never."""
    w_max: float = quantity("1", default=1.0, gt=0)
    """Largest weight; a format that cannot hold it bounds it (u0.8: 255/256)."""
    w_init_low: float = quantity("1", default=0.0, ge=0)
    """Lower end of the uniform initial weights."""
    w_init_high: float = quantity("1", gt=0)
    """Upper end (exclusive) of the uniform initial weights."""
    epochs: int = quantity("epochs", default=1, ge=1, le=1000)
    """Passes over the training images."""
    shuffle: bool = quantity("-", default=False)
    """Present the images of every epoch in a new order drawn from the seed; else in file order."""

    @model_validator(mode="after")
    def _check(self) -> LearningSpec:
        if self.w_init_high <= self.w_init_low:
            raise ValueError(f"w_init_high = {self.w_init_high} must exceed w_init_low = {self.w_init_low}")
        if self.eta_end > self.eta_start:
            raise ValueError(f"eta_end = {self.eta_end} must not exceed eta_start = {self.eta_start}")
        if self.rule == "pairwise":
            self._check_pairwise()
        else:
            for name, default in (
                ("eta_pre_start", None), ("eta_pre_end", None), ("soft_bounds", False), ("n_essential", 0),
                ("trace_mode", "add"),
            ):  # fmt: skip
                if getattr(self, name) != default:
                    raise ValueError(
                        f"{name} = {getattr(self, name)!r} has no meaning with rule = {self.rule!r}; leave it out, or "
                        "set rule = 'pairwise'"
                    )
        return self

    def _check_pairwise(self) -> None:
        for name, needed in _EVERY_STEP.items():
            if getattr(self, name) != needed:
                raise ValueError(
                    f"{name} = {getattr(self, name)!r}: rule = 'pairwise' learns at every spike and needs "
                    f"{name} = {needed!r}"
                )
        if self.eta_pre_start is None or self.eta_pre_end is None:
            raise ValueError(
                f"eta_pre_start = {self.eta_pre_start}, eta_pre_end = {self.eta_pre_end}: rule = 'pairwise' needs both"
            )
        if self.eta_pre_end > self.eta_pre_start:
            raise ValueError(
                f"eta_pre_end = {self.eta_pre_end} must not exceed eta_pre_start = {self.eta_pre_start}"
            )


class EncodingSpec(SpecModel):
    """Rate coding: pixel intensity to spike trains."""

    n_steps: int = quantity("steps", ge=1, le=65535)
    """Steps per image."""
    dt: float = quantity("s", default=1e-3, gt=0)
    """Length of a step."""
    rate_max_hz: float = quantity("Hz", gt=0)
    """Rate of a full pixel (255)."""
    intensity_exponent: float = quantity("1", default=1.0, gt=0)
    """rate = rate_max_hz * (pixel / 255) ** intensity_exponent."""
    gain: Literal["none", "total"] = quantity("-", default="none")
    """``total``: intervals are scaled by the image's total intensity over `gain_reference`."""
    gain_reference: int = quantity("pixel sum", default=26122, ge=1, le=1 << 32)
    """Total intensity at which the gain is 1 (26122: the mean over MNIST's training images)."""
    gain_min: float = quantity("1", default=0.25, gt=0, le=1024)
    """Lower clip of the gain."""
    gain_max: float = quantity("1", default=4.0, gt=0, le=1024)
    """Upper clip of the gain."""
    train_spikes: Literal["poisson", "regular", "pooled"] = quantity("-")
    """Spikes in training: a Poisson process per pixel, evenly spaced with a random phase, or the Poisson process of
    all pixels together (the statistics of ``poisson``, faster)."""
    inference_spikes: Literal["poisson", "regular", "pooled"] = quantity("-")
    """Spike statistics in labelling and test."""

    @model_validator(mode="after")
    def _check(self) -> EncodingSpec:
        if self.gain_max < self.gain_min:
            raise ValueError(f"gain_max = {self.gain_max} must not lie below gain_min = {self.gain_min}")
        if self.rate_max_hz * self.dt > 16:
            raise ValueError(
                f"rate_max_hz * dt = {self.rate_max_hz * self.dt}: at most 16 events per step and pixel"
            )
        return self


class RegisterSpec(SpecModel):
    """Number format of one register and how values are cut to it."""

    format: FormatField = quantity("format")
    """Integer and fraction width, such as s8.8 or u0.8."""
    rounding: RoundingField = quantity("-", default=Rounding.NEAREST)
    """How dropped bits are rounded."""
    overflow: OverflowField = quantity("-", default=Overflow.SATURATE)
    """What happens beyond the range."""
    rand_bits: int = quantity("bits", default=32, ge=1, le=32)
    """Random bits one stochastic rounding uses."""


class FormatsSpec(SpecModel):
    """One number format per register."""

    weight: RegisterSpec
    v_mem: RegisterSpec
    """Membrane potential; unsigned where neither `v_reset` nor `v_floor` is negative."""
    v_th: RegisterSpec
    """Effective threshold ``v_th + theta``, one word per neuron."""
    theta: RegisterSpec
    """Adaptive part of the threshold, stored in training only."""
    x_pre: RegisterSpec
    """Pre-synaptic trace."""
    c_pre: RegisterSpec
    """Windowed input count; used by the ``window`` trace."""
    eta: RegisterSpec
    """Learning-rate constant."""
    v_inh: RegisterSpec | None = None
    """Membrane potential of the inhibitory neurons; of networks with ``inhibition.kind = "layer"``."""
    x_post: RegisterSpec | None = None
    """Post-synaptic trace; of networks with ``learning.rule = "pairwise"``."""
    eta_pre: RegisterSpec | None = None
    """Constant of depression; of networks with ``learning.rule = "pairwise"``."""
    guard_bits: int = quantity("bits", default=0, ge=0, le=16)
    """Extra fraction bits of the accumulator below the finer of the weight and `v_mem` grids."""

    @model_validator(mode="after")
    def _check(self) -> FormatsSpec:
        for name, signed in (
            ("weight", None), ("v_mem", None), ("v_th", None), ("theta", False),
            ("x_pre", False), ("c_pre", False), ("eta", False),
            ("v_inh", True), ("x_post", False), ("eta_pre", False),
        ):  # fmt: skip
            if getattr(self, name) is None:
                continue
            fmt = getattr(self, name).format
            if signed is not None and fmt.signed is not signed:
                kind = "signed, such as s8.8" if signed else "unsigned, such as u1.8"
                raise ValueError(f"{name}: {fmt} must be {kind}")
        for name in ("x_pre", "eta", "x_post", "eta_pre"):
            register = getattr(self, name)
            fmt = None if register is None else register.format
            if fmt is not None and fmt.frac_bits < 0:
                raise ValueError(f"{name}: {fmt} must not have negative fraction bits")
        if self.c_pre.format.frac_bits != 0:
            raise ValueError(f"c_pre: {self.c_pre.format} counts whole spikes; write u<width>.0")
        return self


REGISTERS = ("weight", "v_mem", "v_th", "theta", "x_pre", "c_pre", "eta", "v_inh", "x_post", "eta_pre")
"""Every register a file can give a format; the last three belong to some networks only."""


class NetworkSpec(SpecModel):
    """One network, complete: everything that decides a bit except seed and data."""

    name: str
    summary: str
    recipe: str
    """Which recipe of the file the values come from."""
    network: SizeSpec
    neuron: NeuronSpec
    inhibition: InhibitionSpec
    inhibitory: InhibitorySpec | None = None
    """The inhibitory neurons; of networks with ``inhibition.kind = "layer"``."""
    learning: LearningSpec
    encoding: EncodingSpec
    formats: FormatsSpec

    @model_validator(mode="after")
    def _check(self) -> NetworkSpec:
        if self.learning.update_steps > self.encoding.n_steps:
            raise ValueError(
                f"learning.update_steps = {self.learning.update_steps} exceeds encoding.n_steps = "
                f"{self.encoding.n_steps}: no window would ever end, so nothing would be learned"
            )
        layer, pairwise = self.inhibition.kind == "layer", self.learning.rule == "pairwise"
        kind, rule = f"inhibition.kind = {self.inhibition.kind!r}", f"learning.rule = {self.learning.rule!r}"
        for name, value, needed, cause, other in (
            ("[inhibitory]", self.inhibitory, layer, kind, "layer"),
            ("formats.v_inh", self.formats.v_inh, layer, kind, "layer"),
            ("formats.x_post", self.formats.x_post, pairwise, rule, "pairwise"),
            ("formats.eta_pre", self.formats.eta_pre, pairwise, rule, "pairwise"),
        ):
            if needed and value is None:
                raise ValueError(f"{name} is missing; {cause} needs it")
            if not needed and value is not None:
                raise ValueError(f"{name} is given, but {cause} has no use for it; only {other!r} has")
        return self


__all__ = [
    "REGISTERS", "EncodingSpec", "FormatsSpec", "InhibitionSpec", "InhibitorySpec", "LearningSpec",
    "NetworkSpec", "NeuronSpec", "RegisterSpec", "SizeSpec",
]  # fmt: skip
