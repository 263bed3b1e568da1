"""SCRUB: its passes, its two objectives, its teacher, and that it leaves the original weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import default_data_collator

from mubench.trainers.engine.losses import kd
from mubench.trainers.methods.scrub import ScrubTrainer
from tests.fixtures import toy
from tests.fixtures.method_steps import moved_table


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_the_gradient_of_the_max_pass(temperature: float, tmp_path: Path) -> None:
    trainer, student, teacher = moved_table("scrub", tmp_path, temperature=temperature)
    toy.step(trainer, trainer.forget_rows).backward()
    gradient = trainer.model.table.grad
    p = [(logits / temperature).softmax(-1) for logits in (student, teacher)]
    torch.testing.assert_close(gradient[: toy.FORGET], (-temperature * (p[0] - p[1]) / toy.FORGET)[: toy.FORGET])
    assert not gradient[toy.FORGET :].any()


def test_the_gradient_of_the_min_pass(tmp_path: Path) -> None:
    trainer, student, teacher = moved_table("scrub", tmp_path, gamma=0.7, alpha=0.2, temperature=2.0)
    toy.step(trainer, trainer.retain_rows).backward()
    gradient = trainer.model.table.grad
    one_hot = torch.nn.functional.one_hot(torch.arange(toy.ROWS) % toy.CLASSES, toy.CLASSES)
    distil = 2.0 * ((student / 2).softmax(-1) - (teacher / 2).softmax(-1))
    expected = (0.7 * (student.softmax(-1) - one_hot) + 0.2 * distil) / len(trainer.retain_rows)
    torch.testing.assert_close(gradient[toy.FORGET :], expected[toy.FORGET :])
    assert not gradient[: toy.FORGET].any()


@pytest.mark.parametrize(
    ("epochs", "msteps", "passes"), [(4, 2, "RFR FR R R"), (2, 3, "RFR FR"), (3, 0, "R R R"), (1, 1, "RFR")]
)
def test_passes_alternate_and_no_epoch_is_lost(epochs: int, msteps: int, passes: str, tmp_path: Path) -> None:
    options = {"num_train_epochs": epochs, "msteps": msteps, "per_device_train_batch_size": toy.ROWS}
    trainer = toy.trainer("scrub", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, **options)
    seen: list[list[int]] = []
    collate = trainer.train_collator

    def collator(items: Any) -> dict[str, Any]:
        batch = collate(items)
        seen.append(sorted(batch["index"].tolist()))
        return batch

    trainer.train_collator = collator
    trainer.train()
    rows = {"F": list(range(toy.FORGET)), "R": list(range(toy.FORGET, toy.ROWS))}
    assert seen == [rows[split] for split in passes.replace(" ", "")]


class MaxFirst(ScrubTrainer):
    """The published order, without the first min pass."""

    def phases(self, epoch: int) -> list[np.ndarray]:
        return [self.forget_rows, self.retain_rows]


def test_the_first_max_pass_follows_a_signal_and_not_rounding_noise(tmp_path: Path) -> None:
    name, norms = "vit", {}
    for kind in (ScrubTrainer, MaxFirst):
        trainer = toy.trainer(kind, toy.build(name), toy.split_rows(toy.rows(name)), tmp_path, num_train_epochs=1)
        sizes: list[float] = []
        trainer.after_backward = lambda trainer=trainer, sizes=sizes: sizes.append(
            float(torch.cat([weight.grad.flatten() for weight in trainer.model.parameters()]).norm())
        )
        trainer.train()
        norms[kind] = sizes[2 if kind is ScrubTrainer else 0]
    assert norms[MaxFirst] < 1e-6
    assert norms[ScrubTrainer] > 1e-4


def test_max_passes_move_the_forget_set_away(tmp_path: Path) -> None:
    name = "vit"
    batch = default_data_collator(toy.rows(name)[: toy.FORGET])
    batch.pop("labels")
    apart = {}
    for msteps in (0, 3):
        options = {
            "msteps": msteps,
            "num_train_epochs": 3,
            "learning_rate": 0.01,
            "optim": "adamw_torch",
            "alpha": 0.0,
        }
        model = toy.trained("scrub", name, tmp_path, **options)
        with torch.no_grad():
            now, before = model.eval()(**batch).logits, toy.build(name).eval()(**batch).logits
            apart[msteps] = float(kd(now, before, torch.zeros(len(now)), 2.0).mean())
    assert apart[3] > apart[0]


def test_a_given_teacher_is_copied_and_used(tmp_path: Path) -> None:
    given = toy.build("vit", seed=5).train()
    trainer = toy.trainer(
        "scrub", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, given={"teacher": given}
    )
    trainer.train()
    assert toy.same(trainer.teachers["original"], toy.snapshot(given))
    assert given.training and all(weight.requires_grad for weight in given.parameters())
    assert not toy.same(trainer.model, toy.snapshot(toy.trained("scrub", "vit", tmp_path)))


def test_a_fraction_of_epochs_is_refused_where_epochs_differ(tmp_path: Path) -> None:
    trainer = toy.trainer(
        "scrub", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path, num_train_epochs=2.5, msteps=1
    )
    with pytest.raises(ValueError, match=r"num_train_epochs must be whole .* got 2\.5"):
        trainer.train()
