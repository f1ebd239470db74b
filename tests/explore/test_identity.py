"""The identity of a study: it changes with everything that decides a result, with nothing else, and says with what."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fake_work import LOG, evaluate

from tinysnn_hw import explore
from tinysnn_hw.errors import StudyError
from tinysnn_hw.explore import Limits, load_study, select, validate_choice
from tinysnn_hw.explore.identity import differences
from tinysnn_hw.explore.study import STUDY_FILE, check_continues, make_manifest, read_manifest, write_manifest
from tinysnn_hw.explore.work import DataRef
from tinysnn_hw.spec.load import models_dir
from tinysnn_hw.spec.space_load import space_from_dict

TINY = Path(__file__).parents[1] / "cli" / "tiny.toml"
DATA = DataRef(name="digits", data_dir=None, limit_train=None, holdout=200, digests=("0" * 64,) * 4)


@pytest.fixture
def files(tmp_path):
    """A network and a hardware file that a test may edit."""
    shutil.copy(TINY, tmp_path / "net.toml")
    shutil.copy(models_dir() / "hardware" / "edge-45nm.toml", tmp_path / "chip.toml")
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def make_space(files, **other):
    protocol = {"hardware": str(files / "chip.toml"), "label_images": 200}
    return space_from_dict(
        {
            "name": "own", "summary": "A network of one's own", "network": str(files / "net.toml"),
            "search": {"sampler": "grid", "batch": 1}, "protocol": protocol,
            "parameters": {"weight": ["u0.8", "u0.5"], "v_mem": ["s8.8", "s8.4"]}, **other,
        },
        "own",
    )  # fmt: skip


def manifest(files, data=DATA, **other):
    return make_manifest(make_space(files, **other), data, None, 200)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("net.toml", "n_th = 4", "n_th = 6", "net.toml: learning.n_th = 6 (was 4)"),
        ("net.toml", "theta_plus = 0.5", "theta_plus = 0.4", "net.toml: neuron.theta_plus = 0.4 (was 0.5)"),
        ("chip.toml", "value = 0.9", "value = 0.8", "operations.float_add.value = 0.8 (was 0.9)"),
    ],
)
def test_an_edited_file_is_another_study(files, file, old, new, said):
    before = manifest(files)
    edit(files / file, old, new)
    after = manifest(files)
    assert after["identity"] != before["identity"] and after["study"] != before["study"]
    with pytest.raises(StudyError) as raised:
        check_continues(files / "s", before, after)
    assert said in str(raised.value) and "name a new folder" in str(raised.value)


def test_what_decides_no_result_leaves_a_study_what_it_was(files):
    before = manifest(files)
    for file, key in (("net.toml", 'name = "'), ("chip.toml", 'summary = "'), ("chip.toml", 'horowitz = "')):
        edit(files / file, key, f"{key}Another ")
    edit(files / "net.toml", "schema_version", "# a comment\nschema_version")
    after = manifest(files, search={"sampler": "grid", "trials": 2, "batch": 2}, summary="In other words")
    assert after["identity"] == before["identity"]
    check_continues(files / "s", before, after)


def test_every_network_of_a_space_counts(files):
    shutil.copy(files / "net.toml", files / "second.toml")
    networks = [str(files / "net.toml"), str(files / "second.toml")]
    parameters = {"network": networks, "weight": ["u0.8", "u0.5"]}
    before = manifest(files, parameters=parameters)
    edit(files / "second.toml", "n_th = 4", "n_th = 6")
    said = differences(manifest(files, parameters=parameters), before)
    assert said == f"network {files / 'second.toml'}: learning.n_th = 6 (was 4)"


def test_numerics_data_and_settings_count(files, monkeypatch):
    before = manifest(files)
    other = DataRef(name="digits", data_dir=None, limit_train=None, holdout=200, digests=("1" * 64,) * 4)
    assert differences(manifest(files, other), before) == "data"
    assert differences(manifest(files, settings={"epochs": 3}), before) == "settings", "not its consequences"
    monkeypatch.setattr("tinysnn_hw.explore.identity.NUMERIC_VERSION", 2)
    assert differences(manifest(files), before) == "numeric_version"


def test_many_differences_are_counted(files):
    before = manifest(files)
    many = {f"key{number}": number for number in range(9)}
    after = {**before, "hardware": {**before["hardware"], **many}}
    said = differences(after, before)
    assert "key5 = 5 (was absent)" in said and "key6" not in said and said.endswith(" and 3 more")


def test_an_earlier_manifest_is_read_but_not_continued(files):
    first = {
        key: value
        for key, value in manifest(files).items()
        if key not in ("networks", "hardware", "numeric_version")
    }
    write_manifest(files, {**first, "schema_version": 1})
    known = read_manifest(files)
    assert known["space"] == first["space"]
    with pytest.raises(
        StudyError, match=r"did not record its network and hardware.*new folder for new trials"
    ):
        check_continues(files, known, manifest(files))


@pytest.fixture
def log(tmp_path, monkeypatch):
    (tmp_path / "log.txt").touch()
    monkeypatch.setenv(LOG, str(tmp_path / "log.txt"))
    return tmp_path / "log.txt"


@pytest.mark.slow
def test_a_study_keeps_one_network_from_the_first_trial_to_the_choice(files, log):
    """Edited while it runs, between two runs, before a choice is validated: each is noticed."""
    folder, network = files / "s", files / "net.toml"
    text = network.read_text(encoding="utf-8")

    def edit_after_one(standing):
        if standing.done == 1:
            network.write_text(text.replace("n_th = 4", "n_th = 6"), encoding="utf-8")

    def run(progress=None):
        return explore(
            make_space(files), "digits", folder, limit_train=300, executor="local:1", work=evaluate,
            progress=progress,
        )  # fmt: skip

    changed = r"learning\.n_th = 6 \(was 4\)"
    with pytest.raises(StudyError, match=changed):
        run(edit_after_one)
    stopped = load_study(folder)
    assert 1 <= stopped.count("complete") < 4 and not stopped.count("failed") + stopped.count("running")
    with pytest.raises(StudyError, match=changed):
        run()
    assert load_study(folder).trials == stopped.trials

    network.write_text(text, encoding="utf-8")
    study = run().study
    assert study.count("complete") == 4 and all(row in study.finished for row in stopped.finished)
    choice = select(study, (5.0,)).choice(5.0)
    edit(network, "n_th = 4", "n_th = 6")
    with pytest.raises(StudyError, match=r"trial \d was of another network"):
        validate_choice(study, choice, Limits())
    assert not (folder / "selected").exists()

    first = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
    first["schema_version"] = 1
    for key in ("networks", "hardware", "numeric_version"):
        del first[key]
    (folder / STUDY_FILE).write_text(json.dumps(first), encoding="utf-8")
    with pytest.raises(StudyError, match="begun by a version that did not record"):
        run()
    assert load_study(folder).trials == study.trials, "it can still be read"
    with pytest.raises(StudyError, match=r"trial \d was of another network"):
        validate_choice(load_study(folder), choice, Limits())
