"""Rounding and overflow modes, and the names other tools give them."""

from __future__ import annotations

import difflib
from enum import IntEnum
from functools import cache
from typing import Self, TypeVar

from tinysnn_hw.errors import FormatError

__all__ = ["Overflow", "Rounding", "rounding_bias"]


class _Mode(IntEnum):
    """A numbered mode with a one-line description; parsed by name or by an alias of another tool."""

    # The numbers are stored in files and read by kernels: a member is never renumbered.
    def __new__(cls, number: int, description: str = "") -> Self:
        member = int.__new__(cls, number)
        member._value_ = number
        member.__doc__ = description
        return member

    @property
    def text(self) -> str:
        """Name of the mode in specs and on the command line, for example ``nearest_even``."""
        return self.name.lower()

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str | Self) -> Self:
        """Return the mode of that name or alias; case, spaces and ``-`` for ``_`` do not matter.

        Parameters
        ----------
        text : str or a member
            A mode name, a listed alias, or a member, which is returned as it is.

        Raises
        ------
        FormatError
            If no mode has that name. The message lists all names and the nearest one.
        """
        if isinstance(text, cls):
            return text
        named: Self | None = _names(cls).get(_plain(text)) if isinstance(text, str) else None
        if named is not None:
            return named
        kind = cls.__name__.lower()
        allowed = ", ".join(mode.text for mode in cls)
        if not isinstance(text, str):
            raise FormatError(f"{kind} mode {text!r} is of type {type(text).__name__}; allowed: {allowed}")
        key = _plain(text)
        if why := _AMBIGUOUS[cls.__name__].get(key):
            raise FormatError(f"{kind} mode {text!r} is ambiguous: {why}")
        near = difflib.get_close_matches(key, _names(cls), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise FormatError(f"unknown {kind} mode {text!r}; allowed: {allowed}{hint}")


_ModeT = TypeVar("_ModeT", bound=_Mode)


class Rounding(_Mode):
    """What the dropped bits do to the result.

    With ``n`` the raw integer, ``s`` the number of dropped bits, ``f = n & (2**s - 1)`` and
    ``h = 2**(s - 1)``, the result is ``n >> s``, plus 1 where the mode says so.

    ==============  ==================================  ======================  ============  ==============
    mode            adds 1 when                         HLS                     MATLAB        others
    ==============  ==================================  ======================  ============  ==============
    floor           never                               AP_TRN (TRN)            Floor         truncation,
                                                                                              bit_trunc
    to_zero         ``n < 0`` and ``f > 0``             AP_TRN_ZERO (TRN_ZERO)  Fix, Zero
    nearest         ``f >= h``                          AP_RND (RND)            Nearest       nearest_posinf
    nearest_away    ``f > h``, or tie and ``n >= 0``    AP_RND_INF (RND_INF)    Round
    nearest_even    ``f > h``, or tie and odd           AP_RND_CONV (RND_CONV)  Convergent    around
    stochastic      ``f + r >= 2**s``, r in [0, 2**s)                                         SR
    ==============  ==================================  ======================  ============  ==============

    All names of the table are accepted by `parse`. ``truncation`` is what dropping bits does in
    hardware, toward minus infinity; bare ``trunc`` is refused, because C, Python and fxpmath mean
    toward zero by it.
    """

    FLOOR = 0, "Toward minus infinity: the dropped bits are ignored, as by a shifter."
    TO_ZERO = 1, "Toward zero."
    NEAREST = 2, "To the nearest, ties toward plus infinity: half an LSB is added, then floor."
    NEAREST_AWAY = 3, "To the nearest, ties away from zero."
    NEAREST_EVEN = 4, "To the nearest, ties to the even result."
    STOCHASTIC = 5, "Up with a probability equal to the dropped fraction; exact values never move."


class Overflow(_Mode):
    """What happens to a rounded value outside the range of its format.

    Rounding comes first, so a carry out of the rounding is an overflow too. The HLS names
    ``AP_SAT``, ``AP_WRAP`` and ``AP_SAT_SYM`` are accepted by `parse`, with or without ``AP_``.
    """

    SATURATE = 0, "The nearest end of the range."
    WRAP = 1, "The low bits of the value, as in a register without overflow logic."
    SATURATE_SYMMETRIC = 2, "As saturate, but a signed range starts at -raw_max, so raw_min becomes -raw_max."
    ERROR = 3, "An error that names the first value outside the range."


_ALIASES = {
    "Rounding": {
        "truncation": "floor",
        "bit_trunc": "floor",
        "ap_trn": "floor",
        "trn": "floor",
        "ap_trn_zero": "to_zero",
        "trn_zero": "to_zero",
        "fix": "to_zero",
        "zero": "to_zero",
        "ap_rnd": "nearest",
        "rnd": "nearest",
        "nearest_posinf": "nearest",
        "ap_rnd_inf": "nearest_away",
        "rnd_inf": "nearest_away",
        "round": "nearest_away",
        "ap_rnd_conv": "nearest_even",
        "rnd_conv": "nearest_even",
        "convergent": "nearest_even",
        "around": "nearest_even",
        "sr": "stochastic",
    },
    "Overflow": {
        "ap_sat": "saturate",
        "sat": "saturate",
        "ap_wrap": "wrap",
        "ap_sat_sym": "saturate_symmetric",
        "sat_sym": "saturate_symmetric",
    },
}


@cache
def _names(kind: type[_ModeT]) -> dict[str, _ModeT]:
    """Return every mode of a kind by its name and its aliases."""
    names = {mode.text: mode for mode in kind}
    return names | {alias: names[target] for alias, target in _ALIASES[kind.__name__].items()}


def _plain(text: str) -> str:
    return text.strip().lower().replace("-", "_").replace(" ", "_")


_TRUNC = "write 'floor' (dropping bits, toward minus infinity) or 'to_zero' (what C and Python call trunc)"
_AMBIGUOUS: dict[str, dict[str, str]] = {
    "Rounding": {"trunc": _TRUNC, "truncate": _TRUNC},
    "Overflow": {},
}


def rounding_bias(rounding: int, shift: int) -> tuple[int, int, int]:
    """Return ``(b0, b1, b2)``: a mode adds ``b0 + (sign & b1) + ((n >> shift) & b2)`` before the shift.

    Stochastic rounding adds its random bits instead; its three terms are 0.
    """
    if shift <= 0:
        return 0, 0, 0
    half = 1 << (shift - 1)
    return {
        Rounding.FLOOR: (0, 0, 0),
        Rounding.TO_ZERO: (0, 2 * half - 1, 0),
        Rounding.NEAREST: (half, 0, 0),
        Rounding.NEAREST_AWAY: (half, -1, 0),
        Rounding.NEAREST_EVEN: (half - 1, 0, 1),
        Rounding.STOCHASTIC: (0, 0, 0),
    }[Rounding(rounding)]
