"""The package passes mypy in strict mode, as configured in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_package_is_typed() -> None:
    found = mypy()
    assert found.returncode == 0, found.stdout + found.stderr


def test_types_can_be_wrong(tmp_path: Path) -> None:
    module = tmp_path / "untyped.py"
    module.write_text("def widen(x): return x\n", encoding="utf-8")
    found = mypy(str(module))
    assert found.returncode == 1
    assert "no-untyped-def" in found.stdout
