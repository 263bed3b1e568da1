"""The ledger of claims: a claim holds, fails or stays open by rows of real data alone."""

import dataclasses

import pytest
from pydantic import ValidationError

from mubench.cards.leaderboard import tables
from mubench.cards.report.claim_rules import Observation
from mubench.cards.report.claims import (
    VERDICTS,
    WHY_S,
    Claim,
    Finding,
    as_markdown,
    as_text,
    examine_claim,
    examine_claims,
    read_claims,
)
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.evaluation.result import References, Value
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics import METRICS

ENOUGH = {"tier": "full", "references": References(retrained=[0, 1, 2, 3, 4], bases=[0, 1, 2])}


def with_metrics(new_row, method, score, *, spread=0.001, seeds=(-1, 0, 1), **metrics):
    """Return a row of full CIFAR-10 per seed, with metrics beside S that a spread sets apart."""
    control = method in ("retrain", "base")
    rows = []
    for place, step in enumerate(seeds):
        values = {name: Value(value=value + step * spread, n=60) for name, value in metrics.items()}
        values["score"] = Value(value=score, n=60)
        rows.append(new_row(method, score=score, metrics=values, control=control, base_seed=place, **ENOUGH))
    return rows


@pytest.fixture
def table(new_row):
    rows = [
        *with_metrics(new_row, "scrub", 0.9, forget_score=0.13, gap=0.01),
        *with_metrics(new_row, "finetune", 0.2, forget_score=0.96, gap=0.03),
        *with_metrics(new_row, "salun", 0.3, forget_score=0.9, gap=0.02),
        *with_metrics(new_row, "bad_teaching", 0.1, forget_score=0.97, gap=0.031, seeds=(1, -1, 0)),
        *with_metrics(new_row, "retrain", 0.95, forget_score=0.8, gap=0.002),
        *with_metrics(new_row, "base", 0.0, forget_score=0.98, gap=0.05, seeds=(1, -1, 0)),
    ]
    (found,) = tables(rows)
    return found


def finding(table, **test):
    return examine_claim(Claim(claim="c", source="s", test=test), [table])


@pytest.mark.parametrize(("test", "verdict"), [
    ({"rule": "leads", "needed": "any", "methods": ("scrub", "salun")}, "held"),
    ({"rule": "leads", "needed": "all", "methods": ("scrub", "salun")}, "did not hold"),
    ({"rule": "leads", "needed": "all", "methods": ("scrub",)}, "held"),
    ({"rule": "leads", "needed": "all", "methods": ("finetune",)}, "did not hold"),
    ({"rule": "leads", "needed": "all", "methods": ("npo",)}, "could not be tested"),
    ({"rule": "order", "metric": "score", "lower": "finetune", "higher": "scrub"}, "held"),
    ({"rule": "order", "metric": "score", "lower": "scrub", "higher": "finetune"}, "did not hold"),
    ({"rule": "order", "metric": "score", "lower": "finetune", "higher": "salun"}, "undecided"),
    ({"rule": "order", "metric": "forget_score", "lower": "retrain", "higher": "finetune", "by": 0.1}, "held"),
    ({"rule": "order", "metric": "forget_score", "lower": "retrain", "higher": "finetune", "by": 0.2},
     "did not hold"),
    ({"rule": "order", "metric": "gap", "lower": "salun", "higher": "finetune"}, "held"),
    ({"rule": "order", "metric": "gap", "lower": "finetune", "higher": "bad_teaching"}, "undecided"),
    ({"rule": "order", "metric": "gap", "lower": "bad_teaching", "higher": "finetune"}, "undecided"),
    ({"rule": "order", "metric": "forget_score", "lower": "finetune", "higher": "retrain"}, "did not hold"),
    ({"rule": "order", "metric": "kl_retrained", "lower": "finetune", "higher": "retrain"}, "could not be tested"),
    ({"rule": "near", "method": "scrub", "metric": "forget_score", "level": "chance", "within": 0.05}, "held"),
    ({"rule": "near", "method": "salun", "metric": "forget_score", "level": "chance", "within": 0.05}, "did not hold"),
    ({"rule": "near", "method": "salun", "metric": "gap", "level": 0.0, "within": 0.005}, "did not hold"),
    ({"rule": "near", "method": "finetune", "metric": "forget_score", "level": "base", "within": 0.03}, "held"),
    ({"rule": "near", "method": "finetune", "metric": "forget_score", "level": "base", "within": 0.021}, "undecided"),
    ({"rule": "near", "method": "finetune", "metric": "forget_score", "level": "base", "within": 0.019}, "undecided"),
    ({"rule": "near", "method": "scrub", "metric": "forget_score", "level": "base", "within": 0.1}, "did not hold"),
])  # fmt: skip
def test_rules(table, test, verdict):
    assert finding(table, **test).verdict == verdict


