"""KL minimisation: the gradient and effect of its retain term, and its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.fixtures import toy


def prepared(method: str, name: str, folder: Path, **changes: Any) -> Any:
    trainer = toy.trainer(method, toy.build(name), toy.split_rows(toy.rows(name)), folder, **changes)
    trainer.prepare()
    return trainer


def test_the_gradient_of_the_retain_term_is_the_difference_of_probabilities(tmp_path: Path) -> None:
    trainer = toy.trainer("kl_min", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path, alpha=0.3)
    trainer.prepare()
    teacher = trainer.model.table.detach().softmax(-1)
    with torch.no_grad():
        trainer.model.table.copy_(toy.Table(seed=1).table)
    student = trainer.model.table.detach().softmax(-1)
    toy.step(trainer, range(toy.ROWS)).backward()
    expected = 0.3 * (student - teacher) / (toy.ROWS - toy.FORGET)
    torch.testing.assert_close(trainer.model.table.grad[toy.FORGET :], expected[toy.FORGET :])


def test_the_teacher_runs_on_the_retain_set_alone_and_stays(tmp_path: Path) -> None:
    model = toy.build("resnet", coupled=True)
    trainer = toy.trainer("kl_min", model, toy.split_rows(toy.rows("resnet")), tmp_path, num_train_epochs=2)
    batches: list[int] = []
    prepare = trainer.prepare

    def prepare_with_hook() -> None:
        prepare()
        trainer.teachers["original"].register_forward_hook(lambda *args: batches.append(len(args[2].logits)))

    trainer.prepare = prepare_with_hook
    trainer.train()
    assert sum(batches) == len({int(row) for epoch in range(2) for row in trainer.phases(epoch)[0][:, 1]})
    assert toy.same(trainer.teachers["original"], toy.snapshot(toy.build("resnet", coupled=True)))


def test_the_retain_term_keeps_the_outputs_closer(tmp_path: Path) -> None:
    name, apart = "vit", []
    for alpha in (0.0, 10.0):
        options = {"optim": "adamw_torch", "learning_rate": 0.01, "num_train_epochs": 2}
        model = toy.trained("kl_min", name, tmp_path, alpha=alpha, **options)
        trainer = prepared("kl_min", name, tmp_path, alpha=1.0)
        trainer.model.load_state_dict(model.state_dict())
        apart.append(float(toy.step(trainer, range(toy.FORGET, toy.ROWS))))
    assert 0 < apart[1] < apart[0]
