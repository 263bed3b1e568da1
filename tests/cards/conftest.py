"""Synthetic result rows with chosen bootstrap draws, so that tables have known ranks."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from mubench.hub_builders.hub.model_folder import Run
from mubench.trainers.evaluation.result import Interval, References, Result, Value

RECIPE = {"learning_rate": 0.003, "epochs": 12, "batch_size": 64}


def make_row(method="scrub", *, score=0.8, noise=None, **changes):
    """A row whose draws are its score plus the noise given (thousandths)."""
    draws = np.clip(np.rint(1000 * score + (np.zeros(2000) if noise is None else noise)), 0, 1000).astype("<i2")
    low, high = np.quantile(draws / 1000, [0.025, 0.975])
    values = {"score": score, "row": 1 - score, "mean": 0.1, "membership": 0.05, "utility": 0.0, "gap": 0.02,
              "kl_retrained": 0.5, "forget_score": 0.75, "test_score": 0.7}  # fmt: skip
    facts = {
        "run_id": f"{method}-b{changes.get('base_seed', 0)}-s{changes.get('seed', 0)}",
        "tier": "mini", "task": "cifar10", "family": "canonical", "deletion_seed": 0, "ratio": 5,
        "split": "0123abcd" * 8, "backbone": "resnet", "base_seed": 0, "method": method, "recipe": RECIPE,
        "arguments": {}, "tuned": "default", "seed": 0, "versions": {"torch": "2.13.0"}, "device": "cpu",
        "cost": {"seconds": 2.0, "forward": 300, "backward": 300, "seconds_share": 0.1, "passes_share": 0.1},
        "metrics": {name: Value(value=float(value), n=60, retrained=0.5) for name, value in values.items()},
        "interval": Interval(low=float(low), high=float(high), lost=0, draws=base64.b64encode(draws).decode()),
        "references": References(retrained=[0, 1, 2], bases=[0, 1]),
        "row_spread": 0.03, "no_signal": None, "flags": [], "score_version": 2,
    }  # fmt: skip
    return Result(**{**facts, **changes})


def make_run(**changes):
    facts = {
        "task": "cifar10", "tier": "mini", "family": "canonical", "deletion_seed": 0, "ratio": 5,
        "split": "0123abcd" * 8, "backbone": "resnet", "base_seed": 0, "method": "scrub", "seed": 0, "recipe": RECIPE,
        "arguments": {"gamma": 0.9}, "tuned": "default", "parent": "ab" * 32,
        "cost": {"seconds": 2.0, "forward": 300.0}, "versions": {"torch": "2.13.0"}, "device": "cpu",
    }  # fmt: skip
    return Run(**{**facts, **changes})


@pytest.fixture(scope="session")
def new_row():
    return make_row


@pytest.fixture(scope="session")
def new_run():
    return make_run


@pytest.fixture(scope="session")
def demo_rows():
    """Two good methods that tie, a worse one, a broken one, and all controls."""
    generator = np.random.default_rng(0)
    common = 30 * generator.standard_normal(2000)
    retrain = {
        "control": True,
        "cost": {"seconds": 20.0, "forward": 3000, "backward": 3000, "seconds_share": 1.0, "passes_share": 1.0},
    }
    rows = []
    for base_seed in (0, 1):
        place = {"base_seed": base_seed}
        for method, score, spread in (("salun", 0.82, 25), ("scrub", 0.80, 25), ("finetune", 0.3, 25)):
            noise = common + spread * generator.standard_normal(2000)
            rows.append(make_row(method, score=score, noise=noise, **place))
        rows += [
            make_row(name, score=0.0, control=True, cost={}, **place)
            for name in ("base", "flip_cheat", "quantile_cheat", "constant")
        ]
    for seed in range(3):
        place = {"seed": seed, "base_seed": seed}
        others = References(retrained=[k for k in range(3) if k != seed], bases=[0, 1])
        rows.append(make_row("retrain", score=0.93, **place, references=others, no_signal="too few", **retrain))
    rows.append(make_row("retrain_keep50", score=0.45, **retrain))
    part = {"seconds": 1.0, "forward": 150, "backward": 150, "seconds_share": 0.05, "passes_share": 0.05}
    rows.append(make_row("retrain_at", score=0.6, **{**retrain, "cost": part}, arguments={"percent": 5}))
    broken = {"metrics": {}, "interval": None, "flags": ["nan"]}
    return [*rows, make_row("neg_grad", **broken)]
