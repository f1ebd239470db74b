"""Evaluation: labels from training images only, the same bits on any number of threads, honest numbers."""

from __future__ import annotations

import numpy as np
import pytest

from tinysnn_hw.data import Dataset, make_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import lower, merge_stats, run
from tinysnn_hw.errors import DataError, SpecError
from tinysnn_hw.learning import evaluate, label, load_model, present, save_model
from tinysnn_hw.learning.readout import READOUTS
from tinysnn_hw.learning.train import register_ranges


def with_parts(data: Dataset, **parts: np.ndarray) -> Dataset:
    """The data set with some of its arrays replaced."""
    names = ("train_images", "train_labels", "test_images", "test_labels")
    arrays = [parts.get(name, getattr(data, name)) for name in names]
    return make_dataset(data.name, *arrays, n_classes=data.n_classes)


# --- The pass over the images --------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["label", "test"])
def test_a_pass_is_one_run_over_all_images(model, digits, network, phase):
    """Chunks, threads and kernels change nothing: the pass is the run of the plain kernel over one raster."""
    images = digits.train_images if phase == "label" else digits.test_images
    spikes = network.encoding.inference_spikes
    raster = encode(images, encoding_tables(network.encoding), spikes=spikes, phase=phase, seed=3)
    expected = run(lower(network), model.state, raster, phase=phase, seed=3, kernel="generic")
    for threads in (1, 2, 5):
        for kernel in ("auto", "generic"):
            shown = present(model, digits, phase, threads=threads, kernel=kernel)
            assert shown.counts.tolist() == expected.counts.tolist()
            assert shown.stats.tolist() == expected.stats.tolist()
            assert shown.activity.tolist() == expected.activity.tolist()
            assert shown.seconds > 0
    assert expected.counts.sum() > 0


def test_the_first_images_of_a_pass(model, digits):
    shown = present(model, digits, "label", n_images=7)
    assert shown.counts.tolist() == present(model, digits, "label").counts[:7].tolist()


def test_labelling_and_test_draw_different_spikes(model, digits):
    """The same image in both roles meets other phases of its regular spikes."""
    both = with_parts(digits, test_images=digits.train_images, test_labels=digits.train_labels)
    counts = [present(model, both, phase).counts for phase in ("label", "test")]
    assert counts[0].tolist() != counts[1].tolist()


@pytest.mark.parametrize("n_images", [0, -1, 301, 2.5])
def test_more_images_than_there_are(model, digits, n_images):
    with pytest.raises(DataError, match=rf"label images = {n_images}; data set .* has 1 to 300"):
        present(model, digits, "label", n_images=n_images)


@pytest.mark.parametrize("model_name", ["model", "twin"])
def test_progress_of_an_evaluation(model_name, digits, request):
    seen = []
    evaluate(request.getfixturevalue(model_name), digits, progress=lambda *said: seen.append(said), threads=2)
    suffix = "" if model_name == "model" else " float64"
    stages = {stage: [said[1:] for said in seen if said[0] == stage] for stage, _, _ in seen}
    assert list(stages) == [f"label{suffix}", f"test{suffix}"]
    for steps, total in zip(stages.values(), (300, 80), strict=True):
        assert steps[0] == (0, total) and steps[-1] == (total, total)
        assert steps == sorted(steps)


def test_an_interrupt_stops_the_threads(model, digits):
    def interrupt(stage, done, total):
        if done:
            raise KeyboardInterrupt

    for threads in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, digits, progress=interrupt, threads=threads)
    assert evaluate(model, digits, threads=2).n_images == 80


# --- Labels come from training images ------------------------------------------------------------------


def test_labels_never_see_a_test_image(model, digits):
    """Other test images and labels leave every table of the readouts as it was."""
    rng = np.random.default_rng(0)
    poisoned = with_parts(
        digits,
        test_images=rng.integers(0, 256, digits.test_images.shape, np.uint8),
        test_labels=(digits.test_labels + 3) % 10,
    )
    one, other = label(model, digits)[0], label(model, poisoned)[0]
    assert one.neuron_label.tolist() == other.neuron_label.tolist()
    assert one.p_class.tolist() == other.p_class.tolist()
    assert one.log_likelihood.tolist() == other.log_likelihood.tolist()
    assert one.images.tolist() == np.bincount(digits.train_labels, minlength=10).tolist()


def test_wrong_test_labels_make_wrong_answers(model, digits):
    """Had the test labels any say, accuracy would not notice that they are all shifted."""
    right = evaluate(model, digits).accuracy
    wrong = evaluate(model, with_parts(digits, test_labels=(digits.test_labels + 1) % 10)).accuracy
    assert right > 60.0 > 20.0 > wrong


