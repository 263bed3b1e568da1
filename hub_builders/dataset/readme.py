"""README of a dataset folder: its YAML lists the configs, so replacing the file commits a build."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.names import config_name, ids_config
from mubench.hub_builders.utils.atomic import write_text

Manifest = dict[str, Any]
FIELDS = (
    "task", "tier", "family", "deletion_seed", "files", "split", "counts", "forget", "labels", "shards", "bytes",
    "command",
)  # fmt: skip
MANIFEST = "manifest.json"
IDS = "ids-"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def task_folders(readme: Path) -> dict[str, str]:
    """Return the data folder of every task in a README, such as ``data/cifar10/1a2b3c4d``.

    Raises:
        ValueError: If it does not begin with the YAML that ``build`` writes.
    """
    if not readme.exists():
        return {}
    try:
        return dict(_parse_task_folders(readme.read_text(encoding="utf-8").split("---\n", 2)[1]))
    except (IndexError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ValueError(f"expected the README of a dataset folder made by `build`, got another: {readme}") from error


@lru_cache(maxsize=16)  # half a second for all tasks, and every reader of one task calls it
def _parse_task_folders(head: str) -> dict[str, str]:
    configs = yaml.load(head, Loader=LOADER)["configs"]
    paths = [PurePosixPath(config["data_files"][0]["path"][0]) for config in configs]
    return {path.parts[1]: path.parent.as_posix() for path in paths}


def read_manifest(path: Path) -> Manifest:
    """Read one task's manifest.

    Raises:
        ValueError: If it is malformed.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a manifest, got an unreadable file: {path}") from error
    if not isinstance(manifest, dict) or set(manifest) != set(FIELDS):
        raise ValueError(f"expected a manifest with {', '.join(FIELDS)}, got another: {path}")
    return {**manifest, "forget": _parse_forget_sizes(manifest["forget"], path)}


def _parse_forget_sizes(found: object, path: Path) -> dict[int, int]:
    """Return the number of deleted rows by ratio, whose keys are text in JSON."""
    sizes = found if isinstance(found, dict) else {}
    if not sizes or not all(ratio.isdecimal() and type(size) is int for ratio, size in sizes.items()):
        raise ValueError(f"expected a manifest with the deleted rows by ratio, got other values: {path}")
    return {int(ratio): size for ratio, size in sizes.items()}


def read_manifests(folder: Path, *, but: str | None = None) -> dict[str, Manifest]:
    """Return the manifest of every task (but ``but``) in the README of a dataset folder; none without a README."""
    shown = task_folders(folder / "README.md")
    return {task: read_manifest(folder / data / MANIFEST) for task, data in shown.items() if task != but}


def data_folder(manifest: Manifest) -> str:
    """Return the folder of a build's shards within the dataset folder."""
    return f"data/{manifest['task']}/{manifest['files'][:8]}"


def check_sizes(folder: Path, manifest: Manifest, advice: str) -> None:
    """Check that the shards in the folder of a build are whole.

    Raises:
        ValueError: If one is not; the message ends with the advice.
    """
    for name, size in manifest["bytes"].items():
        found = (folder / name).stat().st_size if (folder / name).is_file() else 0
        if found != size:
            raise ValueError(f"expected {size} bytes, got {found}: {folder / name}; {advice}")


def holds_ids(manifest: Manifest) -> bool:
    """Return whether a repository has only ids and ranks of a task, because its rows may not be published."""
    return any(name.startswith(IDS) for names in manifest["shards"].values() for name in names)


def read_body(readme: Path) -> str:
    """Return the Markdown below the YAML of a README."""
    return readme.read_text(encoding="utf-8").split("---\n", 2)[2].lstrip("\n")


def write_readme(folder: Path, body: str | None = None, *, manifests: Iterable[Manifest] | None = None) -> Path:
    """Replace a dataset folder's README in one step.

    Args:
        folder: The dataset folder.
        body: Markdown below the YAML; ``None`` writes one paragraph.
        manifests: Manifests of the tasks to list; ``None`` keeps the current ones.
    """
    listed = read_manifests(folder).values() if manifests is None else manifests
    shown = sorted(listed, key=lambda one: str(one["task"]))
    head = yaml.dump(_metadata(shown), Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=1_000)
    readme = folder / "README.md"
    write_text(readme, f"---\n{head}---\n\n{_default_body(shown) if body is None else body}")
    return readme


def description(manifest: Manifest) -> str:
    """Return the description of a config, with both fingerprints, so that ``datasets`` never serves a stale cache."""
    names = ("tier", "family", "deletion_seed", "split", "files")
    return " ".join(f"{name}={manifest[name]}" for name in names)


def _metadata(manifests: list[Manifest]) -> dict[str, Any]:
    tiers = sorted({str(one["tier"]) for one in manifests})
    families = sorted({str(one["family"]) for one in manifests} - {"canonical"})
    marks = ", ".join([*families, *(tiers if tiers != ["full"] else [])])
    return {
        "pretty_name": f"MU-Bench ({marks})" if marks else "MU-Bench",
        "license": sorted({get_task(one["task"]).licence_of(one["tier"]) for one in manifests}),
        "tags": ["machine-unlearning", "mu-bench", *families, *tiers],
        "configs": [config for one in manifests for config in _configs(one)],
    }


def _configs(manifest: Manifest) -> list[dict[str, Any]]:
    """Return all configs of a task, or the one with its ids if its rows are missing."""
    if holds_ids(manifest):
        return [{**_config(manifest, None), "config_name": ids_config(manifest["task"])}]
    return [_config(manifest, ratio) for ratio in (None, *sorted(manifest["forget"]))]


def _config(manifest: Manifest, ratio: int | None) -> dict[str, Any]:
    """Return one config, as explicit files: the whole task, or its forget and retain rows at a ratio."""
    splits: Mapping[str, list[str]] = manifest["shards"]
    if ratio is not None:
        cuts = [name for name in splits["train"] if name.startswith("train-d")]
        forget = [name for name in cuts if int(name[7:9]) <= ratio]
        kept = [name for name in splits["train"] if name not in forget]
        splits = {"forget": forget, "retain": kept, **{key: value for key, value in splits.items() if key != "train"}}
    folder = data_folder(manifest)
    return {
        "config_name": config_name(manifest["task"], ratio, manifest["family"]),
        "description": description(manifest),
        "data_files": [
            {"split": key, "path": [f"{folder}/{name}" for name in value]} for key, value in splits.items()
        ],
    }


def example_config(manifest: Manifest) -> str:
    """Return the name of an example config: that of 5 % or, without it, of the smallest ratio."""
    ratio = 5 if 5 in manifest["forget"] else min(manifest["forget"])
    return config_name(manifest["task"], ratio, manifest["family"])


def percentages(manifest: Mapping[str, Any]) -> dict[int, float]:
    """Return the exact percentage of the training rows that each ratio of a build deletes."""
    return {ratio: 100 * size / manifest["counts"]["train"] for ratio, size in sorted(manifest["forget"].items())}


def _default_body(manifests: list[Manifest]) -> str:
    tasks = ", ".join(f"{get_task(one['task']).title} ({one['tier']} tier)" for one in manifests)
    example = example_config(manifests[0]) if manifests else "cifar10_del5"
    return (
        f"# MU-Bench\n\nDeletion splits for machine unlearning of {tasks}. A config such as `{example}` holds the "
        "rows to forget and to retain beside validation and test; a config without `_del` holds the whole task. "
        "`deletion_rank` is a training row's place in deletion order, the same at every ratio.\n"
    )
