"""The metric `mu_score`, loaded by `evaluate` from its folder: S as the suite computes it from the same outputs."""

from importlib import import_module  # seconds, of which only the worker that runs this file has to wait
from pathlib import Path

import numpy as np
import pytest

import mubench.cards
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.score import SCORE_VERSION, parts

FOLDER = Path(mubench.cards.__file__).parent / "evaluate" / "mu_score"
SIZES = {"forget": 60, "retain": 80, "test": 120}
CHANCE = 0.25


@pytest.fixture(scope="module")
def metric():
    return import_module("evaluate").load(str(FOLDER), keep_in_memory=True)


def make_model(seed, seen):
    """Return outputs over four classes, with more confidence in the splits that a model has seen."""
    generator = np.random.default_rng(seed)
    found = {}
    for split, rows in SIZES.items():
        labels = np.arange(rows) % 4
        logits = generator.normal(size=(rows, 4)) + (3.0 if split in seen else 1.0) * np.eye(4)[labels]
        ids = np.array([f"{split}-{i}" for i in range(rows)])
        found[split] = ClassOutputs(ids, logits.astype(np.float32), labels)
    return found


@pytest.fixture(scope="module")
def case():
    """A model between three retrained ones and two bases."""
    retrained = [make_model(seed, ("retain",)) for seed in range(3)]
    bases = [make_model(10 + seed, ("retain", "forget")) for seed in range(2)]
    mixed = {split: retrained[0][split] for split in SIZES}
    half = np.where(np.arange(60)[:, None] < 20, bases[0]["forget"].logits, retrained[0]["forget"].logits)
    mixed["forget"] = ClassOutputs(mixed["forget"].ids, half, mixed["forget"].labels)
    return Case(mixed, retrained, bases, CHANCE)


def inputs(model):
    """Return a model as the metric takes it."""
    columns = {
        name: np.concatenate([getattr(model[split], name).astype(float) for split in ("forget", "test")]).tolist()
        for name in ("log_odds", "entropy", "correct")
    }
    return {**columns, "scores": {split: float(model[split].correct.mean()) for split in ("retain", "test")}}


def arguments(case, model):
    own = inputs(model)
    return {
        "predictions": own.pop("log_odds"), **own, "references": [1] * 60 + [0] * 120, "chance": CHANCE,
        "id": [*case.model["forget"].ids.tolist(), *case.model["test"].ids.tolist()],
        "retrained": list(map(inputs, case.retrained)), "bases": list(map(inputs, case.bases)),
    }  # fmt: skip


def test_s_and_its_parts_are_those_of_the_suite(metric, case):
    found = metric.compute(**arguments(case, case.model))
    expected = parts(case)
    assert 0.05 < expected.score < 0.95
    for name in ("score", "row", "mean", "membership", "utility"):
        assert found[name] == pytest.approx(getattr(expected, name), abs=1e-12)
    assert found["score_version"] == SCORE_VERSION


def test_a_base_has_nothing_of_s(metric, case):
    assert metric.compute(**arguments(case, case.bases[0]))["score"] < 0.05


def test_the_order_of_rows_is_free(metric, case):
    given = arguments(case, case.model)
    order = np.random.default_rng(0).permutation(180)

    def shuffled(columns):
        return {k: [v[i] for i in order] if isinstance(v, list) and len(v) == 180 else v for k, v in columns.items()}

    moved = shuffled(given)
    for group in ("retrained", "bases"):
        moved[group] = [shuffled(model) for model in given[group]]
    assert metric.compute(**moved) == pytest.approx(metric.compute(**given), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda a: a.update(id=["x"] * 180), "expected forget and test rows with different ids, got 60 .* 180 with 1"),
        (lambda a: a.update(references=[0] * 180), "expected forget and test rows .*, got 0 forget rows"),
        (lambda a: a["bases"][1].pop("entropy"), r"expected 180 finite numbers as entropy of bases\[1\], got shape"),
        (lambda a: a["retrained"][2].pop("scores"), r"expected scores of retain and test of retrained\[2\], got none"),
        (lambda a: a.update(retrained=a["retrained"][:1]), "expected at least 2 retrained models"),
        (lambda a: a.update(bases=a["retrained"]), "no signal for 'row'"),
    ],
)
def test_mistakes_are_one_line(metric, case, change, line):
    given = arguments(case, case.model)
    change(given)
    with pytest.raises(ValueError, match=line) as error:
        metric.compute(**given)
    assert "\n" not in str(error.value)


@pytest.mark.slow  # imports gradio
def test_the_page_computes_its_example(metric):
    from mubench.cards.evaluate.mu_score import app  # noqa: PLC0415

    found = app.compute(app.EXAMPLE.read_text())
    assert 0 < found["score"] < 1
    for text, line in (("{", "expected JSON, got"), ("[]", "expected an object with the inputs by name, got")):
        with pytest.raises(ValueError, match=line):
            app.compute(text)
    assert app.build().fn is app.compute
