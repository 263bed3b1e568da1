"""Noise and fine-tuning: the noise has the given size, on every trained weight and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.fixtures import toy


@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_the_noise_is_normal_with_the_given_deviation(sigma: float, tmp_path: Path) -> None:
    model = toy.Table(400, 50)
    before = model.table.detach().clone()
    toy.trainer("noise_ft", model, toy.split_rows(toy.table_rows(400, 50)), tmp_path, sigma=sigma).prepare()
    noise = (model.table.detach() - before).flatten() / sigma
    assert abs(float(noise.mean())) < 0.03 and abs(float(noise.std()) - 1) < 0.02
    assert abs(float((noise.abs() < 1).float().mean()) - 0.6827) < 0.02


def test_the_noise_depends_on_the_seed_and_spares_frozen_weights(tmp_path: Path) -> None:
    states = []
    for seed, state in ((1, 5), (1, 6), (2, 5)):
        model = toy.build("vit")
        model.vit.requires_grad_(False)
        torch.manual_seed(state)
        toy.trainer("noise_ft", model, toy.split_rows(toy.rows("vit")), tmp_path, seed=seed).prepare()
        states.append(model.classifier.weight.detach().clone())
        assert toy.same(model.vit, toy.snapshot(toy.build("vit").vit))
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])
