"""What is modelled: frozen, validated descriptions read from TOML; no arithmetic, no simulation."""

from __future__ import annotations

from tinysnn_hw.spec.hardware import HardwareSpec
from tinysnn_hw.spec.hardware_load import list_hardware, load_hardware
from tinysnn_hw.spec.load import (
    ResolvedNetwork,
    has_recipe,
    list_networks,
    load_network,
    models_dir,
    network_from_dict,
    resolve_network,
)
from tinysnn_hw.spec.network import REGISTERS, NetworkSpec, RegisterSpec

__all__ = [
    "REGISTERS",
    "HardwareSpec",
    "NetworkSpec",
    "RegisterSpec",
    "ResolvedNetwork",
    "has_recipe",
    "list_hardware",
    "list_networks",
    "load_hardware",
    "load_network",
    "models_dir",
    "network_from_dict",
    "resolve_network",
]