def test_a_first_rank_that_nearly_all_methods_share_decides_nothing(new_row):
    names = ("scrub", "salun", "ssd", "finetune")
    (table,) = tables([row for name in names for row in with_metrics(new_row, name, 0.5)])
    one = finding(table, rule="leads", needed="all", methods=("scrub",))
    assert one.verdict == "undecided" and "scrub: rank 1 (shared by 4 of 4 defaults)" in one.here


def test_lines_with_other_arguments_take_no_rank_from_the_defaults(new_row):
    rows = [*with_metrics(new_row, "scrub", 0.5), *with_metrics(new_row, "finetune", 0.05)]
    better = [new_row("npo", score=0.99, tuned="tuned", base_seed=seed, **ENOUGH) for seed in range(3)]
    (plain,), (whole,) = tables(rows), tables([*rows, *better])
    assert [entry.rank for entry in whole.entries] == [1, 2, 3]
    before, after = (finding(one, rule="leads", needed="all", methods=("scrub",)) for one in (plain, whole))
    assert after.here == before.here and after.verdict == before.verdict == "held"


@pytest.mark.parametrize(("change", "reason"), [
    ({"tier": "partial"}, "no level of chance where rows may lack classes (cifar10, partial tier)"),
    ({}, "no level of chance where one class scores 0.830 (cifar10)"),
    ({"task": "imdb"}, "no level of chance where one class scores 0.830 (imdb)"),
])  # fmt: skip
def test_no_level_of_chance_where_classes_may_be_missing_or_frequent(new_row, change, reason):
    rows = with_metrics(new_row, "scrub", 0.5, forget_score=0.1)
    score = {"test_score": Value(value=0.83, n=60), "score": Value(value=0.0, n=60)}
    constant = new_row("constant", score=0.0, control=True, cost={}, metrics=score, **ENOUGH)
    (table,) = tables([row.model_copy(update=change) for row in (*rows, constant)])
    one = finding(table, rule="near", method="scrub", metric="forget_score", level="chance", within=0.05)
    assert (one.verdict, one.here) == ("could not be tested", reason)


def test_a_difference_that_is_surely_smaller_than_claimed_fails(table):
    rule = {"rule": "order", "metric": "forget_score", "lower": "retrain", "higher": "finetune"}
    assert [finding(table, by=by, **rule).verdict for by in (0.15, 0.16, 0.2)] == ["held", "undecided", "did not hold"]


def test_a_single_seed_decides_nothing_as_its_spread_is_unknown(new_row):
    lines = [("salun", 0.3, 0.01), ("finetune", 0.2, 0.09)]
    (table,) = tables([row for name, s, gap in lines for row in with_metrics(new_row, name, s, seeds=(0,), gap=gap)])
    one = finding(table, rule="order", metric="gap", lower="salun", higher="finetune")
    assert one.verdict == "undecided" and one.here.endswith(", finetune less salun 0.080 (one seed), claimed above 0")


