"""Default arguments of every method, read from `default_arguments/<kind of task>/<backbone family>.yaml`.

A file maps methods to their arguments (``value``), where these come from (``source``: the paper's public code, a first
guess, or tuning), the number of trials, and S of the first and of the best trial; a file may inherit from another one.
`cards/trials/README.md` describes how defaults are chosen and what the fields mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from mubench.hub_builders.tasks import Kind

FOLDER = Path(__file__).with_name("default_arguments")
# A method that a file does not list takes the settings of the method it resembles, as they were before tuning.
LIKE: dict[str, str] = {
    "l1_sparse": "finetune", "cf_k": "finetune", "noise_ft": "finetune", "neg_grad_plus": "finetune",
    "ce_u": "neg_grad", "kl_min": "neg_grad", "delete": "neg_grad", "undial": "neg_grad", "lotus": "random_label",
    "npo": "neg_grad", "simnpo": "neg_grad", "wga": "neg_grad", "rmu": "neg_grad", "task_vector": "neg_grad",
    "dpo": "neg_grad", "multi_delete": "neg_grad", "esd": "neg_grad", "undo": "finetune",
    "jensun": "neg_grad",
    "msg": "finetune", "ct": "finetune", "unsir": "finetune", "amun": "random_label", "boundary_shrink": "neg_grad",
    "boundary_expand": "neg_grad",
}  # fmt: skip


def default_arguments(kind: Kind, family: str, method: str) -> Mapping[str, Any]:
    """Return the default arguments of a method that is made for the kind of task; empty: its dataclass's defaults."""
    return read_defaults(f"{kind}/{family}").get(method, {"value": {}})["value"]


@cache
def read_defaults(name: str) -> dict[str, dict[str, Any]]:
    """Return the entries of all methods in the file of a kind and family, empty if there is none."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        return {}
    data = yaml.safe_load(path.read_text())
    own: dict[str, dict[str, Any]] = data.get("methods", {})
    if "inherits" in data:
        table = dict(read_defaults(data["inherits"]))
    else:
        alike = {method: own[other]["value"] for method, other in LIKE.items() if other in own}
        table = {method: {"value": value, "source": "guess"} for method, value in alike.items()}
    for method, entry in own.items():
        value = {**table.get(method, {"value": {}})["value"], **entry["value"]}
        table[method] = {"source": data["source"], **entry, "value": value}
    return table
