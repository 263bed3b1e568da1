"""Model folders: the record of a run in ``run.json``, and its scratch folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mubench.hub_builders.tasks.names import fingerprint
from mubench.hub_builders.utils.atomic import WORK, write_json

RUN_FILE = "run.json"
REFERENCE = "reference"
_MEASURED = ("cost", "history", "versions", "device", "tuned", "files")
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
        cost: ``seconds`` of training, examples ``forward`` and ``backward``.
        history: Results of epoch evaluation, one entry per epoch; empty without it.
        versions: Library versions.
        device: Device of the run.
        files: SHA-256 of every file of model and processor, by name; empty in folders from before they were recorded.
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
    cost: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = field(default_factory=list)
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def identity(self) -> str:
        """The SHA-256 of all attributes but measurements and labels; equal runs have equal identities.

        Evaluation seed 0 is left out: only text-to-image models use another.
        """
        ignored = (*_MEASURED, *(() if self.eval_seed else ("eval_seed",)))
        return fingerprint({key: value for key, value in asdict(self).items() if key not in ignored})

    def finished(self, **measured: Any) -> Run:
        """Return the run with its measurements (cost, history, versions, device) and the same identity."""
        done = replace(self, **measured)
        done.__dict__["identity"] = self.identity
        return done

    def write(self, folder: Path) -> None:
        """Write ``run.json``."""
        record = {"schema": 1, **asdict(self), "identity": self.identity}
        write_json(folder / RUN_FILE, record, sort_keys=True)
        _READ[(folder / RUN_FILE).read_text()] = self


def read_run(folder: Path) -> Run:
    """Read the run of a model folder.

    Raises:
        ValueError: If the folder holds no readable ``run.json`` of this schema, or one that was edited.
    """
    try:
        text = (folder / RUN_FILE).read_text()
        if text in _READ:
            return _READ[text]
        record = json.loads(text)
        schema, identity = record.pop("schema"), record.pop("identity")
        run = Run(**record)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"expected a model folder with a {RUN_FILE}, got {folder} ({error})") from error
    if schema != 1 or run.identity != identity:
        raise ValueError(f"expected {folder / RUN_FILE} unchanged, got schema {schema} or an edited config")
    return _READ.setdefault(text, run)


def is_complete(folder: Path, run: Run) -> bool:
    """Return whether a folder holds exactly this run, finished."""
    return (folder / RUN_FILE).is_file() and read_run(folder).identity == run.identity


def work_folder(folder: Path, run: Run) -> Path:
    """Create and return the scratch folder of a run, whose checkpoints survive a killed process."""
    work = folder.parent / WORK / f"{folder.name}-{run.identity[:12]}"
    work.mkdir(parents=True, exist_ok=True)
    return work
