"""Hardware files: the shipped ones are complete and sourced; malformed ones are refused by name."""

from __future__ import annotations

import pytest

from tinysnn_hw.cost import assumed_activity, count_accesses
from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec import list_hardware, list_networks, load_hardware, load_network, models_dir
from tinysnn_hw.spec.hardware import DEFAULT_PLACE, VARIABLES
from tinysnn_hw.spec.hardware_load import hardware_values, unsourced
from tinysnn_hw.spec.quantity import UNITS, Quantity, Range

OWN = """
schema_version = 1
name = "own"
summary = "A small accelerator"
technology = "unknown"
kind = "access"

[operations]
scaling = "power"
add = [{ width = 8, value = 1.0, unit = "pJ", source = "me" }, { width = 32, value = 4.0, unit = "pJ", source = "me" }]
multiply = [{ width = 8, value = 2.0, unit = "pJ", source = "me" }]
random_bit = { value = 1.0, unit = "fJ", source = "me" }
float_add = { value = 1.0, unit = "pJ", source = "me" }
float_multiply = { value = 1.0, unit = "pJ", source = "me" }

[memory.sram]
width = { value = 8, unit = "B", source = "me" }
read = [{ value = 1.0, unit = "nJ", source = "me" }]
write_factor = { value = 1.0, unit = "1", source = "me" }

[placement]
default = "sram"
"""


@pytest.fixture
def own(tmp_path):
    """Return a function that writes a hardware file with replacements and loads it."""

    def load(*replacements):
        text = OWN
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new, 1)
        file = tmp_path / "own.toml"
        file.write_text(text, encoding="utf-8")
        return load_hardware(file)

    return load


def test_shipped_hardware():
    assert list_hardware() == [
        "edge-45nm", "edge-45nm-dram", "edge-45nm-lpddr3", "edge-7nm", "edge-mcu", "loihi", "odin", "spinnaker",
        "spinnaker2",
    ]  # fmt: skip


@pytest.mark.parametrize("name", list_hardware())
def test_every_shipped_number_has_a_source(name):
    hardware = load_hardware(name)
    assert unsourced(hardware) == []
    values = hardware_values(hardware)
    assert values
    for value in values:
        assert value.quantity.source in hardware.sources, f"{value.key}: give the full reference in [sources]"
        assert len(value.source) > 30
    used = {value.quantity.source for value in values}
    text = (models_dir() / "hardware" / f"{name}.toml").read_text(encoding="utf-8")
    for key in hardware.sources:
        assert key in used or f"({key})" in text, f"[sources] {key} is cited nowhere"


@pytest.mark.parametrize("name", list_hardware())
def test_a_file_names_itself(name):
    hardware = load_hardware(name)
    text = (models_dir() / "hardware" / f"{name}.toml").read_text(encoding="utf-8")
    assert hardware.name == name and text.startswith(f"# {name}: ")
    assert 20 < len(hardware.summary) < 100 and hardware.technology


def test_event_figures_say_what_they_cover():
    for name in list_hardware():
        hardware = load_hardware(name)
        for value in hardware_values(hardware) if hardware.kind == "event" else ():
            assert value.quantity.scope, f"{name}: {value.key}"


def test_where_literature_disagrees_there_is_a_range():
    dram = load_hardware("edge-45nm-dram").memory["dram"].read[0].si
    assert dram == Range(1.3e-9, 2.0e-9, 2.6e-9)
    synop = load_hardware("spinnaker").events.synop.si
    assert synop.nominal / synop.low == pytest.approx(13_300 / 45)


def test_a_file_of_ones_own(own):
    hardware = own()
    assert hardware.memory["sram"].width.si.nominal == 64
    assert hardware.operations.random_bit.si.nominal == pytest.approx(1e-15)
    assert load_hardware(hardware) is hardware
    assert unsourced(hardware) == []


