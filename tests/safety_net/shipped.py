"""The rows that come with the suite, and model folders that say they are what the rows are about."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

FIELDS = (
    "task", "tier", "family", "deletion_seed", "ratio", "split", "backbone", "base_seed", "method", "seed", "recipe",
    "arguments", "parent",
)  # fmt: skip
BASE = {"ratio": None, "method": None, "seed": None, "arguments": {}, "parent": None}


@functools.cache
def rows(*, mini: bool = True) -> dict[str, dict[str, Any]]:
    """Return every shipped row of mini tasks, or every one of real data, by the name of its file."""
    import mubench.cards  # noqa: PLC0415

    root = Path(mubench.cards.__file__).parent
    found = {path.stem: json.loads(path.read_text()) for path in sorted((root / "results").glob("*.json"))}
    return {name: row for name, row in found.items() if (row["tier"] == "mini") == mini}


def path(name: str) -> Path:
    import mubench.cards  # noqa: PLC0415

    return Path(mubench.cards.__file__).parent / "results" / f"{name}.json"


def config(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return what a run's identity is taken of: the usual evaluation seed is left out."""
    found = {**{name: row[name] for name in FIELDS}, **changes}
    return {**found, "eval_seed": row["eval_seed"]} if row["eval_seed"] else found


def identity(config: dict[str, Any]) -> str:
    """Return the sha256 of canonical JSON."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def forge(folder: Path, config: dict[str, Any]) -> Path:
    """Write a model folder that says it is a finished run of a config, and holds no model."""
    folder.mkdir(parents=True, exist_ok=True)
    measured: dict[str, Any] = {"cost": {}, "history": [], "versions": {}, "device": "cpu", "tuned": "default"}
    record = {"schema": 1, "eval_seed": 0, **config, **measured, "identity": identity(config)}
    (folder / "run.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return folder


def names(row: dict[str, Any]) -> tuple[str, str]:
    """Return the folders of a row's base model and of its model, as their names are spelled by hand."""
    family = "" if row["family"] == "canonical" else f"-{row['family']}"
    scale = "" if row["tier"] == "full" else f"-{row['tier']}"
    head = f"{row['task']}{scale}{family}-{row['backbone']}"
    base = head + (f"-s{row['base_seed']}" if row["base_seed"] and row["parent"] else "")
    method = row["method"].replace("_", "-")
    if row["method"] == "retrain_at":  # whose folders name a hash of the percentage
        return base, row["run_id"][: -len("-01234567")]
    return base, f"{base}-del{row['ratio']}-{method}-s{row['seed']}"


def forge_for(row: dict[str, Any], models: Path) -> str:
    """Write the folders of a row's base model and of its model; return the latter's name."""
    base, model = names(row)
    if row["parent"]:
        forge(models / base, config(row, **BASE))
    forge(models / model, config(row))
    return model
