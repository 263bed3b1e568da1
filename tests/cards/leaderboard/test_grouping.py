from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from mubench.cards.leaderboard import result_folder, tables
from mubench.cards.leaderboard.entries import ONE_SEED_SPREAD, beats, pooled_draws
from mubench.cards.leaderboard.formats import HEAD, as_markdown, as_matrix, as_text
from mubench.cards.picture import draw_leaderboard
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import References, Value, read_result, write_result
from mubench.trainers.metrics.bootstrap import base_counts


def test_ranks_go_by_the_lower_end_and_ties_share_them(demo_rows):
    (table,) = tables(demo_rows)
    assert [(entry.name, entry.rank) for entry in table.entries] == [
        ("salun", 1), ("scrub", 1), ("finetune", 3), ("neg_grad", None),
    ]  # fmt: skip
    lows = [entry.low for entry in table.entries[:3]]
    assert lows == sorted(lows, reverse=True)


ONE_BASE = References(retrained=[0, 1, 2], bases=[0])


def seeds(new_row, method, scores, noise=None, **changes):
    """Return rows of a method that differ in their seeds, against one base model."""
    changes = {"references": ONE_BASE, **changes}
    return [new_row(method, score=score, noise=noise, seed=seed, **changes) for seed, score in enumerate(scores)]


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


def test_an_interval_of_differences_around_zero_is_a_tie():
    zero = np.zeros(2000)
    assert not beats(zero, zero) and not beats(zero + np.linspace(-0.1, 0.5, 2000), zero)
    assert beats(zero + 0.01, zero) and not beats(zero, zero + 0.01)


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


@pytest.mark.parametrize("spread", [0.0, 0.09, 0.18])
def test_another_seed_never_widens_an_interval(new_row, spread):
    widths = []
    for count in (1, 2, 3, 5):
        offsets = np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
        scores = 0.5 + spread * offsets / max(np.std(offsets, ddof=1) if count > 1 else 1, 1e-9)
        (entry,) = tables(seeds(new_row, "a", scores))[0].entries
        widths.append(entry.high - entry.low)
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.75 * widths[0]


def lines(new_row, scores):
    """Return the line of runs with these scores by base seed, against three base models."""
    rows = [
        new_row(score=score, base_seed=base, seed=seed, references=References(retrained=[0, 1, 2], bases=[0, 1, 2]))
        for base, runs in scores.items()
        for seed, score in enumerate(runs)
    ]
    (entry,) = tables(rows)[0].entries
    assert len(entry.rows) == len(rows)
    return entry


def test_more_runs_from_the_same_base_models_do_not_narrow_an_interval(new_row):
    one = lines(new_row, {0: [0.4], 1: [0.5], 2: [0.6]})
    four = lines(new_row, {0: [0.3, 0.5] * 2, 1: [0.5] * 4, 2: [0.5, 0.7] * 2})
    assert (one.seeds, four.seeds) == ("3", "3 (12 runs)")
    # The tolerance is for the normal numbers, which differ between lines.
    assert four.high - four.low == pytest.approx(one.high - one.low, rel=0.05)
    alone = lines(new_row, {0: [0.5] * 4})
    assert alone.seeds == "one seed (4 runs)" and alone.high - alone.low > 1.5 * (one.high - one.low)


def test_a_base_model_with_more_runs_does_not_weigh_more(new_row):
    even, uneven = (
        lines(new_row, {0: [0.9], 1: [0.3], 2: [0.3]}),
        lines(new_row, {0: [0.8, 1.0] * 3, 1: [0.3], 2: [0.3]}),
    )
    assert even.score == pytest.approx(0.5) == uneven.score
    np.testing.assert_allclose(pooled_draws(uneven.rows), pooled_draws(even.rows), atol=1e-3)  # stored in thousandths


def test_with_a_single_base_model_every_run_counts(new_row):
    one, four = (tables(seeds(new_row, "a", [0.5] * count))[0].entries[0] for count in (1, 4))
    assert (one.seeds, four.seeds) == ("one seed", "4") and four.high - four.low < 0.6 * (one.high - one.low)


