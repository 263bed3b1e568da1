"""`memorised`: lists of rows of low, middle and high memorisation, and the signal of forgetting each of them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.dataset.load import task_info
from mubench.hub_builders.dataset.task_info import find_task, locate, read_built
from mubench.hub_builders.deletion.forget_lists import read_example_ids
from mubench.hub_builders.tasks.names import DATASET, base_model
from mubench.hub_builders.tasks.own_backbones import is_adopted
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.hints import command, extend, shorten_recorded
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.judge_runs import Judge
from mubench.trainers.evaluation.reference_models import ReferenceModels
from mubench.trainers.metrics import NoSignal
from mubench.trainers.metrics.bootstrap import bootstrap
from mubench.trainers.metrics.evidence import Array
from mubench.trainers.metrics.leave_out import LEVELS, base_distance, leave_out_loss, split_by_score
from mubench.trainers.metrics.score import evidence_parts
from mubench.trainers.models.backbones import find_backbone
from mubench.trainers.models.setting import Setting, load_setting
from mubench.trainers.runs.grid_parsers import read_ratio

SEEDS = {"base_seeds": "0 1 2", "retrain_seeds": "0 1 2 3 4"}
HEAD = ("family", "rows", "leave-out loss", "base to retrained", "95 % interval", "retrained", "signal")
LEGEND = (
    "leave-out loss: mean loss of models retrained without the rows, less that of base models, in nats.",
    "base to retrained: mean distance of the confidence in the answer on forget rows, beyond that of retrained models",
    "among each other (the column retrained).",
)


def list_memorised(options: argparse.Namespace) -> list[str]:
    """Write the three lists, and return lines: the signal of each forget set, or the command that is to be run next.

    Raises:
        FileNotFoundError: If the task is not built, or there are too few references; the message names the command.
        ValueError: If the data are another draw of the deletion order or in a folder of another name, or a list is
            not one of the references' rows, or a family does not forget the rows of its list.
    """
    if Path(options.data).name != DATASET:
        raise ValueError(f"expected data named {DATASET}, beside which families have their own, got {options.data}")
    backbone = find_backbone(options.backbone, find_task(options.task, data=options.data), Path(options.models))
    setting = load_setting(options.task, backbone, data=options.data, eval_seed=options.eval_seed)
    ratio, models = read_ratio(options), Path(options.models)
    references = _references(setting, ratio, models)
    ids, scores = references.evidence.rows.forget, leave_out_loss(references.evidence)
    table: list[tuple[str, ...]] = [HEAD]
    after: list[str] = []
    for level, chosen in split_by_score(ids, scores).items():
        path = Path(options.out) / f"{_name(setting, ratio)}-{level}.txt"
        listed = _write_list(path, chosen)
        mean = f"{_mean_score(ids, scores, listed, path):.3f}"
        cells, following = _measure(setting, f"memorised_{level}", path, models)
        table.append((f"memorised_{level}", str(len(listed)), mean, *cells))
        after += following
    lines = [
        f"lists: {Path(options.out) / _name(setting, ratio)}-{{{','.join(LEVELS)}}}.txt",
        "",
        *align_columns(table, (0, 6)),
    ]
    return [*lines, "", *LEGEND, *(["", "next:", *after] if after else [])]


def _references(setting: Setting, ratio: int, models: Path) -> ReferenceModels:
    return Judge(find_group(setting, ratio, models), models).references  # nothing is judged, no row is written


def _name(setting: Setting, ratio: int) -> str:
    info = setting.info
    base = base_model(info.task, info.tier, setting.backbone, family=info.family, eval_seed=setting.eval_seed)
    return f"{base}-del{ratio}"


def _write_list(path: Path, chosen: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Write a list unless there is one, of which a family may be built, and return its ids."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(f"{one}\n" for one in sorted(chosen.tolist())))
    return np.asarray(list(read_example_ids(path)), dtype=np.str_)


def _mean_score(ids: npt.NDArray[np.str_], scores: Array, listed: npt.NDArray[np.str_], path: Path) -> float:
    if unknown := set(listed.tolist()) - set(ids.tolist()):
        raise ValueError(
            f"expected a list of rows that the references leave out, got others such as {min(unknown)!r}; remove "
            f"{path} to have it written anew"
        )
    return float(scores[np.isin(ids, listed)].mean())


def _measure(setting: Setting, family: str, path: Path, models: Path) -> tuple[tuple[str, ...], list[str]]:
    """Return the cells of a family's forget set, or dashes and the commands that build it and train its references."""
    try:
        info = task_info(setting.task.key, data=setting.data, family=family)
    except FileNotFoundError:
        return ("-", "-", "-", "not built"), [_build_command(setting, family, path)]
    (ratio,) = info.forget
    own = load_setting(
        setting.task.key, setting.backbone, data=setting.data, family=family, eval_seed=setting.eval_seed
    )
    if set(own.train_ids[own.forget_mask(ratio)].tolist()) != set(read_example_ids(path)):
        raise ValueError(
            f"expected family {family} to forget the rows of {path}, got others, such as those of another backbone; "
            f"build it anew with: {_build_command(setting, family, path)}"
        )
    try:
        references = _references(own, ratio, models)
    except FileNotFoundError:
        seeds = {**SEEDS, "base_seeds": "0"} if is_adopted(setting.backbone) else SEEDS
        where = {"task": setting.task.key, "backbone": setting.backbone, "family": family, "ratio": ratio, **seeds}
        place = {"data": setting.data, "models": models, "eval_seed": setting.eval_seed}
        return ("-", "-", "-", "no references"), [command("references", **where, **place)]
    found = base_distance(references.evidence, info.split)
    numbers = (f"{found.value:.3f}", f"{found.low:.3f} to {found.high:.3f}", f"{found.floor:.3f}")
    return (*numbers, find_no_signal(references, info.split) or "yes"), []


def _build_command(setting: Setting, family: str, path: Path) -> str:
    """Return the command that builds a family as the canonical one was built."""
    root = Path(locate(setting.data, setting.info.family))
    built = read_built(setting.task.key, str(root), setting.info.family)
    out = root.parent if root.is_dir() else None
    return extend(shorten_recorded(built["command"]), family=family, forget_ids=path, out=out)


def find_no_signal(references: ReferenceModels, split: str) -> str | None:
    """Return why rows that are judged against these references have no signal, or ``None``."""
    base = references.evidence.bases[0]  # what makes a part undefined follows from the references alone
    try:
        evidence_parts(base, references.evidence)
        bootstrap(base, references.evidence, split)
    except NoSignal as error:
        return str(error)
    return references.signal_gate[1]
