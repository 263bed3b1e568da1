"""What a built dataset folder says: to `datasets`, which reads its README, and in its manifests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import datasets
import yaml

# What depends on how this machine's libraries pack bytes; the rest must be equal everywhere.
BYTES = ("files", "bytes")


def card(folder: Path) -> dict[str, Any]:
    """Return the front matter of a dataset's README."""
    _, front, _ = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front)


def without_prints(text: str) -> str:
    """Return a text without the hash of a build's bytes, which its folders are named after."""
    return re.sub(r"files=\w+", "files=*", re.sub(r"(data/\w+/)[^/ ]+/", r"\1*/", text))


def configs(folder: Path) -> dict[str, Any]:
    """Return every config of a folder by its name: its description, and its files by split; and the README's rest."""
    said = card(folder)
    found: dict[str, Any] = {}
    for one in said.pop("configs"):
        files = {part["split"]: without_prints(" ".join(part["path"])) for part in one.pop("data_files")}
        told = {key: without_prints(str(value)) for key, value in one.items() if key != "config_name"}
        found[one["config_name"]] = {**told, "data_files": files}
    return {"": said, **found}


def manifests(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest of every task of a folder."""
    found = {}
    for path in sorted(folder.glob("data/*/*/manifest.json")):
        one = json.loads(path.read_text())
        found[one["task"]] = one
    return found


def features(folder: Path, config: str, cache: Path) -> dict[str, Any]:
    """Return what `datasets` reads of a config: features, rows of each split, and some of the ids and ranks."""
    rows = datasets.load_dataset(str(folder), config, cache_dir=str(cache))
    found: dict[str, Any] = {}
    for split, part in rows.items():
        shown = {
            name: part.with_format(None)[name] for name in ("example_id", "deletion_rank") if name in part.features
        }
        ends = {name: [*values[:3], *values[-3:]] for name, values in shown.items()}
        found[split] = {"rows": len(part), "features": str(part.features), "ends": ends}
    return found
