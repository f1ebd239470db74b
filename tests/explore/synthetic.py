"""A finished study of any size, made without a network: what reading, choosing and reporting have to cope with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import sqlite3
from datetime import datetime
from pathlib import Path

import optuna

from tinysnn_hw.explore.storage import Ledger, open_storage
from tinysnn_hw.explore.study import make_manifest, storage_url, write_manifest
from tinysnn_hw.explore.work import DataRef, objective_values
from tinysnn_hw.spec.space import SpaceSpec


def made_result(random_bits: random.Random, *, bits: int, scheme: str = "itq") -> dict[str, object]:
    accuracy = 95 - 40 / bits + random_bits.gauss(0, 0.4)
    return {
        "accuracy": min(accuracy, 99.0),
        "memory_bits": 784 * 400 * bits + 19_600 + random_bits.randrange(400),
        "memory_bits_training": 784 * 400 * bits + 60_000,
        "energy_j": 1e-7 * bits * random_bits.uniform(0.9, 1.1),
        "energy_j_training": 3e-7 * bits * random_bits.uniform(0.9, 1.1),
        "scheme": "float" if bits == 32 else scheme,
        "spikes_per_image": 14.0,
    }


def grow(folder: Path, times: int) -> None:
    """Repeat the trials of a study, each copy another configuration: Optuna itself writes a few hundred a second."""
    with contextlib.closing(sqlite3.connect(folder / "study.db")) as database, database:
        n = database.execute("SELECT MAX(number) + 1 FROM trials").fetchone()[0]
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            if "trial_id" not in columns:
                continue
            key = columns[0]
            rows = [
                dict(zip(columns, row, strict=True)) for row in database.execute(f"SELECT * FROM {table}")
            ]
            step = max((row[key] for row in rows), default=0)
            trials = max((row["trial_id"] for row in rows), default=0) if table == "trials" else n
            for copy in range(1, times):
                for row in rows:
                    new = {**row, key: row[key] + copy * step, "trial_id": row["trial_id"] + copy * trials}
                    if "number" in new:
                        new["number"] += copy * n
                    if new.get("key") == "outcome":
                        outcome = json.loads(row["value_json"])
                        outcome["digest"] = f"{copy} {outcome['digest']}"
                        new["value_json"] = json.dumps(outcome)
                    database.execute(
                        f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})",
                        [new[name] for name in columns],
                    )


def write_study(folder: Path, space: SpaceSpec, trials: list[dict[str, object]], data: str = "mnist") -> Path:
    """Write a study whose trials have these parameters; every 50th failed, every 7th repeats the one before."""
    folder.mkdir(parents=True)
    ref = DataRef(name=data, data_dir=None, limit_train=None, holdout=10_000, digests=("0" * 64,) * 4)
    manifest = make_manifest(space, ref, None, 10_000)
    write_manifest(folder, manifest)
    storage = open_storage(storage_url(folder, manifest))
    ledger = Ledger(storage, manifest["study"], space)
    source = random.Random(1)
    result: dict[str, object] = {}
    digest, first = "", 0
    made = []
    for number, parameters in enumerate(trials):
        distributions = {key: ledger._distributions[key] for key in parameters}
        failed, repeated = number % 50 == 49, number % 7 == 6 and number % 50 not in (0, 49)
        if not repeated:
            bits = parameters.get("bits", 8)
            result = made_result(source, bits=bits, scheme=str(parameters.get("scheme", "itq")))
            digest, first = hashlib.sha256(str(number).encode()).hexdigest(), number
        outcome = {
            "state": "failed" if failed else "complete", "result": {} if failed else result, "reason": "",
            "rounds": [], "images": 0 if repeated else 70_000, "kernel_s": 5.0, "digest": digest,
            "same_as": first if repeated else None,
        }  # fmt: skip
        attributes = {"outcome": outcome, **({"reason": "made to fail"} if failed else {})}
        made.append(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
                values=None if failed else objective_values(result, space.search.objectives),
                params=parameters,
                distributions=distributions,
                user_attrs=attributes,
            )
        )
        made[-1].datetime_start = made[-1].datetime_complete = datetime(2026, 1, 1)
    ledger.study.add_trials(made)
    storage.engine.dispose()
    return folder
