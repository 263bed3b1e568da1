"""Forward passes that end at a block, and forward passes that capture the outputs of modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.unlearning.teachers import original_model


@dataclass(frozen=True)
class TruncatedOutput:
    """Output of a forward pass that stops at a block, or before the head.

    Attributes:
        states: Output of the block, shape ``(B, T, D)``, with the positions of an image as tokens; or input of the
            head.
        depth: Share of the model's blocks that was computed.
    """

    states: torch.Tensor
    depth: float = 1.0

    @property
    def logits(self) -> torch.Tensor:
        """The states, by which `CostCounter` counts examples."""
        return self.states


class _BlockReached(Exception):  # noqa: N818  no error: leaves the forward pass
    def __init__(self, output: Any) -> None:
        self.output = output


def hidden_states_at(
    model: torch.nn.Module, inner: torch.nn.Module, block: str, inputs: Mapping[str, Any], depth: float = 1.0
) -> torch.Tensor:
    """Run a model up to a block and return the block's output; later modules are not run and get no gradient.

    Args:
        model: The model, or its data-parallel wrapper.
        inner: The unwrapped model, or a teacher.
        block: Name of the block in the model within its adapters.
        inputs: Inputs of the model.
        depth: Share of the model up to the end of the block, for the count of its cost.

    Returns:
        States, shape ``(B, T, D)``; of images ``(B, H W, D)``.

    Raises:
        ValueError: If the forward pass does not reach the block.
    """
    forward = inner.forward

    def forward_to_block(*args: Any, **kwargs: Any) -> TruncatedOutput:
        try:
            forward(*args, **kwargs)
        except _BlockReached as reached:
            return TruncatedOutput(_tokens(reached.output), depth)
        raise ValueError(f"expected a model whose forward pass reaches block {block}, got one that does not")

    def stop(_: torch.nn.Module, __: Any, output: Any) -> None:
        raise _BlockReached(output)

    handle = original_model(inner).get_submodule(block).register_forward_hook(stop)
    try:
        return _run_with_forward(forward_to_block, model, inner, inputs)
    finally:
        handle.remove()


def _run_with_forward(
    forward: Callable[..., TruncatedOutput], model: torch.nn.Module, inner: torch.nn.Module, inputs: Mapping[str, Any]
) -> torch.Tensor:
    """Run a model with another forward function, so that a data-parallel wrapper sees a pass that returns."""
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
    """Return the states of a block's output ``(B, T, D)``, with the positions of an image as tokens."""
    states: torch.Tensor = output[0] if isinstance(output, tuple) else output
    if states.ndim == 2:
        return states[:, None]
    return states if states.ndim == 3 else states.flatten(2).transpose(1, 2)


def token_mask(states: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
    """Return the mask of the answer tokens, without those of the tokens that are no padding, else of all.

    Args:
        states: States of the tokens, shape ``(B, T, D)``.
        batch: Their batch; a mask of it counts if its shape is ``(B, T)``.

    Returns:
        Bool, shape ``(B, T)``.
    """
    for mask in (batch["labels"] != IGNORED, batch.get("attention_mask")):
        if mask is not None and mask.shape == states.shape[:2]:
            return mask.bool()
    return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)


def capture_outputs(
    model: torch.nn.Module, inner: torch.nn.Module, names: Sequence[str], head: str, inputs: Mapping[str, Any]
) -> tuple[dict[str, list[torch.Tensor]], torch.Tensor]:
    """Run a model and return the outputs of some modules and the input of its head, through which gradients flow.

    Args:
        model: The model, or its data-parallel wrapper.
        inner: The unwrapped model.
        names: Names of modules in ``inner`` whose outputs are captured.
        head: Name of the module whose input is returned.
        inputs: Inputs of the model.

    Returns:
        The outputs of every module, one per call, and the input of the head.
    """
    outputs: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    head_inputs: list[torch.Tensor] = []
    handles = [
        inner.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: outputs[name].append(output))
        for name in names
    ]
    handles.append(inner.get_submodule(head).register_forward_pre_hook(lambda _, args: head_inputs.append(args[0])))
    forward = inner.forward

    def forward_to_head(*args: Any, **kwargs: Any) -> TruncatedOutput:
        forward(*args, **kwargs)
        return TruncatedOutput(head_inputs[-1])

    try:
        return outputs, _run_with_forward(forward_to_head, model, inner, inputs)
    finally:
        for handle in handles:
            handle.remove()


def masked_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of states ``(B, T, D)`` over the tokens of a mask ``(B, T)``, shape ``(B, D)``, fp32."""
    weights = mask[:, :, None].float()
    return (states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def spatial_mean(states: torch.Tensor, mask: torch.Tensor | None, at: int) -> torch.Tensor:
    """Return the mean of an image's states over its positions without padding, shape ``(B, D)``, fp32.

    Args:
        states: Shape ``(B, D, h, w)``, or ``(B, T, D)``, where the mask is not used.
        mask: Pixels that are no padding, shape ``(B, H, W)``, or ``(B, n, H, W)`` of ``n`` images.
        at: Index among several images.
    """
    if states.ndim == 3:
        return states.float().mean(dim=1)
    if mask is None:
        return states.float().flatten(2).mean(dim=2)
    pixels = (mask[:, at] if mask.ndim == 4 else mask)[:, None].float()
    positions = torch.nn.functional.interpolate(pixels, size=states.shape[2:])
    return masked_mean(states.flatten(2).transpose(1, 2), positions.flatten(1))
