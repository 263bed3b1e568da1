"""Parsers of the commands `base` and METHOD: an option for every field of their dataclasses."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import HfArgumentParser

from mubench.hub_builders.dataset.task_info import find_task
from mubench.hub_builders.tasks import BACKBONES, Task
from mubench.hub_builders.tasks.names import DATASET
from mubench.hub_builders.utils.cli import Parser, check_options, find_options
from mubench.trainers.engine.distributed import STEP
from mubench.trainers.engine.task_arguments import LORA, SIZE, SPEED, UNRECORDED, TaskArguments
from mubench.trainers.runs.defaults import RECORDED, default_arguments
from mubench.trainers.runs.method_table import METHOD_FILE, check_known, method_table, read_arguments
from mubench.trainers.unlearning.unlearning_arguments import ADDON_ARGUMENTS, EpochArguments, UnlearningArguments


@dataclass
class BaseArguments:
    """Which base model to train."""

    task: str = field(metadata={"help": "task key"})
    backbone: str | None = field(
        default=None,
        metadata={
            "help": "backbone key, see `mubench backbones TASK`, or folder or Hub id of a "
            "pretrained model; default: the task's first"
        },
    )
    base_seed: int = field(default=0, metadata={"help": "seed of initialisation and data order"})
    eval_seed: int = field(default=0, metadata={"help": "seed of the noise that generated images start from"})
    data: str = field(default=DATASET, metadata={"help": "dataset folder or Hub id"})
    family: str = field(default="canonical", metadata={"help": "deletion family"})
    models: str = field(default="models", metadata={"help": "folder of all models"})


@dataclass
class RunArguments(BaseArguments):
    """What a method runs on."""

    base_seed: int = field(default=0, metadata={"help": "seed of the base model, or of the retrained one"})
    ratio: str = field(default="10", metadata={"help": "percentage to delete, 1 to 10"})
    base_model: str | None = field(default=None, metadata={"help": "folder or Hub id of the model to start from"})
    results: str = field(default="results", metadata={"help": "folder of the result rows"})
    judge: bool = field(
        default=True,
        metadata={"help": "compute S and write the result row, which takes reference models; otherwise only train"},
    )
    method_file: str | None = field(default=None, metadata={"help": METHOD_FILE})


class OneSpelling(argparse.ArgumentDefaultsHelpFormatter):
    """Shows options without the spelling with dashes, which transformers adds."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        shown = copy.copy(action)
        shown.option_strings = [name for name in action.option_strings if "-" not in name.lstrip("-")]
        return super()._format_action_invocation(shown)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        """Describe ``--no_judge`` and its like, whose help and default transformers takes from ``--judge``."""
        if isinstance(action, argparse._StoreFalseAction) and action.help != argparse.SUPPRESS:
            return f"the same as --{action.dest} false"
        return super()._get_help_string(action)


class FlagParser(HfArgumentParser, Parser):
    """The transformers parser, which makes an option of every field of its dataclasses, with one-line errors."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": OneSpelling, **options})

    def show(self, groups: Mapping[str, Iterable[str]]) -> None:
        """Show these arguments under their titles, in this order, and hide all others.

        Args:
            groups: Names of arguments by title.
        """
        self.usage = "%(prog)s [-h] [--config FILE.yaml] --task TASK [--ARGUMENT VALUE ...]"
        general = [action for action in self._actions if action.dest in ("help", "config")]
        left = [action for action in self._actions if action not in general]
        self._optionals._group_actions = general
        for title, names in groups.items():
            group = self.add_argument_group(title)
            for name in names:
                group._group_actions += [action for action in left if action.dest == name]
        shown = {id(action) for group in self._action_groups for action in group._group_actions}
        for action in left:
            if id(action) not in shown:
                action.help = argparse.SUPPRESS

    def parse_given(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Return the options that are among the arguments; a default that was typed out counts as given."""
        absent = object()
        names = {action.dest: absent for action in self._actions if action.dest not in ("help", "config")}
        values = vars(self.parse_args(check_options(self, arguments), argparse.Namespace(**names)))
        return {name: value for name, value in values.items() if value is not absent}


