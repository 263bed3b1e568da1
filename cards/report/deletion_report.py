"""The deletion report of a run: what was deleted, how and at what cost, S, attacks, and what is not claimed."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.tables import escape_markdown, markdown_table
from mubench.hub_builders.utils.text import quote
from mubench.trainers.evaluation.result import Result, read_result
from mubench.trainers.metrics import METRICS
from mubench.trainers.runs.method_table import method_table

# Attacks as their papers define them, and the strongest of all as S takes it.
ATTACKS = ("membership", "loss_mia", "rmia", "logistic_mia", "svc_confidence", "scrub_mia", "tpr_at_1_fpr")
NOT_CLAIMED = (
    "That nothing of the deleted rows can be recovered: a stronger attack, or one with access to the model "
    "before unlearning, may find more.",
    "That copies, paraphrases or derived data of the deleted rows are forgotten: only the listed ids were deleted.",
    "That any law or contract is met: this is a measurement, not a legal assessment.",
    "That S holds elsewhere: it compares this model with models retrained on this split, by this recipe.",
)
STYLE = (
    "body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; } "
    "th { text-align: left; padding-right: 1em; vertical-align: top; } td { overflow-wrap: anywhere; }"
)


@dataclass(frozen=True)
class Section:
    """A part of the report: a heading, lines of a table by name, and sentences below it."""

    title: str
    facts: Sequence[tuple[str, str]] = ()
    sentences: Sequence[str] = ()


def sections(row: Result, ids: Sequence[str]) -> list[Section]:
    """Return the parts of the report of a result row.

    Args:
        row: The row.
        ids: Values of ``example_id`` of the deleted rows.
    """
    return [_deleted(row, ids), _method(row), _score(row), _attacks(row), Section("Not claimed", (), NOT_CLAIMED)]


def hash_ids(ids: Sequence[str]) -> str:
    """Return the SHA-256 of ids in sorted order, a line each."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def _deleted(row: Result, ids: Sequence[str]) -> Section:
    facts = {
        "data": f"{row.task}, {row.tier} tier, split {row.split}",
        "deletion": f"{row.ratio} % of the training rows, {row.family} family, deletion seed {row.deletion_seed}",
        "rows": f"{len(ids):,}",
        "SHA-256 of the sorted ids": hash_ids(ids),
    }
    return Section("What was deleted", list(facts.items()), ["The ids lie beside this report, a line each."])


def _method(row: Result) -> Section:
    method = method_table().get(row.method)
    paper = "a custom method"
    if method and (found := method.paper):
        paper = ", ".join(
            (found.authors, found.title, found.venue, *([f"arXiv:{found.arxiv}"] if found.arxiv else []))
        )
    arguments = ", ".join(f"{name}={value}" for name, value in sorted(row.arguments.items()))
    start = row.foreign_base or row.backbone
    facts = {
        "method": f"{row.method}: {paper}",
        "arguments": arguments or "none",
        "base model": f"{start}, base seed {row.base_seed}, run {row.parent or 'unknown'}",
        "run": f"{row.run_id}, seed {row.seed}, on {row.device}",
        "cost": _cost(row),
    }
    return Section("How", list(facts.items()))


def _cost(row: Result) -> str:
    seconds, share = row.cost.get("seconds"), row.cost.get("passes_share")
    parts = [f"{seconds:.1f} s of training"] if seconds is not None else []
    parts += [f"{share:.1%} of the passes of retraining"] if share is not None else []
    return ", ".join(parts) or "not recorded"


def _score(row: Result) -> Section:
    judged = f"Judged against {row.reference_counts}, which were trained without the deleted rows."
    if row.interval is None:
        return Section("How close to retraining", (), [f"No S: {row.no_signal or ', '.join(row.flags)}.", judged])
    facts = [
        ("S", f"{row.metrics['score'].value:.2f}, 95 % interval {row.interval.low:.2f} to {row.interval.high:.2f}")
    ]
    facts += [(name, f"{row.metrics[name].value:.2f}") for name in ("row", "mean", "membership", "utility")]
    scale = "S is 1 for a model that cannot be told from a retrained one, and 0 for an untouched or destroyed one."
    return Section("How close to retraining", facts, [scale, judged])


def _attacks(row: Result) -> Section:
    facts = [
        (METRICS[name].title, f"{found.value:.3f}; on retrained models {_number(found.retrained)}")
        for name in ATTACKS
        if (found := row.metrics.get(name))
    ]
    return Section("Attacks, beside retrained models", facts, () if facts else ["None was measured."])


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def as_markdown(title: str, parts: Sequence[Section]) -> str:
    """Return the report in Markdown."""
    lines = [f"# {title}"]
    for part in parts:
        lines.append(f"## {part.title}")
        if part.facts:
            facts = [(name, escape_markdown(value)) for name, value in part.facts]
            lines.append(markdown_table(("fact", "value"), facts, left=(0, 1)).rstrip())
        lines += [f"- {sentence}" for sentence in part.sentences]
    return "\n\n".join(lines) + "\n"


def as_html(title: str, parts: Sequence[Section]) -> str:
    """Return the report as a page of its own, which loads nothing."""
    body = [f"<h1>{escape(title)}</h1>"]
    for part in parts:
        rows = "".join(f'<tr><th scope="row">{escape(n)}</th><td>{escape(v)}</td></tr>' for n, v in part.facts)
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in part.sentences)
        body.append(f"<h2>{escape(part.title)}</h2><table>{rows}</table><ul>{items}</ul>")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def write_report(options: argparse.Namespace) -> list[str]:
    """Write the report of a result row as Markdown and HTML, and the deleted ids; return their paths.

    Raises:
        FileNotFoundError: If there is no such row.
        ValueError: If the data are not those that the row is about.
    """
    row = read_result(options.row)
    info = task_info(row.task, data=options.data, family=row.family)
    if info.split != row.split:
        raise ValueError(
            f"expected the data of {options.row}, split {row.split[:12]}, got split {info.split[:12]} in "
            f"{quote(str(options.data))}"
        )
    forget = load_task(row.task, row.ratio, data=options.data, family=row.family)["forget"]["example_id"]
    ids, title = [str(one) for one in forget], f"Deletion report: {row.method} on {row.task}, {row.ratio} %"
    parts, folder = sections(row, ids), options.out or Path("reports") / row.run_id
    texts = {
        "report.md": as_markdown(title, parts),
        "report.html": as_html(title, parts),
        "deleted_ids.txt": "".join(f"{one}\n" for one in sorted(ids)),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / name, text)
    return [str(folder / name) for name in texts]
