"""`judge`: computes the result row of a model of any origin, or of a table of outputs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mubench.hub_builders.dataset.task_info import find_task
from mubench.hub_builders.hub.model_folder import REFERENCE, RUN_FILE, Run, read_run
from mubench.hub_builders.tasks import names
from mubench.trainers.engine.errors import EVALUATION, explain_out_of_memory
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.judge_runs import Judge
from mubench.trainers.evaluation.result import RunInfo, read_result
from mubench.trainers.evaluation.row_limits import check_name
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.storage import hash_splits
from mubench.trainers.methods import METHODS
from mubench.trainers.models.backbones import describe_backbone, find_backbone
from mubench.trainers.models.base_models import predict_splits
from mubench.trainers.models.environment import environment
from mubench.trainers.models.model_files import find_model
from mubench.trainers.models.setting import Setting, load_setting
from mubench.trainers.runs.commands import judge_group, summary
from mubench.trainers.runs.grid_parsers import read_ratio
from mubench.trainers.runs.outside_outputs import OutsideOutputs, read_outside


@dataclass(frozen=True)
class Source:
    """What is judged.

    Attributes:
        splits: Outputs by split, as they were found or computed.
        run: The run that made the model, where its ``run.json`` lies beside; else ``None``.
        outputs_only: Whether there is no model, only its outputs.
        environment: Versions and device of the forward passes, where they were made here.
    """

    splits: Mapping[str, Outputs]
    run: Run | None
    outputs_only: bool
    environment: Mapping[str, Any] = field(default_factory=lambda: {"versions": {}, "device": "unknown"})


def judge_model(options: argparse.Namespace) -> list[str]:
    """Judge what the options name, and return the lines to print.

    Raises:
        FileNotFoundError: If the model, or its references, are not there.
        ValueError: If the name is that of a method, the model or the outputs are about something else, or are damaged.
    """
    name, ratio = _check_method_name(options.name), read_ratio(options)
    names.check_seed("base_seed", options.base_seed)
    place = {"data": options.data, "family": options.family}
    task, models = find_task(options.task, **place), Path(options.models)
    backbone = find_backbone(options.backbone, task, models)
    setting = load_setting(options.task, backbone, **place, eval_seed=options.eval_seed)
    setting.info.forget_size(ratio)
    wanted = setting.run(ratio=ratio, base_seed=options.base_seed, method=name, seed=0, tuned="custom")
    judge = Judge(find_group(setting, ratio, models), Path(options.results))
    if options.base_seed not in (known := judge.references.seeds.bases):
        raise ValueError(f"expected base_seed of a reference, {', '.join(map(str, known))}, got {options.base_seed}")
    source = _read(options.source, wanted, setting, judge.group.models)
    known_run = source.run is not None and source.run.identity in judge.references.seeds.identities
    if known_run or hash_splits(source.splits) in judge.references.seeds.outputs:
        raise ValueError(f"expected another model than the references, got one of them: {options.source}")
    retrained = judge.references.retrained
    reference = retrained[min(retrained)] if retrained else {}
    outputs = OutsideOutputs(setting, ratio, reference).align(source.splits)
    if not judge.group.can_compare_shifted:
        outputs.pop("shifted", None)
    judge_group(judge)
    path = judge.outputs(_info(wanted, source, judge), outputs)
    return [*describe_backbone(backbone, task), f"row:   {path}", *summary(read_result(path), path.parent)]


def _check_method_name(name: str) -> str:
    """Return the name of a row's method, which must be none of ours."""
    check_name(name)
    if (key := name.lower().replace("-", "_")) in (*METHODS, *CONTROLS):
        raise ValueError(f"expected a name of its own, since {key} is a method or control of the suite, got {name!r}")
    return name


def _info(wanted: Run, source: Source, judge: Judge) -> RunInfo:
    """Return what a row is about; the cost is known where a run of ours made the model."""
    base = names.base_model(
        wanted.task,
        wanted.tier,
        wanted.backbone,
        family=wanted.family,
        base_seed=wanted.base_seed,
        eval_seed=wanted.eval_seed,
    )
    family: dict[str, Any] = {"family": wanted.family, "deletion_seed": wanted.deletion_seed}
    name = names.unlearned_model(base, judge.group.ratio, str(wanted.method), 0, **family)
    made_here = source.run is not None and source.run.method is not None and not source.outputs_only
    cost = judge.with_shares(source.run.cost) if source.run is not None and made_here else {}
    info = RunInfo.from_run(wanted.finished(cost=cost, **source.environment), f"{name}-{wanted.identity[:8]}")
    return info.model_copy(update={"outputs_only": source.outputs_only})


def _read(name: str, wanted: Run, setting: Setting, models: Path) -> Source:
    """Return what a path or Hub id names.

    Raises:
        FileNotFoundError: If there is nothing of this name.
        ValueError: If it is neither a model nor outputs, or was made on something else.
    """
    path = find_model(name)
    if path.is_file():
        return Source(read_outside(path), None, outputs_only=True)
    if not path.is_dir():
        raise FileNotFoundError(f"expected a model folder, a Hub id, or outputs as parquet, got nothing at {name}")
    if any(path.glob("*.parquet")):
        run = _run_in(path.parent if path.name == REFERENCE else path, wanted)
        return Source(read_outside(path, run.outputs if run else None), run, outputs_only=True)
    run = _run_in(path, wanted)
    loaded: tuple[Any, Any] = setting.load(path) if run else setting.load_foreign(path)
    model, processor = loaded
    if run is None or run.foreign_base:
        setting = setting.with_own_encoding()
    if torch.cuda.is_available():
        model.to("cuda")
    with explain_out_of_memory("a pass over every row", EVALUATION):
        splits = predict_splits(setting, model, processor, models)
    return Source(splits, run, outputs_only=False, environment=environment(next(model.parameters()).device))


def _run_in(folder: Path, wanted: Run) -> Run | None:
    """Return the run that made a folder of ours, and ``None`` of any other folder.

    Raises:
        ValueError: If it was made on other data, another backbone, ratio or base seed, or by a later request of a
            sequence.
    """
    if not (folder / RUN_FILE).is_file():
        return None
    run = read_run(folder)
    if run.deleted_before is not None:
        raise ValueError(
            f"expected a model of one request, since its cost is that of one, got the model of a later request of a "
            f"sequence, from {run.deleted_before} % to {run.ratio} %, in {folder}; `sequence` judges it"
        )
    same = ["task", "tier", "family", "deletion_seed", "split", "backbone", "base_seed", "eval_seed"]
    if run.ratio is not None:  # a base model is about no ratio
        same.append("ratio")
    for one in same:
        if (found := getattr(run, one)) != (expected := getattr(wanted, one)):
            shown = [str(value)[:12] if one == "split" else str(value) for value in (expected, found)]
            raise ValueError(f"expected a model of {one} {shown[0]} in {folder}, got {shown[1]}")
    return run
