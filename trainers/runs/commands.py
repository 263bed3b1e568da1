"""What the front door does with one method: arguments in, model folder and judged row out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.load import HUB_ID
from mubench.hub_builders.hub.client import fetch_model
from mubench.hub_builders.hub.model_folder import is_complete
from mubench.hub_builders.tasks import BACKBONES, TASKS, get_task
from mubench.hub_builders.tasks.names import DATASET, check_ratio, check_seed
from mubench.hub_builders.utils.cli import Parser
from mubench.trainers.addons import ADDON_ARGUMENTS
from mubench.trainers.engine.distributed import is_main_process, set_up_process, world_size
from mubench.trainers.engine.lora import LORA
from mubench.trainers.engine.unrecorded_arguments import UNRECORDED
from mubench.trainers.evaluation.judge_runs import Judge
from mubench.trainers.evaluation.references import find_group
from mubench.trainers.evaluation.result import Result
from mubench.trainers.evaluation.result_files import read_result
from mubench.trainers.methods import METHODS
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.applicability import get_method
from mubench.trainers.runs.argument_parser import FlagParser, training_flags
from mubench.trainers.runs.defaults import default_arguments
from mubench.trainers.runs.recorded_arguments import RECORDED, for_one_of, recorded_names
from mubench.trainers.runs.run import Request, plan_run, unlearn
from mubench.trainers.unlearning.epoch_evaluation import EpochArguments


@dataclass
class RunArguments:
    """What to run a method on.

    Attributes:
        task: Task key.
        ratio: Percentage to delete: 1 to 10, or that of a user's own forget set.
        backbone: Backbone key; the task's first by default.
        base_seed: Seed of the base model, or of the fresh model for methods that retrain.
        eval_seed: Seed of what a model is asked to draw.
        base_model: Folder or Hub repository of the model to start from, in place of the one in ``models``.
        data: Dataset folder or Hub id.
        family: Deletion family.
        models: Folder of all models.
        results: Folder of the rows.
        judge: Whether to judge the result; needs base and retrained models.
    """

    task: str = field(metadata={"help": "task key"})
    ratio: str = field(default="5", metadata={"help": "percentage to delete, 1 to 10"})
    backbone: str | None = field(default=None, metadata={"help": "backbone key; default: the task's first"})
    base_seed: int = field(default=0, metadata={"help": "seed of the base model, or of the retrained one"})
    eval_seed: int = field(default=0, metadata={"help": "seed of what a model is asked to draw"})
    base_model: str | None = field(default=None, metadata={"help": "folder or Hub id of the model to start from"})
    data: str = field(default=DATASET, metadata={"help": "dataset folder or Hub id"})
    family: str = field(default="canonical", metadata={"help": "deletion family"})
    models: str = field(default="models", metadata={"help": "folder of all models"})
    results: str = field(default="results", metadata={"help": "folder of the result rows"})
    judge: bool = field(default=True, metadata={"help": "judge the result against the references"})


def method_parser(method: str, words: Sequence[str] = ()) -> FlagParser:
    """Return the parser of a method: where to run, and every argument of its dataclass.

    Args:
        method: Method key.
        words: What will be parsed; where it tells the task, help shows the defaults that hold there.
    """
    both: Any = [RunArguments, get_method(method).arguments]
    parser = FlagParser(both, prog=f"python -m mubench.trainers {method}", allow_abbrev=False)
    place, usual = _defaults_there(method, words)
    parser.description = f"Defaults are those {place}."
    parser.set_defaults(seed=0, save_strategy="epoch", **usual)
    own = [name for name in recorded_names(get_method(method)) if name not in RECORDED]
    between = tuple(EpochArguments.__dataclass_fields__)
    training = [name for name in RECORDED if name not in ("augment", *LORA, *ADDON_ARGUMENTS, *between)]
    unrecorded = sorted(UNRECORDED - {"output_dir", *between})
    parser.show(
        {
            "where to run": (*RunArguments.__dataclass_fields__, "seed"),
            f"arguments of {method}": own,
            "between epochs": between,
            "training rows": ("augment",),
            "LoRA": LORA,
            "addons, for every method": ADDON_ARGUMENTS,
            "arguments of transformers.TrainingArguments, recorded with the run": training,
            "arguments of transformers.TrainingArguments that change no result": unrecorded,
        }
    )
    return parser


def _defaults_there(method: str, words: Sequence[str]) -> tuple[str, Mapping[str, Any]]:
    """Return in words where a method's defaults hold, and those that differ from its dataclass."""
    where = Parser(add_help=False, allow_abbrev=False)
    for name in ("--task", "--backbone"):
        where.add_argument(name)
    told, _ = where.parse_known_args(list(words))
    task = TASKS.get(told.task)
    backbone = told.backbone or (task.default_backbone if task else "")
    if task is None or backbone not in BACKBONES or get_method(method).from_scratch:
        return "of the method; a task and backbone have their own: give --task before --help to see them", {}
    place, made = f"on {task.key} with {backbone}", task.kind in get_method(method).kinds
    return place, default_arguments(task.kind, BACKBONES[backbone].family, method) if made else {}


