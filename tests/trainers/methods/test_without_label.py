"""DELETE, UNDIAL and CE-U: targets in which the true class counts less, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.methods.ce_u import without_first
from tests.fixtures import toy

FORGET = range(toy.FORGET)
LABELS = torch.arange(toy.ROWS) % toy.CLASSES
TRUE = torch.nn.functional.one_hot(LABELS, toy.CLASSES).bool()
NAMES = ("vit", "gpt2")


def moved(method: str, folder: Path, **changes: Any) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Return a prepared trainer whose student has left the teacher, and the probabilities of student and teacher."""
    trainer = toy.trainer(method, toy.Table(), toy.split_rows(toy.table_rows()), folder, **changes)
    trainer.prepare()
    teacher = trainer.model.table.detach().clone()
    with torch.no_grad():
        trainer.model.table.copy_(toy.Table(seed=1).table)
    return trainer, trainer.model.table.detach().softmax(-1), teacher.softmax(-1)


def others(p: torch.Tensor) -> torch.Tensor:
    """Return the probabilities of the classes that are not the true one, by hand."""
    rest = p.masked_fill(TRUE, 0)
    return rest / rest.sum(-1, keepdim=True)


def check_gradient(trainer: Any, expected: torch.Tensor) -> None:
    toy.step(trainer, FORGET).backward()
    gradient = trainer.model.table.grad
    torch.testing.assert_close(gradient[: toy.FORGET], (expected / toy.FORGET)[: toy.FORGET])
    assert not gradient[toy.FORGET :].any()


def test_the_gradient_of_delete_is_p_minus_q_with_the_odds_of_the_other_classes(tmp_path: Path) -> None:
    trainer, student, teacher = moved("delete", tmp_path)
    check_gradient(trainer, student - others(teacher))


@pytest.mark.parametrize("name", NAMES)
def test_delete_starts_at_minus_log_of_the_other_probability(name: str, tmp_path: Path) -> None:
    data = toy.rows(name)
    trainer = toy.trainer("delete", toy.build(name), toy.split_rows(data), tmp_path)
    trainer.prepare()
    expected = []
    for row in data[: toy.FORGET]:
        p = trainer.model(**toy.inputs([row])).logits[0].softmax(-1)
        labels = torch.as_tensor(row["labels"]).reshape(-1)
        if p.ndim == 1:
            p = p[None]
        elif name == "gpt2":
            p, labels = p[:-1], labels[1:]
        left = 1 - p[labels != IGNORED, labels[labels != IGNORED]]
        expected.append(-left.log().mean())
    torch.testing.assert_close(toy.step(trainer, FORGET), torch.stack(expected).mean(), atol=1e-5, rtol=1e-4)


def test_half_precision_does_not_overflow(tmp_path: Path) -> None:
    trainer, _, _ = moved("delete", tmp_path)
    trainer.model.half(), trainer.teachers["original"].half()
    assert torch.isfinite(toy.step(trainer, FORGET))


def test_the_gradient_of_undial(tmp_path: Path) -> None:
    trainer, student, _ = moved("undial", tmp_path, beta=3.0)
    teacher = trainer.teachers["original"].table
    check_gradient(trainer, student - (teacher - 3.0 * TRUE).softmax(-1))


@pytest.mark.parametrize("name", NAMES)
def test_undial_without_beta_has_no_gradient_at_the_base_model(name: str, tmp_path: Path) -> None:
    for beta, smallest, largest in ((0.0, 0.0, 1e-6), (10.0, 1e-3, 1e9)):
        trainer = toy.trainer("undial", toy.build(name), toy.split_rows(toy.rows(name)), tmp_path, beta=beta)
        trainer.prepare()
        toy.step(trainer, FORGET).backward()
        assert smallest <= max(float(weight.grad.abs().max()) for weight in trainer.model.parameters()) < largest


