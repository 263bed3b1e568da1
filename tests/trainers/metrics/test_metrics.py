"""Closed-form values (T-MET) and directions (T-DIR) of every array metric."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from transformers import default_data_collator

from mubench.trainers.evaluation.controls import constant, flip_cheat
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.predict import predict
from mubench.trainers.metrics import METRICS, Case
from mubench.trainers.metrics.accuracy import harmonic_overall, majority_baseline
from mubench.trainers.metrics.attacks import advantage, auc, plain_placements
from mubench.trainers.metrics.divergence import activation, agreement, js, kl, mean_distance
from tests.fixtures import toy


def one_hot(classes, k=3):
    with np.errstate(divide="ignore"):
        return np.log(np.identity(k)[classes])


def fixed(p, labels=None):
    """ClassOutputs with these probabilities."""
    p = np.asarray(p, dtype=float)
    labels = np.zeros(len(p), dtype=np.int64) if labels is None else np.asarray(labels)
    return ClassOutputs(np.array([f"r{i}" for i in range(len(p))]), np.log(p).astype(np.float32), labels)


def test_auc_equals_sklearns_with_ties():
    generator = np.random.default_rng(0)
    forget, test = generator.integers(0, 6, 40).astype(float), generator.integers(2, 9, 70).astype(float)
    labels = np.r_[np.ones(40), np.zeros(70)]
    assert auc(forget, test) == pytest.approx(roc_auc_score(labels, np.r_[forget, test]))
    assert auc(forget, forget) == 0.5
    assert advantage(0.5) == 0 and advantage(0.0) == advantage(1.0) == 1 and advantage(0.75) == 0.5


def test_placements_are_shares_of_test_rows_below():
    forget, test = fixed([[0.9, 0.1], [0.4, 0.6]]), fixed([[0.8, 0.2], [0.15, 0.85], [0.55, 0.45], [0.9, 0.1]])
    assert plain_placements(forget, test).tolist() == [[3.5 / 4, 2.5 / 4, 0.5 / 4], [1 / 4, 0.5 / 4, 3 / 4]]
    case = Case({"forget": forget, "test": test}, [], [], 0.5)
    assert METRICS["loss_mia"].compute(case) == (3.5 / 4 + 1 / 4) / 2


def test_the_majority_baseline_is_the_share_of_the_most_frequent_label():
    assert majority_baseline(fixed([[0.9, 0.1]] * 5, [0, 1, 1, 0, 1])) == 0.6


def test_distances_have_their_closed_form_values():
    same = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]))
    assert kl(same, same).max() == js(same, same).max() == activation(same, same).max() == 0
    assert agreement(same, same).min() == 1
    a, b = one_hot([0, 1]), one_hot([1, 2])
    assert js(a, b) == pytest.approx(math.log(2)) and METRICS["js_retrained"].range[1] == math.log(2)
    assert activation(a, b) == pytest.approx(math.sqrt(2)) and METRICS["activation"].range[1] == math.sqrt(2)
    assert agreement(a, b).max() == 0
    other = np.log(np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]))
    assert js(same, other) == pytest.approx(js(other, same))
    p, q = np.exp(same), np.exp(other)
    assert kl(other, same) == pytest.approx((p * np.log(p / q)).sum(axis=1))  # KL(p_R || p_u)
    assert kl(other, same) != pytest.approx(kl(same, other))
    assert js(same, other) == pytest.approx((kl((m := np.log((p + q) / 2)), same) + kl(m, other)) / 2)
    assert activation(same, other) == pytest.approx(np.sqrt(((p - q) ** 2).sum(axis=1)))
    assert kl(same, b) == pytest.approx(-same[[0, 1], [1, 2]])  # events of probability 0 add nothing


def test_a_distance_is_the_mean_over_lines_then_rows_then_retrained_models():
    right, even = [0.8, 0.2], [0.5, 0.5]
    own, other = fixed([right, right]), fixed([right, even])
    far = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    assert mean_distance(kl, own, other) == pytest.approx(far / 2, abs=1e-6)
    case = Case({"forget": own}, [{"forget": other}, {"forget": own}], [], 0.5)
    assert METRICS["kl_retrained"].compute(case) == pytest.approx(far / 4, abs=1e-6)


@pytest.mark.parametrize(
    ("forget", "test", "base_test", "chance", "expected"),
    [
        (0.1, 0.9, 0.9, 0.1, 1.0),  # perfect inputs
        (0.985, 0.92, 0.92, 0.01, 0.0488),  # the untouched model on CIFAR-100
        (0.92, 0.92, 0.92, 0.01, 0.165),  # what retraining gives there
        (0.1, 0.71, 0.9, 0.1, 0.0),  # test moved by more than 20 %
        (0.07, 0.9, 0.9, 0.1, 0.0),  # forget more than 20 % below chance
        (0.085, 0.75, 0.9, 0.1, 2 * 0.85 * 0.985 / 1.835),
        (0.5, 0.5, 0.625, 0.625, 0.875),  # both at the very limit
    ],
)
def test_overall_equals_the_papers(forget, test, base_test, chance, expected):
    assert harmonic_overall(forget, test, base_test, chance) == pytest.approx(expected, abs=5e-4)


def test_overall_is_relative_to_the_mean_of_the_bases():
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    model = {"forget": fixed([right, wrong]), "test": fixed([right] * 7 + [wrong])}
    bases = [{**model, "test": fixed([right] * count + [wrong] * (8 - count))} for count in (8, 7)]
    assert METRICS["overall"].compute(Case(model, [], bases, 0.5)) == pytest.approx(2 * (15 / 16) / (1 + 15 / 16))


def test_gap_is_the_mean_distance_of_four_averages():
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    retrained = {"forget": fixed([right, wrong]), "retain": fixed([right] * 4), "test": fixed([right, wrong])}
    model = {"forget": fixed([right, right]), "retain": fixed([right] * 3 + [wrong]), "test": retrained["test"]}
    case = Case(model, [retrained, retrained], [], 0.5)
    # forget 1 - 1/2, retain 3/4 - 1, test 0, loss-MIA AUC 3/4 - 1/2
    assert METRICS["gap"].compute(case) == pytest.approx((0.5 + 0.25 + 0 + 0.25) / 4)
    assert METRICS["gap"].compute(Case(retrained, [retrained], [], 0.5)) == 0


def test_scores_do_not_depend_on_row_order(world):
    model = world.views(saw=0.4, seed=7)
    order = np.random.default_rng(0).permutation(world.rows["forget"])

    def shuffled(views):
        one = views["forget"]
        return {**views, "forget": one.select(one.ids[order])}

    case = world.case(model)
    moved = Case(shuffled(model), list(map(shuffled, case.retrained)), list(map(shuffled, case.bases)), case.chance)
    for name, metric in METRICS.items():
        if case.has(metric):
            assert metric.compute(moved) == pytest.approx(metric.compute(case), abs=1e-12), name


def random_label(world):
    """A model that has learned a wrong class for every forget row."""
    views = world.bases()[0]
    forget = views["forget"]
    logits = np.roll(forget.logits, 1, axis=1)
    return {**views, "forget": ClassOutputs(forget.ids, logits, forget.labels)}


def untrained(world):
    """A model that hardly prefers any class."""
    forget = world.bases()[0]["forget"]
    return replace(forget, logits=0.1 * np.random.default_rng(0).normal(size=forget.logits.shape).astype(np.float32))


JUDGED = ("forget", "retain", "test")
# The others read generated texts, answer tokens or features of images; test_written_metrics.py is about them.
ON_CLASSES = [name for name, metric in METRICS.items() if metric.rows is len]
# Best first.
ORDERS: dict[str, list[str]] = {
    "score": ["retrained", "half", "base", "collapsed", "random_label"],
    "row": ["retrained", "half", "base", "collapsed"],
    "mean": ["retrained", "half", "base", "collapsed"],
    "membership": ["retrained", "half", "base"],
    "utility": ["retrained", "collapsed"],
    "gap": ["retrained", "half", "base", "collapsed"],
    "overall": ["retrained", "half", "base"],
    "forget_score": ["base", "half", "retrained", "collapsed", "random_label"],
    "retain_score": ["retrained", "collapsed"],
    "test_score": ["retrained", "collapsed"],
    "loss_mia": ["base", "half", "retrained", "random_label"],
    "rmia": ["base", "half", "retrained", "random_label"],
    "logistic_mia": ["base", "half", "retrained"],
    "row_shifted": ["retrained", "half", "base", "collapsed"],
    "kl_retrained": ["retrained", "half", "base", "collapsed"],
    "js_retrained": ["retrained", "half", "base", "collapsed"],
    "activation": ["retrained", "half", "base", "collapsed"],
    "agreement": ["retrained", "half", "base", "collapsed"],
    "svc_confidence": ["random_label", "retrained", "half", "base"],
    "svc_entropy": ["retrained", "half", "base"],
    "svc_modified_entropy": ["random_label", "retrained", "half", "base"],
    "svc_correctness": ["random_label", "retrained", "half", "base"],
    "threshold_confidence": ["base", "half", "retrained", "random_label"],
    "threshold_modified_entropy": ["base", "half", "retrained", "random_label"],
    "scrub_mia": ["random_label", "base", "half", "retrained"],
    "entropy_mia": ["base", "half", "retrained"],
    "tpr_at_1_fpr": ["base", "retrained"],
    "tow": ["retrained", "half", "base", "collapsed"],
    "tow_mia": ["retrained", "half", "base"],
    "nomus": ["retrained", "half", "base", "collapsed"],
    "knowledge_gap": ["random_label", "retrained", "half", "base"],
    "zrf_uniform": ["retrained", "half", "base"],
    "zrf": ["retrained", "half", "base"],
    "forget_macro_f1": ["base", "half", "retrained", "collapsed"],
    "test_macro_f1": ["retrained", "collapsed"],
}


def moved(views):
    """Return outputs whose shifted forget rows are the forget rows."""
    return {**views, "shifted": views["forget"]}


@pytest.fixture(scope="module")
def cases(world):
    models = {
        "retrained": world.views(saw=0.0, seed=9),
        "half": world.views(saw=0.5, seed=51),
        "base": world.bases()[0],
        "random_label": random_label(world),
        "collapsed": constant(world.bases()[0]),
    }
    retrained, bases = ([moved(one) for one in group().values()] for group in (world.retrained, world.bases))
    fresh = untrained(world)
    return {name: Case(moved(model), retrained, bases, 0.1, random=fresh) for name, model in models.items()}


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_models_come_out_in_the_expected_order(cases, name):
    metric = METRICS[name]
    values = [metric.compute(cases[model]) for model in ORDERS[name]]
    if metric.better == "lower":
        values = [-value for value in values]
    assert values == sorted(values, reverse=True), dict(zip(ORDERS[name], values, strict=True))
    assert values[0] > values[-1]
    assert all(metric.range[0] <= metric.compute(case) <= metric.range[1] for case in cases.values())


def test_every_metric_is_declared_and_has_a_sanity_test():
    derived = {"validation_score", "ood_score"}  # the same function as test_score on another split
    assert {*ON_CLASSES} - derived == set(ORDERS)
    for metric in METRICS.values():
        assert (
            metric.better in ("higher", "lower", "near retrained") and metric.title and metric.needs and metric.paper
        )
        assert metric.range[0] < metric.range[1]


# Evidence is read from all splits at once.
PARTS = {"score": JUDGED, "row": ("forget",), "mean": ("forget",), "membership": ("forget", "test"),
         "utility": ("retain", "test"), "row_shifted": ("shifted",), "rmia": ("forget", "test"),
         "logistic_mia": ("forget", "test")}  # fmt: skip


@pytest.mark.parametrize("name", ON_CLASSES)
def test_a_metric_needs_what_it_declares(world, name):
    metric = METRICS[name]

    def computes(splits, references, bases, random=metric.random):
        def cut(outputs):
            return {
                split: {**moved(outputs), "validation": outputs["test"], "ood": outputs["test"]}[split]
                for split in splits
            }

        case = world.case(world.views(saw=0.4, seed=7), retrained=references, bases=bases)
        models = cut(case.model), list(map(cut, case.retrained)), list(map(cut, case.bases))
        case = Case(*models, case.chance, random=untrained(world) if random else None)
        assert random or not metric.random or not case.has(metric)
        try:
            with warnings.catch_warnings(action="error"):
                return math.isfinite(metric.compute(case))
        except (ValueError, KeyError, RuntimeWarning):
            return False

    splits = {*JUDGED, *metric.needs} if name in PARTS else metric.needs
    assert computes(splits, metric.references, metric.bases)
    assert not metric.references or not computes(splits, metric.references - 1, metric.bases)
    assert not metric.bases or not computes(splits, metric.references, metric.bases - 1)
    assert not metric.random or not computes(splits, metric.references, metric.bases, random=False)
    if name in PARTS:
        assert metric.needs == PARTS[name]
        return
    for split in splits:
        assert not computes({*splits} - {split}, metric.references, metric.bases)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Outputs of a model on rows that it is trained on (forget) and others (test): before, and after."""
    model, data = toy.build("vit"), toy.rows("vit", 40)

    def views():
        found = {}
        for split, rows in (("forget", data[:20]), ("test", data[20:])):
            ids = np.array([f"{split}-{i}" for i in range(len(rows))])
            labels = np.array([row["labels"] for row in rows])
            found[split] = ClassOutputs(ids, predict(model, rows, default_data_collator), labels)
        return found

    before = views()
    options = {
        "optim": "adamw_torch",
        "learning_rate": 0.02,
        "num_train_epochs": 30,
        "per_device_train_batch_size": 20,
    }
    toy.task_trainer(model, data[:20], tmp_path_factory.mktemp("learned"), **options).train()
    return before, views()