def request_of(method: str, words: Sequence[str]) -> tuple[Request, RunArguments]:
    """Parse a command line into a request.

    Raises:
        ValueError: If a task, backbone, method or ratio is unknown, or a seed is none.
    """
    given = method_parser(method, words).given(words)
    where = RunArguments(**{name: given.pop(name) for name in RunArguments.__dataclass_fields__ if name in given})
    task, ratio = get_task(where.task), check_ratio(where.ratio, where.family)
    for name, seed in (("base_seed", where.base_seed), ("seed", given.get("seed", 0))):
        check_seed(name, seed)
    if "seed" in given and get_method(method).from_scratch:
        raise ValueError(f"expected --base_seed, which is all the seeds that {method} has; got --seed {given['seed']}")
    request = Request(
        setting=load_setting(
            task.key,
            where.backbone or task.default_backbone,
            data=where.data,
            family=where.family,
            eval_seed=where.eval_seed,
        ),
        method=method,
        ratio=ratio,
        base_seed=where.base_seed,
        seed=given.pop("seed", 0),
        arguments=training_flags(given),
        base=start_from(where.base_model),
        models=Path(where.models),
    )
    return request, where


def start_from(name: str | None) -> Path | None:
    """Return the folder of a model that is named by its path or its Hub id: no folder, nor one beside others here."""
    if name is None:
        return None
    here = Path(name).exists() or Path(name).parent.is_dir()
    return Path(name) if here or not HUB_ID.fullmatch(name) else fetch_model(name)


def run_method(method: str, words: Sequence[str]) -> list[str]:
    """Run a method and judge the result; say where both lie and how it came out.

    Of several processes the first judges and has something to say.
    """
    set_up_process()
    request, where = request_of(method, words)
    run = plan_run(request)  # a missing base model is found out before anything is trained
    there = " (was there)" if is_complete(request.folder(run), run) else ""
    judged = where.judge and not request.trainer.from_scratch
    if judged:
        find_group(request.setting, request.ratio, request.models).require()
    folder = unlearn(request)
    if not is_main_process():
        return []
    if not judged:
        return [f"model: {folder}{there}"]
    group = find_group(request.setting, request.ratio, request.models)
    judge = Judge(group, Path(where.results))
    judge.controls()
    # References may have come since the other runs were judged: a table is about one set of them.
    rows = {each: judge.run(each) for each in group.unlearned}
    path = rows[folder]
    return [f"model: {folder}{there}", f"row:   {path}", *_summary(read_result(path))]


def _summary(row: Result) -> list[str]:
    if row.interval is None:
        return [f"no score: {row.no_signal or ', '.join(row.flags)}"]
    parts = ", ".join(f"{name} {row.metrics[name].value:.2f}" for name in ("row", "mean", "membership", "utility"))
    score = row.metrics["score"].value
    return [f"S = {score:.2f} (95 % interval {row.interval.low:.2f} to {row.interval.high:.2f}): {parts}"]


def _flag(name: str, value: Any) -> list[str]:
    """Return the words that give an argument its value."""
    return [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]


def rerun(words: Sequence[str]) -> list[str]:
    """Make the run of a result row, with its arguments and seeds, where it is not there; judge it again.

    Raises:
        ValueError: If the row is that of a control that is no run, or data, base model or flags make it another run.
    """
    parser = Parser(prog="python -m mubench.trainers rerun")
    parser.add_argument("row", type=Path, help="a result row, results/<run id>.json")
    known, rest = parser.parse_known_args(list(words))
    row = read_result(known.row)
    options = {"task": row.task, "ratio": row.ratio, "backbone": row.backbone, "base_seed": row.base_seed}
    options |= {"family": row.family, "eval_seed": row.eval_seed, **for_one_of(world_size(), row.arguments)}
    if row.method not in METHODS or not METHODS[row.method].from_scratch:
        options["seed"] = row.seed
    words = [word for key, value in options.items() if value is not None for word in _flag(key, value)]
    request, _ = request_of(row.method, [*words, *rest])
    if (found := plan_run(request).identity) != row.identity:
        raise ValueError(f"expected the data, base model and arguments of {known.row}, got another run: {found[:12]}")
    return run_method(row.method, [*words, *rest])
