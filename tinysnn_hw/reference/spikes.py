"""Rasters as tensors: the events of some steps of one image, for all networks of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from tinysnn_hw.data.raster import Raster
from tinysnn_hw.errors import SpecError
from tinysnn_hw.spec.network import NetworkSpec

Rasters = Raster | Sequence[Raster]


@dataclass(frozen=True, slots=True)
class Window:
    """Events of ``n_steps`` steps of ``B`` networks, sorted by network, then step.

    Attributes
    ----------
    n_networks, n_steps, n_inputs : int
    row : Tensor
        int64 [n_events], ``b * n_inputs + i``.
    first : Tensor
        int64 [B * n_steps], where the events of a network's step begin in `row`.
    """

    n_networks: int
    n_steps: int
    n_inputs: int
    row: Tensor
    first: Tensor

    def currents(self, weight: Tensor) -> Tensor:
        """Return the sum of the weights of each step's events, [B, n_steps, n_neurons]."""
        rows = weight.reshape(self.n_networks * self.n_inputs, -1)
        return embedding_bag(self.row, rows, self.first, mode="sum").view(self.n_networks, self.n_steps, -1)

    def counts(self, like: Tensor) -> Tensor:
        """Return the events of each input over all steps, [B, n_inputs], with the dtype of ``like``."""
        return self._sum(like.new_ones(len(self.row)))

    def decayed_counts(self, factor: Tensor, n_steps: int) -> Tensor:
        """Return [B, n_inputs], what is left after ``n_steps`` steps of events that decay by a factor in each step.

        An event of step ``k`` counts ``factor ** (n_steps - 1 - k)``; ``factor`` is [B, 1].
        """
        bag = torch.arange(len(self.first), device=self.row.device)
        ends = torch.cat([self.first[1:], self.first.new_tensor([len(self.row)])])
        age = n_steps - 1 - bag % self.n_steps
        # One power for every step of every network, one look-up for every event.
        left = torch.where(age >= 0, factor.repeat_interleave(self.n_steps, dim=0)[:, 0] ** age, 0.0)
        return self._sum(left.repeat_interleave(ends - self.first, output_size=len(self.row)))

    def _sum(self, values: Tensor) -> Tensor:
        total = values.new_zeros(self.n_networks * self.n_inputs)
        return total.index_add_(0, self.row, values).view(self.n_networks, self.n_inputs)


@dataclass(frozen=True, slots=True)
class SpikeFeed:
    """The rasters of a batch: one for all networks, or one for each."""

    rasters: tuple[Raster, ...]
    n_networks: int
    device: torch.device

    @property
    def n_images(self) -> int:
        """Number of images."""
        return self.rasters[0].n_images

    def input_spikes(self) -> list[int]:
        """Events of every network's raster."""
        events = [raster.n_events for raster in self.rasters]
        return events * (self.n_networks // len(events))

    def window(self, image: int, begin: int, end: int) -> Window:
        """Return the events of steps ``begin`` to ``end - 1`` of an image; a step before the image has none."""
        steps = np.arange(begin, end + 1).clip(min=0)
        bounds = [raster.offsets[image, steps] for raster in self.rasters]
        inputs = [raster.inputs[b[0] : b[-1]] for raster, b in zip(self.rasters, bounds, strict=True)]
        starts = np.stack([b[:-1] - b[0] for b in bounds])
        lengths = np.array([len(events) for events in inputs])
        events = np.concatenate(inputs).astype(np.int64)
        network = np.arange(self.n_networks)
        n_inputs = self.rasters[0].n_inputs
        if len(self.rasters) == 1:
            row = (network[:, None] * n_inputs + events).ravel()
            first = network[:, None] * lengths + starts
        else:
            row = np.repeat(network * n_inputs, lengths) + events
            first = starts + (np.cumsum(lengths) - lengths)[:, None]
        return Window(
            self.n_networks,
            end - begin,
            n_inputs,
            torch.from_numpy(row).to(self.device),
            torch.from_numpy(first.ravel()).to(self.device),
        )


def feed_of(raster: Rasters, specs: Sequence[NetworkSpec], device: torch.device) -> SpikeFeed:
    """Return the feed of a batch, refusing rasters that do not belong to its networks."""
    rasters = (raster,) if isinstance(raster, Raster) else tuple(raster)
    if len(rasters) not in (1, len(specs)):
        raise SpecError(
            f"{len(rasters)} rasters for {len(specs)} networks; give one for each, or one for all"
        )
    spec = specs[0]
    wanted = (spec.network.inputs, spec.encoding.n_steps)
    for given in rasters:
        if (given.n_inputs, given.n_steps) != wanted:
            raise SpecError(
                f"raster has {given.n_inputs} inputs and {given.n_steps} steps; network {spec.name!r} needs "
                f"{wanted[0]} inputs and {wanted[1]} steps (network.inputs, encoding.n_steps)"
            )
        if given.n_images != rasters[0].n_images:
            raise SpecError(
                f"rasters have {rasters[0].n_images} and {given.n_images} images; the networks of one batch see "
                "as many images each"
            )
    return SpikeFeed(rasters, len(specs), device)
