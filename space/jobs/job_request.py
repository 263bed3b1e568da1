"""What a visitor wants done, as plain data that goes to a worker process."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A run of a method, or the reference models that a setting lacks.

    Attributes:
        kind: Which of the two.
        task: Task key.
        family: Deletion family.
        backbone: Backbone key.
        ratio: Percentage to delete.
        method: Method key; none for references.
        base_seed: Seed of the base model.
        seed: Seed of the run.
        arguments: What differs from the defaults.
    """

    kind: Literal["run", "references"] = "run"
    task: str
    family: str
    backbone: str
    ratio: int
    method: str = ""
    base_seed: int = 0
    seed: int = 0
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return dataclasses.asdict(self)
