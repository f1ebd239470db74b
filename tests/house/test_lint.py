"""The linter and the formatter have nothing to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def ruff(*arguments: str, source: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", *arguments]
    return subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True, check=False)


def test_lint_finds_nothing() -> None:
    found = ruff("check", "--output-format=concise", ".")
    assert found.returncode == 0, found.stdout + found.stderr


def test_package_is_formatted() -> None:
    found = ruff("format", "--check", "tinysnn_hw")
    assert found.returncode == 0, found.stdout + found.stderr


def test_lint_can_find_something() -> None:
    source = '"""A module that prints where it must not."""\n\nprint("hello")\n'
    found = ruff(
        "check", "--output-format=concise", "--stdin-filename=tinysnn_hw/fixed/bad.py", "-", source=source
    )
    assert found.returncode == 1
    assert "T201" in found.stdout
