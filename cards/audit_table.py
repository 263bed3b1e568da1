"""The audit of the metrics as text for the terminal, as markdown and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mubench.cards.leaderboard import Table
from mubench.cards.leaderboard.formats import number
from mubench.cards.picture import draw_audit
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.tables import align_columns, markdown_table
from mubench.trainers.evaluation.audit import (
    CAUGHT,
    LEAST_POWER,
    MOST_ALARMS,
    MetricAudit,
    TableAudit,
    audit,
)
from mubench.trainers.evaluation.result import Result
from mubench.trainers.metrics import METRICS
from mubench.trainers.metrics.score import SCORE_VERSION

PICTURE = "audit.png"
HEAD = (
    "metric", "better", "tables", "false alarms", "95 % interval", *CAUGHT, "strong on", "tau", "95 % interval", "",
)  # fmt: skip
LEGEND = (
    "false alarms: held-out retrained models outside the 95 % prediction interval (t) of the others, on the worse",
    "side of a metric that is better higher or lower, on both of one that is better near retrained; with the",
    "binomial interval of the rate. base, retrain_keep50, flip_cheat: power, the share of such models outside the",
    f"interval of all retrained models. strong on: tables with a mean power of {LEAST_POWER:.0%} and more.",
    "tau: Kendall's tau-b to S over rows of methods, turned so that higher is better, mean over tables; its interval",
    f"is a bootstrap. weak: false alarms above {MOST_ALARMS:.0%} beyond chance (lower end of the interval),",
    "or strong on fewer than 9 of 11 tables: alone, such a column does not show that a model has forgotten.",
    "By table: false alarms / retrained models, mean power, tau.",
)
_MISSING = "-"


def audit_tables(tables: Sequence[Table], **folders: object) -> list[MetricAudit]:
    """Audit every metric over tables; ``folders`` are those of the command in an error message.

    Tables of earlier versions of S are left out where there are others, and `left_out` names them.

    Raises:
        NotAudited: If a table lacks a control or enough retrained models, or all are of another version of S.
    """
    earlier = left_out(tables)
    return audit({table.title: _rows(table) for table in tables if table.title not in earlier}, **folders)


def left_out(tables: Sequence[Table]) -> list[str]:
    """Return the titles of tables of earlier versions of S, none where all are."""
    earlier = [table.title for table in tables if table.row.score_version != SCORE_VERSION]
    return earlier if len(earlier) < len(tables) else []


def _rows(table: Table) -> list[Result]:
    return [row for entry in (*table.entries, *table.controls) for row in entry.rows]


def _ends(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}"


def _share(value: float) -> str:
    return _MISSING if math.isnan(value) else f"{value:.0%}"


def _line(one: MetricAudit) -> tuple[str, ...]:
    start = (one.name, METRICS[one.name].better)
    if not one.tables:
        return (*start, "0", *[_MISSING] * (len(HEAD) - 4), "not measured")
    alarms = f"{one.alarms} of {one.retrained} = {one.alarms / one.retrained:.0%}"
    powers = [_share(one.power(control)) for control in CAUGHT]
    tau, *ends = one.tau or (None,)
    taus = (number(tau), _ends(*ends) if ends else _MISSING)
    weak = f"weak: {', '.join(one.weaknesses)}" if one.weaknesses else ""
    counts = (str(len(one.tables)), alarms, _ends(*one.alarm_interval))
    return (*start, *counts, *powers, str(one.strong_tables), *taus, weak)


def _cell(one: TableAudit | None) -> str:
    if one is None:
        return _MISSING
    return f"{one.alarms}/{one.retrained} {one.mean_power:.0%} {number(one.tau if math.isfinite(one.tau) else None)}"


def _titles(audits: Sequence[MetricAudit]) -> dict[str, str]:
    """Return a letter for every table, by title."""
    titles = dict.fromkeys(title for one in audits for title in one.tables)
    return {title: chr(ord("A") + place) for place, title in enumerate(titles)}


def _by_table(audits: Sequence[MetricAudit]) -> list[tuple[str, ...]]:
    titles = _titles(audits)
    return [
        ("metric", *titles.values()),
        *((one.name, *(_cell(one.tables.get(title)) for title in titles)) for one in audits if one.tables),
    ]


def as_text(audits: Sequence[MetricAudit]) -> str:
    """Return all metrics over all tables, then every one table by table, and the legend, for a terminal."""
    blocks = [
        align_columns([HEAD, *map(_line, audits)], left=(0, 1, len(HEAD) - 1)),
        align_columns(_by_table(audits)),
        [f"{letter}  {title}" for title, letter in _titles(audits).items()],
        LEGEND,
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def as_markdown(audits: Sequence[MetricAudit]) -> str:
    """Return both tables and the legend in markdown, without a title."""
    letters = "; ".join(f"{letter}: {title}" for title, letter in _titles(audits).items())
    head, *lines = _by_table(audits)
    blocks = [markdown_table(HEAD, map(_line, audits)), markdown_table(head, lines), letters, "\n".join(LEGEND)]
    return "\n\n".join(blocks)


def as_json(audits: Sequence[MetricAudit]) -> str:
    """Return the audit as JSON; ``weak`` names what a metric fails, and is empty for one that passes."""
    titles = [*_titles(audits)]
    return (
        json.dumps(
            {"tables": titles, "metrics": {one.name: _values(one) for one in audits}}, indent=2, allow_nan=False
        )
        + "\n"
    )


def _values(one: MetricAudit) -> dict[str, Any]:
    if not one.tables:
        return {"weak": [], "tables": {}}
    tau, *ends = one.tau or (None,)
    return {
        "weak": one.weaknesses,
        "false_alarms": one.alarms,
        "retrained": one.retrained,
        "false_alarm_interval": _round_all(one.alarm_interval),
        "power": {control: _round(one.power(control)) for control in CAUGHT},
        "strong_tables": one.strong_tables,
        "tau": _round(tau),
        "tau_interval": _round_all(ends),
        "tables": {title: _table_values(each) for title, each in one.tables.items()},
    }


def _table_values(one: TableAudit) -> dict[str, Any]:
    return {
        "false_alarms": one.alarms,
        "retrained": one.retrained,
        "power": {control: _round(share) for control, share in one.power.items()},
        "rows": one.rows,
        "tau": _round(one.tau),
    }


def _round(value: float | None) -> float | None:
    """Return a number to 6 digits; JSON has none for a missing one."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _round_all(values: Sequence[float]) -> list[float | None]:
    return [_round(value) for value in values]


def write_audit(audits: Sequence[MetricAudit], folder: Path) -> list[Path]:
    """Write ``audit.json``, ``audit.md`` and ``audit.png`` into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"audit.json": as_json(audits), "audit.md": f"# Audit of the metrics\n\n{as_markdown(audits)}\n"}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [*(folder / name for name in texts), draw_audit(audits, folder / PICTURE)]
