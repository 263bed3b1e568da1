"""The choices of the menus: built tasks, their backbones, ratios with and without reference models, and methods."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jobs.paths import DATA, MODELS

from handlers.input_checks import check_choice, check_ratio
from mubench.hub_builders.dataset.load import TaskInfo, task_info
from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.tasks import BACKBONES, in_order
from mubench.hub_builders.tasks.names import FAMILIES
from mubench.hub_builders.utils.hints import command
from mubench.trainers.evaluation.group import Group, find_group, retrained_by_ratio
from mubench.trainers.evaluation.judge_runs import has_shipped_references
from mubench.trainers.methods import METHODS
from mubench.trainers.models.setting import Setting, load_setting
from mubench.trainers.runs.method_table import methods_on

DEFAULT_RATIO = 10


def built_tasks(family: str = "canonical") -> list[str]:
    """Return the tasks that are built in a family, in the order of the table."""
    found = read_manifests(DATA.with_name(f"{DATA.name}{FAMILIES[family]}"))
    return in_order(found)


def built_families() -> list[str]:
    """Return the families that are built."""
    return [family for family in FAMILIES if built_tasks(family)]


def built_task_info(task: Any, family: str | None = None) -> TaskInfo:
    """Describe a task as it is built; without a family, in the one that its results are about.

    Raises:
        ValueError: If it is not built.
    """
    key = check_choice("task", task, built_tasks() if family is None else built_tasks(family))
    return task_info(key, family=family or ranked_family(key))


def ranked_family(task: str) -> str:
    """Return the family that a task's results are about if it is built, otherwise ``canonical``."""
    info = task_info(task)
    primary = info.row.family_of(info.tier)
    return primary if task in built_tasks(primary) else "canonical"


def backbones(task: Any) -> list[str]:
    """Return the backbones for a task's tier: mini ones for mini rows, and for those of a custom task."""
    info = built_task_info(task)
    mini = [key for key in info.row.recipes if BACKBONES[key].is_mini]
    others = [key for key in info.row.recipes if key not in mini]
    return (mini or others) if info.tier in ("mini", "custom") else others


def chosen_setting(task: Any, backbone: Any) -> Setting:
    """Return the setting of a task and backbone.

    Raises:
        ValueError: If it does not exist.
    """
    info = built_task_info(task)
    return load_setting(info.task, check_choice("backbone", backbone, backbones(task)), family=info.family)


def chosen_group(task: Any, backbone: Any, ratio: Any) -> Group:
    """Return the reference models of a setting and ratio.

    Raises:
        ValueError: If the setting does not exist.
    """
    setting = chosen_setting(task, backbone)
    return find_group(setting, check_ratio(ratio, setting.info.forget), MODELS)


def ratios(task: Any, backbone: Any) -> dict[int, int]:
    """Return the number of retrained models of every ratio, 0 where there is no base model.

    A run can be compared with one retrained model; judging takes two.
    """
    return retrained_by_ratio(chosen_setting(task, backbone), MODELS)


def has_base(task: Any, backbone: Any) -> bool:
    """Whether a base model of a setting is here."""
    return bool(chosen_group(task, backbone, DEFAULT_RATIO).bases)


def shipped_ratios(task: Any, backbone: Any) -> list[int]:
    """Return the ratios whose reference models' evidence comes with the suite: S needs no more than a base model."""
    setting = chosen_setting(task, backbone)
    return list(_shipped(setting.task.key, setting.info.files, setting.backbone))


@lru_cache(maxsize=256)
def _shipped(task: str, _: str, backbone: str) -> tuple[int, ...]:
    setting = chosen_setting(task, backbone)
    return tuple(ratio for ratio in sorted(setting.info.forget) if has_shipped_references(setting, ratio))


def references_command(task: str, backbone: str, ratio: int | str, family: str | None = None) -> str:
    """Return the command that trains the reference models; without a family, in the ranked one."""
    choice = {"task": task, "backbone": backbone, "ratio": ratio, "family": family or ranked_family(task)}
    return command("references", **choice, seeds="0 1 2")


def methods(task: Any, backbone: Any, ratio: Any) -> list[str]:
    """Return the methods that start from a trained model and apply to the setting and its forget set."""
    setting = chosen_setting(task, backbone)
    ratio = check_ratio(ratio, setting.info.forget)
    return list(_methods(setting.task.key, setting.info.files, setting.backbone, ratio))


@lru_cache(maxsize=256)
def _methods(task: str, _: str, backbone: str, ratio: int) -> tuple[str, ...]:
    keys = methods_on(chosen_setting(task, backbone), ratio)
    return tuple(key for key in keys if not METHODS[key].from_scratch)


def _best_ratio(menus: dict[str, Any]) -> int:
    """Return the ratio whose runs can be judged best: by S, by many retrained models here, or the usual one."""
    counts, shipped = menus["ratios"], menus["shipped"]
    return max(counts, key=lambda one: (counts[one] > 1 or one in shipped, counts[one], one == DEFAULT_RATIO))


def menu_choices(task: Any, backbone: Any, ratio: Any, method: Any) -> dict[str, Any]:
    """Return the choices of all four menus and the current one of each; what does not fit the task is replaced.

    Raises:
        ValueError: If the task is not built.
        FileNotFoundError: If no task is built.
    """
    tasks = built_tasks()
    if not tasks:
        raise FileNotFoundError("expected tasks in ./mu-bench, got none; build them with: mubench build")
    task = check_choice("task", task, tasks) if task else tasks[0]
    menus: dict[str, Any] = {"tasks": tasks, "backbones": backbones(task)}
    backbone = backbone if backbone in menus["backbones"] else menus["backbones"][0]
    menus["ratios"] = ratios(task, backbone)
    menus["shipped"] = shipped_ratios(task, backbone)
    ratio = str(ratio) if str(ratio) in map(str, menus["ratios"]) else str(_best_ratio(menus))
    menus["methods"] = methods(task, backbone, ratio)
    default = "scrub" if "scrub" in menus["methods"] else menus["methods"][0]
    method = method if method in menus["methods"] else default
    return {**menus, "chosen": {"task": task, "backbone": backbone, "ratio": ratio, "method": method}}
