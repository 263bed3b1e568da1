"""What a sequence of requests gives: its schema, and its JSON file, apart from the rows of the leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from mubench.hub_builders.tasks import Tier
from mubench.hub_builders.utils.atomic import write_text
from mubench.trainers.evaluation import row_limits
from mubench.trainers.evaluation.result import Flag, Sha256

# Folder of the files inside that of the result rows.
FOLDER = "sequences"
MAX_STEPS = 10
Ratio = Annotated[int, Field(ge=1, le=99)]
Number = Annotated[float, Field(ge=-row_limits.MAX_NUMBER, le=row_limits.MAX_NUMBER)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Standing(_Part):
    """A model, judged against the retrained models of one ratio.

    Attributes:
        ratio: Their ratio.
        retrained: Number of retrained models.
        bases: Number of base models.
        score: S; ``None`` where it is undefined.
        low: Lower end of its 95 % interval.
        high: Upper end.
        row: The part ``row`` of S, and likewise ``mean``, ``membership`` and ``utility``.
        no_signal: Why S is undefined, or the ratio fails the signal gate.
        flags: Faults of the model.
    """

    ratio: Ratio
    retrained: int = Field(ge=2, le=row_limits.MAX_SEEDS)
    bases: int = Field(ge=1, le=row_limits.MAX_SEEDS)
    score: row_limits.Share | None
    low: row_limits.Share | None
    high: row_limits.Share | None
    row: Number | None
    mean: Number | None
    membership: Number | None
    utility: Number | None
    no_signal: row_limits.Text | None
    flags: list[Flag]


class Scores(_Part):
    """Mean task scores of a model, or of several.

    Attributes:
        test: On test rows.
        retain: On the training rows that no request deletes.
        requests: On the rows of every request, in their order.
    """

    test: row_limits.Share
    retain: row_limits.Share
    requests: list[row_limits.Share] = Field(min_length=1, max_length=MAX_STEPS)


class Step(_Part):
    """One run: a request of the sequence, or the one that deletes all at once.

    Attributes:
        ratio: Percentage that is deleted after it.
        rows: Number of rows that it deletes.
        folder: Name of the model's folder.
        identity: Identity of its run.
        parent: Identity of the model that it started from.
        cost: Its cost, as in a result row.
        scores: Scores of the model.
        own: Against the retrained models of its own ratio; ``None`` where there are none.
        whole: Against those of the last ratio.
    """

    ratio: Ratio
    rows: int = Field(ge=1, le=int(row_limits.MAX_NUMBER))
    folder: row_limits.RunId
    identity: row_limits.Name
    parent: row_limits.Name
    cost: dict[row_limits.Name, row_limits.Positive] = Field(max_length=row_limits.MAX_ENTRIES)
    scores: Scores
    own: Standing | None
    whole: Standing

    @pydantic.field_validator("cost")
    @classmethod
    def _has_passes(cls, cost: dict[str, float]) -> dict[str, float]:
        if "passes_share" not in cost:
            raise ValueError("expected passes_share, the cost as a share of retraining, got none")
        return cost


class SequenceResult(_Part):
    """A sequence of requests, judged after every one.

    Attributes:
        sequence_id: Name of its file, without ``.json``.
        ratio: Percentage that all requests delete together.
        steps: Its finished requests.
        one_shot: The run that deletes all at once; ``None`` if it diverged.
        base: Scores of the model before any request; mean scores of the base models where that is none of them.
        retrained: Mean scores of the models retrained without any of the rows.
        stopped: Why the request after the finished ones failed; ``None`` if all are finished.
    """

    schema_version: Literal[1] = 1
    sequence_id: row_limits.RunId
    tier: Tier
    task: row_limits.Name
    family: row_limits.Name
    deletion_seed: row_limits.Seed
    split: row_limits.Name
    backbone: row_limits.Name
    base_seed: row_limits.Seed
    method: row_limits.Name
    method_file: Sha256 | None
    foreign_base: row_limits.Name | None
    seed: row_limits.Seed
    eval_seed: row_limits.Seed
    arguments: row_limits.Settings
    tuned: Literal["default", "tuned", "custom"]
    ratio: Ratio
    steps: list[Step] = Field(min_length=1, max_length=MAX_STEPS)
    one_shot: Step | None
    base: Scores
    retrained: Scores
    stopped: row_limits.Text | None = None

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Self:
        models = [*self.steps, *([self.one_shot] if self.one_shot else [])]
        scores = (self.base, *(one.scores for one in models))
        if {len(one.requests) for one in scores} != {self.planned}:
            raise ValueError(f"expected scores on the rows of all {self.planned} requests, got others")
        missing = self.planned - len(self.steps)
        if missing < 0 or (missing > 0) != (self.stopped is not None):
            raise ValueError(
                f"expected all {self.planned} requests, or why the next one failed, got {len(self.steps)}"
            )
        return self

    @property
    def planned(self) -> int:
        """Number of requests, finished or not."""
        return len(self.retrained.requests)

    @property
    def ratios(self) -> list[int]:
        """The ratio that is deleted after every request, finished or not."""
        return [self.ratio // self.planned * (place + 1) for place in range(self.planned)]

    @property
    def erosion(self) -> float:
        """Test score that is lost after the last finished request."""
        return self.base.test - self.steps[-1].scores.test

    @property
    def reversals(self) -> list[float]:
        """By how much the score on the rows of every request but the last rises after it until the end."""
        last = self.steps[-1].scores.requests
        return [last[i] - one.scores.requests[i] for i, one in enumerate(self.steps[:-1])]

    @property
    def passes(self) -> list[float]:
        """Cost of all requests up to every one, in passes, as a share of retraining's."""
        return [sum(one.cost["passes_share"] for one in self.steps[: i + 1]) for i in range(len(self.steps))]


def write_sequence(result: SequenceResult, results: Path) -> Path:
    """Write ``<results>/sequences/<sequence id>.json`` in one step and return its path."""
    path = results / FOLDER / f"{result.sequence_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, result.model_dump_json(indent=2) + "\n")
    return path


def read_sequences(results: Path) -> list[SequenceResult]:
    """Read every sequence of a folder of results, by id.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If one is not valid.
    """
    files = sorted((results / FOLDER).glob("*.json"), key=lambda path: path.name)
    if not files:
        raise FileNotFoundError(
            f"expected sequences in {results / FOLDER}, got none; make some with `mubench sequence`"
        )
    return [_read(path) for path in files]


def _read(path: Path) -> SequenceResult:
    with path.open("rb") as file:
        text = file.read(row_limits.MAX_BYTES + 1)
    try:
        return SequenceResult.model_validate(row_limits.parse_json(text))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']:.200}"
    except ValueError as error:
        reason = str(error)[:200]
    raise ValueError(f"expected {path} to be a sequence of requests, got {reason}")
