"""Lets worker processes import the modules beside this file, and gives a small space."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from tinysnn_hw.spec.space_load import space_from_dict  # noqa: E402

WIDTHS = ["u0.8", "u0.7", "u0.6", "u0.5", "u0.4", "u0.3"]


def small_space(**search):
    """Return a grid of 24 points over tinysnn-wta on digits; keywords change [search]."""
    return space_from_dict(
        {
            "name": "small",
            "summary": "A grid for tests",
            "network": "tinysnn-wta",
            "search": {"sampler": "grid", "batch": 3, **search},
            "parameters": {"weight": WIDTHS, "v_mem": ["s8.8", "s8.4", "s8.2", "s8.0"]},
        },
        "small",
    )


@pytest.fixture
def space():
    return small_space()
