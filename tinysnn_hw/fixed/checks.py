"""Arrays that come from outside, checked before a kernel sees them."""

# mypy: disable-error-code="call-arg, untyped-decorator, var-annotated"

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinysnn_hw.errors import QuantizeError, SpecError
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.format import Format
from tinysnn_hw.fixed.words import add, as_word, either

__all__ = ["checked_int", "checked_out", "checked_raw", "checked_reals", "element"]

_EXACT_INTEGER = 2**53


def element(array: NDArray[Any], flat_index: int, name: str) -> str:
    """Return ``name[i, j] = value`` of one element, for messages."""
    where = np.unravel_index(flat_index, array.shape)
    index = f"[{', '.join(str(int(i)) for i in where)}]" if where else ""
    return f"{name}{index} = {array[where]}"


def checked_int(name: str, value: int, low: int, high: int) -> int:
    """Return an integer within ``low..high``, else raise `SpecError`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise SpecError(f"{name} is {value!r}; it must be an integer") from None
    if not low <= number <= high:
        raise SpecError(f"{name} is {number}; allowed: {low} to {high}")
    return number


def checked_reals(x: ArrayLike) -> NDArray[np.float64]:
    """Return numbers as float64 in C order; raise `QuantizeError` where that would not be exact."""
    array = _as_array(x, "x")
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "biuf" or (kind == "f" and size > 8):
        raise QuantizeError(
            f"x is of dtype {array.dtype}; quantize takes real numbers that float64 holds exactly"
        )
    reals = np.asarray(array, dtype=np.float64, order="C")
    if kind in "iu" and size == 8:
        beyond = (array > _EXACT_INTEGER) | (array < -_EXACT_INTEGER)
        if beyond.any():
            first = int(beyond.argmax())
            raise QuantizeError(
                f"{element(array, first, 'x')} lies beyond 2**53, where float64 is not exact; "
                "use requantize for integers"
            )
    return reals


def checked_raw(raw: ArrayLike, fmt: Format) -> NDArray[Any]:
    """Return raw integers in C order and native byte order; raise `QuantizeError` unless each is one of the format."""
    array = _as_array(raw, "raw")
    if array.size == 0:
        return array.astype(fmt.storage_dtype)
    if array.dtype.kind not in "iu":
        raise QuantizeError(f"raw is of dtype {array.dtype}; raw values are integers")
    array = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
    held = np.iinfo(array.dtype)
    if (held.min < fmt.raw_min or held.max > fmt.raw_max) and not _all_held(array, fmt):
        outside = (array < fmt.raw_min) | (array > fmt.raw_max)
        raise QuantizeError(
            f"{element(array, int(outside.argmax()), 'raw')} is no raw value of {fmt}; "
            f"allowed: {fmt.raw_min} to {fmt.raw_max}"
        )
    return array


def _all_held(array: NDArray[Any], fmt: Format) -> bool:
    """Tell whether all integers are raw values of a format that has a narrower range than their storage.

    ``-2**(w - 1) <= n < 2**(w - 1)`` is ``0 <= n + 2**(w - 1) < 2**w``; so one pass looks which bits are set.
    """
    half = 1 << (fmt.width - 1) if fmt.signed and array.dtype.kind == "i" else 0
    allowed = min(fmt.raw_max + half, int(np.iinfo(array.dtype).max) if half == 0 else 2**64)
    unsigned = array.reshape(-1).view(f"u{array.itemsize}")
    return int(_set_bits(unsigned, unsigned.dtype.type(half))) & ~allowed == 0


@njit(cache=True)
def _set_bits(words: NDArray[Any], bias: Any) -> Any:
    found = as_word(0, bias)
    for k in range(words.size):
        found = either(found, add(words[k], bias))
    return found


def checked_out(out: NDArray[Any], shape: tuple[int, ...], fmt: Format) -> NDArray[Any]:
    """Return ``out`` if it can take raw integers of that shape, else raise `QuantizeError`."""
    dtype = fmt.storage_dtype
    if isinstance(out, np.ndarray) and out.shape == shape and out.dtype == dtype and out.flags.writeable:
        return out
    wanted = f"a writable array of shape {shape} and dtype {dtype}"
    if not isinstance(out, np.ndarray):
        raise QuantizeError(f"out is of type {type(out).__name__}; it must be {wanted}")
    access = "" if out.flags.writeable else "read-only, "
    raise QuantizeError(f"out is {access}of shape {out.shape} and dtype {out.dtype}; it must be {wanted}")


def _as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise QuantizeError(f"{name} is no array of numbers: {error}") from error
