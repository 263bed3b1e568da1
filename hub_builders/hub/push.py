"""What of a folder may go to the Hub, and under which name: datasets, models and Spaces, staged beside the folder."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from mubench.hub_builders.dataset.readme import (
    MANIFEST,
    Manifest,
    body_of,
    committed,
    data_folder,
    holds_ids,
    task_folders,
    write_readme,
)
from mubench.hub_builders.dataset.shards import files_fingerprint
from mubench.hub_builders.hub.client import MARKS, Kind, Pushed, Target, push_folder, user_name
from mubench.hub_builders.hub.model_folder import REFERENCE, RUN_FILE, Run, read_run
from mubench.hub_builders.hub.restricted import HARMLESS, is_withheld, located, write_ids
from mubench.hub_builders.tasks.names import check_repository, dataset_folder, published_dataset

MODEL_FILES = (".json", ".safetensors", ".txt", ".model", ".jinja", ".md", ".parquet")
# Headline of a card that every licence demands.
LICENCES = "## Licences"
PICTURE = re.compile(r"^!\[[^\]]*\]\((?P<path>[^):]+)\)\n", re.MULTILINE)


@dataclass(frozen=True)
class Parcel:
    """What is about to be pushed.

    Attributes:
        kind: Kind of the repository.
        name: Name of the repository where none is given.
        tier: Tier of the rows, or of the rows a model was trained on.
        message: Summary of the commit.
        manifests: The tasks of a dataset.
        run: The run of a model.
    """

    kind: Kind
    name: str
    tier: str
    message: str
    manifests: tuple[Manifest, ...] = ()
    run: Run | None = None


def publish(folder: Path, repository: str | None = None, *, private: bool = False) -> Pushed:
    """Push a dataset folder made by ``build``, a model folder or a packed Space; the folder itself is not changed.

    Of a task whose licence forbids to pass its rows on, ids and ranks are pushed instead.

    Args:
        folder: The folder.
        repository: ``namespace/name``; by default the user's own of the folder's name, which says its tier.
        private: Make the repository private.

    Raises:
        ValueError: If the folder is none of these, is damaged or mixes tiers, the name hides the tier, or the Hub
            refuses or does not answer.
        FileNotFoundError: If there is no such folder.
    """
    parcel = examined(folder)
    if repository is not None:
        check_repository(repository, parcel.tier, last=parcel.kind == "dataset")
    target = Target(repository or f"{user_name()}/{parcel.name}", parcel.kind, private)
    with tempfile.TemporaryDirectory(prefix="mubench-push-") as place:
        stage = Path(place)
        if parcel.kind == "space":
            stage_space(folder, stage)
        elif parcel.run is None:
            stage_dataset(folder, stage, parcel.manifests, target.repository)
        else:
            stage_model(folder, stage, parcel.run, target.repository)
        return push_folder(stage, target, parcel.message)


def lacks_card(folder: Path) -> bool:
    """Whether a dataset folder's README is the paragraph of a build and not the card of `mubench.cards`."""
    readme = folder / "README.md"
    return (folder / "data").is_dir() and bool(task_folders(readme)) and LICENCES not in body_of(readme)


def examined(folder: Path) -> Parcel:
    """Return what a folder holds.

    Raises:
        ValueError: If that is not one dataset of one tier, one model, or one Space.
        FileNotFoundError: If there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a dataset or model folder, got no folder {folder}")
    if (folder / RUN_FILE).is_file():
        run = read_run(folder)
        return Parcel("model", folder.resolve().name, run.tier, f"Push {folder.resolve().name}", run=run)
    if (folder / MARKS["space"]).is_file():
        return _space(folder)
    manifests = tuple(committed(folder).values())
    if not manifests:
        raise ValueError(
            f"expected a dataset folder made by `build` or a model folder with a {RUN_FILE}, got {folder}"
        )
    tiers = {str(one["tier"]): one["task"] for one in manifests}
    if len(tiers) > 1:
        held = " and ".join(f"{tier} ({task})" for tier, task in sorted(tiers.items()))
        raise ValueError(f"expected one tier in {folder}, so that the repository's name tells it, got {held}")
    if any(holds_ids(one) for one in manifests):
        raise ValueError(f"expected rows in {folder}, got ids alone: it was downloaded, not built")
    tier, first = next(iter(tiers)), manifests[0]
    name = published_dataset(first["family"], first["deletion_seed"], tier)
    tasks = ", ".join(sorted(str(one["task"]) for one in manifests))
    return Parcel("dataset", name, tier, f"Push {tasks} ({tier} tier)", manifests=manifests)


def _space(folder: Path) -> Parcel:
    """Return what a packed Space is: whatever it shows lies in it, so all of its rows have to be free to go."""
    held = [one for data in sorted(folder.glob("mu-bench*")) for one in committed(data).values()]
    closed = sorted({f"{one['task']} ({one['tier']})" for one in held if is_withheld(one["task"], one["tier"])})
    tiers = sorted({str(one["tier"]) for one in held})
    if closed or len(tiers) != 1:
        got = ", ".join(closed) or " and ".join(tiers) or "none"
        raise ValueError(f"expected rows of one tier that may be passed on in the Space {folder}, got {got}")
    return Parcel("space", f"mubench-{tiers[0]}", tiers[0], f"Push the Space ({tiers[0]} tier)")


def stage_space(folder: Path, stage: Path) -> None:
    """Lay out a Space: all of a packed folder but what has been left there by running it."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [name for name in names if name.parts[0] != "runs" and "__pycache__" not in name.parts]
    _link(folder, stage, [str(name) for name in kept if not any(part.startswith(".") for part in name.parts)])


