"""Run a lowered network on a raster: state, kernel choice, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.lower import Lowered
from tinysnn_hw.engine.schedule import piece_of
from tinysnn_hw.errors import FixedPointOverflowError, SpecError
from tinysnn_hw.fixed.modes import Overflow

if TYPE_CHECKING:
    from tinysnn_hw.data.raster import Raster
    from tinysnn_hw.engine.cpu.plan import LanePlan
    from tinysnn_hw.engine.cpu.session import CpuSession, FloatSession

Int64Array = npt.NDArray[np.int64]

KERNELS = ("auto", "generic", "fast")


@dataclass(slots=True)
class NetworkState:
    """The registers that outlive an image, as raw integers.

    Attributes
    ----------
    weight : int64[n_inputs, n_neurons]
    theta : int64[n_neurons]
    v_th : int64[n_neurons]
        Effective threshold ``v_th + theta``.
    stats : int64[7, 4]
        What the initial writes contributed, see `RunResult.stats`.
    """

    weight: Int64Array
    theta: Int64Array
    v_th: Int64Array
    stats: Int64Array = field(default_factory=lambda: empty_stats())

    def copy(self) -> NetworkState:
        """Return an independent copy."""
        return NetworkState(self.weight.copy(), self.theta.copy(), self.v_th.copy(), self.stats.copy())


@dataclass(slots=True)
class FloatState:
    """The state of the float64 twin that outlives an image: ``weight``, ``theta`` and ``v_th`` in real units.

    With ``master`` given, learning acts on it and ``weight`` is its copy, cut to the format of `weight`.
    """

    weight: npt.NDArray[np.float64]
    theta: npt.NDArray[np.float64]
    v_th: npt.NDArray[np.float64]
    master: npt.NDArray[np.float64] | None = None

    def copy(self) -> FloatState:
        """Return an independent copy."""
        master = None if self.master is None else self.master.copy()
        return FloatState(self.weight.copy(), self.theta.copy(), self.v_th.copy(), master)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run produced.

    Attributes
    ----------
    counts : uint16[n_images, n_neurons]
        Output spikes.
    stats : int64[7, 4]
        Rows `weight`, `v_mem`, `v_th`, `theta`, `x_pre`, `v_inh`, `x_post`; columns smallest and largest raw
        value written, writes that saturated low and high.  A register that was never written has min > max.
    activity : int64[6]
        Input spikes, output spikes, columns learned, columns normalised, inhibitory spikes, synapses that
        depression concerns.
    kernel : str
        Which kernel ran.
    trace : dict of str to array
        With ``record``: every register after every step, ``[image, step, index]`` (``winner``: ``[image, step]``,
        -1 for none), and ``weight`` after every image.
    """

    counts: npt.NDArray[np.uint16]
    stats: Int64Array
    activity: Int64Array
    kernel: str
    trace: dict[str, Int64Array]


def empty_stats() -> Int64Array:
    """Return statistics of registers that were never written."""
    stats = np.zeros((len(P.STAT_REGISTERS), 4), np.int64)
    stats[:, P.STAT_MIN] = np.iinfo(np.int64).max
    stats[:, P.STAT_MAX] = np.iinfo(np.int64).min
    return stats


def merge_stats(a: Int64Array, b: Int64Array) -> Int64Array:
    """Return the statistics of two runs together."""
    merged = a + b
    merged[:, P.STAT_MIN] = np.minimum(a[:, P.STAT_MIN], b[:, P.STAT_MIN])
    merged[:, P.STAT_MAX] = np.maximum(a[:, P.STAT_MAX], b[:, P.STAT_MAX])
    return merged


def initial_state(lowered: Lowered, seed: int) -> NetworkState:
    """Return the registers before the first training image (docs/numerics.md, section 5)."""
    from tinysnn_hw.engine.cpu import generic

    p = lowered.params
    state = NetworkState(
        np.zeros((p.n_inputs, p.n_neurons), np.int64),
        np.zeros(p.n_neurons, np.int64),
        np.zeros(p.n_neurons, np.int64),
    )
    generic.initialize(p, np.uint32(seed), state.weight, state.theta, state.v_th, state.stats)
    return state


def initial_float_state(lowered: Lowered, seed: int, *, shadow: bool = False) -> FloatState:
    """Return the float64 twin before the first training image: the same draws, not rounded.

    With ``shadow`` they are the masters, and the weights in use are their copy in the format of `weight`.
    """
    from tinysnn_hw.engine.cpu import float64

    p = lowered.params
    weight = np.zeros((p.n_inputs, p.n_neurons))
    state = FloatState(
        weight, np.zeros(p.n_neurons), np.zeros(p.n_neurons), np.zeros_like(weight) if shadow else None
    )
    float64.initialize(
        p, float64.float_params(lowered), float64.shadow_params(lowered, on=shadow), np.uint32(seed), state.weight,
        state.weight if state.master is None else state.master, state.theta, state.v_th,
    )  # fmt: skip
    return state


