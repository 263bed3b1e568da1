"""The forward pass over the rows of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.losses import IGNORED, per_example_loss, shift_labels
from mubench.trainers.engine.rows import CPU, RowView, collate_rows, fetch_parts
from mubench.trainers.inference.token_outputs import KEPT, TokenOutputs


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Put a model in eval mode, and every module back in its own mode afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


_batch_size: ContextVar[int | None] = ContextVar("rows per forward pass", default=None)


@contextmanager
def eval_batch_size(rows: int | None) -> Iterator[None]:
    """Set the rows of every forward pass within the block; ``None`` changes nothing."""
    before = _batch_size.set(rows)
    try:
        yield
    finally:
        _batch_size.reset(before)


def rows_per_pass(rows: int) -> int:
    """Return the rows of a forward pass within this block of `eval_batch_size`: by default ``rows``."""
    return _batch_size.get() or rows


Collate = Callable[[list[dict[str, Any]]], Mapping[str, Any]]


def predict(
    model: torch.nn.Module, dataset: Any, collate: Collate, *, batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """Return the model's logits for every row, ``(N, K)`` float32, in order.

    The model runs in eval mode, without gradients, on its device; every module's mode is restored.

    Args:
        model: A model whose output has ``logits``.
        dataset: Model-ready items (mappings), by position; the model does not get their ``labels``.
        collate: Turns a list of items into one batch.
        batch_size: Rows per forward pass.

    Raises:
        ValueError: If there are no rows.
    """
    return np.concatenate(
        [logits.float().cpu().numpy() for logits, _ in _forward(model, dataset, collate, batch_size)]
    )


def predict_tokens(
    model: torch.nn.Module, dataset: Any, collate: Collate, ids: Sequence[str], *, batch_size: int = 32
) -> TokenOutputs:
    """Return the model's outputs on the answer tokens of every row, teacher-forced.

    Args:
        model: A model whose output has ``logits`` (B, T, V): a causal language model, or an encoder and decoder whose
            batches hold ``decoder_input_ids``.
        dataset: Model-ready items with ``labels`` (T,), `IGNORED` where a token is no answer.
        collate: Turns a list of items into one batch.
        ids: Example ids, in order.
        batch_size: Rows per forward pass.

    Raises:
        ValueError: If there are no rows, or a row has no answer token.
    """
    parts: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)
    for logits, batch in _forward(model, dataset, collate, batch_size):
        for name, values in _answer_tokens(logits, shift_labels(model, batch)["labels"].to(logits.device)).items():
            parts[name].append(values)
    joined: dict[str, Any] = {name: np.concatenate(values) for name, values in parts.items()}
    return TokenOutputs(ids=np.asarray(ids, dtype=np.str_), **joined)


def answer_losses(
    model: torch.nn.Module, dataset: Any, collate: Collate, *, batch_size: int = 64
) -> npt.NDArray[np.float64]:
    """Return the mean negative log-probability of the answer tokens of every row in nats, ``(N,)``.

    Arguments and errors are those of `predict_tokens`.
    """
    losses = [
        per_example_loss(logits, shift_labels(model, batch)["labels"].to(logits.device)).double().cpu().numpy()
        for logits, batch in _forward(model, dataset, collate, batch_size)
    ]
    return np.concatenate(losses)


def _forward(
    model: torch.nn.Module, dataset: Any, collate: Collate, batch_size: int
) -> Iterator[tuple[torch.Tensor, Mapping[str, Any]]]:
    """Yield logits and batch, a batch at a time."""
    device = next(model.parameters()).device
    with eval_mode(model), torch.no_grad():
        for batch in collate_batches(dataset, collate, rows_per_pass(batch_size), device):
            inputs = {key: value.to(device) for key, value in model_inputs(batch).items()}
            yield model(**inputs).logits, batch


def collate_batches(
    dataset: Any, collate: Collate, size: int, device: torch.device = CPU
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a data set in batches, in order; on the device where they are made at once.

    Raises:
        ValueError: If there are no rows.
    """
    if not len(dataset):
        raise ValueError("expected at least 1 row to predict, got 0")
    for rows in fetch_parts(dataset, size):
        yield collate_rows(rows if isinstance(rows, RowView) else [dict(row) for row in rows], collate, device)


def _answer_tokens(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `TokenOutputs` for a batch: logits ``(B, T, V)`` and labels ``(B, T)``."""
    answer = labels != IGNORED
    log_p = logits[answer].float().log_softmax(dim=-1)
    true = labels[answer]
    p = log_p.exp()
    kept = torch.where(p > 0, log_p, 0)  # a token with probability 0 adds nothing
    mean = (p * kept).sum(dim=-1)
    top = log_p.topk(min(KEPT, log_p.shape[-1]), dim=-1)
    values = {
        "lengths": answer.sum(dim=1),
        "token_id": true.int(),
        "token_logprob": log_p.gather(1, true[:, None])[:, 0],
        "token_correct": log_p.argmax(dim=-1) == true,
        "top_id": top.indices.int(),
        "top_logprob": top.values,
        "token_mean": mean,
        "token_std": (p * (kept - mean[:, None]).square()).sum(dim=-1).sqrt(),
    }
    return {name: value.cpu().numpy() for name, value in values.items()}
