import re
from dataclasses import replace

import pytest

from mubench.hub_builders.mini import MINI
from mubench.hub_builders.raw import HUB, RAW
from mubench.hub_builders.tasks import BACKBONES, TASKS, get_recipe, get_task


@pytest.mark.parametrize("key", TASKS)
def test_every_row_is_complete(key):
    task = TASKS[key]
    assert task.key == key
    assert set(task.recipes) <= set(BACKBONES)
    assert task.recipes and task.default_backbone == next(iter(task.recipes))
    assert ("group" in task.columns) is False and (task.group is not None or task.primary_family == "canonical")
    assert task.mini_family in (None, "canonical") and task.mini_family != task.primary_family
    assert len(set(task.labels)) == len(task.labels)
    assert "label" not in task.columns or task.columns["label"] == "label"
    assert task.citation.startswith("@") and task.citation.count("{") == task.citation.count("}")
    assert "mini" in task.counts and ("full" in task.counts) == (task.source.hub_id is not None)
    assert 50 * 100 <= task.counts["mini"]["train"] * 5 <= 65 * 100, "50 forget rows at 5 %, and few rows in all"
    for counts in task.counts.values():
        assert {"train", "validation", "test"} <= set(counts)
        assert ("ood" in counts) == (task.ood_source is not None)


@pytest.mark.parametrize("key", ["tofu", "celeb_profile"])
def test_instruct_models_have_the_recipe_of_published_ones_in_their_chat_template(key):
    recipes = TASKS[key].recipes
    instruct = {backbone: recipe for backbone, recipe in recipes.items() if recipe.template == "chat"}
    assert len(instruct) == 9
    assert {BACKBONES[backbone].family for backbone in instruct} == {"llama", "qwen3", "gemma3", "smollm3"}
    for recipe in instruct.values():
        assert recipe == replace(recipes["llama2-7b"], template="chat", system_prompt="You are a helpful assistant.")


@pytest.mark.parametrize("key", TASKS)
def test_every_source_is_pinned_but_known_exceptions(key):
    task = TASKS[key]
    loose = {("nlvr2", None), ("speech_commands", "refs/convert/parquet"), ("samsum", None), ("celeb_profile", None)}
    for source in filter(None, (task.source, task.ood_source)):
        assert re.fullmatch("[0-9a-f]{40}", source.revision or "") or (key, source.revision) in loose
        assert source.files and source.id_rule
    assert task.title and task.mini and task.licence == task.licence.lower() and task.citation.startswith("@")


def test_every_task_has_readers_and_a_mini_recipe():
    assert set(MINI) == set(RAW) == set(HUB) == set(TASKS)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=rf"^task must be one of {', '.join(TASKS)}, got 'mnist'$"):
        get_task("mnist")
    with pytest.raises(ValueError, match=r"backbone of imdb must be one of bert, .*got 'vgg'"):
        get_recipe(get_task("imdb"), "vgg")
