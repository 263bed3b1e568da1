"""Fisher forgetting: variances against the original's rules, and the noise against the variances."""

from __future__ import annotations

from pathlib import Path

import torch

from mubench.trainers.methods.fisher import noise_variance
from mubench.trainers.tools.importance import fisher_diagonal
from tests.fixtures import toy


def test_the_variance_is_capped_averaged_over_the_input_and_larger_for_vectors() -> None:
    information = torch.tensor([[1.0, 0.25], [0.0, 0.5]])
    assert torch.allclose(noise_variance(information, 0.1, final=False), torch.tensor([[0.25] * 2, [50.1] * 2]))
    assert torch.allclose(noise_variance(information, 0.1, final=True), torch.tensor([[2.5] * 2, [51.0] * 2]))
    assert torch.allclose(noise_variance(information[1], 0.1, final=False), torch.tensor([1000.0, 2.0]))
    assert torch.allclose(noise_variance(information[1], 0.1, final=True), torch.tensor([100.0, 2.0]))
    assert noise_variance(torch.zeros(4, 3, 2, 2), 1.0, final=False).shape == (4, 3, 2, 2)


def test_the_noise_has_the_variance_of_every_weight(tmp_path: Path) -> None:
    model = toy.build("vit")
    trainer = toy.trainer("fisher", model, toy.split_rows(toy.rows("vit")), tmp_path, alpha=1e-6)
    (information, classes), before = fisher_diagonal(trainer, trainer.retain_rows), toy.snapshot(model)
    trainer.train()
    units = []
    for (name, weight), one in zip(model.named_parameters(), information, strict=True):
        variance = noise_variance(one, 1e-6, final=weight.shape[0] == classes)
        units.append(((weight.detach() - before[name]) / variance.sqrt()).flatten())
    noise = torch.cat(units)
    assert len(noise) > 2000
    assert abs(float(noise.mean())) < 4 / len(noise) ** 0.5
    assert abs(float(noise.square().mean()) - 1) < 4 * (2 / len(noise)) ** 0.5


def test_rows_of_a_forgotten_class_start_from_zero_and_others_do_not(tmp_path: Path) -> None:
    model, rows = toy.build("vit"), toy.rows("vit")
    one = [{**row, "labels": 2 if i < toy.FORGET else row["labels"] % 2} for i, row in enumerate(rows)]
    before = toy.snapshot(model)
    toy.trainer("fisher", model, toy.split_rows(one), tmp_path, alpha=1e-12).train()
    head, bias = model.classifier.weight.detach(), model.classifier.bias.detach()
    moved = (head - before["classifier.weight"]).abs().max(dim=1).values
    assert (moved[[0, 1, 3]] < 1e-3).all()
    cleared = torch.cat([head[2], bias[2:3]])
    assert 0.3 < float(cleared.square().mean()) / 1e-3 < 2.5  # variance 1e-4, ten times as much in the final layer
