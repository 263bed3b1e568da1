"""Forward passes that end at a block: what comes after it is not computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mubench.hub_builders.terms import IGNORED


@dataclass(frozen=True)
class Cut:
    """What a model that stops at a block returns in place of its output.

    Attributes:
        states: Output of the block, shape ``(B, T, D)``; a picture's places count as tokens.
        depth: Share of the model's blocks that was computed.
    """

    states: torch.Tensor
    depth: float = 1.0

    @property
    def logits(self) -> torch.Tensor:
        """The states: what a pass is counted by."""
        return self.states


class _Reached(Exception):  # noqa: N818  no error: the way out of a forward pass
    def __init__(self, output: Any) -> None:
        self.output = output


def states_at(
    model: torch.nn.Module, inner: torch.nn.Module, block: str, inputs: Mapping[str, Any], depth: float = 1.0
) -> torch.Tensor:
    """Run a model up to a block and return the block's output; what is behind it gets no gradient either.

    Args:
        model: The model, or what data parallelism makes of it.
        inner: The model itself.
        block: Name of the block in ``inner``.
        inputs: What the model takes.
        depth: Share of the model that lies before and in the block, for those who count.

    Returns:
        States, shape ``(B, T, D)``; of pictures ``(B, H W, D)``.

    Raises:
        ValueError: If the model does not come to the block.
    """
    forward, own = inner.forward, inner.__dict__.get("forward")

    def cut(*args: Any, **kwargs: Any) -> Cut:
        try:
            forward(*args, **kwargs)
        except _Reached as reached:
            return Cut(_tokens(reached.output), depth)
        raise ValueError(f"expected a model that comes to its block {block}, got one that does not")

    def stop(_: torch.nn.Module, __: Any, output: Any) -> None:
        raise _Reached(output)

    handle = inner.get_submodule(block).register_forward_hook(stop)
    inner.forward = cut  # within the model, so that data parallelism sees a pass that returns
    try:
        states: torch.Tensor = model(**inputs).states
    finally:
        handle.remove()
        del inner.forward
        if own is not None:
            inner.forward = own
    return states


def _tokens(output: Any) -> torch.Tensor:
    """Return the states of a block's output, a picture's places as tokens."""
    states: torch.Tensor = output[0] if isinstance(output, tuple) else output
    if states.ndim == 2:
        return states[:, None]
    return states if states.ndim == 3 else states.flatten(2).transpose(1, 2)


def token_mask(states: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
    """Return which tokens count: those that predict an answer, else those that are no padding, else all.

    Args:
        states: States of the tokens, shape ``(B, T, D)``.
        batch: The batch they come from; its masks hold where they are ``(B, T)``.

    Returns:
        Bool, shape ``(B, T)``.
    """
    for mask in (batch["labels"] != IGNORED, batch.get("attention_mask")):
        if mask is not None and mask.shape == states.shape[:2]:
            return mask.bool()
    return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
