"""Numbers as text, and the format a range needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.fixed import Format
from tinysnn_hw.records import RegisterRange
from tinysnn_hw.report.text import fitting_format, is_written, kib, percent, points, rate, real


def in_format(fmt, low, high):
    return RegisterRange(
        format=str(fmt), min_raw=low, max_raw=high, min=0.0, max=0.0, saturated_low=0, saturated_high=0
    )


@given(st.booleans(), st.integers(1, 32), st.integers(-4, 20), st.sampled_from(["v_mem", "v_inh"]), st.data())
def test_fitting_format_is_the_narrowest(signed, width, frac_bits, name, data):
    fmt = Format(signed, width - frac_bits, frac_bits)
    low = data.draw(st.integers(fmt.raw_min, fmt.raw_max))
    high = data.draw(st.integers(low, fmt.raw_max))
    fits = fitting_format(name, in_format(fmt, low, high))
    assert (fits.signed, fits.frac_bits) == (signed and (low < 0 or name == "v_inh"), frac_bits)
    assert fits.raw_min <= low and high <= fits.raw_max
    assert fits.width <= width
    if fits.width > 1:
        narrower = Format(fits.signed, fits.int_bits - 1, frac_bits)
        assert low < narrower.raw_min or narrower.raw_max < high


def test_registers_that_were_never_written_are_known():
    assert not is_written(in_format("s8.8", 2**63 - 1, -(2**63)))
    assert is_written(in_format("s8.8", 0, 0))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (kib(8 * 1024), "1.0"),
        (kib(10_112_064), "1,234.4"),
        (percent(93.756), "93.76"),
        (points(-0.004), "0.00"),
        (points(0.5), "+0.50"),
        (points(-1.234), "-1.23"),
        (rate(23456.7), "23,457"),
        (rate(5.678), "5.68"),
        (real(127.99609375), "128"),
        (real(-109.375), "-109.38"),
    ],
)
def test_numbers(found, expected):
    assert found == expected
