"""Per-example losses that two methods or more share; all of them compute in fp32."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mubench.hub_builders.terms import over_tokens


def kl(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return ``KL(softmax(teacher / T) || softmax(student / T))`` of every example, averaged over its answer tokens.

    Args:
        student: Logits that are trained, shape ``(B, K)`` or ``(B, T, V)``.
        teacher: Logits of the target, in the same shape.
        labels: Labels of the batch, shape ``(B,)`` or ``(B, T)``: which tokens are answers; nothing else of them is
            read.
        temperature: The ``T`` that both sides are divided by.

    Returns:
        Divergences in nats, fp32, shape ``(B,)``.
    """
    log_q = F.log_softmax(student.float() / temperature, dim=-1)
    log_p = F.log_softmax(teacher.float() / temperature, dim=-1)
    values = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)
    return over_tokens(values, labels) if values.ndim == 2 else values


def kd(student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the distillation loss ``T^2 KL_T(teacher || student)`` of every example.

    Its gradient with respect to a row of ``student`` is ``T (p_student - p_teacher)``.

    Args:
        student: Logits that are trained, shape ``(B, K)`` or ``(B, T, V)``.
        teacher: Logits of the target, in the same shape.
        labels: Labels of the batch, which say what tokens are answers.
        temperature: The ``T`` that softens both sides.

    Returns:
        Losses in nats, fp32, shape ``(B,)``.
    """
    return temperature**2 * kl(student, teacher, labels, temperature)
