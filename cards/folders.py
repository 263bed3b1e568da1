"""Writes the README.md of every dataset, model and results folder; a card that somebody edited is kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from mubench.cards.audit_table import PICTURE as AUDIT_PICTURE
from mubench.cards.audit_table import as_markdown as audit_as_markdown
from mubench.cards.audit_table import audit_tables, left_out
from mubench.cards.eval_results import is_reported, report
from mubench.cards.leaderboard import Table, tables
from mubench.cards.picture import draw_audit, draw_leaderboard
from mubench.cards.render import dataset_body, model_card, results_card
from mubench.cards.report import as_markdown
from mubench.cards.report.generated_texts import generated_texts
from mubench.cards.report.rows_table import write_rows
from mubench.cards.samples import draw_samples, has_public_images
from mubench.hub_builders.dataset.boards import BOARDS_FILE, REPORT_FILE, boards_yaml
from mubench.hub_builders.dataset.manifest import Manifest
from mubench.hub_builders.dataset.readme import read_manifests, write_readme
from mubench.hub_builders.hub.model_folder import REFERENCE, Run, read_run, read_runs
from mubench.hub_builders.tasks.names import fingerprint
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.cli import print_error
from mubench.trainers.evaluation.audit import NotAudited
from mubench.trainers.evaluation.result import Result, Value, read_results
from mubench.trainers.inference.storage import read_or_explain, read_outputs
from mubench.trainers.runs.method_table import method_table

PICTURE = "leaderboard.png"
# The last line of every card, by which an edit is detected.
MARK = re.compile(r"\n<!-- as written: ([0-9a-f]{16}) -->\n\Z")


def replace_card(path: Path, text: str) -> Path:
    """Write a card; an edited one is renamed, which is reported in one line."""
    if path.is_file() and is_edited(path.read_text(encoding="utf-8")):
        names = (path.with_name(f"{path.stem}.edited{number or ''}{path.suffix}") for number in count())
        kept = path.rename(next(name for name in names if not name.exists()))
        print_error(f"expected the card as it was written in {path}, got an edited one: kept as {kept.name}")
    write_text(path, f"{text}\n<!-- as written: {_digest(text)} -->\n")
    return path


def is_edited(card: str) -> bool:
    """Whether a card differs from what was written."""
    mark = MARK.search(card)
    return mark is None or mark[1] != _digest(card[: mark.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_dataset_card(folder: Path) -> Path:
    """Write the text below a dataset folder's YAML, and the file that names its boards on the Hub.

    Raises:
        ValueError: If the folder holds no task.
    """
    manifests = list(read_manifests(folder).values())
    pictures = _draw_samples(folder, manifests)
    write_text(folder / BOARDS_FILE, boards_yaml(manifests))
    return write_readme(folder, dataset_body(manifests, repository=folder.resolve().name, pictures=pictures))


def _draw_samples(folder: Path, manifests: Sequence[Manifest]) -> dict[str, str]:
    """Draw sample rows of every task with public images, and return the file names by task."""
    pictures = {}
    for manifest in manifests:
        picture = folder / f"{manifest['task']}.png"
        if has_public_images(manifest):
            draw_samples(manifest, folder, picture)
            pictures[manifest["task"]] = picture.name
        else:  # a build of another tier may have left one
            picture.unlink(missing_ok=True)
    return pictures


def write_model_cards(models: Path, rows: list[Result]) -> list[Path]:
    """Write the card of every model folder; the scores of a judged model come from its row."""
    runs = read_runs(models)
    return [_write_card(folder, runs, rows) for folder in runs]


def write_model_card(folder: Path, rows: list[Result]) -> Path:
    """Write the card of one model folder, whose parent is in the same folder."""
    return _write_card(folder, {**read_runs(folder.parent), folder: read_run(folder)}, rows)


def _write_card(folder: Path, runs: Mapping[Path, Run], rows: list[Result]) -> Path:
    run = runs[folder]
    names = {other.identity: path.name for path, other in runs.items()}
    result = {row.identity: row for row in rows if _is_about(row, run)}.get(run.identity)
    method = method_table().get(run.method) if run.method else None
    card = model_card(
        folder.name,
        run,
        parent=names.get(run.parent) if run.parent else None,
        metrics=_split_scores(folder, run) if result is None else None,
        result=result,
        paper=method.paper if method else None,
        generated=generated_texts(folder, runs),
        folder=f"{folder.resolve().parent.name}/{folder.name}",
    )
    _write_report(folder / REPORT_FILE, result)
    return replace_card(folder / "README.md", card)


def _write_report(path: Path, result: Result | None) -> None:
    """Write what a model reports to the Hub; one whose row does not rank, or that has none, reports nothing."""
    if result is None or not is_reported(result):
        path.unlink(missing_ok=True)
    else:
        path.parent.mkdir(exist_ok=True)
        write_text(path, report(result))


def _is_about(row: Result, run: Run) -> bool:
    """Whether a row is about a run and, where both record them, about its outputs."""
    other = row.outputs and run.outputs and row.outputs != fingerprint(run.outputs)
    return row.identity == run.identity and not other


def _split_scores(folder: Path, run: Run) -> dict[str, Value]:
    """Return the scores of a model's stored outputs on validation, test and ood rows."""
    splits = read_or_explain(lambda: read_outputs(folder / REFERENCE, run.outputs), run, folder)
    order = [name for name in ("validation", "test", "ood") if name in splits]
    return {f"{name}_score": Value(value=float(splits[name].correct.mean()), n=len(splits[name])) for name in order}


def write_results_card(folder: Path, **folders: Path) -> Path:
    """Write leaderboard, audit, their pictures and all rows as one file into a results folder.

    `tables` takes ``folders``.
    """
    rows = read_results(folder)
    ranked = tables(rows, results=folder, **folders)
    write_rows(rows, folder)
    draw_leaderboard(ranked, folder / PICTURE)
    audited = _write_audit(ranked, folder / AUDIT_PICTURE)
    return replace_card(
        folder / "README.md", results_card(ranked, picture=PICTURE, report=as_markdown(ranked), **audited)
    )


def _write_audit(ranked: Sequence[Table], picture: Path) -> dict[str, str]:
    """Draw the audit of the metrics and return what the card shows of it: the tables, or why there are none."""
    try:
        audits = audit_tables(ranked)
    except NotAudited as error:
        picture.unlink(missing_ok=True)  # of earlier rows
        return {"audit": f"The metrics are not audited on these rows: {error}."}
    missing = "".join(f"\nNot audited: {title}.\n" for title in left_out(ranked))
    return {"audit": audit_as_markdown(audits) + missing, "audit_picture": draw_audit(audits, picture).name}
