"""The forward pass over the rows of a split; needs torch only when it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def predict(
    model: torch.nn.Module,
    dataset: Any,
    collate: Callable[[list[dict[str, Any]]], Mapping[str, Any]],
    *,
    batch_size: int = 256,
) -> npt.NDArray[np.float32]:
    """Return the model's logits for every row, ``(N, K)`` float32, in order.

    The model is asked in eval mode, without gradients, on the device it is on; every module's mode is restored.

    Args:
        model: A model whose output has ``logits``.
        dataset: Model-ready items (mappings), by position; their ``labels`` are not shown to the model.
        collate: Turns a list of items into one batch.
        batch_size: Rows per forward pass.

    Raises:
        ValueError: If there are no rows.
    """
    import torch  # noqa: PLC0415  reading outputs must not need torch

    if not len(dataset):
        raise ValueError("expected at least 1 row to predict, got 0")
    device = next(model.parameters()).device
    parts = []
    with _evaluating(model), torch.no_grad():
        for start in range(0, len(dataset), batch_size):
            items = [dict(dataset[i]) for i in range(start, min(start + batch_size, len(dataset)))]
            batch = {key: value.to(device) for key, value in collate(items).items() if key != "labels"}
            parts.append(model(**batch).logits.float().cpu().numpy())
    return np.concatenate(parts)
