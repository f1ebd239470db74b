"""`cost`: memory and energy of a network on one piece of hardware, from its description and its activity."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tinysnn_hw.cost.accesses import count_accesses
from tinysnn_hw.cost.assumed import assumed_activity
from tinysnn_hw.cost.energy import EVENTS, LOGIC, EnergyRow, access_rows, event_rows, static_rows
from tinysnn_hw.cost.memory import MemoryFootprint, memory_footprint
from tinysnn_hw.errors import SpecError
from tinysnn_hw.records import Activity
from tinysnn_hw.spec.hardware import HardwareSpec
from tinysnn_hw.spec.hardware_load import DEFAULT_HARDWARE, load_hardware, unsourced
from tinysnn_hw.spec.network import NetworkSpec
from tinysnn_hw.spec.quantity import ZERO, Range

ALWAYS_LEFT_OUT = (
    "encoding of images into spikes",
    "the readout of classes",
    "control, clock and wires between blocks",
)


class Trained(Protocol):
    """What `cost` needs of a trained network."""

    @property
    def network(self) -> NetworkSpec:
        """The description."""

    @property
    def activity(self) -> Activity:
        """What happened in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Modelled memory and energy of a network on one piece of hardware.

    Attributes
    ----------
    network, hardware : str
    phase : {"inference", "training"}
    accounting : str
        Of lateral connections.
    arithmetic : {"fixed", "float32"}
    activity : Activity
    activity_origin : str
        Where the activity comes from: measured, or assumed.
    memory : MemoryFootprint
    rows : tuple of EnergyRow
        Summands of the energy of all images of the activity.
    not_counted : tuple of str
        What the energy leaves out.
    unsourced : tuple of str
        Numbers of the hardware file without a source.
    """

    network: str
    hardware: str
    phase: str
    accounting: str
    arithmetic: str
    activity: Activity
    activity_origin: str
    memory: MemoryFootprint
    rows: tuple[EnergyRow, ...]
    not_counted: tuple[str, ...]
    unsourced: tuple[str, ...]

    @property
    def total_energy(self) -> Range:
        """Energy of all images of the activity, with its range [J]."""
        return _total(self.rows)

    @property
    def energy(self) -> Range:
        """Energy of one image, with its range [J]."""
        return self.total_energy * (1.0 / self.activity.images)

    @property
    def energy_j(self) -> float:
        """Nominal energy of one image [J]."""
        return self.energy.nominal

    @property
    def memory_bits(self) -> int:
        """Footprint in this phase, every stored word [bit]."""
        return self.memory.bits

    def by(self, *fields: str) -> dict[tuple[str, ...], Range]:
        """Return the energy of one image, summed over rows that agree in `fields` [J], largest first.

        Parameters
        ----------
        *fields : {"part", "variable", "level", "operation"}
        """
        groups: dict[tuple[str, ...], list[EnergyRow]] = {}
        for row in self.rows:
            groups.setdefault(tuple(getattr(row, name) for name in fields), []).append(row)
        sums = {key: _total(rows) * (1.0 / self.activity.images) for key, rows in groups.items()}
        return dict(sorted(sums.items(), key=lambda item: -item[1].nominal))

    def dominant(self) -> str:
        """Return a sentence that says where most of the energy goes."""
        total = self.energy_j
        if total <= 0:
            return f"On {self.hardware} nothing that is counted takes energy: the activity is empty."
        groups = {_describe(*key): part for key, part in self.by("variable", "level", "operation").items()}
        shares = [(name, part.nominal / total) for name, part in groups.items()]
        first, *others = shares[:3]
        rest = ", ".join(f"{name} {share:.0%}" for name, share in others if share >= 0.005)
        return (
            f"On {self.hardware}, {first[0]} takes {first[1]:.0%} of the {self.phase} energy"
            f"{f', then {rest}' if rest else ''}."
        )

    def __str__(self) -> str:
        """Return the cost in one line, with the hardware it holds for."""
        energy = self.energy
        ends = "" if energy.is_exact else f" ({si(energy.low, 'J')} to {si(energy.high, 'J')})"
        return (
            f"{self.network} on {self.hardware}: {si(energy.nominal, 'J')}{ends} per image in {self.phase}, modelled, "
            f"activity {self.activity_origin}; {self.memory_bits:,} bits"
        )


def cost(
    network: NetworkSpec | Trained,
    activity: Activity | None = None,
    *,
    hardware: str | Path | HardwareSpec = DEFAULT_HARDWARE,
    phase: str = "inference",
    weights: str = "learned",
    arithmetic: str = "fixed",
    spike_storage: str = "events",
    image_time_s: float | None = None,
) -> Cost:
    """Return what a network costs on one piece of hardware: memory to the bit, energy access by access.

    Parameters
    ----------
    network : NetworkSpec or Model
    activity : Activity
        What happened, such as ``result.activity`` for inference; absent: the training of a model, or for a bare
        description the assumption of `assumed_activity`.
    hardware : str, Path or HardwareSpec
        Name of shipped hardware, or a file of your own.
    phase : {"inference", "training"}
    weights : {"learned", "sparse", "dense"}
        Accounting of lateral connections, in memory and in accesses.
    arithmetic : {"fixed", "float32"}
        The network's formats, or 32-bit floating point throughout.
    spike_storage : {"events", "bitmap"}
        How input spikes lie in memory.
    image_time_s : float, optional
        Time of one image, for static power; absent: static power is not counted.

    Returns
    -------
    Cost

    Raises
    ------
    SpecError
        Unknown hardware or option, an activity of another network, memory that does not fit, or training on a chip
        whose energy of learning is unknown.

    Examples
    --------
    >>> from tinysnn_hw.spec import load_network
    >>> found = cost(load_network("tinysnn-wta"), hardware="edge-45nm")
    >>> found.hardware, found.energy_j > 0
    ('edge-45nm', True)
    """
    chip = load_hardware(hardware)
    if isinstance(network, NetworkSpec):
        spec, origin = network, "measured"
        if activity is None:
            activity, origin = assumed_activity(spec), "assumed"
    else:
        spec, origin = network.network, "measured"
        if activity is None:
            activity = network.activity
            origin = "measured" if phase == "training" else "measured in training"
    if image_time_s is not None and not 0 < image_time_s < math.inf:
        raise SpecError(f"image_time_s = {image_time_s}; a finite time above 0 is required")
    counts = count_accesses(
        spec, activity, phase=phase, weights=weights, arithmetic=arithmetic, spike_storage=spike_storage
    )
    found = event_rows(spec, activity, chip, phase) if chip.kind == "event" else access_rows(counts, chip)
    rows = tuple(found)
    if image_time_s is not None:
        rows += tuple(static_rows(chip, image_time_s * activity.images))
    return Cost(
        network=spec.name,
        hardware=chip.name,
        phase=phase,
        accounting=weights,
        arithmetic=arithmetic,
        activity=activity,
        activity_origin=origin,
        memory=_memory(spec, phase, weights, arithmetic),
        rows=rows,
        not_counted=_left_out(chip, image_time_s),
        unsourced=tuple(unsourced(chip)),
    )


def _memory(spec: NetworkSpec, phase: str, weights: str, arithmetic: str) -> MemoryFootprint:
    packing = "packed" if arithmetic == "fixed" else "word32"
    return memory_footprint(spec, phase=phase, weights=weights, packing=packing)


def _left_out(chip: HardwareSpec, image_time_s: float | None) -> tuple[str, ...]:
    found = list(ALWAYS_LEFT_OUT)
    if chip.events is not None:
        for name, text in (("neuron_update", "neuron updates"), ("spike", "sending of spikes")):
            if getattr(chip.events, name) is None:
                found.append(f"{text}, for which {chip.name} has no figure of its own")
    without = [level for level, memory in chip.memory.items() if memory.static_power is None]
    if image_time_s is None:
        found.append("static power: no time per image was given")
    elif without or chip.events is not None:
        found.append(f"static power of {', '.join(without) or 'the chip'}, which {chip.name} does not state")
    return tuple(found)


def _total(rows: Iterable[EnergyRow]) -> Range:
    return sum((row.energy for row in rows), ZERO)


def _describe(variable: str, level: str, operation: str) -> str:
    if level == LOGIC:
        return f"the operation '{operation}'"
    if level == EVENTS or not variable:
        return f"the event '{operation}'" if level == EVENTS else f"{operation} power of {level}"
    verb = {"read": "reading", "write": "writing", "activate": "opening DRAM rows for"}[operation]
    return f"{verb} {variable} ({level})"


def si(value: float, unit: str) -> str:
    """Return a value with an SI prefix and three significant digits."""
    for factor, prefix in ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value / 1e-15:.3g} f{unit}" if value > 0 else f"0 {unit}"


__all__ = ["Cost", "Trained", "cost", "si"]
