"""Tables hold what the records hold, and can be read at any width."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from tinysnn_hw.cost import memory_table
from tinysnn_hw.report import (
    confusion_table,
    memory_tables,
    network_table,
    register_table,
    result_table,
    validation_table,
)
from tinysnn_hw.spec import load_network, resolve_network
from tinysnn_hw.spec.describe import describe_spec


def text_of(*parts, width=110):
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return captured.get()


def rows_of(text, start):
    return [line.split() for line in text.splitlines() if line.split()[:1] == [start]]


def test_validation_shows_everything(make_validation, make_seen):
    registers = {
        "weight": make_seen("u0.8", 0, 255, 1, 1234),
        "v_mem": make_seen("s8.8", -1000, 30000),
        "theta": make_seen("u8.16", 2**63 - 1, -(2**63)),
    }
    text = text_of(validation_table(make_validation(95.5, 96.25, registers=registers, notes=("A note.",))))
    assert "tiny, recipe digits, on digits" in text
    assert rows_of(text, "naive_bayes")[0] == ["naive_bayes", "95.50", "96.25", "-0.75"]
    assert len(rows_of(text, "mean_rate")) == len(rows_of(text, "weighted_vote")) == 1
    assert rows_of(text, "silent")[0] == ["silent", "images", "3", "3"]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "weight u0.8 8 0..0.99609 1 0..255 1 1,234 u0.8*" in lines
    assert "v_mem s8.8 16 -3.9062..117.19 mV -1000..30000 0 0 s8.8" in lines
    assert "theta u8.16 24 never written" in lines
    assert rows_of(text, "inference")[0][:4] == ["inference", "learned", "full", "8,768"]
    assert rows_of(text, "training")[-1] == ["training", "20,000", "9,000"]
    assert rows_of(text, "inference")[-1] == ["inference", "50,000", "50,000"]
    assert "In words" in text and "A note." in text and "Kernel: fast" in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_nothing_is_cut_off(make_validation, width):
    text = text_of(validation_table(make_validation()), width=width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_eighty_columns_fold_no_row(make_validation, make_seen):
    registers = {
        "weight": make_seen("u0.8", 0, 255, 12_345, 1_234_567),
        "v_mem": make_seen("s12.8", -32768, 32767, 0, 123_456),
        "theta": make_seen("u8.16", 0, 3_704_433),
    }
    memory = memory_table(load_network("tinysnn-wta", recipe="mnist", neurons=6400))
    text = text_of(validation_table(make_validation(registers=registers, memory=memory)), width=80)
    for name, seen in registers.items():
        assert len(rows_of(text, name)) == 1 and rows_of(text, name)[0][:2] == [name, seen.format]
        assert rows_of(text, name)[0][-4] == f"{seen.min_raw}..{seen.max_raw}"
    rows = [row for row in rows_of(text, "inference") if len(row) == 9]
    assert len(rows) == 6 and rows[0][3] == f"{memory['memory_bits']:,}"


def test_result_names_its_data(make_evaluation, make_seen):
    text = text_of(result_table(make_evaluation(90.0, 100, {"v_th": make_seen("s8.8", 0, 256)})))
    assert "Accuracy on digits" in text and "100 images, one is 1 points" in text
    assert rows_of(text, "naive_bayes") == [["naive_bayes", "90.00"]]
    assert "3 images silent" in text
    assert rows_of(text, "v_th")[0][-1] == "u1.8"


def test_confusion_shows_every_count():
    text = text_of(confusion_table(np.array([[5, 1], [0, 0]]), "mean_rate"))
    assert "Confusion (mean_rate)" in text
    assert rows_of(text, "0") == [["0", "5", "1", "83.33"]]
    assert rows_of(text, "1") == [["1", "·", "·", "-"]]


def test_registers_explain_the_star_only_where_there_is_one(make_seen):
    assert "*" not in text_of(register_table({"v_mem": make_seen("s8.8", 0, 5)}, "Registers"))
    assert "* values were cut" in text_of(register_table({"v_mem": make_seen("s8.8", 0, 5, 1)}, "Registers"))


def test_network_shows_every_key_with_origin_and_source(tiny):
    resolved = resolve_network(tiny, recipe="other", settings={"neuron.v_floor": None})
    text = text_of(network_table(resolved))
    for row in describe_spec(resolved.spec):
        assert len(rows_of(text, row.key)) == 1, row.key
    assert rows_of(text, "neuron.v_floor")[0] == ["neuron.v_floor", "absent", "mV", "override"]
    assert rows_of(text, "network.inputs")[0][1:] == ["64", "inputs", "file", "[1]"]
    assert rows_of(text, "network.neurons")[0][1:] == ["8", "neurons", "recipe", "other", "[1]"]
    assert "[1] chosen for speed" in text


def test_network_can_say_what_values_mean():
    text = text_of(network_table(load_network(), meanings=True), width=200)
    assert "Steps per image." in text and "origin" not in text


def test_memory_lists_words_and_accountings(tiny):
    text = text_of(memory_tables(memory_table(load_network(tiny))))
    assert rows_of(text, "weight")[0][:5] == ["weight", "weights", "1,024", "8", "8,192"]
    assert rows_of(text, "weight")[0][5:] == ["inference", "and", "training"]
    assert rows_of(text, "theta")[0][-1] == "training"
    assert len(rows_of(text, "inference")) == 6
