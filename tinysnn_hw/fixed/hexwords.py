"""Raw integers as the hexadecimal words that ``$readmemh`` reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysnn_hw.errors import FormatError
from tinysnn_hw.fixed.checks import checked_raw
from tinysnn_hw.fixed.format import Format

__all__ = ["from_hex", "to_hex"]

_HEX = re.compile(r"[0-9a-fA-F_]*[0-9a-fA-F]")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def to_hex(raw: ArrayLike, fmt: Format | str) -> list[str]:
    r"""Return raw integers as words of ``ceil(width / 4)`` hexadecimal digits, two's complement.

    Parameters
    ----------
    raw : integers, any shape
        Raw integers of the format; they are written in C order.
    fmt : Format or str
        Their format, 1 to 32 bits.

    Returns
    -------
    list of str
        One word per integer; ``"\n".join`` makes the file that ``$readmemh`` reads.

    Raises
    ------
    QuantizeError
        If a value is not an integer of the format.
    """
    fmt = Format.parse(fmt)
    digits = -(-fmt.width // 4)
    words = checked_raw(raw, fmt).astype(np.int64) & ((1 << fmt.width) - 1)
    return [f"{word:0{digits}x}" for word in words.ravel().tolist()]


def from_hex(words: str | Iterable[str], fmt: Format | str) -> NDArray[Any]:
    """Return the raw integers of hexadecimal words, the inverse of `to_hex`.

    Parameters
    ----------
    words : str or iterable of str
        The text of a ``$readmemh`` file, which may have comments, or its words. ``_`` may stand between
        digits; ``@`` addresses and the digits ``x`` and ``z`` are refused.
    fmt : Format or str
        Format of the words, 1 to 32 bits.

    Returns
    -------
    numpy.ndarray of `Format.storage_dtype`, shape (n,)

    Raises
    ------
    FormatError
        If a word is not hexadecimal or does not fit the width.
    """
    fmt = Format.parse(fmt)
    if isinstance(words, str):
        words = _COMMENT.sub(" ", words).split()
    raw = [_integer(word, index, fmt) for index, word in enumerate(words)]
    return np.array(raw, dtype=fmt.storage_dtype)


def _integer(word: str, index: int, fmt: Format) -> int:
    if not _HEX.fullmatch(word):
        raise FormatError(f"word {index} is {word!r}; it must consist of hexadecimal digits")
    pattern = int(word.replace("_", ""), 16)
    if pattern >> fmt.width:
        raise FormatError(f"word {index} is {word!r}; it does not fit the {fmt.width} bits of {fmt}")
    return pattern - (1 << fmt.width) if pattern > fmt.raw_max else pattern
