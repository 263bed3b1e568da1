"""Result rows: their schema, and their JSON files, written in one step and validated on reading."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic
import pydantic.dataclasses
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo

from mubench.hub_builders.hub.model_folder import Run
from mubench.hub_builders.tasks import Task, Tier
from mubench.hub_builders.tasks.definition import Definition, resolve_task
from mubench.hub_builders.tasks.names import check_ratio
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.hints import command
from mubench.hub_builders.utils.text import quote
from mubench.trainers.evaluation import row_limits
from mubench.trainers.metrics.bootstrap import DRAWS

SCHEMA_VERSION: Literal[1] = 1
# A ranked row needs this many retrained models and base seeds; with fewer it is marked provisional.
ENOUGH_RETRAINED, ENOUGH_BASES = 5, 3

# What `Run` has and rows do not, and what rows of the suite alone do not have.
_LEFT_OUT = ("history", "files", "outputs", "adopted", "deleted_before")
_OWN = ("definition", "backbone_files", "backbone_start")

Flag = Literal["nan", "constant_class", "equals_base", "oracle_selection"]
ORACLE_SELECTION: Flag = "oracle_selection"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class RunInfo(_Row):
    """The run that a row is about: the attributes of `Run` but a few, and these.

    Attributes:
        run_id: Name of the row's file, without ``.json``.
        identity: sha256 of the run's canonical config; ``None`` for a control without a run.
        control: Whether the row is shown unranked; see ``mubench.trainers.evaluation.controls``.
        method: Key in ``METHODS``, a control's name, or a custom method's key.
        foreign_base: Architecture of a base model that another program made; the parent is the sha256 of its files, or
            the identity of an adopted base model.
        backbone_files: sha256 over the files of a custom backbone; ``None`` for those of the suite.
        backbone_start: Backbone that retrained models start from where the base model is an adopted one.
        method_file: sha256 of the file that defines a custom method; ``None`` for others.
        outputs: sha256 of the judged outputs; ``None`` for a control without a run, and in rows from before it was
            recorded.
        outputs_only: Whether the model itself was not at hand, so that a table of outputs may have been judged.
        cost: ``seconds`` of training without evaluation, examples ``forward`` and ``backward``, ``whole`` where passes
            end early (a pass of a quarter of the blocks counts as .25 of a forward one); and, as shares of the
            mean retrained model's, ``seconds_share`` and ``passes_share`` (forward + 2 backward). Empty for a control
            without a run.
    """

    run_id: row_limits.RunId
    identity: row_limits.Name | None = None
    outputs: Sha256 | None = None
    parent: row_limits.Name | None = None
    control: bool = False
    outputs_only: bool = False
    tier: Tier
    task: row_limits.Name
    family: row_limits.Name
    deletion_seed: row_limits.Seed
    ratio: int = Field(ge=1, le=99)
    split: row_limits.Name
    backbone: row_limits.Name
    base_seed: row_limits.Seed
    method: row_limits.Name
    recipe: row_limits.Settings
    arguments: row_limits.Settings
    tuned: Literal["default", "tuned", "custom"]
    seed: row_limits.Seed
    eval_seed: row_limits.Seed = 0
    method_file: Sha256 | None = None
    backbone_files: Sha256 | None = None
    backbone_start: row_limits.Name | None = None
    foreign_base: row_limits.Name | None = None
    versions: dict[row_limits.Label, row_limits.Label] = Field(max_length=row_limits.MAX_ENTRIES)
    device: row_limits.Label
    cost: dict[row_limits.Name, row_limits.Positive] = Field(max_length=row_limits.MAX_ENTRIES)
    definition: Definition | None = None

    @pydantic.model_validator(mode="after")
    def _defined(self) -> Self:
        if (self.tier == "custom") != (self.definition is not None):
            raise ValueError(
                f"expected a definition of the task with tier custom and only there, got tier {self.tier}"
            )
        if self.definition is not None:
            resolve_task(self.task, self.definition)
        return self

    @property
    def task_row(self) -> Task:
        """The task: one of the table, or a custom task."""
        return resolve_task(self.task, self.definition)

    @pydantic.field_validator("ratio")
    @classmethod
    def _of_family(cls, ratio: int, others: ValidationInfo) -> int:
        return check_ratio(ratio, others.data.get("family", "canonical"))

    @property
    def oracle_selected(self) -> bool:
        """Whether the kept epoch was selected by the retrained models."""
        return self.arguments.get("keep") == "oracle"

    @classmethod
    def from_run(cls, run: Run, run_id: str, *, control: bool = False) -> RunInfo:
        """Return the description of a model folder's run.

        Raises:
            ValueError: If it is the run of a base model, which is a control (``judge_controls``), or a later request
                of a sequence.
        """
        if run.method is None or run.ratio is None or run.seed is None:
            raise ValueError(f"expected the run of an unlearned model, got base model {run_id!r}")
        if run.deleted_before is not None:
            raise ValueError(
                f"expected a run that deletes all of {run.ratio} %, got a request of a sequence: {run_id!r}"
            )
        fields = {name: value for name, value in asdict(run).items() if name not in _LEFT_OUT}
        return cls(**fields, run_id=run_id, identity=run.identity, control=control)


@pydantic.dataclasses.dataclass(
    frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False)
)
class Value:
    """A metric's value; with slots, since tables read many thousands.

    Attributes:
        value: The number.
        n: Rows that it is computed on.
        retrained: Mean over the retrained models, each judged against the others; ``None`` where there are too few.
    """

    value: float = Field(strict=True)
    n: int = Field(ge=1, le=int(row_limits.MAX_NUMBER), strict=True)
    retrained: float | None = Field(default=None, strict=True)


class Interval(_Row):
    """Bootstrap of S.

    Attributes:
        low: 2.5 % quantile.
        high: 97.5 % quantile.
        lost: Resamples without signal; they count as 0.
        draws: S of every resample in thousandths; in JSON base64 of little-endian int16, in older rows a list.
    """

    low: row_limits.Share
    high: row_limits.Share
    lost: int = Field(ge=0, le=DRAWS)
    draws: row_limits.Draws

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"expected low below high, got {self.low:g} and {self.high:g}")
        return self


class References(_Row):
    """The reference models of a judged run.

    Attributes:
        retrained: Seeds of the retrained models, ascending.
        bases: Seeds of the base models, ascending.
        identities: Identities of their runs, in that order; empty where outputs came from elsewhere.
        outputs: sha256 of their outputs, in that order; empty there, and in rows from before they were recorded.
        source: Whether they are models beside the run, or the shipped evidence of its setting.
    """

    retrained: list[row_limits.Seed] = Field(min_length=2, max_length=row_limits.MAX_SEEDS)
    bases: list[row_limits.Seed] = Field(min_length=1, max_length=row_limits.MAX_SEEDS)
    identities: list[row_limits.Name] = Field(default_factory=list, max_length=2 * row_limits.MAX_SEEDS)
    outputs: list[Sha256] = Field(default_factory=list, max_length=2 * row_limits.MAX_SEEDS)
    source: Literal["own", "shipped"] = "own"

    @pydantic.model_validator(mode="after")
    def _ascending(self) -> Self:
        for seeds in (self.retrained, self.bases):
            if seeds != sorted(set(seeds)):
                raise ValueError(f"expected seeds ascending and different, got {seeds}")
        return self


class Result(RunInfo):
    """One run, judged.

    Attributes:
        score_version: Version of S; rows of two versions share no table.
        metrics: Value per metric; empty for a model whose outputs are not finite.
        interval: Interval of S; ``None`` where S is undefined.
        row_spread: The signal gate, standard deviation of leave-one-out retrained ``row``; ``None`` where undefined.
        no_signal: Why S is undefined or its group fails the gate; ``None`` otherwise.
        flags: Faults of the model, which keep a run from ranking; with ``oracle_selection`` alone (its epoch was
            selected by retrained models) it ranks apart.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    score_version: Literal[1, 2] = 1
    metrics: dict[row_limits.Name, Value] = Field(max_length=row_limits.MAX_ENTRIES)
    interval: Interval | None
    references: References
    row_spread: float | None = Field(ge=0, le=row_limits.MAX_NUMBER)
    no_signal: row_limits.Text | None
    flags: list[Flag]

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Self:
        for name, value in self.metrics.items():
            row_limits.check_range(name, value.value, value.retrained)
        if len(set(self.flags)) < len(self.flags):
            raise ValueError("expected every flag once, got one twice")
        if ("score" in self.metrics) != (self.interval is not None):
            raise ValueError("expected a score and its interval together, got one of them")
        wrong = set(self.flags) - {ORACLE_SELECTION}
        if "score" not in self.metrics and not wrong and self.no_signal is None:
            raise ValueError("expected a score, a flag or a reason why there is no signal, got none of them")
        if self.oracle_selected != (ORACLE_SELECTION in self.flags):
            raise ValueError(f"expected flag {ORACLE_SELECTION} where keep is oracle and only there, got {self.flags}")
        return self

    @property
    def n_bases(self) -> int:
        """Number of base seeds among the references."""
        return len(self.references.bases)

    @property
    def reference_counts(self) -> str:
        """The number of retrained models and base seeds, in words."""
        counts = {"retrained model": len(self.references.retrained), "base seed": self.n_bases}
        return " and ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())

    @property
    def provisional(self) -> bool:
        """Whether the references are too few for a final rank."""
        return len(self.references.retrained) < ENOUGH_RETRAINED or self.n_bases < ENOUGH_BASES


