"""MSG and CT: which weights are reset or transposed, and the steps of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mubench.trainers.methods.ct import swap_axes
from mubench.trainers.methods.msg import matrices
from mubench.trainers.tools.convolutions import is_convolutional, kernels
from mubench.trainers.tools.importance import gradient_sum
from tests.fixtures import toy

F, R = toy.FORGET, toy.ROWS - toy.FORGET


@pytest.mark.parametrize("name", ["resnet", "bert"])
def test_the_weights_with_the_smallest_gradient_differences_are_reset_and_no_others(name: str, tmp_path: Path) -> None:
    model = toy.build(name)
    trainer = toy.trainer("msg", model, toy.split_rows(toy.rows(name)), tmp_path, share=0.4)
    sums = [gradient_sum(trainer, rows) for rows in (trainer.forget_rows, trainer.retain_rows)]
    before = [weight.detach().clone() for weight in model.parameters()]
    trainer.prepare()
    ranked = {id(weight) for weight in matrices(model)}
    for weight, old, forget, retain in zip(model.parameters(), before, *sums, strict=True):
        if id(weight) not in ranked:
            assert torch.equal(weight, old)
            continue
        changed, size = weight != old, (retain / R - forget / F).abs()
        assert int(changed.sum()) == weight.numel() * 4 // 10
        assert size[changed].max() <= size[~changed].min()


def test_convolutions_are_ranked_where_there_are_some_and_linear_layers_elsewhere() -> None:
    resnet, vit = toy.build("resnet"), toy.build("vit")
    assert is_convolutional(resnet) and not is_convolutional(vit) and not is_convolutional(toy.build("bert"))
    assert [weight.ndim for weight in matrices(resnet)] == [4] * len(kernels(resnet))
    assert {weight.ndim for weight in matrices(vit)} == {2} and len(kernels(vit)) == 1


@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
def test_what_is_left_of_the_kernels_takes_a_tenth_of_the_step_with_any_optimizer(optim: str, tmp_path: Path) -> None:
    options = {"max_steps": 1, "optim": optim, "weight_decay": 0.1, "share": 0.5}
    start = toy.trainer("msg", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, **options)
    start.prepare()
    whole, slowed = (toy.trained("msg", "vit", tmp_path, rest=rest, **options) for rest in (1.0, 0.1))
    masks = {id(weight): mask.unpack() for weight, mask in zip(start.kernels, start.reset_masks, strict=True)}
    for one, other, old in zip(whole.parameters(), slowed.parameters(), start.model.parameters(), strict=True):
        left = ~masks.get(id(old), torch.ones_like(old, dtype=torch.bool))
        assert torch.equal(one[~left], other[~left])
        torch.testing.assert_close((other - old)[left], 0.1 * (one - old)[left], atol=1e-7, rtol=1e-3)
    assert toy.distance(whole, toy.snapshot(start.model)) > 1e-4


def test_fresh_weights_follow_the_seed_and_are_none_of_the_old(tmp_path: Path) -> None:
    found = []
    for seed in (1, 1, 2):
        trainer = toy.trainer("msg", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, share=1.0, seed=seed)
        trainer.prepare()
        found.append(torch.cat([weight.flatten() for weight in matrices(trainer.model)]))
    old = torch.cat([weight.flatten() for weight in matrices(toy.build("vit"))])
    assert torch.equal(found[0], found[1]) and not (found[0] == found[2]).any() and not (found[0] == old).any()


def test_frozen_weights_stay(tmp_path: Path) -> None:
    model = toy.build("vit")
    model.vit.requires_grad_(False)
    before = toy.snapshot(model.vit)
    toy.trainer("msg", model, toy.split_rows(toy.rows("vit")), tmp_path).train()
    assert toy.same(model.vit, before)


def test_a_model_without_such_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected trainable convolutions or linear layers, got a Table"):
        toy.trainer("msg", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path).train()


def test_the_axes_of_every_kernel_are_swapped_once_and_nothing_else(tmp_path: Path) -> None:
    model = toy.build("resnet")
    before = toy.snapshot(model)
    toy.trainer("ct", model, toy.split_rows(toy.rows("resnet")), tmp_path).prepare()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name].transpose(-1, -2) if value.ndim == 4 else before[name])
    assert toy.distance(model, before) > 1e-3


def test_a_kernel_that_is_its_own_mirror_image_stays_and_one_that_is_not_square_is_refused() -> None:
    kernel = torch.eye(3).repeat(2, 2, 1, 1)
    swap_axes(kernel)
    assert torch.equal(kernel, torch.eye(3).repeat(2, 2, 1, 1))
    with pytest.raises(ValueError, match=r"expected square convolution kernels, got one of \(1, 7\)"):
        swap_axes(torch.zeros(2, 2, 1, 7))


def test_ct_refuses_a_model_whose_only_convolution_embeds_patches(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a convolutional network, got ViTForImageClassification"):
        toy.trainer("ct", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path).train()
