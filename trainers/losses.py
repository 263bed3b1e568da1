"""Per-example losses that two methods or more share; all of them compute in fp32."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def kl(student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Return ``KL(softmax(teacher / T) || softmax(student / T))`` of every example.

    Args:
        student: Logits that are trained, shape ``(B, K)``.
        teacher: Logits of the target, shape ``(B, K)``.
        temperature: The ``T`` that both sides are divided by.

    Returns:
        Divergences in nats, fp32, shape ``(B,)``.
    """
    log_q = F.log_softmax(student.float() / temperature, dim=-1)
    log_p = F.log_softmax(teacher.float() / temperature, dim=-1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)


def kd(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the distillation loss ``T^2 KL_T(teacher || student)`` of every example.

    Its gradient with respect to a row of ``student`` is ``T (p_student - p_teacher)``.

    Args:
        student: Logits that are trained, shape ``(B, K)``.
        teacher: Logits of the target, shape ``(B, K)``.
        temperature: The ``T`` that softens both sides.

    Returns:
        Losses in nats, fp32, shape ``(B,)``.
    """
    return temperature**2 * kl(student, teacher, temperature)
