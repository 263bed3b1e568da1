"""Which methods are made for what: a kind of task, a family of backbones, and a forget set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mubench.hub_builders.tasks import Kind
from mubench.hub_builders.utils.cli import did_you_mean
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.method_table import method_table

if TYPE_CHECKING:
    from mubench.trainers.models.setting import Setting
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer


def check_known(key: str) -> None:
    """Check that there is a method of this name, without importing it.

    Raises:
        ValueError: If there is none; the message names those there are.
    """
    if key not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {key!r}{did_you_mean(key, METHODS)}")


def get_method(key: str) -> type[UnlearningTrainer]:
    """Return a method's trainer.

    Raises:
        ValueError: If there is no such method; the message names those there are.
    """
    check_known(key)
    return METHODS[key]


def methods_for(kind: Kind, backbone: str | None = None) -> list[str]:
    """Return the methods that are made for a kind of task, on a backbone if one is named."""
    return [key for key, method in method_table().items() if method.takes(kind, backbone)]


def check_method(key: str, kind: Kind, backbone: str | None = None) -> None:
    """Check that a method is made for a kind of task, on a backbone if one is named.

    Raises:
        ValueError: If it is not, or there is none; the message names those there are.
    """
    check_known(key)
    method = method_table()[key]
    if not method.takes(kind, backbone):
        where = kind if kind not in method.kinds else f"{kind} on {backbone}"
        raise ValueError(f"method for {where} must be one of {', '.join(methods_for(kind, backbone))}, got {key!r}")


def forgets_whole_classes(setting: Setting, ratio: int) -> bool:
    """Whether no row of the retain set has a label that occurs in the forget set."""
    train = setting.rows["train"].data
    if "label" not in train.column_names:
        return False
    forgotten = setting.forget_mask(ratio)
    labels = train.column("label").to_numpy()
    return not set(labels[forgotten].tolist()) & set(labels[~forgotten].tolist())


def check_request(key: str, setting: Setting, ratio: int) -> None:
    """Check that a method is made for a task, a backbone and a forget set.

    Raises:
        ValueError: If it is not; the message names the methods that are.
    """
    check_method(key, setting.task.kind, setting.backbone)
    if method_table()[key].whole_classes and not forgets_whole_classes(setting, ratio):
        raise ValueError(
            f"method for rows of classes that stay must be one of {', '.join(methods_on(setting, ratio))}, "
            f"got {key!r}: it forgets whole classes"
        )


def methods_on(setting: Setting, ratio: int) -> list[str]:
    """Return the methods that are made for a task, a backbone and a forget set."""
    keys, whole = methods_for(setting.task.kind, setting.backbone), forgets_whole_classes(setting, ratio)
    return [key for key in keys if whole or not method_table()[key].whole_classes]
