"""Rows that may not be published: their ids and ranks go instead, and the way back to the rows is checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Value

from mubench.hub_builders.dataset.load import task_info, task_shards
from mubench.hub_builders.dataset.readme import IDS, Manifest
from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.names import DATASET, config_name, dataset_folder, ids_config
from mubench.hub_builders.utils.hints import command

# Columns that hold no content, by type.
INDEX = {"example_id": "string", "source_index": "int64", "deletion_rank": "int32", "group": "string"}
# Headline of a card's examples of how to read a row.
READING = "## How to read a row"
# Whose the repositories are that a card names, until it is known.
NAMESPACE = "NAMESPACE"
# What outputs may say about rows that are restricted: nothing a text could be read off.
HARMLESS = {"example_id", "label", "logits", "loss_sum", "n_tokens", "token_logprob", "token_correct", "losses"}


def is_withheld(task: str, tier: str) -> bool:
    """Whether a task's licence forbids to publish its rows; mini rows may always go."""
    return tier != "mini" and not get_task(task).redistributable


def write_ids(source: Path, target: Path, manifest: Manifest) -> Manifest:
    """Write the ids, positions, ranks and groups of a build, split by split, and return the manifest of that.

    Labels and contents stay behind: a rebuild yields them. Fingerprints and counts remain those of the rows.
    """
    target.mkdir(parents=True)
    shards = {split: [f"{IDS}{split}.parquet"] for split in manifest["shards"]}
    for split, names in manifest["shards"].items():
        table = _index([source / name for name in names])
        features = Features({name: Value(INDEX[name]) for name in table.column_names})
        table = table.replace_schema_metadata(features.arrow_schema.metadata)
        pq.write_table(table, target / shards[split][0], compression="zstd")
    sizes = {name: (target / name).stat().st_size for names in shards.values() for name in names}
    return {**manifest, "shards": shards, "bytes": sizes}


def notice(manifests: Sequence[Manifest], repository: str) -> str:
    """Return what the card of a repository says of tasks whose rows are not in it; nothing if there are none."""
    if not manifests:
        return ""
    lines = [
        "**Of these tasks the repository holds ids, positions and deletion ranks, not the rows**, whose licences do "
        "not let them be passed on. Build the rows from the original files (`--raw DIR`) or their source, and check "
        "that they are the same and deleted alike:\n"
    ]
    for one in manifests:
        task, folder = one["task"], dataset_folder(one["family"], one["deletion_seed"])
        built = folder if one["deletion_seed"] else None
        check = command("hub_builders", "verify", task, data=repository, family=one["family"], built=built)
        lines.append(
            f"- {get_task(task).title}, here as config `{ids_config(task)}`: `{one['command']}`, then `{check}`; "
            f'then `load_dataset("{folder}", "{config_name(task)}")` and the other configs of the task read '
            "what was built"
        )
    return "\n".join([*lines, ""])


def located(body: str, repository: str, restricted: Sequence[Manifest]) -> str:
    """Return a card's text as it is true of a published repository: its and its sisters' names, what is not there."""
    gone = {str(one["task"]) for one in restricted}
    # From here on examples are about rows, and read those that were built.
    reading = body.index(READING) if READING in body else len(body)

    def example(found: re.Match[str]) -> str:
        config, comment = found["config"], found["comment"]
        task = config.rpartition("_del")[0] or config
        if task in gone and found.start() > reading:
            return found[0]
        if task in gone:
            config, comment = ids_config(task), ""
        return f'load_dataset("{repository}", "{config}"){comment}'

    call = r'load_dataset\("[\w.-]+", "(?P<config>\w+)"\)(?P<comment>[ \t]*(?:#.*)?)'
    text = re.sub(call, example, body).replace(f"`{NAMESPACE}/", f"`{repository.partition('/')[0]}/")
    title, newline, rest = text.partition("\n")
    return f"{title}{newline}\n{notice(restricted, repository)}{rest}" if restricted else text


def verify(task: str, *, data: str, built: str | Path = DATASET, family: str = "canonical") -> str:
    """Check that a build has the rows and the deletions of a published repository, which may hold ids alone.

    Args:
        task: Task key.
        data: Hub id (or folder) of what was published.
        built: Dataset folder of the build.
        family: Deletion family.

    Returns:
        The split fingerprint that both have.

    Raises:
        ValueError: If they are the same folder, or differ; the message says in what.
        FileNotFoundError: If one of them is not there.
    """
    if Path(data).resolve() == Path(built).resolve():
        raise ValueError(f"expected two places to compare, got {data} for both data and built")
    theirs, ours = (
        {split: _index(paths) for split, paths in task_shards(task, data=place, family=family).items()}
        for place in (data, built)
    )
    if list(theirs) != list(ours):
        raise ValueError(f"expected the splits {', '.join(theirs)} of {data} in {built}, got {', '.join(ours)}")
    for split, table in theirs.items():
        _check_equal(table, ours[split], f"{task} {split} of {built}", str(data))
    published, found = (task_info(task, data=place, family=family) for place in (data, built))
    if published.split != found.split:
        raise ValueError(
            f"expected the split fingerprint {published.split[:16]} of {data}, got {found.split[:16]} in {built}: "
            f"ids and ranks of {task} are the same, contents or labels are not"
        )
    return found.split


def _index(shards: Sequence[Path]) -> pa.Table:
    """Read what holds no content of a split, without what its files say of the other columns."""
    tables = []
    for path in shards:
        try:
            held = [name for name in pq.read_schema(path).names if name in INDEX]
            tables.append(pq.read_table(path, columns=held).replace_schema_metadata())
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"expected parquet, got damage: {path}") from error
    return pa.concat_tables(tables)


def _check_equal(theirs: pa.Table, ours: pa.Table, what: str, data: str) -> None:
    """Compare two indices, whatever the order of their rows."""
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
