"""The teacher cache: the same weights as without it, fewer forward passes, and never a stale output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import shift_labels
from mubench.trainers.unlearning import forget_retain, teachers
from mubench.trainers.unlearning.cost_counter import CostCounter
from mubench.trainers.unlearning.forget_retain import ForgetRetain, collate_with_split
from mubench.trainers.unlearning.teachers import (
    DroppedTeacher,
    OutputTable,
    TeacherCache,
    frozen_copy,
    frozen_logits,
)
from tests.fixtures import toy

F, R, E = toy.FORGET, toy.ROWS - toy.FORGET, 2
S = round(0.3 * R)
# Arguments, and forward passes of all teachers together: without the cache, and with it, given the number of different
# retain rows in pairs.
PASSES: dict[str, tuple[dict[str, Any], int, Callable[[int], int]]] = {
    "scrub": ({}, E * F + (E + 1) * R, lambda _: F + R),
    "bad_teaching": ({}, E * (F + S), lambda _: F + S),
    "lotus": ({}, 4 + E * (F + S), lambda _: 4 + F + S),
    "delete": ({}, E * F, lambda _: F),
    "undial": ({}, E * F, lambda _: F),
    "kl_min": ({"learning_rate": 0.1}, E * F, lambda paired: paired),
    "jensun": ({}, E * F, lambda paired: paired),
    "npo": ({"retain_loss": "kl"}, 2 * E * F, lambda paired: F + paired),
    "dpo": ({}, 2 * E * F, lambda _: 2 * F),
    "altpo": ({}, 2 * E * F, lambda _: 2 * F),
    "rmu": ({"alpha": 2.0, "learning_rate": 0.1}, E * F, lambda paired: paired),
    "multi_delete": ({}, 3 * E * F, lambda paired: 2 * F + paired),
    "undo": ({"first_epochs": 2, "first_rate": 0.1, "beta": 1.0}, 2 * F + E * R, lambda _: F + R),
}


# One method for every way to have teachers: one or two, per word, of pairs, on changed rows, after an edit.
FAST = ("scrub", "bad_teaching", "lotus", "npo", "dpo", "multi_delete", "undo")
CASES = [pytest.param(key, toy.name_for(key), marks=() if key in FAST else pytest.mark.slow) for key in PASSES]


def run(method: str, model: torch.nn.Module, data: Any, folder: Path, **changes: Any) -> tuple[Any, int]:
    """Return the trainer after training and the forward passes of its teachers."""
    changes = {"num_train_epochs": E, "learning_rate": 0.3, **changes}
    trainer = toy.trainer(method, model, data, folder, **changes)
    with CostCounter(trainer) as cost:
        trainer.train()
    return trainer, sum(count for name, count in cost.forward.items() if name != "student")


@pytest.mark.parametrize(
    ("method", "name"),
    [*CASES, ("scrub", "gpt2"), ("npo", "gpt2"), ("scrub", "diffusion")],
)
def test_the_cache_saves_forward_passes_and_keeps_the_weights(method: str, name: str, tmp_path: Path) -> None:
    models = []
    options, live, once = PASSES[method]
    for remember in (False, True):
        model = toy.build(name, dropout=0.1)
        trainer, passes = run(method, model, toy.split_rows(toy.rows(name)), tmp_path, remember=remember, **options)
        paired = len({int(row) for epoch in range(E) for row in trainer.phases(epoch)[0].reshape(-1) if row >= F})
        assert passes == (once(paired) if remember and name not in toy.DIFFUSION_MODELS else live)
        models.append(model)
    assert once(paired) < live
    assert toy.distance(models[0], toy.snapshot(toy.build(name))) > 1e-3
    assert toy.distance(models[0], toy.snapshot(models[1])) < 1e-5


def test_the_cache_keeps_double_precision(tmp_path: Path) -> None:
    models = [
        run("scrub", toy.build("gpt2").double(), toy.split_rows(toy.rows("gpt2")), tmp_path, remember=remember)[
            0
        ].model
        for remember in (False, True)
    ]
    assert models[0].dtype == torch.float64
    assert toy.distance(models[0], toy.snapshot(models[1])) < 1e-12


class Noisy:
    """Images of which some get new noise each time they are read."""

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


def test_the_outputs_of_changed_rows_are_computed_anew(tmp_path: Path) -> None:
    models, noised = [], 3
    for remember in (False, True):
        data = {split: Noisy(rows, noised) for split, rows in toy.split_rows(toy.rows("vit")).items()}
        trainer, passes = run("scrub", toy.build("vit"), data, tmp_path, remember=remember)
        models.append(trainer.model)
    assert passes == E * noised + (E + 1) * noised + (F - noised) + (R - noised)
    assert toy.distance(models[0], toy.snapshot(models[1])) < 1e-5


def batch(name: str, rows: list[int]) -> dict[str, Any]:
    data = ForgetRetain(toy.split_rows(toy.rows(name)))
    made = collate_with_split([data[i] for i in rows], toy.collator(name), hashes=True)
    return shift_labels(toy.build(name), made)


def valid(name: str, logits: torch.Tensor, rows: dict[str, Any]) -> torch.Tensor:
    return logits[rows["labels"] != -100] if name in toy.LANGUAGE_MODELS else logits


@pytest.mark.parametrize("name", ["vit", "gpt2", "t5"])
def test_a_teacher_runs_on_new_rows_only_and_outputs_have_the_order_of_the_batch(name: str) -> None:
    teacher, cache = frozen_copy(toy.build(name)), TeacherCache()
    passes: list[int] = []
    teacher.register_forward_hook(lambda *inputs: passes.append(len(inputs[2].logits)))
    for rows, new in (([0, 1, 2], 3), ([3, 1, 9], 2), ([9, 2, 0], 0)):
        passes.clear()
        rows_batch = batch(name, rows)
        got = cache.logits(teacher, rows_batch)
        assert sum(passes) == new
        expected = frozen_logits(teacher, rows_batch)
        torch.testing.assert_close(valid(name, got, rows_batch), valid(name, expected, rows_batch))
    assert not got.requires_grad


def test_teachers_are_identified_by_their_weights(tmp_path: Path) -> None:
    cache, rows = TeacherCache(), batch("vit", [0, 1])
    first, second = (frozen_copy(toy.build("vit", seed=seed)) for seed in (0, 1))
    assert not torch.equal(cache.logits(first, rows), cache.logits(second, rows))
    cache.save(tmp_path)
    resumed = TeacherCache()
    resumed.load(tmp_path)
    torch.testing.assert_close(resumed.logits(second, rows), frozen_logits(second, rows))
    moved = frozen_copy(toy.build("vit", seed=2))
    torch.testing.assert_close(resumed.logits(moved, rows), frozen_logits(moved, rows))


@pytest.mark.parametrize("name", ["vit", "gpt2"])
def test_a_checkpoint_keeps_the_outputs_to_the_bit(name: str, tmp_path: Path) -> None:
    teacher, rows = frozen_copy(toy.build(name)), batch(name, [4, 0, 7])
    cache, resumed = TeacherCache(), TeacherCache()
    expected = cache.logits(teacher, rows)
    cache.save(tmp_path)
    resumed.load(tmp_path)
    teacher.register_forward_hook(lambda *_: pytest.fail("the teacher ran again"))
    assert torch.equal(resumed.logits(teacher, rows), expected)


class Capped(torch.nn.Module):
    """A language model whose logits are not linear in its hidden states."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.model.get_output_embeddings()

    def forward(self, **inputs: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=2.0 * torch.tanh(self.model(**inputs).logits / 2.0))


