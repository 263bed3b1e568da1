"""Teachers are frozen, apart from the student, and made without touching the global random state."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch

from mubench.trainers.methods import METHODS
from mubench.trainers.unlearning.teachers import frozen_copy, frozen_logits
from tests.fixtures import toy
from tests.fixtures.toy import build, collator, rows, same, snapshot

# BatchNorm, tied weights, and a model with a method ``fresh`` in place of a config.
NAMES = ("resnet", "t5", "diffusion")
TEACHING = [key for key, trainer in METHODS.items() if trainer.uses_teacher or key == "undo"]


def is_frozen(model: torch.nn.Module) -> bool:
    modes = {module.training for module in model.modules()}
    return modes == {False} and not any(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_copy_shares_nothing_with_the_model(name: str) -> None:
    model = build(name).train()
    before = snapshot(model)
    teacher = frozen_copy(model)
    assert is_frozen(teacher)
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    assert same(teacher, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_teacher_runs_on_the_selected_rows_and_gets_no_labels(name: str) -> None:
    batch = {**collator(name)(rows(name, 6)), "index": torch.arange(6), "forget": torch.arange(6) < 2}
    teacher = frozen_copy(build(name))
    inputs = []
    teacher.register_forward_pre_hook(lambda _, args, kwargs: inputs.append(kwargs), with_kwargs=True)
    everything = frozen_logits(teacher, batch)
    part = frozen_logits(teacher, batch, ~batch["forget"])
    torch.testing.assert_close(part, everything[2:])
    assert not part.requires_grad
    assert all(not {"labels", "index", "forget"} & set(each) for each in inputs)
    assert [len(next(iter(each.values()))) for each in inputs] == [6, 4]


@functools.cache
def start(name: str) -> dict[str, torch.Tensor]:
    return snapshot(build(name, coupled=True))


@pytest.mark.parametrize(("method", "name"), [*((key, toy.name_for(key)) for key in TEACHING), ("scrub", "gpt2")])
def test_a_run_leaves_its_teachers_alone(method: str, name: str, tmp_path: Path) -> None:
    model = build(name, coupled=True)
    trainer = toy.trainer(method, model, toy.split_rows_for(method, rows(name)), tmp_path, max_steps=2)
    trainer.prepare()
    before = {key: snapshot(teacher) for key, teacher in trainer.teachers.items()}
    trainer.prepare = lambda: None
    trainer.train()
    assert before and not same(model, start(name))
    own = {value.data_ptr() for value in (*model.parameters(), *model.buffers())}
    for key, teacher in trainer.teachers.items():
        assert is_frozen(teacher) and same(teacher, start(name) if key in ("original", "good") else before[key])
        assert not own & {value.data_ptr() for value in (*teacher.parameters(), *teacher.buffers())}
        assert teacher not in list(model.modules())
    trained = [weight for group in trainer.optimizer.param_groups for weight in group["params"]]
    assert trained and {weight.data_ptr() for weight in trained} <= own


# UNDO trains while it prepares, and ViLT, the one model of MultiDelete, draws the order of its own patches.
@pytest.mark.parametrize("method", [key for key in TEACHING if key not in ("undo", "multi_delete")])
def test_teachers_leave_the_random_state(method: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    trainer = toy.trainer(method, build(name), toy.split_rows_for(method, rows(name)), tmp_path)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    trainer.prepare()
    drawn: list[torch.Tensor] = []
    for teacher in trainer.teachers.values():
        teacher.register_forward_pre_hook(lambda *_: drawn.append(torch.rand(1)))
    for split in (trainer.forget_rows, trainer.retain_rows):
        toy.step(trainer, split)
    assert drawn and torch.equal(torch.get_rng_state(), state)
