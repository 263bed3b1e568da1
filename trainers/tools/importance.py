"""Importance of every weight for a set of rows: sums of gradients, and means of the squares of single ones.

All are measured in eval mode at the current weights, for trainable weights only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.losses import IGNORED, per_example_loss
from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.tools.gradients import batch_gradients, eval_batches, example_gradients, gradients
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

# Up to this number of classes the expectation over labels is a sum over all of them.
EXACT_CLASSES = 20


def gradient_sum(trainer: UnlearningTrainer, rows: np.ndarray) -> list[torch.Tensor]:
    """Return the sum over rows of the gradient of their loss, one tensor per trainable weight.

    Raises:
        NonFiniteError: If it is NaN or infinite somewhere.
    """
    totals = _zeros(trainer.model)
    for found in batch_gradients(trainer, rows):
        for total, part in zip(totals, found, strict=True):
            total.add_(part)
    return _finite(totals)


def mean_squares(trainer: UnlearningTrainer, rows: np.ndarray) -> list[torch.Tensor]:
    """Return the mean over rows of the squared gradient of their loss: the diagonal of the empirical Fisher matrix.

    Gradients are squared before they are averaged; the square of a batch's mean gradient is about ``1 / B`` of this.

    Raises:
        NonFiniteError: If it is NaN or infinite somewhere.
    """
    totals = _zeros(trainer.model)
    for found in example_gradients(trainer, rows):
        _add_squares(totals, found)
        del found  # the next ones are computed before the name is bound again
    return _finite([total / len(rows) for total in totals])


def fisher_diagonal(trainer: UnlearningTrainer, rows: np.ndarray) -> tuple[list[torch.Tensor], int]:
    """Return the mean over rows of ``E_{y ~ p} (d log p_y / d theta)^2``, the Fisher matrix's diagonal, and ``K``.

    ``K`` is the number of classes. Labels are read only to find the answer tokens. With up to `EXACT_CLASSES` classes
    the expectation is the sum over all of them, one backward pass each; with more, and for tokens, one label per row
    is drawn from the model with the run's seed. Predicted noise is the mean of a normal distribution of variance 1;
    ``K`` is then the number of its channels.

    Raises:
        NonFiniteError: If it is NaN or infinite somewhere.
    """
    generator = torch.Generator().manual_seed(int(trainer.generator("fisher labels").integers(2**31)))
    widths: set[int] = set()

    def example(batch: dict[str, Any]) -> Iterator[tuple[float, list[torch.Tensor]]]:
        logits = trainer.logits(trainer.model, batch)
        widths.add(logits.shape[1 if batch["labels"].is_floating_point() else -1])
        return _label_gradients(trainer.model, logits, batch["labels"], generator)

    found = _mean_squares(trainer.model, map(example, eval_batches(trainer, rows, 1)), len(rows))
    return found, widths.pop()


def _label_gradients(
    model: torch.nn.Module, logits: torch.Tensor, true: torch.Tensor, generator: torch.Generator
) -> Iterator[tuple[float, list[torch.Tensor]]]:
    """Yield the probability of a label and the gradient of its log-probability, for one example."""
    for probability, labels in _likely_labels(logits.detach(), true, generator):
        # Losses are means over tokens, or over squared errors: this turns them into a negative log-probability.
        count = labels.numel() / 2 if labels.is_floating_point() else (labels != IGNORED).sum()
        yield probability, gradients(per_example_loss(logits, labels).sum() * count, model, keep=True)


def _likely_labels(
    logits: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
) -> list[tuple[float, torch.Tensor]]:
    """Return every label of one example with its probability, or one drawn label with weight 1."""
    if not torch.isfinite(logits).all():
        raise NonFiniteError("expected finite logits, got NaN or infinity")
    if labels.is_floating_point():
        return [(1.0, logits + torch.randn(logits.shape, generator=generator).to(logits))]
    p = logits.float().softmax(dim=-1).cpu()
    if logits.ndim == 2 and logits.shape[-1] <= EXACT_CLASSES:
        return [(float(p[0, label]), torch.full_like(labels, label)) for label in range(logits.shape[-1])]
    drawn = torch.multinomial(p.flatten(0, -2), 1, generator=generator).view(labels.shape).to(labels.device)
    return [(1.0, torch.where(labels == IGNORED, IGNORED, drawn))]


def _mean_squares(
    model: torch.nn.Module, examples: Iterable[Iterable[tuple[float, list[torch.Tensor]]]], count: int
) -> list[torch.Tensor]:
    """Return the weighted sum of the squares of every example's gradients, divided by the number of examples."""
    totals = _zeros(model)
    for example in examples:
        for weight, found in example:
            _add_squares(totals, [part[None] for part in found], weight)
    return _finite([total / count for total in totals])


def top_share(values: Sequence[torch.Tensor], share: float) -> list[torch.Tensor]:
    """Mark the largest ``floor(share * P)`` of ``P`` values over all tensors; of equal values the first ones.

    Args:
        values: Tensors of any shapes, ``P`` elements in all.
        share: Share to mark, in [0, 1].

    Returns:
        Bool tensors of the same shapes.

    Raises:
        NonFiniteError: If a value is NaN or infinite.
    """
    flat = torch.cat([value.flatten() for value in values])
    if not torch.isfinite(flat).all():
        raise NonFiniteError("expected finite saliency, got NaN or infinity")
    count = math.floor(Fraction(str(share)) * len(flat))  # .29 of 100 is 29, in floating point it is 28
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    if count:
        threshold = flat.kthvalue(len(flat) - count + 1).values
        chosen = flat > threshold
        chosen[(flat == threshold).nonzero()[: count - int(chosen.sum()), 0]] = True
    parts = chosen.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


def _zeros(model: torch.nn.Module) -> list[torch.Tensor]:
    """Return zeros in the shapes of the trainable weights, in fp32 at least: in bf16 a long sum stops growing."""
    types = torch.promote_types
    return [torch.zeros_like(one, dtype=types(one.dtype, torch.float32)) for one in trainable_weights(model)]


def _add_squares(totals: list[torch.Tensor], found: list[torch.Tensor], weight: float = 1.0) -> None:
    """Add the squared gradients of examples, ``(b, *shape)`` each, to sums of shape ``shape``."""
    for total, part in zip(totals, found, strict=True):
        total.add_(part.to(total.dtype).square().sum(dim=0), alpha=weight)


def _finite(values: list[torch.Tensor]) -> list[torch.Tensor]:
    if not all(torch.isfinite(value).all() for value in values):
        raise NonFiniteError("expected finite gradients, got NaN or infinity")
    return values
