"""Examples forward and backward, against the closed form of every method."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy

F, R, E = toy.FORGET, toy.ROWS - toy.FORGET, 3
SUBSET = round(0.3 * R)
MSTEPS = 2
# (forward, backward) of the student, and forward of each teacher, which runs on a row once; ``None`` stands for the
# number of different retain rows in the pairs of all epochs.
CLOSED = {
    "retrain": ((E * R, E * R), {}),
    "retrain_keep50": ((E * (F // 2 + R), E * (F // 2 + R)), {}),
    "retrain_at": ((2 * R, 2 * R), {}),  # four of the six steps in three epochs
    "finetune": ((E * R, E * R), {}),
    "neg_grad": ((E * F, E * F), {}),
    "random_label": ((E * (F + R), E * (F + R)), {}),
    "salun": ((F + E * (F + R), F + E * (F + R)), {}),
    "bad_teaching": ((E * (F + SUBSET), E * (F + SUBSET)), {"bad": F, "good": SUBSET}),
    "neg_grad_plus": ((E * 2 * R, E * 2 * R), {}),
    "l1_sparse": ((E * R, E * R), {}),
    "cf_k": ((E * R, E * R), {}),
    "eu_k": ((E * R, E * R), {}),
    "noise_ft": ((E * R, E * R), {}),
    "delete": ((E * F, E * F), {"original": F}),
    "undial": ((E * F, E * F), {"original": F}),
    "ce_u": ((E * F, E * F), {}),
    "kl_min": ((E * 2 * F, E * 2 * F), {"original": None}),
    "lotus": ((E * (F + SUBSET) + E * F, E * (F + SUBSET)), {"original": 4 + F + SUBSET}),
    "npo": ((E * 2 * F, E * 2 * F), {"original": F}),
    "simnpo": ((E * 2 * F, E * 2 * F), {}),
    "jensun": ((E * 2 * F, E * 2 * F), {"original": None}),
    "dpo": ((E * 3 * F, E * 3 * F), {"original": 2 * F}),
    "altpo": ((E * 3 * F, E * 3 * F), {"original": 2 * F}),
    "satimp": ((E * 2 * F, E * 2 * F), {}),
    "pdu": ((E * 2 * F, E * 2 * F), {}),
    "wga": ((E * 2 * F, E * 2 * F), {}),
    "undo": ((5 * 2 * F + E * R, 5 * 2 * F + E * R), {"original": F, "suppressed": R}),
    "multi_delete": ((E * 2 * F, E * 2 * F), {"original": None}),
    "esd": ((E * F, E * F), {"original": 2 * E * F}),
    "task_vector": ((E * F, E * F), {}),
    "scrub": ((MSTEPS * F + (E + 1) * R,) * 2, {"original": F + R}),
    "ssd": ((F + R, F + R), {}),
    "fisher": ((R, toy.CLASSES * R), {}),
    "influence": ((F + 2 * R, F + 2 * R), {}),
    "sfron": ((F + R + E * (F + R),) * 2, {}),
    "msg": ((F + R + E * R, F + R + E * R), {}),
    "ct": ((E * R, E * R), {}),
    "boundary_shrink": ((2 * F + E * F, F + E * F), {}),
    "boundary_expand": ((E * F, E * F), {}),
    "quantile": ((E * (F + R),) * 2, {"original": 4 + F + R}),
    "unsir": ((3 * F + E * (F + 2 * R),) * 2, {}),
}


@pytest.mark.parametrize(("method", "name"), [*((key, toy.name_for(key)) for key in CLOSED), ("fisher", "gpt2")])
def test_counts_are_the_closed_form(method: str, name: str, tmp_path: Path) -> None:
    changes = {"num_train_epochs": E, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 2}
    changes |= {"msteps": MSTEPS} if method == "scrub" else {}
    trainer = toy.trainer(method, toy.build(name), toy.split_rows_for(method, toy.rows(name)), tmp_path, **changes)
    with CostCounter(trainer) as cost:
        trainer.cost_counter = cost
        trainer.train()
    (forward, backward), teachers = CLOSED[method]
    if method == "fisher" and name in toy.LANGUAGE_MODELS:
        backward = R  # one sampled label a row, where there are too many words for an exact sum
    pairs = {int(row) for epoch in range(E) for row in trainer.phases(epoch)[0].reshape(-1) if row >= F}
    pairs |= {(copy, row) for copy in range(2) for row in range(F)} if method == "multi_delete" else set()
    teachers = {name: len(pairs) if count is None else count for name, count in teachers.items()}
    assert cost.forward == {"student": forward, **teachers}
    assert cost.backward == {"student": backward}
    assert cost.counts() == {"forward": forward + sum(teachers.values()), "backward": backward}


def test_nothing_is_counted_outside_the_block_or_of_other_models(tmp_path: Path) -> None:
    trainer = toy.trainer("neg_grad", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path)
    other, rows = toy.Table(), torch.arange(5)
    with CostCounter(trainer) as cost:
        other(rows).logits.sum().backward()
        trainer.model(rows)
        with torch.no_grad():
            trainer.model(rows)
    trainer.model(rows).logits.sum().backward()
    assert cost.counts() == {"forward": 10, "backward": 0}


def test_an_error_inside_the_block_ends_the_counting(tmp_path: Path) -> None:
    trainer = toy.trainer("neg_grad", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path)
    cost = CostCounter(trainer)
    with pytest.raises(ZeroDivisionError), cost:
        raise ZeroDivisionError
    trainer.model(torch.arange(5))
    assert cost.counts() == {"forward": 0, "backward": 0}