def stage_dataset(folder: Path, stage: Path, manifests: tuple[Manifest, ...], repository: str) -> None:
    """Lay out a dataset repository in an empty folder: what the manifests name and nothing else.

    Raises:
        ValueError: If a file is not as it was built.
    """
    staged, restricted = [], []
    for manifest in manifests:
        source, target = folder / data_folder(manifest), stage / data_folder(manifest)
        _check_shards(source, manifest)
        if is_withheld(manifest["task"], manifest["tier"]):
            staged.append(write_ids(source, target, manifest))
            restricted.append(staged[-1])
        else:
            _link(source, target, [name for names in manifest["shards"].values() for name in names])
            staged.append(manifest)
        (target / MANIFEST).write_text(json.dumps(staged[-1], indent=1) + "\n", encoding="utf-8")
    body = _pictured(body_of(folder / "README.md"), folder, stage, [one["task"] for one in restricted])
    write_readme(stage, located(body, repository, restricted), manifests=staged)


def stage_model(folder: Path, stage: Path, run: Run, repository: str) -> None:
    """Lay out a model repository in an empty folder: all of a model folder but hidden files and locks.

    Raises:
        ValueError: If a file is of a kind that no model folder holds.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [path.relative_to(folder) for path in paths if path.suffix != ".lock"]
    names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    odd = [str(name) for name in names if name.suffix not in MODEL_FILES]
    if odd:
        raise ValueError(f"expected {', '.join(MODEL_FILES)} files in the model folder {folder}, got {', '.join(odd)}")
    if not any(name.suffix == ".safetensors" for name in names):
        raise ValueError(f"expected weights as .safetensors in the model folder {folder}, got none")
    if is_withheld(run.task, run.tier):
        names = [name for name in names if name.parts[0] != REFERENCE or _is_harmless(folder / name)]
    _link(folder, stage, [str(name) for name in names if str(name) != "README.md"])
    card = folder / "README.md"
    if card.is_file():
        text = _lineage(card.read_text(encoding="utf-8"), run, repository.partition("/")[0])
        (stage / card.name).write_text(text, encoding="utf-8")


def _check_shards(source: Path, manifest: Manifest) -> None:
    mend = f"build it again with `{manifest['command']}`"
    for name, size in manifest["bytes"].items():
        found = (source / name).stat().st_size if (source / name).is_file() else 0
        if found != size:
            raise ValueError(f"expected {size} bytes, got {found}: {source / name}; {mend}")
    if files_fingerprint(source, manifest["shards"]) != manifest["files"]:
        raise ValueError(f"expected the shards that were built, got others in {source}; {mend}")


def _link(source: Path, target: Path, names: list[str]) -> None:
    """Put files into the stage without copying them."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to((source / name).resolve())


def _pictured(body: str, folder: Path, stage: Path, restricted: list[str]) -> str:
    """Stage the pictures that a card shows, and take those out that may show rows which are restricted."""

    def keep(found: re.Match[str]) -> str:
        path = Path(found["path"])
        inside = not path.is_absolute() and ".." not in path.parts and (folder / path).is_file()
        if not inside or (restricted and not _shows_others(path, folder, restricted)):
            return ""
        _link(folder, stage, [str(path)])
        return found[0]

    return PICTURE.sub(keep, body)


def _shows_others(path: Path, folder: Path, restricted: list[str]) -> bool:
    """Whether a picture is named after a task whose rows are published."""
    return path.stem in committed(folder).keys() - set(restricted)


def _is_harmless(outputs: Path) -> bool:
    return outputs.suffix == ".parquet" and set(pq.read_schema(outputs).names) <= HARMLESS


def _lineage(card: str, run: Run, namespace: str) -> str:
    """Return a model's card with the published names of its data, and in the YAML of its base model."""
    data = f"{namespace}/{published_dataset(run.family, run.deletion_seed, run.tier)}"
    empty, mark, rest = card.partition("---\n")
    head, end, body = rest.partition("---\n")
    head = re.sub(r"^base_model: ([\w.-]+)$", rf"base_model: {namespace}/\1", head, flags=re.MULTILINE)
    head = re.sub(r"^datasets:\n- [\w.-]+$", f"datasets:\n- {data}", head, flags=re.MULTILINE)
    folder = dataset_folder(run.family, run.deletion_seed)
    return empty + mark + head + end + body.replace(f"\nDataset `{folder}`, ", f"\nDataset `{data}`, ")
