"""JensUn: its two divergences, its refusals, and what it reads of the answers to forget."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.methods.jensun import js, js_to_labels
from tests.fixtures import toy

STUDENT = torch.tensor([[[0.3, -1.2, 2.0], [-4.0, 0.1, 0.2]], [[1.0, 1.0, 0.0], [9.0, 9.0, 9.0]]])
TEACHER = torch.tensor([[[1.0, 0.5, -0.7], [-2.0, -3.0, -1.0]], [[0.0, 2.0, 0.0], [0.0, 5.0, 0.0]]])
LABELS = torch.tensor([[0, 2], [1, IGNORED]])


def by_hand(p: list[float], q: list[float]) -> float:
    mean = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    halves = [sum(a * math.log(a / m) for a, m in zip(one, mean, strict=True) if a) for one in (p, q)]
    return sum(halves) / 2


def test_js_is_half_of_either_divergence_from_the_mean() -> None:
    p, q = STUDENT.double().softmax(-1).tolist(), TEACHER.double().softmax(-1).tolist()
    expected = [(by_hand(p[0][0], q[0][0]) + by_hand(p[0][1], q[0][1])) / 2, by_hand(p[1][0], q[1][0])]
    torch.testing.assert_close(js(STUDENT, TEACHER, LABELS), torch.tensor(expected))
    torch.testing.assert_close(js(TEACHER, STUDENT, LABELS), torch.tensor(expected))


def test_js_to_labels_is_that_from_a_distribution_on_one_token() -> None:
    p = STUDENT.double().softmax(-1).tolist()
    expected = [(by_hand(p[0][0], [1, 0, 0]) + by_hand(p[0][1], [0, 0, 1])) / 2, by_hand(p[1][0], [0, 1, 0])]
    torch.testing.assert_close(js_to_labels(STUDENT, LABELS), torch.tensor(expected))


def test_both_divergences_are_bounded_and_zero_for_equal_distributions() -> None:
    sure = torch.full((1, 1, 3), -200.0).index_fill(2, torch.tensor([1]), 200.0).requires_grad_()
    for label, expected in ((1, 0.0), (0, math.log(2))):
        value = js_to_labels(sure, torch.tensor([[label]]))
        assert float(value.detach()) == pytest.approx(expected, abs=1e-6)
        (gradient,) = torch.autograd.grad(value.sum(), sure)
        assert torch.isfinite(gradient).all()
    assert float(js(sure, -sure, torch.tensor([[0]])).detach()) == pytest.approx(math.log(2), abs=1e-5)
    assert float(js(sure, sure, torch.tensor([[0]])).detach()) == pytest.approx(0, abs=1e-6)


def prepared(name: str, folder: Path, data: Any = None, **changes: Any) -> Any:
    trainer = toy.trainer("jensun", toy.build(name), toy.split_rows(data or toy.rows(name)), folder, **changes)
    trainer.prepare()
    return trainer


@pytest.mark.parametrize("name", toy.LANGUAGE_MODELS)
def test_without_their_prefix_the_answers_to_forget_are_not_read(name: str, tmp_path: Path) -> None:
    data = toy.rows(name)
    other = [dict(row) for row in data]
    for row in other[: toy.FORGET]:
        answer = [token if token in (1, IGNORED) else 5 for token in row["labels"]]
        row["labels"] = answer
        if name == "gpt2":
            start = sum(token == IGNORED for token in answer)
            row["input_ids"] = [*row["input_ids"][:start], *answer[start:]]
    losses = [toy.step(prepared(name, tmp_path, rows, prefix="refusal"), range(toy.FORGET)) for rows in (data, other)]
    assert losses[0] > 0.1 and torch.equal(*losses)


@pytest.mark.parametrize("prefix", ["answer", "refusal"])
def test_training_makes_the_refusal_the_answer(prefix: str, tmp_path: Path) -> None:
    name = "gpt2"
    options = {"optim": "adamw_torch", "learning_rate": 0.03, "num_train_epochs": 3, "refusal": "no", "prefix": prefix}
    model = toy.trained("jensun", name, tmp_path, **options)
    trainer = prepared(name, tmp_path, refusal="no", prefix=prefix)
    before = float(toy.step(trainer, range(toy.FORGET)))
    trainer.model.load_state_dict(model.state_dict())
    assert float(toy.step(trainer, range(toy.FORGET))) < 0.8 * before


def test_a_tokenizer_is_required(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected processing_class= to encode the refusal, got none"):
        toy.trainer(
            "jensun", toy.build("gpt2"), toy.split_rows(toy.rows("gpt2")), tmp_path, given={"processing_class": None}
        ).train()
