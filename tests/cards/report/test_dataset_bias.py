"""Dataset bias: scores on ood rows beside retrained models', and where group effects are shown."""

import pytest

from mubench.cards import report
from mubench.cards.leaderboard import tables
from mubench.cards.report.dataset_bias import as_markdown, find_biases, group_effects, summary
from mubench.trainers.evaluation.result import References, Value

FULL = {"tier": "full", "task": "imdb", "references": References(retrained=[0, 1, 2, 3, 4], bases=[0, 1, 2])}
GAPS = {"scrub": 0.2, "salun": 0.1, "finetune": 0.05, "base": 0.12, "retrain": 0.1}


@pytest.fixture
def rows(new_row):
    def make(method, seed, gap):
        row = new_row(method, base_seed=seed, seed=seed, control=method in ("base", "retrain"), **FULL)
        values = {"test_score": 0.8, "ood_score": 0.8 - gap + 0.001 * (seed - 1)}
        metrics = {name: Value(value=value, n=60) for name, value in values.items()}
        return row.model_copy(update={"metrics": {**row.metrics, **metrics}})

    return [make(method, seed, gap) for method, gap in GAPS.items() for seed in range(3)]


def test_methods_are_shown_beside_the_base_and_the_retrained_models(rows):
    (one,) = find_biases(tables(rows))
    assert {line.name: round(line.test - line.ood, 3) for line in one.lines} == GAPS
    assert [line.name for line in one.lines][-2:] == ["base", "retrain"]
    text = as_markdown(tables(rows))
    assert "**Ood rows**: imdb (full), resnet: 5 % deleted, canonical family\n" in text
    assert "| scrub | 0.800 | 0.600 | 0.200 | 0.100 (0.098 to 0.102) |" in text
    assert "| *base* | 0.800 | 0.680 | 0.120 | 0.020 (0.018 to 0.022) |" in text
    assert "| *retrain* | 0.800 | 0.700 | 0.100 | - |" in text


def test_a_sentence_counts_gaps_beyond_the_spread_of_retrained_models(rows):
    (one,) = find_biases(tables(rows))
    words = summary(one)
    assert words in as_markdown(tables(rows))
    assert "wider than that of the 3 retrained models (0.100, SD 0.001) in 1 of 3 lines (scrub)," in words
    assert "narrower in 1 of 3 lines (finetune);" in words
    wide = [row if row.method != "retrain" else _with_ood(row, 0.5 + 0.2 * row.seed) for row in rows]
    (one,) = find_biases(tables(wide))
    assert "in 0 of 3 lines, and narrower in 0 of 3 lines;" in summary(one)


def _with_ood(row, value):
    return row.model_copy(update={"metrics": {**row.metrics, "ood_score": Value(value=value, n=60)}})


def test_lines_and_tables_without_ood_rows_are_left_out(rows):
    without = [row.model_copy(update={"metrics": {}, "interval": None, "flags": ["nan"]})
               if (row.method, row.seed) == ("scrub", 1) else row for row in rows]  # fmt: skip
    (one,) = find_biases(tables(without))
    assert {line.name for line in one.lines} == {"salun", "finetune", "base", "retrain"}
    assert find_biases(tables([row.model_copy(update={"tier": "mini"}) for row in rows])) == []
    alone = tables([row for row in rows if row.method != "retrain"])
    assert find_biases(alone) == [] and as_markdown(alone).startswith("No real rows have scores on ood rows.")


def test_group_effects_need_a_task_with_rows_of_both_families(rows):
    ranked = tables([*rows, *(row.model_copy(update={"tier": "mini", "family": "group"}) for row in rows)])
    other = tables([row.model_copy(update={"task": "ddi2013", "family": "group"}) for row in rows])
    words = group_effects([*ranked, *other])
    assert "no task has real rows of both deletion families (canonical: imdb; group: ddi2013)" in words
    both = tables([row.model_copy(update={"family": "group"}) for row in rows])
    assert group_effects([*ranked, *both, *other]).endswith("the analyses of the deletion family, of imdb.")


def test_the_report_has_a_section_of_real_rows_alone(rows, demo_rows):
    assert "\n\n## Dataset bias\n\ngap: task score on test rows" in report.as_markdown(tables(rows))
    assert "\n\ngap: task score on test rows" in report.as_text(tables(rows))
    assert "Group effects" not in report.as_text(tables(demo_rows))
