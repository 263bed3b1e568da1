"""Recompute S of all rows from their evidence: ``python recompute.py ROWS EVIDENCE`` prints the largest difference."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

SAME = [
    "task",
    "tier",
    "family",
    "deletion_seed",
    "ratio",
    "backbone",
    "split",
    "recipe",
    "eval_seed",
    "score_version",
]


def below(a: Any, b: Any) -> Any:
    """Return the share of b below each value of a."""
    return (np.searchsorted(np.sort(b), a, "left") + np.searchsorted(np.sort(b), a, "right")) / (2 * len(b))


def logistic(x: Any, member: Any, folds: Any) -> Any:
    """Return out-of-fold scores of a logistic regression with an L2 penalty, by Newton's method."""
    out = np.zeros(len(x))
    for fit in (folds != fold for fold in range(5)):
        x1 = np.c_[(x - x[fit].mean(0)) / np.where(x[fit].std(0) > 0, x[fit].std(0), 1), np.ones(len(x))]
        w, ridge, sign = np.zeros(x1.shape[1]), np.r_[np.ones(x.shape[1]), 0], np.where(member, 1, -1)[fit]
        for _ in range(50):
            p = 1 / (1 + np.exp(sign * (x1[fit] @ w)))
            hessian = x1[fit].T @ (x1[fit] * (p * (1 - p))[:, None]) + np.diag(ridge + 1e-9)
            w -= np.linalg.solve(hessian, ridge * w - x1[fit].T @ (sign * p))
        out[~fit] = x1[~fit] @ w
    return out


def advantage(model: Any, refs: Any, facts: Any, folds: Any) -> float:
    """Return the advantage of the strongest attack on a model."""
    x, odds = [], facts["is_probability"]
    for part in ("forget", "test"):
        own, r = (np.clip(one, -np.log(1e6), np.log(1e6)) for one in (model[part][0], [o[part][0] for o in refs]))
        p_own, p_r = (1 / (1 + np.exp(-one)) if odds else np.exp(one) for one in (own, r))
        unseen = (1.3 * p_r.mean(0) + 0.7) / 2 if odds else p_r.mean(0)
        x.append(np.array([*model[part], own - r.mean(0), abs(own - r.mean(0)), p_own / unseen]))
    x[0][-1], x[1][-1] = below(x[0][-1], x[1][-1]), below(x[1][-1], x[1][-1])
    member = np.arange(len(folds)) < x[0].shape[1]
    learned = logistic(np.hstack(x).T, member, folds)
    plain = [2 * abs(below(f, t).mean() - 0.5) for f, t in zip(*x, strict=True)]
    return float(max(*plain, 2 * below(learned[member], learned[~member]).mean() - 1))


def score(model: Any, refs: Any, bases: Any, facts: Any, folds: Any) -> float:
    """Return S of a model."""
    s = np.array([m["forget"][0] for m in (model, *refs, *bases)])
    s = 1 / (1 + np.exp(-s)) if facts["is_probability"] else s
    own, r, b = s[0], s[1 : len(refs) + 1], s[len(refs) + 1 :]
    floor = abs(r[:, None] - r).mean(2)[np.triu_indices(len(r), 1)].mean()
    row = (abs(own - r).mean() - floor) / (abs(b[:, None] - r).mean() - floor)
    m, m_r, m_b = (np.mean([one["forget"][1] for one in group]) for group in ([model], refs, bases))
    a_r = np.mean([advantage(one, [o for o in refs if o is not one], facts, folds) for one in refs])
    a_b = np.mean([advantage(one, refs, facts, folds) for one in bases])
    member = max(float(advantage(model, refs, facts, folds) - a_r), 0.0) / (a_b - a_r)
    top = {k: np.mean([one["scores"][k] for one in refs]) for k in model["scores"]}
    lost: Any = max(max(top[k] - own, 0) / (top[k] - facts["chance"]) for k, own in model["scores"].items())
    return float((1 - min(1, max(row, abs(m - m_r) / abs(m_b - m_r), member, 0))) * (1 - min(1, lost)))


def read(line: Any) -> Any:
    """Return log-odds, task score and entropy of every row of a model, and its task score on whole splits."""
    values, splits = ("log_odds", "correct", "entropy"), ("retain", "test", "ood")
    rows = {part: [np.array(line[f"{part}_{v}"], float) for v in values] for part in ("forget", "test")}
    return {**rows, "scores": {k: line[f"score_{k}"] for k in splits if line[f"score_{k}"] is not None}}


def main(rows: str, evidence: str) -> float:
    """Print and return the largest difference to the recorded scores."""
    worst, count = 0.0, 0
    found = [json.loads(path.read_text()) for path in Path(rows).glob("*.json")]
    for table in map(pq.read_table, sorted(Path(evidence).glob("*.parquet"))):
        facts, lines = json.loads(table.schema.metadata[b"mubench"]), table.to_pylist()
        ids = [f"fold:{i}" for part in ("forget_ids", "test_ids") for i in lines[0][part]]
        folds = np.array([int.from_bytes(hashlib.sha256(i.encode()).digest()[:8], "big") % 5 for i in ids])
        models = {line["model"]: read(line) for line in lines}
        for row in found:
            if [row.get(k) for k in SAME] == [facts[k] for k in SAME] and "score" in row["metrics"]:
                reference = row["method"] in ("retrain", "base")
                own = models[f"{row['method']}-s{row['base_seed']}" if reference else row["run_id"]]
                refs = [models[f"retrain-s{seed}"] for seed in row["references"]["retrained"]]
                bases = [models[f"base-s{seed}"] for seed in row["references"]["bases"]]
                worst = max(worst, abs(score(own, refs, bases, facts, folds) - row["metrics"]["score"]["value"]))
                count += 1
    needed = sum(row.get("score_version") == 2 and "score" in row["metrics"] for row in found)
    if count < needed or not count:
        sys.exit(f"expected evidence of all {needed} rows with an S of version 2 in {rows}, got that of {count}")
    sys.stdout.write(f"{count} rows, largest difference of S: {worst:.1e}\n")
    return worst


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]) < 1e-9)
