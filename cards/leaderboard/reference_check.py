"""The check that all rows of a table were judged against the same reference models, and the same outputs of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mubench.hub_builders.tasks.names import DATASET, family_location
from mubench.hub_builders.utils.hints import command
from mubench.trainers.evaluation.result import Result


def check_references(rows: Sequence[Result], folders: Mapping[str, object]) -> Result:
    """Return a row with the references of the table, after checking that all rows have the same, and their outputs."""
    first = next((row for row in rows if row.method != "retrain"), rows[0])
    for row in rows:
        if not _same_references(row, first):
            same = row.method == "retrain" or row.references.identities == first.references.identities != []
            raise ValueError(
                f"expected {row.run_id!r} to be judged against the models of {first.run_id!r}, got "
                f"{'other outputs of them, as of another machine' if same else 'others'}; "
                f"judge it again with: {_judge_command(row, folders)}, or remove the row if its model is gone"
            )
    return first


def _same_references(row: Result, first: Result) -> bool:
    """Whether two rows were judged against the same outputs; a retrained model against those of the others."""
    if row.method != "retrain" or row is first:
        return row.references == first.references
    own, whole = ({*one.references.outputs, *filter(None, [one.outputs])} for one in (row, first))
    return own <= whole and bool(row.references.outputs) == bool(first.references.outputs)


def _judge_command(row: Result, folders: Mapping[str, object]) -> str:
    data = family_location(str(folders.get("data", DATASET)), row.family, row.deletion_seed)
    group = {"task": row.task, "ratio": row.ratio, "backbone": row.backbone, "family": row.family}
    group |= {"eval_seed": row.eval_seed}
    return command("sweep", **group, data=data, models=folders.get("models"), results=folders.get("results"))
