"""Per-example losses that two methods or more share; all of them compute in fp32."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mubench.trainers.engine.losses import IGNORED, over_tokens, per_example_loss, squared_error


def kl(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return ``KL(softmax(teacher / T) || softmax(student / T))`` of every example, averaged over its answer tokens.

    Of predicted noise it is the mean squared difference, to which the divergence of two denoising steps of one
    variance is proportional; ``T`` has no place there.

    Args:
        student: Logits that are trained, shape ``(B, K)`` or ``(B, T, V)``; or predicted noise, ``(B, C, H, W)``.
        teacher: Logits of the target, in the same shape.
        labels: Labels of the batch, shape ``(B,)`` or ``(B, T)``: which tokens are answers; or noise, which says that
            this is what is predicted. Nothing else of them is read.
        temperature: The ``T`` that both sides are divided by.

    Returns:
        Divergences in nats (of noise, squared deviations), fp32, shape ``(B,)``.
    """
    if labels.is_floating_point():
        return squared_error(student, teacher)
    log_q = F.log_softmax(student.float() / temperature, dim=-1)
    log_p = F.log_softmax(teacher.float() / temperature, dim=-1)
    values = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)
    return over_tokens(values, labels) if values.ndim == 2 else values


def kd(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the distillation loss ``T^2 KL_T(teacher || student)`` of every example.

    Its gradient with respect to a row of ``student`` is ``T (p_student - p_teacher)``. Of predicted noise it is what
    `kl` is, whatever the temperature.

    Args:
        student: Logits that are trained, shape ``(B, K)`` or ``(B, T, V)``; or predicted noise, ``(B, C, H, W)``.
        teacher: Logits of the target, in the same shape.
        labels: Labels of the batch, which say what tokens are answers, or that noise is predicted.
        temperature: The ``T`` that softens both sides.

    Returns:
        Losses in nats (of noise, squared deviations), fp32, shape ``(B,)``.
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
        labels: Labels of the batch, which say what tokens are answers.
        less_entropy: Whether to take off the entropy of ``q``, which makes it ``KL(q || softmax(student))``.

    Returns:
        Losses in nats, fp32, shape ``(B,)``.
    """
    values = -(target * F.log_softmax(student.float(), dim=-1)).sum(dim=-1)
    if less_entropy:
        values = values - torch.special.entr(target).sum(dim=-1)
    return over_tokens(values, labels) if values.ndim == 2 else values


def lowered(logits: torch.Tensor, labels: torch.Tensor, amount: float) -> torch.Tensor:
    """Return logits, in fp32, of which that of the label is lowered; at positions without a label they mean nothing.

    Args:
        logits: Class scores, shape ``(B, K)``, or token scores, ``(B, T, V)``.
        labels: Labels, shape ``(B,)`` or ``(B, T)``.
        amount: How far; infinity takes the label out.
    """
    place = labels.clamp(min=0).unsqueeze(-1)  # a position without a label would name a class from behind
    change = torch.full(place.shape, -amount, dtype=torch.float32, device=logits.device)
    return logits.float().scatter_add(-1, place, change)


def answer_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return ``-log p(y)`` of every example's whole answer: the sum over its tokens, where it has several.

    Of noise it is that of a normal distribution around the prediction, up to a constant: half the sum of squared
    deviations.

    Args:
        logits: Class scores, shape ``(B, K)``, token scores, ``(B, T, V)``, or predicted noise, ``(B, C, H, W)``.
        labels: Labels of the batch, shape ``(B,)`` or ``(B, T)``, or noise.

    Returns:
        Losses in nats, fp32, shape ``(B,)``.
    """
    values = per_example_loss(logits, labels)
    if labels.is_floating_point():
        return values * labels[0].numel() / 2 if len(labels) else values
    return values if labels.ndim == 1 else values * (labels != IGNORED).sum(dim=1)


def preference(margin: torch.Tensor, beta: float) -> torch.Tensor:
    """Return ``-(2 / beta) log sigmoid(beta margin)``, which falls as the margin rises.

    Its slope is -1 at a margin of 0, lies between -2 and 0, and goes to 0 as the margin rises.

    Args:
        margin: By how much what is wanted leads, shape ``(B,)``.
        beta: How soon a lead is enough.

    Returns:
        Losses, shape ``(B,)``.
    """
    return -2 / beta * F.logsigmoid(beta * margin)
