"""How networks are stored on the GPU, and how many of them go into one launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinysnn_hw.engine import params as P
from tinysnn_hw.engine.cuda import block as B
from tinysnn_hw.engine.cuda import lane_block, lane_kernel, lanes
from tinysnn_hw.engine.cuda.device import SHARED_BYTES, WARP
from tinysnn_hw.engine.cuda.table import N_COLUMNS
from tinysnn_hw.engine.lower import Lowered
from tinysnn_hw.engine.params import Params
from tinysnn_hw.errors import DeviceMemoryError
from tinysnn_hw.fixed.modes import Overflow

RESERVE = 0.1
"""Part of the free memory that is left to the driver, compiled kernels and fragmentation."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Types of a network's arrays on the GPU; the networks of one launch have the same.

    Attributes
    ----------
    weight : dtype
        uint8, uint16 or uint32: the narrowest that holds every raw weight.
    word : dtype
        int32 or int64: all other registers.
    lanes : bool
        Whether the kernel in 32-bit lanes can run them, see `lane_events`.
    """

    weight: np.dtype
    word: np.dtype
    lanes: bool = False

    @property
    def name(self) -> str:
        """Short name, such as ``cuda w8 r32``; of the kernel in lanes ``cuda w8 l32``."""
        kind = "l" if self.lanes else "r"
        return f"cuda w{8 * self.weight.itemsize} {kind}{8 * self.word.itemsize}"

    @property
    def per_word(self) -> int:
        """Weights in a word of 32 bits."""
        return 4 // self.weight.itemsize

    def stride(self, n_neurons: int) -> int:
        """Return the weights from one row to the next: rows begin at whole words."""
        return -(-n_neurons // self.per_word) * self.per_word


def choose_storage(lowered: Lowered) -> Storage:
    """Return the narrowest storage that holds every register of a network."""
    p = lowered.params
    widest = max(
        [fmt.raw_max for name, fmt in lowered.formats.items() if name != "weight"]
        + [-fmt.raw_min - 1 for fmt in lowered.formats.values()]
        + [p.n_steps + p.refractory + 1, p.n_steps + p.lay.refractory + 1]
    )
    largest = max(lowered.formats["weight"].raw_max, p.syn.w_max)
    weight = next(t for t in (np.uint8, np.uint16, np.uint32) if largest <= np.iinfo(t).max)
    word = np.dtype(np.int32 if widest < 1 << 31 else np.int64)
    return Storage(np.dtype(weight), word, lanes=word.itemsize == 4 and lane_events(lowered) > 0)


def lane_events(lowered: Lowered) -> int:
    """Return up to how many events in a step the kernel in 32-bit lanes is proven exact; 0: it never is.

    - The accumulator has at most 30 bits and a step adds less than half its carrier, so that a sum of the two, and a
      held neuron, parked at the lowest value, stay in 32 bits; so does what a rounding adds.
    - Sums of 8-bit weights stay below 2**16, two of which share a word.
    - A trace times its decay stays below 2**31, and so do the events of a step on its grid.
    - A threshold on the grid of the accumulator fits 62 bits.

    Learning and normalisation have proofs of their own, which the kernel looks up.
    """
    p = lowered.params
    mem, tra = p.mem, p.tra
    cut = mem.v_shift + (P.DECAY_BITS if mem.leak == P.LEAK_MULTIPLY else 0)
    if (
        p.lay.on
        or p.pair.on
        or p.n_neurons > lanes.LANES * lane_kernel.MAX_THREADS
        or p.syn.w_max > 0xFFFF
        or mem.v_overflow == Overflow.WRAP
        or mem.acc_width > lanes.LANE_BITS
        or cut > lanes.LANE_BITS
        or mem.leak_mul < 1
        or mem.leak_sub >= 1 << lanes.LANE_BITS
        or p.thr.th_width + max(mem.th_lane_shift, 0) > 62
        or 4 * lane_shared(p, learn=True) > SHARED_BYTES
    ):
        return 0
    bounds = [((1 << (lanes.LANE_BITS - 1)) - 1) // (p.syn.w_max << mem.sum_shift)]
    if max(lowered.formats["weight"].raw_max, p.syn.w_max) <= 0xFF:
        bounds.append(lanes.MAX_BYTE_SUM // p.syn.w_max)
    if p.trace == P.TRACE_EXPONENTIAL:
        if tra.x_overflow == Overflow.WRAP or tra.x_width + P.DECAY_BITS > lanes.LANE_BITS or tra.x_frac < 1:
            return 0
        bounds.append((1 << lanes.LANE_BITS) - 1 >> tra.x_frac)
    return max(min(bounds), 0)


def lane_shared(p: Params, *, learn: bool) -> int:
    """Return the words of shared memory that a block in lanes needs."""
    exponential = p.trace == P.TRACE_EXPONENTIAL
    words = lane_block.INPUT_WORDS_EXPONENTIAL if exponential else lane_block.INPUT_WORDS_WINDOW
    return words * p.n_inputs if learn else 0


def block_words(p: Params, *, learn: bool) -> int:
    """Return the words of working memory a block needs."""
    if not learn:
        return B.NEURON_WORDS_TEST * p.n_neurons
    return B.NEURON_WORDS_TRAIN * p.n_neurons + B.INPUT_WORDS_TRAIN * p.n_inputs


def fits_shared(words: int, storage: Storage) -> bool:
    """Return whether a block's working memory fits into shared memory."""
    return words * storage.word.itemsize <= SHARED_BYTES


