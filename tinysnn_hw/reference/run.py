"""Running images through a batch of networks, one image after another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tinysnn_hw.errors import SpecError
from tinysnn_hw.reference.constants import Constants, constants_of, eta, eta_pre, inhibition
from tinysnn_hw.reference.dynamics import (
    Fired,
    Registers,
    drive,
    finish_image,
    learn_window,
    onset,
    step,
)
from tinysnn_hw.reference.pairwise import decay_post, inhibitory_step, learn_pairs, mark_post
from tinysnn_hw.reference.spikes import Rasters, SpikeFeed, Window, feed_of
from tinysnn_hw.reference.state import ReferenceState, Specs, spec_list
from tinysnn_hw.spec.network import NetworkSpec

PHASES = ("train", "label", "test")

_COUNTED = ("updates", "normalizations", "inhibitory_spikes", "depressions")


@dataclass(frozen=True, slots=True)
class ReferenceResult:
    """What a run produced, for ``B`` networks.

    Attributes
    ----------
    counts : int64[B, n_images, n_neurons]
        Output spikes.
    activity : dict of str to int64[B]
        ``input_spikes``, ``output_spikes``, ``updates`` (one per learner and window), ``normalizations`` (one per
        column), ``inhibitory_spikes``, ``depressions`` (synapses that depression concerns).
    trace : dict of str to array
        With ``record``, every register at the end of every step, [B, image, step, index]: `v_mem`, `v_th`, `theta`,
        `refractory_count`, in training `n_post`, `n_window`, `x_pre`, `c_pre`, and where the network has them `x_post`,
        `v_inh`, `inhibitory_count`; ``margin``, ``v_mem - v_th`` when neurons are compared (-inf: held); ``winner``
        and, with inhibitory neurons, ``inhibitory_winner`` [B, image, step], -1 for none; in training ``weight`` after
        every image [B, image, input, neuron] and ``weight_window`` after every window [B, image, window, input,
        neuron].
    """

    counts: npt.NDArray[np.int64]
    activity: dict[str, npt.NDArray[np.int64]]
    trace: dict[str, npt.NDArray[np.generic]]


@torch.no_grad()
def run(
    specs: Specs,
    raster: Rasters,
    state: ReferenceState,
    *,
    phase: str,
    first: int = 0,
    n_presentations: int | None = None,
    record: bool = False,
) -> ReferenceResult:
    """Run the images of a raster one after another, all networks at once.

    Parameters
    ----------
    specs : NetworkSpec or sequence of NetworkSpec
        One per network, or one for all. Values may differ; sizes, steps, windows, rule, learners, trace and kind of
        inhibition may not.
    raster : Raster or sequence of Raster
        One per network, or one for all.
    state : ReferenceState
        Updated in training, left alone else. Its dtype and device are those of the computation.
    phase : {"train", "label", "test"}
    first : int
        Presentation number of the first image.
    n_presentations : int, optional
        Length of the whole training, which the schedules are spread over; required in training.
    record : bool
        Record every register after every step.

    Returns
    -------
    ReferenceResult

    Raises
    ------
    SpecError
        Specs, rasters, state and phase do not belong together.
    """
    networks = spec_list(specs, state.n_networks)
    size, n_steps = networks[0].network, networks[0].encoding.n_steps
    if tuple(state.weight.shape[1:]) != (size.inputs, size.neurons):
        raise SpecError(
            f"the state has weights of shape {tuple(state.weight.shape)}; network {networks[0].name!r} has "
            f"{size.inputs} inputs and {size.neurons} neurons"
        )
    c = constants_of(networks, state.weight)
    if bool((state.v_th <= c.v_reset).any()):
        raise SpecError("the state has an effective threshold at or below neuron.v_reset; it must lie above")
    feed = feed_of(raster, networks, state.weight.device)
    learn = _check_phase(phase, first, feed.n_images, n_presentations)
    result = _Collector(c, feed, learn, record)
    window = networks[0].learning.update_steps
    times = torch.arange(n_steps, device=state.weight.device, dtype=state.weight.dtype)
    for image in range(feed.n_images):
        rates = _Rates.of(c, first + image if learn else None, n_presentations)
        r = onset(state)
        for begin in range(0, n_steps, window):
            end = min(begin + window, n_steps)
            events = feed.window(image, begin, end)
            # With inhibitory neurons a spike needs one step from neuron to neuron, from the inputs too.
            arriving = feed.window(image, begin - 1, end - 1) if c.layer else events
            # Weights stand still within a window, so the currents of all its steps are known at its start.
            driven = drive(c, arriving.currents(state.weight))
            onset_x_pre = r.x_pre
            for k, t in enumerate(times[begin:end]):
                if c.pairwise and learn:
                    decay_post(c, r)
                if c.layer:
                    inhibitory_step(c, r, t, rates.inhibition)
                    result.inhibitory(r)
                fired = step(c, state, r, t, driven[:, k], rates.direct, learn=learn)
                if c.pairwise and learn:
                    mark_post(c, r)
                if learn:
                    ends = k + 1 == window
                    if not c.window_trace and (ends or record):
                        r.x_pre = decayed_trace(c, onset_x_pre, events, k + 1)
                    if ends:
                        _learn(c, state, r, rates, events, begin // window, result)
                result.step(state, r, t, fired)
        if learn:
            result.count("normalizations", finish_image(c, state, r).sum(dim=1))
        result.image(state, r)
    return result.result()


def _learn(
    c: Constants,
    state: ReferenceState,
    r: Registers,
    rates: _Rates,
    events: Window,
    u: int,
    result: _Collector,
) -> None:
    if c.pairwise:
        columns, depressed = learn_pairs(c, state, r, rates.eta, rates.eta_pre, events)
        result.count("depressions", depressed)
    else:
        columns = learn_window(c, state, r, rates.eta, events, u)
    result.count("updates", columns.sum(dim=1))
    result.window(state)


def _check_phase(phase: str, first: int, n_images: int, n_presentations: int | None) -> bool:
    """Refuse what is no phase or no training; return whether it is training."""
    if phase not in PHASES:
        raise SpecError(f"phase = {phase!r}; allowed: {', '.join(PHASES)}")
    if phase != "train":
        return False
    if first < 0 or n_presentations is None or first + n_images > n_presentations:
        raise SpecError(
            f"n_presentations = {n_presentations}: training images {first} to {first + n_images - 1} need the length "
            f"of the whole training, at least {first + n_images}, and a first presentation of 0 or more"
        )
    return True


@dataclass(frozen=True, slots=True)
class _Rates:
    """What the schedules give an image, each [B, 1]; ``direct`` is the inhibition that a spike itself exerts."""

    eta: Tensor
    eta_pre: Tensor
    inhibition: Tensor
    direct: Tensor

    @classmethod
    def of(cls, c: Constants, presentation: int | None, n_presentations: int | None) -> _Rates:
        """Return the rates of a training presentation, or for None those of labelling and test."""

        def column(value: Callable[[NetworkSpec, int], float]) -> Tensor:
            if presentation is None or n_presentations is None:
                return torch.zeros_like(c.v_th)
            pieces = [presentation * spec.learning.schedule_pieces // n_presentations for spec in c.specs]
            return c.v_th.new_tensor([[value(*pair)] for pair in zip(c.specs, pieces, strict=True)])

        if presentation is None:
            strength = c.v_th.new_tensor([[spec.inhibition.strength] for spec in c.specs])
        else:
            strength = column(inhibition)
        return cls(
            column(eta), column(eta_pre), strength, torch.zeros_like(strength) if c.layer else strength
        )


def decayed_trace(c: Constants, x_pre: Tensor, events: Window, n_steps: int) -> Tensor:
    """Return `x_pre` after the first ``n_steps`` steps of a window, from its value [B, n_inputs] before them."""
    if c.spec.learning.trace_mode == "set":
        # Of pair-wise learning, whose windows are single steps.
        return torch.where(events.counts(x_pre) > 0.0, 1.0, x_pre * c.trace_factor)
    return x_pre * c.trace_factor**n_steps + events.decayed_counts(c.trace_factor, n_steps)


class _Collector:
    """Counts, activity and, when asked, the registers of a run."""

    def __init__(self, c: Constants, feed: SpikeFeed, learn: bool, record: bool) -> None:
        self.c, self.train, self.record = c, learn, record
        self.n_images, self.input_spikes = feed.n_images, feed.input_spikes()
        self.counts: list[Tensor] = []
        self.totals = {name: c.index.new_zeros(c.n_networks) for name in _COUNTED}
        self.kept: dict[str, list[Tensor]] = {}

    def count(self, what: str, amount: Tensor) -> None:
        """Add an amount of each network, [B]."""
        self.totals[what] += amount.to(torch.int64)

    def inhibitory(self, r: Registers) -> None:
        self.count("inhibitory_spikes", r.inhibitory_spiked.sum(dim=1))

    def _keep(self, **tensors: Tensor) -> None:
        if self.record:
            for name, tensor in tensors.items():
                self.kept.setdefault(name, []).append(tensor.clone())

    def window(self, state: ReferenceState) -> None:
        self._keep(weight_window=state.weight)

    def step(self, state: ReferenceState, r: Registers, t: Tensor, fired: Fired) -> None:
        if not self.record:
            return
        self._keep(
            v_mem=r.v_mem,
            v_th=state.v_th,
            theta=state.theta,
            refractory_count=(r.held_until - t).clamp(min=0.0),
            winner=fired.winner[:, 0],
            margin=torch.where(fired.free > 0.0, fired.margin, -math.inf),
        )
        if self.train:
            self._keep(n_post=r.n_post, n_window=r.n_window, x_pre=r.x_pre, c_pre=r.c_pre)
        if self.train and self.c.pairwise:
            self._keep(x_post=r.x_post)
        if self.c.layer:
            fires, which = r.inhibitory_spiked.max(dim=1)
            self._keep(
                v_inh=r.v_inh,
                inhibitory_count=(r.inhibitory_held_until - t).clamp(min=0.0),
                inhibitory_winner=torch.where(fires > 0.0, which, self.c.nobody[:, 0]),
            )

    def image(self, state: ReferenceState, r: Registers) -> None:
        self.counts.append(r.n_post)
        if self.train:
            self._keep(weight=state.weight)

    def result(self) -> ReferenceResult:
        counts = torch.stack(self.counts, dim=1).cpu().numpy().astype(np.int64)
        activity = {
            "input_spikes": np.array(self.input_spikes, np.int64),
            "output_spikes": counts.sum(axis=(1, 2)),
        }
        activity |= {name: total.cpu().numpy() for name, total in self.totals.items()}
        trace = {}
        for name, tensors in self.kept.items():
            course = torch.stack(tensors, dim=1).cpu()
            # [B, image * places, ...] to [B, image, places, ...]; weights after every image have one place.
            shape = (course.shape[0], self.n_images, -1, *course.shape[2:])
            trace[name] = course.reshape(shape).numpy()
        if "weight" in trace:
            trace["weight"] = trace["weight"][:, :, 0]
        return ReferenceResult(counts, activity, trace)
