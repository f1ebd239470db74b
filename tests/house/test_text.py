"""Text speaks of the project alone: no path of one machine, nothing left to do, every module explained."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tinysnn_hw"

# A path that starts at one machine's root; not the middle of a relative path or of an address.
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:work|tmp|root|home)/")
# Spelled in pieces, so that this file passes its own test.
LEFTOVER = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")
NOT_SHIPPED = {".git", ".venv", "venv", "build", "dist", "runs", "__pycache__", ".hypothesis"}


def project_files() -> list[Path]:
    """Every file of the project: what git tracks or would track; without git, all but caches and builds."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        if listed.returncode == 0:
            names = os.fsdecode(listed.stdout).split("\0")
            return sorted(path for name in names if name and (path := ROOT / name).is_file())
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_SHIPPED and not name.endswith("_cache")]
        found += [Path(folder, name) for name in names]
    return sorted(found)


def text_lines(path: Path) -> list[str]:
    """Lines of a text file; none for a binary one."""
    data = path.read_bytes()
    return [] if b"\0" in data else data.decode("utf-8").splitlines()


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in project_files()
        for number, line in enumerate(text_lines(path), start=1)
        if pattern.search(line)
    ]


def test_project_files_are_found() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in project_files()}
    assert {"pyproject.toml", "tinysnn_hw/__init__.py", "tests/house/test_text.py"} <= names


def test_no_path_of_one_machine() -> None:
    assert lines_matching(MACHINE_PATH) == []


def test_nothing_is_left_to_do() -> None:
    assert lines_matching(LEFTOVER) == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sorted(PACKAGE.rglob("*.py"))
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


@pytest.mark.parametrize("text", ["see {}/data", "'{}/x'", "={}/x", "({}/x)"])
@pytest.mark.parametrize("folder", ["work", "tmp", "root", "home"])
def test_a_machine_path_is_recognised(text: str, folder: str) -> None:
    assert MACHINE_PATH.search(text.format("/" + folder))


@pytest.mark.parametrize(
    "text", ["docs/work/x", "https://example.org/home/x", "../tmp/x", "network/", "/workshop/"]
)
def test_other_paths_are_left_alone(text: str) -> None:
    assert not MACHINE_PATH.search(text)