def test_most_tasks_give_the_verdict_and_all_numbers_are_shown(table):
    one = finding(table, rule="leads", needed="all", methods=("scrub",))

    def verdict(*votes):
        """Return the verdict of tables, each given by its task and whether the claim holds there."""
        return Finding(one.claim, tuple(observed(table, *vote) for vote in votes)).verdict

    yes, no, open_ = (("cifar10", holds) for holds in (True, False, None))
    other, third = (("imdb", False), ("tofu", False))
    assert verdict(yes, other, third) == "did not hold" and verdict(yes, open_) == "held"
    assert verdict(yes, other) == verdict(yes, no) == "mixed"
    assert verdict(open_) == verdict(open_, open_) == "undecided" and verdict() == "could not be tested"
    assert verdict(yes, no, ("imdb", None)) == "mixed" and verdict(yes, no, other) == "did not hold"
    shown = Finding(one.claim, (*one.observations, observed(table, *other))).here
    assert shown == "cifar10 resnet 5 %, held: scrub: rank 1 (of 4 defaults); imdb resnet 5 %, did not hold: other"


def test_a_task_counts_once_however_many_tables_it_has(table):
    one = finding(table, rule="leads", needed="all", methods=("scrub",))
    votes = [("imdb", False, 5), ("imdb", False, 10), ("imdb", True, 20), ("cifar10", True), ("tofu", True)]
    assert Finding(one.claim, tuple(observed(table, *vote) for vote in votes)).verdict == "held"


def observed(table, task, holds, ratio=5):
    row = table.row.model_copy(update={"task": task, "ratio": ratio})
    return Observation(dataclasses.replace(table, row=row), holds, "other")


@pytest.mark.parametrize(("test", "missing"), [
    ({"rule": "leads", "needed": "any", "methods": ("scrub", "npo")}, "no rows of npo"),
    ({"rule": "order", "metric": "gap", "lower": "scrub", "higher": "ssd"}, "no rows of ssd with its defaults"),
    ({"rule": "order", "metric": "zrf", "lower": "scrub", "higher": "salun"}, "no zrf of scrub"),
    ({"rule": "near", "method": "scrub", "metric": "gap", "level": "retrain_keep50", "within": 0},
     "no rows of retrain_keep50"),
])  # fmt: skip
def test_what_a_table_lacks_is_named(new_row, table, test, missing):
    tuned = new_row("ssd", tuned="tuned", **ENOUGH)
    (whole,) = tables([*(row for line in (*table.entries, *table.controls) for row in line.rows), tuned])
    one = finding(whole, **test)
    assert (one.verdict, one.here) == ("could not be tested", missing)


def test_no_level_of_chance_without_classes_and_no_leader_without_signal(new_row):
    (text,) = tables([new_row(task="samsum", no_signal="too few", **ENOUGH)])
    assert finding(text, rule="near", method="scrub", metric="gap", level="chance", within=0).here == (
        "no level of chance without classes (samsum)"
    )
    assert finding(text, rule="leads", needed="all", methods=("scrub",)).here == "no ranks without signal"


def test_s_and_its_parts_are_not_compared_without_signal(table):
    weak = dataclasses.replace(table, no_signal="too few")
    for metric, verdict in (("score", "could not be tested"), ("row", "could not be tested"), ("gap", "held")):
        rule = {"rule": "order", "metric": metric, "lower": "retrain", "higher": "finetune"}
        assert finding(weak, **rule).verdict == verdict, metric
    assert finding(weak, rule="near", method="scrub", metric="membership", level=0.5, within=0.1).here == (
        "no membership without signal"
    )


def test_a_line_with_a_run_without_a_score_cannot_be_compared_by_it(table):
    whole, *rest = table.entries
    without = dataclasses.replace(table, entries=(dataclasses.replace(whole, score=None), *rest))
    one = finding(without, rule="order", metric="score", lower="finetune", higher="scrub")
    assert (one.verdict, one.here) == ("could not be tested", "no score of scrub")


