"""README of a dataset folder: its YAML lists the configs, so replacing the file commits a build."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import yaml

from mubench.hub_builders.dataset.manifest import (
    MANIFEST,
    Manifest,
    data_folder,
    holds_ids,
    licence,
    read_manifest,
    task_of,
)
from mubench.hub_builders.tasks import TASKS, Tier
from mubench.hub_builders.tasks.names import (
    FAMILIES,
    NEEDED,
    config_name,
    dataset_folder,
    deletion_seed_of,
    ids_config,
)
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.hints import command, extend
from mubench.hub_builders.utils.tables import escape_markdown

logger = logging.getLogger(__name__)

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
MAX_BYTES = 2**26  # those of today have 300 kB
# Read by pattern, since a YAML parser can be made to run forever, or to crash.
SHARD = re.compile(r"\bdata/(\w+)/(\w+)/[\w.-]+\.parquet\b")
ENTRY = re.compile(r"^- config_name: .*\n(?: .*\n)*", re.MULTILINE)
BUILT = re.compile(r"\btier=(\w+) [^\n]{0,300}\bfiles=(\w+)")


def task_folders(readme: Path) -> dict[str, str]:
    """Return the data folder of every task in a README, such as ``data/cifar10/1a2b3c4d``.

    Raises:
        ValueError: If it does not begin with the YAML that ``build`` writes.
    """
    if not readme.exists():
        return {}
    head, _ = _split(readme)
    found = set(SHARD.findall(head))
    folders = {task: f"data/{task}/{name}" for task, name in found}
    if len(folders) < len(found) or (not found and "\nconfigs: []" not in head):
        raise ValueError(f"expected the README of a dataset folder made by `build`, got another: {readme}")
    return dict(sorted(folders.items()))


def _split(readme: Path) -> tuple[str, str]:
    """Return the YAML of a README and the Markdown below it."""
    try:
        if readme.stat().st_size > MAX_BYTES:
            raise ValueError("too long")  # noqa: TRY301
        _, head, body = readme.read_text(encoding="utf-8").split("---\n", 2)
    except (OSError, ValueError) as error:
        raise ValueError(f"expected the README of a dataset folder made by `build`, got another: {readme}") from error
    return head, body


def rebuild_hint(folder: Path, task: str, family: str | None = None) -> str:
    """Return how to build a task of a damaged dataset folder again, in the tier that its README states.

    Args:
        folder: The dataset folder.
        task: Task key.
        family: Deletion family; ``None`` is that of the folder's name.
    """
    named = [one for one in FAMILIES if folder.name == dataset_folder(one, deletion_seed_of(folder.name, one))]
    family = family or (named[0] if named else "canonical")
    tier = _listed_tier(folder / "README.md", task) if task in TASKS else None
    seed = deletion_seed_of(folder.name, family)
    needed = {"tier": tier, "allow_partial": tier == "partial", **NEEDED.get(family, {})}
    line = build_command(task, **needed, family=family, deletion_seed=seed)
    return f"build it again {build_hint(folder, line, dataset_folder(family, seed))}"


def build_command(task: str, **options: object) -> str:
    """Return the command that builds a task; for a custom task it takes ``--task_file``."""
    if task in TASKS:
        return command("build", task, **options)
    return command("build", task_file=f"{task}.yaml", **options)


def build_hint(folder: Path, line: str, name: str) -> str:
    """Return how to build a task in a folder; ``build`` names the folder itself and takes its parent."""
    return f"with `{extend(line, out=folder.parent)}`" if folder.name == name else f"in {name} with `{line}`"


def _listed_tier(readme: Path, task: str) -> str | None:
    """Return the tier of a task in a README, as far as it can be read."""
    if not readme.is_file() or readme.stat().st_size > MAX_BYTES:
        return None
    text = readme.read_text(encoding="utf-8", errors="replace")
    tiers = {files[:8]: tier for tier, files in BUILT.findall(text) if tier in get_args(Tier)}
    return next((tiers[name] for key, name in SHARD.findall(text) if key == task and name in tiers), None)


def read_manifests(folder: Path, *, but: str | None = None, strict: bool = False) -> dict[str, Manifest]:
    """Return the manifest of every task (but ``but``) in the README of a dataset folder; none without a README.

    A task whose manifest is damaged is left out, and reported with the command that builds it again.

    Raises:
        ValueError: If the README is another one, or, with ``strict``, a manifest is damaged.
    """
    found = {}
    for task, data in task_folders(folder / "README.md").items():
        if task == but:
            continue
        try:
            found[task] = read_manifest(folder / data / MANIFEST, data)
        except ValueError as error:
            message = f"{error}; {rebuild_hint(folder, task)}"
            if strict:
                raise ValueError(message) from error
            _warn(f"{task} is left out: {message}")
    return found


@lru_cache(maxsize=256)  # a server reads them at every request
def _warn(message: str) -> None:
    logger.warning("%s", message)


def find_manifests(folder: Path) -> dict[str, Manifest]:
    """Return the last manifest of every task whose files are in a dataset folder, whatever its README lists."""
    paths = sorted(folder.glob(f"data/*/[!.]*/{MANIFEST}"), key=lambda path: path.stat().st_mtime_ns)
    found = {}
    for path in paths:
        try:
            manifest = read_manifest(path, path.parent.relative_to(folder).as_posix())
        except ValueError as error:
            _warn(str(error))
        else:
            found[manifest["task"]] = manifest
    return found


def read_body(readme: Path) -> str:
    """Return the Markdown below the YAML of a README."""
    return _split(readme)[1].lstrip("\n")


def write_readme(folder: Path, body: str | None = None, *, manifests: Iterable[Manifest] | None = None) -> Path:
    """Replace a dataset folder's README in one step; entries of a task whose manifest is damaged are kept.

    Args:
        folder: The dataset folder.
        body: Markdown below the YAML; ``None`` writes one paragraph.
        manifests: Manifests of the tasks to list; ``None`` keeps the current ones.
    """
    listed = read_manifests(folder).values() if manifests is None else manifests
    shown = sorted(listed, key=lambda one: str(one["task"]))
    head = yaml.dump(_metadata(shown), Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=1_000)
    readme = folder / "README.md"
    head += _damaged_entries(readme, {str(one["task"]) for one in shown})
    write_text(readme, f"---\n{head}---\n\n{_default_body(shown) if body is None else body}")
    return readme


def _damaged_entries(readme: Path, shown: set[str]) -> str:
    """Return the YAML entries of tasks that a README lists beside those shown, as far as their files are there."""
    try:
        left = {task: data for task, data in task_folders(readme).items() if task not in shown}
    except ValueError:  # whole manifests are then all that is known
        return ""
    folders = {data for data in left.values() if (readme.parent / data).is_dir()}
    entries = ENTRY.findall(_split(readme)[0]) if folders else []
    return "".join(entry for entry in entries if any(f" {data}/" in entry for data in folders))


def description(manifest: Manifest) -> str:
    """Return the description of a config, with both fingerprints, so that ``datasets`` never serves a stale cache."""
    names = ("tier", "family", "deletion_seed", "split", "files")
    return " ".join(f"{name}={manifest[name]}" for name in names)


def title(manifests: Iterable[Manifest]) -> str:
    """Return the title of a dataset repository, with its family and tier, such as ``MU-Bench (group, mini)``."""
    marks = ", ".join(_marks(manifests, usual=False))
    return f"MU-Bench ({marks})" if marks else "MU-Bench"


def _marks(manifests: Iterable[Manifest], *, usual: bool) -> list[str]:
    """Return families and tiers; the full tier alone only if ``usual``."""
    listed = list(manifests)
    families = sorted({str(one["family"]) for one in listed} - {"canonical"})
    tiers = sorted({str(one["tier"]) for one in listed})
    return [*families, *(tiers if usual or tiers != ["full"] else [])]


def _metadata(manifests: list[Manifest]) -> dict[str, Any]:
    return {
        "pretty_name": title(manifests),
        "license": sorted({licence(one) for one in manifests}),
        "tags": ["machine-unlearning", "mu-bench", *_marks(manifests, usual=True)],
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
    tasks = ", ".join(f"{escape_markdown(task_of(one).title)} ({one['tier']} tier)" for one in manifests)
    example = example_config(manifests[0]) if manifests else "cifar10_del5"
    return (
        f"# MU-Bench\n\nDeletion splits for machine unlearning of {tasks}. A config such as `{example}` holds the "
        "rows to forget and to retain beside validation and test; a config without `_del` holds the whole task. "
        "`deletion_rank` is a training row's place in deletion order, the same at every ratio. Rows of tier mini or "
        "partial may be others than the original's, whose licence and citation are then not theirs.\n"
    )
