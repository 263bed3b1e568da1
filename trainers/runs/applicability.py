"""Which methods are made for what: a kind of task, a family of backbones, and a set of rows to forget."""

from __future__ import annotations

from mubench.hub_builders.tasks import BACKBONES, Kind
from mubench.trainers.methods import METHODS
from mubench.trainers.models.setting import Setting
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer


def get_method(key: str) -> type[UnlearningTrainer]:
    """Return a method's trainer.

    Raises:
        ValueError: If there is no such method; the message names those there are.
    """
    if key not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {key!r}")
    return METHODS[key]


def methods_for(kind: Kind, backbone: str | None = None) -> list[str]:
    """Return the methods that are made for a kind of task, on a backbone if one is named."""
    return [key for key, trainer in METHODS.items() if kind in trainer.kinds and _takes(trainer, backbone)]


def _takes(trainer: type[UnlearningTrainer], backbone: str | None) -> bool:
    if trainer.families is None or backbone is None:
        return True
    return BACKBONES[backbone].family.removeprefix("mini-") in trainer.families


def check_method(key: str, kind: Kind, backbone: str | None = None) -> None:
    """Check that a method is made for a kind of task, on a backbone if one is named.

    Raises:
        ValueError: If it is not, or there is none; the message names those there are.
    """
    trainer = get_method(key)
    if kind not in trainer.kinds or not _takes(trainer, backbone):
        where = kind if kind not in trainer.kinds else f"{kind} on {backbone}"
        raise ValueError(f"method for {where} must be one of {', '.join(methods_for(kind, backbone))}, got {key!r}")


def forgets_whole_classes(setting: Setting, ratio: int) -> bool:
    """Say whether no retain row has a label that a forget row has."""
    train = setting.rows["train"].data
    if "label" not in train.column_names:
        return False
    forgotten = train.column("deletion_rank").to_numpy() < setting.info.forget_size(ratio)
    labels = train.column("label").to_numpy()
    return not set(labels[forgotten].tolist()) & set(labels[~forgotten].tolist())


def check_request(key: str, setting: Setting, ratio: int) -> None:
    """Check that a method is made for a task, a backbone and the rows to forget.

    Raises:
        ValueError: If it is not; the message names the methods that are.
    """
    check_method(key, setting.task.kind, setting.backbone)
    if METHODS[key].whole_classes and not forgets_whole_classes(setting, ratio):
        raise ValueError(
            f"method for rows of classes that stay must be one of {', '.join(methods_on(setting, ratio))}, "
            f"got {key!r}: it forgets whole classes"
        )


def methods_on(setting: Setting, ratio: int) -> list[str]:
    """Return the methods that are made for a task, a backbone and the rows to forget."""
    keys, whole = methods_for(setting.task.kind, setting.backbone), forgets_whole_classes(setting, ratio)
    return [key for key in keys if whole or not METHODS[key].whole_classes]
