"""The text of a shipped network file, changed copies of it, and what a refusal says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import REGISTERS, load_network, models_dir

TEXT = (models_dir() / "networks" / "tinysnn-wta.toml").read_text(encoding="utf-8")
FILE = "tinysnn-wta.toml"
OF_ALL = REGISTERS[:7]
"""The registers every network has."""


@pytest.fixture
def network_file(tmp_path: Path):
    """Return a function that writes a changed copy of a shipped file and returns its path."""

    def write(old: str = "", new: str = "", name: str = "mine.toml") -> Path:
        assert not old or TEXT.count(old) == 1, f"{old!r} occurs {TEXT.count(old)} times"
        path = tmp_path / name
        path.write_text(TEXT.replace(old, new) if old else TEXT, encoding="utf-8")
        return path

    return write


def refused(*words: Any, **changes: Any) -> str:
    with pytest.raises(SpecError) as refusal:
        load_network(*words, **changes)
    return str(refusal.value)
