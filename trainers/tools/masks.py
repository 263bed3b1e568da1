"""Masks over weights as packed bits: an eighth of a byte for every weight."""

from __future__ import annotations

import torch

BYTE = 8


class PackedMask:
    """A mask of any shape, eight of its elements in a byte.

    Args:
        mask: Bool tensor with ``P`` elements.

    Attributes:
        bits: The elements in order, the lowest bit of a byte first, ``(ceil(P / 8),)`` uint8, on the mask's device.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        self.shape, self.size = mask.shape, mask.numel()
        flat = torch.nn.functional.pad(mask.flatten().to(torch.uint8), (0, -self.size % BYTE))
        self.bits = (flat.view(-1, BYTE) << _bit_positions(mask.device)).sum(dim=1, dtype=torch.uint8)

    def unpack(self) -> torch.Tensor:
        """Return the mask, a bool tensor of its shape."""
        flat = (self.bits[:, None] >> _bit_positions(self.bits.device)) & 1
        return flat.flatten()[: self.size].view(self.shape).bool()


def _bit_positions(device: torch.device) -> torch.Tensor:
    return torch.arange(BYTE, dtype=torch.uint8, device=device)