def test_a_line_is_named_by_what_differs_from_the_defaults_whatever_other_lines_have(new_row):
    plain = {"learning_rate": 0.003, "lora_rank": None}
    lines = [(plain, "default"), ({**plain, "lora_rank": 8}, "custom"), ({**plain, "learning_rate": 0.02}, "tuned")]
    (table,) = tables([new_row(arguments=arguments, tuned=tuned) for arguments, tuned in lines])
    names = {entry.name for entry in table.entries}
    assert names == {"scrub", "scrub lora_rank=8 (custom)", "scrub learning_rate=0.02 (tuned)"}


def test_floats_in_names_are_short_unless_two_lines_would_share_a_name(new_row):
    product = 0.003 * 0.1
    assert str(product) == "0.00030000000000000003"
    rows = [
        new_row(arguments={"gamma": gamma}, tuned=tuned) for gamma, tuned in ((1.5, "default"), (product, "custom"))
    ]
    assert {entry.name for entry in tables(rows)[0].entries} == {"scrub", "scrub gamma=0.0003 (custom)"}
    names = {entry.name for entry in tables([*rows, new_row(arguments={"gamma": 0.0003}, tuned="custom")])[0].entries}
    assert names == {"scrub", "scrub gamma=0.0003 (custom)", f"scrub gamma={product} (custom)"}


def test_five_seeds_rank_methods_that_differ_by_more_than_their_spread(new_row):
    generator, ranked = np.random.default_rng(16), 0
    for _ in range(20):
        rows = [row for name, mean in (("a", 0.8), ("b", 0.4))
                for row in seeds(new_row, name, (mean + 0.1 * generator.standard_normal(5)).clip(0, 1))]  # fmt: skip
        ranked += [entry.rank for entry in tables(rows)[0].entries] == [1, 2]
    assert ranked >= 18


def test_runs_are_weighted_by_the_draws_of_their_base(new_row):
    low, high = new_row(score=0.2, base_seed=0), new_row(score=0.6, base_seed=1)
    counts = base_counts(low.split, 2)
    expected = (counts[:, 0] * 0.2 + counts[:, 1] * 0.6) / 2
    np.testing.assert_allclose(pooled_draws([low, high]), expected)
    alone = pooled_draws([high])
    np.testing.assert_array_equal(np.isnan(alone), counts[:, 1] == 0)
    assert set(alone[counts[:, 1] > 0]) == {0.6}
    scratch = pooled_draws([new_row("retrain", score=0.2, base_seed=7)])
    assert (scratch == 0.2).all()
    with pytest.raises(ValueError, match="base seed 7"):
        pooled_draws([new_row(base_seed=7)])


def test_controls_are_listed_in_order_and_never_ranked(demo_rows):
    (table,) = tables(demo_rows)
    assert [entry.name for entry in table.controls] == list(CONTROLS)
    assert all(entry.rank is None for entry in table.controls)


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


def test_few_references_are_marked_and_enough_are_not(new_row):
    few = as_text(tables([new_row()]))
    many = as_text(tables([new_row(references=References(retrained=[0, 1, 2, 3, 4], bases=[0, 1, 2]))]))
    assert "PROVISIONAL" in few and " 1*  scrub" in few
    assert "PROVISIONAL" not in many and " 1  scrub" in many


def test_rows_of_other_references_are_not_compared(new_row):
    other = new_row("b", references=References(retrained=[0, 1, 2, 3], bases=[0, 1]))
    with pytest.raises(ValueError, match="'b-b0-s0' to be judged against the models of 'a-b0-s0', got others"):
        tables([new_row("a"), other])


def on_machine(name, seeds=(0, 1, 2)):
    """Return references whose outputs are those of a machine; their identities are the same everywhere."""
    models = [*(f"retrained {seed}" for seed in seeds), "base 0"]
    identities = [sha256(model.encode()).hexdigest() for model in models]
    outputs = [sha256(f"{name} {model}".encode()).hexdigest() for model in models] if name else []
    return References(retrained=list(seeds), bases=[0], identities=identities, outputs=outputs)


