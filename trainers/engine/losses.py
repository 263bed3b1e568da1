"""Terms of a loss, and the per-example losses that trainers share; all of them compute in fp32.

The loss of a sequence is the mean over its answer tokens, and that of a step the mean over its rows: a mean of row
means, in which every row counts the same. Suites that average over all answer tokens of a batch weigh long answers
more, and their settings do not carry over.

Letters: ``B`` rows of a batch, ``K`` classes, ``T`` tokens, ``V`` words of the vocabulary, ``C, H, W`` the shape of an
image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

# What `transformers` writes where a position has no label.
IGNORED = -100


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
    return losses if losses.ndim == 1 else mean_over_tokens(losses, labels)


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


def mean_over_tokens(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
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


def kl(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return ``KL(softmax(teacher / T) || softmax(student / T))`` of every example, averaged over its answer tokens.

    Of predicted noise it is the mean squared difference, to which the divergence of two denoising steps of one
    variance is proportional, whatever ``T``.

    Args:
        student: Logits that are trained, shape ``(B, K)`` or ``(B, T, V)``; or predicted noise, ``(B, C, H, W)``.
        teacher: Logits of the target, in the same shape.
        labels: Labels of the batch, shape ``(B,)`` or ``(B, T)``: those of `IGNORED` tokens are no answer; or noise,
            where noise is predicted. Nothing else of them is read.
        temperature: The ``T`` that both logits are divided by.

    Returns:
        Divergences in nats (of noise, squared deviations), fp32, shape ``(B,)``.
    """
    if labels.is_floating_point():
        return squared_error(student, teacher)
    log_q = F.log_softmax(student.float() / temperature, dim=-1)
    log_p = F.log_softmax(teacher.float() / temperature, dim=-1)
    values = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)
    return mean_over_tokens(values, labels) if values.ndim == 2 else values


def kd(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the distillation loss ``T^2 KL_T(teacher || student)`` of every example.

    Its gradient with respect to a row of ``student`` is ``T (p_student - p_teacher)``. Of predicted noise it is what
    `kl` is, whatever the temperature. Arguments, unit and shape are those of `kl`.
    """
    factor = 1.0 if labels.is_floating_point() else temperature**2
    return factor * kl(student, teacher, labels, temperature)


def soft_cross_entropy(
    target: torch.Tensor, student: torch.Tensor, labels: torch.Tensor, *, less_entropy: bool = False
) -> torch.Tensor:
    """Return ``-sum q log softmax(student)`` of every example, averaged over its answer tokens.

    Args:
        target: Probabilities ``q``, some of which may be 0, shape ``(B, K)`` or ``(B, T, V)``.
        student: Logits that are trained, in the same shape.
        labels: Labels of the batch, as in `kl`.
        less_entropy: Whether to subtract the entropy of ``q``, which makes it ``KL(q || softmax(student))``.

    Returns:
        Losses in nats, fp32, shape ``(B,)``.
    """
    values = -(target * F.log_softmax(student.float(), dim=-1)).sum(dim=-1)
    if less_entropy:
        values = values - torch.special.entr(target).sum(dim=-1)
    return mean_over_tokens(values, labels) if values.ndim == 2 else values


def lower_label_logit(logits: torch.Tensor, labels: torch.Tensor, amount: float) -> torch.Tensor:
    """Return logits, in fp32, with that of the label lowered; at positions without a label they are meaningless.

    Args:
        logits: Class scores, shape ``(B, K)``, or token scores, ``(B, T, V)``.
        labels: Labels, shape ``(B,)`` or ``(B, T)``.
        amount: By how much; infinity removes the label.
    """
    place = labels.clamp(min=0).unsqueeze(-1)  # a position without a label would index a class from behind
    change = torch.full(place.shape, -amount, dtype=torch.float32, device=logits.device)
    return logits.float().scatter_add(-1, place, change)


def answer_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return ``-log p(y)`` of every example's whole answer: the sum over its tokens, where it has several.

    Of noise it is that of a normal distribution around the prediction, up to a constant: half the sum of squared
    deviations. Arguments are those of `per_example_loss`; losses are in nats, fp32, shape ``(B,)``.
    """
    values = per_example_loss(logits, labels)
    if labels.is_floating_point():
        return values * labels[0].numel() / 2 if len(labels) else values
    return values if labels.ndim == 1 else values * (labels != IGNORED).sum(dim=1)


def preference(margin: torch.Tensor, beta: float) -> torch.Tensor:
    """Return ``-(2 / beta) log sigmoid(beta margin)``, which falls as the margin rises.

    Its slope is -1 at a margin of 0, lies between -2 and 0, and goes to 0 as the margin rises.

    Args:
        margin: Lead of the preferred outcome in nats, shape ``(B,)``.
        beta: Inverse temperature: the larger, the smaller a margin suffices.

    Returns:
        Losses, shape ``(B,)``.
    """
    return -2 / beta * F.logsigmoid(beta * margin)
