"""What a model that is being trained says about its forget rows, some retain rows, and the validation rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Subset

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.predict import Collate, batches_of, predict, predict_tokens
from mubench.trainers.inference.storage import ClassOutputs
from mubench.trainers.metrics.case import SplitOutputs
from mubench.trainers.models.setting import Setting

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

OutputFunction = Callable[[torch.nn.Module], SplitOutputs]
# Retain rows that are looked at after every epoch.
SAMPLE = 500


def some_of(rows: np.ndarray) -> np.ndarray:
    """Return at most `SAMPLE` positions in ascending order, always the same ones."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:SAMPLE])


def trainer_output_function(trainer: UnlearningTrainer) -> OutputFunction:
    """Return what looks at a trainer's own rows, whose labels are classes or tokens.

    Raises:
        ValueError: If there are no forget, retain or validation rows.
    """
    data = trainer.train_dataset
    retain = Subset(data.retain, some_of(np.arange(len(data.retain))).tolist())
    rows = {"forget": data.forget, "retain": retain, "validation": trainer.validation}
    for name, found in rows.items():
        if found is None or not len(found):
            raise ValueError(f"evaluation after every epoch needs {name} rows, got none")
    return lambda model: {name: answers(model, found, trainer.data_collator) for name, found in rows.items()}


def answers(model: torch.nn.Module, rows: Any, collate: Collate) -> Outputs:
    """Return what a model says about model-ready rows; their places are their ids.

    Raises:
        ValueError: If labels are neither classes nor tokens.
    """
    ids = np.arange(len(rows)).astype(np.str_)
    shape = torch.as_tensor(rows[0]["labels"]).shape
    if len(shape) == 1:
        return predict_tokens(model, rows, collate, ids.tolist())
    if shape:
        raise ValueError(f"expected labels that are classes or tokens, got shape {tuple(shape)}")
    labels = np.array([int(rows[i]["labels"]) for i in range(len(rows))], dtype=np.int64)
    return ClassOutputs(ids, predict(model, rows, collate), labels)


def setting_output_function(
    setting: Setting, ratio: int, processor: Any, *, batch_size: int | None = None
) -> OutputFunction:
    """Return what looks at a task's rows as its outputs are made; no other split is read.

    Args:
        setting: Task and backbone.
        ratio: Percentage to delete.
        processor: The model's processor, with the classifier of drawings where the task has one.
        batch_size: Rows a forward pass; ``None`` leaves it to the modality.
    """
    ranks = setting.rows["train"].data.column("deletion_rank").to_numpy()
    forgotten = ranks < setting.info.forget_size(ratio)
    places = {
        "forget": ("train", np.flatnonzero(forgotten)),
        "retain": ("train", some_of(np.flatnonzero(~forgotten))),
        "validation": ("validation", np.arange(len(setting.rows["validation"]))),
    }

    def look(model: Any) -> SplitOutputs:
        views = {}
        for name, (split, which) in places.items():
            encoded: Any = Subset(setting.encode(split, processor), which.tolist())
            with batches_of(batch_size):
                views[name] = setting.modality.answers(model, processor, setting.rows[split].select(which), encoded)
        return views

    return look
