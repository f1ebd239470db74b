"""What the oracle did, step by step, as real numbers, and the reference's run from the same start."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from tests.reference.cases import Case
from tinysnn_hw import reference
from tinysnn_hw.engine.oracle import Oracle
from tinysnn_hw.spec.network import NetworkSpec

LSB_REGISTERS = ("weight", "v_mem", "v_th", "theta", "x_pre", "x_post", "v_inh")
COUNTERS = ("refractory_count", "n_post", "n_window", "c_pre", "inhibitory_count")
WINNERS = ("winner", "inhibitory_winner")
OF_LAYER = ("v_inh", "inhibitory_count", "inhibitory_winner")


class TracedOracle(Oracle):
    """The oracle, also keeping the weights after every window; ``fault`` changes a register after a step."""

    def __init__(self, case: Case, fault: Fault | None = None) -> None:
        super().__init__(case.spec, case.seed)
        self.fault, self.image = fault, 0
        self.weight_window: list[list[list[int]]] = []
        self.weight_depressed: list[list[list[int]]] = []

    def _depress(self, u: int, step_events: Any) -> None:
        super()._depress(u, step_events)
        self.weight_depressed.append(copy.deepcopy(self.weight))

    def _learn(self, u: int, step_events: Any) -> None:
        super()._learn(u, step_events)
        if self.fault and self.fault.register == "weight" and self.fault.place == (self.image, u):
            self.weight[self.fault.index % len(self.inputs)][self.fault.index % len(self.neurons)] += (
                self.fault.lsb
            )
        self.weight_window.append(copy.deepcopy(self.weight))

    def _step(self, t: int, step_events: Any) -> int:
        winner = super()._step(t, step_events)
        if self.fault and self.fault.register != "weight" and self.fault.place == (self.image, t):
            values = getattr(self, self.fault.register)
            values[self.fault.index % len(values)] += self.fault.lsb
        return winner


@dataclass(frozen=True)
class Fault:
    """One LSB more or less in a register after one step of one image, or for weights after one window."""

    register: str
    place: tuple[int, int]
    index: int
    lsb: int


@dataclass
class Course:
    """A training as real numbers; ``registers[name]`` is [image, step, index].

    Attributes
    ----------
    weight : float64[n_images + 1, n_inputs, n_neurons]
        Before the first and after every image.
    weight_window : float64[n_images, n_windows, n_inputs, n_neurons]
    weight_depressed : float64[n_images, n_windows, n_inputs, n_neurons]
        The oracle's, between depression and potentiation of a step; empty without pair-wise learning.
    theta, v_th : float64[n_images + 1, n_neurons]
        The same, between images.
    """

    registers: dict[str, np.ndarray]
    weight: np.ndarray
    weight_window: np.ndarray
    theta: np.ndarray
    v_th: np.ndarray
    weight_depressed: np.ndarray = field(default_factory=lambda: np.empty(0))
    saturated: int = 0


def registers_of(spec: NetworkSpec) -> list[str]:
    """Return the registers with an LSB that a network has."""
    return [name for name in LSB_REGISTERS if getattr(spec.formats, name) is not None]


def oracle_course(case: Case, fault: Fault | None = None) -> Course:
    """Train the oracle on the raster of a case."""
    oracle = TracedOracle(case, fault)
    formats, own = case.spec.formats, registers_of(case.spec)
    unit = {name: getattr(formats, name).format.lsb for name in own}
    unit |= dict.fromkeys((*COUNTERS, *WINNERS), 1.0)
    if formats.v_inh is None:
        unit = {name: lsb for name, lsb in unit.items() if name not in OF_LAYER}
    between: dict[str, list[Any]] = {name: [] for name in ("weight", "theta", "v_th")}
    seen: dict[str, list[Any]] = {name: [] for name in unit if name != "weight"}

    def keep() -> None:
        for name, values in between.items():
            values.append(copy.deepcopy(getattr(oracle, name)))

    keep()
    for image in range(case.raster.n_images):
        oracle.image = image
        events = [case.raster.inputs[a:b].tolist() for a, b in pairwise(case.raster.offsets[image])]
        trace = oracle.present(
            events, phase="train", presentation=image, n_presentations=case.n_presentations
        )
        for name, values in seen.items():
            values.append(getattr(trace, name))
        keep()
    # Clipping a weight to 0..w_max is part of its rule and in the reference, too.
    saturated = sum(sum(oracle.stats[name][2:]) for name in own if name != "weight")  # type: ignore[arg-type]
    shape = (case.raster.n_images, -1, len(oracle.inputs), len(oracle.neurons))
    return Course(
        registers={name: np.array(values, np.float64) * unit[name] for name, values in seen.items()},
        **{name: np.array(values, np.float64) * unit[name] for name, values in between.items()},
        **{
            name: np.array(getattr(oracle, name), np.float64).reshape(shape) * unit["weight"]
            for name in ("weight_window", "weight_depressed")
            if getattr(oracle, name)
        },
        saturated=saturated,
    )


def reference_course(case: Case, start: Course) -> Course:
    """Train the reference in float64 on the same raster, from the words ``start`` begins with."""
    state = reference.state_from(case.spec, start.weight[:1], theta=start.theta[:1], v_th=start.v_th[:1])
    between = {name: [getattr(state, name)[0].numpy().copy()] for name in ("weight", "theta", "v_th")}
    traces = []
    for image in range(case.raster.n_images):
        result = reference.run(
            case.spec, case.raster.slice(slice(image, image + 1)), state,
            phase="train", first=image, n_presentations=case.n_presentations, record=True,
        )  # fmt: skip
        traces.append({name: values[0] for name, values in result.trace.items()})
        for name, values in between.items():
            values.append(getattr(state, name)[0].numpy().copy())
    registers = {name: np.concatenate([trace[name] for trace in traces]) for name in traces[0]}
    return Course(
        weight=np.stack(between["weight"]),
        weight_window=registers.pop("weight_window"),
        theta=np.stack(between["theta"]),
        v_th=np.stack(between["v_th"]),
        registers=registers,
    )
