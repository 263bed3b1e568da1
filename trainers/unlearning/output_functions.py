"""Output functions: the outputs of a model in training on its forget rows, some retain rows and validation rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Subset

from mubench.trainers.inference.outputs import ClassOutputs, Outputs
from mubench.trainers.inference.predict import Collate, predict, predict_tokens
from mubench.trainers.metrics.case import SplitOutputs

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

OutputFunction = Callable[[torch.nn.Module], SplitOutputs]
# Retain rows that are evaluated after every epoch.
RETAIN_SAMPLE = 500


def sample_retain_rows(rows: np.ndarray) -> np.ndarray:
    """Return at most `RETAIN_SAMPLE` positions in ascending order, always the same ones."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:RETAIN_SAMPLE])


def trainer_output_function(trainer: UnlearningTrainer) -> OutputFunction:
    """Return the output function of a trainer's own rows, whose labels are classes or tokens.

    Raises:
        ValueError: If there are no forget, retain or validation rows.
    """
    data = trainer.train_dataset
    retain = Subset(data.retain, sample_retain_rows(np.arange(len(data.retain))).tolist())
    splits = {"forget": data.forget, "retain": retain, "validation": trainer.validation}
    for split, rows in splits.items():
        if rows is None or not len(rows):
            raise ValueError(f"evaluation after every epoch needs {split} rows, got none")
    return lambda model: {split: compute_outputs(model, rows, trainer.data_collator) for split, rows in splits.items()}


def compute_outputs(model: torch.nn.Module, rows: Any, collate: Collate) -> Outputs:
    """Return a model's outputs on model-ready rows; their positions are their ids.

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