@pytest.mark.parametrize("other", ["two", ""])
def test_rows_of_two_machines_never_share_a_table(new_row, other):
    own = sha256(b"one retrained 0").hexdigest()
    rows = [new_row("a", references=on_machine("one")), new_row("b", references=on_machine("one")),
            new_row("retrain", control=True, references=on_machine("one", (1, 2)), outputs=own)]  # fmt: skip
    assert len(tables(rows)) == 1
    for method, judges, kept in (("b", (0, 1, 2), rows[:1]), ("retrain", (1, 2), rows[:2])):
        with pytest.raises(
            ValueError, match="got other outputs of them, as of another machine; judge it again"
        ) as caught:
            tables([*kept, new_row(method, references=on_machine(other, judges))])
        assert "\n" not in str(caught.value)
    elsewhere = rows[2].model_copy(update={"outputs": sha256(b"two retrained 0").hexdigest()})
    with pytest.raises(ValueError, match="as of another machine"):
        tables([*rows[:2], elsewhere])


@pytest.mark.parametrize(
    ("changes", "folders", "variables"),
    [
        ({}, {}, ""),
        ({"deletion_seed": 1}, {"results": "rows"}, " --data mu-bench-d1 --results rows"),
        ({"deletion_seed": 1}, {"data": "a/mu-bench", "models": "m"}, " --data a/mu-bench-d1 --models m"),
        ({}, {"data": "mine"}, " --data mine"),
    ],
)
def test_the_command_that_judges_again_names_all_folders(new_row, changes, folders, variables):
    other = new_row("b", references=References(retrained=[0, 1, 2, 3], bases=[0, 1]), **changes)
    with pytest.raises(
        ValueError, match=f"mubench sweep --task cifar10 --ratio 5 --backbone resnet{variables}, or remove"
    ):
        tables([new_row("a", **changes), other], **folders)


def test_splits_tiers_ratios_and_backbones_have_their_own_tables(new_row):
    rows = [new_row(), new_row(ratio=10), new_row(backbone="vit"), new_row(tier="full"), new_row(split="ff" * 32)]
    assert len(tables(rows)) == 5
    assert all(f"cifar10 ({table.row.tier})" in table.title for table in tables(rows))


def test_arguments_make_lines_and_name_them(new_row):
    rows = [new_row(arguments={"gamma": g, "beta": 1}, run_id=f"r{g}", tuned=t, score=s)
            for g, t, s in ((0.5, "default", 0.3), (0.9, "tuned", 0.6))]  # fmt: skip
    assert [entry.name for entry in tables(rows)[0].entries] == ["scrub gamma=0.9 (tuned)", "scrub"]
    earlier = new_row(arguments={"gamma": 0.7, "beta": 1}, run_id="r0.7", score=0.1)
    names = [entry.name for entry in tables([*rows, earlier])[0].entries]
    assert names == ["scrub gamma=0.9 (tuned)", "scrub gamma=0.5", "scrub gamma=0.7"]


def test_cost_is_a_share_of_retraining(demo_rows):
    (table,) = tables(demo_rows)
    assert table.entries[0].seconds == pytest.approx(0.1) and table.entries[0].passes == pytest.approx(0.1)
    assert table.controls[0].passes == 1 and table.controls[-1].passes is None


def test_text_fits_a_terminal_and_is_aligned(demo_rows):
    (table,) = tables(demo_rows)
    lines = as_text([table]).splitlines()
    assert max(map(len, lines)) <= 120
    heads = [line for line in lines if line.startswith("rank")]
    assert len(heads) == 1
    for part in ("row", "mean", "memb.", "util.", "gap", "KL", "time", "passes", "seeds"):
        assert f" {part}" in heads[0]
    ends = [heads[0].index(name) + len(name) for name in ("row", "mean", "memb.", "util.")]
    body = next(line for line in lines if "salun" in line)
    assert all(body[end - 1].isdigit() and body[end] == " " for end in ends)


def test_markdown_is_a_table_of_equal_lines(demo_rows):
    lines = as_markdown(tables(demo_rows)[0]).splitlines()
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
    assert len(lines) == 2 + 4 + len(CONTROLS)


