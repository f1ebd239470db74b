"""Memory footprint, Eq. 4 of the paper: the sum of count times width, weights and neuron parameters apart.

What belongs into the sum is a convention, so it is always named.  Weights:

``learned`` (default)
    Input weights, and one shared constant per kind of fixed connection.
``sparse``
    Input weights, and every fixed connection that exists as an entry of its own.
``dense``
    Input weights, and a full square matrix per kind of fixed connection, as simulators store them.

Neuron parameters:

``full`` (default)
    Every stored word of every neuron; in training also the words that only learning needs.
``paper``
    Membrane potential and threshold of every neuron, excitatory and inhibitory.

Not counted in any of them: constants shared by all neurons (reset value, leak, learning rate), and what reads
the output (spike counters of the classifier, the class of each neuron).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from tinysnn_hw.errors import SpecError
from tinysnn_hw.records import MemoryItem
from tinysnn_hw.spec.load import nearest
from tinysnn_hw.spec.network import NetworkSpec
from tinysnn_hw.spec.registers import register_formats

PHASES = ("inference", "training")
WEIGHT_ACCOUNTINGS = ("learned", "sparse", "dense")
NEURON_ACCOUNTINGS = ("full", "paper")
PACKINGS = {"packed": 1, "byte": 8, "word32": 32}
"""How words lie in memory: name -> each word takes a multiple of so many bits."""
FP32_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFootprint:
    """Memory a network needs.

    Attributes
    ----------
    items : tuple of MemoryItem
        Parameter groups; ``width`` is the stored width, packing included.
    phase, weights, neurons, packing : str
        The accounting, see `memory_footprint`.
    """

    items: tuple[MemoryItem, ...]
    phase: str
    weights: str
    neurons: str
    packing: str

    @property
    def weight_bits(self) -> int:
        """Footprint of the weights [bit]."""
        return sum(item.bits for item in self.items if item.kind == "weights")

    @property
    def neuron_bits(self) -> int:
        """Footprint of the neuron parameters [bit]."""
        return sum(item.bits for item in self.items if item.kind == "neurons")

    @property
    def bits(self) -> int:
        """Footprint of weights and neuron parameters together [bit]."""
        return self.weight_bits + self.neuron_bits

    @property
    def accounting(self) -> tuple[str, str, str]:
        """Phase, accounting of the weights and accounting of the neurons."""
        return self.phase, self.weights, self.neurons

    def describe(self) -> str:
        """Return the sum as plain text, one line per parameter group."""
        lines = [f"{self.phase}, weights {self.weights}, neurons {self.neurons}, {self.packing}:"]
        lines += [
            f"  {item.name:<30} {item.count:>12,} x {item.width:>2} bit = {item.bits:>14,} bit"
            for item in self.items
        ]
        lines += [
            f"  {name:<30} {'':>12}   {'':>2}       {bits:>14,} bit"
            for name, bits in (
                ("weights", self.weight_bits),
                ("neuron parameters", self.neuron_bits),
                ("together", self.bits),
            )
        ]
        return "\n".join(lines)


def memory_footprint(
    spec: NetworkSpec,
    *,
    phase: str = "inference",
    weights: str = "learned",
    neurons: str = "full",
    packing: str = "packed",
) -> MemoryFootprint:
    """Return the memory a network needs, from its description alone.

    Parameters
    ----------
    spec : NetworkSpec
    phase : {"inference", "training"}
    weights : {"learned", "sparse", "dense"}
    neurons : {"full", "paper"}
    packing : {"packed", "byte", "word32"}
        Words lie bit by bit behind each other (Eq. 4), each in whole bytes, or each in words of 32 bits.

    Returns
    -------
    MemoryFootprint

    Raises
    ------
    SpecError
        An accounting is unknown.

    Notes
    -----
    For ``I`` inputs and ``N`` neurons with direct lateral inhibition the weights are ``I * N`` words of
    ``weight``, and for the inhibition

    - ``learned``: one constant, in the width of ``v_mem`` from which it is subtracted;
    - ``sparse``: ``N * (N - 1)`` lateral entries in the width of ``weight``;
    - ``dense``: a matrix of ``N * N`` entries in the width of ``weight``.

    The entries of the last two have the width of a weight because simulators keep them as weights and
    quantize them alike; a chip with direct lateral inhibition stores none of them.

    Neuron parameters are, per neuron, ``v_mem`` and ``v_th`` (in inference the frozen ``v_th + theta``) and,
    with ``full``, ``refractory_count``; in training also ``theta``, ``n_window``, with Eq. 1 ``n_post``, per
    input ``x_pre`` and, with the window trace, ``c_pre``.

    A layer of inhibitory neurons adds their excitation to the weights (one constant, ``N`` entries or a matrix),
    per neuron ``v_inh`` and its threshold ``v_th_inh``, a word each as the paper counts them, and with ``full``
    ``inhibitory_count``.  Pair-wise STDP needs, beside ``theta`` and ``x_pre``, ``x_post`` and, with
    ``n_essential``, ``n_post``.
    """
    _check(phase=phase, weights=weights, neurons=neurons, packing=packing)
    formats = register_formats(spec)
    n_inputs, n_neurons = spec.network.inputs, spec.network.neurons
    layer = spec.inhibition.kind == "layer"
    words = [("weights", "weight", n_inputs * n_neurons, "weight")]
    words += [("weights", *fixed) for fixed in _fixed_words(n_neurons, weights, layer=layer)]
    words += [("neurons", name, n_neurons, name) for name in ("v_mem", "v_th")]
    if layer:
        words += [("neurons", name, n_neurons, "v_inh") for name in ("v_inh", "v_th_inh")]
    if neurons == "full":
        words.append(("neurons", "refractory_count", n_neurons, "refractory_count"))
        if layer:
            words.append(("neurons", "inhibitory_count", n_neurons, "inhibitory_count"))
        if phase == "training":
            words += _learning_words(spec)
    items = tuple(
        MemoryItem(name=name, kind=kind, count=count, width=_stored(formats[register].width, packing))
        for kind, name, count, register in words
    )
    return MemoryFootprint(items=items, phase=phase, weights=weights, neurons=neurons, packing=packing)


def fp32_baseline(
    n_inputs: int,
    n_neurons: int,
    *,
    phase: str = "inference",
    weights: str = "learned",
    neurons: str = "full",
) -> MemoryFootprint:
    """Return the memory of the network that savings are measured against, in words of 32 bits.

    It is the network of Diehl & Cook 2015 with as many excitatory neurons: each is connected one-to-one to an
    inhibitory neuron, which inhibits all other excitatory ones.

    Parameters
    ----------
    n_inputs, n_neurons : int
        Inputs and excitatory neurons, at least 1.
    phase, weights, neurons : str
        As in `memory_footprint`; packing makes no difference to words of 32 bits.

    Returns
    -------
    MemoryFootprint

    Raises
    ------
    SpecError
        An accounting is unknown or a size below 1.

    Notes
    -----
    Words of the weights for ``I`` inputs and ``N`` neurons are ``I * N`` and, in addition,

    - ``learned``: 2 constants, the one-to-one and the inhibitory strength;
    - ``sparse``: ``N + N * (N - 1)`` entries;
    - ``dense``: ``2 * N * N`` entries, which gives the "about 200 MB" for 4,900 neurons (207.4 MB) and "about
      1 MB" for 200 (0.947 MB) of the paper and its predecessors.

    Words of the neurons: with ``paper``, ``v_mem`` and ``v_th`` of the ``2 * N`` neurons; with ``full`` also
    ``refractory_count``, and in training ``theta`` and the trace ``x_post`` of the excitatory ones and the
    trace ``x_pre`` of the inputs.
    """
    _check(phase=phase, weights=weights, neurons=neurons)
    for name, size in (("n_inputs", n_inputs), ("n_neurons", n_neurons)):
        if size < 1:
            raise SpecError(f"{name} = {size}; at least 1 is required")
    words = [("weights", "weight", n_inputs * n_neurons)]
    words += [("weights", name, count) for name, count, _ in _fixed_words(n_neurons, weights, layer=True)]
    counts = ["refractory_count", "inhibitory_count"] if neurons == "full" else []
    words += [("neurons", name, n_neurons) for name in ["v_mem", "v_th", "v_inh", "v_th_inh", *counts]]
    if neurons == "full" and phase == "training":
        words += [("neurons", name, n_neurons) for name in ("theta", "x_post")]
        words.append(("neurons", "x_pre", n_inputs))
    items = tuple(
        MemoryItem(name=name, kind=kind, count=count, width=FP32_BITS) for kind, name, count in words
    )
    return MemoryFootprint(items=items, phase=phase, weights=weights, neurons=neurons, packing="packed")


def saving(footprint: MemoryFootprint, baseline: MemoryFootprint) -> float:
    """Return how many times smaller `footprint` is than `baseline`: ``baseline.bits / footprint.bits``.

    Raises
    ------
    SpecError
        The two were not counted in the same way.
    """
    if footprint.accounting != baseline.accounting:
        raise SpecError(
            f"saving: counted as {', '.join(footprint.accounting)} and as {', '.join(baseline.accounting)}; "
            "only footprints counted in the same way compare"
        )
    return baseline.bits / footprint.bits


def memory_table(spec: NetworkSpec) -> dict[str, object]:
    """Return the footprint of a network in every accounting, ready for JSON.

    Parameters
    ----------
    spec : NetworkSpec

    Returns
    -------
    dict
        - ``memory_bits``, ``memory_bits_fp32``, ``saving``: the headline accounting, which is inference,
          ``learned`` and ``full``, packed, against the FP32 baseline counted alike;
        - ``accountings``: a list with, for every accounting, its ``phase``, ``weights`` and ``neurons``, its
          ``weight_bits``, ``neuron_bits`` and ``bits``, the baseline's under ``fp32_...``, and ``saving``;
        - ``items``: per phase the parameter groups of ``learned`` and ``full``, each with ``name``, ``kind``,
          ``count``, ``width`` and ``bits``;
        - ``packings``: the headline bits in every packing.
    """
    headline = memory_footprint(spec)
    baseline = fp32_baseline(spec.network.inputs, spec.network.neurons)
    return {
        "memory_bits": headline.bits,
        "memory_bits_fp32": baseline.bits,
        "saving": saving(headline, baseline),
        "accountings": list(_accountings(spec)),
        "items": {
            phase: [
                {
                    "name": item.name,
                    "kind": item.kind,
                    "count": item.count,
                    "width": item.width,
                    "bits": item.bits,
                }
                for item in memory_footprint(spec, phase=phase).items
            ]
            for phase in PHASES
        },
        "packings": {packing: memory_footprint(spec, packing=packing).bits for packing in PACKINGS},
    }


def _accountings(spec: NetworkSpec) -> Iterator[dict[str, object]]:
    for phase, weights, neurons in product(PHASES, WEIGHT_ACCOUNTINGS, NEURON_ACCOUNTINGS):
        ours = memory_footprint(spec, phase=phase, weights=weights, neurons=neurons)
        theirs = fp32_baseline(
            spec.network.inputs, spec.network.neurons, phase=phase, weights=weights, neurons=neurons
        )
        yield {
            "phase": phase,
            "weights": weights,
            "neurons": neurons,
            "weight_bits": ours.weight_bits,
            "neuron_bits": ours.neuron_bits,
            "bits": ours.bits,
            "fp32_weight_bits": theirs.weight_bits,
            "fp32_neuron_bits": theirs.neuron_bits,
            "fp32_bits": theirs.bits,
            "saving": saving(ours, theirs),
        }


def _fixed_words(n_neurons: int, weights: str, *, layer: bool) -> list[tuple[str, int, str]]:
    """Return name, count and register of the fixed connections."""
    n = n_neurons
    inhibition, excitation = {
        "learned": (("inhibition (constant)", 1, "v_mem"), ("excitation (constant)", 1, "v_inh")),
        "sparse": (("inhibition (entries)", n * (n - 1), "weight"), ("excitation (entries)", n, "weight")),
        "dense": (("inhibition (matrix)", n * n, "weight"), ("excitation (matrix)", n * n, "weight")),
    }[weights]
    return [excitation, inhibition] if layer else [inhibition]


def _learning_words(spec: NetworkSpec) -> list[tuple[str, str, int, str]]:
    learning = spec.learning
    if learning.rule == "pairwise":
        per_neuron = ["theta", *(["n_post"] if learning.n_essential else []), "x_post"]
    else:
        per_neuron = ["theta", *(["n_post"] if learning.potentiation == "eq1" else []), "n_window"]
    per_input = ["x_pre", *(["c_pre"] if learning.trace == "window" else [])]
    return [("neurons", name, spec.network.neurons, name) for name in per_neuron] + [
        ("neurons", name, spec.network.inputs, name) for name in per_input
    ]


def _stored(width: int, packing: str) -> int:
    grain = PACKINGS[packing]
    return -(-width // grain) * grain


def _check(**chosen: str) -> None:
    allowed = {
        "phase": PHASES,
        "weights": WEIGHT_ACCOUNTINGS,
        "neurons": NEURON_ACCOUNTINGS,
        "packing": tuple(PACKINGS),
    }
    for name, value in chosen.items():
        if value not in allowed[name]:
            raise SpecError(
                f"{name} = {value!r} is no accounting; allowed: {', '.join(allowed[name])}"
                f"{nearest(str(value), list(allowed[name]))}"
            )


__all__ = [
    "NEURON_ACCOUNTINGS", "PACKINGS", "PHASES", "WEIGHT_ACCOUNTINGS", "MemoryFootprint", "fp32_baseline",
    "memory_footprint", "memory_table", "saving",
]  # fmt: skip
