"""One network loaded into a kernel's own storage, ready to run any number of rasters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cpu import generic
from tinysnn_hw.engine.cpu.plan import column_positions, padded
from tinysnn_hw.engine.lower import Lowered
from tinysnn_hw.engine.run import (
    NetworkState,
    RunResult,
    check_overflow,
    check_run,
    choose_plan,
    empty_stats,
    image_schedule,
)
from tinysnn_hw.errors import SpecError

if TYPE_CHECKING:
    from tinysnn_hw.data.raster import Raster

_RECORDED = ("v_mem", "refractory_count", "v_th", "theta", "n_post", "n_window")


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
        self, lowered: Lowered, state: NetworkState, *, kernel: str = "auto", max_events: int, record: bool = False
    ) -> None:
        plan = None if kernel == "generic" or record else choose_plan(lowered, max_events)
        if kernel == "fast" and plan is None:
            raise SpecError(
                f"kernel = 'fast': its narrow lanes are not proven exact for network {lowered.spec.name!r} with these "
                "formats (or while recording); use 'auto' or 'generic'"
            )
        self.lowered = lowered
        self.plan = plan
        self.max_events = max_events
        self.record = record
        self.theta = state.theta.copy()
        self.v_th = state.v_th.copy()
        if plan is None:
            self.weight = state.weight.copy()
            return
        p = lowered.params
        self.columns = column_positions(p.n_neurons, plan)
        self.rows = np.zeros((p.n_inputs, padded(p.n_neurons)), plan.row)
        self.rows[:, self.columns] = state.weight << p.sum_shift
        self.master = np.ascontiguousarray(state.weight.T).astype(plan.row)

    @property
    def kernel(self) -> str:
        """Name of the kernel that runs."""
        return "generic" if self.plan is None else self.plan.name

    def store(self, state: NetworkState) -> None:
        """Copy the registers back into ``state``."""
        state.theta[:] = self.theta
        state.v_th[:] = self.v_th
        state.weight[:] = self.weight if self.plan is None else self.master.T

    def run(
        self, raster: Raster, *, phase: str, seed: int, first: int = 0, n_presentations: int | None = None
    ) -> RunResult:
        """Run the images of a raster; arguments as in `tinysnn_hw.engine.run`."""
        check_run(self.lowered, raster, phase, seed, "auto")
        if raster.max_events_per_step > self.max_events:
            raise SpecError(
                f"raster has {raster.max_events_per_step} events in one step; this session was proven for at most "
                f"{self.max_events}"
            )
        p = self.lowered.params
        n_images = raster.n_images
        eta, inhibition = image_schedule(self.lowered, phase, first, n_images, n_presentations)
        counts = np.zeros((n_images, p.n_neurons), np.uint16)
        stats = empty_stats()
        activity = np.zeros(len(P.ACTIVITY), np.int64)
        learn = phase == "train"
        head = (p, learn, P.PHASES[phase], np.uint32(seed), first, raster.offsets, raster.inputs, eta, inhibition)
        trace: dict[str, np.ndarray] = {}
        if self.plan is None:
            if self.record:
                trace = self._empty_trace(n_images)
            none3 = np.zeros((1, 1, 1), np.int64)
            none2 = np.zeros((1, 1), np.int64)
            generic.run_images(
                *head, self.lowered.x_scale, self.weight, self.theta, self.v_th, counts, stats, activity, self.record,
                *(trace.get(name, none3) for name in (*_RECORDED, "x_pre", "c_pre")),
                trace.get("winner", none2), trace.get("weight", none3),
            )  # fmt: skip
        else:
            from tinysnn_hw.engine.cpu import fast

            cut = p.v_shift + (P.DECAY_BITS if p.leak == P.LEAK_MULTIPLY else 0)
            fast.run_images(
                *head, self.lowered.x_scale,
                P.rounding_bias(p.v_rounding, cut), P.rounding_bias(p.w_rounding, p.x_frac + p.eta_frac),
                P.rounding_bias(p.w_rounding, P.DECAY_BITS), P.rounding_bias(p.x_rounding, P.DECAY_BITS),
                self.rows, self.columns, self.master, np.zeros(0, self.plan.lane), self.theta, self.v_th,
                counts, stats, activity,
            )  # fmt: skip
        for row, frozen in ((P.STAT_WEIGHT, self._weights()), (P.STAT_V_TH, self.v_th)):
            stats[row, P.STAT_MIN] = min(stats[row, P.STAT_MIN], int(frozen.min()))
            stats[row, P.STAT_MAX] = max(stats[row, P.STAT_MAX], int(frozen.max()))
        check_overflow(self.lowered, stats)
        return RunResult(counts, stats, activity, self.kernel, trace)

    def _weights(self) -> np.ndarray:
        return self.weight if self.plan is None else self.master

    def _empty_trace(self, n_images: int) -> dict[str, np.ndarray]:
        p = self.lowered.params
        trace = {name: np.zeros((n_images, p.n_steps, p.n_neurons), np.int64) for name in _RECORDED}
        trace |= {name: np.zeros((n_images, p.n_steps, p.n_inputs), np.int64) for name in ("x_pre", "c_pre")}
        trace["winner"] = np.zeros((n_images, p.n_steps), np.int64)
        trace["weight"] = np.zeros((n_images, p.n_inputs, p.n_neurons), np.int64)
        return trace