def events_bound(lowered: Lowered, max_events: int) -> int:
    """Return the largest bound, by doubling, for which the storage plan of ``max_events`` still holds."""
    plan = choose_plan(lowered, max_events)
    bound = max(max_events, 1)
    while bound < 1 << 20 and choose_plan(lowered, 2 * bound) == plan:
        bound *= 2
    return bound


def open_session(
    lowered: Lowered, state: NetworkState | FloatState, raster: Raster, *, kernel: str = "auto"
) -> CpuSession | FloatSession:
    """Load a network into a kernel, proven for rasters like ``raster``; a `FloatState` gets the float64 twin."""
    from tinysnn_hw.engine.cpu.session import CpuSession, FloatSession

    if isinstance(state, FloatState):
        return FloatSession(lowered, state)
    bound = events_bound(lowered, raster.max_events_per_step)
    return CpuSession(lowered, state, kernel=kernel, max_events=bound)


def choose_plan(lowered: Lowered, max_events: int) -> LanePlan | None:
    """Return the fast kernel's storage plan for rasters with up to ``max_events`` events in a step, or None."""
    from tinysnn_hw.engine.cpu.plan import plan_lanes

    p = lowered.params
    if p.lay.on and not p.pair.on:
        return None
    inhibition = max(int(lowered.inhibition.max()), lowered.inhibition_full)
    return plan_lanes(p, int(lowered.eta.max()), inhibition, max_events)


def run(
    lowered: Lowered,
    state: NetworkState,
    raster: Raster,
    *,
    phase: str,
    seed: int,
    first: int = 0,
    n_presentations: int | None = None,
    kernel: str = "auto",
    record: bool = False,
) -> RunResult:
    """Run the images of a raster one after another.

    Parameters
    ----------
    lowered : Lowered
    state : NetworkState
        Updated in place in training, left alone else.
    raster : Raster
    phase : {"train", "label", "test"}
    seed : int
        0 to 2**32 - 1.
    first : int
        Presentation number of the first image.
    n_presentations : int, optional
        Length of the whole training, which the schedules are spread over; required in training.
    kernel : {"auto", "generic", "fast"}
        ``auto``: fast where it is proven exact, else generic.
    record : bool
        Record every register after every step (generic kernel only).

    Returns
    -------
    RunResult

    Raises
    ------
    SpecError
        The raster does not fit the network, or ``fast`` was asked for where it is not proven.
    """
    from tinysnn_hw.engine.cpu.session import CpuSession

    session = CpuSession(lowered, state, kernel=kernel, max_events=raster.max_events_per_step, record=record)
    result = session.run(raster, phase=phase, seed=seed, first=first, n_presentations=n_presentations)
    if phase == "train":
        session.store(state)
    return result


def check_run(lowered: Lowered, raster: Raster, phase: str, seed: int, kernel: str) -> None:
    """Refuse a raster, phase, seed or kernel that does not belong to the network."""
    check_shape(lowered, raster.n_inputs, raster.n_steps)
    check_run_arguments(phase, seed)
    if kernel not in KERNELS:
        raise SpecError(f"kernel = {kernel!r}; allowed: {', '.join(KERNELS)}")


def check_shape(lowered: Lowered, n_inputs: int, n_steps: int) -> None:
    """Refuse a raster of another shape than the network's."""
    p = lowered.params
    if (n_inputs, n_steps) != (p.n_inputs, p.n_steps):
        raise SpecError(
            f"raster has {n_inputs} inputs and {n_steps} steps; network {lowered.spec.name!r} needs "
            f"{p.n_inputs} inputs and {p.n_steps} steps (network.inputs, encoding.n_steps)"
        )


def check_run_arguments(phase: str, seed: int) -> None:
    """Refuse an unknown phase and a seed of more than 32 bits."""
    if phase not in P.PHASES:
        raise SpecError(f"phase = {phase!r}; allowed: {', '.join(P.PHASES)}")
    if not 0 <= seed < 1 << 32:
        raise SpecError(f"seed = {seed}; 0 to {(1 << 32) - 1} is allowed")


def schedule_pieces(
    lowered: Lowered, phase: str, first: int, n_images: int, n_presentations: int | None
) -> Int64Array | None:
    """Return the schedule piece of each training image, int64[n_images]; None in labelling and test."""
    if phase != "train":
        return None
    if n_presentations is None or first + n_images > n_presentations:
        raise SpecError(
            f"n_presentations = {n_presentations}: training images {first} to {first + n_images - 1} need the length "
            f"of the whole training, at least {first + n_images}"
        )
    return piece_of(first + np.arange(n_images), n_presentations, len(lowered.eta))


def check_overflow(lowered: Lowered, stats: Int64Array) -> None:
    """Raise when a register whose overflow mode is ``error`` left its range."""
    for row, name in enumerate(P.STAT_REGISTERS):
        register = getattr(lowered.spec.formats, name)
        low, high = int(stats[row, P.STAT_LOW]), int(stats[row, P.STAT_HIGH])
        if register is not None and name != "weight" and register.overflow == Overflow.ERROR and low + high:
            raise FixedPointOverflowError(
                f"formats.{name} = {register.format}: {low} writes fell below {register.format.min:g} and {high} rose "
                f"above {register.format.max:g} (overflow = error); widen the format or choose saturate"
            )
