"""What can be chosen: tasks that are built, backbones that fit, ratios with and without references, methods."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jobs.paths import DATA, MODELS

from handlers.checks import one_of, ratio_of
from mubench.hub_builders.dataset.load import TaskInfo, task_info
from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.tasks import BACKBONES, TASKS, get_task
from mubench.hub_builders.tasks.names import FAMILIES
from mubench.hub_builders.utils.hints import target
from mubench.trainers.evaluation.references import Group, find_group, retrained_by_ratio
from mubench.trainers.methods import METHODS
from mubench.trainers.models.setting import Setting, load_setting
from mubench.trainers.runs.applicability import methods_on

USUAL_RATIO = 5


def built(family: str = "canonical") -> list[str]:
    """Return the tasks that are built in a family, in the order of the table."""
    found = read_manifests(DATA.with_name(f"{DATA.name}{FAMILIES[family]}"))
    return [key for key in TASKS if key in found]


def families() -> list[str]:
    """Return the families that are built."""
    return [family for family in FAMILIES if built(family)]


def info_of(task: Any, family: str | None = None) -> TaskInfo:
    """Describe a task as it is built, in the family that it is ranked on if that is there.

    Raises:
        ValueError: If it is not built.
    """
    known = built() if family is None else built(family)
    key = one_of("task", task, known)
    return task_info(key, family=family or ranked_family(key))


def ranked_family(task: str) -> str:
    """Return the family that a task's runs are about."""
    primary = get_task(task).family_of(task_info(task).tier)
    return primary if task in built(primary) else "canonical"


def backbones(task: Any) -> list[str]:
    """Return the backbones of a task that its rows are for: mini ones for mini rows."""
    mini = info_of(task).tier == "mini"
    return [key for key in get_task(task).recipes if (BACKBONES[key].hub_id is None) == mini]


def bench_of(task: Any, backbone: Any) -> Setting:
    """Return the setting of a choice.

    Raises:
        ValueError: If it does not exist.
    """
    info = info_of(task)
    return load_setting(info.task, one_of("backbone", backbone, backbones(task)), family=info.family)


def group_of(task: Any, backbone: Any, ratio: Any) -> Group:
    """Return the models of a setting.

    Raises:
        ValueError: If it does not exist.
    """
    setting = bench_of(task, backbone)
    return find_group(setting, ratio_of(ratio, setting.info.forget), MODELS)


def ratios(task: Any, backbone: Any) -> dict[int, int]:
    """Return every ratio of a task, and how many retrained models it has: none where there is no base model.

    One is enough to set a run beside, two to judge it.
    """
    return retrained_by_ratio(bench_of(task, backbone), MODELS)


def making(task: str, backbone: str, ratio: int | str, family: str | None = None) -> str:
    """Return the command that makes what runs are judged against; without a family, in the ranked one."""
    place = {"task": task, "backbone": backbone, "ratio": ratio, "family": family or ranked_family(task)}
    return target("references", **place, seeds="0 1 2")


def methods(task: Any, backbone: Any, ratio: Any) -> list[str]:
    """Return the methods that change a trained model and are made for the rows to forget."""
    setting = bench_of(task, backbone)
    return list(_methods(setting.task.key, setting.info.files, setting.backbone, ratio_of(ratio, setting.info.forget)))


@lru_cache(maxsize=256)
def _methods(task: str, _: str, backbone: str, ratio: int) -> tuple[str, ...]:
    keys = methods_on(bench_of(task, backbone), ratio)
    return tuple(key for key in keys if not METHODS[key].from_scratch)


def narrowed(task: Any, backbone: Any, ratio: Any, method: Any) -> dict[str, Any]:
    """Return the lists of all four menus and what is chosen in each; what does not go with the task gives way.

    Raises:
        ValueError: If the task is not built, or nothing is.
        FileNotFoundError: If nothing is built.
    """
    tasks = built()
    if not tasks:
        raise FileNotFoundError("expected tasks in ./mu-bench, got none; build them with: make data bases")
    task = one_of("task", task, tasks) if task else tasks[0]
    lists: dict[str, Any] = {"tasks": tasks, "backbones": backbones(task)}
    backbone = backbone if backbone in lists["backbones"] else lists["backbones"][0]
    lists["ratios"] = ratios(task, backbone)
    most = max(lists["ratios"], key=lambda each: (lists["ratios"][each], each == USUAL_RATIO))
    ratio = str(ratio) if str(ratio) in map(str, lists["ratios"]) else str(most)
    lists["methods"] = methods(task, backbone, ratio)
    usual = "scrub" if "scrub" in lists["methods"] else lists["methods"][0]
    method = method if method in lists["methods"] else usual
    return {**lists, "chosen": {"task": task, "backbone": backbone, "ratio": ratio, "method": method}}
