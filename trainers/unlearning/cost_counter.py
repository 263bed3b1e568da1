"""`CostCounter`: how many examples went forward and backward through the student and its teachers."""

from __future__ import annotations

import contextlib
import warnings
from collections import defaultdict
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook

from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

STUDENT = "student"


class CostCounter:
    """Counts examples per model while it is open: ``with CostCounter(trainer) as cost: trainer.train()``.

    An example counts forward when a model returns its logits, and backward when a gradient reaches them. Teachers are
    identified at every call, so those that `prepare` makes are counted from their first example on. Evaluation inside
    the block counts too, unless it is within `pause`.

    Args:
        trainer: The trainer whose models are counted.

    Attributes:
        forward: Examples forward by model: ``"student"`` and the keys of ``trainer.teachers``.
        backward: Examples backward by model.
        whole: Examples forward in whole passes: one that ends at a block counts as the share of the blocks before it.
    """

    def __init__(self, trainer: UnlearningTrainer) -> None:
        self.trainer = trainer
        self.forward: dict[str, int] = defaultdict(int)
        self.backward: dict[str, int] = defaultdict(int)
        self.whole: dict[str, float] = defaultdict(float)
        self._active = True

    def counts(self) -> dict[str, float]:
        """Return examples ``forward`` and ``backward`` over all models, and ``whole`` where passes were truncated."""
        forward, backward, whole = (sum(part.values()) for part in (self.forward, self.backward, self.whole))
        return {"forward": forward, "backward": backward, **({} if whole == forward else {"whole": whole})}

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Count nothing within the block."""
        before, self._active = self._active, False
        try:
            yield
        finally:
            self._active = before

    def __enter__(self) -> CostCounter:
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        # A compiled model calls the hook once more, for a wrapper of its own.
        warnings.filterwarnings("ignore", message="Using `torch.compile")
        self._handle = register_module_forward_hook(self._count)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._handle.remove()
        self._warnings.__exit__(kind, error, None)

    def _name(self, module: torch.nn.Module) -> str | None:
        if module is self.trainer.model:
            return STUDENT
        inner = self.trainer.inner
        teachers = {**(inner.teachers if inner else {}), **self.trainer.teachers}
        return next((name for name, teacher in teachers.items() if module is teacher), None)

    def _count(self, module: torch.nn.Module, _: Any, output: Any) -> None:
        name = self._name(module) if self._active else None
        if name is None:
            return
        rows = len(output.logits) * self.trainer.vectorized_rows
        self.forward[name] += rows
        self.whole[name] += rows * getattr(output, "depth", 1)
        if output.logits.requires_grad:
            output.logits.register_hook(lambda _: self._count_backward(name, rows))

    def _count_backward(self, name: str, rows: int) -> None:
        self.backward[name] += rows
