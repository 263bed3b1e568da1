"""Weights rounded to few bits."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from mubench.trainers.evaluation.quantization import quantize, round_weights


@pytest.mark.parametrize("bits", [8, 4])
def test_a_channel_keeps_its_largest_weight_and_errs_by_half_a_step(bits):
    weight = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 2, 5)[:, None, None]
    found = round_weights(weight, bits)
    largest = weight.abs().flatten(1).amax(dim=1)
    steps = found / (largest / (2 ** (bits - 1) - 1))[:, None, None]
    torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.abs().flatten(1).amax(dim=1), largest)
    assert (found - weight).abs().amax() <= 0.5 * largest.max() / (2 ** (bits - 1) - 1) * 1.001
    assert found.unique().numel() > 2 and not round_weights(torch.zeros(2, 3), bits).any()


def test_the_worked_value_of_three_bits():
    assert round_weights(torch.tensor([[3.0, -1.4, 0.4]]), 3).tolist() == [[3.0, -1.0, 0.0]]


def test_all_weights_of_these_layers_are_rounded_and_no_other():
    embedding, head, norm, conv1d = nn.Embedding(7, 4), nn.Linear(4, 7), nn.LayerNorm(4), Conv1D(6, 4)
    convolution = torch.nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3), dim=2)
    head.weight = embedding.weight
    model = nn.ModuleList([embedding, norm, convolution, head, conv1d])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = [embedding.weight, convolution.weight, conv1d.weight.T]
    expected = [round_weights(weight.detach().clone(), 4) for weight in expected]
    quantize(model, 4)
    for found, wanted in zip((embedding.weight, convolution.weight, conv1d.weight.T), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert head.weight is embedding.weight
    unchanged = {name for name, value in model.state_dict().items() if name in before and value.equal(before[name])}
    assert unchanged == {"1.weight", "1.bias", "2.bias", "3.bias", "4.bias"}
