#!/usr/bin/env python3
"""Figure 6 of the paper: accuracy of baseline, SL-STDP and tinySNN over precisions, post- and in-training quantization.

Quantized are the weights alone (the paper's qW): b bits are the format u0.b. Everything else keeps the format of its
recipe: 16-bit potentials and thresholds, 24-bit theta. What the paper runs in FP32 runs here in float64. Post-training
quantization (ptq) cuts the weights of that float64 network once; in-training (in_place) cuts them at every update.

Each finished cell is kept in a file named by the digest of all that decides it: kill the program, and run it again to
go on. All precisions of one network, seed and rounding mode are shown the same spikes, encoded once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fig6_cells import BITS, NETWORKS, READOUTS, Run, groups
from fig6_tables import Table, draw, markdown
from figures import arguments, write_csv, write_whole

from tinysnn_hw import load_dataset
from tinysnn_hw.errors import TinySnnError


def options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--data",
        nargs="+",
        default=["mnist", "fashion-mnist"],
        help="data sets (default: mnist fashion-mnist)",
    )
    add("--data-dir", type=Path, help="folder of the data sets; absent: TINYSNN_DATA, the cache, a download")
    add("--networks", nargs="+", default=NETWORKS, choices=NETWORKS, help="networks (default: all)")
    add(
        "--bits",
        nargs="+",
        type=int,
        default=BITS,
        help=f"bits of a weight (default: {' '.join(map(str, BITS))})",
    )
    add("--seeds", type=int, default=5, help="seeds, counted from 0 (default: 5)")
    add("--limit", type=int, help="first so many images of training and of test; absent: all")
    add("--label-images", type=int, help="first so many training images label the neurons; absent: all")
    add("--threads", type=int, help="threads; absent: all cores")
    add(
        "--readout",
        default=READOUTS[0],
        choices=READOUTS,
        help="readout drawn; the CSV has all (default: %(default)s)",
    )


def main() -> None:
    chosen = arguments(__doc__.splitlines()[0], options)
    for name in ("seeds", "label_images"):
        if (value := getattr(chosen, name)) is not None and value < 1:
            raise SystemExit(f"error: --{name.replace('_', '-')} {value}: at least 1 is required")
    try:
        data = {name: load_dataset(name, chosen.data_dir) for name in chosen.data}
        if chosen.limit is not None:
            data = {
                name: each.limit(min(chosen.limit, each.n_train), min(chosen.limit, each.n_test))
                for name, each in data.items()
            }
        run, plan = Run(chosen, data), list(groups(chosen))
        run.compute(plan)
    except TinySnnError as error:
        raise SystemExit(f"error: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command goes on from what is finished") from None
    rows = [row for group in plan for cell in group if (row := run.read(cell)) is not None]
    table = Table(rows, chosen.readout)
    names = [each.name for each in data.values()]
    said = markdown(table, names, chosen)
    write_csv(chosen.out / "fig6.csv", rows)
    write_whole(chosen.out / "fig6.md", lambda file: file.write_text(said, encoding="utf-8"))
    draw(chosen.out / "fig6.png", table, names, chosen)
    sys.stdout.write(said)


if __name__ == "__main__":
    main()
