"""The data: any config of any family, counted, weighed and looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any

from charts.tables import bars, table

from handlers.checks import one_of, ratio_of, whole
from handlers.choices import built, families, info_of
from handlers.gallery import TEXTS, cards, splits
from mubench.cards.usage import usage
from mubench.hub_builders.dataset.load import TaskInfo
from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.names import config_name, dataset_folder

PAGE = 12
MOST_CLASSES = 30
BALANCE = {"train": "mu-retain", "forget": "mu-forget", "retain": "mu-retain"}
# What stands for the config in which nothing is deleted.
WHOLE = 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """A config to look at.

    Attributes:
        info: The task as it is built.
        ratio: Percentage deleted; 0 for the config whose training rows are undivided.
    """

    info: TaskInfo
    ratio: int

    @property
    def sides(self) -> tuple[str, ...]:
        """Splits that the training rows are in."""
        return ("forget", "retain") if self.ratio else ("train",)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by split."""
        return {name: len(rows) for name, rows in splits(self.info, self.ratio).items()}

    @property
    def balance(self) -> dict[str, dict[str, int]]:
        """Rows by class, of forget and of retain rows; empty where rows have no class."""
        if not self.info.labels:
            return {}
        rows = splits(self.info, self.ratio)
        found = {side: Counter(rows[side].with_format("arrow")["label"].to_pylist()) for side in self.sides}
        return {name: {side: found[side][index] for side in found} for index, name in enumerate(self.info.labels)}

    @property
    def code(self) -> str:
        """How to load it."""
        folder = dataset_folder(self.info.family)
        kind = get_task(self.info.task).kind
        name = config_name(self.info.task, self.ratio or None, self.info.family)
        return usage(kind, repository=folder, config=name, split=self.sides[0])


def config(family: Any, task: Any, ratio: Any) -> Config:
    """Return a config.

    Raises:
        ValueError: If there is none of that family, task and ratio.
    """
    info = info_of(task, one_of("family", family, families()))
    return Config(info=info, ratio=ratio_of(ratio, [WHOLE, *sorted(info.forget)]))


def narrowed(family: Any, task: Any, ratio: Any) -> dict[str, Any]:
    """Return the lists of three menus and what is chosen; what does not go with the family gives way.

    Raises:
        ValueError: If the family is not built.
        FileNotFoundError: If nothing is.
    """
    if not (known := families()):
        raise FileNotFoundError("expected tasks in ./mu-bench, got none; build them with: make data")
    family = one_of("family", family, known) if family else known[0]
    tasks = built(family)
    task = task if task in tasks else tasks[0]
    ratios = [str(each) for each in (WHOLE, *sorted(info_of(task, family).forget))]
    ratio = str(ratio) if str(ratio) in ratios else ("5" if "5" in ratios else ratios[1])
    lists = {"families": known, "tasks": tasks, "ratios": ratios}
    return {**lists, "chosen": {"family": family, "task": task, "ratio": ratio}}


def words(found: Config) -> str:
    """Say which rows a config has."""
    info, task = found.info, get_task(found.info.task)
    origin = f" ({escape(task.mini)})" if info.tier == "mini" else ""
    group = f" A group is a {escape(task.group)}." if task.group and info.family == "group" else ""
    return (
        f"<p><b>{escape(task.title)}</b>, {info.tier} tier{origin}. {info.family.capitalize()} deletion, seed "
        f"{info.deletion_seed}, split <code>{info.split[:8]}</code>, {task.kind.replace('_', ' ')}.{group}</p>"
    )


def counts_shown(found: Config) -> str:
    """Return the rows of every split."""
    total = sum(found.counts[side] for side in found.sides)
    meaning = {
        "train": "All training rows.",
        "forget": "Training rows that are to be forgotten.",
        "retain": "The other training rows.",
        "validation": "For tuning alone.",
        "test": "Rows that no model has seen.",
        "ood": "Rows from elsewhere.",
    }
    lines = [
        [name, f"{count:,}", f"{count / total:.1%}" if name in found.sides else "-", meaning[name]]
        for name, count in found.counts.items()
    ]
    head = [
        ("split", "Name of the split."),
        ("rows", "How many."),
        ("of training", "Share of all training rows."),
        ("what", ""),
    ]
    return table(head, lines, label="Rows of every split")


def balance_shown(found: Config) -> str:
    """Return the share of every class among forget and among retain rows, or among all training rows."""
    if not found.balance:
        return '<p class="mu-note">Rows of this task have no class.</p>'
    classes = dict(sorted(found.balance.items(), key=lambda item: -sum(item[1].values()))[:MOST_CLASSES])
    totals = {side: sum(each[side] for each in found.balance.values()) or 1 for side in found.sides}
    most = max(each[side] / totals[side] for each in classes.values() for side in found.sides) or 1
    groups = {
        name: {
            side: (count / totals[side] / most, f"{count:,} ({count / totals[side]:.1%})")
            for side, count in each.items()
        }
        for name, each in classes.items()
    }
    left = len(found.balance) - len(classes)
    note = f'<p class="mu-note">The {MOST_CLASSES} largest classes; {left} more are left out.</p>' if left > 0 else ""
    return f'<div class="mu-balance">{bars(groups, BALANCE)}</div>{note}'


def samples_shown(found: Config, split: Any, page: Any) -> str:
    """Return a page of rows of a split.

    Raises:
        ValueError: If there is no such split or page.
    """
    return cards(found.info, found.ratio, split, _places(found, split, page))


def samples(found: Config, split: Any, page: Any) -> list[dict[str, Any]]:
    """Return a page of rows of a split as plain data: id, class and texts; sounds and pictures are left out.

    Raises:
        ValueError: If there is no such split or page.
    """
    places, info = _places(found, split, page), found.info
    texts = [name for name, kind in get_task(info.task).columns.items() if kind in TEXTS]
    rows = splits(info, found.ratio)[split].select(places)
    rows = rows.select_columns([name for name in ("example_id", "label", *texts) if name in rows.column_names])
    return [{**row, "label": info.labels[row["label"]]} if info.labels and "label" in row else row for row in rows]


def _places(found: Config, split: Any, page: Any) -> range:
    """Return the positions of the rows on a page."""
    counts = found.counts
    count = counts[one_of("split", split, counts)]
    first = (whole("page", page, 1, -(-count // PAGE)) - 1) * PAGE
    return range(first, min(first + PAGE, count))
