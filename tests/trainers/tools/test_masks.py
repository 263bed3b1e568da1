"""Masks as packed bits: a lossless round trip at an eighth of a byte a weight."""

from __future__ import annotations

import pytest
import torch

from mubench.trainers.tools.masks import PackedMask


@pytest.mark.parametrize("shape", [(), (1,), (8,), (3, 5), (2, 3, 4, 7), (0,), (1000, 3)])
def test_packing_loses_nothing(shape: tuple[int, ...]) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.4
    packed = PackedMask(mask)
    assert torch.equal(packed.unpack(), mask) and packed.unpack().dtype == torch.bool
    assert packed.bits.dtype == torch.uint8
    assert packed.bits.nbytes == -(-mask.numel() // 8)


@pytest.mark.parametrize("value", [True, False])
def test_a_constant_mask_stays_constant(value: bool) -> None:
    mask = torch.full((13,), value)
    assert torch.equal(PackedMask(mask).unpack(), mask)


def test_a_packed_mask_is_a_copy() -> None:
    mask = torch.tensor([True, False, True])
    packed = PackedMask(mask)
    mask.logical_not_()
    assert packed.unpack().tolist() == [True, False, True]
