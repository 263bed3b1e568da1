"""Forward passes that are looked into: those that end at a block, and what modules say on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mubench.trainers.engine.losses import IGNORED


@dataclass(frozen=True)
class Cut:
    """What a model that stops at a block, or before its head, returns in place of its output.

    Attributes:
        states: Output of the block, shape ``(B, T, D)``; a picture's places count as tokens. Or input of the head.
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
    forward = inner.forward

    def cut(*args: Any, **kwargs: Any) -> Cut:
        try:
            forward(*args, **kwargs)
        except _Reached as reached:
            return Cut(_tokens(reached.output), depth)
        raise ValueError(f"expected a model that comes to its block {block}, got one that does not")

    def stop(_: torch.nn.Module, __: Any, output: Any) -> None:
        raise _Reached(output)

    handle = inner.get_submodule(block).register_forward_hook(stop)
    try:
        return _returning(cut, model, inner, inputs)
    finally:
        handle.remove()


def _returning(
    forward: Callable[..., Cut], model: torch.nn.Module, inner: torch.nn.Module, inputs: Mapping[str, Any]
) -> torch.Tensor:
    """Run a model with another forward function in it, so that data parallelism sees a pass that returns."""
    own = inner.__dict__.get("forward")
    inner.forward = forward
    try:
        states: torch.Tensor = model(**inputs).states
    finally:
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


def watched(
    model: torch.nn.Module, inner: torch.nn.Module, names: Sequence[str], head: str, inputs: Mapping[str, Any]
) -> tuple[dict[str, list[torch.Tensor]], torch.Tensor]:
    """Run a model and return what some of its modules said on the way; gradients reach it by what the head is given.

    Args:
        model: The model, or what data parallelism makes of it.
        inner: The model itself.
        names: Names of modules in ``inner``, whose outputs are wanted.
        head: Name of a module whose input is wanted.
        inputs: What the model takes.

    Returns:
        The outputs of every module, one for each time it was called, and what the head was given.
    """
    said: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    given: list[torch.Tensor] = []
    handles = [
        inner.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: said[name].append(output))
        for name in names
    ]
    handles.append(inner.get_submodule(head).register_forward_pre_hook(lambda _, args: given.append(args[0])))
    forward = inner.forward

    def whole(*args: Any, **kwargs: Any) -> Cut:
        forward(*args, **kwargs)
        return Cut(given[-1])

    try:
        return said, _returning(whole, model, inner, inputs)
    finally:
        for handle in handles:
            handle.remove()


def mean_words(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of states, ``(B, T, D)``, over the tokens of a mask, ``(B, T)``: shape ``(B, D)``, fp32."""
    weights = mask[:, :, None].float()
    return (states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def mean_places(states: torch.Tensor, mask: torch.Tensor | None, at: int) -> torch.Tensor:
    """Return the mean of a picture's states over its places, without padding: shape ``(B, D)``, fp32.

    Args:
        states: Shape ``(B, D, h, w)``, or ``(B, T, D)`` without a mask.
        mask: Pixels that are no padding, shape ``(B, H, W)``, or of several pictures ``(B, n, H, W)``.
        at: Which of several pictures it is.
    """
    if states.ndim == 3:
        return states.float().mean(dim=1)
    if mask is None:
        return states.float().flatten(2).mean(dim=2)
    pixels = (mask[:, at] if mask.ndim == 4 else mask)[:, None].float()
    places = torch.nn.functional.interpolate(pixels, size=states.shape[2:])
    return mean_words(states.flatten(2).transpose(1, 2), places.flatten(1))
