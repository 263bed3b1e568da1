"""Recompute S of all rows from their evidence: ``python recompute.py ROWS EVIDENCE`` prints the largest difference."""

import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq


def below(a: Any, b: Any) -> Any:
    """Return the share of b below each value of a, where ties count half."""
    return sum(np.searchsorted(np.sort(b), a, side) for side in ("left", "right")) / (2 * len(b))


def logistic(x: Any, member: Any, folds: Any) -> Any:
    """Return out-of-fold scores of a logistic regression with an L2 penalty, by Newton's method."""
    out, ridge = np.zeros(len(x)), np.r_[np.ones(x.shape[1]), 0]
    for fit in (folds != fold for fold in range(5)):
        x1 = np.c_[(x - x[fit].mean(0)) / np.where(x[fit].std(0) > 0, x[fit].std(0), 1), np.ones(len(x))]
        signed, w = x1[fit] * np.where(member, 1, -1)[fit, None], 0 * ridge
        for _ in range(50):
            p = 1 / (1 + np.exp(signed @ w))
            step = np.linalg.solve(signed.T * (p * (1 - p)) @ signed + np.diag(ridge + 1e-9), ridge * w - p @ signed)
            w = w - step
            if abs(step).max() < 1e-9:
                break
        out[~fit] = x1[~fit] @ w
    return out


def advantage(own: int, refs: Any, facts: Any) -> Any:
    """Return the advantage of the strongest attack on a model, given the numbers of models in the evidence."""
    x, odds = [], facts["is_probability"]
    for rows in facts["rows"]:
        log_odds = np.clip(rows[0], -np.log(1e6), np.log(1e6))
        p = 1 / (1 + np.exp(-log_odds)) if odds else np.exp(log_odds)
        unseen, z = p[refs].mean(0), log_odds[own] - log_odds[refs].mean(0)
        x.append(np.r_[rows[:, own], [z, abs(z), p[own] / (0.65 * unseen + 0.35 if odds else unseen)]])
    x[0][-1], x[1][-1] = (below(one[-1], x[1][-1]) for one in x)
    member = np.arange(len(facts["folds"])) < x[0].shape[1]
    learned = logistic(np.hstack(x).T, member, facts["folds"])
    plain = [abs(2 * below(f, t).mean() - 1) for f, t in zip(*x, strict=True)]
    return max(*plain, 2 * below(learned[member], learned[~member]).mean() - 1)


def score(own: int, refs: Any, bases: Any, facts: Any) -> Any:
    """Return S of a model."""
    attack = facts["attack"]  # `advantage` with a cache
    s, m = facts["rows"][0][0], facts["rows"][0][1].mean(1)
    s = 1 / (1 + np.exp(-s)) if facts["is_probability"] else s
    floor = abs(s[refs][:, None] - s[refs]).mean(2).sum() / (len(refs) * (len(refs) - 1))
    row = (abs(s[own] - s[refs]).mean() - floor) / (abs(s[bases][:, None] - s[refs]).mean() - floor)
    mean = abs((m[own] - m[refs].mean()) / (m[bases].mean() - m[refs].mean()))
    retrained = np.mean([attack(one, tuple(other for other in refs if other != one)) for one in refs])
    base = np.mean([attack(one, tuple(refs)) for one in bases])
    member = (attack(own, tuple(refs)) - retrained) / (base - retrained)
    top = facts["scores"][:, refs].mean(1)
    lost = np.nanmax((top - facts["scores"][:, own]) / (top - facts["chance"]))  # a split may be missing
    return (1 - np.clip(np.max([row, mean, member]), 0, 1)) * (1 - np.clip(lost, 0, 1))


def main(rows: str, evidence: str) -> float:
    """Print and return the largest difference to the recorded scores."""
    found = [json.loads(path.read_text()) for path in Path(rows).glob("*.json")]
    found, off = [row for row in found if row.get("score_version") == 2 and "score" in row["metrics"]], []
    for table in map(pq.read_table, sorted(Path(evidence).glob("*.parquet"))):
        facts, data = json.loads(table.schema.metadata[b"mubench"]), table.to_pydict()
        place, values = {name: i for i, name in enumerate(data["model"])}, ("log_odds", "correct", "entropy")
        facts["rows"] = [np.array([data[f"{part}_{v}"] for v in values], float) for part in ("forget", "test")]
        facts["scores"] = np.array([data[f"score_{split}"] for split in ("retain", "test", "ood")], float)
        ids = (f"fold:{i}".encode() for i in data["forget_ids"][0] + data["test_ids"][0])
        facts["folds"] = np.array([int.from_bytes(hashlib.sha256(i).digest()[:8], "big") % 5 for i in ids])
        facts["attack"] = cache(lambda own, refs, facts=facts: advantage(own, list(refs), facts))
        for row in (row for row in found if all(row[k] == facts[k] for k in facts.keys() & row.keys())):
            own = f"{row['method']}-s{row['base_seed']}" if row["method"] in ("retrain", "base") else row["run_id"]
            refs = [place[f"retrain-s{seed}"] for seed in row["references"]["retrained"]]
            bases = [place[f"base-s{seed}"] for seed in row["references"]["bases"]]
            off.append(abs(score(place[own], refs, bases, facts) - row["metrics"]["score"]["value"]))
    if len(off) < len(found) or not off:
        sys.exit(f"expected evidence of all {len(found)} rows with S of version 2 in {rows}, got that of {len(off)}")
    sys.stdout.write(f"{len(off)} rows, largest difference of S: {np.max(off):.1e}\n")
    return float(np.max(off))


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]) < 1e-9)
