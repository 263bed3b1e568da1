"""What teachers said is remembered: the same weights as when asked live, fewer questions, and never a stale answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import shift_labels
from mubench.trainers.unlearning import teacher_cache as recall
from mubench.trainers.unlearning.cost_counter import CostCounter
from mubench.trainers.unlearning.pairing import ForgetRetain, collate_with_split
from mubench.trainers.unlearning.teacher_cache import TeacherCache
from mubench.trainers.unlearning.teachers import frozen_copy, frozen_logits
from tests.fixtures import toy

F, R, E = toy.FORGET, toy.ROWS - toy.FORGET, 2
S = round(0.3 * R)
# Settings; and forward passes of all teachers together, asked live, and remembered, where so many retain rows were
# drawn to be paired.
ASKED: dict[str, tuple[dict[str, Any], int, Callable[[int], int]]] = {
    "scrub": ({}, E * F + (E + 1) * R, lambda _: F + R),
    "bad_teaching": ({}, E * (F + S), lambda _: F + S),
    "lotus": ({}, 4 + E * (F + S), lambda _: 4 + F + S),
    "delete": ({}, E * F, lambda _: F),
    "undial": ({}, E * F, lambda _: F),
    "kl_min": ({"learning_rate": 0.1}, E * F, lambda drawn: drawn),
    "jensun": ({}, E * F, lambda drawn: drawn),
    "npo": ({"retain_loss": "kl"}, 2 * E * F, lambda drawn: F + drawn),
    "dpo": ({}, 2 * E * F, lambda _: 2 * F),
    "rmu": ({"alpha": 2.0, "learning_rate": 0.1}, E * F, lambda drawn: drawn),
    "multi_delete": ({}, 3 * E * F, lambda drawn: 2 * F + drawn),
    "undo": ({"first_epochs": 2, "first_rate": 0.1, "beta": 1.0}, 2 * F + E * R, lambda _: F + R),
}


def run(method: str, model: torch.nn.Module, data: Any, folder: Path, **changes: Any) -> tuple[Any, int]:
    """Return the trainer after training and how often its teachers were asked."""
    changes = {"num_train_epochs": E, "learning_rate": 0.3, **changes}
    trainer = toy.trainer(method, model, data, folder, **changes)
    with CostCounter(trainer) as cost:
        trainer.train()
    return trainer, sum(count for name, count in cost.forward.items() if name != "student")


@pytest.mark.parametrize(("method", "name"), toy.spread(ASKED))
def test_t_cache_the_weights_are_those_of_asking_live(method: str, name: str, tmp_path: Path) -> None:
    models = []
    options, live, once = ASKED[method]
    for remember in (False, True):
        model = toy.build(name, dropout=0.1)
        trainer, asked = run(method, model, toy.sides(toy.rows(name)), tmp_path, remember=remember, **options)
        drawn = len({int(row) for epoch in range(E) for row in trainer.phases(epoch)[0].reshape(-1) if row >= F})
        assert asked == (once(drawn) if remember and name not in toy.PAINTERS else live)
        models.append(model)
    assert once(drawn) < live
    assert toy.distance(models[0], toy.snapshot(toy.build(name))) > 1e-3
    assert toy.distance(models[0], toy.snapshot(models[1])) < 1e-5


@pytest.mark.parametrize(("method", "name"), [("scrub", "gpt2"), ("bad_teaching", "bert")])
def test_t_cache_in_double_precision_too(method: str, name: str, tmp_path: Path) -> None:
    models = [
        run(method, toy.build(name).double(), toy.sides(toy.rows(name)), tmp_path, remember=remember)[0].model
        for remember in (False, True)
    ]
    assert models[0].dtype == torch.float64
    assert toy.distance(models[0], toy.snapshot(models[1])) < 1e-12


class Noisy:
    """Pictures of which some are noised anew each time they are read."""

    def __init__(self, rows: list[dict[str, Any]], noised: int) -> None:
        self.rows, self.noised = rows, noised
        self.random = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = dict(self.rows[index])
        if index < self.noised:
            row["pixel_values"] = row["pixel_values"] + torch.randn(3, 8, 8, generator=self.random)
        return row


def test_t_cache_rows_that_change_are_asked_about_each_time(tmp_path: Path) -> None:
    models, noised = [], 3
    for remember in (False, True):
        sides = {side: Noisy(rows, noised) for side, rows in toy.sides(toy.rows("vit")).items()}
        trainer, asked = run("scrub", toy.build("vit"), sides, tmp_path, remember=remember)
        models.append(trainer.model)
    assert asked == E * noised + (E + 1) * noised + (F - noised) + (R - noised)
    assert toy.distance(models[0], toy.snapshot(models[1])) < 1e-5


def batch(name: str, rows: list[int]) -> dict[str, Any]:
    data = ForgetRetain(toy.sides(toy.rows(name)))
    made = collate_with_split([data[i] for i in rows], toy.collator(name), hashes=True)
    return shift_labels(toy.build(name), made)


def answers(name: str, logits: torch.Tensor, rows: dict[str, Any]) -> torch.Tensor:
    return logits[rows["labels"] != -100] if name in toy.WRITERS else logits


@pytest.mark.parametrize("name", ["vit", "gpt2", "t5"])
def test_only_new_rows_are_shown_and_in_the_order_of_the_batch(name: str) -> None:
    teacher, memory = frozen_copy(toy.build(name)), TeacherCache()
    seen: list[int] = []
    teacher.register_forward_hook(lambda *inputs: seen.append(len(inputs[2].logits)))
    for rows, new in (([0, 1, 2], 3), ([3, 1, 9], 2), ([9, 2, 0], 0)):
        seen.clear()
        shown = batch(name, rows)
        got = memory.logits(teacher, shown)
        assert sum(seen) == new
        expected = frozen_logits(teacher, shown)
        torch.testing.assert_close(answers(name, got, shown), answers(name, expected, shown))
    assert not got.requires_grad


def test_another_teacher_is_asked_itself(tmp_path: Path) -> None:
    memory, rows = TeacherCache(), batch("vit", [0, 1])
    first, second = (frozen_copy(toy.build("vit", seed=seed)) for seed in (0, 1))
    assert not torch.equal(memory.logits(first, rows), memory.logits(second, rows))
    memory.save(tmp_path)
    resumed = TeacherCache()
    resumed.load(tmp_path)
    torch.testing.assert_close(resumed.logits(second, rows), frozen_logits(second, rows))
    moved = frozen_copy(toy.build("vit", seed=2))
    torch.testing.assert_close(resumed.logits(moved, rows), frozen_logits(moved, rows))


@pytest.mark.parametrize("name", ["vit", "gpt2"])
def test_a_checkpoint_keeps_the_answers_to_the_bit(name: str, tmp_path: Path) -> None:
    teacher, rows = frozen_copy(toy.build(name)), batch(name, [4, 0, 7])
    memory, resumed = TeacherCache(), TeacherCache()
    said = memory.logits(teacher, rows)
    memory.save(tmp_path)
    resumed.load(tmp_path)
    teacher.register_forward_hook(lambda *_: pytest.fail("asked again"))
    assert torch.equal(resumed.logits(teacher, rows), said)


class Capped(torch.nn.Module):
    """A language model whose logits are more than a layer's of its hidden states."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.model.get_output_embeddings()

    def forward(self, **inputs: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=2.0 * torch.tanh(self.model(**inputs).logits / 2.0))


