"""Raw integers as the words of a memory file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinysnn_hw.errors import FormatError, QuantizeError
from tinysnn_hw.fixed import Format, from_hex, to_hex


@pytest.mark.parametrize(
    ("fmt", "raw", "words"),
    [
        ("s1.7", [-128, -1, 0, 1, 127], ["80", "ff", "00", "01", "7f"]),
        ("u0.8", [0, 10, 255], ["00", "0a", "ff"]),
        ("s4.1", [-16, -1, 15], ["10", "1f", "0f"]),
        ("u1.0", [0, 1], ["0", "1"]),
        ("s1.0", [-1, 0], ["1", "0"]),
        ("s4.5", [-256, 255], ["100", "0ff"]),
        ("u16.16", [2**32 - 1], ["ffffffff"]),
        ("s16.16", [-(2**31)], ["80000000"]),
    ],
)
def test_words(fmt: str, raw: list[int], words: list[str]) -> None:
    assert to_hex(raw, fmt) == words
    assert from_hex(words, fmt).tolist() == raw


@given(
    fmt=st.builds(lambda signed, width: Format(signed, width, 0), st.booleans(), st.integers(1, 32)),
    data=st.data(),
)
def test_words_come_back(fmt: Format, data: st.DataObject) -> None:
    raw = data.draw(st.lists(st.integers(fmt.raw_min, fmt.raw_max)))
    words = to_hex(raw, fmt)
    assert all(len(word) == -(-fmt.width // 4) for word in words)
    back = from_hex("\n".join(words), fmt)
    assert back.dtype == fmt.storage_dtype
    assert back.tolist() == raw


def test_arrays_are_written_in_c_order() -> None:
    raw = np.arange(6, dtype=np.int8).reshape(2, 3)
    assert to_hex(raw, "s1.7") == ["00", "01", "02", "03", "04", "05"]
    assert to_hex(raw.T, "s1.7") == ["00", "03", "01", "04", "02", "05"]


def test_a_file_with_comments() -> None:
    text = """
    // weights of neuron 0
    0a FF  /* two
    lines */ 7_f
    80 // the last
    """
    assert from_hex(text, "u0.8").tolist() == [10, 255, 127, 128]
    assert from_hex(text, "s1.7").tolist() == [10, -1, 127, -128]
    assert from_hex("", "s1.7").tolist() == []


@pytest.mark.parametrize("word", ["", "x0", "zz", "@10", "0x1f", "-1", " 1", "_", "1_"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(FormatError, match=r"^word 1 is '.*'; it must consist of hexadecimal digits$"):
        from_hex(["00", word], "s1.7")


def test_words_too_wide_are_refused() -> None:
    with pytest.raises(FormatError, match=r"^word 2 is '20'; it does not fit the 5 bits of s4\.1$"):
        from_hex("1f 00 20", "s4.1")
    assert from_hex(["0001f"], "u4.1").tolist() == [31]


@pytest.mark.parametrize("raw", [[128], [-129], [0.5], [2**40]])
def test_values_of_another_format_are_refused(raw: list[Any]) -> None:
    with pytest.raises(QuantizeError, match="raw"):
        to_hex(raw, "s1.7")
