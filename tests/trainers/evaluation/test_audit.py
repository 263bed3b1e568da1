import json

import numpy as np
import pytest
from scipy.stats import binomtest, kendalltau, t

from mubench.trainers.evaluation import audit as audits
from mubench.trainers.evaluation.audit import CAUGHT, MetricAudit, NotAudited, TableAudit, audit, is_outside
from mubench.trainers.evaluation.result import Interval, References, Result, Value
from mubench.trainers.metrics import METRICS

SHARED = {"score_version": 2, "row_spread": 0.03, "no_signal": None, "flags": []}
CONTROLS = {"retrain": 5, "base": 3, "retrain_keep50": 3, "flip_cheat": 3}


@pytest.fixture
def template(run_info):
    """A row of a method; the others differ in what an audit reads."""
    return Result(
        **run_info.model_dump(),
        **SHARED,
        metrics={"score": Value(value=0.5, n=60)},
        interval=Interval(low=0.4, high=0.6, lost=0, draws=[500] * 2000),
        references=References(retrained=[0, 1, 2, 3, 4], bases=[0, 1, 2]),
    )


def make_rows(template, values, methods=8, counts=CONTROLS):
    """Return the rows of a table, their metrics given by a function of method and number."""
    sizes = {**counts, "scrub": methods}
    return [
        template.model_copy(
            update={
                "method": method,
                "control": method in CONTROLS,
                "metrics": {name: Value(value=float(v), n=60) for name, v in values(method, number).items()},
            }
        )
        for method, size in sizes.items()
        for number in range(size)
    ]


def audited(tables, name):
    (found,) = [one for one in audit(tables) if one.name == name]
    return found


@pytest.mark.parametrize("name", ["test_score", "forget_score", "gap"])  # higher, near retrained, lower
def test_noise_has_false_alarms_of_5_percent_and_no_power(template, name):
    generator = np.random.default_rng(5)
    tables = {
        str(place): make_rows(template, lambda *_: {name: generator.normal(), "score": generator.random()})
        for place in range(80)
    }
    found = audited(tables, name)
    low, high = found.alarm_interval
    assert found.retrained == 400 and low < 0.05 < high and high - low < 0.06
    assert all(abs(found.power(control) - 0.05) < 0.05 for control in CAUGHT)
    tau, low, high = found.tau
    assert low < 0 < high and abs(tau) < 0.1
    assert found.weaknesses == ["power"] and found.strong_tables == 0


def test_a_metric_that_separates_controls_passes(template):
    generator = np.random.default_rng(1)

    def values(method, number):
        distance = {"retrain": 0.0, "scrub": number / 4}.get(method, 1.0)
        return {"gap": distance + 0.01 * generator.normal(), "score": 1 - distance}

    found = audited({str(place): make_rows(template, values) for place in range(11)}, "gap")
    assert [found.power(control) for control in CAUGHT] == [1, 1, 1] and found.strong_tables == 11
    assert found.weaknesses == [] and found.tau == pytest.approx((1, 1, 1), abs=0.02)


def test_alarms_power_and_tau_of_a_worked_example(template):
    near = {"retrain": [0.1, 0.12, 0.11, 0.1, 0.4], "base": [0.9, 0.13, 0.9], "retrain_keep50": [0.5, 0.9, 0.9],
            "flip_cheat": [0.2, 0.1, 0.3], "scrub": [0.3, 0.1, 0.7, 0.16, 0.166]}  # fmt: skip
    scores = [0.5, 0.8, 0.2, 0.9, 0.1]
    rows = make_rows(
        template, lambda method, n: {"rmia": near[method][n], "score": scores[n] if method == "scrub" else 0.5}, 5
    )
    (one,) = audited({"a": rows}, "rmia").tables.values()
    # .4 lies outside the interval of the other four, .1075 +- .034; each of them within that of the rest and .4.
    assert (one.alarms, one.retrained, one.rows) == (1, 5, 5)
    # The interval of all five is .166 +- .399.
    assert one.power == {"base": 2 / 3, "retrain_keep50": 2 / 3, "flip_cheat": 0}
    assert one.mean_power == pytest.approx(4 / 9)
    expected = kendalltau([-abs(value - 0.166) for value in near["scrub"]], scores).statistic
    assert one.tau == pytest.approx(expected) and one.draws.shape == (audits.DRAWS,)