def test_a_value_without_source_is_flagged(own):
    hardware = own(('value = 1.0, unit = "nJ", source = "me"', 'value = 1.0, unit = "nJ"'))
    assert unsourced(hardware) == ["memory.sram.read"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema_version = 1", "schema_version = 9", "schema_version"),
        ('kind = "access"', 'kind = "acces"', "did you mean 'access'"),
        ('name = "own"\n', "", "name is missing"),
        ('unit = "nJ"', 'unit = "eV"', "unit = 'eV' is unknown; allowed: J, mJ"),
        ('unit = "nJ"', 'unit = "mW"', "'mW' is a unit of power; energy is needed"),
        (
            'value = 8, unit = "B"',
            'value = 8, unit = "pJ"',
            "'pJ' is a unit of energy; information is needed",
        ),
        ('value = 1.0, unit = "nJ"', 'value = 1.0, low = 2.0, unit = "nJ"', "need 0 <= low <= value <= high"),
        ('value = 1.0, unit = "nJ"', 'value = 0.0, unit = "nJ"', "energies must be above 0"),
        ('value = 1.0, unit = "nJ"', 'value = nan, unit = "nJ"', "finite"),
        ("width = 32, value = 4.0", "width = 8, value = 4.0", "ascending"),
        ("width = 32, value = 4.0", "width = 32, value = 0.5", "must not fall with width"),
        ('scaling = "power"', 'scaling = "flat"', "takes one point, not 2"),
        ('write_factor = { value = 1.0, unit = "1", source = "me" }', "", "either write or write_factor"),
        ('default = "sram"', 'default = "dram"', "'dram' is no memory level; levels: sram"),
        ('default = "sram"', 'weight = "sram"', "placement.default is missing"),
        ("write_factor =", "write_facter =", "did you mean 'write_factor'"),
        ("[placement]", "[events]\nsynop = { value = 1.0, unit = 'pJ' }\n[placement]", "no \\[events\\]"),
        ("write_factor", 'row = { value = 1, unit = "KiB" }\nwrite_factor', "belong together"),
        ('value = 8, unit = "B"', 'value = 8, low = 4, unit = "B"', "one number of at least 1 bit"),
        ("[placement]", "[placement", "not valid TOML"),
    ],
)
def test_refusals_name_file_key_and_remedy(own, old, new, words):
    with pytest.raises(SpecError, match=words) as refused:
        own((old, new))
    assert "own.toml" in str(refused.value)


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("name", list_networks())
def test_every_variable_can_be_placed_and_no_other(own, name, phase):
    activity = assumed_activity(load_network(name))
    stored = count_accesses(load_network(name), activity, phase=phase, weights="sparse").stored_bits
    assert stored and set(stored) <= set(VARIABLES) - {DEFAULT_PLACE}
    with pytest.raises(
        SpecError, match=r"own\.toml: placement\.acumulator is no variable.*: default, input_spikes"
    ):
        own(('default = "sram"', 'default = "sram"\nacumulator = "sram"'))


def test_row_misses_are_a_share(own):
    rows = (
        'row = { value = 1, unit = "KiB" }\nactivate = { value = 1, unit = "nJ" }\n'
        'row_misses = { value = 2, unit = "1" }\nwrite_factor'
    )
    with pytest.raises(SpecError, match="a share of 0 to 1"):
        own(("write_factor", rows))


def test_unknown_hardware_suggests_a_name():
    with pytest.raises(SpecError, match=r"shipped hardware: edge-45nm.*did you mean 'loihi'"):
        load_hardware("loihy")
    with pytest.raises(SpecError, match="does not exist"):
        load_hardware("nowhere.toml")


def test_units_are_si_with_prefixes():
    for unit, (factor, dimension) in UNITS.items():
        assert Quantity(value=2.0, unit=unit).si == Range(2 * factor, 2 * factor, 2 * factor)
        assert dimension in ("energy", "power", "information", "number")
    assert UNITS["pJ"][0] == 1e-12 and UNITS["uW"][0] == 1e-6
    assert (UNITS["KiB"][0], UNITS["MiB"][0]) == (8 * 2**10, 8 * 2**20)
