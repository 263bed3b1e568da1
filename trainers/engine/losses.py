"""What a loss is made of: values per example, and the check that they and the weights stay finite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

# The column of the random numbers that a row of a training batch is changed by.
RANDOM_NUMBERS = "drawn"
EXTRAS = ("index", "forget", "print", RANDOM_NUMBERS)
# What `transformers` writes where a position has no label.
IGNORED = -100


class NonFiniteError(FloatingPointError):
    """A loss or a weight became NaN or infinite; the run stopped before anything was saved."""


@dataclass(frozen=True)
class Term:
    """One summand of a loss.

    Attributes:
        split: Rows it runs over: ``"forget"``, ``"retain"`` or ``"all"``; the sum of ``values`` is divided by the
            number of such rows in the whole optimizer step, over micro-batches and processes.
        values: Loss per example, before sign and coefficient, shape ``(b,)`` with ``b <= B``; may be empty.
        weight: Sign and coefficient.
    """

    split: str
    values: torch.Tensor
    weight: float = 1.0


def per_example_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of every example; of several tokens their mean, of noise the mean squared error.

    Args:
        logits: Class scores, shape ``(B, K)``, token scores, ``(B, T, V)``, or predicted noise, ``(B, C, H, W)``.
        labels: Class indices, shape ``(B,)``, or the token that every position should predict, ``(B, T)``, with
            `IGNORED` where there is none: see `shift_labels`; or the noise that is to be predicted, ``(B, C, H, W)``.

    Returns:
        Losses in nats (of noise, squared deviations), fp32, shape ``(B,)``.

    Raises:
        ValueError: If the shapes are none of these.
    """
    if labels.is_floating_point():
        return squared_error(logits, labels)
    losses = unreduced_loss(logits, labels)
    return losses if losses.ndim == 1 else over_tokens(losses, labels)


def unreduced_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of every example, ``(B,)``, or of every token, ``(B, T)``; 0 where there is no label.

    Arguments and errors are those of `per_example_loss`.
    """
    if logits.ndim not in (2, 3) or labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"expected logits (B, K) and labels (B,), or (B, T, V) and (B, T), got {tuple(logits.shape)}, "
            f"{tuple(labels.shape)}"
        )
    losses = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), reduction="none", ignore_index=IGNORED)
    return losses.view(labels.shape)


def squared_error(values: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the mean squared deviation of every example, ``(B,)`` fp32, from two tensors ``(B, ...)`` of one shape.

    Raises:
        ValueError: If their shapes differ.
    """
    if values.shape != wanted.shape:
        raise ValueError(f"expected predictions of shape {tuple(wanted.shape)}, got {tuple(values.shape)}")
    return (values.float() - wanted.float()).pow(2).flatten(1).mean(dim=1)


def over_tokens(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean of a value per token, ``(B, T)``, over the answer tokens of every example, ``(B,)``."""
    answer = labels != IGNORED
    return torch.where(answer, values, 0).sum(dim=1) / answer.sum(dim=1).clamp(min=1)


def shift_labels(model: torch.nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch in which the label at a position is what the model's logits there predict.

    Rows of causal language models come with the labels of `transformers`, which stand at their own tokens; those move
    one position to the left. Classes, the targets of a decoder and noise stay as they are.
    """
    labels = batch["labels"]
    decoder = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    if labels.ndim < 2 or decoder or labels.is_floating_point():
        return dict(batch)
    return {**batch, "labels": F.pad(labels[:, 1:], (0, 1), value=IGNORED)}


def model_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what a forward pass does not take: the labels (losses are ours) and the extra columns."""
    return {key: value for key, value in batch.items() if key != "labels" and key not in EXTRAS}


def trainable(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the weights that training would move; tied ones come once."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def check_finite(model: torch.nn.Module) -> None:
    """Raise `NonFiniteError` if a weight of the model is NaN or infinite."""
    bad = [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]
    if bad:
        raise NonFiniteError(f"expected finite weights, got NaN or infinity in {len(bad)} tensors, first {bad[0]}")
