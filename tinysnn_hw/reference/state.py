"""What outlives an image: weights and thresholds of a batch of networks, given or drawn from their seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tinysnn_hw.errors import BackendUnavailableError, SpecError
from tinysnn_hw.reference.constants import constants_of
from tinysnn_hw.reference.dynamics import normalized
from tinysnn_hw.spec.network import NetworkSpec

Specs = NetworkSpec | Sequence[NetworkSpec]

_INITIAL_WEIGHTS = 7
"""Purpose of the random words of initial weights."""


@dataclass(slots=True)
class ReferenceState:
    """State of ``B`` networks between images, on one device.

    Attributes
    ----------
    weight : Tensor
        [B, n_inputs, n_neurons].
    theta, v_th : Tensor
        [B, n_neurons]; `v_th` is the effective threshold ``v_th + theta`` [mV].
    """

    weight: Tensor
    theta: Tensor
    v_th: Tensor

    @property
    def n_networks(self) -> int:
        """Number of networks."""
        return int(self.weight.shape[0])

    def copy(self) -> ReferenceState:
        """Return an independent copy."""
        return ReferenceState(self.weight.clone(), self.theta.clone(), self.v_th.clone())


def state_from(
    specs: Specs,
    weight: npt.ArrayLike,
    *,
    theta: npt.ArrayLike | None = None,
    v_th: npt.ArrayLike | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> ReferenceState:
    """Make a state from given numbers, such as an emulator's ``raw * 2**-f``.

    Parameters
    ----------
    specs : NetworkSpec or sequence of NetworkSpec
        One per network, or one for all.
    weight : array_like
        [B, n_inputs, n_neurons], not negative; copied.
    theta : array_like, optional
        [B, n_neurons] [mV]; absent: 0.
    v_th : array_like, optional
        [B, n_neurons], effective threshold [mV]; absent: the spec's `v_th` plus `theta`.
    device : str
        ``cpu``, or ``cuda`` (``cuda:1``, ...).
    dtype : torch.dtype
        ``torch.float32`` or ``torch.float64``.

    Returns
    -------
    ReferenceState

    Raises
    ------
    SpecError
        Shapes do not belong to the networks, or a dtype of another kind.
    BackendUnavailableError
        No such device on this machine.
    """
    target = _device(device)
    if dtype not in (torch.float32, torch.float64):
        raise SpecError(f"dtype = {dtype}; allowed: torch.float32, torch.float64")
    # np.array copies, and torch then shares what nobody else holds.
    weights = torch.from_numpy(np.array(weight, dtype=np.float64)).to(target, dtype)
    if weights.ndim != 3:
        raise SpecError(
            f"weight has shape {tuple(weights.shape)}; expected (n_networks, n_inputs, n_neurons)"
        )
    networks = spec_list(specs, len(weights))
    size = networks[0].network
    if tuple(weights.shape[1:]) != (size.inputs, size.neurons):
        raise SpecError(
            f"weight has shape {tuple(weights.shape)}; network {networks[0].name!r} needs {size.inputs} inputs and "
            f"{size.neurons} neurons"
        )
    rest = weights.new_zeros(len(weights), size.neurons)
    thetas = rest if theta is None else _per_neuron("theta", theta, rest)
    base = weights.new_tensor([[spec.neuron.v_th] for spec in networks])
    return ReferenceState(
        weights, thetas.clone(), base + thetas if v_th is None else _per_neuron("v_th", v_th, rest)
    )


def initial_state(
    specs: Specs,
    seeds: Iterable[int],
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> ReferenceState:
    """Draw the state before the first training image, as docs/numerics.md section 5 does but without rounding.

    ``weight[i][j] = low + (high - low) * draw(seed, 7, j, i) / 2**32`` with ``low`` and ``high`` at most `w_max`, then
    columns are normalised where ``weight_sum`` is set.

    Parameters
    ----------
    specs : NetworkSpec or sequence of NetworkSpec
        One per seed, or one for all.
    seeds : iterable of int
        One per network, each 0 to 2**32 - 1.
    device, dtype
        As in `state_from`.

    Returns
    -------
    ReferenceState
    """
    numbers = list(seeds)
    networks = spec_list(specs, len(numbers))
    for seed in numbers:
        if not 0 <= seed < 1 << 32:
            raise SpecError(f"seed = {seed}; 0 to {(1 << 32) - 1} is allowed")
    _device(device)
    weight = np.stack([_drawn(spec, seed) for spec, seed in zip(networks, numbers, strict=True)])
    state = state_from(networks, weight, dtype=torch.float64)
    constants = constants_of(networks, state.weight)
    drawn = constants.weight_sum.isfinite()[:, :, None]
    columns = normalized(state.weight, constants.weight_sum[:, :, None], constants.w_max[:, :, None], dim=1)
    return state_from(networks, torch.where(drawn, columns, state.weight).numpy(), device=device, dtype=dtype)


def spec_list(specs: Specs, n_networks: int) -> tuple[NetworkSpec, ...]:
    """Return one spec per network, refusing another number of them."""
    if isinstance(specs, NetworkSpec):
        specs = (specs,) * n_networks
    if len(specs) != n_networks or not n_networks:
        raise SpecError(f"{len(specs)} specs for {n_networks} networks; give one for each, or one for all")
    return tuple(specs)


def _drawn(spec: NetworkSpec, seed: int) -> npt.NDArray[np.float64]:
    learning, size = spec.learning, spec.network
    low, high = min(learning.w_init_low, learning.w_max), min(learning.w_init_high, learning.w_max)
    word = _mix(np.array([seed + _INITIAL_WEIGHTS * 0x9E3779B9 & 0xFFFFFFFF], np.uint32))
    word = _mix(word ^ np.arange(size.neurons, dtype=np.uint32)[None, :])
    word = _mix(word ^ np.arange(size.inputs, dtype=np.uint32)[:, None])
    return low + (high - low) * (word / 2.0**32)


def _mix(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Return the 32-bit mix of docs/numerics.md section 2; products of uint32 arrays are modulo 2**32."""
    high, low = np.uint32(16), np.uint32(15)
    x = (x ^ x >> high) * np.uint32(0x7FEB352D)
    x = (x ^ x >> low) * np.uint32(0x846CA68B)
    return x ^ x >> high


def _per_neuron(name: str, values: npt.ArrayLike, like: Tensor) -> Tensor:
    given = torch.from_numpy(np.array(values, dtype=np.float64)).to(like.device, like.dtype)
    if given.shape != like.shape:
        raise SpecError(f"{name} has shape {tuple(given.shape)}; expected {tuple(like.shape)}")
    return given


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpecError(f"device = {name!r}; allowed: cpu, cuda, cuda:<number>") from None
    if device.type not in ("cpu", "cuda"):
        raise SpecError(f"device = {name!r}; allowed: cpu, cuda, cuda:<number>")
    count = torch.cuda.device_count() if device.type == "cuda" and torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise BackendUnavailableError(
            f"device = {name!r}: PyTorch {torch.__version__} sees {count} CUDA devices; use device='cpu', or install a "
            "CUDA build of PyTorch on a machine with an NVIDIA GPU"
        )
    return device
