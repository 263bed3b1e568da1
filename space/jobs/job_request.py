"""A visitor's request as plain data, which is sent to a worker process."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A request to run a method, or to train the missing reference models of a setting.

    Attributes:
        kind: Which of the two.
        task: Task key.
        family: Deletion family.
        backbone: Backbone key.
        ratio: Percentage to delete.
        method: Method key; empty for references.
        base_seed: Seed of the base model.
        seed: Seed of the run.
        arguments: Arguments that differ from the defaults.
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
