"""A trained network, and its file: raw integers, full configuration, versions; never half-written."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinysnn_hw.data.encode import EncodingTables
from tinysnn_hw.engine import FloatState, NetworkState
from tinysnn_hw.errors import ModelFileError, TinySnnError
from tinysnn_hw.records import Activity, RegisterRange
from tinysnn_hw.spec import NetworkSpec, network_from_dict
from tinysnn_hw.spec.registers import register_formats
from tinysnn_hw.version import NUMERIC_VERSION, __version__

MODEL_FILE = "model.npz"
_STATE = ("weight", "theta", "v_th")
_TABLES = ("interval", "quantile", "gain")
# What NumPy, zipfile, zlib and json raise on a file that was cut, altered or never was a model.
_DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, NotImplementedError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A trained network.

    Attributes
    ----------
    network : NetworkSpec
    arithmetic : {"fixed", "float64", "shadow"}
    weight, theta, v_th : arrays
        Fixed: raw integers ``[n_inputs, n_neurons]``, ``[n_neurons]``, ``[n_neurons]`` in the formats of the
        network; float64: real numbers; shadow: real numbers, the weights those in use, on the grid of their format.
    tables : EncodingTables
        Integer encoding tables; part of the definition of the model.
    seed, spike_seed : int
        The latter decides spikes and the order of images.
    data : str
        Name of the training data.
    digests : dict of str to str
        SHA-256 of the data arrays.
    presentations : int
        Training images presented.
    registers : dict of str to RegisterRange
        What every register saw in training; empty unless fixed.
    activity : Activity
        What happened in training.
    images_per_s : float
        Training speed, encoding included.
    kernel : str
    versions : dict of str to str
    quantized : dict or None
        How the model was quantized after training: ``source``, the configuration of the trained model,
        ``registers``, ``rounding`` and ``seed``.  Its ``registers`` then hold what that cut of the words did.
    """

    network: NetworkSpec
    arithmetic: str
    weight: npt.NDArray[Any]
    theta: npt.NDArray[Any]
    v_th: npt.NDArray[Any]
    tables: EncodingTables
    seed: int
    spike_seed: int
    data: str
    digests: dict[str, str]
    presentations: int
    registers: dict[str, RegisterRange]
    activity: Activity
    images_per_s: float
    kernel: str
    versions: dict[str, str]
    quantized: dict[str, Any] | None = None

    @property
    def state(self) -> NetworkState | FloatState:
        """A fresh copy of the registers for the engine."""
        if self.arithmetic != "fixed":
            return FloatState(self.weight.copy(), self.theta.copy(), self.v_th.copy())
        return NetworkState(*(np.array(getattr(self, name), np.int64) for name in _STATE))

    def config(self) -> dict[str, Any]:
        """Return everything that decided the model's bits, as plain data."""
        config: dict[str, Any] = {
            "network": self.network.model_dump(mode="json"),
            "arithmetic": self.arithmetic,
            "seed": self.seed,
            "spike_seed": self.spike_seed,
            "data": self.data,
            "digests": self.digests,
            "presentations": self.presentations,
        }
        return config if self.quantized is None else {**config, "quantized": self.quantized}


def versions() -> dict[str, str]:
    """Return the versions of everything that can influence a result."""
    found = {
        "tinysnn_hw": __version__,
        "numeric_version": str(NUMERIC_VERSION),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("numpy", "numba", "llvmlite")},
    }
    with suppress(metadata.PackageNotFoundError):  # the GPU's compiler is optional
        found["numba-cuda"] = metadata.version("numba-cuda")
    return found


