"""Ranks: by the lower end of S, and equal where a paired bootstrap cannot tell lines apart."""

import numpy as np
import pytest

from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.entries import ONE_SEED_SPREAD
from mubench.cards.leaderboard.formats import as_markdown, as_matrix, as_text
from tests.cards.leaderboard.conftest import ONE_BASE, seeds


def test_ranks_go_by_the_lower_end_and_ties_share_them(demo_rows):
    (table,) = tables(demo_rows)
    assert [(entry.name, entry.rank) for entry in table.entries] == [
        ("salun", 1), ("scrub", 1), ("finetune", 3), ("neg_grad", None),
    ]  # fmt: skip
    lows = [entry.low for entry in table.entries[:3]]
    assert lows == sorted(lows, reverse=True)


def test_a_wide_interval_lowers_the_rank(new_row):
    noise = 150 * np.random.default_rng(0).standard_normal(2000)
    (table,) = tables([new_row("steady", score=0.7), new_row("lucky", score=0.75, noise=noise)])
    assert [entry.name for entry in table.entries] == ["steady", "lucky"]
    assert table.entries[0].score < table.entries[1].score


def test_paired_draws_separate_overlapping_intervals(new_row):
    noise = 150 * np.random.default_rng(0).standard_normal(2000)
    first, second = (seeds(new_row, name, [score] * 2, noise) for name, score in (("a", 0.75), ("b", 0.4)))
    assert second[0].interval.high > first[0].interval.low
    assert [entry.rank for entry in tables([*first, *second])[0].entries] == [1, 2]


def test_a_line_that_the_first_does_not_beat_shares_its_rank_whatever_others_lie_between(new_row):
    wide = 300 * np.random.default_rng(0).standard_normal(2000)
    scores = {"first": (0.9, None), "middle": (0.6, None), "wide": (0.85, wide), "last": (0.5, None)}
    rows = [row for name, (score, noise) in scores.items() for row in seeds(new_row, name, [score] * 2, noise)]
    entries = tables(rows)[0].entries
    assert [(entry.name, entry.rank) for entry in entries] == [("first", 1), ("wide", 1), ("middle", 3), ("last", 3)]
    assert entries[1].low < entries[2].low


def test_one_seed_is_named_and_ranked_with_the_largest_spread_measured(new_row):
    rows = [row for name, scores in (("many", [0.9, 0.91, 0.9]), ("alone", [0.8]), ("worst", [0.1]))
            for row in seeds(new_row, name, scores)]  # fmt: skip
    (table,) = tables(rows)
    found = [(entry.name, entry.rank, entry.seeds) for entry in table.entries]
    assert found == [("many", 1, "3"), ("alone", 1, "one seed"), ("worst", 3, "one seed")]
    alone = table.entries[1]
    assert alone.low == pytest.approx(0.8 - 1.96 * ONE_SEED_SPREAD, abs=0.03) and alone.high == 1
    assert table.standing.startswith("judged against 3 retrained models and 1 base seed, each S on 1-3 seeds")
    assert any(line.split()[:4] == ["1*", "alone", "one", "seed"] for line in as_text([table]).splitlines())
    (single,) = tables(rows[3:])
    assert "each S on one seed" in as_matrix([single]) and "| one seed |" in as_markdown(single)


MORE_SEEDS = [pytest.param(count, 0.12, marks=pytest.mark.slow) for count in (1, 2, 5)]


@pytest.mark.parametrize(("count", "spread"), [(1, ONE_SEED_SPREAD), (3, 0.12), *MORE_SEEDS])
def test_equal_methods_with_spread_between_seeds_differ_in_rank_in_at_most_one_case_of_twenty(new_row, count, spread):
    generator, cases = np.random.default_rng(16), 120
    wrong = 0
    for _ in range(cases):
        common = 30 * generator.standard_normal(2000)
        rows = []
        for method in ("a", "b"):
            noise = common + 20 * generator.standard_normal(2000)
            rows += seeds(new_row, method, (0.5 + spread * generator.standard_normal(count)).clip(0, 1), noise)
        wrong += {entry.rank for entry in tables(rows)[0].entries} != {1}
    assert wrong <= 0.05 * cases


def test_five_seeds_rank_methods_that_differ_by_more_than_their_spread(new_row):
    generator, ranked = np.random.default_rng(16), 0
    for _ in range(20):
        rows = [row for name, mean in (("a", 0.8), ("b", 0.4))
                for row in seeds(new_row, name, (mean + 0.1 * generator.standard_normal(5)).clip(0, 1))]  # fmt: skip
        ranked += [entry.rank for entry in tables(rows)[0].entries] == [1, 2]
    assert ranked >= 18


@pytest.mark.parametrize("flag", ["nan", "constant_class", "equals_base"])
def test_flagged_runs_are_unranked_and_name_the_flag(new_row, flag):
    (table,) = tables([new_row("good", score=0.1), new_row("odd", score=0.9, flags=[flag])])
    assert [(entry.name, entry.rank) for entry in table.entries] == [("good", 1), ("odd", None)]
    assert f"odd [{flag}]" in as_text([table])


def test_oracle_selected_runs_rank_among_themselves(new_row):
    given = {"arguments": {"keep": "oracle"}, "flags": ["oracle_selection"], "references": ONE_BASE}
    rows = [*seeds(new_row, "a", [0.9] * 2, **given), *seeds(new_row, "b", [0.2] * 2, **given)]
    rows.append(new_row("plain", score=0.5, references=ONE_BASE))
    (table,) = tables(rows)
    found = [(entry.name, entry.oracle_selected, entry.rank) for entry in table.entries]
    assert found == [("plain", False, 1), ("a", True, 1), ("b", True, 2)]
    lines = [line.split()[:3] for line in as_text([table]).splitlines()]
    assert ["1*", "apart", "a"] in lines and ["1*", "plain", "one"] in lines
    (both,) = tables([new_row("nan", **given | {"flags": ["constant_class", "oracle_selection"]})])
    assert both.entries[0].rank is None
    lines = [line.split() for line in as_matrix([table]).splitlines()]
    found = [line for line in lines if line[:1] in (["plain"], ["a"], ["b"])]
    assert [line[:-2] for line in found] == [["plain"], ["a", "[oracle_selection]"], ["b", "[oracle_selection]"]]
    assert [line[-2] for line in found] == ["0.50", "0.90", "0.20"]


def test_a_group_without_signal_is_not_ranked(new_row):
    rows = [new_row(name, no_signal="no signal: retrained models' row differs by 0.30") for name in ("a", "b")]
    (table,) = tables(rows)
    assert all(entry.rank is None for entry in table.entries)
    assert "NOT RANKED, no signal: retrained models' row differs by 0.30" in as_text([table])