def test_t_dir_training_raises_the_loss_attack_and_the_forget_score(learned):
    untrained, trained = (Case(views, [], [], 1 / toy.CLASSES) for views in learned)
    assert abs(METRICS["loss_mia"].compute(untrained) - 0.5) < 0.2
    assert METRICS["loss_mia"].compute(trained) > 0.8
    assert METRICS["forget_score"].compute(untrained) < 0.6
    assert METRICS["forget_score"].compute(trained) == 1


def test_t_met_a_model_has_distance_0_to_itself_and_more_to_another(learned):
    before, after = learned
    ideal = {"kl_retrained": 0, "js_retrained": 0, "activation": 0, "agreement": 1}
    for name, value in ideal.items():
        assert METRICS[name].compute(Case(after, [after, after], [], 0.25)) == pytest.approx(value, abs=1e-12)
        assert abs(METRICS[name].compute(Case(after, [before, before], [], 0.25)) - value) > 0.05


def test_gap_can_be_cheated_and_the_score_cannot(world):
    retrained, bases = world.retrained(), world.bases()
    cheat, half = flip_cheat(bases[0], list(retrained.values()), seed=0), world.views(saw=0.5, seed=51)
    gaps = [METRICS["gap"].compute(world.case(model)) for model in (cheat, half, bases[0])]
    scores = [METRICS["score"].compute(world.case(model)) for model in (cheat, half)]
    assert gaps[0] < gaps[1] < gaps[2] and scores[0] < 0.1 and scores[1] > 0.3
