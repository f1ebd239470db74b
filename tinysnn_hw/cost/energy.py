"""Energy of counted accesses, operations and events on one piece of hardware, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tinysnn_hw.cost.counts import READ, Counts
from tinysnn_hw.cost.prices import operation_energy, port_accesses, read_energy, rows_opened, write_energy
from tinysnn_hw.errors import SpecError
from tinysnn_hw.records import Activity
from tinysnn_hw.spec.hardware import HardwareSpec
from tinysnn_hw.spec.network import NetworkSpec
from tinysnn_hw.spec.quantity import Range

LOGIC, EVENTS = "logic", "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRow:
    """One summand of an energy.

    Attributes
    ----------
    part : str
        Part of the run, such as ``input`` or ``learn``.
    variable : str
        What is accessed; empty for operations and events.
    level : str
        Memory level, ``logic`` or ``events``.
    operation : str
        ``read``, ``write``, ``activate``, an arithmetic operation, an event, or ``static``.
    count : float
        How often over the run: words, operations, events, rows opened, or seconds.
    energy : Range
        Of the whole run [J].
    """

    part: str
    variable: str
    level: str
    operation: str
    count: float
    energy: Range


def access_rows(counts: Counts, hardware: HardwareSpec) -> Iterator[EnergyRow]:
    """Yield the energy of every access and operation.

    Raises
    ------
    SpecError
        What is placed in a level exceeds its capacity.
    """
    assert hardware.operations is not None  # kind = "access"
    stored = stored_by_level(counts, hardware)
    for access in counts.accesses:
        level = hardware.level_of(access.variable)
        memory = hardware.memory[level]
        price = (read_energy if access.kind == READ else write_energy)(memory, stored[level])
        moved = access.runs * port_accesses(memory, access.words, access.width)
        yield EnergyRow(
            part=access.part,
            variable=access.variable,
            level=level,
            operation=access.kind,
            count=access.count,
            energy=price * float(moved),
        )
        opened = None if access.follows_read else rows_opened(memory, access.words, access.width)
        if opened is not None and memory.activate is not None:
            rows = opened * float(access.runs)
            yield EnergyRow(
                part=access.part,
                variable=access.variable,
                level=level,
                operation="activate",
                count=rows.nominal,
                energy=rows * memory.activate.si,
            )
    for op in counts.operations:
        price = operation_energy(hardware.operations, op.kind, op.width, op.width2, is_float=counts.is_float)
        yield EnergyRow(
            part=op.part,
            variable="",
            level=LOGIC,
            operation=op.kind,
            count=op.count,
            energy=price * float(op.count),
        )


def stored_by_level(counts: Counts, hardware: HardwareSpec) -> dict[str, int]:
    """Return the bits placed in every memory level.

    Raises
    ------
    SpecError
        They exceed a given capacity.
    """
    stored = dict.fromkeys(hardware.memory, 0)
    for variable, bits in counts.stored_bits.items():
        stored[hardware.level_of(variable)] += bits
    for level, bits in stored.items():
        capacity = hardware.memory[level].capacity
        if capacity is not None and bits > capacity.si.nominal:
            raise SpecError(
                f"{hardware.name}: {bits:,} bits are placed in {level}, which holds {capacity.si.nominal:,.0f}; "
                "narrow the formats, take fewer neurons, or place variables elsewhere"
            )
    return stored


def static_rows(hardware: HardwareSpec, time_s: float) -> Iterator[EnergyRow]:
    """Yield leakage, refresh and background of the levels that have a figure for it."""
    for level, memory in hardware.memory.items():
        if memory.static_power is not None:
            yield EnergyRow(
                part="static",
                variable="",
                level=level,
                operation="static",
                count=time_s,
                energy=memory.static_power.si * time_s,
            )


def event_rows(
    spec: NetworkSpec, activity: Activity, hardware: HardwareSpec, phase: str
) -> Iterator[EnergyRow]:
    """Yield the energy of the events of a chip: synaptic operations, neuron updates, spikes sent.

    Raises
    ------
    SpecError
        Training, on a chip whose energy of a learned synapse is unknown.
    """
    events = hardware.events
    assert events is not None  # kind = "event"
    neurons, spikes = spec.network.neurons, activity.output_spikes
    steps = activity.images * activity.steps_per_image
    if spec.inhibition.kind == "layer":
        inhibitory = activity.inhibitory_spikes
        lateral, units, sent = spikes + inhibitory * (neurons - 1), 2 * neurons, spikes + inhibitory
    else:
        lateral, units, sent = spikes * (neurons - 1), neurons, spikes
    found = [
        ("input", "synop", activity.input_spikes * neurons, events.synop),
        ("inhibit", "synop", lateral, events.synop),
        ("integrate", "neuron update", steps * units, events.neuron_update),
        ("fire", "spike", sent, events.spike),
    ]
    if phase == "training":
        if events.learned_synapse is None:
            raise SpecError(
                f"{hardware.name}: the energy of a learned synapse is not known (events.learned_synapse is absent), so "
                "training has no energy on it; ask for inference, or give the value in a file of your own"
            )
        synapses = activity.updates * spec.network.inputs + activity.depressions
        found.append(("learn", "learned synapse", synapses, events.learned_synapse))
    for part, operation, count, price in found:
        if price is not None and count:
            yield EnergyRow(
                part=part,
                variable="",
                level=EVENTS,
                operation=operation,
                count=count,
                energy=price.si * float(count),
            )


__all__ = ["EVENTS", "LOGIC", "EnergyRow", "access_rows", "event_rows", "static_rows", "stored_by_level"]
