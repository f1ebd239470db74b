"""Accesses and operations of a run, in closed form from what happened in it.

The datapath is clock driven and follows docs/numerics.md: in every step it streams the state of all neurons once,
so a held neuron costs what any other does.  Each input event streams its row of weights into one accumulator per
neuron.  A spike makes a second pass over the potentials for inhibition.  Constants shared by all neurons, the flags
of one step and what reads the output are registers of the datapath and not counted.
"""

from __future__ import annotations

from tinysnn_hw.cost.counts import ADD, COMPARE, MULTIPLY, Counts, Ledger
from tinysnn_hw.cost.inhibition import count_inhibition
from tinysnn_hw.cost.plasticity import count_learning
from tinysnn_hw.cost.words import CONSTANT_BITS, THETA_CONSTANT_BITS, Words
from tinysnn_hw.errors import SpecError
from tinysnn_hw.records import Activity
from tinysnn_hw.spec.load import nearest
from tinysnn_hw.spec.network import NetworkSpec

ARITHMETICS = ("fixed", "float32")
SPIKE_STORAGES = ("events", "bitmap")
LATERAL_ACCOUNTINGS = ("learned", "sparse", "dense")


def count_accesses(
    spec: NetworkSpec,
    activity: Activity,
    *,
    phase: str = "inference",
    weights: str = "learned",
    arithmetic: str = "fixed",
    spike_storage: str = "events",
) -> Counts:
    """Return every access and operation of a run.

    Parameters
    ----------
    spec : NetworkSpec
    activity : Activity
        What happened, summed over the images of the run.
    phase : {"inference", "training"}
    weights : {"learned", "sparse", "dense"}
        Lateral connections are one constant, or stored and read as entries or as a full matrix.
    arithmetic : {"fixed", "float32"}
        Words of the network's formats, or 32-bit floating point throughout.
    spike_storage : {"events", "bitmap"}
        Input spikes lie in memory as addresses of ``ceil(log2 inputs)`` bits, one per event, or as one bit per input
        and step, which holds at most one event of an input in a step.

    Returns
    -------
    Counts

    Raises
    ------
    SpecError
        An option is unknown, or the activity is not one of this network in this phase.

    Notes
    -----
    With ``T`` steps, ``A`` input events, ``B`` output spikes over ``M`` images, ``I`` inputs and ``N`` neurons, in
    words read and written:

    =================  ======================  ===========================================
    variable           read                    written
    =================  ======================  ===========================================
    `input_spikes`     A                       A
    `weight`           A N
    `accumulator`      A N + T N               A N + T N
    `v_mem`            T N                     T N + M N
    `v_th`             T N                     (training) B, and M N if theta is forgotten
    `refractory_count` T N                     T N + B + M N
    `output_spikes`                            B
    =================  ======================  ===========================================

    beside what `tinysnn_hw.cost.inhibition` adds, and `tinysnn_hw.cost.plasticity` in training.
    """
    for name, value, allowed in (
        ("phase", phase, ("inference", "training")),
        ("weights", weights, LATERAL_ACCOUNTINGS),
        ("arithmetic", arithmetic, ARITHMETICS),
        ("spike_storage", spike_storage, SPIKE_STORAGES),
    ):
        if value not in allowed:
            raise SpecError(
                f"{name} = {value!r} is unknown; allowed: {', '.join(allowed)}{nearest(str(value), list(allowed))}"
            )
    check_activity(spec, activity, phase)
    words = Words(spec, arithmetic == "float32")
    ledger = Ledger(is_float=words.is_float)
    steps = activity.images * activity.steps_per_image
    _input(ledger, words, activity, steps, spike_storage)
    if phase == "training" and spec.inhibition.kind == "layer":
        # The traces see an event a step before the neurons do, so it is read for each.
        ledger.read("trace", "input_spikes", *_event_runs(words, activity, steps, spike_storage))
    _neurons(ledger, words, activity, steps)
    count_inhibition(ledger, words, activity, weights)
    if phase == "training":
        _thresholds(ledger, words, activity)
        count_learning(ledger, words, activity)
    return ledger.counts()


def check_activity(spec: NetworkSpec, activity: Activity, phase: str) -> None:
    """Refuse an activity that cannot be of this network in this phase.

    Raises
    ------
    SpecError
        Other steps per image, no images, or training without a single update although neurons fired.
    """
    if activity.images < 1:
        raise SpecError(f"activity.images = {activity.images}; at least 1 is required")
    if activity.steps_per_image != spec.encoding.n_steps:
        raise SpecError(
            f"activity.steps_per_image = {activity.steps_per_image}, but encoding.n_steps of {spec.name} is "
            f"{spec.encoding.n_steps}; give the activity of this network and recipe"
        )
    for name in (
        "input_spikes",
        "output_spikes",
        "updates",
        "normalizations",
        "inhibitory_spikes",
        "depressions",
    ):
        if getattr(activity, name) < 0:
            raise SpecError(f"activity.{name} = {getattr(activity, name)}; it must not be negative")
    for name, key, value, needed in (
        ("inhibitory_spikes", "inhibition.kind", spec.inhibition.kind, "layer"),
        ("depressions", "learning.rule", spec.learning.rule, "pairwise"),
    ):
        if getattr(activity, name) and value != needed:
            raise SpecError(
                f"activity.{name} = {getattr(activity, name)}, which only {key} = {needed!r} has; {spec.name} has "
                f"{value!r}: give the activity of this network"
            )
    if phase == "training" and activity.output_spikes and not activity.updates:
        raise SpecError(
            f"activity has {activity.output_spikes} output spikes and no updates: it comes from inference; give that "
            "of a training, such as model.activity"
        )


