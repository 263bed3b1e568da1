"""Boards of the Hub: which a dataset repository has (``eval.yaml``), and what a model reports to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from mubench.hub_builders.dataset.manifest import Manifest, holds_ids, task_of
from mubench.hub_builders.dataset.readme import DUMPER, title
from mubench.hub_builders.tasks.names import board_name, config_name, ids_config

# Names that the Hub prescribes; its page `docs/hub/eval-results` describes both files.
BOARDS_FILE = "eval.yaml"
REPORT_FILE = ".eval_results/mu-bench.yaml"
FRAMEWORK = "mu-bench"


def boards_yaml(manifests: Iterable[Manifest]) -> str:
    """Return the ``eval.yaml`` of a dataset repository: one board for each config and backbone."""
    listed = sorted(manifests, key=lambda one: str(one["task"]))
    content = {
        "name": title(listed),
        "description": "S of unlearned models: 1 is retrained without the forget set, 0 untouched or destroyed. A "
        "board has one deletion ratio and one backbone; a model is one seed of a method.",
        "evaluation_framework": FRAMEWORK,
        "tasks": [board for manifest in listed for board in _boards(manifest)],
    }
    return yaml.dump(content, Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=1_000)


def _boards(manifest: Manifest) -> list[dict[str, str]]:
    """Return the boards of a task; where its rows may not be published they name the config with its ids."""
    task, family = manifest["task"], manifest["family"]
    rows = {"config": ids_config(task), "split": "train"} if holds_ids(manifest) else {"split": "forget"}
    return [
        {"id": board_name(task, ratio, backbone, family), "config": config_name(task, ratio, family), **rows}
        for ratio in sorted(manifest["forget"])
        for backbone in task_of(manifest).recipes
    ]


def check_report(text: str, dataset: str, board: str) -> None:
    """Check that a model reports one share in [0, 1] to a board of a dataset repository.

    Raises:
        ValueError: If it reports something else.
    """
    try:
        found: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML in {REPORT_FILE}, got another text") from error
    entry = found[0] if isinstance(found, list) and len(found) == 1 else None
    place = entry.get("dataset") if isinstance(entry, Mapping) else None
    got = (place.get("id"), place.get("task_id")) if isinstance(place, Mapping) else None
    value = entry.get("value") if isinstance(entry, Mapping) else None
    if got != (dataset, board) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(
            f"expected one value in [0, 1] for {board} of {dataset} in {REPORT_FILE}, got another report; write it "
            "again with: mubench cards"
        )
