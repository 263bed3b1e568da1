"""Model folders: what a run was (``run.json``), and writing a folder so that it is there whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mubench.hub_builders.tasks.names import fingerprint

RUN_FILE = "run.json"
REFERENCE = "reference"
WORK = ".work"
_STAGE = ".stage-"
_MEASURED = ("cost", "history", "versions", "device", "tuned")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The canonical config of one training or unlearning run, and what it cost.

    Attributes:
        task: Task key.
        tier: Tier of the data.
        family: Deletion family.
        deletion_seed: Seed of the deletion draw.
        ratio: Percentage deleted; ``None`` for a base model.
        split: Fingerprint of the dataset's rows and ranks.
        backbone: Backbone key.
        base_seed: Seed of initialisation and data order of the base (or retrained) model.
        method: Method key; ``None`` for a base model.
        seed: Seed of the unlearning run; ``None`` for a base model.
        recipe: The shared recipe of base and retrained models.
        arguments: Hyper-parameters of the method; no paths, no tokens.
        tuned: How the arguments came about: ``"default"``, ``"tuned"`` or ``"custom"``.
        parent: Identity of the model the run started from; ``None`` for base and retrained models.
        eval_seed: Seed of what the model was asked to draw, which its reference outputs are about.
        cost: ``seconds`` of training, examples ``forward`` and ``backward``.
        history: What was found after every epoch, where anybody looked.
        versions: Library versions.
        device: What it ran on.
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

    @property
    def identity(self) -> str:
        """The sha256 of everything but what was measured or is a label: two runs with one identity are the same.

        The usual evaluation seed is left out: only models that draw have one.
        """
        left_out = (*_MEASURED, *(() if self.eval_seed else ("eval_seed",)))
        return fingerprint({key: value for key, value in asdict(self).items() if key not in left_out})

    def write(self, folder: Path) -> None:
        """Write ``run.json``."""
        record = {"schema": 1, **asdict(self), "identity": self.identity}
        (folder / RUN_FILE).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def read_run(folder: Path) -> Run:
    """Read the run of a model folder.

    Raises:
        ValueError: If the folder holds no readable ``run.json`` of this schema, or one that was edited.
    """
    try:
        record = json.loads((folder / RUN_FILE).read_text())
        schema, identity = record.pop("schema"), record.pop("identity")
        run = Run(**record)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"expected a model folder with a {RUN_FILE}, got {folder} ({error})") from error
    if schema != 1 or run.identity != identity:
        raise ValueError(f"expected {folder / RUN_FILE} as it was written, got schema {schema} or an edited config")
    return run


def is_complete(folder: Path, run: Run) -> bool:
    """Whether a folder holds exactly this run, finished."""
    return (folder / RUN_FILE).is_file() and read_run(folder).identity == run.identity


def work_folder(folder: Path, run: Run) -> Path:
    """Return (and make) the scratch folder of a run; it survives a killed process and holds its checkpoints."""
    work = folder.parent / WORK / f"{folder.name}-{run.identity[:12]}"
    work.mkdir(parents=True, exist_ok=True)
    return work


def _clear_stages(folder: Path) -> None:
    """Remove what killed processes had staged for a folder; what a living one stages is left alone."""
    for left in (folder.parent / WORK).glob(f"{glob.escape(folder.name + _STAGE)}*"):
        process = left.name.rpartition("-")[2]
        if process.isdecimal() and not _is_alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)  # two processes may both have come to clear it


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there and is somebody else's
        return True
    return True


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` when the block ends without an error.

    What processes that were killed here had staged for the same folder is removed first.
    """
    stage = folder.parent / WORK / f"{folder.name}{_STAGE}{os.getpid()}"
    shutil.rmtree(stage, ignore_errors=True)
    _clear_stages(folder)
    stage.mkdir(parents=True)
    try:
        yield stage
        old = stage.with_suffix(".old")
        shutil.rmtree(old, ignore_errors=True)  # a process killed between the two renames leaves one
        if folder.exists():
            folder.rename(old)
        stage.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
