"""Recorded training images, and every change of a weight in them: as the rule asks for it and as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import numpy.typing as npt

from tinysnn_hw.data import Raster, SpikeDataset
from tinysnn_hw.data.encode import encoding_tables
from tinysnn_hw.engine import Lowered, NetworkState, empty_stats, initial_state, lower, run
from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu import generic_learning as kernel
from tinysnn_hw.errors import SpecError
from tinysnn_hw.learning import Model
from tinysnn_hw.learning.stream import Data, Stream, check_data

Ints = npt.NDArray[np.int64]
WHEN = ("start", "end")


@dataclass(frozen=True, slots=True)
class Recording:
    """One training image with every register after every step.

    Attributes
    ----------
    presentation : int
    raster : Raster
        Its spikes, one image.
    before, after : int64[n_inputs, n_neurons]
        Raw weights at onset and at the end.
    trace : dict of str to array
        As in `tinysnn_hw.engine.RunResult`, without the axis of images.
    """

    presentation: int
    raster: Raster
    before: Ints
    after: Ints
    trace: dict[str, Ints]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCounts:
    """What became of the changes of weights; sums are in LSB of `weight`.

    Attributes
    ----------
    updates : int
        Writes of a weight by the learning rule.
    asked : int
        Those of which the rule asks a change other than 0.
    lost : int
        Changes asked for after which the weight is what it was.
    below_lsb : int
        Changes asked for that are smaller than one LSB.
    negative, negative_below_lsb, negative_whole : int
        Falls asked for; those smaller than one LSB; of these, those written as a whole LSB.
    fall_asked, fall_written, rise_asked, rise_written : float
        Sums of the falls and of the rises that were asked for, and of what was written for them.
    largest : float
        Size of the largest change asked for.
    """

    updates: int = 0
    asked: int = 0
    lost: int = 0
    below_lsb: int = 0
    negative: int = 0
    negative_below_lsb: int = 0
    negative_whole: int = 0
    fall_asked: float = 0.0
    fall_written: float = 0.0
    rise_asked: float = 0.0
    rise_written: float = 0.0
    largest: float = 0.0

    def __add__(self, other: UpdateCounts) -> UpdateCounts:
        """Return the counts of both together."""
        sums = {item.name: getattr(self, item.name) + getattr(other, item.name) for item in fields(self)}
        return UpdateCounts(**{**sums, "largest": max(self.largest, other.largest)})

    @property
    def lost_share(self) -> float:
        """Share of the changes asked for that rounding took away."""
        return self.lost / self.asked if self.asked else 0.0

    @property
    def below_lsb_share(self) -> float:
        """Share of the changes asked for that are smaller than one LSB."""
        return self.below_lsb / self.asked if self.asked else 0.0

    @property
    def drain(self) -> float:
        """Fall written per fall asked for; 1 without bias."""
        return self.fall_written / self.fall_asked if self.fall_asked else 1.0


def record_training(model: Model, data: Data, n_images: int, when: str = "end") -> Iterator[Recording]:
    """Yield training images with every register after every step.

    Parameters
    ----------
    model : Model
        Fixed point.
    data : Dataset or SpikeDataset
        The one it was trained on.
    n_images : int
        At most as many as were presented.
    when : {"start", "end"}
        ``start``: the first images of the training, from the initial state: bit for bit what happened there.
        ``end``: the last images shown again to the trained network, which goes on learning.

    Yields
    ------
    Recording

    Raises
    ------
    SpecError
        The model is not fixed point, or ``when`` is unknown.
    """
    if model.arithmetic != "fixed":
        raise SpecError(
            f"arithmetic = {model.arithmetic!r}: only a fixed-point model has registers to record"
        )
    if when not in WHEN:
        raise SpecError(f"when = {when!r}; allowed: {', '.join(WHEN)}")
    check_data(model.network, data)
    lowered, network = lower(model.network), model.network
    tables = None if isinstance(data, SpikeDataset) else encoding_tables(network.encoding)
    stream = Stream(data, network, tables, model.spike_seed, "train", data.n_train, network.learning.epochs)
    n_images = min(n_images, stream.total)
    state = initial_state(lowered, model.seed) if when == "start" else cast("NetworkState", model.state)
    first = 0 if when == "start" else stream.total - n_images
    for presentation in range(first, first + n_images):
        raster = stream.raster(presentation, 1)
        before = state.weight.copy()
        result = run(
            lowered, state, raster, phase="train", seed=model.seed, first=presentation,
            n_presentations=stream.total, record=True,
        )  # fmt: skip
        yield Recording(
            presentation,
            raster,
            before,
            state.weight.copy(),
            {name: array[0] for name, array in result.trace.items()},
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """The learning of one recorded image.

    Attributes
    ----------
    counts : UpdateCounts
    weight : int64[n_inputs, n_neurons]
        Raw weights at the image's end: those of the recording.
    changes : list of int64 arrays
        Every change asked for, with `update_bits` bits below the LSB of `weight`.
    """

    counts: UpdateCounts
    weight: Ints
    changes: list[Ints]


def update_bits(lowered: Lowered) -> int:
    """Return the bits below the LSB of `weight` on which every change asked for is exact."""
    p = lowered.params
    return max(p.syn.x_frac + p.syn.eta_frac, p.pair.y_frac + p.pair.eta_frac)


def replay(lowered: Lowered, seed: int, total: int, recording: Recording) -> Replayed:
    """Repeat the learning of a recorded image and compare every change asked for with the one written.

    Parameters
    ----------
    lowered : Lowered
    seed : int
        Of the training.
    total : int
        Presentations of the whole training.
    recording : Recording

    Returns
    -------
    Replayed
    """
    p, syn = lowered.params, lowered.params.syn
    piece = recording.presentation * len(lowered.eta) // total
    eta, eta_pre = int(lowered.eta[piece]), int(lowered.eta_pre[piece])
    presentation, key = np.uint32(recording.presentation), np.uint32(seed)
    winner, x_pre = recording.trace["winner"], recording.trace["x_pre"]
    weight, stats = recording.before.copy(), empty_stats()
    n_post, n_window = np.zeros(p.n_neurons, np.int64), np.zeros(p.n_neurons, np.int64)
    learned = np.zeros(p.n_neurons, bool)
    counts, changes = UpdateCounts(), []
    for t in range(p.n_steps):
        if winner[t] >= 0:
            n_post[winner[t]] += 1
            n_window[winner[t]] += 1
        if p.pair.on:
            x_post = np.ascontiguousarray(recording.trace["x_post"][t])
            falls, written = _depress(
                lowered, key, presentation, t, eta_pre, recording.raster, n_post, x_post, weight
            )
            counts += _count(falls, p.pair.y_frac + p.pair.eta_frac, written)
            changes.append(falls << (update_bits(lowered) - p.pair.y_frac - p.pair.eta_frac))
            learners = np.flatnonzero((n_window > 0) & (n_post >= p.pair.n_essential))
        elif (t + 1) % p.update_steps:
            continue
        else:
            learners = np.flatnonzero(n_window)
            if p.learners == P.LEARN_WINNER and len(learners):
                learners = np.array([n_window.argmax()])
        k_eta = int(kernel.potentiation(syn, np.int64(n_post.max()))) * eta
        u = (t + 1) // p.update_steps - 1
        trace = np.ascontiguousarray(x_pre[t])
        for j in learners.tolist():
            old = weight[:, j].copy()
            change = _asked(lowered, k_eta, trace, old)
            kernel.learn_column(syn, p.pair.soft, key, presentation, u, j, k_eta, weight, trace, stats)
            concerned = np.ones(len(old), bool) if not p.pair.on else trace > 0
            change, written = change[concerned], (weight[:, j] - old)[concerned]
            counts += _count(change, syn.x_frac + syn.eta_frac, written)
            changes.append(change << (update_bits(lowered) - syn.x_frac - syn.eta_frac))
            learned[j] = True
        n_window[:] = 0
    if syn.weight_sum:
        for j in np.flatnonzero(learned).tolist():
            kernel.normalize_column(syn, key, presentation, j, weight, stats)
    return Replayed(counts, weight, changes)


def _asked(lowered: Lowered, k_eta: int, x_pre: Ints, w: Ints) -> Ints:
    """Return the change that the rule asks for, exactly, with ``x_frac + eta_frac`` bits below the LSB."""
    syn, pair = lowered.params.syn, lowered.params.pair
    if syn.rule == P.RULE_ATTRACT:
        return k_eta * (x_pre * syn.w_max - (w << syn.x_frac))
    if syn.rule == P.RULE_PAIRWISE and not pair.soft:
        return k_eta * x_pre * syn.w_max
    return k_eta * x_pre * (syn.w_max - w)


def _depress(
    lowered: Lowered, seed: np.uint32, presentation: np.uint32, t: int, eta_pre: int, raster: Raster, n_post: Ints,
    x_post: Ints, weight: Ints,
) -> tuple[Ints, Ints]:  # fmt: skip
    """Lower the weights of one step; return the changes asked for and those written."""
    p = lowered.params
    inputs = raster.inputs[raster.offsets[0, t] : raster.offsets[0, t + 1]]
    rows = np.unique(inputs).astype(np.int64)
    columns = np.flatnonzero((x_post > 0) & (n_post >= p.pair.n_essential))
    block = np.ix_(rows, columns)
    old = weight[block]
    change = -eta_pre * x_post[columns] * (old if p.pair.soft else p.syn.w_max)
    n_events = np.bincount(inputs, minlength=p.n_inputs)
    kernel.depress(
        p.pair, p.syn, seed, presentation, t, eta_pre, n_events, n_post, x_post, weight, empty_stats()
    )
    return np.broadcast_to(change, old.shape).ravel(), (weight[block] - old).ravel()


def _count(change: Ints, shift: int, written: Ints) -> UpdateCounts:
    """Count the changes asked for, with ``shift`` bits below the LSB, against those written."""
    lsb = 1 << shift
    asked, falls, rises = change != 0, change < 0, change > 0
    small = asked & (np.abs(change) < lsb)
    return UpdateCounts(
        updates=len(change),
        asked=int(asked.sum()),
        lost=int((asked & (written == 0)).sum()),
        below_lsb=int(small.sum()),
        negative=int(falls.sum()),
        negative_below_lsb=int((falls & small).sum()),
        negative_whole=int((falls & small & (written == -1)).sum()),
        fall_asked=float(-change[falls].sum()) / lsb,
        fall_written=float(-written[falls].sum()),
        rise_asked=float(change[rises].sum()) / lsb,
        rise_written=float(written[rises].sum()),
        largest=float(np.abs(change).max(initial=0)) / lsb,
    )


__all__ = [
    "WHEN", "Recording", "Replayed", "UpdateCounts", "record_training", "replay", "update_bits",
]  # fmt: skip
