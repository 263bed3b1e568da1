"""Collated batches: the columns that no model sees, and the selection of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

Batch = Mapping[str, Any]
# The column of the random numbers by which augmentation changes a row.
RANDOM_NUMBERS = "random_numbers"
# The column by which a changed row is noticed, see `mubench.trainers.unlearning.pairing.content_hash`.
CONTENT_HASH = "content_hash"
EXTRAS = ("index", "forget", CONTENT_HASH, RANDOM_NUMBERS)


def model_inputs(batch: Batch) -> dict[str, Any]:
    """Drop what a forward pass does not take: the labels (losses are ours) and the extra columns."""
    return {key: value for key, value in batch.items() if key != "labels" and key not in EXTRAS}


def select_rows(batch: Batch, rows: torch.Tensor | None) -> dict[str, Any]:
    """Return some rows of a batch, by a bool mask of shape ``(B,)``; ``None`` selects all."""
    if rows is None or rows.all():
        return dict(batch)
    return {key: value[rows] if torch.is_tensor(value) else value for key, value in batch.items()}
