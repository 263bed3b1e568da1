"""Uploads to the Hub: which files of a dataset, model or Space folder are pushed, and under which name."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from mubench.hub_builders.dataset.boards import BOARDS_FILE, REPORT_FILE, boards_yaml, check_report
from mubench.hub_builders.dataset.manifest import (
    MANIFEST,
    Manifest,
    check_shards,
    data_folder,
    holds_ids,
    task_of,
    write_build_sums,
)
from mubench.hub_builders.dataset.readme import read_body, read_manifests, task_folders, write_readme
from mubench.hub_builders.hub.model_folder import REFERENCE, RUN_FILE, Run, read_run
from mubench.hub_builders.hub.restricted import NAMESPACE, OUTPUT_COLUMNS, is_restricted, rewrite_card, write_ids
from mubench.hub_builders.tasks.definition import resolve_task
from mubench.hub_builders.tasks.names import board_name, check_repository, dataset_folder, published_dataset
from mubench.hub_builders.utils.atomic import write_json
from mubench.hub_builders.utils.hints import shorten_recorded
from mubench.hub_builders.utils.hub_client import (
    MARKER_FILES,
    MODEL_FILES,
    PushResult,
    RepositoryKind,
    Target,
    push_folder,
    user_name,
)

# Heading that every complete card has.
LICENCES_HEADING = "## Licences"
IMAGE_LINK = re.compile(r"^!\[[^\]]*\]\((?P<path>[^):]+)\)\n", re.MULTILINE)


class Upload(NamedTuple):
    """Content of a folder to push."""

    kind: RepositoryKind
    name: str  # by default
    tier: str  # of the rows, or of those that a model was trained on
    message: str  # of the commit
    manifests: tuple[Manifest, ...] = ()  # of a dataset
    run: Run | None = None  # of a model


def publish(folder: Path, repository: str | None = None, *, private: bool = False) -> PushResult:
    """Push a dataset folder made by ``build``, a model folder or a packed Space; the folder itself is not changed.

    For tasks whose licence forbids redistribution, ids and ranks are pushed instead of rows.

    Args:
        folder: The folder.
        repository: ``namespace/name``; by default in the user's namespace, named after folder and tier.
        private: Make the repository private.

    Raises:
        ValueError: If the folder is none of these, is damaged or mixes tiers, the name lacks the tier, or the Hub
            refuses or does not respond.
        FileNotFoundError: If the folder is missing.
    """
    upload = _inspect_folder(folder)
    if repository is not None:
        check_repository(repository, upload.tier, last=upload.kind == "dataset")
        if _is_metric(folder) and repository.partition("/")[2] != upload.name:
            raise ValueError(
                f"expected a repository called {upload.name}, whose name finds the metric, got {repository}"
            )
    target = Target(repository or f"{user_name()}/{upload.name}", upload.kind, private)
    with tempfile.TemporaryDirectory(prefix="mubench-push-") as place:
        stage = Path(place)
        if upload.kind == "space":
            _stage_space(folder, stage, target.repository.partition("/")[0])
        elif upload.run is None:
            _stage_dataset(folder, stage, upload.manifests, target.repository)
        else:
            _stage_model(folder, stage, upload.run, target.repository)
        return push_folder(stage, target, upload.message)


def lacks_card(folder: Path) -> bool:
    """Return whether a dataset folder's README is that of a build and not the card of `mubench.cards`."""
    readme = folder / "README.md"
    return (folder / "data").is_dir() and bool(task_folders(readme)) and LICENCES_HEADING not in read_body(readme)


