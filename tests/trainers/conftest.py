"""Synthetic outputs that behave like a good mini task: few rows, ambiguous ones, and no wrong labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mubench.trainers.evaluation.result import RunInfo
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics import Case, SplitOutputs

CLASSES = 10
ROWS = {"forget": 60, "retain": 600, "test": 397}
VALIDATION = 200


@dataclass
class World:
    """Synthetic models of one task.

    Every row has a difficulty, from one distribution for all splits, which determines the margin of all models that
    were not trained on the row; models trained on it are confident. Seeds add noise.
    """

    rows: dict[str, int]
    seed: int = 0
    noise: float = 0.5
    center: float = 0.9
    spread: float = 2.0

    def __post_init__(self) -> None:
        generator = np.random.default_rng(self.seed)
        self.labels = {name: generator.integers(0, CLASSES, size) for name, size in self.rows.items()}
        self.difficulty = {
            name: self.center + self.spread * generator.standard_normal(size) for name, size in self.rows.items()
        }
        self.rival = {name: generator.integers(1, CLASSES, size) for name, size in self.rows.items()}
        self.rows = {**self.rows, "validation": VALIDATION}
        self.labels["validation"] = generator.integers(0, CLASSES, VALIDATION)
        self.difficulty["validation"] = self.center + self.spread * generator.standard_normal(VALIDATION)
        self.rival["validation"] = generator.integers(1, CLASSES, VALIDATION)

    def views(self, *, saw: float, seed: int) -> dict[str, ClassOutputs]:
        """Return the outputs of a model trained on this share of the forget set and on the whole retain set."""
        generator = np.random.default_rng([self.seed, seed, round(1000 * saw)])
        seen = {"forget": generator.random(self.rows["forget"]) < saw}
        result = {}
        for name, size in self.rows.items():
            margin = self.difficulty[name] + self.noise * generator.standard_normal(size)
            known = seen.get(name, np.full(size, name == "retain"))
            margin = np.where(known, 5 + 0.7 * margin.clip(-2, 4) + generator.standard_normal(size) ** 2, margin)
            result[name] = self.outputs(name, margin, generator)
        return result

    def outputs(self, name: str, margin: np.ndarray, generator: np.random.Generator) -> ClassOutputs:
        """Return logits whose true class leads a rival class by the margin."""
        size = self.rows[name]
        logits = -4 + 0.3 * generator.standard_normal((size, CLASSES))
        rows = np.arange(size)
        logits[rows, (self.labels[name] + self.rival[name]) % CLASSES] = 0
        logits[rows, self.labels[name]] = margin
        ids = np.array([f"{name}-{i:05d}" for i in range(size)])
        return ClassOutputs(ids, logits.astype(np.float32), self.labels[name].astype(np.int64))

    def retrained(self, count: int = 3) -> dict[int, SplitOutputs]:
        return {seed: self.views(saw=0.0, seed=seed) for seed in range(count)}

    def bases(self, count: int = 2) -> dict[int, SplitOutputs]:
        return {seed: self.views(saw=1.0, seed=100 + seed) for seed in range(count)}

    def case(self, model: SplitOutputs, *, retrained: int = 3, bases: int = 2) -> Case:
        models = list(self.retrained(retrained).values())
        return Case(model, models, list(self.bases(bases).values()), 1 / CLASSES)


@pytest.fixture(scope="session")
def world() -> World:
    return World(ROWS)


def leave_one_out(retrained: dict[int, SplitOutputs], seed: int) -> tuple[SplitOutputs, dict[int, SplitOutputs]]:
    """Return the retrained model of a seed, and the others."""
    return retrained[seed], {other: outputs for other, outputs in retrained.items() if other != seed}


def make_run_info() -> RunInfo:
    return RunInfo(
        run_id="cifar10-mini-resnet-del5-scrub-s0", tier="mini", task="cifar10", family="canonical", deletion_seed=0,
        ratio=5, split="0123abcd", backbone="resnet", base_seed=0, method="scrub", recipe={"epochs": 12},
        arguments={"gamma": 0.9}, tuned="default", seed=0, versions={"torch": "2.13.0"}, device="cpu",
        cost={"seconds": 1.5, "forward": 300, "backward": 100},
    )  # fmt: skip


@pytest.fixture
def run_info() -> RunInfo:
    return make_run_info()


def half(values: np.ndarray) -> np.ndarray:
    """Round as evidence is stored."""
    return np.asarray(values).astype(np.float16).astype(float)


def _log_odds(views: SplitOutputs, split: str) -> np.ndarray:
    p = views[split].probabilities
    true = np.arange(len(p)), views[split].labels
    others = p.copy()
    others[true] = 0
    return half(np.log(p[true] / others.sum(axis=1)).clip(-30, 30))


def _naive_attacks(model: SplitOutputs, references: list[SplitOutputs]) -> dict[str, np.ndarray]:
    """Return the numbers of all attacks, ``(attacks, N)`` on forget and on test rows."""
    values = {}
    for split in ("forget", "test"):
        p = model[split].probabilities
        own = _log_odds(model, split)
        others = np.array([_log_odds(views, split) for views in references])
        z = own.clip(-logit(1 - 1e-6), logit(1 - 1e-6)) - others.clip(-logit(1 - 1e-6), logit(1 - 1e-6)).mean(axis=0)
        unseen = expit(others.clip(-logit(1 - 1e-6), logit(1 - 1e-6))).mean(axis=0)
        ratio = expit(own.clip(-logit(1 - 1e-6), logit(1 - 1e-6))) / (0.5 * (1.3 * unseen + 0.7))
        values[split] = [own, model[split].correct, half(-(p * np.log(p)).sum(axis=1)), z, np.abs(z), ratio]
    population = values["test"][-1]
    for split in ("forget", "test"):
        mine = values[split][-1][:, None]
        values[split][-1] = ((mine > population) + 0.5 * (mine == population)).mean(axis=1)
    return {split: np.array(each, dtype=float) for split, each in values.items()}


def _naive_logistic(values: dict[str, np.ndarray], ids: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    features, member = np.hstack([values["forget"], values["test"]]).T, len(values["forget"].T)
    labels = np.r_[np.ones(member), np.zeros(len(features) - member)]
    names = [*ids["forget"], *ids["test"]]
    folds = np.array([int.from_bytes(hashlib.sha256(f"fold:{i}".encode()).digest()[:8], "big") % 5 for i in names])
    scores = np.zeros(len(features))
    for fold in range(5):
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=1, solver="newton-cholesky", tol=1e-12))
        fitted.fit(features[folds != fold], labels[folds != fold])
        scores[folds == fold] = fitted.decision_function(features[folds == fold])
    return {"forget": scores[:member], "test": scores[member:]}


def naive_areas(model: SplitOutputs, references: list[SplitOutputs]) -> np.ndarray:
    """Return the AUC of every attack by scikit-learn."""
    values = _naive_attacks(model, references)
    learned = _naive_logistic(values, {split: model[split].ids for split in values})
    labels = np.r_[np.ones(len(model["forget"])), np.zeros(len(model["test"]))]
    every = {split: [*values[split], learned[split]] for split in values}
    pairs = zip(every["forget"], every["test"], strict=True)
    return np.array([roc_auc_score(labels, np.r_[one, other]) for one, other in pairs])


def _naive_advantage(model: SplitOutputs, references: list[SplitOutputs]) -> float:
    *plain, fitted = naive_areas(model, references)
    return max([2 * abs(area - 0.5) for area in plain] + [2 * (fitted - 0.5)])


def _naive_membership(model: SplitOutputs, retrained: list[SplitOutputs], bases: list[SplitOutputs]) -> float:
    a_r = np.mean([_naive_advantage(r, [other for other in retrained if other is not r]) for r in retrained])
    a_b = np.mean([_naive_advantage(b, retrained) for b in bases])
    return max(_naive_advantage(model, retrained) - a_r, 0) / (a_b - a_r)


def naive_parts(
    model: SplitOutputs, retrained: list[SplitOutputs], bases: list[SplitOutputs], chance: float, attack: bool = True
) -> tuple[float, ...]:
    """Return the four parts of the score, computed directly from its definition; lists may repeat a model.

    Without the attack membership is NaN.
    """

    def s(views):
        return expit(_log_odds(views, "forget"))

    def d(a, b):
        return np.mean(np.abs(s(a) - s(b)))

    def m(views, split="forget"):
        return views[split].correct.mean()

    floor = np.mean([d(a, b) for a in retrained for b in retrained if a is not b])
    far = np.mean([d(b, r) for b in bases for r in retrained])
    row = (np.mean([d(model, r) for r in retrained]) - floor) / (far - floor)
    m_r, m_b = np.mean([m(r) for r in retrained]), np.mean([m(b) for b in bases])
    mean = abs(m(model) - m_r) / abs(m_b - m_r)
    membership = np.nan
    if attack:
        membership = _naive_membership(model, retrained, bases)
    lost = []
    for split in {"retain", "test", "ood"} & set(model):
        target = np.mean([m(r, split) for r in retrained])
        lost.append(max(target - m(model, split), 0) / (target - chance))
    return row, mean, membership, max(lost)


@pytest.fixture(scope="session")
def naive():
    return naive_parts


@pytest.fixture(scope="session")
def surer():
    """Return a function that adds to the logit of the true class on every row of the given splits."""

    def shift(views: SplitOutputs, **amounts: float) -> SplitOutputs:
        moved = dict(views)
        for split, amount in amounts.items():
            one = views[split]
            logits = one.logits.copy()
            logits[np.arange(len(one)), one.labels] += amount
            moved[split] = ClassOutputs(one.ids, logits, one.labels)
        return moved

    return shift
