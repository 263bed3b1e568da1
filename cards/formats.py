"""A leaderboard as text for the terminal, or as markdown."""

from __future__ import annotations

from collections.abc import Iterable

from mubench.cards.entries import Entry
from mubench.cards.leaderboard import Table
from mubench.hub_builders.utils.tables import align_columns

HEAD = ("rank", "method", "runs", "S", "95 % interval", "row", "mean", "memb.", "util.", "gap", "KL", "time", "passes")
LEGEND = (
    "S: 1 = retrained, 0 = untouched or destroyed; higher is better. Ranked by the lower end of its 95 % interval;",
    "lines that a paired bootstrap cannot tell from the first of their rank share it. * provisional.",
    "Parts of S, 0 = retrained, 1 = base, lower is better: row (forget rows one by one), mean (mean forget score),",
    "memb. (strongest membership attack), util. (score lost on retain, test or ood rows). For comparison, lower is",
    "better: gap (mean distance of averages to retrained; can be cheated), KL to retrained in nats.",
    "time, passes (forward + 2 backward examples): training cost as a share of retraining's, lower is better.",
    "Lines marked oracle_selection kept the epoch nearest to the retrained models; they rank among themselves.",
    "Controls are never ranked; retrain is each retrained model judged against the others.",
)
_MISSING = "-"


def number(value: float | None, digits: int = 2) -> str:
    """Return a number as text, or a dash."""
    # Adding 0 turns -0.00 into 0.00.
    return _MISSING if value is None else f"{round(value, digits) + 0:.{digits}f}"


def cells(entry: Entry) -> tuple[str, ...]:
    """Return one line of the table as strings, in the order of ``HEAD``."""
    rank = _MISSING if entry.rank is None else f"{entry.rank}{'*' if entry.rows[0].provisional else ''}"
    rank += " apart" if entry.oracle_selected and entry.rank else ""
    ends = _MISSING if entry.low is None else f"{number(entry.low)} to {number(entry.high)}"
    parts = [number(value) for value in entry.metrics.values()]
    return (
        *(rank, entry.title, str(len(entry.rows)), number(entry.score), ends, *parts),
        *(number(entry.seconds), number(entry.passes)),
    )


def as_text(tables: Iterable[Table]) -> str:
    """Return the tables and the legend for a terminal."""
    blocks = []
    for table in tables:
        head, *lines = align_columns([HEAD, *map(cells, (*table.entries, *table.controls))], left=(1,))
        ranked, controls = lines[: len(table.entries)], lines[len(table.entries) :]
        rule = "-" * max(map(len, (head, *lines)))
        block = [table.title, table.standing, rule, head, rule, *ranked]
        blocks.append("\n".join([*block, "controls (unranked)".center(len(rule), "."), *controls, rule]))
    return "\n\n".join([*blocks, "\n".join(LEGEND)]) + "\n"


def as_markdown(table: Table) -> str:
    """Return one table in markdown, without title and legend."""
    lines = [HEAD, tuple("---" if name == "method" else "---:" for name in HEAD)]
    lines += [cells(entry) for entry in table.entries]
    lines += [(rank, f"*{name}*", *rest) for rank, name, *rest in map(cells, table.controls)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