@pytest.mark.parametrize("name", NAMES)
def test_undial_with_a_large_beta_has_the_gradient_of_delete(name: str, tmp_path: Path) -> None:
    gradients = []
    for method, options in (("undial", {"beta": 1e4}), ("delete", {})):
        trainer = toy.trainer(method, toy.build(name), toy.split_rows(toy.rows(name)), tmp_path, **options)
        trainer.prepare()
        trainer.model.load_state_dict(toy.build(name, seed=1).state_dict())
        toy.step(trainer, FORGET).backward()
        gradients.append([weight.grad for weight in trainer.model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_undial_pairs_the_retain_set_if_it_has_a_weight(tmp_path: Path) -> None:
    trainer, student, _ = moved("undial", tmp_path, beta=3.0, alpha=0.5)
    assert trainer.phases(0)[0].shape == (toy.FORGET, 2)
    toy.step(trainer, range(toy.ROWS)).backward()
    expected = 0.5 * (student - TRUE.float()) / (toy.ROWS - toy.FORGET)
    torch.testing.assert_close(trainer.model.table.grad[toy.FORGET :], expected[toy.FORGET :])
    with pytest.raises(ValueError, match="expected rows to pair 6 others with, got none"):
        toy.trainer("undial", toy.Table(), {"forget": toy.table_rows(6)}, tmp_path, alpha=0.5).train()


def test_the_gradient_of_ce_u_flows_through_the_student_alone(tmp_path: Path) -> None:
    trainer, student, _ = moved("ce_u", tmp_path)
    q = others(student)
    value = toy.step(trainer, FORGET)
    left = 1 - student[TRUE]
    expected = -left.log() - torch.special.xlogy(q, q).sum(-1)
    torch.testing.assert_close(value, -expected[: toy.FORGET].mean() * -1)
    check_gradient(trainer, student - q)
    assert trainer.teachers == {}


def test_ce_u_skips_the_first_answer_tokens() -> None:
    labels = torch.tensor([[IGNORED, 5, 6, 7, IGNORED], [IGNORED, IGNORED, IGNORED, 8, IGNORED]])
    assert without_first(labels, 0).equal(labels)
    one, two = [IGNORED, IGNORED, 6, 7, IGNORED], [IGNORED] * 5
    assert without_first(labels, 1).tolist() == [one, two]
    assert without_first(LABELS, 1).equal(LABELS)


@pytest.mark.parametrize("name", toy.LANGUAGE_MODELS)
def test_ce_u_of_a_sequence_is_the_mean_over_the_tokens_that_are_left(name: str, tmp_path: Path) -> None:
    data = toy.rows(name)
    trainer = toy.trainer("ce_u", toy.build(name), toy.split_rows(data), tmp_path, ignore_first_n=1)
    expected = []
    for row in data[: toy.FORGET]:
        p = trainer.model(**toy.inputs([row])).logits[0].softmax(-1)
        labels = torch.as_tensor(row["labels"])
        p, labels = (p[:-1], labels[1:]) if name == "gpt2" else (p, labels)
        places = (labels != IGNORED).nonzero()[1:, 0].tolist()
        values = []
        for place in places:
            q = p[place].clone()
            q[labels[place]] = 0
            q /= q.sum()
            values.append(-(q * p[place].log()).sum())
        expected.append(torch.stack(values).mean())
    torch.testing.assert_close(toy.step(trainer, FORGET), torch.stack(expected).mean(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("method", "name"), [("delete", "vit"), ("undial", "gpt2"), ("ce_u", "vit")])
def test_the_true_class_becomes_less_likely(method: str, name: str, tmp_path: Path) -> None:
    data = toy.rows(name)[: toy.FORGET]
    model = toy.trained(method, name, tmp_path, optim="adamw_torch", learning_rate=0.01, num_train_epochs=4)
    losses = []
    for one in (toy.build(name), model):
        trainer = toy.trainer("neg_grad", one.eval(), toy.split_rows(toy.rows(name)), tmp_path)
        losses.append(-float(toy.step(trainer, range(len(data)))))
    assert losses[1] > losses[0] + 0.05


@pytest.mark.parametrize("method", ["delete", "undial"])
def test_the_teacher_stays_and_a_given_one_is_used(method: str, tmp_path: Path) -> None:
    given = toy.build("resnet", seed=5, coupled=True)
    options = {"teacher": given}
    trainer = toy.trainer(
        method, toy.build("resnet", coupled=True), toy.split_rows(toy.rows("resnet")), tmp_path, given=options
    )
    trainer.train()
    assert toy.same(trainer.teachers["original"], toy.snapshot(toy.build("resnet", seed=5, coupled=True)))
    own = {id(weight) for weight in trainer.model.parameters()}
    assert not any(id(weight) in own for weight in trainer.teachers["original"].parameters())
