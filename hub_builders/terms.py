"""What a loss is made of: values per example, and the check that they and the weights stay finite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

EXTRAS = ("index", "forget")


class NonFiniteError(FloatingPointError):
    """A loss or a weight became NaN or infinite; the run stopped before anything was saved."""


@dataclass(frozen=True)
class Term:
    """One summand of a loss.

    Attributes:
        stream: Rows it runs over: ``"forget"``, ``"retain"`` or ``"all"``; the sum of ``values`` is divided by the
            number of such rows in the whole optimizer step, over micro-batches and processes.
        values: Loss per example, before sign and coefficient, shape ``(b,)`` with ``b <= B``; may be empty.
        weight: Sign and coefficient.
    """

    stream: str
    values: torch.Tensor
    weight: float = 1.0


def per_example_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of every example.

    Args:
        logits: Class scores, shape ``(B, K)``.
        labels: Class indices, shape ``(B,)``.

    Returns:
        Losses in nats, fp32, shape ``(B,)``.

    Raises:
        ValueError: If the shapes are not those of a classifier.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"expected logits (B, K) and labels (B,), got {tuple(logits.shape)}, {tuple(labels.shape)}")
    return F.cross_entropy(logits.float(), labels, reduction="none")


def model_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what a forward pass does not take: the labels (losses are ours) and the extra columns."""
    return {key: value for key, value in batch.items() if key != "labels" and key not in EXTRAS}


def check_finite(model: torch.nn.Module) -> None:
    """Raise `NonFiniteError` if a weight of the model is NaN or infinite."""
    bad = [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]
    if bad:
        raise NonFiniteError(f"expected finite weights, got NaN or infinity in {len(bad)} tensors, first {bad[0]}")
