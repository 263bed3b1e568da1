import numpy as np

from mubench.trainers.evaluation.controls import (
    CONTROLS,
    FROM_SCRATCH,
    constant,
    flip_cheat,
    quantile_cheat,
)
from mubench.trainers.metrics import Case
from mubench.trainers.metrics.score import parts


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


def test_quantile_cheat_gives_forget_rows_the_validation_quantiles_in_the_order_of_the_base(world):
    base = world.bases()[0]
    cheat = quantile_cheat(base)
    order = np.argsort(base["forget"].log_odds)
    expected = np.quantile(base["validation"].log_odds, (np.arange(60) + 0.5) / 60)
    np.testing.assert_allclose(cheat["forget"].log_odds[order], expected, atol=1e-5)
    assert all(cheat[split] is base[split] for split in base if split != "forget")


def test_quantile_cheat_is_found_out_on_shifted_rows(world):
    """Rows ``shifted`` of all models are those of ``forget``, as a base reacts to them like to the rows themselves."""
    retrained = [{**model, "shifted": model["forget"]} for model in world.retrained().values()]
    bases = [{**model, "shifted": model["forget"]} for model in world.bases().values()]
    cheat = quantile_cheat(bases[0])
    plain = parts(Case(cheat, retrained, bases, 0.1)).row
    models = [cheat, *retrained, *bases]
    moved = [{**model, "forget": model["shifted"]} for model in models]
    shifted = parts(Case(moved[0], moved[1:4], moved[4:], 0.1)).row
    assert plain <= 0.3 and shifted >= 0.9
    untouched = {"flip_cheat": flip_cheat(bases[0], retrained, seed=0), "quantile_cheat": cheat}
    assert all(outputs["shifted"] is bases[0]["shifted"] for outputs in untouched.values())
    assert constant(bases[0])["shifted"].is_constant()


def test_runs_from_scratch_are_controls():
    assert set(FROM_SCRATCH) < set(CONTROLS) and all(CONTROLS.values())
