"""The verdict on a run as a card: S on a ruler, its parts and the worst of them in words, and the cost."""

from __future__ import annotations

from html import escape

from charts.ruler import Reading, ruler
from charts.tables import bars

from handlers.board import local_tables
from handlers.runs import FinishedRun
from mubench.cards.leaderboard import Table, shipped_tables
from mubench.cards.leaderboard.yardsticks import yardsticks
from mubench.trainers.evaluation.result import Result

ENDS = ("0: untouched or destroyed", "1: as retrained")
WORST = {
    "row": "Row by row, its confidence is {:.0%} as far from the retrained models' as that of the base model.",
    "mean": "Its mean score on forget rows is {:.0%} as far from the retrained models' as that of the base model.",
    "membership": "The strongest of seven attacks tells forget from unseen rows by {:.2f} better than on retrained "
    "models.",
    "utility": "It loses {:.0%} of the retrained models' score on rows that were to be kept.",
}
FIELDS = ("task", "tier", "family", "deletion_seed", "ratio", "backbone", "split", "eval_seed", "score_version")
HELP = "Parts of S: 0 as retrained, 1 as the base model"
TERMS = {
    "S": "How close the unlearned model is to models that never saw the forget set: 1 as close as they are to each "
    "other, 0 no closer than the base model, or useless.",
    "row": "How far its confidence in each single forget row is from theirs.",
    "mean": "How far its mean score on forget rows is from theirs, in either direction.",
    "membership": "Advantage of the strongest of seven attacks, beyond its advantage on retrained models; the loss "
    "attack below is one of them.",
    "utility": "The share of their score that it lost on rows which were to be kept, and on new ones.",
    "retrained": "On the ruler, mean S of retrained models, each judged against the others; the best methods may lie "
    "above.",
    "passes": "Rows forward, plus twice those backward, as a share of what retraining takes.",
    "interval": "Where S of this run lies in 95 of 100 draws of other rows, base and retrained models; the "
    "leaderboard adds the spread between seeds, so that its interval is wider.",
}


def table_of(row: Result) -> Table | None:
    """Return the table of a row's setting: of the rows here, else of those that come with the suite."""
    wanted = [getattr(row, name) for name in FIELDS]
    tables = (*local_tables(), *shipped_tables())
    return next((one for one in tables if [getattr(one.row, name) for name in FIELDS] == wanted), None)


def worst_part(row: Result) -> tuple[str, float]:
    """Return name and value of the part that lowers S most."""
    values = {name: row.metrics[name].value for name in WORST}
    name = max(values, key=lambda part: values[part])
    return name, values[name]


def render_verdict(run: FinishedRun, text: str) -> str:
    """Return the card of a run: a heading, and where it has S, the ruler, the parts and the cost.

    Args:
        run: The run.
        text: The result in words.
    """
    row = run.row
    if row is None or row.interval is None:
        return f'<div class="mu-verdict"><h2>{escape(text)}</h2></div>'
    score, passes = row.metrics["score"].value, row.cost.get("passes_share")
    table, (worst, value) = table_of(row), worst_part(row)
    marks = yardsticks(table, passes) if table else {}
    sentence = f"The weakest part is {worst}. {WORST[worst].format(value)}"
    parts = {HELP: {name: _share(row.metrics[name].value) for name in WORST}}
    styles = {name: "mu-run" if name == worst else "mu-base" for name in WORST}
    costs = {"passes": passes, "time": row.cost.get("seconds_share")}
    cost = {
        "Cost, as a share of retraining": {name: _percent(each) for name, each in costs.items() if each is not None}
    }
    drawn = ruler([Reading("this run", score, row.interval.low, row.interval.high, "mu-run")], marks, ends=ENDS)
    numbers = bars(parts, styles) + (bars(cost, dict.fromkeys(costs, "mu-c2")) if any(cost.values()) else "")
    title, _, more = text.partition("). ")
    terms = "".join(f"<dt>{name}</dt><dd>{escape(meaning)}</dd>" for name, meaning in TERMS.items())
    return (
        f'<div class="mu-verdict"><h2>{escape(title)})</h2><p>{escape(sentence)}</p>'
        f'<div class="mu-pair"><div>{drawn}</div><div>{numbers}</div></div><p class="mu-note">{escape(more)}</p>'
        f'<details class="mu-terms"><summary>What these words mean</summary><dl>{terms}</dl></details></div>'
    )


def _share(value: float) -> tuple[float, str]:
    return value, f"{value:.2f}"


def _percent(value: float) -> tuple[float, str]:
    return value, f"{value:.0%}"
