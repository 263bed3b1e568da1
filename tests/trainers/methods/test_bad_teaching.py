"""Bad teaching: every example is distilled from its own teacher, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mubench.trainers.engine.losses import kl
from mubench.trainers.unlearning.teachers import frozen_logits
from tests.fixtures import toy


def prepared(name: str, folder: Path, **changes: Any) -> Any:
    trainer = toy.trainer("bad_teaching", toy.build(name), toy.split_rows(toy.rows(name)), folder, **changes)
    trainer.prepare()
    return trainer


def collated(trainer: Any, rows: Any) -> dict[str, Any]:
    return dict(trainer.train_collator([trainer.train_dataset[int(i)] for i in rows]))


def values(trainer: Any, rows: Any) -> torch.Tensor:
    (term,) = trainer.terms(trainer.model.eval(), collated(trainer, rows))
    assert (term.split, term.weight) == ("all", 1.0)
    return term.values


def test_the_base_model_has_a_loss_on_the_forget_set_alone(tmp_path: Path) -> None:
    trainer = prepared("vit", tmp_path)
    loss = values(trainer, range(toy.ROWS)).detach()
    torch.testing.assert_close(loss[toy.FORGET :], torch.zeros(toy.ROWS - toy.FORGET), atol=1e-6, rtol=0)
    bad = frozen_logits(trainer.teachers["bad"], collated(trainer, range(toy.FORGET)))
    now = frozen_logits(trainer.teachers["good"], collated(trainer, range(toy.FORGET)))
    torch.testing.assert_close(loss[: toy.FORGET], kl(now, bad, torch.zeros(toy.FORGET, dtype=torch.int64)))
    assert loss[: toy.FORGET].sum() > 1e-4


def test_swapping_the_flags_swaps_the_targets(tmp_path: Path) -> None:
    trainer = prepared("vit", tmp_path)
    batch = collated(trainer, range(toy.ROWS))
    like = torch.zeros(toy.ROWS, toy.CLASSES)
    bad = frozen_logits(trainer.teachers["bad"], batch)
    good = frozen_logits(trainer.teachers["good"], batch)
    flags = batch["forget"]
    for forget in (flags, ~flags):
        targets = trainer.targets({**batch, "forget": forget}, like)
        torch.testing.assert_close(targets, torch.where(forget[:, None], bad, good))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_gradient_is_the_difference_of_probabilities_over_all_rows(temperature: float, tmp_path: Path) -> None:
    model, bad = toy.Table(), toy.Table(seed=1)
    before = model.table.detach().clone()
    options = {"retain_share": 1.0, "temperature": temperature, "num_train_epochs": 1, "learning_rate": 1.0}
    given = {"bad_teacher": bad}
    rows = toy.split_rows(toy.table_rows())
    toy.trainer(
        "bad_teaching", model, rows, tmp_path, given=given, per_device_train_batch_size=toy.ROWS, **options
    ).train()
    p, target = (before / temperature).softmax(-1), (bad.table.detach() / temperature).softmax(-1)
    expected = (p - target) / temperature / toy.ROWS
    expected[toy.FORGET :] = 0
    torch.testing.assert_close(before - model.table, expected, atol=1e-6, rtol=1e-5)


def test_the_subset_is_of_the_retain_set_and_differs_by_seed(tmp_path: Path) -> None:
    subsets = []
    trainer = toy.trainer("bad_teaching", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path)
    for trainer.args.seed in range(20):
        (rows,) = trainer.phases(0)
        assert rows[: toy.FORGET].tolist() == list(range(toy.FORGET))
        assert len(set(rows)) == len(rows) == toy.FORGET + round(0.3 * (toy.ROWS - toy.FORGET))
        subsets.append(rows[toy.FORGET :])
        assert np.array_equal(trainer.phases(5)[0], rows)
    assert set(np.concatenate(subsets)) == set(range(toy.FORGET, toy.ROWS))


@pytest.mark.parametrize("rows", [range(4), range(toy.FORGET, toy.FORGET + 4)])
def test_a_batch_of_one_set_is_finite_and_runs_one_teacher(rows: range, tmp_path: Path) -> None:
    trainer = prepared("resnet", tmp_path)
    called = []
    for name, teacher in trainer.teachers.items():
        teacher.register_forward_hook(lambda *_, name=name: called.append(name))
    assert torch.isfinite(values(trainer, rows)).all()
    assert called == ["bad" if rows.start == 0 else "good"]


def test_the_bad_teacher_shares_no_weight_with_the_model(tmp_path: Path) -> None:
    model = toy.build("vit")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3)
    trainer = toy.trainer("bad_teaching", model, toy.split_rows(toy.rows("vit")), tmp_path)
    trainer.prepare()
    bad = trainer.teachers["bad"].state_dict()
    assert not [key for key, value in model.state_dict().items() if torch.equal(value, bad[key])]


def test_labels_are_not_read(tmp_path: Path) -> None:
    rows = [{**row, "labels": 0} for row in toy.rows("vit")]
    model = toy.build("vit")
    toy.trainer("bad_teaching", model, toy.split_rows(rows), tmp_path, max_steps=1).train()
    assert toy.same(model, toy.snapshot(toy.trained("bad_teaching", "vit", tmp_path, max_steps=1)))


def test_a_plain_module_needs_a_bad_teacher(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="expected bad_teacher= for a plain Table, which cannot be reinitialised, got none"
    ):
        toy.trainer("bad_teaching", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path)
