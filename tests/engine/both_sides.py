"""What oracle and kernels leave of a run, as the same kind of dictionary, and where the two differ."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import assume

from tests.engine.random_networks import Case, Registers
from tinysnn_hw.data.raster import Raster
from tinysnn_hw.engine import Lowered, NetworkState, RunResult, lower
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.errors import SpecError

COUNTED = ("weight", "v_mem", "v_th", "theta", "x_pre", "v_inh", "x_post")
ACTIVITY = ("input_spikes", "output_spikes", "updates", "normalizations", "inhibitory_spikes", "depressions")
OF_NEURONS = ("v_mem", "refractory_count", "v_th", "theta", "n_post", "n_window")
OF_INPUTS = ("x_pre", "c_pre")
RECORDED = (*OF_NEURONS, *OF_INPUTS, "winner")
OF_LAYER = ("v_inh", "inhibitory_count", "inhibitory_winner")


def events_of(raster: Raster, image: int) -> list[list[int]]:
    return [raster.inputs[a:b].tolist() for a, b in pairwise(raster.offsets[image])]


def state_of(thing: Oracle | NetworkState) -> Registers:
    return {name: np.array(getattr(thing, name), dtype=np.int64) for name in ("weight", "theta", "v_th")}


def oracle_stats(oracle: Oracle) -> np.ndarray:
    rows = [list(oracle.stats[name]) for name in COUNTED]
    info = np.iinfo(np.int64)
    return np.array(
        [[info.max, info.min, *row[2:]] if row[0] is None else row for row in rows], dtype=np.int64
    )


def oracle_run(
    oracle: Oracle, raster: Raster, phase: Any, first: int, n_presentations: int | None
) -> Registers:
    """Show the oracle the images of a raster; counting starts anew."""
    oracle.clear_counts()
    images, weights = [], []
    for image in range(raster.n_images):
        images.append(
            oracle.present(
                events_of(raster, image),
                phase=phase,
                presentation=first + image,
                n_presentations=n_presentations,
            )
        )
        weights.append(copy.deepcopy(oracle.weight))
    seen: Registers = {"counts": np.array([trace.counts for trace in images], dtype=np.int64)}
    formats = oracle.spec.formats
    own = (*RECORDED, *(OF_LAYER if formats.v_inh else ()), *(("x_post",) if formats.x_post else ()))
    seen |= {
        f"trace.{name}": np.array([getattr(trace, name) for trace in images], dtype=np.int64) for name in own
    }
    seen["trace.weight"] = np.array(weights, dtype=np.int64)
    seen["activity"] = np.array([oracle.activity[name] for name in ACTIVITY], dtype=np.int64)
    seen["stats"] = oracle_stats(oracle)
    return seen | {f"state.{name}": value for name, value in state_of(oracle).items()}


def kernel_registers(result: RunResult, state: NetworkState) -> Registers:
    seen: Registers = {f"trace.{name}": np.array(value, np.int64) for name, value in result.trace.items()}
    seen["counts"] = result.counts.astype(np.int64)
    seen["activity"] = np.array(result.activity, np.int64)
    seen["stats"] = np.array(result.stats, np.int64)
    return seen | {f"state.{name}": value for name, value in state_of(state).items()}


def differences(expected: Registers, actual: Registers) -> list[str]:
    """Name every register that differs, with the first place where it does."""
    found = [f"{name}: only on one side" for name in sorted(set(expected) ^ set(actual))]
    for name in sorted(set(expected) & set(actual)):
        a, b = expected[name], actual[name]
        if a.shape != b.shape:
            found.append(f"{name}: shape {a.shape} is not {b.shape}")
        elif (a != b).any():
            place = tuple(int(index) for index in np.argwhere(a != b)[0])
            where = ", ".join(map(str, place))
            if name == "stats":
                where = f"{COUNTED[place[0]]}, {('min', 'max', 'low', 'high')[place[1]]}"
            found.append(f"{name}[{where}]: {a[place]} is not {b[place]}, {int((a != b).sum())} places")
    return found


def lower_or_discard(case: Case, tally: Counter[str]) -> Lowered:
    """Lower the network of a case; one that is refused is discarded and counted."""
    tally["drawn"] += 1
    rasters = (case.training, case.labelling, case.test)
    try:
        lowered = lower(case.spec, max_events=max(raster.max_events_per_step for raster in rasters))
    except SpecError as refusal:
        tally["refused"] += 1
        tally[f"refused: {str(refusal).split(' = ')[0]}"] += 1
        lowered = None
    assume(lowered is not None)
    return lowered


def passes(case: Case) -> list[tuple[str, Raster, int, int | None]]:
    """List the runs of a case: training in one or two pieces, labelling, test."""
    cut, end = case.first_run, case.training.n_images
    training = [("train", case.training.slice(slice(0, cut)), 0, case.n_presentations)]
    if cut < end:
        training.append(("train", case.training.slice(slice(cut, end)), cut, case.n_presentations))
    return [*training, ("label", case.labelling, 0, None), ("test", case.test, 0, None)]