def test_logits_that_are_not_the_output_of_the_head_are_never_cached() -> None:
    teacher, cache, rows = frozen_copy(Capped(toy.build("gpt2"))), TeacherCache(), batch("gpt2", [0, 5])
    for _ in range(2):
        torch.testing.assert_close(cache.logits(teacher, rows), frozen_logits(teacher, rows))


@pytest.mark.parametrize("kept", [2, 0])
def test_a_full_cache_computes_the_rest(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teachers, "MAX_BYTES", kept * toy.CLASSES * 4)
    teacher, cache, rows = frozen_copy(toy.build("vit")), TeacherCache(), batch("vit", [0, 1, 2, 3])
    for _ in range(2):
        torch.testing.assert_close(cache.logits(teacher, rows), frozen_logits(teacher, rows))
    assert [len(table) for table in cache.outputs.values()] == [kept]


def test_without_hashes_or_switched_off_nothing_is_cached() -> None:
    teacher, rows = frozen_copy(toy.build("vit")), batch("vit", [0, 1])
    off, on = TeacherCache(on=False), TeacherCache()
    off.logits(teacher, rows)
    on.logits(teacher, {key: value for key, value in rows.items() if key != "content_hash"})
    assert not off.outputs and not on.outputs


class Fixed(list[Any]):
    """Rows that declare that none of them ever changes."""

    fixed = True