def test_logits_that_are_not_the_heads_are_never_remembered() -> None:
    teacher, memory, rows = frozen_copy(Capped(toy.build("gpt2"))), TeacherCache(), batch("gpt2", [0, 5])
    for _ in range(2):
        torch.testing.assert_close(memory.logits(teacher, rows), frozen_logits(teacher, rows))


def test_a_full_memory_goes_on_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "MAX_BYTES", 2 * toy.CLASSES * 4)
    teacher, memory, rows = frozen_copy(toy.build("vit")), TeacherCache(), batch("vit", [0, 1, 2, 3])
    for _ in range(2):
        torch.testing.assert_close(memory.logits(teacher, rows), frozen_logits(teacher, rows))
    assert len(memory.outputs) == 2


def test_without_prints_or_switched_off_nothing_is_remembered() -> None:
    teacher, rows = frozen_copy(toy.build("vit")), batch("vit", [0, 1])
    off, on = TeacherCache(on=False), TeacherCache()
    off.logits(teacher, rows)
    on.logits(teacher, {key: value for key, value in rows.items() if key != "content_hash"})
    assert not off.outputs and not on.outputs


class Random(torch.nn.Module):
    """Draws numbers while it answers, as ViLT does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=x * torch.rand(1))


def test_t_teach_a_teacher_leaves_the_random_state() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    frozen_logits(Random(), {"x": torch.ones(2, 2), "labels": torch.zeros(2)})
    assert torch.equal(torch.get_rng_state(), state)
