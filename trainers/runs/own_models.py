"""`judge` for somebody's own models, data and references: no task of the suite, no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from transformers import default_data_collator

from mubench.hub_builders.tasks.names import fingerprint
from mubench.trainers.engine.rows import drop_unused_columns
from mubench.trainers.evaluation.judge import Judgement, measure_model
from mubench.trainers.evaluation.reference_models import ReferenceModels
from mubench.trainers.evaluation.row_limits import MAX_SEEDS
from mubench.trainers.inference.outputs import ClassOutputs, Outputs
from mubench.trainers.inference.predict import Collate, predict, predict_tokens
from mubench.trainers.inference.storage import SHIFTED
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.accuracy import majority_baseline

ID = "example_id"
REQUIRED = ("forget", "retain", "test")
SPLITS = (*REQUIRED, "validation", "ood", SHIFTED)
Models = torch.nn.Module | Sequence[torch.nn.Module]


def judge(
    *,
    model: torch.nn.Module,
    base: Models,
    retrained: Sequence[torch.nn.Module],
    data: Mapping[str, Any],
    collator: Collate | None = None,
    batch_size: int = 32,
) -> Judgement:
    """Judge an unlearned model against models retrained without the forget rows.

    The models are classifiers with one label per row, or language models whose labels are tokens, as transformers has
    them. Forward passes run in eval mode, each model on its own device.

    Args:
        model: The unlearned model; its output has ``logits``, like that of all others.
        base: The model before unlearning, trained on all rows; or several, of different seeds.
        retrained: Models trained in the same way on the retain rows alone, 2 at least, of different seeds.
        data: Model-ready rows (mappings with ``labels``) by split: ``forget``, ``retain``, ``test``; also
            ``validation``, ``ood``, and ``shifted``, the forget rows in their order with a slightly changed input.
            Where rows have an ``example_id``, attacks are cross-validated by it, otherwise by position. Other columns
            that the model does not take are dropped.
        collator: Turns a list of rows into a batch; by default tensors of equal shapes are stacked.
        batch_size: Rows per forward pass.

    Returns:
        S (``score``) and its ``interval``, the four ``parts`` and all ``metrics``.

    Raises:
        ValueError: If models or rows are missing or do not fit together, or outputs are not finite.
    """
    if isinstance(base, torch.nn.Module):
        base = [base]
    models = {"model": model, **_named("base", base, 1), **_named("retrained", retrained, 2)}
    data = _check_data(data)
    ids = _read_ids(data)
    data = {split: drop_unused_columns(found, model) for split, found in data.items()}
    rows = _Rows(data, ids, collator or default_data_collator, batch_size)
    outputs = {name: rows.outputs(name, one) for name, one in models.items()}
    _check_outputs(outputs)
    groups = [
        {seed: outputs[f"{kind} {seed}"] for seed in range(len(group))}
        for kind, group in (("retrained", retrained), ("base", base))
    ]
    references = ReferenceModels.from_outputs(groups[0], groups[1], majority_baseline(groups[0][0]["test"]))
    return measure_model(outputs["model"], references, fingerprint(ids))


def _named(kind: str, group: Sequence[torch.nn.Module], least: int) -> dict[str, torch.nn.Module]:
    """Return the models of a list by kind and position."""
    if not isinstance(group, Sequence):
        raise ValueError(f"expected a list of {kind} models, got {type(group).__name__}")  # noqa: TRY004
    if not least <= len(group) <= MAX_SEEDS:
        raise ValueError(f"expected {least} to {MAX_SEEDS} {kind} models, got {len(group)}")
    return {f"{kind} {seed}": one for seed, one in enumerate(group)}


def _check_data(data: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every split."""
    if missing := [split for split in REQUIRED if split not in data]:
        raise ValueError(f"expected rows of {', '.join(REQUIRED)}, got none of {', '.join(missing)}")
    if unknown := [str(split) for split in data if split not in SPLITS]:
        raise ValueError(f"expected rows of {', '.join(SPLITS)}, got some of {', '.join(unknown)}")
    rows = {split: [_check_row(split, data[split][i]) for i in range(len(data[split]))] for split in data}
    if empty := [split for split, found in rows.items() if not found]:
        raise ValueError(f"expected rows in every split, got none in {', '.join(empty)}")
    if SHIFTED in rows and len(rows[SHIFTED]) != len(rows["forget"]):
        raise ValueError(f"expected {len(rows['forget'])} rows of {SHIFTED}, got {len(rows[SHIFTED])}")
    return rows