def base_parser() -> FlagParser:
    """Return the parser of ``base``."""
    both: Any = [BaseArguments, TaskArguments]
    parser = FlagParser(both, prog="mubench base", allow_abbrev=False)
    parser.add_config()
    # The recipe decides about the steps, not the defaults of `TrainingArguments`, which help would show.
    parser.set_defaults(save_strategy="epoch", **dict.fromkeys(STEP))
    groups: dict[str, Iterable[str]] = {"where to run": BaseArguments.__dataclass_fields__}
    groups |= {"training rows": ("augment",), "LoRA": LORA, "size": SIZE}
    left = (*STEP, *SPEED, *sorted(UNRECORDED - {"output_dir"}))
    parser.show({**groups, "arguments of transformers.TrainingArguments that the recipe leaves open": left})
    return parser


def method_parser(method: str, arguments: Sequence[str] = ()) -> FlagParser:
    """Return the parser of a method: where to run, and every argument of its dataclass.

    Args:
        method: Method key.
        arguments: What will be parsed; if a task is among them, help shows the defaults that hold there.
    """
    check_known(method)
    # The method's own file would import all that trains; its arguments are read from its source.
    both: Any = [RunArguments, read_arguments(method, UnlearningArguments)]
    parser = FlagParser(both, prog=f"mubench {method}", allow_abbrev=False)
    parser.add_config()
    place, defaults = _defaults_there(method, arguments)
    parser.description = f"Defaults are those {place}."
    parser.set_defaults(seed=0, save_strategy="epoch", **defaults)
    between = tuple(EpochArguments.__dataclass_fields__)
    training = [name for name in RECORDED if name not in ("augment", *LORA, *SIZE, *ADDON_ARGUMENTS, *between)]
    unrecorded = sorted(UNRECORDED - {"output_dir", *between})
    parser.show(
        {
            "where to run": (*RunArguments.__dataclass_fields__, "seed"),
            f"arguments of {method}": method_table()[method].options,
            "between epochs": between,
            "training rows": ("augment",),
            "LoRA": LORA,
            "size": SIZE,
            "addons, for every method": ADDON_ARGUMENTS,
            "arguments of transformers.TrainingArguments, recorded with the run": training,
            "arguments of transformers.TrainingArguments that change no result": unrecorded,
        }
    )
    return parser


def _defaults_there(method: str, arguments: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    """Return where a method's defaults hold, as a phrase, and those that differ from its dataclass."""
    given = find_options(arguments, "task", "backbone", "data")
    task = _find_task(given["task"], given["data"] or DATASET)
    backbone = given["backbone"] or (task.default_backbone if task else "")
    declared = method_table()[method]
    if task is None or backbone not in BACKBONES or declared.from_scratch:
        return "of the method; a task and backbone have their own: give --task before --help to see them", {}
    place, made = f"on {task.key} with {backbone}", task.kind in declared.kinds
    return place, default_arguments(task.kind, BACKBONES[backbone].family, method) if made else {}


def _find_task(key: str | None, data: str) -> Task | None:
    """Return a task for its defaults, or ``None``: a mistyped key is reported as it is used."""
    try:
        return None if key is None else find_task(key, data=data)
    except ValueError:
        return None


def training_flags(given: dict[str, Any]) -> dict[str, Any]:
    """Return given `TaskArguments`, with checkpoints every epoch unless stated otherwise.

    Raises:
        ValueError: If a folder is given: it follows from what is run.
    """
    if "output_dir" in given:
        raise ValueError(
            f"expected no output_dir, since a folder's name follows from its run, inside the folder of --models; "
            f"got {given['output_dir']!r}"
        )
    return {"save_strategy": "steps" if "save_steps" in given else "epoch", **given}
