"""Data sets, spike rasters and where they come from."""

from __future__ import annotations

from tinysnn_hw.data.dataset import Dataset, load_dataset, make_dataset
from tinysnn_hw.data.files import load_raster, save_raster
from tinysnn_hw.data.idx import read_idx
from tinysnn_hw.data.raster import Raster
from tinysnn_hw.data.sources import SOURCES, BundledSource, IdxSource, Parts
from tinysnn_hw.data.spikes import SpikeDataset, load_spikes, make_spike_dataset

__all__ = [
    "SOURCES",
    "BundledSource",
    "Dataset",
    "IdxSource",
    "Parts",
    "Raster",
    "SpikeDataset",
    "load_dataset",
    "load_raster",
    "load_spikes",
    "make_dataset",
    "make_spike_dataset",
    "read_idx",
    "save_raster",
]