def test_training_labels_do_decide(model, digits):
    """Shifted training labels shift every prediction."""
    shifted = with_parts(digits, train_labels=(digits.train_labels + 1) % 10)
    one, other = evaluate(model, digits), evaluate(model, shifted)
    assert other.accuracy < 20.0
    # Ties fall by class, so a few predictions may differ by more than the shift.
    moved = np.roll(one.confusion["naive_bayes"], 1, axis=1)
    assert np.abs(moved - other.confusion["naive_bayes"]).sum() <= 8


def test_fewer_labelling_images(model, digits):
    few = evaluate(model, digits, label_images=20)
    readouts, shown = label(model, digits, n_images=20)
    assert shown.n_images == 20 and readouts.images.sum() == 20
    assert few.n_images == 80 and few.accuracy < evaluate(model, digits).accuracy


# --- The result ----------------------------------------------------------------------------------------


def test_fields_of_a_result(model, digits, network):
    result = evaluate(model, digits)
    assert set(result.readouts) == set(result.confusion) == set(READOUTS)
    assert result.accuracy == result.readouts["naive_bayes"]
    tested = present(model, digits, "test")
    for name in READOUTS:
        table = result.confusion[name]
        assert table.shape == (10, 10) and table.sum() == result.n_images == 80
        assert table.sum(axis=1).tolist() == np.bincount(digits.test_labels, minlength=10).tolist()
        assert result.readouts[name] == 100.0 * np.trace(table) / 80
    assert result.spikes_per_image == tested.counts.sum() / 80
    assert result.silent_images == int((tested.counts.sum(axis=1) == 0).sum())
    assert result.activity.images == 80 and result.activity.steps_per_image == network.encoding.n_steps
    assert result.activity.output_spikes == tested.counts.sum()
    assert result.activity.updates == result.activity.normalizations == 0
    assert result.images_per_s > 0 and result.data == digits.name


def test_registers_cover_labelling_and_test(model, digits, network):
    result = evaluate(model, digits)
    stats = merge_stats(present(model, digits, "label").stats, present(model, digits, "test").stats)
    assert result.registers == register_ranges(lower(network), stats)
    # Frozen words have a range too; what exists in training only has none.
    assert set(result.registers) == {"weight", "v_mem", "v_th"}
    weight = result.registers["weight"]
    assert (weight.min_raw, weight.max_raw) == (model.weight.min(), model.weight.max())
    assert weight.saturated_low == weight.saturated_high == 0
    assert result.registers["v_th"].max_raw == model.v_th.max()


def test_silent_images_are_counted(model, digits):
    images = digits.test_images.copy()
    images[[2, 5, 6]] = 0
    result = evaluate(model, with_parts(digits, test_images=images))
    assert result.silent_images == 3


def test_an_evaluation_leaves_the_model_alone(model, digits):
    before = [getattr(model, name).copy() for name in ("weight", "theta", "v_th")]
    evaluate(model, digits)
    for words, name in zip(before, ("weight", "theta", "v_th"), strict=True):
        assert np.array_equal(words, getattr(model, name))


def test_a_loaded_model_reads_the_same(model, digits, tmp_path):
    loaded = load_model(save_model(model, tmp_path / "a"))
    one, other = evaluate(model, digits, threads=1), evaluate(loaded, digits, threads=2)
    assert one.readouts == other.readouts and one.registers == other.registers
    assert one.activity == other.activity


def test_the_float_twin_is_evaluated_alike(twin, digits):
    result = evaluate(twin, digits)
    assert result.registers == {} and result.accuracy > 60.0
    assert evaluate(twin, digits, threads=2).readouts == result.readouts


def test_tables_of_the_model_decide_not_those_of_its_network(model, digits):
    """A model carries its encoding tables; other logarithms on another machine do not change its answers."""
    import dataclasses

    tables = dataclasses.replace(model.tables, interval=model.tables.interval * 4)
    slow = dataclasses.replace(model, tables=tables)
    spikes = [present(other, digits, "test").activity[0] for other in (model, slow)]
    assert spikes[1] < 0.5 * spikes[0]


def test_data_that_does_not_fit(model, network):
    images = np.zeros((2, 784), np.uint8)
    other = make_dataset("large", images, [0, 1], images, [0, 1])
    with pytest.raises(DataError, match="has 784 inputs per image; network 'tinysnn-wta'"):
        evaluate(model, other)
    with pytest.raises(SpecError, match="threads = 0"):
        evaluate(model, make_dataset("small", images[:, :64], [0, 1], images[:, :64], [0, 1]), threads=0)
