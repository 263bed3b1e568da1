"""Model folders: the record of a run in ``run.json``, and its scratch folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mubench.hub_builders.tasks.names import DATASET, family_location, fingerprint
from mubench.hub_builders.utils.atomic import WORK, write_json
from mubench.hub_builders.utils.hints import command
from mubench.hub_builders.utils.text import quote

if TYPE_CHECKING:
    from pydantic import TypeAdapter

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
REFERENCE = "reference"
_MEASURED = ("cost", "history", "versions", "device", "tuned", "files", "outputs", "definition", "adopted")
# Attributes that a record names only where they are set.
_OPTIONAL = (
    "method_file", "backbone_files", "backbone_start", "foreign_base", "adopted", "deleted_before", "definition"
)  # fmt: skip
# Runs by the text of their ``run.json``: a process parses and hashes a text once.
_READ: dict[str, Run] = {}


@dataclass(frozen=True, kw_only=True)
class Run:
    """The canonical config of one training or unlearning run, and its cost.

    Attributes:
        task: Task key.
        tier: Tier of the data.
        family: Deletion family.
        deletion_seed: Seed of the deletion order.
        ratio: Percentage deleted; ``None`` for a base model.
        split: Fingerprint of the dataset's rows and ranks.
        backbone: Backbone key.
        base_seed: Seed of initialisation and data order of the base (or retrained) model.
        method: Method key; ``None`` for a base model.
        seed: Seed of the unlearning run; ``None`` for a base model.
        recipe: The shared recipe of base and retrained models.
        arguments: Hyper-parameters of the method; no paths, no tokens.
        tuned: Origin of the arguments: ``"default"``, ``"tuned"`` or ``"custom"``.
        parent: Identity of the model the run started from; ``None`` for base and retrained models.
        eval_seed: Seed of the noise of generated images among the reference outputs.
        method_file: SHA-256 of the user's file that defines the method; ``None`` for a method of the suite.
        backbone_files: SHA-256 over the files of a custom backbone; ``None`` for those of the suite.
        backbone_start: The backbone that retrained models start from where the base model is an adopted one, which
            another program trained; else ``None``.
        foreign_base: Architecture of the model that the run started from, where another program made it: of its
            training nothing is known, and ``parent`` is the SHA-256 over its files, or the identity of an adopted base
            model, whose own parent that is. ``None`` for models of the suite.
        adopted: Of an adopted base model, its ``parameters``, ``processor`` and ``repository``; else ``None``.
        deleted_before: Percentage that earlier requests of a sequence deleted: the forget set is the rows from there
            to ``ratio``, and ``parent`` the model of the request before. ``None`` where it is all rows of ``ratio``.
        cost: ``seconds`` of training, examples ``forward`` and ``backward``.
        history: Results of epoch evaluation, one entry per epoch; empty without it.
        versions: Library versions.
        device: Device of the run.
        files: SHA-256 of every file of model and processor, by name; empty in folders from before they were recorded.
        definition: Definition of a custom task, with the SHA-256 of its file; ``None`` for tasks of the
            table. The split's fingerprint, which is part of the identity, is that of its rows.
        outputs: SHA-256 of every file of outputs, by name; empty in folders from before they were recorded.
    """

    task: str
    tier: str
    family: str
    deletion_seed: int
    ratio: int | None
    split: str
    backbone: str
    base_seed: int
    method: str | None = None
    seed: int | None = None
    recipe: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tuned: str = "default"
    parent: str | None = None
    eval_seed: int = 0
    method_file: str | None = None
    backbone_files: str | None = None
    backbone_start: str | None = None
    foreign_base: str | None = None
    adopted: Mapping[str, Any] | None = None
    deleted_before: int | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = field(default_factory=list)
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    definition: Mapping[str, Any] | None = None

    @cached_property
    def identity(self) -> str:
        """The SHA-256 of all attributes but measurements and labels; equal runs have equal identities.

        Evaluation seed 0 is left out: only text-to-image models use another.
        """
        ignored = (*_MEASURED, *(() if self.eval_seed else ("eval_seed",)))
        return fingerprint({key: value for key, value in self.record().items() if key not in ignored})

    @property
    def checksum(self) -> str:
        """The SHA-256 of all attributes, measurements too."""
        return fingerprint(self.record())

    def has_setting_of(self, other: Run) -> bool:
        """Whether it is on the same rows as another, with the same backbone, recipe and evaluation seed."""
        same = ("split", "backbone", "recipe", "eval_seed")
        return all(getattr(self, name) == getattr(other, name) for name in same)

    def record(self) -> dict[str, Any]:
        """Return the attributes as ``run.json`` holds them: those of `_OPTIONAL` if there are."""
        absent = [name for name in _OPTIONAL if getattr(self, name) is None]
        return {key: value for key, value in asdict(self).items() if key not in absent}

    def finished(self, **measured: Any) -> Run:
        """Return the run with its measurements (cost, history, versions, device, outputs) and the same identity."""
        done = replace(self, **measured)
        done.__dict__["identity"] = self.identity
        return done

    def write(self, folder: Path) -> None:
        """Write ``run.json``."""
        record = {"schema": 1, **self.record(), "identity": self.identity, "checksum": self.checksum}
        write_json(folder / RUN_FILE, record, sort_keys=True)
        _READ[(folder / RUN_FILE).read_text()] = self


@cache
def _schema() -> TypeAdapter[Run]:
    import pydantic  # noqa: PLC0415  (tables of tasks and names need no schema)

    return pydantic.TypeAdapter(Run)


def read_run(folder: Path) -> Run:
    """Read the run of a model folder.

    Raises:
        ValueError: If the folder holds no readable ``run.json`` of this schema, or one that was edited.
    """
    try:
        text = (folder / RUN_FILE).read_text(encoding="utf-8")
        if text in _READ:
            return _READ[text]
        record = json.loads(text)
        schema, identity, checksum = record.pop("schema"), record.pop("identity"), record.pop("checksum", None)
        _schema().validate_json(text, strict=True)
        run = Run(**record)
        same = schema == 1 and run.identity == identity and checksum in (None, run.checksum)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        advice = _advice(folder) if (folder / RUN_FILE).exists() else ""  # else it may be anything
        raise ValueError(f"expected a model folder with a {RUN_FILE}, got {folder} ({reason:.200}){advice}") from error
    if not same:
        got = f"schema {quote(schema)} or an edited config"
        raise ValueError(f"expected {folder / RUN_FILE} unchanged, got {got}{_advice(folder)}")
    return _READ.setdefault(text, run)


def _advice(folder: Path) -> str:
    return f"; remove {folder} and start its command again"


def read_runs(models: Path) -> dict[Path, Run]:
    """Return the runs of all model folders in a folder; a damaged one is left out, and reported in one line."""
    found = {}
    for path in sorted(models.glob(f"*/{RUN_FILE}")):
        try:
            found[path.parent] = read_run(path.parent)
        except ValueError as error:
            _warn(f"{path.parent.name} is left out: {error}")
    return found


@lru_cache(maxsize=256)  # a server reads them at every request
def _warn(message: str) -> None:
    logger.warning("%s", message)


def remake_command(run: Run, folder: Path, data: str | None = None) -> str:
    """Return the command that makes a model folder anew once it is removed, from ``data`` or the usual folder."""
    data = data or family_location(DATASET, run.family, run.deletion_seed)
    what = {"task": run.task, "backbone": run.backbone, "ratio": run.ratio, "base_seed": run.base_seed}
    what |= {"seed": run.seed if run.parent else None, "eval_seed": run.eval_seed}
    what |= {"method_file": "FILE" if run.method_file else None, "base_model": "FOLDER" if run.foreign_base else None}
    own = run.arguments if run.method is None or run.tuned != "default" else {}
    given = {name: str(value) for name, value in own.items() if value is not None and not isinstance(value, list)}
    lists = [f"--{name} {' '.join(map(str, value))}" for name, value in own.items() if isinstance(value, list)]
    place = {"data": data, "family": run.family, "models": folder.parent}
    if run.method is None and run.backbone_start is not None:
        about = {"task": run.task, "start": run.backbone_start, "eval_seed": run.eval_seed}
        return command("adopt FOLDER", **about, **place)
    if run.deleted_before is not None:  # its parent is the model of the request before
        sequence = {"ratio": "RATIO", "steps": "STEPS", "method": run.method}
        place["models"] = folder.parent.parent
        return " ".join([command("sequence", **{**what, **sequence}, **place, **given), *lists])
    return " ".join([command(run.method or "base", **what, **place, **given), *lists])


def is_complete(folder: Path, run: Run) -> bool:
    """Return whether a folder holds exactly this run, finished."""
    return (folder / RUN_FILE).is_file() and read_run(folder).identity == run.identity


def work_path(folder: Path, run: Run) -> Path:
    """Return where the scratch folder of a run lies."""
    return folder.parent / WORK / f"{folder.name}-{run.identity[:12]}"


def work_folder(folder: Path, run: Run) -> Path:
    """Create and return the scratch folder of a run, whose checkpoints survive a killed process."""
    work = work_path(folder, run)
    work.mkdir(parents=True, exist_ok=True)
    return work
