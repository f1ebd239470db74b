"""Runs the command line inside the test process and returns what it said and its exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass

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
