"""The loops over arrays become vector instructions; without them quantize takes ten times as long."""

from __future__ import annotations

import platform
import re
from typing import Any

import numpy as np
import pytest
from numba import njit

from tinysnn_hw.fixed import kernels

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"),
    reason="how wide the vectors are, and what they can do, is known for x86-64",
)

REALS = np.zeros(8)
RAW = np.zeros(8, np.int16)
OUT = np.zeros(8, np.int8)


def compiled(kernel: Any, *arguments: Any) -> str:
    """Optimised code of a kernel, compiled anew because that from the disk cache cannot be read."""
    fresh = njit(kernel.py_func)
    fresh(*arguments)
    (code,) = fresh.inspect_llvm().values()
    return str(code)


@pytest.mark.parametrize(
    ("kernel", "arguments", "hashes"),
    [
        (kernels.saturate_reals, (REALS, OUT, 1.0, -1.0, 1.0, 9.0, 2), False),
        (kernels.cut_reals, (REALS, OUT, 1.0, -1.0, 1.0, 9.0, 2, 0, 0, None, 32), True),
        (kernels.saturate_halfwords, (RAW, OUT, 3, 4, 0, -128, 127), False),
        (kernels.cut_words, (RAW, OUT, 3, (4, 0, 0), -128, 127, 0, None, 32), True),
    ],
    ids=["saturate_reals", "cut_reals", "saturate_halfwords", "cut_words"],
)
def test_kernel_writes_and_hashes_vectors(kernel: Any, arguments: tuple[Any, ...], hashes: bool) -> None:
    code = compiled(kernel, *arguments)
    assert re.search(r"store <\d+ x i8>", code)
    assert bool(re.search(r"mul [a-z ]*<\d+ x i32>", code)) == hashes
