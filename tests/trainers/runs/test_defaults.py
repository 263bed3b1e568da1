"""Default arguments: the values of the files, how they were found, and the trials that show it."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from mubench.hub_builders.tasks import BACKBONES, TASKS
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.defaults import FOLDER, default_arguments, read_defaults
from mubench.trainers.tuning.spaces import space_of
from mubench.trainers.tuning.trials import read_trials
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

SETTINGS = [(task.kind, backbone) for task in TASKS.values() for backbone in task.recipes]
GOLDEN = json.loads(Path(__file__).with_name("golden_defaults.json").read_text())
SAME = yaml.safe_load((FOLDER / "same.yaml").read_text())
FILES = {str(path.relative_to(FOLDER).with_suffix("")): yaml.safe_load(path.read_text()) for path in FOLDER.rglob("*")
         if path.suffix == ".yaml" and path.stem != "same"}  # fmt: skip
TUNED = {
    (name, method): {**entry, "tuned_on": data["tuned_on"]}
    for name, data in FILES.items()
    for method, entry in data.get("methods", {}).items()
    if "trials" in entry
}
SEEDS = (1, 2, 3)  # deletion seeds of the third round; later rounds have the first alone, or all


@pytest.mark.parametrize("name", GOLDEN)
def test_the_values_are_those_on_record(name):
    """A change of a default is a change of the record."""
    kind, family = name.split("/")
    found = {method: default_arguments(kind, family, method) for method in GOLDEN[name]}
    assert json.dumps(found, sort_keys=True) == json.dumps(GOLDEN[name], sort_keys=True)


@pytest.mark.parametrize(("kind", "backbone"), SETTINGS)
def test_every_backbone_of_every_task_has_defaults_for_every_method(kind, backbone):
    family = BACKBONES[backbone].family
    for method, trainer in METHODS.items():
        if kind not in trainer.kinds:
            continue
        arguments = default_arguments(kind, family, method)
        trained = trainer.edit is UnlearningTrainer.edit and not trainer.from_scratch
        assert not trained or arguments["learning_rate"] > 0, method
        assert set(arguments) <= {field.name for field in dataclasses.fields(trainer.arguments)}


def test_every_file_is_of_a_kind_and_family_or_taken_by_one():
    families = {f"{kind}/{BACKBONES[backbone].family}" for kind, backbone in SETTINGS}
    taken = {data["inherits"] for data in FILES.values() if "inherits" in data} | set(SAME.values())
    assert not FILES.keys() & SAME.keys() and taken <= FILES.keys()
    assert families <= {*FILES, *SAME} == families | taken == set(GOLDEN) | taken
    assert default_arguments("image_classification", "unknown", "scrub") == {}


@pytest.mark.parametrize("name", FILES)
def test_an_entry_has_a_source_and_tuned_ones_their_trials(name):
    assert FILES[name].keys() <= {"inherits", "source", "shared", "tuned_on", "methods"}
    for method, entry in FILES[name].get("methods", {}).items():
        assert {"value"} <= entry.keys() <= {"value", "source", "trials", "S", "by_hand"}
        source = read_defaults(name)[method]["source"]
        assert source in ("paper", "authors", "guess", "tuned")
        assert (source == "tuned") == ("trials" in entry) == ("S" in entry)
    for entry in read_defaults(name).values():
        assert {"value", "source"} <= entry.keys()


@pytest.mark.parametrize(("name", "method"), TUNED)
def test_a_tuned_entry_states_how_it_was_found(name, method):
    found = TUNED[name, method]
    score, arguments, tasks = found["S"], found["value"], found["tuned_on"]
    assert set(arguments) <= {field.name for field in dataclasses.fields(METHODS[method].arguments)}
    assert 0 <= score["first"] <= score["best"] <= 1
    if "mean_of" in score:
        assert score.keys() == {"first", "best", "mean_of"}
        assert score["mean_of"] in (len(tasks), len(SEEDS) * len(tasks))
        assert 1 <= found["trials"] <= (29 if found.get("by_hand") else 16)
        return
    assert score.keys() == {"first", "best", "worst_of"}
    assert set(arguments) <= {*space_of(method), "k"}  # which the spaces of the first two rounds had
    assert score["worst_of"] <= sum(map(len, tasks.values()))
    assert found["trials"] in ((6,) if name.endswith("mini-t5") else (8, 16))
    # A second round starts from what the first found; a default that left one class is replaced at S 0, too.
    assert found["trials"] == 16 or score["best"] == 0 or bool(arguments) == (score["best"] > score["first"])


# Published trials that no default comes from: it did no worse, or what did better was tried by hand.
NOT_TAKEN = {
    "text_classification/mini-bert": ("neg_grad_plus", "npo", "wga"),
    "image_pair_classification/mini-vilt": ("wga",),
    "text_generation/mini-llama": ("neg_grad_plus", "simnpo"),
}
TRIALS = sorted((Path(__file__).parents[3] / "cards" / "trials").glob("*.json"))


@pytest.mark.parametrize("path", TRIALS, ids=lambda path: path.stem)
def test_published_trials_are_those_that_the_entry_is_made_of(path):
    trials, about = trials_of(path)
    kind, family, method = re.fullmatch(r"(\w+)-(mini-\w+)-del5-(\w+)", path.stem).groups()
    name = f"{kind}/{family}"
    assert all("deletion seed 0" not in draw for draw in about["draws"])
    best, found = max(trials, key=lambda trial: trial.value), TUNED[name, method]
    assert best.value <= 0 or len(best.values) == len(about["draws"])
    best = best if best.value > 0 else trials[0]  # where no trial was of use the default stays
    plain = {field.name: field.default for field in dataclasses.fields(METHODS[method].arguments)}
    given = {**plain, **default_arguments(kind, family, method)}
    taken = {**given, **about["defaults"], **best.arguments} == given
    assert taken != (method in NOT_TAKEN.get(name, ()))
    if not taken:
        assert "by_hand" in found or "worst_of" in found["S"]
        return
    assert "by_hand" not in found
    first, best = (round(max(trial.value, 0.0), 2) for trial in (trials[0], best))
    assert found["trials"] == len(trials)
    assert found["S"] == {"first": first, "best": best, "mean_of": len(about["draws"])}


def test_the_trials_of_a_mean_are_published_but_for_those_by_hand():
    there = {path.stem for path in TRIALS}
    assert len(there) >= 60
    for (name, method), found in TUNED.items():
        published = f"{name.replace('/', '-')}-del5-{method}" in there
        assert "mean_of" not in found["S"] or "by_hand" in found or published


def trials_of(path):
    about = json.loads(path.read_text())["about"]
    return read_trials(path, about), about


def test_what_was_tuned_on_is_not_the_published_deletion():
    assert len({name for name, _ in TUNED}) == 8
    for (name, _), found in TUNED.items():
        assert {TASKS[task].kind for task in found["tuned_on"]} == {name.split("/")[0]}
        assert all(seed > 0 for seeds in found["tuned_on"].values() for seed in seeds)
