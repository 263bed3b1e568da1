"""Default arguments of every method, per kind of task and backbone family, and how they were found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mubench.hub_builders.tasks import Kind

# fmt: off
_RESNET: dict[str, dict[str, Any]] = {
    "finetune":      {"learning_rate": 1e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64},
    "neg_grad":      {"learning_rate": 5e-4, "num_train_epochs": 4, "per_device_train_batch_size": 16},
    "random_label":  {"learning_rate": 1e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64},
    "salun":         {"learning_rate": 1e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64},
    "bad_teaching":  {"learning_rate": 1e-3, "num_train_epochs": 4, "per_device_train_batch_size": 64},
    "scrub":         {"learning_rate": 5e-4, "num_train_epochs": 4, "per_device_train_batch_size": 64},
}
_VIT = _RESNET
_BERT = _RESNET
DEFAULTS: dict[tuple[Kind, str], dict[str, dict[str, Any]]] = {
    ("image_classification", "resnet"): _RESNET,
    ("image_classification", "vit"): _VIT,
    ("text_classification", "bert"): _BERT,
}
# fmt: on


def default_arguments(kind: Kind, family: str, method: str) -> Mapping[str, Any]:
    """Return a method's default arguments, empty where the dataclass defaults hold."""
    return DEFAULTS.get((kind, family), {}).get(method, {})
