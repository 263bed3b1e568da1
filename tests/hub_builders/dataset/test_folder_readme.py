"""README and manifests of a dataset folder."""

import json

import pytest

from mubench.hub_builders.dataset import readme
from mubench.hub_builders.dataset.manifest import data_folder, holds_ids, read_manifest
from mubench.hub_builders.dataset.readme import (
    description,
    example_config,
    percentages,
    read_body,
    read_manifests,
    task_folders,
    write_readme,
)

MANIFEST = {
    "task": "imdb", "tier": "mini", "family": "canonical", "deletion_seed": 0, "files": "0123456789", "split": "ab",
    "counts": {"train": 50, "test": 5}, "forget": {1: 1, 5: 3}, "labels": ["neg", "pos"],
    "shards": {
        "train": ["train-d01.parquet", "train-d05.parquet", "train-rest-00000.parquet"], "test": ["test.parquet"],
    },
    "bytes": {}, "command": "build",
}  # fmt: skip


def manifest(**changes):
    return {**MANIFEST, **changes}


def store(folder, one):
    path = folder / data_folder(one) / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(one))


def test_the_configs_of_a_task_are_all_rows_and_one_pair_per_ratio():
    whole, first, fifth = readme._configs(MANIFEST)
    assert [one["config_name"] for one in (whole, first, fifth)] == ["imdb", "imdb_del1", "imdb_del5"]
    folder = "data/imdb/01234567"
    paths = {part["split"]: part["path"] for part in whole["data_files"]}
    assert paths == {
        "train": [f"{folder}/{name}" for name in MANIFEST["shards"]["train"]],
        "test": [f"{folder}/test.parquet"],
    }
    names = [{part["split"]: len(part["path"]) for part in one["data_files"]} for one in (first, fifth)]
    assert names == [{"forget": 1, "retain": 2, "test": 1}, {"forget": 2, "retain": 1, "test": 1}]
    assert first["data_files"][0]["path"] == [f"{folder}/train-d01.parquet"]
    assert (
        whole["description"]
        == description(MANIFEST)
        == "tier=mini family=canonical deletion_seed=0 split=ab files=0123456789"
    )


def test_a_task_with_only_ids_has_one_config():
    ids = manifest(shards={"train": ["ids-train.parquet"]})
    assert holds_ids(ids) and not holds_ids(MANIFEST)
    assert [one["config_name"] for one in readme._configs(ids)] == ["imdb_ids"]


@pytest.mark.parametrize(("manifests", "name", "tags", "licences"), [
    ([manifest(tier="full")], "MU-Bench", ["full"], ["unknown"]),
    ([MANIFEST, manifest(task="cifar10")], "MU-Bench (mini)", ["mini"], ["apache-2.0", "cc-by-4.0"]),
    ([manifest(family="group", tier="full")], "MU-Bench (group)", ["group", "full"], ["unknown"]),
    ([manifest(family="group")], "MU-Bench (group, mini)", ["group", "mini"], ["apache-2.0"]),
])  # fmt: skip
def test_the_metadata_name_families_tiers_and_licences(manifests, name, tags, licences):
    found = readme._metadata(manifests)
    assert (found["pretty_name"], found["tags"], found["license"]) == (
        name,
        ["machine-unlearning", "mu-bench", *tags],
        licences,
    )


def test_a_readme_lists_the_folders_of_its_tasks(tmp_path):
    for one in (MANIFEST, manifest(task="cifar10")):
        store(tmp_path, one)
    path = write_readme(tmp_path, manifests=[MANIFEST, manifest(task="cifar10")])
    assert list(task_folders(path).items()) == [("cifar10", "data/cifar10/01234567"), ("imdb", "data/imdb/01234567")]
    assert read_manifests(tmp_path) == {"cifar10": manifest(task="cifar10"), "imdb": MANIFEST}
    assert list(read_manifests(tmp_path, but="imdb")) == ["cifar10"]
    assert read_body(path).startswith(
        "# MU-Bench\n\nDeletion splits for machine unlearning of CIFAR-10 (mini tier), IMDB"
    )
    assert read_body(write_readme(tmp_path, "# Mine\n\n---\nrule\n")) == "# Mine\n\n---\nrule\n"
    assert list(task_folders(path)) == ["cifar10", "imdb"]
    assert task_folders(tmp_path / "none.md") == {} == read_manifests(tmp_path / "nowhere")
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["README.md"]


@pytest.mark.parametrize("text", ["", "# no YAML\n", "---\n[1]\n---\n", "---\nconfigs:\n- {}\n---\n", "---\n{\n---\n"])
def test_another_readme_is_refused(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(ValueError, match="expected the README of a dataset folder made by `build`, got another"):
        task_folders(tmp_path / "README.md")


def test_a_manifest_needs_every_field(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(MANIFEST))
    assert read_manifest(path) == MANIFEST
    path.write_text(json.dumps({**MANIFEST, "more": 1}))
    with pytest.raises(ValueError, match="expected a manifest with task, tier"):
        read_manifest(path)


def test_the_example_config_is_that_of_five_percent_or_the_smallest_ratio():
    assert example_config(MANIFEST) == "imdb_del5"
    assert example_config(manifest(forget={10: 5, 3: 2})) == "imdb_del3"
    assert example_config(manifest(family="custom", forget={37: 5})) == "imdb_del37"


def test_percentages_are_exact_and_ascending():
    assert list(percentages(manifest(forget={5: 3, 1: 1})).items()) == [(1, 2.0), (5, 6.0)]
