"""What the commands of room 2 do, from their arguments to the lines they print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.readme import rebuild_hint
from mubench.hub_builders.dataset.task_info import find_task, info_of_tiers, locate
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.names import DATASET, check_ratio, check_seed, family_location
from mubench.hub_builders.utils.cli import Parser, find_options
from mubench.hub_builders.utils.hints import command
from mubench.trainers.engine.distributed import is_main_process, set_up_process, world_size
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.judge import SCORE_PARTS
from mubench.trainers.evaluation.judge_runs import Judge, control_scores, require_references
from mubench.trainers.evaluation.result import Result, read_result, write_result
from mubench.trainers.evaluation.robustness import Robustness, add_values
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import WEIGHT_METRICS
from mubench.trainers.models.backbones import describe_backbone, describe_kinship, find_backbone
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.foreign_models import check_tokens
from mubench.trainers.models.model_files import closest_backbone, find_model, read_foreign
from mubench.trainers.models.setting import Setting, load_setting
from mubench.trainers.runs.argument_parser import (
    BaseArguments,
    RunArguments,
    base_parser,
    method_parser,
    training_flags,
)
from mubench.trainers.runs.defaults import for_one_of
from mubench.trainers.runs.grid_parsers import read_ratio
from mubench.trainers.runs.method_table import CUSTOM, get_method
from mubench.trainers.runs.plan import Plan, UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn


def run_base(arguments: Sequence[str]) -> list[str]:
    """Train a base model, or go on where a killed run stopped, and return its folder.

    Of several processes only the first returns a line.
    """
    set_up_process()
    given = base_parser().parse_given(arguments)
    where = BaseArguments(**{name: given.pop(name) for name in BaseArguments.__dataclass_fields__ if name in given})
    setting = _setting(where)
    folder = train_base(setting, where.base_seed, models=Path(where.models), **training_flags(given))
    return [*describe_backbone(setting.backbone, setting.task), str(folder)] if is_main_process() else []


def _setting(where: BaseArguments) -> Setting:
    task = find_task(where.task, data=where.data, family=where.family)
    backbone = find_backbone(where.backbone, task, Path(where.models))
    return load_setting(where.task, backbone, data=where.data, family=where.family, eval_seed=where.eval_seed)


def request_of(method: str, arguments: Sequence[str]) -> tuple[UnlearningRequest, RunArguments]:
    """Parse a command line into a request.

    Raises:
        ValueError: If a task, backbone, method or ratio is unknown, or a seed is none.
    """
    given = method_parser(method, arguments).parse_given(arguments)
    where = RunArguments(**{name: given.pop(name) for name in RunArguments.__dataclass_fields__ if name in given})
    task = find_task(where.task, data=where.data, family=where.family)
    ratio = check_ratio(where.ratio, where.family)
    for name, seed in (("base_seed", where.base_seed), ("seed", given.get("seed", 0))):
        check_seed(name, seed)
    if "seed" in given and get_method(method).from_scratch:
        raise ValueError(f"expected --base_seed, which is all the seeds that {method} has; got --seed {given['seed']}")
    base = find_model(where.base_model) if where.base_model is not None else None
    if where.backbone is None and base is not None and (foreign := read_foreign(base)):
        where.backbone = closest_backbone(foreign, task.recipes)
    request = UnlearningRequest(
        setting=_setting(where),
        method=method,
        ratio=ratio,
        base_seed=where.base_seed,
        seed=given.pop("seed", 0),
        arguments=training_flags(given),
        base=base,
        models=Path(where.models),
    )
    return request, where


def run_method(method: str, arguments: Sequence[str]) -> list[str]:
    """Run a method and judge the result; return lines with both paths and the score.

    Of several processes the first judges, and only it returns lines.
    """
    set_up_process()
    request, where = request_of(method, arguments)
    return _run_plan(resolve(request), where)


def _run_plan(plan: Plan, where: RunArguments) -> list[str]:
    request, there = plan.request, " (was there)" if plan.is_complete else ""
    judged = where.judge and not request.trainer.from_scratch
    if judged:
        check_references(request, plan.base_folder if plan.run.foreign_base else None)
    lines = [*describe_backbone(plan.run.backbone, request.setting.task), *_about_base(plan)]
    folder = unlearn(plan)
    if not is_main_process():
        return []
    if not judged:
        return [*lines, f"model: {folder}{there}"]
    judge = Judge(find_group(request.setting, request.ratio, request.models), Path(where.results))
    path = judge_group(judge)[folder]
    row = read_result(path)
    return [
        f"what:  {describe(row)}",
        *lines,
        f"model: {folder}{there}",
        f"row:   {path}",
        *summary(row, judge.results),
    ]


def check_references(request: UnlearningRequest, foreign: Path | None) -> None:
    """Check before anything is trained that there are references, with the tokens of a base model of another program.

    Args:
        request: What is to be run and judged.
        foreign: Folder of the base model where another program made it; else ``None``.

    Raises:
        FileNotFoundError: If there are too few references; the message names the command.
        ValueError: If outputs are about tokens, and the references have others.
    """
    group = find_group(request.setting, request.ratio, request.models)
    shipped = require_references(group)
    if foreign is not None:
        check_tokens(request.setting, foreign, None if shipped else next(iter(group.bases.values())))


def _about_base(plan: Plan) -> list[str]:
    """Return a line about a foreign base model: what its run takes of which backbone."""
    if not (architecture := plan.run.foreign_base):
        return []
    setting, backbone = plan.request.setting, plan.run.backbone
    foreign = read_foreign(plan.base_folder) if plan.base_folder else None
    if foreign is None:  # an adopted model, described with its backbone
        return []
    kinship = describe_kinship(backbone, setting.task, architecture=architecture, model_type=foreign.model_type)
    return [f"base:  {architecture} of unknown training; defaults and references are those of {kinship}"]


def judge_group(judge: Judge) -> dict[Path, Path]:
    """Judge the controls and all runs of a group, and return the rows of the runs.

    References may have come since some of them were judged: a table is about one set of references.
    """
    judge.controls()
    return {folder: judge.run(folder) for folder in judge.group.unlearned}


def describe(row: Result) -> str:
    """Return what a row is about in a line."""
    seeds = f"base seed {row.base_seed}, seed {row.seed}"
    family = "" if row.family == "canonical" else f" ({row.family})"
    return f"{row.method} on {row.task} ({row.tier} tier), {row.backbone}, {row.ratio} % deleted{family}, {seeds}"


def summary(row: Result, results: Path) -> list[str]:
    """Return S beside what it is read against, its parts and what to do next; or why there is no S."""
    if row.interval is None:
        return [f"no score: {row.no_signal or ', '.join(row.flags)}"]
    parts = {name: row.metrics[name].value for name in SCORE_PARTS[1:]}
    worst = max(parts, key=lambda name: parts[name])
    marks = {**control_scores(row, results), "base": 0.0}
    score = row.metrics["score"].value
    return [
        f"S = {score:.2f} (one seed, 95 % interval {row.interval.low:.2f} to {row.interval.high:.2f} over rows and "
        f"reference models, not seeds), beside {', '.join(f'{name} {value:.2f}' for name, value in marks.items())}",
        f"parts: {', '.join(f'{name} {value:.2f}' for name, value in parts.items())}; the weakest is {worst}",
        f"next:  {command('leaderboard', results=results)}",
    ]


def _flag(name: str, value: Any) -> list[str]:
    """Return the arguments that give an option its value."""
    return [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]


def rerun(arguments: Sequence[str]) -> list[str]:
    """Repeat the run of a result row, with its arguments and seeds, unless it is finished; judge it again.

    Raises:
        FileNotFoundError: If the row's data are missing; the message names the command that builds them.
        ValueError: If the row is that of a control that is no run, or data, base model or flags make it another run.
    """
    parser = Parser(
        prog="mubench rerun",
        usage="mubench rerun [-h] ROW.json [options of the row's method]",
        description="Repeat the run of a result row with its arguments and seeds, unless its model is there, and "
        "judge it again. The data and the base model are those of the row.",
        epilog="Options of the method are taken too, such as --data, --models, --results and --method_file.",
    )
    parser.add_argument("row", type=Path, metavar="ROW.json", help="a result row, results/<run id>.json")
    known, rest = parser.parse_known_args(list(arguments))
    row = read_result(known.row)
    data = find_options(rest, "data")["data"] or DATASET
    if Path(data).name == DATASET:  # stands for the folders of all families and deletion seeds
        data = family_location(data, row.family, row.deletion_seed)
    _check_data(row, data)
    options = {"task": row.task, "ratio": row.ratio, "backbone": row.backbone, "base_seed": row.base_seed}
    options |= {"family": row.family, "eval_seed": row.eval_seed, **for_one_of(world_size(), row.arguments)}
    if row.method not in METHODS or not METHODS[row.method].from_scratch:
        options["seed"] = row.seed
    if row.method_file and row.method not in CUSTOM:
        raise ValueError(
            f"expected --method_file with the file of {row.method}, SHA-256 {row.method_file[:12]}, got no such method"
        )
    recorded = [one for key, value in options.items() if value is not None for one in _flag(key, value)]
    set_up_process()
    request, where = request_of(row.method, [*recorded, *rest, *_flag("data", data)])
    plan = resolve(replace(request, tuned=row.tuned == "tuned"))
    if (found := plan.run.identity) != row.identity:
        what = "data, base model, method file and arguments" if row.method_file else "data, base model and arguments"
        raise ValueError(f"expected the {what} of {known.row}, got another run: {found[:12]}")
    return _run_plan(plan, where)


def _check_data(row: Result, data: str) -> None:
    """Raise if the data of a row are missing, of another tier or deleted otherwise, and name what is to be built."""
    tiers = [row.tier] if row.task in TASKS else []
    info = info_of_tiers(row.task, tiers, data=data, family=row.family)
    if info.split != row.split:
        root = locate(data, row.family)
        raise ValueError(
            f"expected the split {row.split[:12]} of {row.run_id} in {root}, got {info.split[:12]}: other rows or "
            f"other forget sets; {rebuild_hint(Path(root), row.task, row.family)}"
        )


def measure_robustness(options: argparse.Namespace) -> list[str]:
    """Add the values that need weights to the rows of a group's runs; a row that has them is kept."""
    task = find_task(options.task, data=options.data, family=options.family)
    backbone = find_backbone(options.backbone, task, Path(options.models))
    setting = load_setting(
        options.task, backbone, data=options.data, family=options.family, eval_seed=options.eval_seed
    )
    group = find_group(setting, read_ratio(options), Path(options.models))
    group.require()  # their weights are measured too, so that shipped evidence is not enough
    bases = {group.runs[base].identity for base in group.bases.values()}
    judge, robustness = Judge(group, Path(options.results)), Robustness(group)
    lines = []
    for folder, run in group.unlearned.items():
        if options.methods and run.method not in options.methods:
            continue
        if run.foreign_base and run.parent not in bases:
            lines.append(f"{folder.name}: left out, since its base model is none of the suite's")
            continue
        row = read_result(judge.run(folder))
        if not row.metrics.keys() & WEIGHT_METRICS.keys() and "nan" not in row.flags:
            row = add_values(row, robustness.values(folder))
            write_result(row, judge.results)
        found = (f"{name} {row.metrics[name].value:.2f}" for name in WEIGHT_METRICS if name in row.metrics)
        lines.append(f"{row.run_id}: {', '.join(found) or 'nothing measured'}")
    return lines
