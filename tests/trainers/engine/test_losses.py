"""Losses against their closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from mubench.trainers.engine.losses import IGNORED, kd, kl, lower_label_logit, soft_cross_entropy

STUDENT = torch.tensor([[0.3, -1.2, 2.0], [-4.0, 0.1, 0.2]])
TEACHER = torch.tensor([[1.0, 0.5, -0.7], [-2.0, -3.0, -1.0]])
LABELS = torch.tensor([0, 2])


def test_kl_is_the_sum_over_classes_teacher_first() -> None:
    p, q = TEACHER.double().softmax(-1), STUDENT.double().softmax(-1)
    expected = [sum(a * math.log(a / b) for a, b in zip(*row, strict=True)) for row in zip(p, q, strict=True)]
    torch.testing.assert_close(kl(STUDENT, TEACHER, LABELS), torch.tensor([float(x) for x in expected]))
    assert not torch.allclose(kl(STUDENT, TEACHER, LABELS), kl(TEACHER, STUDENT, LABELS))


def test_kl_ignores_a_shift_of_the_logits() -> None:
    torch.testing.assert_close(kl(STUDENT + 3, TEACHER - 5, LABELS), kl(STUDENT, TEACHER, LABELS))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_the_gradient_of_kd_is_t_times_the_difference_of_probabilities(temperature: float) -> None:
    student = STUDENT.clone().requires_grad_()
    kd(student, TEACHER, LABELS, temperature).sum().backward()
    p = [(logits / temperature).softmax(-1) for logits in (STUDENT, TEACHER)]
    torch.testing.assert_close(student.grad, temperature * (p[0] - p[1]))


def test_distillation_is_finite_and_still_at_the_teacher() -> None:
    student = TEACHER.clone().requires_grad_()
    for loss in (kl(student, TEACHER, LABELS), kd(student, TEACHER, LABELS, 2.0)):
        assert torch.isfinite(loss).all()
        torch.testing.assert_close(loss, torch.zeros(2), atol=1e-6, rtol=0)
        (gradient,) = torch.autograd.grad(loss.sum(), student)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-6, rtol=0)


def test_half_precision_logits_are_compared_in_fp32() -> None:
    assert kl(STUDENT.half(), TEACHER.half(), LABELS).dtype == torch.float32
    extreme = torch.tensor([[60000.0, -60000.0]]).half()
    assert torch.isfinite(kl(extreme, -extreme, LABELS[:1])).all()


def test_no_rows_give_no_losses() -> None:
    assert kd(STUDENT[:0], TEACHER[:0], LABELS[:0], 2.0).shape == (0,)


def test_a_sequence_has_the_mean_over_its_answer_tokens() -> None:
    student, teacher = (torch.stack([part, part.flip(0)]) for part in (STUDENT, TEACHER))  # (B, T, V)
    labels = torch.tensor([[0, 1], [IGNORED, 2]])
    each = kl(STUDENT, TEACHER, LABELS)
    torch.testing.assert_close(kl(student, teacher, labels), torch.stack([each.mean(), each[0]]))
    torch.testing.assert_close(kd(student, teacher, labels, 1.0), kl(student, teacher, labels))


def test_soft_cross_entropy_takes_probabilities_that_may_be_zero() -> None:
    target = torch.tensor([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])
    log_p = STUDENT.double().log_softmax(-1)
    expected = [-float(log_p[0, 1]), -float((target[1] * log_p[1]).sum())]
    torch.testing.assert_close(soft_cross_entropy(target, STUDENT, LABELS), torch.tensor(expected))
    entropy = [0.0, -sum(q * math.log(q) for q in (0.2, 0.3, 0.5))]
    less = [value - own for value, own in zip(expected, entropy, strict=True)]
    torch.testing.assert_close(soft_cross_entropy(target, STUDENT, LABELS, less_entropy=True), torch.tensor(less))
    q = TEACHER.softmax(-1)
    torch.testing.assert_close(
        soft_cross_entropy(q, STUDENT, LABELS, less_entropy=True), kl(STUDENT, TEACHER, LABELS), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("amount", [0.0, 3, math.inf])
def test_the_logit_of_the_label_is_lowered_and_no_other(amount: float) -> None:
    labels = torch.tensor([[0, 2], [IGNORED, 1]])
    logits = torch.stack([STUDENT, TEACHER])
    found = lower_label_logit(logits.half(), labels, amount)
    expected = logits.half().float()
    for row, token, label in ((0, 0, 0), (0, 1, 2), (1, 1, 1)):
        expected[row, token, label] -= amount
    answers = labels != IGNORED
    assert found.dtype == torch.float32 and torch.equal(found[answers], expected[answers])
    torch.testing.assert_close(lower_label_logit(STUDENT, LABELS, amount).softmax(-1).sum(-1), torch.ones(2))


def test_of_noise_both_are_the_mean_squared_difference_whatever_the_temperature() -> None:
    student = torch.arange(24, dtype=torch.float32).view(2, 3, 2, 2).requires_grad_()
    teacher = torch.full((2, 3, 2, 2), 5.0)
    noise = torch.zeros(2, 3, 2, 2)
    by_hand = [sum((value - 5.0) ** 2 for value in range(start, start + 12)) / 12 for start in (0, 12)]
    for loss in (kl(student, teacher, noise, 3.0), kd(student, teacher, noise, 3.0)):
        assert loss.tolist() == pytest.approx(by_hand)
        (gradient,) = torch.autograd.grad(loss.sum(), student)
        torch.testing.assert_close(gradient, 2 * (student.detach() - teacher) / 12)
