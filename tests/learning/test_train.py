"""Training: the same bits on any number of threads and kernels, and learning that matters."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from tinysnn_hw.data import Dataset, load_dataset, make_dataset, make_spike_dataset
from tinysnn_hw.data.encode import encode, encoding_tables
from tinysnn_hw.engine import initial_state, lower
from tinysnn_hw.errors import DataError, FixedPointOverflowError, SpecError
from tinysnn_hw.learning import Model, evaluate, load_model, present, save_model, train
from tinysnn_hw.spec import load_network

REGISTERS = {"weight", "v_mem", "v_th", "theta", "x_pre"}


def same(a: Model, b: Model) -> bool:
    """Whether two models hold the same bits and saw the same things, whatever ran them and how fast."""
    return (
        all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("weight", "theta", "v_th"))
        and a.config() == b.config()
        and a.registers == b.registers
        and a.activity == b.activity
    )


# --- Bits do not depend on how they were computed ------------------------------------------------------


def test_threads_change_no_bit(network, digits, model):
    for threads in (1, 2, 4, None):
        assert same(model, train(network, digits, seed=3, threads=threads))


def test_the_kernels_train_alike(network, digits, model):
    generic = train(network, digits, seed=3, kernel="generic")
    assert (generic.kernel, model.kernel) == ("generic", "fast w8 l16")
    assert same(model, generic)


def test_the_float_twin_is_reproducible(network, digits, twin):
    again = train(network, digits, seed=3, arithmetic="float64", threads=2)
    assert twin.weight.tobytes() == again.weight.tobytes()
    assert twin.theta.tobytes() == again.theta.tobytes() and twin.activity == again.activity


def test_the_seed_decides(network, digits, model):
    assert not same(model, train(network, digits, seed=4))
    top = train(network, digits.limit(10), seed=2**32 - 1)
    assert top.seed == 2**32 - 1


def test_the_order_of_images_decides(network, digits, model):
    in_file_order = load_network(
        "tinysnn-wta", recipe="digits", neurons=16, epochs=2, rounding="stochastic",
        settings={"encoding.train_spikes": "poisson"},
    )  # fmt: skip
    assert not np.array_equal(model.weight, train(in_file_order, digits, seed=3).weight)


def test_progress_changes_no_bit_and_tells_the_truth(network, digits, model):
    seen: list[tuple[str, int, int]] = []
    assert same(model, train(network, digits, seed=3, progress=lambda *said: seen.append(said)))
    assert seen[0] == ("train", 0, 600) and seen[-1] == ("train", 600, 600)
    done = [count for _, count, _ in seen]
    assert done == sorted(done) and len(set(done)) == len(done) >= 4
    assert {(stage, total) for stage, _, total in seen} == {("train", 600)}


# --- What a model says about itself --------------------------------------------------------------------


def test_fields_of_a_model(network, digits, model):
    assert model.network is network and model.arithmetic == "fixed" and model.seed == 3
    assert model.data == digits.name == "digits[train 300, test 80]"
    assert model.digests == digits.digests._asdict()
    assert model.weight.shape == (64, 16) and model.theta.shape == model.v_th.shape == (16,)
    assert model.presentations == model.activity.images == 600
    assert model.activity.steps_per_image == network.encoding.n_steps
    assert model.images_per_s > 0
    assert 0 < model.activity.updates <= 600 * (network.encoding.n_steps // network.learning.update_steps)
    assert model.activity.normalizations == 0
    assert model.tables.interval.tolist() == encoding_tables(network.encoding).interval.tolist()


def test_registers_of_a_training(network, model):
    formats = lower(network).formats
    assert set(model.registers) == REGISTERS
    for name, seen in model.registers.items():
        fmt = formats[name]
        assert seen.format == str(fmt)
        assert fmt.raw_min <= seen.min_raw <= seen.max_raw <= fmt.raw_max
        assert (seen.min, seen.max) == (seen.min_raw * fmt.lsb, seen.max_raw * fmt.lsb)
        assert min(seen.saturated_low, seen.saturated_high) >= 0
    for name in ("weight", "theta", "v_th"):
        words = getattr(model, name)
        assert model.registers[name].min_raw <= words.min() and words.max() <= model.registers[name].max_raw
    # The first words count too: weights before anything was learned, thresholds before any spike.
    start = initial_state(lower(network), 3)
    assert model.registers["weight"].min_raw <= start.weight.min()
    assert model.registers["v_th"].min_raw <= start.v_th.min()
    assert model.registers["theta"].max_raw > 0


def test_the_first_words_count_toward_the_range(digits):
    """A threshold that rises with the first spike was lower before; the range says so."""
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=1, epochs=1,
        settings={"neuron.theta_forget": "none", "neuron.theta_plus": 0.5},
    )  # fmt: skip
    model = train(spec, digits, seed=0)
    first = initial_state(lower(spec), 0)
    assert model.v_th.min() > first.v_th.min()
    assert model.registers["v_th"].min_raw == first.v_th.min()


def test_input_spikes_are_counted(network, digits):
    one_epoch = load_network(
        "tinysnn-wta", recipe="digits", neurons=16, epochs=1, settings={"encoding.train_spikes": "regular"}
    )
    model = train(one_epoch, digits, seed=1)
    raster = encode(
        digits.train_images, encoding_tables(one_epoch.encoding), spikes="regular", phase="train", seed=1
    )
    assert model.activity.input_spikes == raster.n_events


def test_state_is_a_copy(model):
    before = model.weight.copy()
    model.state.weight[:] = 0
    assert np.array_equal(model.weight, before)


# --- Learning matters ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def all_digits() -> Dataset:
    return load_dataset("digits")


def test_digits_are_learned(all_digits):
    """The shipped recipe: at least 94 % of the test digits with 100 neurons and 8-bit weights."""
    spec = load_network("tinysnn-wta", recipe="digits")
    assert (spec.network.neurons, str(spec.formats.weight.format)) == (100, "u0.8")
    model = train(spec, all_digits, seed=0)
    result = evaluate(model, all_digits)
    assert result.accuracy >= 94.0
    assert result.readouts["mean_rate"] > 85.0 and result.readouts["weighted_vote"] > 85.0
    # Real training changes most weights, and not all to one value.
    start = initial_state(lower(spec), 0).weight
    assert (model.weight != start).mean() > 0.5
    assert len(np.unique(model.weight)) > 50


def test_the_paper_rule_learns_digits(all_digits):
    spec = load_network("tinysnn", recipe="digits", epochs=2)
    model = train(spec, all_digits, seed=0)
    assert evaluate(model, all_digits).accuracy > 85.0
    assert model.activity.normalizations > 0


def test_without_learning_little_is_recognised(all_digits):
    """The same network with its weights left as drawn: the readouts alone do not do it."""
    spec = load_network("tinysnn-wta", recipe="digits", epochs=1)
    learned = train(spec, all_digits, seed=0)
    frozen = load_network(
        "tinysnn-wta", recipe="digits", epochs=1, eta="u0.20",
        settings={"learning.eta_start": 1e-6, "learning.eta_end": 1e-6, "formats.weight.rounding": "nearest"},
    )  # fmt: skip
    untrained = train(frozen, all_digits, seed=0)
    assert np.array_equal(untrained.weight, initial_state(lower(frozen), 0).weight)
    accuracies = [evaluate(model, all_digits).accuracy for model in (learned, untrained)]
    assert accuracies[0] > 85.0
    assert accuracies[0] > accuracies[1] + 10.0


# --- A user's own spikes -------------------------------------------------------------------------------


def test_spikes_in_place_of_images(digits):
    """Rasters with exactly the spikes of the encoder give exactly the model of the images."""
    spec = load_network("tinysnn-wta", recipe="digits", neurons=16, epochs=1)
    tables, rasters = encoding_tables(spec.encoding), []
    for phase, images in (("train", digits.train_images), ("test", digits.test_images)):
        spikes = spec.encoding.train_spikes if phase == "train" else spec.encoding.inference_spikes
        rasters.append(encode(images, tables, spikes=spikes, phase=phase, seed=3))
    data = make_spike_dataset(
        "spikes", rasters[0], digits.train_labels, rasters[1], digits.test_labels, n_classes=10
    )
    from_spikes, from_images = train(spec, data, seed=3), train(spec, digits, seed=3)
    for name in ("weight", "theta", "v_th"):
        assert np.array_equal(getattr(from_spikes, name), getattr(from_images, name))
    assert from_spikes.registers == from_images.registers
    assert from_spikes.activity == from_images.activity
    assert from_spikes.data == "spikes"
    tests = [present(model, part, "test") for model, part in ((from_spikes, data), (from_images, digits))]
    assert tests[0].counts.tolist() == tests[1].counts.tolist()
    result = evaluate(from_spikes, data)
    assert result.n_images == 80 and result.data == "spikes" and result.accuracy > 40.0


def test_spikes_of_several_epochs_in_shuffled_order(digits):
    """With spikes given, an epoch differs from the next only in its order: what is drawn is the order."""
    spec = load_network(
        "tinysnn-wta", recipe="digits", neurons=16, epochs=2, settings={"learning.shuffle": True}
    )
    raster = encode(
        digits.train_images, encoding_tables(spec.encoding), spikes="regular", phase="train", seed=3
    )
    data = make_spike_dataset("spikes", raster, digits.train_labels, raster.slice([0]), [0], n_classes=10)
    model = train(spec, data, seed=3)
    assert model.activity.input_spikes == 2 * raster.n_events
    assert np.array_equal(model.weight, train(spec, data, seed=3, threads=1).weight)


# --- Failing well --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("register", "changes"),
    [
        ("v_mem", {"v_mem": "s7.8", "settings": {"neuron.v_floor": None, "inhibition.strength": 63.0}}),
        ("theta", {"theta": "u1.16", "settings": {"neuron.theta_plus": 1.5, "neuron.v_th_cap": None}}),
        ("v_th", {"v_th": "u4.8", "settings": {"neuron.theta_plus": 6.0, "neuron.v_th_cap": None}}),
    ],
)
@pytest.mark.parametrize("kernel", ["auto", "generic"])
def test_a_register_that_may_not_overflow_is_named(digits, kernel, register, changes):
    settings = changes["settings"] | {f"formats.{register}.overflow": "error"}
    spec = load_network("tinysnn-wta", recipe="digits", neurons=16, **{**changes, "settings": settings})
    with pytest.raises(
        FixedPointOverflowError, match=rf"formats\.{register} = .* widen the format or choose saturate"
    ):
        train(spec, digits, kernel=kernel)
    # The same network that may saturate does train, and says how often it did.
    settings[f"formats.{register}.overflow"] = "saturate"
    model = train(
        load_network("tinysnn-wta", recipe="digits", neurons=16, **{**changes, "settings": settings}), digits
    )
    seen = model.registers[register]
    assert seen.saturated_low + seen.saturated_high > 0


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interrupt_leaves_nothing(network, digits, tmp_path, monkeypatch, files_in, error, threads, after):
    """Ctrl-C arrives through the progress callback: no file, no folder, no thread stays, and training again works."""
    monkeypatch.chdir(tmp_path)
    calls = []

    def interrupt(stage: str, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) > after:
            raise error

    running = threading.active_count()
    with pytest.raises(error):
        train(network, digits, seed=3, progress=interrupt, threads=threads)
    gc.collect()
    assert files_in(tmp_path) == []
    assert threading.active_count() == running
    assert len(calls) == after + 1


def test_training_after_an_interrupt_gives_the_same_bits(network, digits, model):
    def interrupt(stage: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network, digits, seed=3, progress=interrupt, threads=2)
    assert same(model, train(network, digits, seed=3, threads=2))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"seed": -1}, SpecError, "seed = -1; 0 to 4294967295 is allowed"),
        ({"seed": 2**32}, SpecError, "seed = 4294967296; 0 to 4294967295"),
        ({"arithmetic": "float32"}, SpecError, "arithmetic = 'float32'; allowed: fixed, float64"),
        ({"kernel": "quick"}, SpecError, "kernel = 'quick'; allowed: auto, generic, fast"),
        ({"threads": 0}, SpecError, "threads = 0; at least 1 is required"),
    ],
)
def test_wrong_arguments_are_named(network, digits, changes: dict[str, Any], error, message):
    with pytest.raises(error, match=message):
        train(network, digits, **changes)


def test_data_of_another_shape_is_refused(network, digits):
    mnist = load_network("tinysnn-wta")
    with pytest.raises(DataError, match=r"has 64 inputs per image; network 'tinysnn-wta' .* set inputs=64"):
        train(mnist, digits)
    raster = encode(
        digits.train_images[:5], encoding_tables(network.encoding), spikes="regular", phase="train", seed=0
    )
    longer = load_network("tinysnn-wta", recipe="digits", neurons=16, settings={"encoding.n_steps": 300})
    data = make_spike_dataset("spikes", raster, [0] * 5, raster, [0] * 5)
    with pytest.raises(DataError, match=r"has 250 steps per image; .* set encoding\.n_steps=250"):
        train(longer, data)


def test_a_kernel_that_is_not_proven_is_refused(digits):
    wrapping = load_network(
        "tinysnn-wta", recipe="digits", neurons=16, settings={"formats.v_mem.overflow": "wrap"}
    )
    with pytest.raises(SpecError, match="kernel = 'fast'"):
        train(wrapping, digits, kernel="fast")
    assert train(wrapping, digits.limit(20)).kernel == "generic"


def test_one_image_is_enough(network):
    images = np.full((1, 64), 200, np.uint8)
    data = make_dataset("one", images, [0], images, [0], n_classes=2)
    model = train(network, data, seed=0)
    assert model.presentations == 2 and model.activity.output_spikes > 0
    assert evaluate(model, data).accuracy == 100.0


def test_black_images_are_harmless(network):
    images = np.zeros((3, 64), np.uint8)
    data = make_dataset("black", images, [0, 1, 1], images, [0, 1, 1])
    model = train(network, data, seed=0)
    assert np.array_equal(model.weight, initial_state(lower(network), 0).weight)
    assert model.activity.input_spikes == model.activity.output_spikes == 0
    result = evaluate(model, data)
    assert result.silent_images == 3 and result.spikes_per_image == 0.0


@pytest.mark.parametrize("seed", [1.5, "a", None])
def test_a_seed_that_is_no_whole_number_is_refused(network, digits, seed):
    with pytest.raises(SpecError, match=r"seed = .*whole number"):
        train(network, digits, seed=seed)


def test_a_numpy_seed_is_a_seed(network, digits, model, tmp_path):
    trained = train(network, digits, seed=np.int64(3), threads=1)
    np.testing.assert_array_equal(trained.weight, model.weight)
    assert load_model(save_model(trained, tmp_path / "model")).seed == 3