def _inspect_folder(folder: Path) -> Upload:
    if not folder.is_dir():
        raise FileNotFoundError(f"expected a dataset or model folder, got no folder {folder}")
    if (folder / RUN_FILE).is_file():
        run = read_run(folder)
        return Upload("model", folder.resolve().name, run.tier, f"Push {folder.resolve().name}", run=run)
    if (folder / MARKER_FILES["space"]).is_file():
        return _inspect_space(folder)
    manifests = tuple(read_manifests(folder, strict=True).values())
    if not manifests:
        raise ValueError(
            f"expected a dataset folder made by `build` or a model folder with a {RUN_FILE}, got {folder}"
        )
    tiers = {str(one["tier"]): one["task"] for one in manifests}
    if len(tiers) > 1:
        held = " and ".join(f"{tier} ({task})" for tier, task in sorted(tiers.items()))
        raise ValueError(f"expected one tier in {folder}, so that the repository's name can state it, got {held}")
    if any(holds_ids(one) for one in manifests):
        raise ValueError(f"expected rows in {folder}, got only ids: it was downloaded, not built")
    tier, first = next(iter(tiers)), manifests[0]
    name = published_dataset(first["family"], first["deletion_seed"], tier)
    tasks = ", ".join(sorted(str(one["task"]) for one in manifests))
    return Upload("dataset", name, tier, f"Push {tasks} ({tier} tier)", manifests=manifests)


def _inspect_space(folder: Path) -> Upload:
    """Describe a packed Space: a metric, or the demo, which contains its rows, so that none may be restricted."""
    if _is_metric(folder):
        name = folder.resolve().name
        return Upload("space", name, "full", f"Push the metric {name}")
    held = [one for data in sorted(folder.glob("mu-bench*")) for one in read_manifests(data, strict=True).values()]
    closed = sorted({f"{one['task']} ({one['tier']})" for one in held if is_restricted(task_of(one), one["tier"])})
    tiers = sorted({str(one["tier"]) for one in held})
    if closed or len(tiers) != 1:
        got = ", ".join(closed) or " and ".join(tiers) or "none"
        raise ValueError(f"expected redistributable rows of one tier in the Space {folder}, got {got}")
    return Upload("space", f"mubench-{tiers[0]}", tiers[0], f"Push the Space ({tiers[0]} tier)")


def _is_metric(folder: Path) -> bool:
    """Return whether a folder is the Space of a metric of the library ``evaluate``: a module is called like it.

    No rows or models lie in it.
    """
    held = [*folder.glob("mu-bench*"), *folder.glob("models")]
    return (folder / f"{folder.resolve().name}.py").is_file() and not held


def _stage_space(folder: Path, stage: Path, namespace: str) -> None:
    """Stage a Space: all files of a packed folder but those left by running it; its card names the owner."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [name for name in names if name.parts[0] != "runs" and "__pycache__" not in name.parts]
    kept = [name for name in kept if not any(part.startswith(".") for part in name.parts)]
    _link(folder, stage, [str(name) for name in kept if str(name) != "README.md"])
    card = (folder / "README.md").read_text(encoding="utf-8")
    (stage / "README.md").write_text(card.replace(f"{NAMESPACE}/", f"{namespace}/"), encoding="utf-8")


def _stage_dataset(folder: Path, stage: Path, manifests: tuple[Manifest, ...], repository: str) -> None:
    """Stage a dataset repository in an empty folder: files of the manifests, and boards if the cards are written."""
    staged, restricted = [], []
    for manifest in manifests:
        source, target = folder / data_folder(manifest), stage / data_folder(manifest)
        check_shards(source, manifest, f"build it again with `{shorten_recorded(manifest['command'])}`")
        if is_restricted(task_of(manifest), manifest["tier"]):
            staged.append(write_ids(source, target, manifest))
            restricted.append(staged[-1])
        else:
            _link(source, target, [name for names in manifest["shards"].values() for name in names])
            staged.append(manifest)
        write_json(target / MANIFEST, staged[-1])
        write_build_sums(target, staged[-1]["shards"])
    if (folder / BOARDS_FILE).is_file():
        (stage / BOARDS_FILE).write_text(boards_yaml(staged), encoding="utf-8")
    body = _stage_images(read_body(folder / "README.md"), folder, stage, [one["task"] for one in restricted])
    write_readme(stage, rewrite_card(body, repository, restricted), manifests=staged)


def _stage_model(folder: Path, stage: Path, run: Run, repository: str) -> None:
    """Stage a model repository in an empty folder: all files of a model folder but locks and hidden ones.

    The record of a run names the outputs that are pushed, and the report to the leaderboard the owner of the dataset.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [path.relative_to(folder) for path in paths if path.suffix != ".lock"]
    names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    odd = [str(name) for name in names if name.suffix not in MODEL_FILES]
    if odd:
        raise ValueError(f"expected {', '.join(MODEL_FILES)} files in the model folder {folder}, got {', '.join(odd)}")
    if not any(name.suffix == ".safetensors" for name in names):
        raise ValueError(f"expected weights as .safetensors in the model folder {folder}, got none")
    outputs = run.outputs
    if is_restricted(resolve_task(run.task, run.definition), run.tier):
        kept_back = {name for name in names if name.parts[0] == REFERENCE and not _is_publishable(folder / name)}
        names = [name for name in names if name not in kept_back]
        outputs = {name: found for name, found in outputs.items() if Path(REFERENCE, name) not in kept_back}
    _link(folder, stage, [str(name) for name in names if str(name) != "README.md"])
    if outputs != run.outputs:
        run.finished(outputs=outputs).write(stage)  # in place of the link
    namespace = repository.partition("/")[0]
    card, report = folder / "README.md", folder / REPORT_FILE
    if card.is_file():
        text = _rewrite_lineage(card.read_text(encoding="utf-8"), run, namespace)
        text = _rewrite_example(text, run, folder.resolve().name, repository)
        (stage / card.name).write_text(text, encoding="utf-8")
    if report.is_file():
        _stage_report(report, stage / REPORT_FILE, run, namespace)