# Teachers that are dropped after a run: they have all the outputs that the run needs.
DROPPED = {
    "scrub": {"original"}, "bad_teaching": {"good", "bad"}, "lotus": {"original"}, "delete": {"original"},
    "undial": {"original"}, "kl_min": {"original"}, "jensun": {"original"}, "npo": {"original"}, "dpo": set(),
    "altpo": set(),
    "rmu": set(), "multi_delete": set(), "undo": {"suppressed"},
}  # fmt: skip


@pytest.mark.parametrize(("method", "name"), [*CASES, ("scrub", "gpt2"), ("npo", "gpt2")])
def test_rows_that_never_change_are_not_hashed_and_a_teacher_whose_rows_are_known_is_dropped(
    method: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, _, once = PASSES[method]
    models = []
    for kind in (list, Fixed):
        if kind is Fixed:
            monkeypatch.setattr(forget_retain, "content_hash", lambda _: pytest.fail("a row was hashed"))
        data = {split: kind(rows) for split, rows in toy.split_rows(toy.rows(name)).items()}
        trainer, passes = run(method, toy.build(name), data, tmp_path, **options)
        models.append(trainer.model)
        dropped = {key for key, one in trainer.teachers.items() if isinstance(one, DroppedTeacher)}
        assert dropped == (DROPPED[method] if kind is Fixed else set())
    paired = len({int(row) for epoch in range(E) for row in trainer.phases(epoch)[0].reshape(-1) if row >= F})
    assert passes == once(paired)
    assert toy.same(models[0], toy.snapshot(models[1]))


def test_a_run_that_is_resumed_drops_its_teacher_without_a_pass(tmp_path: Path) -> None:
    data = {split: Fixed(rows) for split, rows in toy.split_rows(toy.rows("vit")).items()}
    changes: dict[str, Any] = {"num_train_epochs": E + 1, "learning_rate": 0.3, "save_strategy": "epoch"}
    whole = toy.trainer("scrub", toy.build("vit"), data, tmp_path, **changes)
    whole.train()
    resumed = toy.trainer("scrub", toy.build("vit"), data, tmp_path, **changes)
    resumed.train(
        resume_from_checkpoint=str(min(tmp_path.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime))
    )
    assert isinstance(resumed.teachers["original"], DroppedTeacher) and not resumed.teacher_cache.passes
    assert toy.same(whole.model, toy.snapshot(resumed.model))


def test_a_dropped_teacher_runs_on_no_other_row() -> None:
    teacher, cache = frozen_copy(toy.build("vit")), TeacherCache()
    cache.logits(teacher, batch("vit", [0, 1]))
    assert cache.drop_if_known(teacher, torch.tensor([0, 1, 2])) is teacher
    dropped = cache.drop_if_known(teacher, torch.tensor([0, 1]))
    assert torch.equal(cache.logits(dropped, batch("vit", [1, 0])), cache.logits(teacher, batch("vit", [1, 0])))
    assert not list(dropped.parameters())
    with pytest.raises(RuntimeError, match="expected rows with known outputs of a dropped teacher, got 1 more"):
        cache.logits(dropped, batch("vit", [0, 2]))


def test_outputs_of_any_length_are_read_in_the_order_of_the_batch_and_changed_ones_replaced() -> None:
    table = OutputTable(torch.empty(0, 2))
    rows = {4: 1, 0: 3, 7: 0, 2: 2}
    lines = {row: torch.randn(size, 2) for row, size in rows.items()}
    for part in ([4, 0], [7, 2]):
        sizes = torch.tensor([rows[row] for row in part])
        table.add(torch.tensor(part), torch.tensor(part) + 10, sizes, torch.cat([lines[row] for row in part]))
    index = torch.tensor([2, 7, 0, 4, 0])
    assert torch.equal(table.read(index), torch.cat([lines[row] for row in index.tolist()]))
    assert table.knows(torch.tensor([0, 1, 4, 99]), torch.tensor([10, 11, 15, 109])).tolist() == [True, *[False] * 3]
    for size in (3, 1):
        lines[0] = torch.randn(size, 2)
        before = table.used
        table.add(torch.tensor([0]), torch.tensor([5]), torch.tensor([size]), lines[0])
        assert torch.equal(table.read(index), torch.cat([lines[row] for row in index.tolist()]))
        assert table.used == before + (0 if size == 3 else 1)


class Random(torch.nn.Module):
    """Draws random numbers in its forward pass, as ViLT does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=x * torch.rand(1))


def test_a_teacher_leaves_the_random_state() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    frozen_logits(Random(), {"x": torch.ones(2, 2), "labels": torch.zeros(2)})
    assert torch.equal(torch.get_rng_state(), state)
