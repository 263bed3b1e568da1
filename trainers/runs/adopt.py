"""`adopt`: a model that another program trained on a task becomes a base model, with what is known of it."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch

from mubench.hub_builders.dataset.load import task_info
from mubench.hub_builders.tasks import BACKBONES, Task
from mubench.hub_builders.tasks.names import fingerprint
from mubench.hub_builders.tasks.own_backbones import OWN, OwnBackbone, closest_to, is_adopted, own_key
from mubench.hub_builders.utils.hints import command
from mubench.trainers.engine.distributed import own_run
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.models.backbones import (
    describe_backbone,
    find_backbone,
    known_backbone,
    read_pretrained,
    remember_backbone,
)
from mubench.trainers.models.base_models import base_name, write_model
from mubench.trainers.models.environment import environment
from mubench.trainers.models.foreign_models import TOKENS, load_start
from mubench.trainers.models.model_files import find_model
from mubench.trainers.models.setting import Setting, load_setting


def adopt_model(options: argparse.Namespace) -> list[str]:
    """Adopt the model that the options name, unless that has been done, and return the lines to print.

    Its folder is that of a base model of a backbone of its own, whose retrained models start from ``--start``.

    Raises:
        FileNotFoundError: If the model or its start is not there.
        ValueError: If either is damaged or of another kind, or their tokens differ where outputs are about tokens.
    """
    place: dict[str, Any] = {"data": options.data, "family": options.family}
    task, models, folder = task_info(options.task, **place).row, Path(options.models), find_model(options.source)
    repository = None if Path(options.source).is_dir() else options.source
    model = read_pretrained(folder, repository)
    start, about = _find_start(options.start, model, task, models)
    own = _with_start(model, start)
    key = own_key(repository or folder.resolve().name, own.sha256)
    with known_backbone(key, own):
        setting = load_setting(options.task, key, **place, eval_seed=options.eval_seed)
        target = _write(setting.with_own_encoding(), model, models)
    remember_backbone(key, own, models)
    group = find_group(setting, max(setting.info.forget), models)
    outputs = group.outputs(target)
    measured = [split for split in ("forget", "retain", "test") if split in outputs]
    scores = ", ".join(f"{split} {accuracy(outputs, split):.3f}" for split in measured)
    making = command("references", task=task.key, backbone=key, models=models, **place)
    return [
        *describe_backbone(key, task),
        *about,
        f"model:    {target}, {model.millions:.3g} M parameters, SHA-256 over its files {model.sha256}",
        f"accuracy: {scores} (forget: the rows of {group.ratio} %)",
        f"next:     {making}",
    ]


def _find_start(given: str | None, model: OwnBackbone, task: Task, models: Path) -> tuple[str, list[str]]:
    """Return the key of the backbone that retrained models start from, and a line where nothing was given."""
    if given is None:
        start = closest_to(
            task.recipes,
            architecture=model.architecture,
            model_type=model.family,
            millions=model.millions,
            has_chat_template=model.has_chat_template,
        )
        return start, [
            f"start:    none was given: retrained models start from the backbone's own weights, those of {start}"
        ]
    start = find_backbone(given, task, models)
    if is_adopted(start):
        raise ValueError(f"expected a pretrained model as --start, got {start}, which was adopted as a base model")
    return start, []


def _with_start(model: OwnBackbone, start: str) -> OwnBackbone:
    """Return the backbone of an adopted model, which no model is trained from."""
    of_start = OWN[start].sha256 if start in OWN else start
    both = fingerprint({"model": model.sha256, "start": of_start})
    return dataclasses.replace(model, start=start, sha256=both, hub_id=None)


def _write(setting: Setting, model: OwnBackbone, models: Path) -> Path:
    """Write the folder of the base model unless it is there, and return it."""
    run = setting.run(ratio=None, base_seed=0, foreign_base=model.architecture, parent=model.sha256)
    folder = models / base_name(run)
    with own_run(folder, run) as missing:
        if missing:
            loaded: tuple[Any, Any] = load_start(setting, Path(str(model.hub_id)), model.sha256)
            _check_start(setting, loaded[1])
            if torch.cuda.is_available():
                loaded[0].to("cuda")
            known = {
                "parameters": sum(weight.numel() for weight in loaded[0].parameters()),
                "processor": type(loaded[1]).__name__,
                "repository": model.repository,
            }
            done = run.finished(adopted=known, **environment(next(loaded[0].parameters()).device))
            write_model(folder, done, setting, *loaded)
    return folder


def _check_start(setting: Setting, processor: Any) -> None:
    """Check that retrained models can be made, and that their tokens are those of the adopted model.

    Raises:
        ValueError: If they cannot, or have others where outputs are about tokens.
    """
    _, other = setting.fresh_model(0)
    if setting.task.kind not in TOKENS or processor.get_vocab() == other.get_vocab():
        return
    start = OWN[setting.backbone].start
    shown = start if start in BACKBONES else f"the start {start}"
    raise ValueError(
        f"expected the tokenizer of {shown} ({len(other)} tokens), from which retrained models start, got "
        f"{len(processor)} tokens; name the pretrained model that it was trained from with --start"
    )
