"""The table of `tinysnn validate`: is the network still right at these widths, and what does it cost."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tinysnn_hw.records import Validation
from tinysnn_hw.report.network import accounting_table
from tinysnn_hw.report.result import readout_names, register_table
from tinysnn_hw.report.text import count, percent, plain_table, points, rate, real, section
from tinysnn_hw.report.verdict import verdict


def validation_table(validation: Validation) -> RenderableType:
    """Return the whole finding: accuracy, registers, memory, speed, and what it means.

    Parameters
    ----------
    validation : Validation

    Returns
    -------
    rich renderable
    """
    title = f"{validation.network}, recipe {validation.recipe}, on {validation.data}"
    sentences = Table.grid(padding=(0, 1))
    for text in (*verdict(validation), *validation.notes):
        sentences.add_row("•", Text(text))
    return Group(
        Padding(Text(title, style="bold reverse"), (0, 0, 1, 0)),
        accuracy_table(validation),
        register_table(validation.registers, "Registers over training, labelling and test"),
        accounting_table(validation.memory),
        speed_table(validation),
        section("In words", sentences),
    )


def accuracy_table(validation: Validation) -> RenderableType:
    """Return the accuracy of every readout, in fixed point and in float64."""
    fixed, float64 = validation.fixed, validation.float64
    table = plain_table("readout", ">fixed point", ">float64", ">difference")
    for name in readout_names(fixed):
        ours, theirs = fixed.readouts[name], float64.readouts[name]
        table.add_row(name, percent(ours), percent(theirs), points(ours - theirs))
    table.add_section()
    table.add_row("spikes per image", real(fixed.spikes_per_image), real(float64.spikes_per_image))
    table.add_row("silent images", count(fixed.silent_images), count(float64.silent_images))
    return section(
        f"Accuracy on {count(fixed.n_images)} test images [%]",
        table,
        note="The same network trained twice from the same spikes: every register at its width, and in "
        f"float64. One image is {100 / fixed.n_images:.2g} points.",
    )


def speed_table(validation: Validation) -> RenderableType:
    """Return the images per second of training and inference."""
    table = plain_table("phase", ">fixed point", ">float64")
    table.add_row("training", rate(validation.train_images_per_s), rate(validation.float_train_images_per_s))
    table.add_row("inference", rate(validation.inference_images_per_s), rate(validation.float64.images_per_s))
    return section(
        "Simulation speed [images/s]", table, note=f"Encoding included. Kernel: {validation.kernel}."
    )


__all__ = ["accuracy_table", "speed_table", "validation_table"]
