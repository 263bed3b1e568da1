"""PDU: the flatness of logits, and the weight of the retain term as the constraint has it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mubench.trainers.engine.losses import IGNORED, per_example_loss
from mubench.trainers.methods.pdu import flatness
from tests.fixtures import toy
from tests.fixtures.method_steps import batch, prepared


def test_flatness_is_zero_for_equal_logits_alone_and_reads_answer_tokens() -> None:
    logits = torch.tensor([[[1.0, 1.0, 1.0], [0.0, 3.0, 0.0], [9.0, 0.0, 0.0]]], requires_grad=True)
    for labels, expected in (([2, IGNORED, IGNORED], 0.0), ([2, 0, IGNORED], 2.0), ([IGNORED, 0, IGNORED], 4.0)):
        value = flatness(logits, torch.tensor([labels]))
        assert value.item() == pytest.approx(expected)
    (slopes,) = torch.autograd.grad(flatness(logits, torch.tensor([[IGNORED, 0, IGNORED]])).sum(), logits)
    # d (max - mean)^2 = 2 (max - mean) (1 at the largest, less 1 / V everywhere)
    torch.testing.assert_close(slopes[0, 1], 4 * torch.tensor([-1 / 3, 2 / 3, -1 / 3]))
    assert not slopes[0, ::2].any()


@pytest.mark.parametrize(("epsilon", "alpha"), [(0.1, 1.0), (9.0, 3.0)])
def test_the_retain_weight_moves_by_the_distance_from_the_bound_and_is_never_negative(
    epsilon: float, alpha: float, tmp_path: Path
) -> None:
    trainer, _ = prepared("pdu", "gpt2", tmp_path, epsilon=epsilon, alpha=alpha, dual_rate=0.5)
    weight = alpha
    for rows in (range(4, 10), range(10, 18)):
        given = batch(trainer, rows)
        retain = trainer.terms(trainer.model, given)[1]
        assert retain.weight == pytest.approx(weight)
        logits = trainer.logits(trainer.model, given)
        loss = per_example_loss(logits, given["labels"])[~given["forget"]].mean().item()
        trainer.after_step()
        weight = max(0.0, weight + 0.5 * (loss - epsilon))
    assert trainer.retain_weight == pytest.approx(weight, rel=1e-5)
    assert weight > alpha if epsilon < 1 else weight == 0


def test_the_weight_stays_during_the_warm_up(tmp_path: Path) -> None:
    options = {"num_train_epochs": 2, "alpha": 1.0, "epsilon": 0.0, "per_device_train_batch_size": toy.FORGET}
    trainer = toy.trainer("pdu", toy.build("gpt2"), toy.split_rows(toy.rows("gpt2")), tmp_path, **options,
                          dual_warmup_epochs=1)  # fmt: skip
    trainer.train()
    moved = [entry for entry in trainer.state.log_history if "retain_weight" in entry]
    assert len(moved) == 1 and moved[0]["retain_weight"] > 1