def network_bytes(lowered: Lowered, n_images: int, n_events: int, *, learn: bool, n_blocks: int = 1) -> int:
    """Return the device memory that one network takes for launches of up to ``n_images`` images.

    Parameters
    ----------
    lowered : Lowered
    n_images : int
    n_events : int
        Input events of those images, if no other network shares its raster.
    learn : bool
    n_blocks : int
        Blocks that show it images.
    """
    p, storage = lowered.params, choose_storage(lowered)
    words = block_words(p, learn=learn)
    outside = 0 if fits_shared(words, storage) else words
    if storage.lanes:
        notes = 2 * len(P.STAT_REGISTERS) * 4 * (-(-p.n_neurons // lanes.LANES) + WARP)
        outside = max(outside, lane_block.NEURON_WORDS * p.n_neurons + notes)
    scratch = n_blocks * outside * storage.word.itemsize
    row_bytes = storage.stride(p.n_neurons) * storage.weight.itemsize
    state = p.n_inputs * row_bytes + 2 * p.n_neurons * storage.word.itemsize
    # Counts, schedule, positions and events (twice while rasters are joined), and what encoding needs.
    per_image = 2 * p.n_neurons + 24 + 16 * (p.n_steps + 1) + 4 * p.n_steps + 8 * p.n_inputs
    return state + scratch + n_images * per_image + 4 * n_events + 8 * (N_COLUMNS + lowered.n_updates + 34)


def plan_launches(sizes: Sequence[int], free: int, names: Sequence[str]) -> list[list[int]]:
    """Divide networks among launches, in order, so that each fits the free memory.

    Parameters
    ----------
    sizes : sequence of int
        `network_bytes` of each network.
    free : int
        Free device memory in bytes.
    names : sequence of str
        For the message.

    Returns
    -------
    list of list of int
        Positions of the networks of each launch.

    Raises
    ------
    DeviceMemoryError
        A single network does not fit.
    """
    room = int(free * (1.0 - RESERVE))
    launches: list[list[int]] = []
    used = room + 1
    for k, size in enumerate(sizes):
        if size > room:
            raise DeviceMemoryError(
                f"network {names[k]!r} needs {size / 1e6:,.1f} MB of device memory; {room / 1e6:,.1f} MB are "
                f"available ({free / 1e6:,.1f} MB free); use fewer neurons or narrower weights, or the cpu"
            )
        if used + size > room:
            launches.append([])
            used = 0
        launches[-1].append(k)
        used += size
    return launches
