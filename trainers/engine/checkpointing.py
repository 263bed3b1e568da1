"""Checkpoints that a killed run can be resumed from exactly: whole ones only, and under the names in memory."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from transformers import PreTrainedModel

COMPLETE = "complete"


def mark_complete(checkpoint: Path, cost: Mapping[str, float]) -> None:
    """Mark a checkpoint as written to its end, with what the run has cost so far."""
    fresh = checkpoint / f".{COMPLETE}"
    fresh.write_text(json.dumps(dict(cost)))
    fresh.replace(checkpoint / COMPLETE)


def read_cost(checkpoint: Path) -> dict[str, float]:
    """Return what a run had cost when a checkpoint was written."""
    cost: dict[str, float] = json.loads((checkpoint / COMPLETE).read_text())
    return cost


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end, or ``None``."""
    done = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(done, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


@contextlib.contextmanager
def names_in_memory(model: torch.nn.Module) -> Iterator[None]:
    """Let `save_pretrained` keep the parameter names in memory.

    Some models (ViT, Swin, VideoMAE) are saved under their published names, which `transformers.Trainer` cannot load
    back into the running model.
    """
    if not isinstance(model, PreTrainedModel):
        yield
        return
    save = model.save_pretrained
    model.save_pretrained = functools.partial(save, save_original_format=False)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.save_pretrained
