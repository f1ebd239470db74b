"""Imports run downward through the rooms, heavy libraries stay in their rooms, files stay short."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import tinysnn_hw

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tinysnn_hw"
MAX_LINES = 400

# From the top down. A room may import the floors below its own; rooms on one floor never see each other.
FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(floor.split())
    for floor in (
        "cli __main__",
        "report",
        "explore",
        "quantize",
        "learning",
        "engine reference",
        "cost",
        "data",
        "spec",
        "fixed",
        "records errors version",
    )
)
DEPTH = {room: depth for depth, rooms in enumerate(FLOORS) for room in rooms}
# Rooms that share the ground are small plain modules, and __main__ only starts cli.
NEIGHBOURS = ({"records", "errors", "version"}, {"cli", "__main__"})
# The package's own __init__ is the front: it hands out names lazily and imports only this.
FRONT = "__init__"
FRONT_MAY_IMPORT = {"version"}
# Libraries that only some rooms may import.
ONLY_IN = {
    "llvmlite": {"data", "engine"},
    "matplotlib": {"report"},
    "numba.cuda": {"engine"},
    "optuna": {"explore"},
    "pydantic": {"spec"},
    "rich": {"cli", "report"},
    "torch": {"reference"},
    "typer": {"cli"},
}
MAY_PRINT = {"cli"}
# Never loaded by importing the package alone.
HEAVY = ("numba", "torch", "sklearn", "rich", "pooch", "pydantic", "typer", "numpy")


class Import(NamedTuple):
    """One imported dotted name and the line that imports it."""

    name: str
    line: int
    typing_only: bool


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def imports_of(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[Import]:
    """Every import of a module, at whatever depth: statements, ``import_module("...")``, ``numba.cuda``."""
    typing_only: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and is_type_checking(node.test):
            typing_only.update(inner for child in node.body for inner in ast.walk(child))
    for node in ast.walk(tree):
        for name in imported_names(node, module, is_package=is_package):
            yield Import(name, node.lineno, node in typing_only)  # type: ignore[attr-defined]


def imported_names(node: ast.AST, module: str, *, is_package: bool) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            base = node.module or ""
            if node.level:
                above = node.level - (1 if is_package else 0)
                parts = module.split(".")
                base = ".".join(parts[: len(parts) - above] + ([base] if base else []))
            return [f"{base}.{alias.name}" for alias in node.names]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
        case ast.Attribute(value=ast.Name(id="numba"), attr="cuda"):
            return ["numba.cuda"]
    return []


def is_under(name: str, library: str) -> bool:
    return name == library or name.startswith(library + ".")


def may_import(room: str, other: str) -> bool:
    if room == other or any({room, other} <= group for group in NEIGHBOURS):
        return True
    return DEPTH[room] < DEPTH[other]


def problems_of(source: str, path: str) -> list[str]:
    """Everything one file of the package does that the house forbids; ``path`` is relative to the package."""
    file = Path(path)
    is_package = file.name == "__init__.py"
    parts = [*file.parent.parts, *([] if is_package else [file.stem])]
    room = parts[0] if parts else FRONT
    if room != FRONT and room not in DEPTH:
        return [f"{path}: {room!r} is no room; the rooms are {', '.join(DEPTH)}"]

    found: list[str] = []
    n_lines = len(source.splitlines())
    if n_lines > MAX_LINES:
        found.append(f"{path}: {n_lines} lines, at most {MAX_LINES}; split it by idea")

    tree = ast.parse(source)
    for imported in imports_of(tree, ".".join(["tinysnn_hw", *parts]), is_package=is_package):
        where = f"{path}:{imported.line}"
        found += [
            f"{where}: {imported.name} belongs to {' and '.join(sorted(rooms))}/"
            for library, rooms in ONLY_IN.items()
            if is_under(imported.name, library) and room not in rooms
        ]
        if is_under(imported.name, "tinysnn_hw"):
            found += own_import_problems(imported, room, where)
    if room not in MAY_PRINT:
        found += [
            f"{path}:{node.lineno}: print belongs to cli/"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        ]
    return found


def own_import_problems(imported: Import, room: str, where: str) -> list[str]:
    parts = imported.name.split(".")
    target = parts[1] if len(parts) > 1 else FRONT
    if room == FRONT:
        if imported.typing_only or target in FRONT_MAY_IMPORT:
            return []
        return [f"{where}: the front imports {target} when it is imported itself; hand it out lazily"]
    if target not in DEPTH:
        return [f"{where}: {imported.name} comes from the front; import the room it lives in"]
    if not may_import(room, target):
        return [f"{where}: {room} imports {target}, which is not below it"]
    return []


def package_files() -> list[str]:
    return sorted(
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "__pycache__" not in path.parts
    )


@pytest.mark.parametrize("path", package_files())
def test_file_keeps_the_house_in_order(path: str) -> None:
    assert problems_of((PACKAGE / path).read_text(encoding="utf-8"), path) == []


GOOD = [
    ("cli/app.py", "import typer, rich\nfrom tinysnn_hw.report import table\nprint(1)"),
    ("report/tables.py", "from rich.table import Table"),
    ("learning/train.py", "from tinysnn_hw.engine.cpu import run\nfrom ..reference import run_float"),
    (
        "engine/registry.py",
        "from . import cpu\nfrom .cpu.fast import run\nimport numba.cuda, llvmlite.binding",
    ),
    ("engine/__init__.py", "from .registry import get\nfrom ..cost import access"),
    ("cost/memory.py", "from tinysnn_hw import spec, errors"),
    ("reference/float.py", "import torch.nn"),
    ("explore/study.py", "def f():\n    import optuna"),
    ("spec/network.py", "from pydantic import BaseModel\nfrom numba import njit"),
    ("errors.py", "from tinysnn_hw.version import NUMERIC_VERSION"),
    ("__main__.py", "from tinysnn_hw.cli import main"),
    (
        "__init__.py",
        "from .version import NUMERIC_VERSION\nif TYPE_CHECKING:\n    from .learning import train",
    ),
    ("fixed/long.py", "\n" * MAX_LINES),
]

BAD = [
    ("fixed/format.py", "from tinysnn_hw.spec import Network", "not below"),
    ("fixed/format.py", "def f():\n    from ..spec import Network", "not below"),
    ("fixed/format.py", "from .. import data", "not below"),
    ("fixed/format.py", "import importlib\nimportlib.import_module('tinysnn_hw.engine')", "not below"),
    ("fixed/format.py", "if TYPE_CHECKING:\n    import tinysnn_hw.cli", "not below"),
    ("cost/__init__.py", "from ..engine import run", "not below"),
    ("engine/lower.py", "from tinysnn_hw.reference import run", "not below"),
    ("reference/float.py", "import tinysnn_hw.engine.cpu", "not below"),
    ("records.py", "from tinysnn_hw.fixed import Format", "not below"),
    ("learning/train.py", "import tinysnn_hw as ts", "front"),
    ("learning/train.py", "from tinysnn_hw import evaluate", "front"),
    ("__init__.py", "from .learning import train", "lazily"),
    ("attic/old.py", "", "no room"),
    ("learning/train.py", "class C:\n    def f(self):\n        import torch", "belongs to reference/"),
    ("learning/train.py", "from optuna import Study", "belongs to explore/"),
    ("learning/train.py", "from pydantic.types import X", "belongs to spec/"),
    ("learning/train.py", "from numba import cuda", "belongs to engine/"),
    ("learning/train.py", "import numba\nnumba.cuda.jit", "belongs to engine/"),
    ("fixed/scalar.py", "import llvmlite.binding", "belongs to data and engine/"),
    ("data/sources.py", "from rich.progress import track", "belongs to cli and report/"),
    ("report/tables.py", "import typer", "belongs to cli/"),
    ("report/tables.py", "def f():\n    print(1)", "print belongs to cli/"),
    ("fixed/long.py", "\n" * (MAX_LINES + 1), "at most"),
]


@pytest.mark.parametrize(("path", "source"), GOOD)
def test_checker_accepts(path: str, source: str) -> None:
    assert problems_of(source, path) == []


@pytest.mark.parametrize(("path", "source", "why"), BAD)
def test_checker_objects(path: str, source: str, why: str) -> None:
    found = problems_of(source, path)
    assert len(found) == 1, found
    assert why in found[0]


def test_importing_the_package_is_quick_and_light() -> None:
    code = (
        "import sys, time, json; start = time.perf_counter(); import tinysnn_hw; "
        "print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, modules = json.loads(ran.stdout)
    assert [name for name in HEAVY if name in modules] == []
    assert seconds < 0.3


@pytest.mark.parametrize("name", tinysnn_hw.__all__)
def test_public_name_exists(name: str) -> None:
    value = getattr(tinysnn_hw, name)
    assert name in dir(tinysnn_hw)
    assert isinstance(value, str | int) or callable(value)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tinysnn_hw.nonsense  # noqa: B018
