"""What the golden files hold, measured: the tests compare it, ``record.py`` writes it down."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from tests.safety_net import configs, doors, golden, models, option_cases, shipped
from tests.safety_net.mistakes import MISTAKES

FOLDERS = {"canonical": "mu-bench", "group": "mu-bench-group"}
# What the fast tests build.
FEW = (("cifar10", "canonical"), ("tofu", "canonical"), ("tofu", "group"))
BASE_ROW = "cifar10-mini-resnet-del10-scrub-s0-4bc4f224"


def weights(name: str, folder: Path) -> Any:
    """Return the summary of a case's weights."""
    before, after = models.trained(models.CASES[name], folder)
    found = models.summary(after)
    assert models.apart(found, models.summary(before)) > 1e-3, "the case moves no weight far enough to tell"
    return golden.as_json(found)


def options(name: str) -> Any:
    """Return the options of a command."""
    return golden.as_json(option_cases.found(name))


@functools.cache
def _usual(method: str) -> dict[str, Any]:
    return {key: record[0] for key, record in option_cases.found(f"trainers {method}").items()}


def there(task: str, backbone: str, methods: list[str]) -> dict[str, Any]:
    """Return, for every method, the defaults on a task and backbone that are others than those without a task."""
    found = {}
    for method in methods:
        usual = _usual(method)
        here = option_cases.defaults(method, task, backbone)
        found[method] = {key: value for key, value in here.items() if usual[key] != value and "-" not in key[2:]}
    return golden.as_json(found)


def dataset(folder: Path, task: str, cache: Path) -> Any:
    """Return what is said of a task in a dataset folder."""
    own = {
        name: one
        for name, one in configs.configs(folder).items()
        if name == task or name.startswith((f"{task}_del", f"{task}_ids"))
    }
    manifest = {key: value for key, value in configs.manifests(folder)[task].items() if key not in configs.BYTES}
    read = {name: configs.features(folder, name, cache) for name in own if name in (task, f"{task}_del5")}
    return golden.as_json({"configs": own, "manifest": manifest, "read": read})


def bytes_of(folder: Path, task: str) -> Any:
    """Return what is said of the bytes of a task's files."""
    return golden.as_json({key: configs.manifests(folder)[task][key] for key in configs.BYTES})


def head(folder: Path) -> Any:
    """Return what a README says beside its configs."""
    return golden.as_json(configs.configs(folder)[""])


def kept(folder: Path) -> set[Path]:
    """Return what lies in a folder, but for work areas."""
    return {path for path in folder.rglob("*") if ".work" not in path.parts}


def mistake(words: str, data: Path, at: Path) -> Any:
    """Return how a command leaves, how many lines it writes and whether it prints or leaves anything."""
    places = at.parent / "models"
    row = shipped.rows()[BASE_ROW]
    shipped.forge(places / shipped.names(row)[0], shipped.config(row, **shipped.BASE))
    before = kept(at.parent)
    split = words.format(data=data / "mu-bench", models=places).split()
    answer = doors.call(*with_door(split))
    left = sorted(str(path.relative_to(at.parent)) for path in kept(at.parent) - before)
    return [answer.code, answer.err.count("\n"), answer.out, left]


def with_door(words: list[str]) -> list[str]:
    """Return the words behind the door of ``base``, which may lie in either room."""
    if words[0] in doors.ROOMS:
        return words
    return [base_door() if words[0] == "base" else "trainers", *words]


def base_door() -> str:
    """Return the room whose door knows ``base``."""
    for room in option_cases.BASE:
        parser = doors.parser_of(room, "base")
        if parser is not None and "--task" in doors.options(parser):
            return room
    raise AssertionError("no door knows base")


def mistakes() -> tuple[str, ...]:
    return MISTAKES
