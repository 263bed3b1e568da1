"""Result rows: their schema, and their JSON files, written in one step and validated on reading."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, Self

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from mubench.hub_builders.hub.model_folder import Run
from mubench.hub_builders.tasks import Tier
from mubench.hub_builders.tasks.names import check_ratio
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.hints import target

SCHEMA_VERSION: Literal[1] = 1
# A ranked row needs this many retrained models and base seeds; with fewer it is marked provisional.
ENOUGH_RETRAINED, ENOUGH_BASES = 5, 3

Flag = Literal["nan", "constant_class", "equals_base", "oracle_selection"]
ORACLE_SELECTION: Flag = "oracle_selection"
Scalar = bool | int | float | str | None


def _public(values: dict[str, Scalar | list[Scalar]]) -> dict[str, Scalar | list[Scalar]]:
    """Raise for absolute paths and Hub tokens, which must not be published."""
    for key, value in values.items():
        if isinstance(value, str) and value.startswith(("/", "~", "hf_")):
            raise ValueError(f"expected no path and no token in a row, got one as {key!r}")
    return values


Settings = Annotated[dict[str, Scalar | list[Scalar]], AfterValidator(_public)]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class RunInfo(_Row):
    """The run that a row is about: the attributes of `Run` but its history, and these.

    Attributes:
        run_id: Name of the row's file, without ``.json``.
        identity: sha256 of the run's canonical config; ``None`` for a control without a run.
        control: Whether the row is shown unranked; see ``mubench.trainers.evaluation.controls``.
        method: Key in ``METHODS``, or a control's name.
        outputs: sha256 of the judged outputs; ``None`` for a control without a run, and in rows from before it was
            recorded.
        cost: ``seconds`` of training without evaluation, examples ``forward`` and ``backward``, ``whole`` where passes
            end early (a pass of a quarter of the blocks counts as .25 of a forward one); and, as shares of the
            mean retrained model's, ``seconds_share`` and ``passes_share`` (forward + 2 backward). Empty for a control
            without a run.
    """

    run_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    identity: str | None = None
    outputs: Sha256 | None = None
    parent: str | None = None
    control: bool = False
    tier: Tier
    task: str
    family: str
    deletion_seed: int
    ratio: int
    split: str
    backbone: str
    base_seed: int
    method: str
    recipe: Settings
    arguments: Settings
    tuned: Literal["default", "tuned", "custom"]
    seed: int
    eval_seed: int = 0
    versions: dict[str, str]
    device: str
    cost: dict[str, float]

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
            ValueError: If it is the run of a base model, which is a control (``judge_controls``).
        """
        if run.method is None or run.ratio is None or run.seed is None:
            raise ValueError(f"expected the run of an unlearned model, got base model {run_id!r}")
        fields = {name: value for name, value in asdict(run).items() if name not in ("history", "files", "outputs")}
        return cls(**fields, run_id=run_id, identity=run.identity, control=control)


class Value(_Row):
    """A metric's value.

    Attributes:
        value: The number.
        n: Rows that it is computed on.
        retrained: Mean over the retrained models, each judged against the others; ``None`` where there are too few.
    """

    value: float
    n: int = Field(ge=1)
    retrained: float | None = None


class Interval(_Row):
    """Bootstrap of S.

    Attributes:
        low: 2.5 % quantile.
        high: 97.5 % quantile.
        lost: Resamples without signal; they count as 0.
        draws: S of every resample, in thousandths.
    """

    low: float
    high: float
    lost: int = Field(ge=0)
    draws: list[Annotated[int, Field(ge=0, le=1000)]] = Field(min_length=1)


class References(_Row):
    """The reference models of a judged run.

    Attributes:
        retrained: Seeds of the retrained models, ascending.
        bases: Seeds of the base models, ascending.
        identities: Identities of their runs, in that order; empty where outputs came from elsewhere.
        outputs: sha256 of their outputs, in that order; empty there, and in rows from before they were recorded.
    """

    retrained: list[int] = Field(min_length=2)
    bases: list[int] = Field(min_length=1)
    identities: list[str] = Field(default_factory=list)
    outputs: list[Sha256] = Field(default_factory=list, max_length=128)

    @pydantic.model_validator(mode="after")
    def _ascending(self) -> Self:
        for seeds in (self.retrained, self.bases):
            if seeds != sorted(set(seeds)):
                raise ValueError(f"expected seeds ascending and different, got {seeds}")
        return self


class Result(RunInfo):
    """One run, judged.

    Attributes:
        metrics: Value per metric; empty for a model whose outputs are not finite.
        interval: Interval of S; ``None`` where S is undefined.
        row_spread: The signal gate, standard deviation of leave-one-out retrained ``row``; ``None`` where undefined.
        no_signal: Why S is undefined or its group fails the gate; ``None`` otherwise.
        flags: Faults of the model, which keep a run from ranking; with ``oracle_selection`` alone (its epoch was
            selected by retrained models) it ranks apart.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    metrics: dict[str, Value]
    interval: Interval | None
    references: References
    row_spread: float | None
    no_signal: str | None
    flags: list[Flag]

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Self:
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
    """Return the row as JSON, one field a line, the bootstrap draws on one line."""
    payload, draws = result.model_dump(mode="json"), ""
    if result.interval is not None:
        payload["interval"]["draws"] = "@draws@"
        draws = json.dumps(result.interval.draws, separators=(",", ":"))
    return json.dumps(payload, indent=2, allow_nan=False).replace('"@draws@"', draws) + "\n"


def write_result(result: Result, folder: str | Path) -> Path:
    """Write ``<folder>/<run id>.json`` in one step and return its path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.run_id}.json"
    write_text(path, to_json(result))
    return path


def read_result(path: str | Path) -> Result:
    """Read one row.

    Raises:
        ValueError: If it is not a valid row, or not the one its file is named after.
    """
    path = Path(path)
    try:
        result = Result.model_validate_json(path.read_bytes())
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "row"
        raise ValueError(f"expected {path} to be a result row, got {place}: {first['msg']}") from error
    if result.run_id != path.stem:
        raise ValueError(f"expected {path} to hold run {path.stem!r}, got {result.run_id!r}")
    return result


def read_results(folder: str | Path) -> list[Result]:
    """Read every row of a folder, by run id.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If one of them is not valid.
    """
    files = sorted(Path(folder).glob("*.json"))
    if not files:
        making = target("results", results=folder)
        raise FileNotFoundError(f"expected result rows in {folder}, got none; make some with: {making}")
    return [read_result(file) for file in files]