def test_mini_rows_test_nothing(demo_rows, table):
    findings = examine_claims(tables(demo_rows))
    assert {one.verdict for one in findings} == {"could not be tested"}
    assert all(one.here == one.claim.untested or one.here.startswith("no real rows of") for one in findings)
    verdicts = {one.claim.claim: one.verdict for one in examine_claims([table])}
    assert verdicts["SCRUB reaches random performance on the forget set"] == "held"
    assert verdicts["Fine-tuning on the retain set leaves forget accuracy above that of retrained models"] == "held"
    assert verdicts["SalUn's average gap to retraining is .2 percentage points (ResNet-18, random rows)"] == (
        "did not hold"
    )


def test_the_ledger_names_tasks_methods_and_metrics_that_exist():
    claims = read_claims()
    assert len(claims) >= 20 and len({one.claim for one in claims}) == len(claims)
    for one in claims:
        assert {*one.tasks} <= {*TASKS}, one.claim
        fields = one.test.model_dump() if one.test else {}
        assert fields.get("metric", "score") in METRICS, one.claim
        methods = {
            *fields.get("methods", ()),
            *(fields[name] for name in ("lower", "higher", "method") if name in fields),
        }
        assert methods <= {*METHODS, "base"}, one.claim


@pytest.mark.parametrize(
    "fields", [{}, {"untested": "why", "test": {"rule": "leads", "needed": "all", "methods": ("scrub",)}}]
)
def test_a_claim_has_a_test_or_a_reason(fields):
    with pytest.raises(ValidationError, match="expected a test of 'c' or why there is none"):
        Claim(claim="c", source="s", **fields)


def test_a_claim_about_two_methods_needs_both():
    (one,) = (one for one in read_claims() if one.claim.startswith("RandLabel and SalUn are"))
    assert (one.test.needed, one.test.methods) == ("all", ("random_label", "salun"))


def test_text_and_markdown_name_claim_source_numbers_and_verdict(table):
    findings = examine_claims([table])
    line = next(line for line in as_markdown(findings).splitlines() if line.startswith("| SCRUB reaches random"))
    numbers = (
        "forget_score 0.130 (scrub), 0.100 (chance), scrub less chance 0.030 (0.028 to 0.032), claimed within 0.05"
    )
    source, here = "MU-Bench, arXiv:2406.14796, abstract", f"cifar10 resnet 5 %, held: {numbers}"
    assert line.split(" | ")[1:] == [source, "none", here, "held |"]
    text = as_text(findings).splitlines()
    place = next(n for n, line in enumerate(text) if "SCRUB reaches random" in line)
    assert text[place].split()[0] == "held" and text[place + 1].strip() == here
    vote = observed(table, "imdb", False)
    twice = dataclasses.replace(findings[0], observations=(vote, vote))
    assert as_text([twice]).splitlines()[-2:] == ["    imdb resnet 5 %, did not hold: other"] * 2


def test_the_reason_for_s_comes_first_with_the_figures_of_the_ledger(table):
    findings = examine_claims([table])
    assert as_markdown(findings).startswith(f"{WHY_S}\n\n{VERDICTS}\n\n| claim |")
    assert " ".join(as_text(findings).split()).startswith(f"{WHY_S} {VERDICTS} ")
    about = [one for one in read_claims() if "SalUn" in one.claim]
    for figure in ("10 trials", "1.60 percentage points", "12 % of the way"):
        assert figure in WHY_S and any(figure in one.replication for one in about)
    assert "where .2 is claimed" in WHY_S and any("gap to retraining is .2 " in one.claim for one in about)


def test_the_lines_of_two_backbones_are_named_by_backbone(table):
    one = finding(table, rule="leads", needed="all", methods=("scrub",))
    larger = dataclasses.replace(table, row=table.row.model_copy(update={"backbone": "resnet-small"}))
    both = Finding(one.claim, (*one.observations, dataclasses.replace(one.observations[0], table=larger)))
    assert [line.split(",")[0] for line in both.lines] == ["cifar10 resnet 5 %", "cifar10 resnet-small 5 %"]
