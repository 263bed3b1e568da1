"""Teachers are frozen, apart from the student, and made without touching the global random state."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import pytest
import torch
from transformers import default_data_collator

from mubench.trainers.methods import METHODS
from mubench.trainers.unlearning.teachers import frozen_copy, frozen_logits, random_copy
from tests.fixtures import toy
from tests.fixtures.toy import BACKBONES, CLASSES, build, collator, rows, same, snapshot

NAMES = (*BACKBONES, *toy.WRITERS, *toy.PAINTERS)
TEACHING = [key for key, trainer in METHODS.items() if trainer.uses_teacher or key == "undo"]


def frozen(model: torch.nn.Module) -> bool:
    modes = {module.training for module in model.modules()}
    return modes == {False} and not any(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_t_teach_a_frozen_copy_shares_nothing_with_the_model(name: str) -> None:
    model = build(name).train()
    before = snapshot(model)
    teacher = frozen_copy(model)
    assert frozen(teacher)
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    assert same(teacher, before)


@pytest.mark.parametrize("name", NAMES)
def test_f13_a_random_copy_keeps_no_trained_tensor(name: str) -> None:
    model = build(name)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3)
    teacher = random_copy(model, seed=1)
    trained = dict(model.named_parameters())
    kept = [key for key, weight in teacher.named_parameters() if torch.equal(weight, trained[key])]
    assert frozen(teacher)
    assert kept == []
    assert [weight.shape for weight in teacher.parameters()] == [weight.shape for weight in model.parameters()]


@pytest.mark.parametrize("name", NAMES)
def test_t_teach_a_random_copy_is_seeded_and_leaves_the_random_state(name: str) -> None:
    model = build(name)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = snapshot(random_copy(model, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert same(random_copy(model, seed=1), first)
    assert not same(random_copy(model, seed=2), first)


def test_a_random_copy_takes_the_precision_of_the_model() -> None:
    assert next(random_copy(build("vit").bfloat16(), 0).parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("name", BACKBONES)
def test_t_init_a_random_copy_knows_nothing(name: str) -> None:
    p = frozen_logits(random_copy(build(name), 3), default_data_collator(rows(name))).softmax(-1)
    entropy = -(p * p.log()).sum(-1).mean()
    assert entropy > (0.8 if name == "resnet" else 0.99) * math.log(CLASSES)


@pytest.mark.parametrize("name", NAMES)
def test_a_teacher_sees_the_rows_it_is_shown_and_no_labels(name: str) -> None:
    batch = {**collator(name)(rows(name, 6)), "index": torch.arange(6), "forget": torch.arange(6) < 2}
    teacher = frozen_copy(build(name))
    seen = []
    teacher.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True)
    everything = frozen_logits(teacher, batch)
    some = frozen_logits(teacher, batch, ~batch["forget"])
    torch.testing.assert_close(some, everything[2:])
    assert not some.requires_grad
    assert all(not {"labels", "index", "forget"} & set(inputs) for inputs in seen)
    assert [len(next(iter(inputs.values()))) for inputs in seen] == [6, 4]


@functools.cache
def start(name: str) -> dict[str, torch.Tensor]:
    return snapshot(build(name, coupled=True))


@pytest.mark.parametrize(("method", "name"), toy.everywhere(TEACHING))
def test_t_teach_a_run_leaves_its_teachers_alone(method: str, name: str, tmp_path: Path) -> None:
    model = build(name, coupled=True)
    trainer = toy.trainer(method, model, toy.sides_for(method, rows(name)), tmp_path, max_steps=2)
    trainer.prepare()
    before = {key: snapshot(teacher) for key, teacher in trainer.teachers.items()}
    trainer.prepare = lambda: None
    trainer.train()
    assert before and not same(model, start(name))
    own = {value.data_ptr() for value in (*model.parameters(), *model.buffers())}
    for key, teacher in trainer.teachers.items():
        assert frozen(teacher) and same(teacher, start(name) if key in ("original", "good") else before[key])
        assert not own & {value.data_ptr() for value in (*teacher.parameters(), *teacher.buffers())}
        assert teacher not in list(model.modules())
    trained = [weight for group in trainer.optimizer.param_groups for weight in group["params"]]
    assert trained and {weight.data_ptr() for weight in trained} <= own


# UNDO trains while it prepares, and ViLT, which MultiDelete takes alone, draws the order of its own patches.
@pytest.mark.parametrize(("method", "name"), [
    case for case in toy.spread(TEACHING) if case[0] not in ("undo", "multi_delete")
])  # fmt: skip
def test_t_teach_making_and_asking_teachers_leaves_the_random_state(method: str, name: str, tmp_path: Path) -> None:
    trainer = toy.trainer(method, build(name), toy.sides_for(method, rows(name)), tmp_path)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    trainer.prepare()
    drawn: list[torch.Tensor] = []
    for teacher in trainer.teachers.values():
        teacher.register_forward_pre_hook(lambda *_: drawn.append(torch.rand(1)))
    for side in (trainer.forget_rows, trainer.retain_rows):
        toy.step(trainer, side)
    assert drawn and torch.equal(torch.get_rng_state(), state)