def _stage_report(source: Path, target: Path, run: Run, namespace: str) -> None:
    """Stage what a model reports to the leaderboard of its dataset, with the owner of the dataset.

    Raises:
        ValueError: If it reports to another one.
    """
    if run.ratio is None:
        raise ValueError(f"expected no report of a base model, got {source}")
    data = f"{namespace}/{published_dataset(run.family, run.deletion_seed, run.tier)}"
    text = source.read_text(encoding="utf-8").replace(f"id: {NAMESPACE}/", f"id: {namespace}/", 1)
    check_report(text, data, board_name(run.task, run.ratio, run.backbone, run.family))
    target.parent.mkdir(parents=True)
    target.write_text(text, encoding="utf-8")


def _link(source: Path, target: Path, names: list[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to((source / name).resolve())


def _stage_images(body: str, folder: Path, stage: Path, restricted: list[str]) -> str:
    """Stage the images of a card, and remove from its text those not named after a task whose rows are published."""
    public = read_manifests(folder).keys() - set(restricted)

    def keep(found: re.Match[str]) -> str:
        path = Path(found["path"])
        inside = not path.is_absolute() and ".." not in path.parts and (folder / path).is_file()
        if not inside or (restricted and path.stem not in public):
            return ""
        _link(folder, stage, [str(path)])
        return found[0]

    return IMAGE_LINK.sub(keep, body)


def _is_publishable(outputs: Path) -> bool:
    return outputs.suffix == ".parquet" and set(pq.read_schema(outputs).names) <= OUTPUT_COLUMNS


def _rewrite_lineage(card: str, run: Run, namespace: str) -> str:
    """Insert the published names of dataset and base model into a model card."""
    data = f"{namespace}/{published_dataset(run.family, run.deletion_seed, run.tier)}"
    empty, mark, rest = card.partition("---\n")
    head, end, body = rest.partition("---\n")
    head = re.sub(r"^base_model: ([\w.-]+)$", rf"base_model: {namespace}/\1", head, flags=re.MULTILINE)
    head = re.sub(r"^datasets:\n- [\w.-]+$", f"datasets:\n- {data}", head, flags=re.MULTILINE)
    folder = dataset_folder(run.family, run.deletion_seed)
    return empty + mark + head + end + body.replace(f"\nDataset `{folder}`, ", f"\nDataset `{data}`, ")


def _rewrite_example(card: str, run: Run, name: str, repository: str) -> str:
    """Insert the published names of model and dataset into a card's example; restricted rows are those of a build."""
    card = re.sub(rf'(from_pretrained\(")(?:[^"/]*/)?{re.escape(name)}"', rf'\g<1>{repository}"', card)
    if is_restricted(resolve_task(run.task, run.definition), run.tier):
        return card
    data = f"{repository.partition('/')[0]}/{published_dataset(run.family, run.deletion_seed, run.tier)}"
    folder = dataset_folder(run.family, run.deletion_seed)
    return card.replace(f'load_dataset("{folder}", ', f'load_dataset("{data}", ')