def _check_row(split: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping) or row.get("labels") is None:
        found = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
        raise ValueError(f"expected rows with labels in {split}, got {found}")
    return dict(row)


def _read_ids(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """Return the ids of every split's rows and take them out of the rows; without ids, split and position."""
    ids = {
        split: [str(row.pop(ID, f"{split}-{position}")) for position, row in enumerate(found)]
        for split, found in rows.items()
    }
    if SHIFTED in ids:
        ids[SHIFTED] = ids["forget"]
    for one, other in combinations(REQUIRED, 2):
        if both := {*ids[one]} & {*ids[other]}:
            raise ValueError(f"expected {one} and {other} to share no row, got {len(both)} such as {min(both)!r}")
    return ids


@dataclass(frozen=True)
class _Rows:
    """The rows of all splits, their ids, and how batches are made of them."""

    data: Mapping[str, Any]
    ids: Mapping[str, list[str]]
    collate: Collate
    batch_size: int

    def outputs(self, name: str, model: torch.nn.Module) -> dict[str, Outputs]:
        """Return a model's outputs by split: over classes where a row has one label, over tokens where it has many."""
        if not isinstance(model, torch.nn.Module):
            raise ValueError(f"expected a torch module as {name}, got {type(model).__name__}")  # noqa: TRY004
        dimensions = {np.ndim(row["labels"]) for rows in self.data.values() for row in rows}
        if dimensions not in ({0}, {1}):
            found = " and ".join(map(str, sorted(dimensions)))
            raise ValueError(f"expected one label per row, or a list of tokens in every row, got {found} dimensions")
        read = self._tokens if dimensions == {1} else self._classes
        return {split: read(name, model, split) for split in self.data}

    def _tokens(self, name: str, model: torch.nn.Module, split: str) -> Outputs:
        with _explain(name):
            return predict_tokens(model, self.data[split], self.collate, self.ids[split], batch_size=self.batch_size)

    def _classes(self, name: str, model: torch.nn.Module, split: str) -> Outputs:
        rows = self.data[split]
        with _explain(name):
            logits = predict(model, rows, self.collate, batch_size=self.batch_size)
            labels = np.asarray([int(row["labels"]) for row in rows], dtype=np.int64)
        return ClassOutputs(np.asarray(self.ids[split], dtype=np.str_), logits, labels)


@contextmanager
def _explain(name: str) -> Iterator[None]:
    """Turn whatever a model or a collator raises into one line."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # models, rows and collator are the user's: what they raise is of any kind
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"expected {name} to give logits for batches of the rows, got: {reason}") from error


def _check_outputs(outputs: Mapping[str, Mapping[str, Outputs]]) -> None:
    """Check that all models' outputs are finite, and of one kind and width."""
    known = _shape(outputs["model"]["test"])
    for name, splits in outputs.items():
        for split, one in splits.items():
            if not one.is_finite():
                raise ValueError(f"expected finite outputs of all models, got NaN or infinity of {name} on {split}")
            if (found := _shape(one)) != known:
                raise ValueError(f"expected {known} of every model on every split, got {found} of {name} on {split}")


def _shape(outputs: Outputs) -> str:
    if isinstance(outputs, TokenOutputs):
        return "token outputs"
    return f"{outputs.logits.shape[1]} classes" if isinstance(outputs, ClassOutputs) else type(outputs).__name__
