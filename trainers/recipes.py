"""Default arguments of every method, per kind of task and backbone family.

How they were found: by hand, a handful of tries a method, on deletion seed 1 of mini cifar10 with validation in place
of test, two seeds a try. That is no equal-budget search, and rows made with them say ``default``, not ``tuned``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mubench.hub_builders.tasks import Kind

# fmt: off
_SMALL: dict[str, dict[str, Any]] = {
    "finetune":     {"learning_rate": 3e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64},
    "neg_grad":     {"learning_rate": 5e-4, "num_train_epochs": 4, "per_device_train_batch_size": 16},
    "random_label": {"learning_rate": 1e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64},
    "salun":        {"learning_rate": 1e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64},
    "bad_teaching": {"learning_rate": 1e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64},
    "scrub":        {"learning_rate": 2e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64, "alpha": 0.1},
}
DEFAULTS: dict[tuple[Kind, str], dict[str, dict[str, Any]]] = {
    ("image_classification", "resnet"): _SMALL,
    ("image_classification", "vit"): _SMALL,
    ("text_classification", "bert"): _SMALL,
}
# fmt: on


def default_arguments(kind: Kind, family: str, method: str) -> Mapping[str, Any]:
    """Return a method's default arguments, empty where the dataclass defaults hold."""
    return DEFAULTS.get((kind, family), {}).get(method, {})
