"""Evidence as files: one parquet file per table, one line per model, from which S is recomputed without any model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mubench.hub_builders.utils.atomic import atomic_file, owned
from mubench.trainers.metrics.evidence import (
    UTILITY_SPLITS,
    Evidence,
    EvidenceRows,
    ReferenceEvidence,
    RowEvidence,
)

# Evidence of the rows that come with the suite: the references where no models lie beside a run.
SHIPPED = Path(__file__).resolve().parents[2] / "cards" / "evidence"
SHIPPED_ROWS = SHIPPED.with_name("results")
KEY = b"mubench"
PARTS = ("forget", "test", "shifted")
VALUES = ("log_odds", "entropy", "correct")
SPLITS = ("forget", *UTILITY_SPLITS)
MAX_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class EvidenceTable:
    """Evidence of all models of one table.

    Attributes:
        setting: What the table is about: ``tier``, ``task``, ``family``, ``deletion_seed``, ``ratio``, ``split``,
            ``backbone``, ``recipe``, ``eval_seed``; ``score_version``; and ``retrain_passes``, the mean cost of a
            retrained model.
        rows: The forget and test rows.
        models: Evidence by model: ``base-s<seed>``, ``retrain-s<seed>``, or a run's id.
        outputs: SHA-256 of the outputs that evidence was taken from, by model; ``None`` for a control without a run.
    """

    setting: Mapping[str, Any]
    rows: EvidenceRows
    models: Mapping[str, Evidence] = field(default_factory=dict)
    outputs: Mapping[str, str | None] = field(default_factory=dict)

    def reference(self, retrained: list[int], bases: list[int]) -> ReferenceEvidence:
        """Return the evidence of reference models of these seeds.

        Raises:
            ValueError: If one of them is missing.
        """
        names = [[reference_name("retrain", s) for s in retrained], [reference_name("base", s) for s in bases]]
        if missing := sorted({*names[0], *names[1]} - {*self.models}):
            found = ", ".join(sorted(self.models))
            raise ValueError(f"expected evidence of {', '.join(missing)}, got that of {found}")
        return ReferenceEvidence(self.rows, *([self.models[name] for name in group] for group in names))


def reference_name(kind: str, seed: int) -> str:
    """Return the name of a reference model in an evidence table; the kind is "base" or "retrain"."""
    return f"{kind}-s{seed}"


def _lists(rows: RowEvidence | None) -> list[npt.NDArray[np.float16] | None]:
    return [None if rows is None else getattr(rows, name).astype(np.float16) for name in VALUES]


def _to_table(table: EvidenceTable) -> pa.Table:
    """Return the parquet table; the first line holds the ids."""
    names = sorted(table.models)
    empty = [None] * (len(names) - 1)
    columns: dict[str, pa.Array] = {
        "model": pa.array(names, pa.string()),
        "outputs": pa.array([table.outputs.get(name) for name in names], pa.string()),
        "forget_ids": pa.array([table.rows.forget.tolist(), *empty], pa.list_(pa.string())),
        "test_ids": pa.array([table.rows.test.tolist(), *empty], pa.list_(pa.string())),
    }
    for part in PARTS:
        lists = [_lists(getattr(table.models[name], part)) for name in names]
        for i, value in enumerate(VALUES):
            columns[f"{part}_{value}"] = pa.array([one[i] for one in lists], pa.list_(pa.float16()))
    for split in SPLITS:
        columns[f"score_{split}"] = pa.array([table.models[name].scores.get(split) for name in names], pa.float64())
    facts = {**table.setting, "chance": table.rows.chance, "is_probability": table.rows.is_probability}
    return pa.table(columns).replace_schema_metadata({KEY: json.dumps(facts, sort_keys=True)})


def _from_table(found: pa.Table) -> EvidenceTable:
    facts = json.loads(found.schema.metadata[KEY])
    forget, test = (np.asarray(found[name][0].as_py(), dtype=np.str_) for name in ("forget_ids", "test_ids"))
    rows = EvidenceRows(forget, test, chance=facts.pop("chance"), is_probability=facts.pop("is_probability"))
    names = found["model"].to_pylist()
    models = {name: _evidence(found, line, rows) for line, name in enumerate(names)}
    return EvidenceTable(facts, rows, models, dict(zip(names, found["outputs"].to_pylist(), strict=True)))


def _evidence(found: pa.Table, line: int, rows: EvidenceRows) -> Evidence:
    scores = {split: found[f"score_{split}"][line].as_py() for split in SPLITS}
    forget, test, shifted = (_row_evidence(found, line, part) for part in PARTS)
    if forget is None or test is None:
        raise ValueError(f"expected evidence on forget and test rows, got none of {found['model'][line]}")
    for part, size in ((forget, len(rows.forget)), (test, len(rows.test)), (shifted or forget, len(rows.forget))):
        if any(getattr(part, name).shape != (size,) or not np.isfinite(getattr(part, name)).all() for name in VALUES):
            raise ValueError(f"expected {size} finite numbers of {found['model'][line]}, got others")
    return Evidence(forget, test, {split: score for split, score in scores.items() if score is not None}, shifted)


def _row_evidence(found: pa.Table, line: int, part: str) -> RowEvidence | None:
    values = [found[f"{part}_{value}"][line].values for value in VALUES]
    if any(one is None for one in values):
        return None
    return RowEvidence(*(one.to_numpy(zero_copy_only=False).astype(np.float64) for one in values))


def read_evidence(path: Path) -> EvidenceTable:
    """Read the evidence of one table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or no evidence.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES >> 20} MiB of evidence in {path}, got more")
    try:
        return _from_table(pq.read_table(path, page_checksum_verification=True))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"expected {path} to be evidence of a table, got: {reason}") from error


def write_evidence(path: Path, table: EvidenceTable) -> None:
    """Write the evidence of one table in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as fresh:
        pq.write_table(_to_table(table), fresh, compression="zstd", compression_level=9, write_page_checksum=True)


def update_evidence(path: Path, table: EvidenceTable) -> None:
    """Add models to the evidence of a table, in place of older evidence of the same names.

    A file about another setting or other rows is replaced. Only one process writes at a time.
    """
    with owned(path.with_name(f".{path.name}.lock")):
        if path.is_file():
            old = read_evidence(path)
            if _without_cost(old.setting) == _without_cost(table.setting) and _same_rows(old.rows, table.rows):
                models, outputs = {**old.models, **table.models}, {**old.outputs, **table.outputs}
                table = EvidenceTable(table.setting, table.rows, models, outputs)
        write_evidence(path, table)


def _without_cost(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a table is about, without the mean cost of a retrained model, which grows with their number."""
    return {name: value for name, value in setting.items() if name != "retrain_passes"}


def _same_rows(one: EvidenceRows, other: EvidenceRows) -> bool:
    return np.array_equal(one.forget, other.forget) and np.array_equal(one.test, other.test)


def shipped_file(setting: Mapping[str, Any], folder: Path | None = None) -> Path | None:
    """Return the evidence file of a setting in a folder, by default the shipped one; ``None`` where it has none."""
    for path in sorted((folder or SHIPPED).glob(f"{setting['task']}-*.parquet")):
        facts = json.loads((pq.read_schema(path).metadata or {}).get(KEY, b"{}"))
        if all(facts.get(name) == value for name, value in setting.items()):
            return path
    return None


def shipped_evidence(setting: Mapping[str, Any], folder: Path | None = None) -> EvidenceTable | None:
    """Return the evidence of a setting in a folder, by default the shipped one; ``None`` where it has none."""
    path = shipped_file(setting, folder)
    return read_evidence(path) if path else None
