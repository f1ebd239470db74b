"""From flags to a network and a data set."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from tinysnn_hw.cli.output import note
from tinysnn_hw.errors import SpecError

if TYPE_CHECKING:
    from tinysnn_hw.data import Dataset, SpikeDataset
    from tinysnn_hw.spec import ResolvedNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFlags:
    """The flags that choose and change a network; ``None`` where not given."""

    network: str
    recipe: str | None
    neurons: int | None
    weight: str | None
    v_mem: str | None
    v_th: str | None
    theta: str | None
    rounding: str | None
    overflow: str | None
    epochs: int | None
    settings: Sequence[str]

    def resolve(self, data: str | None) -> ResolvedNetwork:
        """Return the network; without ``--recipe`` the one of the recipe named after `data`, and say which.

        Raises
        ------
        SpecError
            See `tinysnn_hw.spec.load_network`.
        """
        from tinysnn_hw.spec import resolve_network

        return resolve_network(
            self.network,
            recipe=self.recipe if self.recipe is not None or data is None else self._recipe_for(data),
            settings=parse_settings(self.settings),
            neurons=self.neurons,
            weight=self.weight,
            v_mem=self.v_mem,
            v_th=self.v_th,
            theta=self.theta,
            rounding=self.rounding,
            overflow=self.overflow,
            epochs=self.epochs,
        )

    def changes(self) -> list[str]:
        """Return the flags given that change a network, as they are written."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        given = [
            name
            for name, value in values.items()
            if name not in ("network", "settings") and value is not None
        ]
        return [f"--{name.replace('_', '-')}" for name in given] + (["--set"] if self.settings else [])

    def _recipe_for(self, data: str) -> str:
        from tinysnn_hw.spec.describe import summarize_network

        summary = summarize_network(self.network)
        name = Path(data).stem
        if name in summary.recipes:
            note(f"recipe: {name}, named after the data set")
            return name
        note(
            f"recipe: {summary.default_recipe}, the default of {summary.name}, which has none named "
            f"{name!r}; --recipe chooses among {', '.join(summary.recipes)}"
        )
        return summary.default_recipe


def parse_settings(settings: Sequence[str]) -> dict[str, object]:
    """Return the dotted keys and values of ``--set key=value`` flags.

    A value is read as TOML reads it (a number, ``true``, a quoted text); what TOML does not know is text as
    it stands, and nothing at all takes an optional value away.

    Raises
    ------
    SpecError
        A flag lacks ``=`` or its key a dot, or a key occurs twice.
    """
    values: dict[str, object] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise SpecError(f"--set {setting!r}: write key=value, such as neuron.refractory=5")
        if "." not in key:
            raise SpecError(f"--set {setting!r}: {key!r} has no section{_full_keys(key)}")
        if key in values:
            raise SpecError(f"--set {key}: given twice, as {values[key]!r} and as {text!r}; give it once")
        values[key] = parse_value(text)
    return values


def parse_value(text: str) -> object:
    """Return the TOML scalar that `text` is, else `text` itself; ``None`` if it is empty."""
    text = text.strip()
    if not text:
        return None
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = table["value"]
    return value if len(table) == 1 and isinstance(value, (bool, int, float, str)) else text


def _full_keys(leaf: str) -> str:
    from tinysnn_hw.spec import load_network
    from tinysnn_hw.spec.describe import describe_spec

    keys = [row.key for row in describe_spec(load_network()) if row.key.split(".")[-1] == leaf]
    return f"; did you mean {' or '.join(keys[:4])}?" if keys else "; 'tinysnn show NETWORK' lists the keys"


def load_data(
    name: str, folder: Path | None, limit_train: int | None = None, limit_test: int | None = None
) -> Dataset | SpikeDataset:
    """Return the data set a ``--data`` flag names, or the first images of it.

    Raises
    ------
    DataError, DataNotFoundError
        See `tinysnn_hw.data.load_dataset` and `tinysnn_hw.data.load_spikes`.
    """
    from tinysnn_hw.data import load_dataset, load_spikes

    data: Dataset | SpikeDataset
    train, comma, test = name.partition(",")
    data = load_spikes(train, test) if comma and not Path(name).exists() else load_dataset(name, folder)
    if limit_train is None and limit_test is None:
        return data
    return data.limit(limit_train, limit_test)


def subset_note(limit_train: int | None, limit_test: int | None) -> str:
    """Return the sentence that a result on part of a data set must carry; empty for the whole set."""
    parts = [
        f"{n:,} {part}" for n, part in ((limit_train, "training"), (limit_test, "test")) if n is not None
    ]
    if not parts:
        return ""
    return (
        f"A subset: only the first {' and '.join(parts)} images were used; do not compare with results on "
        "the whole set."
    )


__all__ = ["NetworkFlags", "load_data", "parse_settings", "parse_value", "subset_note"]
