"""What was written down before the restructuring: read by the tests, written by ``record.py`` alone."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden"


@functools.cache
def read(name: str) -> Any:
    """Return a golden file."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def write(name: str, content: dict[str, Any]) -> None:
    """Write a golden file, an entry a line."""
    FOLDER.mkdir(exist_ok=True)
    lines = [f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in content.items()]
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def as_json(value: Any) -> Any:
    """Return a value as it is read again."""
    return json.loads(json.dumps(value))


def shared(many: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what is equal in all, under ``""``, and what each has beside it."""
    first = next(iter(many.values()))
    common = {key: value for key, value in first.items() if all(one.get(key, ...) == value for one in many.values())}
    return {"": common, **{name: {k: v for k, v in one.items() if k not in common} for name, one in many.items()}}
