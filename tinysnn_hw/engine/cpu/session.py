"""One network loaded into a kernel's own storage, ready to run any number of rasters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu import float64, float64_storage, generic
from tinysnn_hw.engine.cpu.plan import rounding_biases
from tinysnn_hw.engine.cpu.storage import store_weights
from tinysnn_hw.engine.lower import Lowered, prove
from tinysnn_hw.engine.run import (
    FloatState,
    NetworkState,
    RunResult,
    check_overflow,
    check_run,
    choose_plan,
    empty_stats,
    schedule_pieces,
)
from tinysnn_hw.errors import SpecError

if TYPE_CHECKING:
    from tinysnn_hw.data.raster import Raster

_RECORDED = ("v_mem", "refractory_count", "v_th", "theta", "n_post", "n_window")
_OF_LAYER = ("v_inh", "inhibitory_count", "inhibitory_winner")


class FloatSession:
    """The float64 twin of a network, with the interface of `CpuSession`; it has no registers to count.

    Parameters
    ----------
    lowered : Lowered
    state : FloatState
        Copied in; `store` copies it out.
    """

    kernel = "float64"

    def __init__(self, lowered: Lowered, state: FloatState) -> None:
        self.lowered = lowered
        self.weights = float64_storage.store_weights(state.weight, state.master)
        self.theta, self.v_th = state.theta.copy(), state.v_th.copy()
        self.constants = float64.float_params(lowered)
        self.shadow = float64.shadow_params(lowered, on=state.master is not None)
        self.schedule = float64.float_schedule(lowered)

    def store(self, state: FloatState) -> None:
        """Copy the values back into ``state``."""
        state.weight[:], state.theta[:], state.v_th[:] = self.weights.weight.T, self.theta, self.v_th
        if state.master is not None:
            state.master[:] = self.weights.master.T

    def fitting(self, raster: Raster) -> FloatSession:
        """Return the session itself: real numbers need no proof about the raster."""
        return self

    def run(
        self, raster: Raster, *, phase: str, seed: int, first: int = 0, n_presentations: int | None = None
    ) -> RunResult:
        """Run the images of a raster; arguments as in `tinysnn_hw.engine.run`."""
        check_run(self.lowered, raster, phase, seed, "auto")
        p, n_images = self.lowered.params, raster.n_images
        pieces = schedule_pieces(self.lowered, phase, first, n_images, n_presentations)
        full_inhibition = np.full(n_images, self.lowered.spec.inhibition.strength)
        nothing = np.zeros(n_images)
        eta = nothing if pieces is None else self.schedule.eta[pieces]
        eta_pre = nothing if pieces is None else self.schedule.eta_pre[pieces]
        inhibition = full_inhibition if pieces is None else self.schedule.inhibition[pieces]
        counts = np.zeros((n_images, p.n_neurons), np.uint16)
        activity = np.zeros(len(P.ACTIVITY), np.int64)
        float64.run_images(
            p, self.constants, self.shadow, phase == "train", np.uint32(seed), first, raster.offsets, raster.inputs,
            eta, eta_pre, inhibition, self.schedule.full, self.weights,
            float64_storage.make_scratch(p, shadow=bool(self.shadow.on)), self.theta, self.v_th, counts, activity,
        )  # fmt: skip
        return RunResult(counts, empty_stats(), activity, self.kernel, {})


class CpuSession:
    """A network in the storage of the chosen kernel.

    Parameters
    ----------
    lowered : Lowered
    state : NetworkState
        Copied in; `store` copies it out.
    kernel : {"auto", "generic", "fast"}
    max_events : int
        Bound on the events of one step in any raster that will be run; the proofs stand on it.
    record : bool
        Record every register after every step; needs the generic kernel.

    Notes
    -----
    In labelling and test a session is read-only, so several threads may `run` on it at once.
    """

    def __init__(
        self,
        lowered: Lowered,
        state: NetworkState,
        *,
        kernel: str = "auto",
        max_events: int,
        record: bool = False,
    ) -> None:
        plan = None if kernel == "generic" or record else choose_plan(lowered, max_events)
        if kernel == "fast" and plan is None:
            raise SpecError(
                f"kernel = 'fast': its narrow lanes are not proven exact for network {lowered.spec.name!r} with these "
                "formats (or while recording); use 'auto' or 'generic'"
            )
        self.lowered = lowered
        self.plan = plan
        self.requested = kernel
        self.max_events = max_events
        self.record = record
        self.theta = state.theta.copy()
        self.v_th = state.v_th.copy()
        self._ends: tuple[int, int] | None = None
        if plan is None:
            prove(lowered.params, int(lowered.eta.max()), max_events, int(lowered.eta_pre.max()))
            self.weight = state.weight.copy()
            return
        self.weights = store_weights(state.weight, plan, lowered.params.mem.sum_shift)
        self.biases = rounding_biases(lowered.params)

    @property
    def kernel(self) -> str:
        """Name of the kernel that runs."""
        return "generic" if self.plan is None else self.plan.name

    def store(self, state: NetworkState) -> None:
        """Copy the registers back into ``state``."""
        state.theta[:] = self.theta
        state.v_th[:] = self.v_th
        if self.plan is None:
            state.weight[:] = self.weight
        elif self.lowered.params.pair.on:
            state.weight[:] = self.weights.gathered() >> self.weights.shift
        else:
            state.weight[:] = self.weights.master.T

    def fitting(self, raster: Raster) -> CpuSession:
        """Return the session itself, or one proven for a raster with more events per step, holding the same bits."""
        if raster.max_events_per_step <= self.max_events:
            return self
        state = self.state()
        return CpuSession(
            self.lowered,
            state,
            kernel=self.requested,
            max_events=2 * raster.max_events_per_step,
            record=self.record,
        )

    def state(self) -> NetworkState:
        """Return the registers that outlive an image."""
        p = self.lowered.params
        state = NetworkState(
            np.zeros((p.n_inputs, p.n_neurons), np.int64), self.theta.copy(), self.v_th.copy()
        )
        self.store(state)
        return state

    def run(
        self, raster: Raster, *, phase: str, seed: int, first: int = 0, n_presentations: int | None = None
    ) -> RunResult:
        """Run the images of a raster; arguments as in `tinysnn_hw.engine.run`."""
        check_run(self.lowered, raster, phase, seed, self.requested)
        if raster.max_events_per_step > self.max_events:
            raise SpecError(
                f"raster has {raster.max_events_per_step} events in one step; this session was proven for at most "
                f"{self.max_events}"
            )
        p = self.lowered.params
        n_images = raster.n_images
        pieces = schedule_pieces(self.lowered, phase, first, n_images, n_presentations)
        if pieces is None:
            eta = eta_pre = np.zeros(n_images, np.int64)
            inhibition = np.full(n_images, self.lowered.inhibition_full, np.int64)
        else:
            eta, eta_pre = self.lowered.eta[pieces], self.lowered.eta_pre[pieces]
            inhibition = self.lowered.inhibition[pieces]
        counts = np.zeros((n_images, p.n_neurons), np.uint16)
        stats = empty_stats()
        activity = np.zeros(len(P.ACTIVITY), np.int64)
        learn = phase == "train"
        inputs = (learn, P.PHASES[phase], np.uint32(seed), first, raster.offsets, raster.inputs, eta)
        trace: dict[str, np.ndarray] = {}
        if self.plan is None:
            trace = self._empty_trace(n_images if self.record else 0)
            generic.run_images(
                p, *inputs, eta_pre, inhibition, self.lowered.x_scale, self.weight, self.theta, self.v_th, counts,
                stats, activity, self.record, tuple(trace.values()),
            )  # fmt: skip
        elif p.pair.on:
            from tinysnn_hw.engine.cpu import fast_pairwise

            fast_pairwise.run_images(
                p, self.biases, *inputs, eta_pre, inhibition, self.weights,
                fast_pairwise.make_scratch(p, self.plan), self.theta, self.v_th, counts, stats, activity,
            )  # fmt: skip
        else:
            from tinysnn_hw.engine.cpu import fast

            fast.run_images(
                p, self.biases, *inputs, inhibition, self.lowered.x_scale, self.weights,
                fast.make_scratch(p, self.plan), self.theta, self.v_th, counts, stats, activity,
            )  # fmt: skip
        ends = ((P.STAT_WEIGHT, self._weight_ends(learn)), (P.STAT_V_TH, (self.v_th.min(), self.v_th.max())))
        for row, (low, high) in ends:
            stats[row, P.STAT_MIN] = min(stats[row, P.STAT_MIN], int(low))
            stats[row, P.STAT_MAX] = max(stats[row, P.STAT_MAX], int(high))
        check_overflow(self.lowered, stats)
        return RunResult(counts, stats, activity, self.kernel, self._own(trace) if self.record else {})

    def _own(self, trace: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the recorded registers without those of other networks."""
        p = self.lowered.params
        foreign = (() if p.pair.on else ("x_post",)) + (() if p.lay.on else _OF_LAYER)
        return {name: array for name, array in trace.items() if name not in foreign}

    def _weight_ends(self, learned: bool) -> tuple[int, int]:
        """Return the smallest and the largest raw weight; they are looked up once until the network learns again."""
        if learned:
            self._ends = None
        if self._ends is None:
            if self.plan is None:
                values = self.weight
            elif self.lowered.params.pair.on:
                values = self.weights.extremes() >> self.weights.shift
            else:
                values = self.weights.master
            self._ends = (int(values.min()), int(values.max()))
        return self._ends

    def _empty_trace(self, n_images: int) -> dict[str, np.ndarray]:
        """Return the arrays of `generic.run_images`'s ``records``, by name and in its order."""
        p = self.lowered.params
        trace = {name: np.zeros((n_images, p.n_steps, p.n_neurons), np.int64) for name in _RECORDED}
        trace |= {name: np.zeros((n_images, p.n_steps, p.n_inputs), np.int64) for name in ("x_pre", "c_pre")}
        trace["weight"] = np.zeros((n_images, p.n_inputs, p.n_neurons), np.int64)
        trace["winner"] = np.zeros((n_images, p.n_steps), np.int64)
        for name, images in (("x_post", p.pair.on), ("v_inh", p.lay.on), ("inhibitory_count", p.lay.on)):
            trace[name] = np.zeros((n_images * images, p.n_steps, p.n_neurons), np.int64)
        trace["inhibitory_winner"] = np.zeros((n_images * p.lay.on, p.n_steps), np.int64)
        return trace