@pytest.mark.slow
def test_the_picture_is_reproducible(demo_rows, new_row, tmp_path):
    ranked = tables([*demo_rows, new_row(backbone="vit", cost={})])
    first, second = (draw_leaderboard(ranked, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second and first.startswith(b"\x89PNG") and len(first) > 10_000


def test_a_row_of_a_folder_is_read_once_and_its_table_alone_ranked_again(new_row, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(result_folder, "read_result", lambda path: read.append(Path(path).stem) or read_result(path))
    folder = result_folder.ResultFolder(tmp_path / "results")
    assert folder.tables() == ()
    for ratio in (5, 10):
        write_result(new_row("scrub", ratio=ratio, run_id=f"scrub-{ratio}"), tmp_path / "results")
    before = {table.row.ratio: table for table in folder.tables()}
    assert {*folder.tables()} == {*before.values()} and read == ["scrub-10", "scrub-5"]
    write_result(new_row("salun", score=0.9, ratio=10, run_id="salun-10"), tmp_path / "results")
    after = {table.row.ratio: table for table in folder.tables()}
    assert read[2:] == ["salun-10"] and after[5] is before[5]
    assert [entry.name for entry in after[10].entries] == ["salun", "scrub"]
    (tmp_path / "results" / "scrub-5.json").write_text("{")
    with pytest.raises(ValueError, match="scrub-5"):
        folder.tables()
    (tmp_path / "results" / "scrub-5.json").unlink()
    assert [table.row.ratio for table in folder.tables()] == [10]


def test_order_of_rows_does_not_matter(demo_rows):
    assert as_text(tables(demo_rows)) == as_text(tables(demo_rows[::-1]))


def test_texts_of_arguments_are_drawn_and_written_as_they_stand(new_row, tmp_path):
    texts = ("$\\frac{1}{0}$", "a|b", "<img src=x>", "$x$ & \\")
    rows = [new_row("scrub", seed=seed, arguments={"p": text}) for seed, text in enumerate(texts)]
    rows.append(new_row("base", control=True, score=0.1, arguments={"p": "$\\sqrt$"}, cost={}))
    (table,) = tables(rows)
    assert draw_leaderboard([table], tmp_path / "a.png").stat().st_size  # a formula with a fault would raise
    lines = as_markdown(table).splitlines()
    assert {line.count("|") for line in lines} == {len(HEAD) + 1}
    assert not [line for line in lines if "<" in line or "$" in line]


def test_a_table_shows_what_its_task_reports_where_rows_have_it(new_row):
    plain = new_row("scrub", task="tofu")
    values = {"rouge_l": Value(value=0.625, n=9), "truth_ratio": Value(value=0.25, n=9)}
    written = new_row("salun", task="tofu", score=0.9)
    written = written.model_copy(update={"metrics": {**written.metrics, **values}})
    (table,) = tables([plain, written])
    assert table.reported == ("truth_ratio", "rouge_l")
    head, _, first, second = as_markdown(table).splitlines()
    assert head.replace(" (weak)", "").endswith("| truth_ratio | rouge_l |")
    assert first.endswith("| 0.25 | 0.62 |") and second.endswith("| - | - |")
    text = as_text([table])
    assert "rouge_l: ROUGE-L recall of texts generated for forget rows" in text and "probability:" not in text
    assert "rouge_l" not in as_text(tables([plain]))


def test_a_line_is_useful_where_its_interval_is_above_retraining_at_its_cost_and_maybe_where_its_score_is(new_row):
    part = {"seconds_share": 0.05, "passes_share": 0.05, "seconds": 1.0, "forward": 150, "backward": 150}
    controls = [new_row("retrain_at", score=0.4, control=True, cost=part)]
    against = References(retrained=[0, 1, 2], bases=[0, 1])
    scores = {"surely": [0.9], "above": [0.41], "equal": [0.404], "below": [0.3], "nothing": [0.004]}
    runs = [row for name, each in scores.items() for row in seeds(new_row, name, each, references=against)]
    (table,) = tables([*runs, *controls])
    found = {entry.name: table.usefulness(entry) for entry in table.entries}
    assert found == {"surely": "yes", "above": "maybe", "equal": "no", "below": "no", "nothing": "no"}
    assert [table.usefulness(entry) for entry in table.controls] == [None]
    free = replace(table, curve=((0.0, 0.0), (1.0, 0.0)))
    assert [free.usefulness(entry) for entry in free.entries if entry.name == "nothing"] == ["no"]
