"""Pictures: the leaderboard as S against cost, and the audit as rates and rank correlations of every metric."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mubench.cards.leaderboard import Table
from mubench.cards.leaderboard.entries import Entry
from mubench.cards.leaderboard.table import CURVE
from mubench.trainers.evaluation.audit import CAUGHT, LEAST_POWER, MOST_ALARMS, MetricAudit

COLUMNS = 2
LONGEST = 100  # characters in a line of the legend
_ACROSS = ("axes fraction", "data")


def _point(axes: Any, entry: Entry, number: int) -> None:
    if entry.score is None or entry.low is None or entry.high is None or not entry.passes:
        return
    bar = [[max(0.0, entry.score - entry.low)], [max(0.0, entry.high - entry.score)]]
    style = {"fmt": "osD^vPX"[number % 7], "color": f"C{number % 10}"}
    label = textwrap.fill(entry.title, LONGEST)
    axes.errorbar(entry.passes, entry.score, yerr=bar, capsize=3, markersize=6, label=label, **style)


def _curve(axes: Any, table: Table) -> None:
    """Draw S of retraining by its cost, as `Table.retraining_at` has it between the controls, which have markers."""
    if not table.curve:
        return
    cheapest = min((entry.passes for entry in table.entries if entry.passes), default=1.0)
    places, scores = table.curve_line(cheapest)
    controls = np.searchsorted(places, [point.passes for point in table.curve[1:]]).tolist()
    style = {"color": "gray", "linewidth": 0.9, "marker": "o", "markersize": 3, "markevery": controls, "zorder": 1}
    axes.plot(places, scores, label=CURVE, **style)


def _panel(axes: Any, table: Table, numbers: Mapping[str, int]) -> None:
    for entry in table.entries:
        _point(axes, entry, numbers[entry.title])
    _curve(axes, table)
    labels: dict[float, list[str]] = defaultdict(list)
    for entry in table.controls:
        scores = [row.metrics["score"].value for row in entry.rows if "score" in row.metrics]
        if entry.rows[0].method == "retrain":
            axes.scatter(
                [1.0] * len(scores), scores, s=45, c="black", marker="*", zorder=3, label="retrained, left out"
            )
            axes.axhspan(min(scores, default=1.0), 1, color="black", alpha=0.08, linewidth=0)
        elif entry.rows[0].method != "retrain_at" and entry.score is not None:
            axes.axhline(entry.score, color="gray", linestyle=":", linewidth=0.8)
            labels[round(20 * entry.score) / 20].append(entry.title)
    for height, names in labels.items():
        axes.annotate(
            ", ".join(names), (0.005, height + 0.03), xycoords=_ACROSS, fontsize=6, color="gray", parse_math=False
        )
    axes.set(xscale="log", ylim=(-0.05, 1.05), ylabel="S (1 = retrained)")
    axes.set_title(f"{table.title}, {table.seeds}", fontsize=9, parse_math=False)
    axes.set_xlabel("training cost as a share of retraining's (forward + 2 backward examples)")
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        for text in legend.get_texts():  # names and arguments are no formulas
            text.set_parse_math(False)


def _panel_size(tables: Sequence[Table]) -> tuple[float, float]:
    """Return width and height of a panel in inches, with room for the largest legend beside the axes."""
    longest = max((len(entry.title) for table in tables for entry in table.entries), default=0)
    most = max(len(table.entries) for table in tables)
    return max(7.2, 5.5 + 0.06 * min(longest, LONGEST)), min(max(4.0, 0.8 + 0.17 * most), 10.0)


def draw_leaderboard(tables: Sequence[Table], path: str | Path) -> Path:
    """Draw one panel per table into a PNG file, and return its path."""
    columns = min(COLUMNS, len(tables))
    lines = -(-len(tables) // columns)
    width, height = _panel_size(tables)
    figure = Figure(figsize=(width * columns, height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False)
    # A method has the same marker and colour in every panel.
    names = sorted({entry.title for table in tables for entry in table.entries})
    numbers = {name: number for number, name in enumerate(names)}
    for axes, table in zip(grid.flat, tables, strict=False):
        _panel(axes, table, numbers)
    for axes in grid.flat[len(tables) :]:
        axes.set_axis_off()
    # Without date and version, equal rows give equal bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return Path(path)


def draw_audit(audits: Sequence[MetricAudit], path: str | Path) -> Path:
    """Draw false alarms, power and tau of every measured metric into a PNG file, and return its path."""
    shown = [one for one in audits if one.tables]
    heights = range(len(shown))
    figure = Figure(figsize=(11, 1.6 + 0.24 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    rates, taus = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": (3, 2)})
    for height, one in zip(heights, shown, strict=True):
        _audit_line(rates, taus, one, height)
    rates.axvline(MOST_ALARMS, color="black", linestyle=":", linewidth=0.8)
    rates.axvline(LEAST_POWER, color="gray", linestyle=":", linewidth=0.8)
    names = [f"{one.name} (weak)" if one.weaknesses else one.name for one in shown]
    rates.set_yticks(heights, names, fontsize=7)
    rates.set(xlim=(-0.03, 1.03), ylim=(len(shown) - 0.5, -0.5), xlabel="share of models taken for not retrained")
    taus.axvline(0, color="gray", linestyle=":", linewidth=0.8)
    taus.set(xlim=(-1.05, 1.05), xlabel="Kendall's tau to S, mean over tables")
    handles, labels = rates.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    if known:
        figure.legend(known.values(), known.keys(), loc="outside upper center", ncols=len(known), fontsize=8)
    # Without date and version, equal rows give equal bytes.
    figure.savefig(path, dpi=110, metadata={"Software": None})
    return Path(path)


def _audit_line(rates: Any, taus: Any, one: MetricAudit, height: int) -> None:
    rate, (low, high) = one.alarms / one.retrained, one.alarm_interval
    bar = [[max(0.0, rate - low)], [max(0.0, high - rate)]]
    rates.errorbar(rate, height, xerr=bar, fmt="ok", markersize=4, capsize=2, label="false alarms")
    for number, control in enumerate(CAUGHT):
        style = {"marker": "sD^"[number], "color": f"C{number}", "s": 14, "zorder": 3}
        # Equal powers lie above one another.
        rates.scatter(one.power(control), height + 0.28 * (number - 1), label=f"power: {control}", **style)
    if one.tau is not None:
        tau, low, high = one.tau
        bar = [[max(0.0, tau - low)], [max(0.0, high - tau)]]
        taus.errorbar(tau, height, xerr=bar, fmt="oC4", markersize=4, capsize=2)
