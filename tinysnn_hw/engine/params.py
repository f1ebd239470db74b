"""The integers a kernel sees: one flat named tuple and the codes of its choices."""

from __future__ import annotations

from typing import NamedTuple

LEAK_NONE, LEAK_SHIFT, LEAK_MULTIPLY, LEAK_SUBTRACT = range(4)
RULE_POTENTIATE, RULE_ATTRACT, RULE_PAIRWISE = range(3)
LEARN_SPIKERS, LEARN_WINNER = range(2)
TRACE_EXPONENTIAL, TRACE_WINDOW = range(2)
FORGET_NONE, FORGET_SUBTRACT, FORGET_MULTIPLY = range(3)

PHASE_TRAIN, PHASE_LABEL, PHASE_TEST = range(3)
PHASES = {"train": PHASE_TRAIN, "label": PHASE_LABEL, "test": PHASE_TEST}
PHASE_STRIDE = 32
"""Added per phase to the purpose of `v_mem` rounding, so that phases never share a random bit."""

DECAY_BITS = 16
"""Fraction bits of the constants of the multiply leak, the trace decay, reciprocals and normalisation."""
THETA_DECAY_BITS = 32
"""Fraction bits of the per-image decay of `theta`."""
THRESHOLD_BITS = 16
"""Least fraction bits of the grid on which ``v_th + theta`` is summed."""

STAT_WEIGHT, STAT_V_MEM, STAT_V_TH, STAT_THETA, STAT_X_PRE, STAT_V_INH, STAT_X_POST = range(7)
STAT_REGISTERS = ("weight", "v_mem", "v_th", "theta", "x_pre", "v_inh", "x_post")
STAT_MIN, STAT_MAX, STAT_LOW, STAT_HIGH = range(4)

(ACT_INPUT_SPIKES, ACT_OUTPUT_SPIKES, ACT_UPDATES, ACT_NORMALIZATIONS, ACT_INHIBITORY_SPIKES,
 ACT_DEPRESSIONS) = range(6)  # fmt: skip
ACTIVITY = (
    "input_spikes", "output_spikes", "updates", "normalizations", "inhibitory_spikes", "depressions"
)  # fmt: skip

INIT_PRESENTATION = 0xFFFFFFFF
"""Presentation number of the normalisation of the initial weights."""


class MembraneParams(NamedTuple):
    """Accumulator, `v_mem`, leak and comparison.  `v_mem` on the accumulator grid is ``raw << v_shift``."""

    acc_width: int
    acc_min: int
    acc_max: int
    sum_shift: int
    v_shift: int
    v_min: int
    v_max: int
    v_width: int
    v_signed: int
    v_rounding: int
    v_overflow: int
    v_rand_bits: int
    leak: int
    leak_shift: int
    leak_mul: int
    leak_sub: int
    v_reset: int
    has_floor: int
    v_floor: int
    cmp_v_shift: int
    cmp_th_shift: int
    th_lane_shift: int


class ThresholdParams(NamedTuple):
    """`theta` and `v_th`, summed on the threshold grid."""

    th_min: int
    th_max: int
    th_width: int
    th_signed: int
    th_rounding: int
    th_overflow: int
    th_rand_bits: int
    th_base: int
    th_cut_shift: int
    th_bias0: int
    th_bias2: int
    theta_sum_shift: int
    theta_plus: int
    theta_min: int
    theta_max: int
    theta_width: int
    theta_signed: int
    theta_rounding: int
    theta_overflow: int
    theta_rand_bits: int
    theta_clamp: int
    theta_forget: int
    theta_down: int
    theta_mul: int


class SynapseParams(NamedTuple):
    """Weights and their learning; a weight on the accumulator grid is ``raw << sum_shift``."""

    w_max: int
    w_rounding: int
    w_rand_bits: int
    w_init_low: int
    w_init_span: int
    x_frac: int
    eta_frac: int
    rule: int
    eq1: int
    n_th: int
    weight_sum: int
    narrow_learning: int


class TraceParams(NamedTuple):
    """The pre-synaptic trace and its counts; ``x_frac`` stands with the synapse that reads it too."""

    x_frac: int
    x_one: int
    x_max: int
    x_width: int
    x_rounding: int
    x_overflow: int
    x_rand_bits: int
    trace_mul: int
    set_mode: int
    c_max: int
    narrow_counts: int


class LayerParams(NamedTuple):
    """Inhibitory neurons, on the grid of `v_inh`; ``on`` is 0 where inhibition is direct and all others are 0 too."""

    on: int = 0
    excitation: int = 0
    leak_mul: int = 0
    v_th: int = 0
    v_reset: int = 0
    refractory: int = 0
    v_min: int = 0
    v_max: int = 0
    v_width: int = 0
    v_rounding: int = 0
    v_overflow: int = 0
    v_rand_bits: int = 0


class PairParams(NamedTuple):
    """Pair-wise learning: the post-synaptic trace ``y`` and depression; all 0 where ``on`` is."""

    on: int = 0
    soft: int = 0
    n_essential: int = 0
    eta_frac: int = 0
    y_frac: int = 0
    y_one: int = 0
    y_max: int = 0
    y_width: int = 0
    y_rounding: int = 0
    y_overflow: int = 0
    y_rand_bits: int = 0


class Params(NamedTuple):
    """Raw integers of one lowered network, in groups so that a function is handed only what it reads.

    All values are Python ints, so that every kernel compiles once.  Suffixes: ``_shift`` counts bits,
    ``_min``/``_max`` bound a raw value.
    """

    n_inputs: int
    n_neurons: int
    n_steps: int
    refractory: int
    trace: int
    learners: int
    update_steps: int
    mem: MembraneParams
    thr: ThresholdParams
    syn: SynapseParams
    tra: TraceParams
    lay: LayerParams
    pair: PairParams
