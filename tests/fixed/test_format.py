"""Number formats: what they hold, how they are written, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinysnn_hw.fixed
from tinysnn_hw.errors import FormatError
from tinysnn_hw.fixed import Format

formats = st.builds(
    lambda signed, width, frac_bits: Format(signed, width - frac_bits, frac_bits),
    st.booleans(),
    st.integers(1, 300),
    st.integers(-200, 200),
)


def test_what_a_format_holds() -> None:
    weight = Format.parse("u0.8")
    assert (weight.signed, weight.int_bits, weight.frac_bits, weight.width) == (False, 0, 8, 8)
    assert (weight.raw_min, weight.raw_max) == (0, 255)
    assert (weight.min, weight.max, weight.lsb) == (0.0, 255 / 256, 1 / 256)
    v_mem = Format.parse("s8.8")
    assert (v_mem.raw_min, v_mem.raw_max) == (-32768, 32767)
    assert (v_mem.min, v_mem.max, v_mem.lsb) == (-128.0, 32767 / 256, 1 / 256)


@given(fmt=formats)
def test_range_and_lsb(fmt: Format) -> None:
    lsb = Fraction(2) ** -fmt.frac_bits
    assert fmt.raw_max - fmt.raw_min + 1 == 2**fmt.width
    assert fmt.raw_min == (-fmt.raw_max - 1 if fmt.signed else 0)
    assert Fraction(fmt.lsb) == lsb
    assert Fraction(fmt.min) == fmt.raw_min * lsb
    assert fmt.max == float(fmt.raw_max * lsb)


SPELLINGS = {
    "s8.8": (True, 8, 8),
    "u0.8": (False, 0, 8),
    "S1.7": (True, 1, 7),
    "U4.0": (False, 4, 0),
    "  s8.8\n": (True, 8, 8),
    "s10.-2": (True, 10, -2),
    "u-2.10": (False, -2, 10),
    "s+8.+8": (True, 8, 8),
    "s1.0": (True, 1, 0),
    "u0.1": (False, 0, 1),
    "u0.32": (False, 0, 32),
    "ap_fixed<8,1>": (True, 1, 7),
    "ap_ufixed<8,0>": (False, 0, 8),
    "AP_FIXED< 16 , 8 >": (True, 8, 8),
    "ap_fixed<2,0>": (True, 0, 2),
    "ap_fixed<4,-2>": (True, -2, 6),
    "ap_ufixed<4,6>": (False, 6, -2),
    "fi(x,1,8,7)": (True, 1, 7),
    "fi(1,8,7)": (True, 1, 7),
    "fi(0, 8, 8)": (False, 0, 8),
    "fi( pixel_1 , 0 , 8 , 10 )": (False, -2, 10),
    "fxp-s8/7": (True, 1, 7),
    "fxp-u8/8": (False, 0, 8),
    "FXP-S8/-2": (True, 10, -2),
    "Q1.7 arm": (True, 1, 7),
    "Q1.7 ti": (True, 2, 7),
    "q8.8   ARM": (True, 8, 8),
    "Q0.15 TI": (True, 1, 15),
    "UQ0.8": (False, 0, 8),
    "uq4.4 arm": (False, 4, 4),
    "UQ4.4 ti": (False, 4, 4),
}


@pytest.mark.parametrize(("text", "parts"), SPELLINGS.items())
def test_every_spelling(text: str, parts: tuple[bool, int, int]) -> None:
    assert Format.parse(text) == Format(*parts)


@given(fmt=formats.filter(lambda fmt: fmt.width <= 32))
def test_every_spelling_of_every_format(fmt: Format) -> None:
    width, whole, frac = fmt.width, fmt.int_bits, fmt.frac_bits
    spellings = [str(fmt), f"fi({int(fmt.signed)},{width},{frac})"]
    spellings += [f"ap_{'' if fmt.signed else 'u'}fixed<{width},{whole}>"]
    spellings += [f"fxp-{'s' if fmt.signed else 'u'}{width}/{frac}"]
    spellings += [f"Q{whole}.{frac} arm", f"Q{whole - 1}.{frac} ti"] if fmt.signed else [f"UQ{whole}.{frac}"]
    assert [Format.parse(text) for text in spellings] == [fmt] * len(spellings)
    assert Format.parse(fmt) is fmt


def test_a_signed_q_needs_its_convention() -> None:
    with pytest.raises(FormatError) as error:
        Format.parse("Q1.7")
    message = str(error.value)
    assert "'Q1.7' is ambiguous" in message
    assert "ARM counts the sign bit in 1 (s1.7, 8 bits)" in message
    assert "TI does not (s2.7, 9 bits)" in message
    assert "'Q1.7 arm', 'Q1.7 ti' or the s form" in message


def test_a_format_too_wide_for_kernels_is_named() -> None:
    with pytest.raises(FormatError, match=r"^number format 'u0\.40' has 40 bits; .* 1 to 32 bits$"):
        Format.parse("u0.40")
    wide = Format(False, 0, 40)
    with pytest.raises(FormatError, match="40 bits"):
        wide.require_kernel_width()
    with pytest.raises(FormatError, match="40 bits"):
        Format.parse(wide)
    Format.parse("u0.32").require_kernel_width()


NOT_OURS = ["", "s", "8.8", "s8", "s8,8", "s8.8.8", "s8.", "s.8", "s 8.8", "s8. 8", "i8.8", "s8.8x", "s1e1.0"]
NOT_THEIRS = ["ap_fixed<8>", "ap_fixed(8,1)", "ap_int<8>", "fi(2,8,7)", "fi(8,7)", "fi(x,y,1,8,7)", "fxp-8/7"]
NOT_Q = ["Q15", "Q1.7 xilinx", "Q1.7arm", "UQ0,8"]


@pytest.mark.parametrize("text", [*NOT_OURS, *NOT_THEIRS, *NOT_Q, "s1234567890.1", "s٨.٨"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(FormatError) as error:
        Format.parse(text)
    message = str(error.value)
    assert message.startswith(
        f"number format {text!r} is not understood; write s<int>.<frac> or u<int>.<frac>"
    )


def test_modes_inside_a_format_are_not_dropped_silently() -> None:
    with pytest.raises(FormatError, match="'ap_fixed<8,1,AP_RND,AP_SAT>' also names modes; give them apart"):
        Format.parse("ap_fixed<8,1,AP_RND,AP_SAT>")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((True, 0, 0), r"'s0\.0' has 0 \+ 0 = 0 bits; it needs at least 1"),
        ((False, 4, -5), r"'u4\.-5' has 4 \+ -5 = -1 bits"),
        ((True, 513, 0), "int_bits of a number format is 513; allowed: -512 to 512"),
        ((True, 0, -513), "frac_bits of a number format is -513"),
        ((True, 8.0, 8), r"int_bits of a number format is 8\.0; it must be an integer"),
        ((True, 8, "8"), "frac_bits of a number format is '8'"),
        ((1, 8, 8), "signed of a number format is 1; it must be True or False"),
    ],
)
def test_impossible_parts_are_refused(parts: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Format(*parts)


@pytest.mark.parametrize("value", [None, 8, 8.8, ("s", 8, 8)])
def test_only_text_and_formats_are_parsed(value: Any) -> None:
    with pytest.raises(FormatError, match=f"is of type {type(value).__name__}; give a Format or text"):
        Format.parse(value)


def test_text_and_repr() -> None:
    assert str(Format.parse("ap_fixed<8,1>")) == "s1.7"
    assert repr(Format(True, 1, 7)) == "Format('s1.7', 8 bits, -1 to 0.9921875, LSB 2**-7)"
    assert repr(Format(False, 12, -4)) == "Format('u12.-4', 8 bits, 0 to 4080, LSB 2**4)"
    assert repr(Format(False, 1, 0)) == "Format('u1.0', 1 bit, 0 to 1, LSB 2**0)"
    assert repr(Format(True, 40, 20)).startswith("Format('s40.20', 60 bits, ")


@pytest.mark.parametrize(
    ("width", "bits"), [(1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (32, 32), (33, 64), (64, 64)]
)
def test_storage_is_the_narrowest_that_holds_all(width: int, bits: int) -> None:
    assert Format(True, width, 0).storage_dtype == np.dtype(f"int{bits}")
    assert Format(False, 0, width).storage_dtype == np.dtype(f"uint{bits}")


def test_storage_ends_at_64_bits() -> None:
    with pytest.raises(FormatError, match=r"'s65\.0' has 65 bits; NumPy integers end at 64 bits"):
        _ = Format(True, 65, 0).storage_dtype


def test_formats_are_values() -> None:
    fmt = Format(True, np.int64(8), np.int8(8))  # type: ignore[arg-type]
    assert type(fmt.int_bits) is int
    assert fmt == Format.parse("s8.8") == copy.deepcopy(fmt) == pickle.loads(pickle.dumps(fmt))
    assert len({fmt, Format.parse("s8.8"), Format.parse("u8.8")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        fmt.int_bits = 9  # type: ignore[misc]


def test_formats_and_modes_load_neither_numba_nor_numpy() -> None:
    code = (
        "import sys, tinysnn_hw.fixed as fixed; fixed.Format.parse('s8.8'); fixed.Rounding.parse('AP_RND'); "
        "print([name for name in ('numba', 'numpy') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", tinysnn_hw.fixed.__all__)
def test_public_names_exist(name: str) -> None:
    assert name in dir(tinysnn_hw.fixed)
    assert getattr(tinysnn_hw.fixed, name).__doc__


def test_unknown_names_do_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        tinysnn_hw.fixed.quantise  # noqa: B018
