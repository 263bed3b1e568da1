"""A random copy has the architecture of a model and none of its weights."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import default_data_collator

from mubench.trainers.engine.fresh_model import random_copy
from tests.fixtures.toy import CLASSES, build, rows, same, snapshot

# BatchNorm, tied weights, and a model with a method ``fresh`` in place of a config.
NAMES = ("vit", "resnet", "t5", "diffusion")


@pytest.mark.parametrize("name", NAMES)
def test_a_random_copy_keeps_no_trained_tensor(name: str) -> None:
    model = build(name)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3)
    teacher = random_copy(model, seed=1)
    trained = dict(model.named_parameters())
    kept = [key for key, weight in teacher.named_parameters() if torch.equal(weight, trained[key])]
    assert not any(module.training for module in teacher.modules())
    assert not any(weight.requires_grad for weight in teacher.parameters())
    assert kept == []
    assert [weight.shape for weight in teacher.parameters()] == [weight.shape for weight in model.parameters()]


@pytest.mark.parametrize("name", ["vit", "diffusion"])
def test_a_random_copy_is_seeded_and_leaves_the_random_state(name: str) -> None:
    model = build(name)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = snapshot(random_copy(model, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert same(random_copy(model, seed=1), first)
    assert not same(random_copy(model, seed=2), first)


def test_a_random_copy_takes_the_precision_of_the_model() -> None:
    assert next(random_copy(build("vit").bfloat16(), 0).parameters()).dtype == torch.bfloat16


def test_a_random_copy_is_near_chance() -> None:
    p = random_copy(build("vit"), 3)(**default_data_collator(rows("vit"))).logits.softmax(-1)
    entropy = -(p * p.log()).sum(-1).mean()
    assert entropy > 0.99 * math.log(CLASSES)
