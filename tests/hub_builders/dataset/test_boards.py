"""The boards of a dataset repository: one for each config and backbone."""

import yaml

from mubench.hub_builders.dataset.boards import boards_yaml
from mubench.hub_builders.tasks import TASKS


def manifest(**changes):
    shards = {"train": ["train-d01.parquet"]}
    return {"task": "imdb", "tier": "mini", "family": "group", "forget": {1: 3, 5: 9}, "shards": shards, **changes}


def test_every_config_has_a_board_of_each_backbone():
    found = yaml.safe_load(boards_yaml([manifest()]))
    assert found["name"] == "MU-Bench (group, mini)" and found["evaluation_framework"] == "mu-bench"
    assert [one["id"] for one in found["tasks"]] == [
        f"imdb_del{ratio}_{backbone}" for ratio in (1, 5) for backbone in TASKS["imdb"].recipes
    ]
    assert {(one["config"], one["split"]) for one in found["tasks"]} == {
        ("imdb_del1", "forget"), ("imdb_del5", "forget"),
    }  # fmt: skip


def test_boards_of_rows_that_may_not_be_published_name_the_config_of_their_ids():
    restricted = manifest(shards={"train": ["ids-train.parquet"]}, forget={5: 9})
    boards = yaml.safe_load(boards_yaml([restricted]))["tasks"]
    assert boards[0] == {"id": f"imdb_del5_{TASKS['imdb'].default_backbone}", "config": "imdb_ids", "split": "train"}
