"""The package's version, and the version of the bits it produces."""

from __future__ import annotations

__version__ = "0.1.0"

NUMERIC_VERSION: int = 1
"""Raised by any change of a produced bit; only results that carry the same number compare."""
