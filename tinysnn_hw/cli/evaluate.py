"""`tinysnn evaluate`: label the neurons of a trained network and test it."""

from __future__ import annotations

from tinysnn_hw.cli import options
from tinysnn_hw.cli.inputs import subset_note
from tinysnn_hw.cli.model import load_model_data, say_backend
from tinysnn_hw.cli.output import progress_bars, reporting_errors, show, show_json
from tinysnn_hw.version import NUMERIC_VERSION


@reporting_errors
def evaluate(
    folder: options.Folder,
    data: options.ModelData = None,
    data_dir: options.DataDir = None,
    limit_train: options.LimitTrain = None,
    limit_test: options.LimitTest = None,
    label_images: options.LabelImages = None,
    threads: options.Threads = None,
    backend: options.Backend = "auto",
    json: options.Json = False,
) -> None:
    """Label the neurons of a trained network on training images and test it on the test images."""
    from tinysnn_hw import learning
    from tinysnn_hw.report import result_json, result_table

    model = learning.load_model(folder)
    say_backend(backend, "labelling and test", training=False, arithmetic=model.arithmetic)
    images = load_model_data(model, data, data_dir, limit_train, limit_test)
    with progress_bars() as progress:
        result = learning.evaluate(
            model, images, label_images=label_images, backend=backend, progress=progress, threads=threads
        )
    subset = subset_note(limit_train, limit_test)
    if json:
        config = {**model.config(), "label_images": images.n_train if label_images is None else label_images}
        show_json(
            {
                **result_json(result),
                "model": str(folder),
                "subset": subset or None,
                "numeric_version": NUMERIC_VERSION,
                "config": config,
                "versions": learning.versions(),
            }
        )
    else:
        show(result_table(result), *([subset] if subset else []))


__all__ = ["evaluate"]
