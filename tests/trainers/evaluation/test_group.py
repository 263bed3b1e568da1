"""Groups: the finished runs that belong together, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from mubench.hub_builders.hub.model_folder import REFERENCE, read_run
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.inference.storage import read_outputs, write_outputs
from tests.fixtures.few import few_rows
from tests.fixtures.walk import BASES, COUNTS, FORGET, RATIO, RETRAINED


def group(walk, ratio=RATIO):
    return find_group(walk.setting(), ratio, walk.models)


def rewrite(folder, **changes):
    """Make a folder another run's."""
    replace(read_run(folder), **changes).write(folder)


def test_a_group_holds_bases_retrained_and_unlearned_models(walked):
    found = group(walked)
    assert found.bases.keys() == set(BASES) and found.retrained.keys() == set(RETRAINED)
    assert [(folder.name, run.method) for folder, run in found.unlearned.items()] == [
        ("cifar10-mini-resnet-del10-neg-grad-s0", "neg_grad")
    ]
    found.require()


def test_another_ratio_has_the_same_bases_and_nothing_else(walked):
    found = group(walked, 5)
    assert found.bases.keys() == set(BASES)
    assert not found.retrained and not found.unlearned


@pytest.mark.parametrize("change", [{"split": "0" * 64}, {"backbone": "vit"}, {"recipe": {"epochs": 99}}])
def test_runs_on_other_data_or_another_recipe_do_not_belong(own_walk, change):
    for folder in ("cifar10-mini-resnet-s1", "cifar10-mini-resnet-del10-retrain-s1"):
        rewrite(own_walk.models / folder, **change)
    rewrite(own_walk.models / "cifar10-mini-resnet-del10-neg-grad-s0", **change)
    found = group(own_walk)
    assert found.bases.keys() == {0} and found.retrained.keys() == {0, 2} and not found.unlearned


def test_a_retrained_model_with_other_arguments_is_no_reference(own_walk):
    own_walk.unlearn("retrain", base_seed=5, arguments={"max_steps": 1})
    assert group(own_walk).retrained.keys() == set(RETRAINED)


def test_folders_without_a_run_are_ignored(own_walk):
    (own_walk.models / "notes").mkdir()
    (own_walk.models / ".work" / "half").mkdir(parents=True)
    (own_walk.models / ".work" / "half" / "config.json").write_text("{}")
    assert group(own_walk).bases.keys() == set(BASES)


def test_a_damaged_folder_blocks_no_other(own_walk, caplog):
    damaged = own_walk.models / "cifar10-mini-resnet-del10-neg-grad-s0"
    (damaged / "run.json").write_text("{")
    found = group(own_walk)
    assert found.bases.keys() == set(BASES) and found.retrained.keys() == set(RETRAINED) and not found.unlearned
    assert [line for line in caplog.messages if f"remove {damaged} and start its command again" in line]


def test_outputs_are_the_stored_ones_by_split(walked):
    found = group(walked)
    views = found.outputs(found.bases[0])
    assert {split: len(one) for split, one in views.items()} == {
        "forget": FORGET, "retain": COUNTS["train"] - FORGET, "validation": 20, "test": 60, "shifted": FORGET,
    }  # fmt: skip
    train = walked.setting().rows["train"]
    forgotten = [i for i, rank in zip(train["example_id"], train["deletion_rank"], strict=True) if rank < FORGET]
    assert views["forget"].ids.tolist() == forgotten
    assert not set(views["forget"].ids) & set(views["retain"].ids)
    other = found.outputs(found.retrained[0])
    assert all(np.array_equal(views[split].ids, other[split].ids) for split in views)


def test_shifted_outputs_are_left_out_if_a_reference_has_none(own_walk):
    folder = group(own_walk).retrained[1]
    stored = read_outputs(folder / REFERENCE)
    del stored["shifted"]
    read_run(folder).finished(outputs=write_outputs(folder / REFERENCE, stored)).write(folder)
    found = group(own_walk)
    assert "shifted" not in found.outputs(found.bases[0]) | found.outputs(found.retrained[1])


def test_a_family_that_results_are_not_reported_on_is_named(monkeypatch, tmp_path):
    setting = few_rows(monkeypatch, "llama", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"; results of celeb_profile are reported on --family group$"):
        find_group(setting, 10, tmp_path / "models").require()


@pytest.mark.parametrize(("bases", "retrained"), [(0, 3), (1, 1), (2, 0)])
def test_too_few_references_are_one_line_with_the_command(own_walk, bases, retrained):
    found = group(own_walk)
    for folder in [*list(found.bases.values())[bases:], *list(found.retrained.values())[retrained:]]:
        (folder / "run.json").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        group(own_walk).require()
    message = str(caught.value)
    assert message == (
        f"expected 1 base and 2 retrained models of cifar10 resnet at 10 %, got {bases} and {retrained}; "
        'make them with: mubench references --task cifar10 --backbone resnet --ratio 10 --seeds "0 1 2" '
        f"--data {own_walk.data} --models {own_walk.models}"
    )
