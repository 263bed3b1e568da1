"""Rows that several tests of the leaderboard share."""

from mubench.trainers.evaluation.result import References

ONE_BASE = References(retrained=[0, 1, 2], bases=[0])


def seeds(new_row, method, scores, noise=None, **changes):
    """Return rows of a method that differ in their seeds, against one base model."""
    changes = {"references": ONE_BASE, **changes}
    return [new_row(method, score=score, noise=noise, seed=seed, **changes) for seed, score in enumerate(scores)]
