"""What the pool sends to its workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from jobs.run_limits import LIMITS_S

STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A visitor's request, as plain data: to run a method, or to train the missing reference models of a setting.

    ``arguments`` are those that differ from the defaults; references have no method. A run with ``trains_base`` has
    the time to train its base model first.
    """

    kind: Literal["run", "references"] = "run"
    task: str
    family: str
    backbone: str
    ratio: int
    method: str = ""
    base_seed: int = 0
    seed: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    trains_base: bool = False

    @property
    def limit_s(self) -> float:
        """Seconds that it may take."""
        return LIMITS_S[self.kind] + (LIMITS_S["references"] if self.trains_base else 0)

    @property
    def run_fields(self) -> dict[str, Any]:
        """The fields that `UnlearningRequest` has as well."""
        return {name: getattr(self, name) for name in ("method", "ratio", "base_seed", "seed", "arguments")}
