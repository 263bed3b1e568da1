"""The gradients of every method on every tiny model, against losses whose slopes are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import IGNORED, shift_labels
from tests.fixtures import toy
from tests.fixtures.method_steps import on_every_model

F = toy.FORGET
FORGET, RETAIN, ALL = range(F), range(F, toy.ROWS), range(toy.ROWS)


@dataclass
class Point:
    """The point at which a gradient is taken, with both sets as one batch of ``B`` rows.

    Attributes:
        now: Logits of the model.
        then: Logits of its teacher, or of the base model.
        labels: Labels, of tokens where they are predicted.
        trainer: The trainer, for its random numbers.
    """

    now: torch.Tensor
    then: torch.Tensor
    labels: torch.Tensor
    trainer: Any

    @property
    def is_noise(self) -> bool:
        """Whether noise is predicted."""
        return self.labels.is_floating_point()

    @property
    def truth(self) -> torch.Tensor:
        """The labels as probabilities, or the noise itself."""
        return self.labels if self.is_noise else torch.eye(self.now.shape[-1])[self.labels.clamp(min=0)]

    def probabilities(self, logits: torch.Tensor, temperature: float = 1.0, less: float = 0.0) -> torch.Tensor:
        """Return probabilities of logits with those of the labels lowered; noise as it is."""
        return logits if self.is_noise else ((logits - less * self.truth) / temperature).softmax(-1)

    def without_label(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of the other classes among each other."""
        rest = logits.softmax(-1) * (1 - self.truth)
        return rest / rest.sum(-1, keepdim=True)

    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the task's loss of every row, ``(B,)``; of every token, ``(B, T)``, where there are some."""
        if self.is_noise:
            return (logits - self.labels).square().flatten(1).mean(1)
        return -(logits.log_softmax(-1) * self.truth).sum(-1).masked_fill(self.labels == IGNORED, 0)

    def mean_losses(self) -> torch.Tensor:
        """Return the loss of every row, that of an answer averaged over its tokens."""
        losses = self.losses(self.now)
        return losses if losses.ndim == 1 else losses.sum(1) / self.sizes

    @property
    def sizes(self) -> torch.Tensor:
        """How many times its mean loss ``-log p`` of a whole row is, ``(B,)``."""
        if self.is_noise:
            return torch.full((len(self.now),), self.now[0].numel() / 2)
        return (self.labels != IGNORED).reshape(len(self.now), -1).sum(1)

    def toward(
        self, target: torch.Tensor, rows: range, temperature: float = 1.0, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the slopes of the mean distance of some rows from a target.

        Args:
            target: Probabilities, for the cross-entropy; noise, for the mean squared error.
            rows: The rows to average; the slopes of others are 0.
            temperature: Divisor of the logits.
            weights: Weight of every row, ``(B,)``, or token, ``(B, T)``.
        """
        if self.is_noise:
            slopes = 2 * (self.now - target) / self.now[0].numel()
        else:
            slopes = (self.probabilities(self.now, temperature) - target) / temperature
        if self.labels.ndim == 2:
            slopes = slopes * (self.labels != IGNORED)[..., None] / self.sizes[:, None, None]
        if weights is not None:
            slopes = slopes * weights.reshape(*weights.shape, *[1] * (slopes.ndim - weights.ndim))
        kept = torch.zeros_like(slopes)
        kept[rows] = slopes[rows] / len(rows)
        return kept

    def distilled(self, rows: range, temperature: float) -> torch.Tensor:
        """Return the slopes of ``T^2 KL_T`` from the teacher."""
        factor = 1.0 if self.is_noise else temperature**2
        return factor * self.toward(self.probabilities(self.then, temperature), rows, temperature)

    def learned(self, rows: range, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return the slopes of the task's mean loss."""
        return self.toward(self.truth, rows, weights=weights)


def bad_teaching(at: Point) -> torch.Tensor:
    """Bad teaching at a temperature of 2."""
    bad = at.trainer.teachers["bad"](**toy.inputs(rows_of(at.trainer))).logits
    return at.toward(at.probabilities(torch.cat([bad[:F], at.then[F:]]), 2.0), ALL, 2.0)


def npo(at: Point) -> torch.Tensor:
    """NPO's forget rows: ``beta = .5``."""
    margins = at.losses(at.now) - at.losses(at.then)
    margins = margins.sum(1) if margins.ndim == 2 else margins * (at.sizes if at.is_noise else 1)
    return -at.learned(FORGET, 2 * torch.sigmoid(-0.5 * margins) * at.sizes)


def sfron(at: Point) -> torch.Tensor:
    """SFRon's first step on forget rows: ``alpha = 3``, ``power = .5``."""
    weights = at.mean_losses() ** -0.5
    return -3.0 * at.learned(FORGET, weights / weights[:F].mean())


def lotus(at: Point) -> torch.Tensor:
    """LoTUS, with all retain rows."""
    noisy = at.then + at.trainer.noise(torch.arange(toy.ROWS), toy.CLASSES)
    sampled = torch.eye(toy.CLASSES)[noisy.argmax(-1)]
    soft = (noisy / math.exp(2.0 * at.trainer.gap())).softmax(-1)
    return at.toward(torch.cat([soft[:F], sampled[F:]]), ALL)


# A method, its settings, the rows of a step, and the slopes of its loss with respect to the logits of all rows.
FORMS: dict[str, tuple[str, dict[str, Any], range, Callable[[Point], torch.Tensor]]] = {
    "finetune": ("finetune", {}, RETAIN, lambda at: at.learned(RETAIN)),
    "retrain": ("retrain", {}, RETAIN, lambda at: at.learned(RETAIN)),
    "neg_grad": ("neg_grad", {}, FORGET, lambda at: -at.learned(FORGET)),
    "neg_grad_plus": (
        "neg_grad_plus", {"alpha": 0.7}, ALL, lambda at: 0.7 * at.learned(RETAIN) - 0.3 * at.learned(FORGET),
    ),
    "task_vector": ("task_vector", {}, FORGET, lambda at: at.learned(FORGET)),
    "sfron": ("sfron", {"alpha": 3.0, "power": 0.5}, FORGET, sfron),
    "scrub, max": ("scrub", {"temperature": 2.0}, FORGET, lambda at: -at.distilled(FORGET, 2.0)),
    "scrub, min": (
        "scrub", {"gamma": 0.7, "alpha": 0.2, "temperature": 2.0}, RETAIN,
        lambda at: 0.7 * at.learned(RETAIN) + 0.2 * at.distilled(RETAIN, 2.0),
    ),
    "bad_teaching": ("bad_teaching", {"temperature": 2.0}, ALL, bad_teaching),
    "lotus": ("lotus", {"alpha": 2.0}, ALL, lotus),
    "delete": ("delete", {}, FORGET, lambda at: at.toward(at.without_label(at.then), FORGET)),
    "undial": (
        "undial", {"beta": 3.0, "alpha": 0.5}, ALL,
        lambda at: at.toward(at.probabilities(at.then, less=3.0), FORGET) + 0.5 * at.learned(RETAIN),
    ),
    "ce_u": ("ce_u", {"ignore_first_n": 0}, FORGET, lambda at: at.toward(at.without_label(at.now), FORGET)),
    "kl_min": (
        "kl_min", {"alpha": 0.3}, ALL, lambda at: 0.3 * at.distilled(RETAIN, 1.0) - at.learned(FORGET),
    ),
    "npo, nll": (
        "npo", {"beta": 0.5, "alpha": 0.3}, ALL, lambda at: npo(at) + 0.3 * at.learned(RETAIN),
    ),
    "npo, kl": (
        "npo", {"beta": 0.5, "alpha": 0.3, "retain_loss": "kl"}, ALL,
        lambda at: npo(at) + 0.3 * at.distilled(RETAIN, 1.0),
    ),
    "simnpo": (
        "simnpo", {"beta": 2.0, "delta": 0.5}, ALL,
        lambda at: at.learned(RETAIN) - at.learned(FORGET, 0.25 * torch.sigmoid(-2.0 * (at.mean_losses() - 0.5))),
    ),
    "satimp": (
        "satimp", {"beta1": 1.5, "beta2": 0.5}, ALL,
        lambda at: at.learned(RETAIN) - 0.1 * at.learned(
            FORGET, torch.exp(-1.5 * at.losses(at.now)) * (1 - torch.exp(-at.losses(at.now))) ** 0.5
        ),
    ),
    "wga": (
        "wga", {"beta": 1.5, "gamma": 0.4}, ALL,
        lambda at: at.learned(RETAIN) - 0.4 * at.learned(FORGET, torch.exp(-1.5 * at.losses(at.now))),
    ),
}  # fmt: skip


def rows_of(trainer: Any) -> list[dict[str, Any]]:
    return [*trainer.train_dataset.forget, *trainer.train_dataset.retain]


@pytest.mark.parametrize(
    ("form", "name"), on_every_model(FORMS, lambda form: FORMS[form][0], also=[("wga", "gpt2"), ("npo, nll", "gpt2")])
)
def test_the_gradient_of_every_weight_is_that_of_the_closed_form(form: str, name: str, tmp_path: Path) -> None:
    method, options, rows, slopes = FORMS[form]
    data = toy.rows(name)
    trainer = toy.trainer(method, toy.build(name), toy.split_rows(data), tmp_path, **options)
    trainer.prepare()
    model, inputs = trainer.model, toy.inputs(data)
    with torch.no_grad():
        then = model(**inputs).logits
    model.load_state_dict(toy.elsewhere(name))
    logits = model(**inputs).logits
    with torch.no_grad():
        wanted = slopes(Point(logits.detach(), then, shift_labels(model, toy.collator(name)(data))["labels"], trainer))
    expected = toy.gradients(logits, model, wanted)
    toy.step(trainer, rows).backward()
    assert max(float(gradient.abs().max()) for gradient in expected) > 1e-4
    for weight, gradient in zip(model.parameters(), expected, strict=True):
        found = torch.zeros_like(weight) if weight.grad is None else weight.grad
        torch.testing.assert_close(found, gradient, atol=1e-6, rtol=1e-4)
