"""Noise of the size that was asked for, on every weight that is trained and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mubench.trainers.methods.noise_ft import NoiseFtArguments
from tests.fixtures import toy


@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_the_noise_is_normal_and_as_large_as_asked(sigma: float, tmp_path: Path) -> None:
    model = toy.Table(400, 50)
    before = model.table.detach().clone()
    toy.trainer("noise_ft", model, toy.sides(toy.table_rows(400, 50)), tmp_path, sigma=sigma).prepare()
    noise = (model.table.detach() - before).flatten() / sigma
    assert abs(float(noise.mean())) < 0.03 and abs(float(noise.std()) - 1) < 0.02
    assert abs(float((noise.abs() < 1).float().mean()) - 0.6827) < 0.02


def test_the_noise_is_the_runs_own_and_frozen_weights_get_none(tmp_path: Path) -> None:
    drawn = []
    for seed, state in ((1, 5), (1, 6), (2, 5)):
        model = toy.build("vit")
        model.vit.requires_grad_(False)
        torch.manual_seed(state)
        toy.trainer("noise_ft", model, toy.sides(toy.rows("vit")), tmp_path, seed=seed).prepare()
        drawn.append(model.classifier.weight.detach().clone())
        assert toy.same(model.vit, toy.snapshot(toy.build("vit").vit))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_a_deviation_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sigma must be 0 or more, got -0\.1"):
        NoiseFtArguments(**toy.settings(tmp_path, sigma=-0.1))
