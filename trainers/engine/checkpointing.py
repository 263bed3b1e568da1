"""Checkpoints that a killed run resumes from exactly: complete ones only, under the parameter names in memory."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from mubench.hub_builders.utils.atomic import write_text
from mubench.trainers.engine.parameters import unwrap

COMPLETE = "complete"


class Checkpointed(Protocol):
    """State of a run that a checkpoint holds beside weights, optimizer and schedule."""

    def save(self, folder: Path) -> None:
        """Write the state into a checkpoint."""

    def load(self, folder: Path) -> None:
        """Read the state of a checkpoint."""


class AdapterBuffers:
    """The buffers of a model under LoRA, such as the statistics of BatchNorm: a checkpoint of adapters holds none."""

    FILE = "buffers.safetensors"

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def save(self, folder: Path) -> None:
        save_file(dict(unwrap(self.model).named_buffers()), folder / self.FILE)

    def load(self, folder: Path) -> None:
        buffers = load_file(folder / self.FILE)
        for name, buffer in unwrap(self.model).named_buffers():
            buffer.copy_(buffers[name])


def mark_complete(checkpoint: Path, cost: Mapping[str, float]) -> None:
    """Mark a checkpoint as complete, with what the run has cost so far."""
    write_text(checkpoint / COMPLETE, json.dumps(dict(cost)))


def read_cost(checkpoint: Path) -> dict[str, float]:
    """Return what a run had cost when a checkpoint was written."""
    return json.loads((checkpoint / COMPLETE).read_text())


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint, or ``None``."""
    done = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(done, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def remove_incomplete(folder: Path) -> None:
    """Remove checkpoints that were not written to their end."""
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / COMPLETE).is_file():
            shutil.rmtree(checkpoint, ignore_errors=True)  # another process may still write into it


@contextlib.contextmanager
def keep_parameter_names(model: torch.nn.Module) -> Iterator[None]:
    """Make `save_pretrained` keep the parameter names in memory.

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
