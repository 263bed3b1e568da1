"""Texts that language models generate for the same forget rows, side by side, for the card of an unlearned one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from mubench.hub_builders.hub.model_folder import REFERENCE, Run
from mubench.hub_builders.tasks.definition import resolve_task
from mubench.trainers.inference.answers import SAMPLED
from mubench.trainers.inference.storage import read_or_explain

# Rows on a card.
ROWS = 3
# Rows with sampled texts are in the forget set of every ratio.
_COLUMNS = ("example_id", "reference", "generated", SAMPLED)
# What two runs share whose models are compared; a base model has no ratio.
_SETTING = ("task", "tier", "family", "deletion_seed", "backbone", "split", "eval_seed")


@dataclass(frozen=True)
class GeneratedTexts:
    """The true answer of a forget row, and the greedy texts of the models by name, in the order of the card."""

    example_id: str
    reference: str
    texts: Mapping[str, str]


def generated_texts(folder: Path, runs: Mapping[Path, Run]) -> list[GeneratedTexts]:
    """Return texts of the base, the unlearned and a retrained model for the first forget rows.

    There are none of a model that was not unlearned, generates no texts, or whose rows may not be published.

    Args:
        folder: The model's folder.
        runs: All runs beside it, by folder.

    Raises:
        ValueError: If outputs cannot be read; the message names the command that makes them anew.
    """
    run = runs[folder]
    may_show = run.tier == "mini" or resolve_task(run.task, run.definition).redistributable
    if run.method is None or run.parent is None or not may_show:
        return []
    folders = {"base": _first(runs, run, identity=run.parent), "unlearned": folder}
    folders["retrained"] = _first(runs, run, method="retrain", ratio=run.ratio)
    texts = {
        name: read_or_explain(partial(_read, path / REFERENCE / "train.parquet"), runs[path], path)
        for name, path in folders.items()
        if path is not None
    }
    shown = list(texts["unlearned"])[:ROWS]
    return [
        GeneratedTexts(
            example_id=key,
            reference=texts["unlearned"][key][0],
            texts={name: found.get(key, ("", ""))[1] for name, found in texts.items()},
        )
        for key in shown
    ]


def _first(runs: Mapping[Path, Run], like: Run, **wanted: object) -> Path | None:
    """Return the first folder whose run has the setting of another and these attributes; ``None`` without one."""
    wanted |= {name: getattr(like, name) for name in _SETTING}
    found = (path for path, run in sorted(runs.items()) if all(getattr(run, key) == wanted[key] for key in wanted))
    return next(found, None)


def _read(file: Path) -> dict[str, tuple[str, str]]:
    """Return the true answer and the greedy text by id, of rows with sampled texts; none if the file has no texts."""
    if not file.is_file() or not set(_COLUMNS) <= set(pq.read_schema(file).names):
        return {}
    rows = pq.read_table(file, columns=list(_COLUMNS)).to_pylist()
    return {row["example_id"]: (row["reference"], row["generated"]) for row in rows if row[SAMPLED]}
