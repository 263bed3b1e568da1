"""All result rows of a folder as one parquet file for `load_dataset`: one line per row, one column per metric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mubench.hub_builders.utils.atomic import atomic_file
from mubench.trainers.evaluation.result import Result

FILE = "rows.parquet"
_TEXT, _WHOLE, _FLAG, _NUMBER = pa.string(), pa.int64(), pa.bool_(), pa.float64()
FACTS = {
    "run_id": _TEXT, "tier": _TEXT, "task": _TEXT, "family": _TEXT, "deletion_seed": _WHOLE, "ratio": _WHOLE,
    "split": _TEXT, "backbone": _TEXT, "base_seed": _WHOLE, "method": _TEXT, "seed": _WHOLE, "control": _FLAG,
    "tuned": _TEXT, "device": _TEXT, "provisional": _FLAG, "no_signal": _TEXT, "score_version": _WHOLE,
}  # fmt: skip
_OTHERS = {"arguments": _TEXT, "flags": pa.list_(_TEXT), "retrained": _WHOLE, "bases": _WHOLE}
_COSTS = ("seconds", "passes_share", "seconds_share")


def write_rows(rows: Sequence[Result], folder: Path) -> Path:
    """Write the rows of a folder as a parquet file beside them, in one step, and return its path."""
    names = sorted({name for row in rows for name in row.metrics})
    numbers = dict.fromkeys(("low", "high", *_COSTS, *names), _NUMBER)
    schema = pa.schema({**FACTS, **_OTHERS, **numbers})  # a column without values has its type too
    path = folder / FILE
    with atomic_file(path) as fresh:
        pq.write_table(pa.Table.from_pylist([_line(row, names) for row in rows], schema), fresh, compression="zstd")
    return path


def _line(row: Result, names: Sequence[str]) -> dict[str, Any]:
    """Return a row's facts, then its interval and cost, then its metrics, ``None`` for those that it lacks."""
    interval = row.interval
    return {
        **{name: getattr(row, name) for name in FACTS},
        "arguments": json.dumps(row.arguments, sort_keys=True),
        "flags": list(row.flags),
        "retrained": len(row.references.retrained),
        "bases": len(row.references.bases),
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        **{name: row.cost.get(name) for name in _COSTS},
        **{name: row.metrics[name].value if name in row.metrics else None for name in names},
    }