def to_json(result: Result) -> str:
    """Return the row as JSON, one field a line."""
    absent = {name for name in _OWN if getattr(result, name) is None}
    return json.dumps(result.model_dump(mode="json", exclude=absent), indent=2, allow_nan=False) + "\n"


def write_result(result: Result, folder: str | Path) -> Path:
    """Write ``<folder>/<run id>.json`` in one step and return its path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.run_id}.json"
    write_text(path, to_json(result))
    return path


def parse_result(text: str | bytes, path: Path | None = None) -> Result:
    """Read one row from JSON, which may come from anybody; a message names the file.

    Raises:
        ValueError: If it is not a valid row; the message is one line.
    """
    try:
        return Result.model_validate(row_limits.parse_json(text))
    except pydantic.ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        # Of a value that may have several types, what is wrong is not that it has none of the others.
        types = ("none_required", "bool_type", "int_type", "float_type", "list_type")
        first = next((each for each in errors if each["type"] not in types), errors[0])
        place = ".".join(map(str, first["loc"])) or "row"
        reason = f"{place if place.isprintable() else quote(place):.80}: {first['msg']:.200}"
    except ValueError as error:
        reason = str(error)[:200]
    what = f"{path} to be a result row" if path else "a result row"
    raise ValueError(f"expected {what}, got {' '.join(reason.split())}")


def read_result(path: str | Path) -> Result:
    """Read one row.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a valid row, or not the one its file is named after.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"expected a result row in {path}, got no such file")
    if not path.is_file() and path.exists():
        raise ValueError(f"expected {path} to be a result row, got no file")
    with path.open("rb") as file:
        result = parse_result(file.read(row_limits.MAX_BYTES + 1), path)
    if result.run_id != path.stem:
        raise ValueError(f"expected {path} to hold run {path.stem!r}, got {result.run_id!r}")
    return result


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the collection of cycles, which would search all earlier rows again while thousands are read."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_results(folder: str | Path) -> list[Result]:
    """Read every row of a folder, by run id.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If one of them is not valid.
    """
    files = sorted(Path(folder).glob("*.json"), key=lambda path: path.name)
    if not files:
        making = command("sweep", task="cifar10", methods="scrub", results=folder)
        raise FileNotFoundError(f"expected result rows in {folder}, got none; make some with: {making}")
    with paused_collector():
        return [read_result(file) for file in files]
