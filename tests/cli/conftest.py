"""Runs the command line inside the test process and returns what it said and its exit code."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tinysnn_hw.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def tinysnn(capsys, monkeypatch):
    """Return a function that runs ``tinysnn`` with some words."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")

    def run(*words):
        capsys.readouterr()
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as left:
            code = left.code or 0
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def tiny():
    """A network file with every value pinned; 64 inputs, 16 neurons."""
    return Path(__file__).with_name("tiny.toml")


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory):
    """A folder with the tiny network, trained on 300 digits with seed 7."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    words = ["train", str(tiny), "--out", str(folder), "--limit-train", "300", "--seed", "7"]
    quiet = io.StringIO()
    with (
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
        pytest.raises(SystemExit) as left,
    ):
        main(words)
    assert not left.value.code, quiet.getvalue()
    return folder
