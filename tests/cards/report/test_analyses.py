"""Analyses: lines that differ in one factor alone, of real rows."""

import pytest

from mubench.cards import report
from mubench.cards.leaderboard import tables
from mubench.cards.report.analyses import LEGEND, as_markdown, find_analyses
from mubench.trainers.evaluation.result import References

FULL = {"tier": "full", "references": References(retrained=[0, 1, 2, 3, 4], bases=[0, 1, 2])}


@pytest.fixture
def rows(new_row):
    def make(method, score, **changes):
        given = {**FULL, **changes}
        name = f"{method}-{given.get('ratio')}-{given.get('backbone')}-{sorted(given.get('arguments', {}))}"
        return new_row(method, score=score, **given).model_copy(update={"run_id": name})

    return [
        make("scrub", 0.8, ratio=2),
        make("scrub", 0.7, ratio=10),
        make("salun", 0.6, ratio=10),
        make("scrub", 0.9, ratio=10, backbone="vit"),
        make("scrub", 0.4, ratio=10, arguments={"lora_rank": 8, "lora_alpha": 16.0}, tuned="custom"),
        make("scrub", 0.3, ratio=10, arguments={"curriculum": "superloss", "curriculum_lambda": 0.5}, tuned="custom"),
    ]


def test_lines_that_differ_in_one_factor_are_set_side_by_side(rows):
    found = {one.title: one for one in find_analyses(tables(rows))}
    levels = {title: [(name, [*by]) for name, by in one.lines] for title, one in found.items()}
    assert [*found] == [
        "Deletion ratio", "Model size and architecture", "LoRA against all weights", "Curriculum (SuperLoss)",
    ]  # fmt: skip
    assert found["Deletion ratio"].levels == ("2 %", "10 %")
    assert levels["Model size and architecture"] == [("scrub", ["resnet", "vit"])]
    assert found["LoRA against all weights"].levels == ("without", "lora_rank 8")
    assert [one.setting for one in found.values()][:2] == [
        "cifar10, resnet",
        "cifar10, 10 %",
    ]


@pytest.mark.parametrize("score", [0.2, 0.6])
def test_a_line_is_named_after_its_first_level(new_row, score):
    curriculum = {"arguments": {"curriculum": "superloss", "curriculum_lambda": 10.0}, "tuned": "custom", "ratio": 10}
    made = [new_row("scrub", score=0.4, ratio=10, **FULL), new_row("scrub", score=score, **FULL, **curriculum)]
    (one,) = find_analyses(tables([row.model_copy(update={"run_id": f"{n}"}) for n, row in enumerate(made)]))
    assert [name for name, _ in one.lines] == ["scrub"]


def test_lines_of_two_architectures_have_arguments_of_one_origin(rows):
    def on(backbone, arguments, tuned):
        changes = {"backbone": backbone, "arguments": arguments, "tuned": tuned}
        return rows[1].model_copy(update={**changes, "run_id": f"{backbone}-{len(arguments)}-{tuned}"})

    lora, curriculum = {"lora_rank": 8}, {"curriculum": "superloss", "curriculum_lambda": 0.5}
    made = [on("resnet", {"gamma": 0.5}, "tuned"), on("vit", {"gamma": 0.7}, "tuned"), on("vit", {}, "default")]
    made += [on("resnet", lora, "custom"), on("vit", curriculum, "custom"), on("vit", lora, "custom")]
    (one,) = (one for one in find_analyses(tables(made)) if one.title == "Model size and architecture")
    shown = [[by[level].rows[0].arguments for level in one.levels] for _, by in one.lines]
    assert sorted(shown, key=str) == [[{"gamma": 0.7}, {"gamma": 0.5}], [lora, lora]]


def test_tuned_arguments_are_set_beside_the_defaults_and_others_are_left_out(rows):
    tuned = rows[1].model_copy(update={"arguments": {"gamma": 0.5}, "tuned": "tuned", "run_id": "tuned"})
    (one,) = find_analyses(tables([rows[1], tuned]))
    assert (one.title, one.levels) == ("Tuned arguments", ("default", "tuned"))
    assert [(name, [*by]) for name, by in one.lines] == [("scrub", ["default", "tuned"])]
    by_hand = tuned.model_copy(update={"tuned": "custom", "base_seed": 1, "run_id": "a"})
    assert find_analyses(tables([rows[1], by_hand])) == []
    (table,) = tables([rows[1], by_hand, tuned])
    assert {entry.name for entry in table.entries} == {"scrub", "scrub gamma=0.5 (tuned)"}
    (one,) = find_analyses([table])
    assert [len(by["tuned"].rows) for _, by in one.lines] == [2]


def test_argument_sets_with_one_name_have_a_line_each(rows):
    other = [row.model_copy(update={"ratio": row.ratio + 1, "arguments": {"gamma": 2}}) for row in rows[:2]]
    (one,) = find_analyses(tables([*rows[:2], *other]))
    levels = [(name, sorted(by)) for name, by in one.lines]
    assert levels == [("scrub", ["10 %", "2 %"]), ("scrub", ["11 %", "3 %"])]
    assert as_markdown([one]).count("| scrub |") == 2


def test_methods_come_before_controls_and_numbers_are_ordered_by_value(new_row):
    def control(percent, ratio):
        changes = {"control": True, "arguments": {"percent": percent}, "ratio": ratio}
        return new_row("retrain_at", score=0.5, **FULL, **changes)

    made = [control(percent, ratio) for percent in (10, 5, 2.5, 2.25) for ratio in (2, 10)]
    made += [new_row("scrub", score=0.5, ratio=ratio, **FULL) for ratio in (2, 10)]
    (one,) = find_analyses(tables([row.model_copy(update={"run_id": f"{n}"}) for n, row in enumerate(made)]))
    assert [name.removeprefix("retrain_at percent=") for name, _ in one.lines] == ["scrub", "2.25", "2.5", "5", "10"]


def test_a_table_shows_s_with_its_interval(rows):
    text = as_markdown(find_analyses(tables(rows[:2])))
    legend, title, *_, line = [part for part in text.splitlines() if part]
    assert (legend, title) == (LEGEND, "**Deletion ratio**: cifar10, resnet")
    first, second, difference = line.split(" | ")[1:]
    assert first.startswith("0.80 (0.") and second.startswith("0.70 (0.") and difference.startswith("-0.10 (-0.")


def test_a_level_without_signal_is_named(rows):
    weak = rows[0].model_copy(update={"no_signal": "too few"})
    text = as_markdown(find_analyses(tables([weak, rows[1]])))
    assert "| method | 2 % (no signal) | 10 % | difference |" in text
    assert text.endswith("\n\nNot ranked at 2 %, too few.")


def test_mini_rows_are_not_analysed(rows, demo_rows):
    mini = [row.model_copy(update={"tier": "mini"}) for row in rows]
    assert find_analyses(tables(mini)) == [] and report.as_markdown(tables(mini)) == ""
    whole = report.as_markdown(tables(rows))
    assert (
        whole.startswith(f"## Analyses\n\n{LEGEND}\n\n**Deletion ratio**")
        and "\n\n## Claims\n\nS exists because" in whole
    )
