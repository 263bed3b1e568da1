"""Resolves the backbone of a command: one of the table, or a custom pretrained model given by folder or Hub id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from mubench.hub_builders.tasks import BACKBONES, Task, get_recipe
from mubench.hub_builders.tasks.own_backbones import (
    OWN,
    OwnBackbone,
    closest_of,
    get_backbone,
    is_of_family,
    own_key,
    recipe_of,
)
from mubench.hub_builders.utils.atomic import write_json
from mubench.trainers.models.model_files import (
    PIPELINE,
    TEXTS,
    check_tokenizer,
    count_parameters,
    find_model,
    read_foreign,
)

# Folder beside model folders with a file for each custom backbone. It is not published: it holds paths.
RECORDS = ".backbones"


def find_backbone(given: str | None, task: Task, models: Path) -> str:
    """Return the key of a backbone, by default the task's first.

    A custom pretrained model gets a key of its name and its SHA-256. Its record in the folder of models lets
    later commands, and other processes, name it by that key.

    Args:
        given: A key, or the folder or Hub id of a pretrained model.
        task: The task.
        models: Folder of all models.

    Raises:
        FileNotFoundError: If the model is not on the Hub.
        ValueError: If it is no key of the task's, nor a pretrained model.
    """
    if given is None:
        return task.default_backbone
    if given in BACKBONES or recall_backbone(given, models):
        return given
    folder = find_model(given)
    if not folder.is_dir():
        try:
            get_recipe(task, given)
        except ValueError as error:
            raise ValueError(f"{error}; it may also be the folder or Hub id of a pretrained model") from error
    own = read_pretrained(folder, None if Path(given).is_dir() else given)
    if task.kind in TEXTS:
        check_tokenizer(folder)
    key = own_key(own.repository or folder.resolve().name, own.sha256)
    return remember_backbone(key, own, models)


def read_pretrained(folder: Path, repository: str | None) -> OwnBackbone:
    """Return what is known of a pretrained model in a folder.

    Raises:
        ValueError: If the folder holds none, or one that a run of the suite made.
    """
    foreign = read_foreign(folder)
    if foreign is None:
        raise ValueError(
            f"expected a pretrained model with config.json or {PIPELINE} in {folder} that is no run of the suite, "
            "got none"
        )
    return OwnBackbone(
        family=foreign.model_type,
        hub_id=str(folder.absolute()),
        millions=count_parameters(foreign) / 1e6,
        architecture=foreign.architecture,
        sha256=foreign.identity,
        repository=repository,
        has_chat_template=foreign.has_chat_template,
    )


def remember_backbone(key: str, own: OwnBackbone, models: Path) -> str:
    """Add a backbone to those that are known, in this process and beside the models, and return its key."""
    OWN[key] = own
    path = models / RECORDS / f"{key}.json"
    record = asdict(own)
    if not path.is_file() or json.loads(path.read_text(encoding="utf-8")) != record:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, record)
    return key


@contextmanager
def known_backbone(key: str, own: OwnBackbone) -> Iterator[None]:
    """Make a backbone known in this process, for good unless the block raises an error."""
    before = OWN.get(key)
    OWN[key] = own
    try:
        yield
    except BaseException:
        if before is None:
            del OWN[key]
        else:
            OWN[key] = before
        raise


def recall_backbone(key: str, models: Path) -> bool:
    """Return whether a folder of models has the record of a custom backbone, and make it known.

    Raises:
        ValueError: If the record, or that of the backbone that it starts from, is damaged.
    """
    own = _read_record(key, models)
    if own is None:
        return False
    if own.start is not None and own.start not in BACKBONES:
        start = _read_record(own.start, models)
        if start is None or start.start is not None:
            got = "none" if start is None else "that of an adopted model"
            raise ValueError(
                f"expected the record of {own.start}, a pretrained model, in {models / RECORDS}, got {got}"
            )
        OWN[own.start] = start
    OWN[key] = own
    return True


def _read_record(key: str, models: Path) -> OwnBackbone | None:
    path = models / RECORDS / f"{key}.json"
    if Path(key).name != key or not path.is_file():
        return None
    try:
        own = OwnBackbone(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"expected the record of a backbone in {path}, got {type(error).__name__}") from error
    if not isinstance(own.start, str | None):
        raise ValueError(f"expected the key of a backbone as start in {path}, got {own.start!r}")  # noqa: TRY004
    return own


def describe_backbone(key: str, task: Task) -> list[str]:
    """Return a line about a custom backbone: what it is, and which recipe and defaults hold for it."""
    if key not in OWN:
        return []
    own, like = OWN[key], closest_of(key, task.recipes)
    if own.start is not None:
        return [
            f"backbone: {key}, an adopted {own.architecture} of unknown training; retrained models start from "
            f"{own.start}, recipe and defaults are those of {like}{_about_turns(like, task)}"
        ]
    kinship = describe_kinship(like, task, architecture=own.architecture, model_type=own.family)
    return [
        f"backbone: {key}, {own.architecture} of {own.millions:.3g} M parameters; recipe and defaults are those of "
        f"{kinship}"
    ]


def describe_kinship(backbone: str, task: Task, *, architecture: str, model_type: str) -> str:
    """Return the key of a backbone whose recipe holds for a model, its kinship, and whether rows are turns."""
    same = is_of_family(get_backbone(backbone).family, architecture=architecture, model_type=model_type)
    family = "of its family" if same else f"a backbone of another family, for tasks of {task.kind}"
    return f"{backbone}, {family}{_about_turns(backbone, task)}"


def _about_turns(backbone: str, task: Task) -> str:
    """Return the end of a line about a recipe: how rows are read, where that is in a chat template."""
    is_chat = recipe_of(task, backbone).template == "chat"
    return "; prompts and answers are turns in the model's chat template" if is_chat else ""


def check_unchanged(own: OwnBackbone) -> Path:
    """Return the folder of a custom backbone, after a comparison of its files with their SHA-256.

    Raises:
        FileNotFoundError: If the folder is gone.
        ValueError: If it holds other files.
    """
    folder = Path(str(own.hub_id))
    foreign = read_foreign(folder)
    if foreign is None:
        raise FileNotFoundError(f"expected the pretrained model of {own.architecture} in {folder}, got none")
    if foreign.identity != own.sha256:
        raise ValueError(
            f"expected the files of {folder} with SHA-256 {own.sha256[:12]}, got {foreign.identity[:12]}: name the "
            "folder again, and it is another backbone"
        )
    return folder
