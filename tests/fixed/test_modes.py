"""Modes: their numbers, names and aliases."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tinysnn_hw.errors import FormatError
from tinysnn_hw.fixed import Overflow, Rounding


def test_numbers_are_pinned() -> None:
    assert {mode.name: mode.value for mode in Rounding} == {
        "FLOOR": 0,
        "TO_ZERO": 1,
        "NEAREST": 2,
        "NEAREST_AWAY": 3,
        "NEAREST_EVEN": 4,
        "STOCHASTIC": 5,
    }
    assert {mode.name: mode.value for mode in Overflow} == {
        "SATURATE": 0,
        "WRAP": 1,
        "SATURATE_SYMMETRIC": 2,
        "ERROR": 3,
    }


@pytest.mark.parametrize("mode", [*Rounding, *Overflow], ids=repr)
def test_a_mode_describes_itself(mode: Rounding | Overflow) -> None:
    kind = type(mode)
    assert mode.__doc__ not in (None, kind.__doc__)
    assert str(mode) == mode.text == mode.name.lower()
    assert kind(int(mode)) is kind.parse(mode.text) is kind.parse(mode.name) is kind.parse(mode) is mode
    assert pickle.loads(pickle.dumps(mode)) is mode


ALIASES = [  # no dictionary: members of both kinds are equal as numbers
    (Rounding.FLOOR, ["truncation", "AP_TRN", "trn", "Floor", "bit_trunc"]),
    (Rounding.TO_ZERO, ["to-zero", "To Zero", "AP_TRN_ZERO", "TRN_ZERO", "Fix", "zero"]),
    (Rounding.NEAREST, ["AP_RND", "RND", "Nearest", " nearest ", "nearest_posinf"]),
    (Rounding.NEAREST_AWAY, ["AP_RND_INF", "rnd_inf", "Round", "nearest-away"]),
    (Rounding.NEAREST_EVEN, ["AP_RND_CONV", "RND_CONV", "Convergent", "around", "NEAREST EVEN"]),
    (Rounding.STOCHASTIC, ["SR", "Stochastic"]),
    (Overflow.SATURATE, ["AP_SAT", "SAT", "Saturate"]),
    (Overflow.WRAP, ["AP_WRAP", "Wrap"]),
    (Overflow.SATURATE_SYMMETRIC, ["AP_SAT_SYM", "sat_sym", "saturate-symmetric"]),
    (Overflow.ERROR, ["Error"]),
]


@pytest.mark.parametrize(("mode", "alias"), [(mode, alias) for mode, names in ALIASES for alias in names])
def test_aliases(mode: Rounding | Overflow, alias: str) -> None:
    assert type(mode).parse(alias) is mode


def test_an_unknown_name_lists_what_is_allowed() -> None:
    with pytest.raises(FormatError) as error:
        Rounding.parse("neerest-evn")
    assert str(error.value) == (
        "unknown rounding mode 'neerest-evn'; allowed: floor, to_zero, nearest, nearest_away, nearest_even, "
        "stochastic; did you mean 'nearest_even'?"
    )
    with pytest.raises(FormatError) as error:
        Overflow.parse("xyz")
    assert str(error.value) == (
        "unknown overflow mode 'xyz'; allowed: saturate, wrap, saturate_symmetric, error"
    )


@pytest.mark.parametrize("text", ["trunc", "truncate", "Trunc"])
def test_trunc_alone_is_ambiguous(text: str) -> None:
    with pytest.raises(
        FormatError, match=f"rounding mode '{text}' is ambiguous: write 'floor' .* or 'to_zero'"
    ):
        Rounding.parse(text)


@pytest.mark.parametrize("value", [None, 2, 2.0, Overflow.WRAP])
def test_only_text_and_members_are_parsed(value: Any) -> None:
    with pytest.raises(FormatError, match=f"is of type {type(value).__name__}; allowed: floor, "):
        Rounding.parse(value)
