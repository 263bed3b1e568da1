"""Rows that may not be published: ids and ranks take their place, and rebuilt rows are verified against these."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Value

from mubench.hub_builders.dataset.load import task_info, task_shards
from mubench.hub_builders.dataset.manifest import IDS, Manifest, task_of
from mubench.hub_builders.tasks import Task
from mubench.hub_builders.tasks.names import DATASET, config_name, dataset_folder, ids_config
from mubench.hub_builders.utils.hints import command, shorten_recorded

# Columns without content, by type.
INDEX_COLUMNS = {"example_id": "string", "source_index": "int64", "deletion_rank": "int32", "group": "string"}
# Heading of a card's examples of rows.
READING_HEADING = "## How to read a row"
# Placeholder in cards for the owner of the repositories.
NAMESPACE = "NAMESPACE"
# Columns of outputs that may be published for restricted rows: no text can be recovered from them.
OUTPUT_COLUMNS = {"example_id", "label", "logits", "loss_sum", "n_tokens", "token_logprob", "token_correct", "losses"}


def is_restricted(task: Task, tier: str) -> bool:
    """Return whether the licence of a task forbids to publish its rows; mini rows are never restricted."""
    return tier != "mini" and not task.redistributable


def write_ids(source: Path, target: Path, manifest: Manifest) -> Manifest:
    """Write the ids, indices, ranks and groups of a build, one file per split, and return their manifest.

    Labels and contents are left out: a rebuild restores them. Fingerprints and counts remain those of the rows.
    """
    target.mkdir(parents=True)
    shards = {split: [f"{IDS}{split}.parquet"] for split in manifest["shards"]}
    for split, names in manifest["shards"].items():
        table = _read_index([source / name for name in names])
        features = Features({name: Value(INDEX_COLUMNS[name]) for name in table.column_names})
        table = table.replace_schema_metadata(features.arrow_schema.metadata)
        pq.write_table(table, target / shards[split][0], compression="zstd")
    sizes = {name: (target / name).stat().st_size for names in shards.values() for name in names}
    return {**manifest, "shards": shards, "bytes": sizes}


def _ids_notice(manifests: Sequence[Manifest], repository: str) -> str:
    """Return the paragraph of a card about tasks whose rows are not in the repository."""
    lines = [
        "**Of these tasks the repository holds ids, indices and deletion ranks, not the rows**, whose licences forbid "
        "redistribution. Build the rows from the original files (`--raw DIR`) or their source, and check that rows "
        "and deletions are the same:\n"
    ]
    for one in manifests:
        task, folder = one["task"], dataset_folder(one["family"], one["deletion_seed"])
        built = folder if one["deletion_seed"] else None
        making = shorten_recorded(one["command"])
        check = command("verify", task, data=repository, family=one["family"], built=built)
        lines.append(
            f"- {task_of(one).title}, here as config `{ids_config(task)}`: `{making}`, then `{check}`; "
            f'then `load_dataset("{folder}", "{config_name(task)}")` and the other configs of the task read '
            "that build"
        )
    return "\n".join([*lines, ""])


def rewrite_card(body: str, repository: str, restricted: Sequence[Manifest]) -> str:
    """Adapt a card to a published repository: insert its name and owner, and describe restricted tasks."""
    without_rows = {str(one["task"]) for one in restricted}
    # Examples below this heading read rows, which are those of a local build.
    reading = body.index(READING_HEADING) if READING_HEADING in body else len(body)

    def example(found: re.Match[str]) -> str:
        config, comment = found["config"], found["comment"]
        task = config.rpartition("_del")[0] or config
        if task in without_rows and found.start() > reading:
            return found[0]
        if task in without_rows:
            config, comment = ids_config(task), ""
        return f'load_dataset("{repository}", "{config}"){comment}'

    call = r'load_dataset\("[\w.-]+", "(?P<config>\w+)"\)(?P<comment>[ \t]*(?:#.*)?)'
    text = re.sub(rf"(?<=[`\"]){NAMESPACE}(?=/)", repository.partition("/")[0], re.sub(call, example, body))
    title, newline, rest = text.partition("\n")
    return f"{title}{newline}\n{_ids_notice(restricted, repository)}{rest}" if restricted else text


def verify(task: str, *, data: str, built: str | Path = DATASET, family: str = "canonical") -> str:
    """Check that a build has the rows and deletions of a published repository, which may hold only ids.

    Args:
        task: Task key.
        data: Hub id (or folder) of the published repository.
        built: Dataset folder of the build.
        family: Deletion family.

    Returns:
        The common split fingerprint.

    Raises:
        ValueError: If they are the same folder, or differ; the message says where.
        FileNotFoundError: If one of them is missing.
    """
    if Path(data).resolve() == Path(built).resolve():
        raise ValueError(f"expected two builds to compare, got {data} for both data and built")
    theirs, ours = (
        {split: _read_index(paths) for split, paths in task_shards(task, data=source, family=family).items()}
        for source in (data, built)
    )
    if list(theirs) != list(ours):
        raise ValueError(f"expected the splits {', '.join(theirs)} of {data} in {built}, got {', '.join(ours)}")
    for split, table in theirs.items():
        _check_equal(table, ours[split], f"{task} {split} of {built}", str(data))
    published, found = (task_info(task, data=source, family=family) for source in (data, built))
    if published.split != found.split:
        raise ValueError(
            f"expected the split fingerprint {published.split[:16]} of {data}, got {found.split[:16]} in {built}: "
            f"ids and ranks of {task} are the same, contents or labels are not"
        )
    return found.split


def _read_index(shards: Sequence[Path]) -> pa.Table:
    """Read the columns without content of a split, and drop the metadata about the others."""
    tables = []
    for path in shards:
        try:
            columns = [name for name in pq.read_schema(path).names if name in INDEX_COLUMNS]
            tables.append(pq.read_table(path, columns=columns).replace_schema_metadata())
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"expected parquet, got damage: {path}") from error
    return pa.concat_tables(tables)


def _check_equal(theirs: pa.Table, ours: pa.Table, what: str, data: str) -> None:
    """Compare two index tables regardless of the order of their rows."""
    theirs, ours = (table.sort_by("example_id") for table in (theirs, ours))
    if theirs["example_id"] != ours["example_id"]:
        both = set(theirs["example_id"].to_pylist()) & set(ours["example_id"].to_pylist())
        raise ValueError(
            f"expected the {len(theirs)} ids of {data} in {what}, got {len(ours)} ids, {len(both)} of them the same"
        )
    if theirs.column_names != ours.column_names:
        raise ValueError(
            f"expected the columns {', '.join(theirs.column_names)} of {data} in {what}, got "
            f"{', '.join(ours.column_names)}"
        )
    for name in theirs.column_names:
        if theirs[name] != ours[name]:
            raise ValueError(f"expected {name} in {what} as in {data}, got other values for the same ids")
