"""Cards into folders: reads what earlier rooms built and writes a README.md into each repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mubench.cards.edited import replace_card
from mubench.cards.leaderboard import tables
from mubench.cards.picture import draw
from mubench.cards.render import dataset_body, model_card, results_card
from mubench.cards.samples import draw_samples, may_be_shown, sample_picture
from mubench.hub_builders.dataset.readme import Manifest, read_manifests, write_readme
from mubench.hub_builders.hub.model_folder import REFERENCE, RUN_FILE, Run, read_run
from mubench.trainers.evaluation.result import Result, Value
from mubench.trainers.evaluation.result_files import read_results
from mubench.trainers.inference.storage import read_outputs
from mubench.trainers.runs.method_table import method_table

PICTURE = "leaderboard.png"


def write_dataset_card(folder: Path) -> Path:
    """Write the text below a dataset folder's YAML.

    Raises:
        ValueError: If the folder shows no task.
    """
    manifests = list(read_manifests(folder).values())
    pictures = _sample_pictures(folder, manifests)
    return write_readme(folder, dataset_body(manifests, repository=folder.resolve().name, pictures=pictures))


def _sample_pictures(folder: Path, manifests: Sequence[Manifest]) -> dict[str, str]:
    """Draw sample rows of every task whose rows can be looked at and shown; return where, by task."""
    shown = [one for one in manifests if may_be_shown(one)]
    for one in manifests:
        if one not in shown:  # what a build of another tier may have left
            (folder / sample_picture(one)).unlink(missing_ok=True)
    for one in shown:
        draw_samples(one, folder, folder / sample_picture(one))
    return {one["task"]: sample_picture(one) for one in shown}


def _split_scores(folder: Path) -> dict[str, Value]:
    """Return what a model's own outputs say: its score on every stored split but train."""
    splits = {name: outputs for name, outputs in read_outputs(folder).items() if name != "train"}
    order = [name for name in ("validation", "test", "ood") if name in splits]
    return {f"{name}_score": Value(value=float(splits[name].correct.mean()), n=len(splits[name])) for name in order}


def _card(folder: Path, run: Run, names: Mapping[str, str], rows: Mapping[str, Result]) -> str:
    result = rows.get(run.identity)
    method = method_table().get(run.method) if run.method else None
    return model_card(
        folder.name,
        run,
        parent=names.get(run.parent) if run.parent else None,
        metrics=_split_scores(folder / REFERENCE) if result is None else None,
        result=result,
        paper=method.paper if method else None,
    )


def write_model_cards(models: Path, rows: list[Result]) -> list[Path]:
    """Write the card of every model folder; a judged model's scores come from its row."""
    runs = _runs(models)
    return [_write_card(folder, runs, rows) for folder in runs]


def write_model_card(folder: Path, rows: list[Result]) -> Path:
    """Write the card of one model folder, whose parent lies beside it."""
    return _write_card(folder, _runs(folder.parent), rows)


def _runs(models: Path) -> dict[Path, Run]:
    return {file.parent: read_run(file.parent) for file in sorted(models.glob(f"*/{RUN_FILE}"))}


def _write_card(folder: Path, runs: Mapping[Path, Run], rows: list[Result]) -> Path:
    names = {run.identity: other.name for other, run in runs.items()}
    judged = {row.identity: row for row in rows if row.identity is not None}
    return replace_card(folder / "README.md", _card(folder, runs[folder], names, judged))


def write_results_card(folder: Path, **place: Path) -> Path:
    """Write the leaderboard and its picture beside the rows; ``place`` is what `tables` takes of that name."""
    ranked = tables(read_results(folder), results=folder, **place)
    draw(ranked, folder / PICTURE)
    return replace_card(folder / "README.md", results_card(ranked, picture=PICTURE))