def save_model(model: Model, folder: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a model to ``folder/model.npz`` with its configuration beside it in ``model.json``.

    The folder is written under a temporary name and renamed when it is complete.

    Parameters
    ----------
    model : Model
    folder : path
        Must not exist or be empty, unless ``force``.
    force : bool
        Replace an existing model folder.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelFileError
        The folder holds something, or cannot be written.
    """
    target = Path(folder)
    if target.exists() and not force and (not target.is_dir() or any(target.iterdir())):
        raise ModelFileError(
            f"{target}: exists and is not empty; choose another folder or allow replacing it"
        )
    if force and target.exists() and not _replaceable(target):
        raise ModelFileError(f"{target}: holds something other than a model; it will not be replaced")
    meta = json.dumps(_meta(model), indent=2)
    arrays = {name: _narrow(model, name) for name in _STATE}
    arrays |= {f"table_{name}": getattr(model.tables, name) for name in _TABLES}
    arrays["meta"] = np.frombuffer(meta.encode(), np.uint8)
    arrays["digest"] = np.frombuffer(_digest(arrays).encode(), np.uint8)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            np.savez_compressed(temporary / MODEL_FILE, allow_pickle=False, **arrays)
            (temporary / "model.json").write_text(meta + "\n", encoding="utf-8")
            temporary.chmod(0o755)
            _rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise ModelFileError(f"{target}: cannot be written: {error}") from error
    return target


def _rename(temporary: Path, target: Path) -> None:
    """Move a finished folder into place; an old one steps aside first and comes back if that fails."""
    if not target.exists():
        temporary.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    old = aside / target.name
    try:
        target.rename(old)
        temporary.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _replaceable(target: Path) -> bool:
    return target.is_dir() and ((target / MODEL_FILE).is_file() or not any(target.iterdir()))


def load_model(folder: str | os.PathLike[str]) -> Model:
    """Read a model written by `save_model`.

    Raises
    ------
    ModelFileError
        Missing, cut short, altered, or written under another numeric version; the message says which.
    """
    file = Path(folder)
    file = file / MODEL_FILE if file.is_dir() else file
    if not file.is_file():
        raise ModelFileError(f"{file}: no such model file; `tinysnn train ... --out {folder}` writes one")
    try:
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        digest = bytes(arrays.pop("digest")).decode()
        meta = json.loads(bytes(arrays["meta"]).decode())
    except _DAMAGE as error:
        # What is no archive NumPy takes for a pickle, and says how to load one; nobody should.
        reason = "no NumPy archive" if "unsafely" in str(error) else f"{type(error).__name__}: {error}"
        raise ModelFileError(
            f"{file}: cut short or not a model file ({reason}); train or copy it again"
        ) from error
    if digest != _digest(arrays):
        raise ModelFileError(f"{file}: contents do not match their digest; the file was altered or damaged")
    if meta.get("numeric_version") != NUMERIC_VERSION:
        raise ModelFileError(
            f"{file}: written under numeric_version {meta.get('numeric_version')}, this version computes "
            f"{NUMERIC_VERSION}; its bits would differ: train again, or use the tinysnn_hw that wrote it "
            f"({meta['versions']['tinysnn_hw']})"
        )
    try:
        return _rebuild(meta, arrays, str(file))
    except TinySnnError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{file}: incomplete ({type(error).__name__}: {error})") from error


def _meta(model: Model) -> dict[str, Any]:
    return {
        "numeric_version": NUMERIC_VERSION,
        "versions": model.versions,
        "config": model.config(),
        "kernel": model.kernel,
        "images_per_s": model.images_per_s,
        "activity": {name: getattr(model.activity, name) for name in Activity.__slots__},
        "registers": {
            name: {key: getattr(seen, key) for key in RegisterRange.__slots__}
            for name, seen in model.registers.items()
        },
        "n_steps": model.tables.n_steps,
    }


def _rebuild(meta: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], origin: str) -> Model:
    config = meta["config"]
    network = network_from_dict(config["network"], origin)
    shapes = {
        "weight": (network.network.inputs, network.network.neurons),
        "theta": (network.network.neurons,),
        "v_th": (network.network.neurons,),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ModelFileError(f"{origin}: {name} has shape {arrays[name].shape}; {shape} is required")
    tables = EncodingTables(
        **{name: arrays[f"table_{name}"].astype(np.int64) for name in _TABLES}, n_steps=int(meta["n_steps"])
    )
    model = Model(
        network=network,
        arithmetic=config["arithmetic"],
        weight=arrays["weight"],
        theta=arrays["theta"],
        v_th=arrays["v_th"],
        tables=tables,
        seed=int(config["seed"]),
        spike_seed=int(config.get("spike_seed", config["seed"])),
        data=config["data"],
        digests=dict(config["digests"]),
        presentations=int(config["presentations"]),
        registers={name: RegisterRange(**seen) for name, seen in meta["registers"].items()},
        activity=Activity(**meta["activity"]),
        images_per_s=float(meta["images_per_s"]),
        kernel=str(meta["kernel"]),
        versions=dict(meta["versions"]),
        quantized=config.get("quantized"),
    )
    if model.arithmetic == "fixed":
        for name in _STATE:
            fmt, raw = register_formats(network)[name], getattr(model, name)
            if raw.size and not (fmt.raw_min <= int(raw.min()) and int(raw.max()) <= fmt.raw_max):
                raise ModelFileError(f"{origin}: {name} holds raw values outside its format {fmt}")
    return model


def _narrow(model: Model, name: str) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = getattr(model, name)
    if model.arithmetic != "fixed":
        return np.asarray(array, np.float64)
    fmt = register_formats(model.network)[name]
    if array.size and not (fmt.raw_min <= int(array.min()) and int(array.max()) <= fmt.raw_max):
        raise ModelFileError(f"model: {name} holds raw values outside its format {fmt}; it was not written")
    return array.astype(fmt.storage_dtype)


def _digest(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """Return the SHA-256 over names, dtypes, shapes and bytes of all arrays."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


__all__ = ["MODEL_FILE", "Model", "load_model", "save_model", "versions"]
