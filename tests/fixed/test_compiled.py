"""The cache of compiled kernels: kept while the sources stay, void when any of them changes, and never growing."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinysnn_hw.fixed import compiled, random

PACKAGE = Path(compiled.__file__).parents[1]
CALLER = """
from tinysnn_hw.fixed.compiled import njit
from tinysnn_hw.fixed.probe_callee import times

@njit(cache=True)
def kernel(pair):
    return times(pair.first) + pair.second
"""
CALLEE = """
from typing import NamedTuple
from tinysnn_hw.fixed.compiled import njit

class {pair}(NamedTuple):
    first: int
    second: int

@njit(cache=True)
def times(x):
    return x * {factor}
"""
RUN = """
import json
from tinysnn_hw.fixed import probe_callee, probe_caller
value = probe_caller.kernel(probe_callee.{pair}(2, 1))
print(json.dumps([value, sum(probe_caller.kernel.stats.cache_hits.values())]))
"""


class Copy:
    """A copy of the rooms that compile a kernel, with a kernel and its callee in two files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fixed = folder / "tinysnn_hw" / "fixed"
        self.cache = folder / "cache"
        shutil.copytree(PACKAGE / "fixed", self.fixed, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("__init__.py", "errors.py", "records.py", "version.py"):
            shutil.copy(PACKAGE / name, self.fixed.parent)
        self.words = {"pair": "Pair", "factor": "10"}
        self.write("caller", CALLER)
        self.write("callee", CALLEE)

    def write(self, which: str, text: str) -> None:
        (self.fixed / f"probe_{which}.py").write_text(text.format(**self.words), encoding="utf-8")

    def run(self) -> tuple[int, int]:
        """Return what the kernel gives in a process of its own, and how often it came from the cache."""
        environment = os.environ | {"NUMBA_CACHE_DIR": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1"}
        environment["PYTHONPATH"] = str(self.folder)
        done = subprocess.run(
            [sys.executable, "-c", RUN.format(**self.words)], env=environment, cwd=self.folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        value, hits = json.loads(done.stdout)
        return value, hits

    def kept(self) -> set[str]:
        """Return the cache files of the kernel and its callee."""
        return {file.name for file in self.cache.rglob("probe_*")}


@pytest.mark.slow
def test_a_changed_callee_is_noticed(tmp_path):
    copy = Copy(tmp_path)
    assert copy.run() == (21, 0)
    assert copy.run() == (21, 1), "taken from the cache while nothing changes"
    files = copy.kept()
    assert len(files) == 4, "an index and one function in each of two files"

    copy.words["factor"] = "100"
    copy.write("callee", CALLEE)  # the file of the kernel itself stays as it is
    assert copy.run() == (201, 0)
    assert copy.run() == (201, 1)

    # The type that the index names is gone; the file of the kernel is still the same.
    copy.words |= {"pair": "Two", "factor": "7"}
    copy.write("callee", CALLEE)
    assert copy.run() == (15, 0)
    assert copy.run() == (15, 1)

    # Both stand elsewhere in their files.
    copy.write("callee", "\n\n" + CALLEE)
    copy.write("caller", "\n\n\n" + CALLER)
    assert copy.run() == (15, 0)
    assert copy.kept() == files, "old files are overwritten, none is left behind"


def test_data_that_is_not_what_the_index_says_is_not_there(tmp_path, monkeypatch):
    """Another process may write between reading the index and reading the data."""
    files = type(random.chain._cache._cache_file)(str(tmp_path), "kernel.py311", "stamp")
    files.save("key", {"code": 1})
    assert files.load("key") == {"code": 1}
    files.save("other key", {"code": 2})
    for one, other in (("1", "2"), ("2", "1")):  # two processes that both took the same free number
        (tmp_path / f"kernel.py311.{one}.nbc").rename(tmp_path / f"swapped.{other}")
    for number in "12":
        (tmp_path / f"swapped.{number}").rename(tmp_path / f"kernel.py311.{number}.nbc")
    assert files.load("key") is files.load("other key") is None
    files.save("key", {"code": 1})
    monkeypatch.setattr(compiled, "state_of_sources", lambda: "another")
    assert files.load("key") is None
    other = type(files)(str(tmp_path), "kernel.py311", "stamp")
    assert other.load("key") is None
    other.save("key", {"code": 2})
    assert other.load("key") == {"code": 2} and len(list(tmp_path.iterdir())) == 3


def test_every_kernel_is_compiled_with_this_cache():
    """Numba's own `njit` is nowhere used, and no kernel of a GPU is cached without `keep`."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "numba":
                assert "njit" not in {name.name for name in node.names}, file
            if isinstance(node, ast.FunctionDef):
                written = [ast.unparse(one) for one in node.decorator_list]
                if any(one.startswith("cuda.jit(") and "device" not in one for one in written):
                    assert written[0] == "keep", (file, node.name)


def test_all_kernels_lie_in_the_rooms_of_the_digest():
    using = {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob("*.py")
        if "fixed.compiled import" in file.read_text(encoding="utf-8")
    }
    assert using == set(compiled.ROOMS)
