import numpy as np

from mubench.trainers.evaluation.controls import CONTROLS, FROM_SCRATCH, constant, flip_cheat


def test_flip_cheat_matches_the_retrained_mean_on_random_right_rows(world):
    retrained, base = world.retrained(), world.bases()[0]
    cheat = flip_cheat(base, list(retrained.values()), seed=0)
    target = np.mean([views["forget"].correct.mean() for views in retrained.values()])
    assert abs(cheat["forget"].correct.mean() - target) <= 0.5 / world.rows["forget"]
    changed = (cheat["forget"].logits != base["forget"].logits).any(axis=1)
    assert base["forget"].correct[changed].all() and not cheat["forget"].correct[changed].any()
    np.testing.assert_array_equal(np.sort(cheat["forget"].logits), np.sort(base["forget"].logits))
    assert cheat["test"] is base["test"] and cheat["retain"] is base["retain"]


def test_flip_cheat_is_seeded(world):
    retrained, base = list(world.retrained().values()), world.bases()[0]
    logits = [flip_cheat(base, retrained, seed=seed)["forget"].logits for seed in (0, 0, 1)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert (logits[0] != logits[2]).any()


def test_flip_cheat_changes_nothing_where_the_base_is_already_worse(world):
    base = world.retrained()[0]
    better = list(world.bases().values())
    np.testing.assert_array_equal(flip_cheat(base, better, seed=0)["forget"].logits, base["forget"].logits)


def test_constant_is_sure_of_the_majority_class_everywhere(world):
    base = world.bases()[0]
    majority = np.bincount(base["retain"].labels).argmax()
    for split, outputs in constant(base).items():
        assert (outputs.predictions == majority).all() and outputs.probabilities.max() > 0.99
        np.testing.assert_array_equal(outputs.ids, base[split].ids)


def test_runs_from_scratch_are_controls():
    assert set(FROM_SCRATCH) < set(CONTROLS) and all(CONTROLS.values())
