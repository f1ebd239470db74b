"""Energies of single accesses and operations against published figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.cost.counts import ADD, COMPARE, MULTIPLY, RANDOM_BIT
from tinysnn_hw.cost.prices import (
    operation_energy,
    port_accesses,
    power_law,
    read_energy,
    rows_opened,
    write_energy,
)
from tinysnn_hw.spec import load_hardware
from tinysnn_hw.spec.hardware import MemorySpec, OperationsSpec, WidthPoint

KIB = 8 * 1024
PJ = 1e-12


def price(name, kind, width, width2=None, *, is_float=False):
    operations = load_hardware(name).operations
    found = operation_energy(operations, kind, width, width2 or width, is_float=is_float)
    return found.nominal / PJ


@pytest.mark.parametrize(
    ("name", "add", "multiply", "floats", "sram"),
    [  # Horowitz, ISSCC 2014; Jouppi et al., ISCA 2021, Table 2
        ("edge-45nm", {8: 0.03, 32: 0.1}, {8: 0.2, 32: 3.1}, (0.9, 3.7), {8: 10.0, 32: 20.0, 1024: 100.0}),
        ("edge-7nm", {8: 0.007, 32: 0.03}, {8: 0.07, 32: 1.48}, (0.38, 1.31), {8: 7.5, 32: 8.5, 1024: 14.0}),
    ],
)
def test_anchors_are_returned_exactly(name, add, multiply, floats, sram):
    for width, value in add.items():
        assert price(name, ADD, width) == pytest.approx(value, rel=1e-15)
        assert price(name, COMPARE, width) == pytest.approx(value, rel=1e-15)
    for width, value in multiply.items():
        assert price(name, MULTIPLY, width) == pytest.approx(value, rel=1e-15)
    assert price(name, ADD, 32, is_float=True) == pytest.approx(floats[0], rel=1e-15)
    assert price(name, MULTIPLY, 32, is_float=True) == pytest.approx(floats[1], rel=1e-15)
    memory = load_hardware(name).memory["weight-sram"]
    assert memory.width.si.nominal == 64
    for kib, value in sram.items():
        assert read_energy(memory, kib * KIB).nominal / PJ == pytest.approx(value, rel=1e-15)


def test_exponents_between_the_anchors():
    """E(b) = E8 (b/8)**a with a = 0.8685 and 1.9771 at 45 nm, 1.0498 and 2.2010 at 7 nm."""
    for name, add, multiply in (("edge-45nm", 0.8685, 1.9771), ("edge-7nm", 1.0498, 2.2010)):
        for kind, exponent in ((ADD, add), (MULTIPLY, multiply)):
            ratio = price(name, kind, 16) / price(name, kind, 8)
            assert math.log2(ratio) == pytest.approx(exponent, abs=1e-4)
    assert price("edge-45nm", ADD, 16) == pytest.approx(0.0548, abs=5e-5)
    assert price("edge-45nm", MULTIPLY, 16) == pytest.approx(0.787, abs=5e-4)


def test_mixed_products_take_the_geometric_mean():
    assert price("edge-45nm", MULTIPLY, 8, 32) == pytest.approx(math.sqrt(0.2 * 3.1), rel=1e-12)
    assert price("edge-45nm", MULTIPLY, 4, 12) == pytest.approx(
        price("edge-45nm", MULTIPLY, 12, 4), rel=1e-15
    )


def test_linear_and_quadratic_laws_come_out_of_their_points():
    """Aladdin at 40 nm as hwcomponents has it: adders linear, multipliers quadratic in the width."""
    same = {"unit": "pJ", "source": "Aladdin"}
    operations = OperationsSpec.model_validate({
        "scaling": "power",
        "add": [{"width": 8, "value": 0.21 / 4} | same, {"width": 32, "value": 0.21} | same],
        "multiply": [{"width": 8, "value": 12.68 / 16} | same, {"width": 32, "value": 12.68} | same],
        **{name: {"value": 1.0} | same for name in ("random_bit", "float_add", "float_multiply")},
    })  # fmt: skip
    found = [
        operation_energy(operations, kind, 16, 16, is_float=False).nominal / PJ for kind in (ADD, MULTIPLY)
    ]
    assert found == pytest.approx([0.105, 3.17], rel=1e-12)


@pytest.mark.parametrize(("bits", "value"), [(32, 108.68), (16, 78.77), (8, 57.09), (4, 41.38)])
def test_sram_of_the_size_of_784_by_400_weights(bits, value):
    memory = load_hardware("edge-45nm").memory["weight-sram"]
    assert read_energy(memory, 784 * 400 * bits).nominal / PJ == pytest.approx(value, abs=5e-3)


def test_slopes_of_the_sram_points():
    """0.50 up to 32 KiB, 0.464 beyond; both continue outside."""
    memory = load_hardware("edge-45nm").memory["weight-sram"]
    for small, large, slope in ((0.5, 2, 0.5), (12, 24, 0.5), (64, 256, 0.4644), (2048, 8192, 0.4644)):
        ratio = read_energy(memory, large * KIB).nominal / read_energy(memory, small * KIB).nominal
        assert math.log(ratio) / math.log(large / small) == pytest.approx(slope, abs=1e-4)


def test_spikingjelly_presets():
    """6 accumulates take 5.4 pJ, 24 multiply-accumulates 110.4 pJ; 2.5, 5 and 25 pJ per byte of SRAM.

    SpikingJelly takes Horowitz's figures per 32-bit access; per 64 bits, as published, they are half of that.
    """
    accumulate = price("edge-45nm", ADD, 32, is_float=True)
    assert 6 * accumulate == pytest.approx(5.4, rel=1e-12)
    assert 24 * (accumulate + price("edge-45nm", MULTIPLY, 32, is_float=True)) == pytest.approx(
        110.4, rel=1e-12
    )
    published = load_hardware("edge-45nm").memory["weight-sram"]
    theirs = MemorySpec.model_validate(published.model_dump() | {"width": {"value": 32, "unit": "bit"}})
    for kib, per_byte in ((8, 2.5), (32, 5.0), (1024, 25.0)):
        energy = read_energy(theirs, kib * KIB).nominal / PJ
        assert energy / 4 == pytest.approx(per_byte, rel=1e-12)
        assert port_accesses(theirs, 64, 8) == 2 * port_accesses(published, 64, 8) == 16


@pytest.mark.parametrize(
    ("accumulates", "macs", "millijoules"),
    [(0.10e9, 0.14e9, 0.734), (0.0, 1.82e9, 8.372), (1.69e9, 0.20e9, 2.441)],
)
def test_syops_table(accumulates, macs, millijoules):
    """spiking ResNet-18, ResNet-18 and a deep SNN of the syops benchmark: 0.9 pJ AC, 4.6 pJ MAC."""
    add, multiply = (price("edge-45nm", kind, 32, is_float=True) * PJ for kind in (ADD, MULTIPLY))
    assert (accumulates * add + macs * (add + multiply)) * 1e3 == pytest.approx(millijoules, rel=1e-12)


def test_lpddr3_rows():
    """Row hit 4.59 pJ/bit read, 4.83 written, 17.93 with its activation; a row of 400 weights in whole bursts."""
    dram = load_hardware("edge-45nm-lpddr3").memory["dram"]
    read, write = read_energy(dram, 1).nominal / PJ, write_energy(dram, 1).nominal / PJ
    opened = dram.activate.si.nominal / PJ
    assert (read / 256, write / 256) == pytest.approx((4.59, 4.83), abs=5e-3)
    assert (read + opened) / 256 == pytest.approx(17.93, abs=5e-3)
    bursts = {bits: port_accesses(dram, 400, bits) for bits in (32, 16, 8, 4)}
    assert bursts == {32: 50, 16: 25, 8: 13, 4: 7}
    assert [bursts[bits] * read for bits in (32, 8, 4)] == pytest.approx([58_800, 15_288, 8_232], rel=1e-12)
    assert bursts[32] / bursts[8] == pytest.approx(3.846, abs=5e-4)
    assert rows_opened(dram, 400, 8).nominal == rows_opened(dram, 400, 32).nominal == 1
    hit = [bursts[bits] * read + opened for bits in (32, 8)]
    assert hit == pytest.approx([62_214.6, 18_702.6], rel=1e-12)
    assert hit[0] / hit[1] == pytest.approx(3.327, abs=5e-4)
    assert rows_opened(dram, 4900, 8).nominal == 2  # 4900 bytes lie in two rows of 4096
    assert rows_opened(dram, 400, 8).low == 0 and rows_opened(dram, 400, 8).high == 1
    assert rows_opened(load_hardware("edge-45nm").memory["weight-sram"], 400, 8) is None


def test_a_microcontroller_has_no_narrow_words():
    assert price("edge-mcu", ADD, 4) == price("edge-mcu", ADD, 32) == pytest.approx(330.0)
    assert price("edge-mcu", RANDOM_BIT, 1) == pytest.approx(61.9)


def test_writes_have_the_range_of_the_literature():
    memory = load_hardware("edge-45nm").memory["weight-sram"]
    read, write = read_energy(memory, 8 * KIB), write_energy(memory, 8 * KIB)
    assert (write.low, write.nominal, write.high) == pytest.approx((9e-12, 10e-12, 22e-12))
    assert read.is_exact


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=5, unique=True), st.data())
def test_power_law_keeps_its_points_and_their_order(values, data):
    ys = sorted(values)
    points = [(float(8 * 4**k), y) for k, y in enumerate(ys)]
    for x, y in points:
        assert power_law(points, x) == y
    a, b = sorted(data.draw(st.tuples(st.floats(1.0, 1e5), st.floats(1.0, 1e5))))
    assert power_law(points, a) <= power_law(points, b) * (1 + 1e-12)


def test_points_carry_their_own_range():
    point = WidthPoint(value=2.0, low=1.0, high=4.0, unit="pJ", width=8)
    assert (point.si.low, point.si.high) == (1e-12, 4e-12)
