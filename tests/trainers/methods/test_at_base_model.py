"""What holds at the original weights, and no longer once they have changed, on every tiny model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import IGNORED, answer_nll, shift_labels
from tests.fixtures import toy
from tests.fixtures.method_steps import on_every_model

FORGET, RETAIN = range(toy.FORGET), range(toy.FORGET, toy.ROWS)
# Settings and rows of a step whose target is the output of the base model.
AT_TARGET: dict[str, tuple[str, dict[str, Any], range]] = {
    "scrub, max": ("scrub", {}, FORGET),
    "scrub, min": ("scrub", {"gamma": 0.0}, RETAIN),
    "bad_teaching": ("bad_teaching", {}, RETAIN),
    "kl_min": ("kl_min", {}, RETAIN),
    "npo": ("npo", {"retain_loss": "kl"}, RETAIN),
    "rmu": ("rmu", {"alpha": 1.0}, RETAIN),
    "jensun": ("jensun", {}, RETAIN),
    "multi_delete": ("multi_delete", {}, RETAIN),
}


def prepared(method: str, name: str, folder: Path, **options: Any) -> Any:
    trainer = toy.trainer(method, toy.build(name), toy.split_rows(toy.rows(name)), folder, **options)
    trainer.prepare()
    return trainer


def stepped(trainer: Any, rows: range) -> tuple[float, float]:
    """Return the loss of a step on some rows and the largest gradient of any weight."""
    trainer.model.zero_grad()
    loss = toy.step(trainer, rows)
    loss.backward()
    slopes = [weight.grad for weight in trainer.model.parameters() if weight.grad is not None]
    return abs(float(loss.detach())), max(float(slope.abs().max()) for slope in slopes)


@pytest.mark.parametrize(("case", "name"), on_every_model(AT_TARGET, lambda case: AT_TARGET[case][0]))
def test_loss_and_gradient_are_zero_at_the_base_model(case: str, name: str, tmp_path: Path) -> None:
    method, options, rows = AT_TARGET[case]
    trainer = prepared(method, name, tmp_path, **options)
    assert max(stepped(trainer, rows)) < 1e-6
    trainer.model.load_state_dict(toy.elsewhere(name))
    assert min(stepped(trainer, rows)) > 1e-5


def ascent(trainer: Any, name: str, *, whole: bool) -> list[torch.Tensor]:
    """Return the gradients of minus the mean loss of the forget rows: of whole answers, or averaged over tokens."""
    data = toy.rows(name)[: toy.FORGET]
    labels = shift_labels(trainer.model, toy.collator(name)(data))["labels"]
    losses = answer_nll(trainer.model(**toy.inputs(data)).logits, labels)
    if not whole and labels.ndim == 2:
        losses = losses / (labels != IGNORED).sum(1)
    return toy.gradients(-losses.mean(), trainer.model, torch.tensor(1.0))


@pytest.mark.parametrize(("method", "name"), on_every_model(["npo", "kl_min"]))
def test_the_first_step_is_ascent(method: str, name: str, tmp_path: Path) -> None:
    trainer = prepared(method, name, tmp_path)
    expected = ascent(trainer, name, whole=method == "npo")
    assert stepped(trainer, FORGET)[1] > 1e-3
    for weight, gradient in zip(trainer.model.parameters(), expected, strict=True):
        found = torch.zeros_like(weight) if weight.grad is None else weight.grad
        torch.testing.assert_close(found, gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("method", "name"), on_every_model(["npo", "dpo"]))
def test_a_preference_starts_at_two_over_beta_log_two(method: str, name: str, tmp_path: Path) -> None:
    trainer = prepared(method, name, tmp_path)
    assert stepped(trainer, FORGET)[0] == pytest.approx(20 * math.log(2), abs=1e-5)
    trainer.model.load_state_dict(toy.elsewhere(name))
    assert abs(stepped(trainer, FORGET)[0] - 20 * math.log(2)) > 1e-4
