"""Numba's `njit`, with a cache on disk that no change of a kernel, or of a function it calls, can outlive.

Numba takes a cached function for fresh as long as the file that the function stands in is unchanged.  The functions
it calls are compiled into it, and mostly stand in other files: when one of those changes, the old code would go on
running, and where a type or function that the cache refers to is gone, reading it raises an error.  Here index and
data of the cache carry a digest of all sources that kernels are made of.  Where it differs, the function is compiled
anew and the old files are overwritten.  Where the cache lies is Numba's choice, which ``NUMBA_CACHE_DIR`` changes.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba

__all__ = ["keep", "njit", "state_of_sources"]

ROOMS = ("data", "engine", "fixed")
"""Folders of the package whose files kernels, and the constants compiled into them, come from."""


@cache
def state_of_sources() -> str:
    """Return a digest of every source file that kernels are made of."""
    found = hashlib.sha256()
    package = str(Path(__file__).parents[1])
    for room in ROOMS:
        for folder, _, names in sorted(os.walk(f"{package}/{room}")):
            for name in sorted(names):
                if name.endswith(".py"):
                    text = Path(folder, name).read_bytes()
                    found.update(f"{folder.removeprefix(package)} {name} {len(text)}\n".encode())
                    found.update(text)
    return found.hexdigest()


class _OfOneState:
    """Mixed into the class of Numba's cache files: what another state of the sources has written is not there."""

    def __init__(self, *places: Any) -> None:
        super().__init__(*places)
        # Of another version the index is not even unpickled, which can fail where a type is gone.
        self._version = f"{numba.__version__} {state_of_sources()}"

    def save(self, key: Any, data: Any) -> None:
        """Write the code of one signature, with what it is the code of."""
        kept = state_of_sources(), self._dump((key, data))  # type: ignore[attr-defined]
        super().save(key, kept)  # type: ignore[misc]

    def load(self, key: Any) -> Any:
        """Return the code of one signature, or None where there is none.

        Index and data are two files: another process, of other sources or with another signature, may have written
        between the two.
        """
        found = super().load(key)  # type: ignore[misc]
        if found is None or found[0] != state_of_sources():
            return None
        own, data = pickle.loads(found[1])
        return data if own == key else None


@cache
def _of_one_state(files: Any) -> Any:
    return type(files.__name__, (_OfOneState, files), {})


def keep(dispatcher: Any) -> Any:
    """Return a function compiled with ``cache=True``, by `njit` or for a GPU, with a cache that knows its sources."""
    caching: Any = getattr(dispatcher, "_cache", None)
    files = getattr(caching, "_cache_file", None)
    if files is not None:  # neither interpreted nor simulated
        # Without the line number that Numba adds, a function that moves in its file finds its old files to overwrite.
        # Functions of one name may share them, because an index tells them apart by their code.
        line = f"-{caching._impl.locator.get_disambiguator()}.py"
        base = caching._impl.filename_base.replace(line, ".py")
        caching._cache_file = _of_one_state(files.__class__)(caching.cache_path, base, files._source_stamp)
    return dispatcher


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile as `numba.njit`, whose options it takes; what is cached is kept by `keep`."""
    if function is None:
        return partial(njit, **options)
    return keep(numba.njit(**options)(function))