@pytest.mark.parametrize(("better", "share"), [("higher", 0.95), ("lower", 0.95), ("near retrained", 0.975)])
def test_the_limit_is_the_t_prediction_interval(better, share):
    retrained = np.array([0.3, 0.5, 0.4, 0.45])
    margin = t.ppf(share, 3) * retrained.std(ddof=1) * np.sqrt(1.25)
    for sign, worse in ((1, better != "higher"), (-1, better != "lower")):
        assert is_outside(retrained.mean() + sign * 1.001 * margin, retrained, better) is worse
        assert not is_outside(retrained.mean() + sign * 0.999 * margin, retrained, better)


def test_equal_values_raise_no_alarm_and_any_other_does():
    retrained = np.full(3, 0.1)
    assert not is_outside(0.1, retrained, "lower") and is_outside(0.11, retrained, "lower")
    assert not is_outside(0.09, retrained, "lower") and is_outside(0.09, retrained, "near retrained")


def make_audit(tables, alarms=0, power=1.0, strong=None):
    strong = tables if strong is None else strong
    found = {
        str(place): TableAudit(
            alarms=alarms, retrained=5, rows=0, tau=np.nan, draws=np.full(3, np.nan),
            power=dict.fromkeys(CAUGHT, power if place < strong else 0.0),
        )
        for place in range(tables)
    }  # fmt: skip
    return MetricAudit(name="gap", tables=found)


@pytest.mark.parametrize(
    ("found", "weaknesses"),
    [
        (make_audit(11), []),
        (make_audit(11, strong=9), []),
        (make_audit(11, strong=8), ["power"]),
        (make_audit(1, strong=0), ["power"]),
        (make_audit(11, power=0.79), ["power"]),
        (make_audit(11, alarms=1), ["false alarms"]),  # 20 %
        (make_audit(3, alarms=1), []),  # 3 of 15, which 5 % may give
        (make_audit(0), []),
    ],
)
def test_a_metric_is_weak_with_many_false_alarms_or_with_power_on_few_tables(found, weaknesses):
    assert found.weaknesses == weaknesses


def test_the_interval_of_false_alarms_is_exact_and_an_undefined_tau_is_none():
    found = make_audit(11, alarms=1)
    assert found.alarm_interval == pytest.approx(tuple(binomtest(11, 55).proportion_ci(method="exact")))
    assert found.tau is None


def test_a_metric_that_a_control_lacks_is_not_on_that_table(template):
    def values(method, number):
        one = {"gap": number / 10, "score": 0.5}
        return one if method == "base" else {**one, "rmia": 0.5}

    found = {one.name: one for one in audit({"a": make_rows(template, values)})}
    assert [*found] == [*METRICS] and not found["rmia"].tables and [*found["gap"].tables] == ["a"]


@pytest.mark.parametrize(
    ("method", "count", "message"),
    [
        (
            "retrain_keep50",
            0,
            "expected at least 1 rows of retrain_keep50 of a, got 0; .* with: mubench sweep ",
        ),
        ("flip_cheat", 0, "expected at least 1 rows of flip_cheat of a, got 0"),
        (
            "retrain",
            4,
            'rows of retrain of a, got 4; .* "0 1 2" --retrain_seeds "0 1 2 3 4" --models mine$',
        ),
    ],
)
def test_a_missing_control_is_named_in_one_line(template, method, count, message):
    rows = make_rows(template, lambda *_: {"score": 0.5}, counts={**CONTROLS, method: count})
    with pytest.raises(NotAudited, match=message) as caught:
        audit({"a": rows}, models="mine")
    assert "\n" not in str(caught.value)


def test_rows_of_an_older_score_are_refused(template):
    rows = make_rows(template.model_copy(update={"score_version": 1}), lambda *_: {"score": 0.5})
    with pytest.raises(NotAudited, match="expected rows with S of version 2 of a, got version 1"):
        audit({"a": rows})


def test_weak_metrics_are_read_from_the_shipped_audit(tmp_path, monkeypatch):
    path = tmp_path / "audit.json"
    path.write_text(json.dumps({"metrics": {"gap": {"weak": ["power"]}, "row": {"weak": []}}}))
    monkeypatch.setattr(audits, "SHIPPED", path)
    assert audits.weak_metrics.__wrapped__() == {"gap"}
