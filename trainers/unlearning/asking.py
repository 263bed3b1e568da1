"""`AskingTrainer`: a method's frozen teachers, and what they say of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from mubench.trainers.unlearning.pairing import collate_sides
from mubench.trainers.unlearning.streams import StreamsTrainer
from mubench.trainers.unlearning.teacher_cache import TeacherCache
from mubench.trainers.unlearning.teachers import frozen_copy


class AskingTrainer(StreamsTrainer):
    """Keeps teachers outside the student's module tree, and asks each about a row once, resumed runs included.

    Where rows are changed at random, teachers are asked about every one that is met.

    Args:
        *args: Passed to `StreamsTrainer`.
        teacher: A model to distil from in place of a frozen copy of the model.
        **kwargs: Passed to `StreamsTrainer`.

    Raises:
        ValueError: If a method without a teacher gets one.

    Attributes:
        uses_teacher: Whether a method has a teacher.
        teachers: Frozen models by name.
        memory: What they have said.
    """

    uses_teacher: ClassVar[bool] = False

    def __init__(self, *args: Any, teacher: torch.nn.Module | None = None, **kwargs: Any) -> None:
        if teacher is not None and not self.uses_teacher:
            raise ValueError(f"{type(self).__name__} has no teacher, got one")
        super().__init__(*args, **kwargs)
        self.teacher = teacher
        self.teachers: dict[str, torch.nn.Module] = {}
        self.teacher_cache = TeacherCache(on=self.args.remember and self.transform is None)

    def frozen_original(self) -> torch.nn.Module:
        """Return a frozen copy of the model as it is now, or of the teacher that was given, on the run's device."""
        return frozen_copy(self.model if self.teacher is None else self.teacher).to(self.args.device)

    def train_collator(self, items: Sequence[Any]) -> dict[str, Any]:
        """Collate rows and add their index and side, and their prints where teachers are asked about them."""
        return collate_sides(items, self.data_collator, prints=bool(self.teachers) and self.teacher_cache.on)

    def teacher_logits(self, teacher: str, batch: Mapping[str, Any], rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return a teacher's logits for a batch, or for some of its rows, asking about a row once a run if it can.

        Args:
            teacher: Key of ``self.teachers``.
            batch: A collated batch of ``B`` rows.
            rows: Which rows, bool, shape ``(B,)``; ``None`` for all.

        Returns:
            Logits, shape ``(b, K)`` or ``(b, T, V)``; of the latter those at answer tokens are meant.
        """
        with self.accelerator.autocast():
            return self.teacher_cache.logits(self.teachers[teacher], batch, rows)

    def teacher_nll(self, teacher: str, batch: Mapping[str, Any], rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``-log p(y)`` of whole answers under a teacher, shape ``(b,)``, asking as `teacher_logits` does."""
        with self.accelerator.autocast():
            return self.teacher_cache.nll(self.teachers[teacher], batch, rows)

    def keep(self, checkpoint: Path) -> None:
        """Keep what teachers have said beside a checkpoint."""
        super().keep(checkpoint)
        self.teacher_cache.save(checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)
        self.teacher_cache.load(Path(resume_from_checkpoint))
