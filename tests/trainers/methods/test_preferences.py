"""NPO, SimNPO and WGA: ascent with a vanishing gradient, against closed forms."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from mubench.trainers.engine.losses import IGNORED, answer_nll, kl, per_example_loss, preference
from mubench.trainers.methods.wga import weighted_loss
from tests.fixtures import toy
from tests.fixtures.method_steps import batch, moved_table, prepared

F = toy.FORGET


def test_a_whole_answer_is_the_sum_over_its_tokens_and_a_class_is_one() -> None:
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]], [[0.0, 3.0], [1.0, 1.0], [0.0, 0.0]]])
    labels = torch.tensor([[0, 1, IGNORED], [1, 1, 0]])
    p = logits.softmax(-1)
    expected = [-(p[0, 0, 0] * p[0, 1, 1]).log(), -(p[1, 0, 1] * p[1, 1, 1] * p[1, 2, 0]).log()]
    torch.testing.assert_close(answer_nll(logits, labels), torch.stack(expected))
    torch.testing.assert_close(answer_nll(logits[:, 0], labels[:, 0]), per_example_loss(logits[:, 0], labels[:, 0]))


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.5])
def test_the_gradient_of_the_preference(beta: float) -> None:
    margin = torch.linspace(-3, 8, 12, requires_grad=True)
    values = preference(margin, beta)
    (slopes,) = torch.autograd.grad(values.sum(), margin)
    torch.testing.assert_close(slopes, -2 * torch.sigmoid(-beta * margin.detach()))
    torch.testing.assert_close(preference(torch.zeros(1), beta).item(), 2 / beta * math.log(2))
    assert (slopes.diff() > 0).all() and slopes.min() > -2 and slopes.max() < 0


def test_a_small_beta_is_ascent() -> None:
    margin = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64)
    beta = 1e-6
    torch.testing.assert_close(preference(margin, beta) - 2 / beta * math.log(2), -margin, atol=1e-5, rtol=0)


def test_the_weight_of_an_example_falls_as_it_is_forgotten(tmp_path: Path) -> None:
    trainer, _, start = moved_table("npo", tmp_path, beta=0.7, alpha=0.0)
    rows = batch(trainer, range(toy.ROWS))
    forget, retain = trainer.terms(trainer.model, rows)
    (forget.values.sum() + retain.weight * retain.values.sum()).backward()
    labels, now = rows["labels"][:F], trainer.model.table.detach()[:F]
    p, p0 = (logits.softmax(-1).gather(1, labels[:, None]).squeeze(1) for logits in (now, start[:F]))
    weight = 2 * p**0.7 / (p**0.7 + p0**0.7)
    one_hot = torch.nn.functional.one_hot(labels, toy.CLASSES)
    torch.testing.assert_close(trainer.model.table.grad[:F], -weight[:, None] * (now.softmax(-1) - one_hot))
    assert not trainer.model.table.grad[F:].any()


def test_every_forget_example_has_its_own_preference_and_the_retain_set_a_term(tmp_path: Path) -> None:
    trainer = toy.trainer("npo", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path, beta=0.7)
    trainer.prepare()
    rows = batch(trainer, range(toy.ROWS))
    start = answer_nll(trainer.logits(trainer.model, rows), rows["labels"])[:F].detach()
    with torch.no_grad():
        trainer.model.table.copy_(3 * toy.Table(seed=1).table)
    forget, retain = trainer.terms(trainer.model, rows)
    margin = answer_nll(trainer.logits(trainer.model, rows), rows["labels"])[:F] - start
    torch.testing.assert_close(forget.values, preference(margin, 0.7))
    of_the_mean = float(preference(margin.mean()[None], 0.7))
    assert abs(float(forget.values.mean()) - of_the_mean) > 0.1, "rows differ enough for the two to differ"
    loss = float(toy.step(trainer, range(toy.ROWS)))
    kept = float(retain.weight * retain.values.mean())
    assert loss == pytest.approx(float(forget.values.mean()) + kept, rel=1e-5) and kept > 0.1


def test_npo_keeps_the_retain_set_by_label_or_by_output(tmp_path: Path) -> None:
    for name in ("vit", "gpt2"):
        for retain_loss in ("nll", "kl"):
            trainer, rows = prepared("npo", name, tmp_path, retain_loss=retain_loss, alpha=0.3)
            start = trainer.logits(trainer.model, rows).detach()
            trainer.model.load_state_dict(toy.build(name, seed=1).state_dict())
            term = trainer.terms(trainer.model, rows)[1]
            now, labels = trainer.logits(trainer.model, rows)[F:], rows["labels"][F:]
            expected = per_example_loss(now, labels) if retain_loss == "nll" else kl(now, start[F:], labels)
            assert (term.split, term.weight) == ("retain", 0.3)
            torch.testing.assert_close(term.values, expected, atol=1e-5, rtol=1e-4)


def test_simnpo_weighs_long_and_short_answers_alike() -> None:
    logits = torch.tensor([[[1.0, 0.0]] * 4] * 2, requires_grad=True)
    labels = torch.tensor([[0, IGNORED, IGNORED, IGNORED], [0, 0, 0, 0]])
    values = preference(per_example_loss(logits, labels), 4.5)
    (slopes,) = torch.autograd.grad(values.sum(), logits)
    assert values[0] == values[1]
    torch.testing.assert_close(slopes[0].sum(0), slopes[1].sum(0))


def test_wga_without_power_is_ascent_and_its_weights_carry_no_gradient() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 3, 1, 1, 2])
    torch.testing.assert_close(weighted_loss(logits, labels, 0.0), per_example_loss(logits, labels))
    (slopes,) = torch.autograd.grad(weighted_loss(logits, labels, 1.0).sum(), logits)
    p = logits.detach().softmax(-1)
    own = p.gather(1, labels[:, None])
    torch.testing.assert_close(slopes, own * (p - torch.nn.functional.one_hot(labels, 4)))


@pytest.mark.parametrize("method", ["npo", "simnpo", "wga"])
def test_steps_are_balanced_and_an_epoch_covers_the_forget_set(method: str, tmp_path: Path) -> None:
    options = {"num_train_epochs": 1, "per_device_train_batch_size": 3}
    trainer = toy.trainer(method, toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, **options)
    batches = list(trainer.get_train_dataloader())
    assert [(int(rows["forget"].sum()), len(rows["forget"])) for rows in batches] == [(3, 6), (3, 6)]
    seen = torch.cat([rows["index"] for rows in batches]).tolist()
    assert sorted(row for row in seen if row < F) == list(range(F))
    assert len({row for row in seen if row >= F}) == F