def _input(ledger: Ledger, words: Words, activity: Activity, steps: int, storage: str) -> None:
    inputs, neurons, events = words.inputs, words.neurons, activity.input_spikes
    ledger.store("input_spikes", inputs, words.width("input_spikes") if storage == "events" else 1)
    runs = _event_runs(words, activity, steps, storage)
    ledger.write("input", "input_spikes", *runs)
    ledger.read("input", "input_spikes", *runs)
    width = words.width("accumulator")
    ledger.store("weight", inputs * neurons, words.width("weight"))
    ledger.store("accumulator", neurons, width)
    ledger.read("input", "weight", events, neurons)
    ledger.update("input", "accumulator", events, neurons)
    ledger.operate("input", ADD, events * neurons, width)


def _event_runs(words: Words, activity: Activity, steps: int, storage: str) -> tuple[int, int]:
    """Return runs and words of a run in which all input spikes pass once."""
    return (activity.input_spikes, 1) if storage == "events" else (steps, words.inputs)


def _neurons(ledger: Ledger, words: Words, activity: Activity, steps: int) -> None:
    """Onset, integration and the search for the winner."""
    neuron, neurons, images = words.spec.neuron, words.neurons, activity.images
    total, spikes, width = steps * neurons, activity.output_spikes, words.width("accumulator")
    for variable in ("v_mem", "v_th", "refractory_count"):
        ledger.store(variable, neurons, words.width(variable))
    ledger.store("output_spikes", neurons, words.width("output_spikes"))
    for variable in ("v_mem", "refractory_count"):
        ledger.write("onset", variable, images, neurons)
        ledger.update("integrate", variable, steps, neurons)
    ledger.update("integrate", "accumulator", steps, neurons)
    ledger.operate("integrate", ADD, total, width)
    ledger.operate("integrate", ADD, total, words.width("refractory_count"))
    dropped = words.accumulator_fraction - words.fraction("v_mem")
    match neuron.leak:
        case "shift":
            kind = MULTIPLY if words.is_float else ADD
            ledger.operate("integrate", kind, total, width)
        case "subtract":
            ledger.operate("integrate", ADD, total, width)
            ledger.operate("integrate", COMPARE, total, width)
        case "multiply":
            ledger.operate("integrate", MULTIPLY, total, width, CONSTANT_BITS)
            dropped += CONSTANT_BITS
    words.cut(ledger, "integrate", "v_mem", total, dropped)
    margin = max(words.width("v_mem"), words.width("v_th"))
    ledger.read("fire", "v_th", steps, neurons)
    ledger.operate("fire", ADD, total, margin)
    ledger.operate("fire", COMPARE, total, margin)
    ledger.write("fire", "refractory_count", spikes, 1)
    ledger.write("fire", "output_spikes", spikes, 1)


def _thresholds(ledger: Ledger, words: Words, activity: Activity) -> None:
    """Adaptive thresholds: a step at each spike, and what is forgotten after each image."""
    neuron, neurons, spikes = words.spec.neuron, words.neurons, activity.output_spikes
    ledger.store("theta", neurons, words.width("theta"))
    ledger.update("adapt", "theta", spikes, 1)
    ledger.write("adapt", "v_th", spikes, 1)
    _new_theta(ledger, words, spikes)
    if neuron.v_th_cap is not None:
        ledger.operate("adapt", COMPARE, spikes, words.width("theta"))
    _new_threshold(ledger, words, spikes)
    if neuron.theta_forget == "none":
        return
    total = activity.images * neurons
    ledger.update("adapt", "theta", activity.images, neurons)
    ledger.write("adapt", "v_th", activity.images, neurons)
    if neuron.theta_forget == "multiply":
        ledger.operate("adapt", MULTIPLY, total, words.width("theta"), THETA_CONSTANT_BITS)
        words.cut(ledger, "adapt", "theta", total, THETA_CONSTANT_BITS)
    else:
        _new_theta(ledger, words, total)
        ledger.operate("adapt", COMPARE, total, words.wide_threshold("theta"))
    _new_threshold(ledger, words, total)


def _new_theta(ledger: Ledger, words: Words, count: int) -> None:
    ledger.operate("adapt", ADD, count, words.wide_threshold("theta"))
    words.cut(ledger, "adapt", "theta", count, words.threshold_fraction - words.fraction("theta"))


def _new_threshold(ledger: Ledger, words: Words, count: int) -> None:
    ledger.operate("adapt", ADD, count, words.wide_threshold("v_th"))
    words.cut(ledger, "adapt", "v_th", count, words.threshold_fraction - words.fraction("v_th"))


__all__ = ["ARITHMETICS", "LATERAL_ACCOUNTINGS", "SPIKE_STORAGES", "check_activity", "count_accesses"]
