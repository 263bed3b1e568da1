"""Memorisation of rows, the three sets that follow from it, and the distance that each has."""

import numpy as np
import pytest

from mubench.trainers.metrics.evidence import Evidence, EvidenceRows, ReferenceEvidence, RowEvidence
from mubench.trainers.metrics.leave_out import base_distance, leave_out_loss, split_by_score

ROWS = 30


def model(log_odds):
    zeros = np.zeros(len(log_odds))
    rows = RowEvidence(np.asarray(log_odds, dtype=float), zeros, zeros)
    return Evidence(rows, rows, {"forget": 0.0, "test": 0.0})


def reference(retrained, bases, *, is_probability=True):
    ids = np.array([f"row-{i}" for i in range(len(bases[0]))])
    rows = EvidenceRows(ids, ids, 0.1, is_probability)
    return ReferenceEvidence(rows, [model(one) for one in retrained], [model(one) for one in bases])


def test_the_score_of_a_row_is_the_loss_that_leaving_it_out_costs():
    p, q = np.array([[0.5, 0.9], [0.25, 0.9]]), np.array([[0.8, 0.9]])
    found = leave_out_loss(reference(np.log(p / (1 - p)), np.log(q / (1 - q))))
    np.testing.assert_allclose(found, [np.mean(-np.log(p[:, 0])) + np.log(0.8), 0.0], atol=1e-12)


def test_confidences_without_odds_are_negative_losses():
    np.testing.assert_allclose(leave_out_loss(reference([[-3.0], [-5.0]], [[-1.0]], is_probability=False)), [3.0])


@pytest.mark.parametrize(("rows", "size"), [(30, 10), (31, 10), (32, 10), (3, 1)])
def test_the_sets_are_of_equal_size_share_no_row_and_are_in_order(rows, size):
    scores = np.random.default_rng(0).permutation(rows).astype(float)
    ids = np.array([f"{i:02d}" for i in range(rows)])
    sets = split_by_score(ids, scores)
    found = {level: scores[np.isin(ids, chosen)] for level, chosen in sets.items()}
    assert list(found) == ["low", "middle", "high"] and {len(one) for one in found.values()} == {size}
    assert found["low"].max() < found["middle"].min() and found["middle"].max() < found["high"].min()
    assert found["low"].min() == 0 and found["high"].max() == rows - 1


def test_equal_scores_are_cut_by_id_and_two_rows_are_too_few():
    assert split_by_score(np.array(["c", "a", "b"]), np.zeros(3))["low"].tolist() == ["a"]
    with pytest.raises(ValueError, match="expected at least 3 rows, got 2"):
        split_by_score(np.array(["a", "b"]), np.zeros(2))


def test_the_distance_is_that_beyond_retrained_models_and_its_interval_holds_it():
    generator = np.random.default_rng(0)
    difficulty = generator.normal(0, 1, ROWS)
    retrained = [difficulty + generator.normal(0, 0.3, ROWS) for _ in range(5)]
    bases = [difficulty + 4 + generator.normal(0, 0.3, ROWS) for _ in range(3)]
    found = base_distance(reference(retrained, bases), "ab" * 32)
    s = [1 / (1 + np.exp(-one)) for one in (*retrained, *bases)]
    far = np.mean([np.abs(base - one).mean() for base in s[5:] for one in s[:5]])
    floor = np.mean([np.abs(s[i] - s[j]).mean() for i in range(5) for j in range(i)])
    assert found.value == pytest.approx(far - floor) and found.floor == pytest.approx(floor)
    assert found.low < found.value < found.high and found.low > 0.2
    same = base_distance(reference(retrained, retrained), "ab" * 32)
    assert same.value == pytest.approx(0.8 * floor - floor)  # one in five of its pairs are equal models
