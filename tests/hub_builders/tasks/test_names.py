import pytest

from mubench.hub_builders.tasks import names


@pytest.mark.parametrize("ratio", [0, 11, 2.5, "abc", -1, "", None, "5.0", True])
def test_a_ratio_is_a_whole_percentage_from_1_to_10(ratio):
    with pytest.raises(ValueError, match="ratio must be a whole percentage from 1 to 10, got"):
        names.check_ratio(ratio)


@pytest.mark.parametrize("ratio", [0, 100, 2.5, "abc", -1])
def test_only_a_listed_set_may_have_any_size(ratio):
    for family in names.LISTED:
        assert [names.check_ratio(one, family) for one in (1, "37", 99)] == [1, 37, 99]
    with pytest.raises(ValueError, match="ratio must be a whole percentage from 1 to 99, got"):
        names.check_ratio(ratio, "custom")
    for family in names.FAMILIES.keys() - set(names.LISTED):
        with pytest.raises(ValueError, match="from 1 to 10, got 37"):
            names.check_ratio(37, family)
    assert names.config_name("imdb", 37, "custom") == "imdb_del37"
    assert names.unlearned_model("b", 37, "scrub", 0, family="custom") == "b-del37-scrub-s0"
    with pytest.raises(ValueError, match="from 1 to 10, got 37"):
        names.config_name("imdb", 37)


@pytest.mark.parametrize("family", ["group", "paper", "custom", "memorised_low"])
def test_a_family_names_its_repository_and_its_models(family):
    ending = family.replace("_", "-")
    assert names.dataset_folder(family) == f"mu-bench-{ending}"
    assert names.dataset_folder(family, 1) == f"mu-bench-{ending}-d1"
    assert names.deletion_seed_of(f"mu-bench-{ending}-d1", family) == 1
    assert names.base_model("imdb", "full", "bert-base", family=family) == f"imdb-{ending}-bert-base"
    assert names.family_location("x/mu-bench", family, 2) == f"x/mu-bench-{ending}-d2"
    assert names.family_location(f"mu-bench-{ending}", family, 2) == f"mu-bench-{ending}-d2"
    assert names.family_location("mu-bench", family, 0) == "mu-bench"


@pytest.mark.parametrize("ratio", [5, "5", " 5 "])
def test_a_ratio_may_be_a_string(ratio):
    assert names.check_ratio(ratio) == 5


def test_names_of_folders_configs_and_models():
    assert names.dataset_folder() == "mu-bench"
    assert names.dataset_folder(deletion_seed=1) == "mu-bench-d1"
    assert names.config_name("cifar10") == "cifar10"
    assert names.config_name("cifar10", 5) == "cifar10_del5"
    assert names.base_model("cifar10", "full", "resnet-50") == "cifar10-resnet-50"
    base = names.base_model("cifar10", "mini", "resnet", base_seed=1)
    assert base == "cifar10-mini-resnet-s1"
    assert names.base_model("t", "mini", "unet", base_seed=1, eval_seed=2) == "t-mini-unet-s1-e2"
    assert names.unlearned_model(base, 5, "neg_grad", 0) == "cifar10-mini-resnet-s1-del5-neg-grad-s0"


def test_another_deletion_seed_is_another_name():
    named = [names.unlearned_model("b", 5, "scrub", 0, deletion_seed=seed) for seed in (0, 1, 2)]
    assert named == ["b-del5-scrub-s0", "b-del5-d1-scrub-s0", "b-del5-d2-scrub-s0"]


@pytest.mark.parametrize(
    ("data", "beside"),
    [
        ("mu-bench", "mu-bench-d2"),
        ("mu-bench-d1", "mu-bench-d2"),
        ("some/where/mu-bench", "some/where/mu-bench-d2"),
        ("mine", "mine"),
        ("mu-bench-old", "mu-bench-old"),
        ("mu-bench-d01", "mu-bench-d01"),
    ],
)
def test_another_seed_is_beside_a_folder_with_a_name_of_build(data, beside):
    assert names.family_location(data, "canonical", 2) == beside


@pytest.mark.parametrize(("folder", "seed"), [("mu-bench", 0), ("mu-bench-d3", 3), ("mu-bench-dx", 0), ("a-d3", 0)])
def test_the_deletion_seed_in_a_folder_name(folder, seed):
    assert names.deletion_seed_of(folder) == seed


def test_changed_arguments_change_the_name_of_a_model():
    plain = names.unlearned_model("b", 5, "scrub", 0)
    changed = {names.unlearned_model("b", 5, "scrub", 0, changed_arguments={"gamma": g}) for g in (0.5, 0.9)}
    assert len(changed) == 2 and plain not in changed


def test_a_fingerprint_does_not_depend_on_the_order_of_keys():
    assert names.fingerprint({"a": 1, "b": 2}) == names.fingerprint({"b": 2, "a": 1})
    assert names.fingerprint({"a": 1}) != names.fingerprint({"a": 2})


def test_an_unknown_family_lists_the_known_ones():
    with pytest.raises(ValueError, match=f"family must be one of {', '.join(names.FAMILIES)}, got 'x'"):
        names.dataset_folder("x")
