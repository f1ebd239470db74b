"""Number formats: signedness, integer bits, fraction bits."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from tinysnn_hw.errors import FormatError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["KERNEL_WIDTH_MAX", "Format"]

KERNEL_WIDTH_MAX = 32
"""Widest format, in bits, that kernels and array functions write."""

PART_MAX = 512
"""Bound of ``|int_bits|`` and ``|frac_bits|``: keeps every scale factor a normal float64."""


@dataclass(frozen=True, slots=True, repr=False)
class Format:
    """A fixed-point number format: the value of a raw integer is ``raw * 2**-frac_bits``.

    Parameters
    ----------
    signed : bool
        Two's complement if true.
    int_bits : int
        Bits left of the binary point, the sign bit included; may be zero or negative.
    frac_bits : int
        Bits right of the binary point; may be zero or negative.

    Raises
    ------
    FormatError
        If a part is not an integer or lies outside -512..512, or if the width is below 1 bit.

    See Also
    --------
    Format.parse : from text such as ``s8.8``.

    Notes
    -----
    The constructor takes any width, as a model in Python integers needs. `parse`, kernels and array
    functions take 1 to 32 bits.

    ``int_bits`` is the ``I`` of ``ap_fixed<W,I>``, the ``m`` of ARM's ``Qm.n`` and ``W - F`` of MATLAB's
    ``fi(x,S,W,F)``. TI's ``Qm.n``, ``n_int`` of fxpmath and ``i`` of QKeras and HGQ leave the sign bit out.

    Examples
    --------
    >>> Format.parse("s1.7")
    Format('s1.7', 8 bits, -1 to 0.9921875, LSB 2**-7)
    >>> Format.parse("ap_fixed<8,1>") == Format.parse("fi(x,1,8,7)") == Format(True, 1, 7)
    True
    """

    signed: bool
    int_bits: int
    frac_bits: int

    def __post_init__(self) -> None:
        if not isinstance(self.signed, bool):
            raise FormatError(f"signed of a number format is {self.signed!r}; it must be True or False")
        for name in ("int_bits", "frac_bits"):
            object.__setattr__(self, name, _checked_part(name, getattr(self, name)))
        if self.width < 1:
            raise FormatError(
                f"number format {str(self)!r} has {self.int_bits} + {self.frac_bits} = {self.width} bits; "
                "it needs at least 1"
            )

    @property
    def width(self) -> int:
        """Stored bits, ``int_bits + frac_bits``."""
        return self.int_bits + self.frac_bits

    @property
    def lsb(self) -> float:
        """Value of the last bit, ``2**-frac_bits``; exact."""
        return math.ldexp(1.0, -self.frac_bits)

    @property
    def raw_min(self) -> int:
        """Smallest raw integer: ``-2**(width - 1)`` if signed, else 0."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def raw_max(self) -> int:
        """Largest raw integer: ``2**(width - 1) - 1`` if signed, else ``2**width - 1``."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def min(self) -> float:
        """Smallest value, ``raw_min * lsb``; exact."""
        return _value(self.raw_min, self.frac_bits)

    @property
    def max(self) -> float:
        """Largest value, ``raw_max * lsb``; exact up to 53 bits of width, else the nearest float64."""
        return _value(self.raw_max, self.frac_bits)

    @property
    def storage_dtype(self) -> np.dtype[np.integer]:
        """Narrowest NumPy integer dtype that holds every raw value.

        Raises
        ------
        FormatError
            If the format is wider than 64 bits.
        """
        import numpy as np

        for bits in (8, 16, 32, 64):
            if self.width <= bits:
                return np.dtype(f"int{bits}" if self.signed else f"uint{bits}")
        raise FormatError(f"number format {str(self)!r} has {self.width} bits; NumPy integers end at 64 bits")

    @classmethod
    def parse(cls, text: str | Format) -> Format:
        """Return the format that a text describes.

        Parameters
        ----------
        text : str or Format
            ``s8.8``, ``u0.8``, ``ap_fixed<8,1>``, ``ap_ufixed<8,0>``, ``fi(x,1,8,7)``, ``fi(1,8,7)``,
            ``fxp-s8/7``, ``fxp-u8/8``, ``Q1.7 arm``, ``Q1.7 ti`` or ``UQ0.8``; case does not matter and
            parts may be negative (``s10.-2``). A `Format` is returned as it is.

        Raises
        ------
        FormatError
            If the text is none of these; if it is a signed ``Qm.n`` without convention (ARM counts the
            sign bit in ``m``, TI does not); if the width is not 1 to 32 bits.
        """
        if isinstance(text, Format):
            fmt = text
        elif isinstance(text, str):
            fmt = _parsed(text)
        else:
            raise FormatError(
                f"number format {text!r} is of type {type(text).__name__}; give a Format or text like 's8.8'"
            )
        fmt.require_kernel_width()
        return fmt

    def require_kernel_width(self) -> None:
        """Raise `FormatError` unless kernels can write this format, that is unless it has 1 to 32 bits."""
        if self.width > KERNEL_WIDTH_MAX:
            raise FormatError(
                f"number format {str(self)!r} has {self.width} bits; registers and arrays take "
                f"1 to {KERNEL_WIDTH_MAX} bits"
            )

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.int_bits}.{self.frac_bits}"

    def __repr__(self) -> str:
        return (
            f"Format('{self}', {self.width} bit{'s' if self.width > 1 else ''}, "
            f"{self.min:.10g} to {self.max:.10g}, LSB 2**{-self.frac_bits})"
        )


def _checked_part(name: str, value: object) -> int:
    try:
        bits = operator.index(value)  # type: ignore[arg-type]  # the refusal is what is wanted
    except TypeError:
        raise FormatError(f"{name} of a number format is {value!r}; it must be an integer") from None
    if not -PART_MAX <= bits <= PART_MAX:
        raise FormatError(f"{name} of a number format is {bits}; allowed: {-PART_MAX} to {PART_MAX}")
    return bits


def _value(raw: int, frac_bits: int) -> float:
    # Python rounds a quotient of integers correctly, whatever their size.
    return raw / (1 << frac_bits) if frac_bits >= 0 else float(raw << -frac_bits)


_INT = r"([+-]?[0-9]{1,9})"
_COMMA = r"\s*,\s*"
_OWN = re.compile(rf"([su]){_INT}\.{_INT}", re.IGNORECASE)
_AP = re.compile(rf"ap_(u?)fixed\s*<\s*{_INT}{_COMMA}{_INT}\s*(,.*)?>", re.IGNORECASE)
_FI = re.compile(
    rf"fi\s*\(\s*(?:[a-z_]\w*{_COMMA})?([01]){_COMMA}{_INT}{_COMMA}{_INT}\s*\)",
    re.IGNORECASE,
)
_FXP = re.compile(rf"fxp-([su]){_INT}/{_INT}", re.IGNORECASE)
_Q = re.compile(rf"(u?)q{_INT}\.{_INT}(?:\s+(arm|ti))?", re.IGNORECASE)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Format:
    return Format(*_read(text))


def _read(text: str) -> tuple[bool, int, int]:
    """Return (signed, int_bits, frac_bits) of a format text."""
    body = text.strip()
    if m := _OWN.fullmatch(body):
        return m[1] in "sS", int(m[2]), int(m[3])
    if m := _AP.fullmatch(body):
        if m[4]:
            _refuse(text, "also names modes; give them apart, as rounding= and overflow=")
        return not m[1], int(m[3]), int(m[2]) - int(m[3])
    if (m := _FI.fullmatch(body)) or (m := _FXP.fullmatch(body)):
        return m[1] in "1sS", int(m[2]) - int(m[3]), int(m[3])
    if m := _Q.fullmatch(body):
        return _read_q(text, unsigned=bool(m[1]), whole=int(m[2]), frac=int(m[3]), convention=m[4])
    _refuse(
        text,
        "is not understood; write s<int>.<frac> or u<int>.<frac> with the sign bit counted in <int> "
        "(s1.7), or ap_fixed<8,1>, fi(x,1,8,7), fxp-s8/7, 'Q1.7 arm', UQ0.8",
    )


def _read_q(
    text: str, *, unsigned: bool, whole: int, frac: int, convention: str | None
) -> tuple[bool, int, int]:
    if unsigned:
        return False, whole, frac
    if convention is None:
        _refuse(
            text,
            f"is ambiguous: ARM counts the sign bit in {whole} (s{whole}.{frac}, {whole + frac} bits), "
            f"TI does not (s{whole + 1}.{frac}, {whole + frac + 1} bits); "
            f"write 'Q{whole}.{frac} arm', 'Q{whole}.{frac} ti' or the s form",
        )
    return True, whole + (convention.lower() == "ti"), frac


def _refuse(text: str, why: str) -> NoReturn:
    raise FormatError(f"number format {text!r} {why}")
