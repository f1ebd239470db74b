"""Tables, JSON and the figure of a search for formats, from trials made by hand."""

from __future__ import annotations

import builtins
import json

import pytest
from rich.console import Console

from tinysnn_hw.errors import MissingPackageError
from tinysnn_hw.fixed import Format
from tinysnn_hw.quantize import Found, Sensitivity, Trial
from tinysnn_hw.report import quantization_json, quantization_table, sensitivity_csv, sensitivity_plot


def trial(weight, *accuracies, refused=""):
    return Trial(
        formats={"weight": weight}, accuracies=accuracies, memory_bits=80, training_bits=90, refused=refused
    )


@pytest.fixture
def table():
    trials = (
        trial("u0.8", 90.0, 91.0),
        trial("u0.7", 88.0, 89.0),
        trial("u0.6", refused="weight: too narrow"),
    )
    return Sensitivity(reference=(91.0, 92.0), start=trials[0], trials={"weight": trials})


def found(best):
    return Found(reference=(91.0, 92.0), least=90.0, start=trial("u0.8", 90.0, 91.0), best=best,
                 formats={} if best is None else {"weight": Format.parse("u0.7")}, passes=2)  # fmt: skip


def text_of(renderable):
    console = Console(width=110, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_a_table_names_what_is_refused(table):
    text = text_of(quantization_table("title", table, found(trial("u0.7", 89.5, 90.5)), None, 1.5))
    assert "weight   u0.8 90.5 88.5  -" in text
    assert "- : weight: too narrow" in text
    assert "at least 90.00 % was asked for" in text
    assert ["found", "90.00", "-1.50", "89.50..90.50", "80", "90"] in [
        line.split() for line in text.splitlines()
    ]


def test_json_says_when_nothing_holds(table):
    payload = quantization_json(None, found(None), None, 1.5)
    json.dumps(payload)
    assert payload["formats"] is None and payload["sensitivity"] is None and payload["found"] is None
    assert payload["accuracy"]["float"] == 91.5 and payload["accuracy"]["start"] == 90.5
    full = quantization_json(table, found(trial("u0.7", 89.0)), {"memory_bits": 8}, 1.5)
    assert full["sensitivity"]["weight"][2] == {
        "formats": {"weight": "u0.6"}, "accuracies": [], "memory_bits": 80, "training_bits": 90,
        "refused": "weight: too narrow", "accuracy": None,
    }  # fmt: skip


def test_csv(table):
    assert sensitivity_csv(table).splitlines() == [
        "register,format,bits,accuracy,drop,least,most,memory_bits,training_bits,refused",
        "weight,u0.8,8,90.5000,1.0000,90.0000,91.0000,80,90,",
        "weight,u0.7,7,88.5000,3.0000,88.0000,89.0000,80,90,",
        "weight,u0.6,6,,,,,,,weight: too narrow",
    ]


def test_figure(table, tmp_path):
    file = sensitivity_plot(table, tmp_path / "s.svg")
    assert "<svg" in file.read_text() and [path.name for path in tmp_path.iterdir()] == ["s.svg"]


def test_without_matplotlib(table, tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingPackageError, match=r"tinysnn-hw\[figures\]"):
        sensitivity_plot(table, tmp_path / "s.png")
    assert not list(tmp_path.iterdir())
