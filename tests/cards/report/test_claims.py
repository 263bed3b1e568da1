"""The ledger of claims: a claim holds, fails or stays open by rows of real data alone."""

import dataclasses

import pytest
from pydantic import ValidationError

from mubench.cards.leaderboard import tables
from mubench.cards.report.claims import (
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


def with_metrics(new_row, method, score, **metrics):
    """Return a row of full CIFAR-10 with these metrics beside S."""
    values = {name: Value(value=value, n=60) for name, value in {"score": score, **metrics}.items()}
    control = method in ("retrain", "base")
    return new_row(method, score=score, metrics=values, control=control, **ENOUGH)


@pytest.fixture
def table(new_row):
    rows = [
        with_metrics(new_row, "scrub", 0.9, forget_score=0.13, gap=0.01),
        with_metrics(new_row, "finetune", 0.2, forget_score=0.96, gap=0.03),
        with_metrics(new_row, "salun", 0.3, forget_score=0.9, gap=0.02),
        with_metrics(new_row, "retrain", 0.95, forget_score=0.8, gap=0.0),
        with_metrics(new_row, "base", 0.0, forget_score=0.98, gap=0.05),
    ]
    (found,) = tables(rows)
    return found


def finding(table, **test):
    return examine_claim(Claim(claim="c", source="s", test=test), [table])


@pytest.mark.parametrize(("test", "verdict"), [
    ({"rule": "leads", "methods": ("scrub", "salun")}, "held"),
    ({"rule": "leads", "methods": ("finetune",)}, "did not hold"),
    ({"rule": "leads", "methods": ("npo",)}, "could not be tested"),
    ({"rule": "order", "metric": "score", "lower": "finetune", "higher": "scrub"}, "held"),
    ({"rule": "order", "metric": "score", "lower": "scrub", "higher": "finetune"}, "did not hold"),
    ({"rule": "order", "metric": "score", "lower": "finetune", "higher": "salun"}, "could not be tested"),
    ({"rule": "order", "metric": "forget_score", "lower": "retrain", "higher": "finetune", "by": 0.1}, "held"),
    ({"rule": "order", "metric": "forget_score", "lower": "retrain", "higher": "finetune", "by": 0.2},
     "could not be tested"),
    ({"rule": "order", "metric": "forget_score", "lower": "finetune", "higher": "retrain"}, "did not hold"),
    ({"rule": "order", "metric": "kl_retrained", "lower": "finetune", "higher": "retrain"}, "could not be tested"),
    ({"rule": "near", "method": "scrub", "metric": "forget_score", "level": "chance", "within": 0.05}, "held"),
    ({"rule": "near", "method": "salun", "metric": "forget_score", "level": "chance", "within": 0.05}, "did not hold"),
    ({"rule": "near", "method": "salun", "metric": "gap", "level": 0.0, "within": 0.005}, "did not hold"),
    ({"rule": "near", "method": "finetune", "metric": "forget_score", "level": "base", "within": 0.03}, "held"),
])  # fmt: skip
def test_rules(table, test, verdict):
    assert finding(table, **test).verdict == verdict


def test_a_first_rank_that_nearly_all_methods_share_decides_nothing(table):
    same = dataclasses.replace(table, entries=tuple(dataclasses.replace(one, rank=1) for one in table.entries))
    one = finding(same, rule="leads", methods=("scrub",))
    assert one.verdict == "could not be tested" and "(3 of 3 lines have rank 1)" in one.here


def test_most_deciding_tables_give_the_verdict_and_all_numbers_are_shown(table):
    one = finding(table, rule="leads", methods=("scrub",))
    (yes,) = one.observations
    no = type(yes)(yes.table, False, "other")
    assert Finding(one.claim, (yes, yes, no)).verdict == "held"
    assert Finding(one.claim, (yes, no, no)).verdict == "did not hold"
    assert Finding(one.claim, (yes, no)).verdict == "could not be tested"
    assert (
        Finding(one.claim, (yes, no)).here
        == "cifar10 5 %: scrub: rank 1 (1 of 3 lines have rank 1); cifar10 5 %: other"
    )


@pytest.mark.parametrize(("test", "missing"), [
    ({"rule": "leads", "methods": ("scrub", "npo")}, "no rows of npo"),
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
    assert finding(text, rule="leads", methods=("scrub",)).here == "no ranks without signal"


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


@pytest.mark.parametrize("fields", [{}, {"untested": "why", "test": {"rule": "leads", "methods": ("scrub",)}}])
def test_a_claim_has_a_test_or_a_reason(fields):
    with pytest.raises(ValidationError, match="expected a test of 'c' or why there is none"):
        Claim(claim="c", source="s", **fields)


def test_text_and_markdown_name_claim_source_numbers_and_verdict(table):
    findings = examine_claims([table])
    line = next(line for line in as_markdown(findings).splitlines() if line.startswith("| SCRUB reaches random"))
    source, numbers = "MU-Bench, arXiv:2406.14796, abstract", "cifar10 5 %: forget_score 0.13 (scrub), 0.10 (chance)"
    assert line.split(" | ")[1:] == [source, "none", numbers, "held |"]
    text = as_text(findings).splitlines()
    place = next(n for n, line in enumerate(text) if "SCRUB reaches random" in line)
    assert text[place].split()[0] == "held" and text[place + 1].strip().startswith("cifar10 5 %: forget_score 0.13")
