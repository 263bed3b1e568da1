"""The data explorer: row counts, class balance and sample rows of any config of any family."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import Any

from charts.tables import bars, table

from handlers.choices import DEFAULT_RATIO, built_families, built_task_info, built_tasks
from handlers.gallery import TEXTS, row_cards, splits
from handlers.input_checks import check_choice, check_integer, check_ratio
from mubench.cards.usage import usage
from mubench.hub_builders.dataset.load import TaskInfo
from mubench.hub_builders.tasks.names import config_name, dataset_folder

PAGE_SIZE = 12
MAX_CLASSES = 30
STYLES = {"train": "mu-retain", "forget": "mu-forget", "retain": "mu-retain"}
# The ratio of the config in which nothing is deleted.
UNDIVIDED = 0
SPLITS = {
    "train": "All training rows.",
    "forget": "Training rows to forget.",
    "retain": "The other training rows.",
    "validation": "For tuning only.",
    "test": "Rows that no model was trained on.",
    "ood": "Out-of-distribution rows.",
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """A config of a built task: the percentage deleted, or 0 where its training rows are undivided."""

    info: TaskInfo
    ratio: int

    @property
    def training_splits(self) -> tuple[str, ...]:
        return ("forget", "retain") if self.ratio else ("train",)

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows by split."""
        return {name: len(rows) for name, rows in splits(self.info, self.ratio).items()}

    @property
    def balance(self) -> dict[str, dict[str, int]]:
        """Number of training rows by class and split; empty where rows have no class."""
        if not self.info.labels:
            return {}
        rows = splits(self.info, self.ratio)
        found = {name: Counter(rows[name].with_format("arrow")["label"].to_pylist()) for name in self.training_splits}
        return {label: {name: found[name][index] for name in found} for index, label in enumerate(self.info.labels)}

    @property
    def code(self) -> str:
        """Python that loads it."""
        return usage(
            self.info.row.kind,
            repository=dataset_folder(self.info.family),
            config=config_name(self.info.task, self.ratio or None, self.info.family),
            split=self.training_splits[0],
        )


def find_config(family: Any, task: Any, ratio: Any) -> Config:
    """Return a config.

    Raises:
        ValueError: If there is none of that family, task and ratio.
    """
    info = built_task_info(task, check_choice("family", family, built_families()))
    return Config(info=info, ratio=check_ratio(ratio, [UNDIVIDED, *sorted(info.forget)]))


def menu_choices(family: Any, task: Any, ratio: Any) -> dict[str, Any]:
    """Return the choices of three menus and the current one of each; what does not fit the family is replaced.

    Raises:
        ValueError: If the family is not built.
        FileNotFoundError: If no family is built.
    """
    if not (families := built_families()):
        raise FileNotFoundError("expected tasks in ./mu-bench, got none; build them with: mubench build")
    family = check_choice("family", family, families) if family else families[0]
    tasks = built_tasks(family)
    task = task if task in tasks else tasks[0]
    ratios = [str(each) for each in (UNDIVIDED, *sorted(built_task_info(task, family).forget))]
    start = str(DEFAULT_RATIO) if str(DEFAULT_RATIO) in ratios else ratios[1]
    ratio = str(ratio) if str(ratio) in ratios else start
    menus = {"families": families, "tasks": tasks, "ratios": ratios}
    return {**menus, "chosen": {"family": family, "task": task, "ratio": ratio}}


def render_description(config: Config) -> str:
    """Return task, tier, deletion family, seed and split of a config."""
    info, task = config.info, config.info.row
    origin = f" ({escape(task.mini)})" if info.tier == "mini" else ""
    group = f" A group is a {escape(task.group)}." if task.group and info.family == "group" else ""
    return (
        f"<p><b>{escape(task.title)}</b>, {info.tier} tier{origin}. {info.family.capitalize()} deletion, seed "
        f"{info.deletion_seed}, split <code>{info.split[:8]}</code>, {task.kind.replace('_', ' ')}.{group}</p>"
    )


def render_counts(config: Config) -> str:
    """Return the number of rows of every split as a table."""
    counts = config.counts
    total = sum(counts[split] for split in config.training_splits)
    lines = [
        [name, f"{count:,}", f"{count / total:.1%}" if name in config.training_splits else "-", SPLITS[name]]
        for name, count in counts.items()
    ]
    head = [
        ("split", "Name of the split."),
        ("rows", "Number of rows."),
        ("of training", "Share of all training rows."),
        ("description", ""),
    ]
    return table(head, lines, label="Rows of every split")


def render_balance(config: Config) -> str:
    """Return the share of every class in the forget and retain sets, or among all training rows."""
    balance = config.balance
    if not balance:
        return '<p class="mu-note">Rows of this task have no class.</p>'
    largest = dict(sorted(balance.items(), key=lambda item: -sum(item[1].values()))[:MAX_CLASSES])
    totals = {split: sum(each[split] for each in balance.values()) or 1 for split in config.training_splits}
    top = max(each[split] / totals[split] for each in largest.values() for split in totals) or 1
    groups = {}
    for name, each in largest.items():
        shares = {split: count / totals[split] for split, count in each.items()}
        groups[name] = {split: (share / top, f"{each[split]:,} ({share:.1%})") for split, share in shares.items()}
    more = len(balance) - len(largest)
    note = f'<p class="mu-note">The {MAX_CLASSES} largest classes, without {more} smaller ones.</p>' if more else ""
    return f'<div class="mu-balance">{bars(groups, STYLES)}</div>{note}'


def render_samples(config: Config, split: Any, page: Any) -> str:
    """Return a page of rows of a split as cards.

    Raises:
        ValueError: If there is no such split or page.
    """
    return row_cards(config.info, config.ratio, split, _page_rows(config, split, page))


def sample_rows(config: Config, split: Any, page: Any) -> list[dict[str, Any]]:
    """Return a page of rows of a split as plain data: id, class and texts, without images, audio and video.

    Raises:
        ValueError: If there is no such split or page.
    """
    indices, info = _page_rows(config, split, page), config.info
    texts = [name for name, kind in info.row.columns.items() if kind in TEXTS]
    rows = splits(info, config.ratio)[split].select(indices)
    rows = rows.select_columns([name for name in ("example_id", "label", *texts) if name in rows.column_names])
    return [{**row, "label": info.labels[row["label"]]} if info.labels and "label" in row else row for row in rows]


def _page_rows(config: Config, split: Any, page: Any) -> range:
    counts = config.counts
    count = counts[check_choice("split", split, counts)]
    first = (check_integer("page", page, 1, -(-count // PAGE_SIZE)) - 1) * PAGE_SIZE
    return range(first, min(first + PAGE_SIZE, count))
