"""The identities of the shipped rows, and of runs that are no defaults: the code still makes them, run by run.

A folder that says it is a finished run of a config stands in for every run: where a command's words stand for that
very run, in a folder of that very name, it says that the model was there; else it would have to train, which it
cannot, since the folder of the base model holds no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.safety_net import doors, golden, measures, shipped

GOLDEN, VARIANTS, RECIPES = golden.read("identities"), golden.read("variants"), golden.read("recipes")
ROWS = {name: row for name, row in shipped.rows().items() if row["identity"]}
FAST = ("cifar10-",)
TODAY = [name for name in ROWS if ROWS[name]["method"] != "retrain_at"]  # of which five are made, one by default


def cases(names: Any) -> list[Any]:
    return [pytest.param(name, marks=() if name.startswith(FAST) else pytest.mark.slow) for name in names]


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Path:
    """Return the data of a case, no more of them than it needs."""
    name = str(request.node.callspec.params["name"])
    return Path(request.getfixturevalue("few" if name.startswith(FAST) else "everything"))


def place(row: dict[str, Any], data: Path, models: Path) -> list[str]:
    return [f"--data={data / measures.FOLDERS[row['family']]}", f"--models={models}"]


def where(row: dict[str, Any]) -> list[str]:
    words = {name: row[name] for name in ("task", "backbone", "family", "base_seed")}
    return [f"--{name}={value}" for name, value in words.items()]


def test_the_shipped_rows_are_the_ones_that_were_written_down() -> None:
    assert {name: row["identity"] for name, row in shipped.rows().items()} == GOLDEN


def test_an_identity_is_the_hash_of_what_a_row_says() -> None:
    real = {name: row for name, row in shipped.rows(mini=False).items() if row["identity"]}
    for name, row in {**ROWS, **real}.items():
        assert shipped.identity(shipped.config(row)) == row["identity"], name
        assert row["parent"] in (None, shipped.identity(shipped.config(row, **shipped.BASE))), name
        judges = row["references"]
        base = {**shipped.BASE, "base_seed": judges["bases"][-1]}
        assert judges["identities"][-1] == shipped.identity(shipped.config(row, **base)), name


@pytest.mark.parametrize("name", cases(TODAY))
def test_a_row_is_the_run_that_its_method_makes_by_default(
    name: str, data: Path, tmp_path: Path, elsewhere: Path
) -> None:
    row = ROWS[name]
    assert row["tuned"] == "default"
    folder = tmp_path / "models" / shipped.forge_for(row, tmp_path / "models")
    words = [*where(row), f"--ratio={row['ratio']}", *([f"--seed={row['seed']}"] if row["parent"] else [])]
    answer = doors.call("trainers", row["method"], *words, "--judge=false", *place(row, data, tmp_path / "models"))
    assert (answer.code, answer.err, answer.out) == (0, "", f"model: {folder} (was there)\n")


@pytest.mark.parametrize("name", cases(ROWS))
def test_a_row_can_be_run_again(name: str, data: Path, tmp_path: Path, elsewhere: Path) -> None:
    row = ROWS[name]
    folder = tmp_path / "models" / shipped.forge_for(row, tmp_path / "models")
    where = place(row, data, tmp_path / "models")
    answer = doors.call("trainers", "rerun", shipped.path(name), "--judge=false", *where)
    assert (answer.code, answer.err, answer.out) == (0, "", f"model: {folder} (was there)\n")


@pytest.mark.parametrize("name", cases(name for name, row in ROWS.items() if row["method"] == "retrain_keep50"))
def test_so_are_the_models_that_rows_are_judged_against(
    name: str, data: Path, tmp_path: Path, elsewhere: Path
) -> None:
    row, models = ROWS[name], tmp_path / "models"
    retrained, bases = row["references"]["retrained"], row["references"]["bases"]
    said = place(row, data, models)
    for seed, identity in zip(retrained, row["references"]["identities"], strict=False):
        one = {**row, "method": "retrain", "seed": seed, "base_seed": seed}
        assert shipped.identity(shipped.config(one)) == identity
        folder = models / shipped.forge_for(one, models)
        answer = doors.call("trainers", "retrain", *where(one), f"--ratio={row['ratio']}", *said)
        assert (answer.code, answer.out) == (0, f"model: {folder} (was there)\n")
    for seed, identity in zip(bases, row["references"]["identities"][len(retrained) :], strict=True):
        one = {**row, "base_seed": seed, "parent": identity}
        assert shipped.identity(shipped.config(one, **shipped.BASE)) == identity
        folder = shipped.forge(models / shipped.names(one)[0], shipped.config(one, **shipped.BASE))
        answer = doors.call(measures.base_door(), "base", *where(one), *said)
        assert (answer.code, answer.out) == (0, f"{folder}\n")


def check(words: str, stored: dict[str, Any], data: Path, models: Path) -> None:
    """Check that words stand for the run that was written down, in a folder of that name."""
    for folder, config in stored.values():
        shipped.forge(models / folder, config)
    family = "group" if "--family=group" in words else "canonical"
    method, *rest = words.split()
    said = [*rest, f"--data={data / measures.FOLDERS[family]}", f"--models={models}"]
    if method != "base" and "--ratio" not in words:
        said.append("--ratio=5")  # the default when they were written down
    if method == "base":
        answer = doors.call(measures.base_door(), "base", *said)
        assert (answer.code, answer.err, answer.out) == (0, "", f"{models / stored['base'][0]}\n")
    else:
        answer = doors.call("trainers", method, *said, "--judge=false")
        wanted = f"model: {models / stored['model'][0]} (was there)\n"
        assert (answer.code, answer.err, answer.out) == (0, "", wanted)


@pytest.mark.parametrize("words", [words for words in VARIANTS if "tiny_imagenet" not in words])
def test_other_words_are_other_runs(words: str, few: Path, tmp_path: Path, elsewhere: Path) -> None:
    check(words, VARIANTS[words], few, tmp_path / "models")


@pytest.mark.slow
@pytest.mark.parametrize("words", [words for words in VARIANTS if "tiny_imagenet" in words])
def test_so_they_are_of_models_that_draw(words: str, everything: Path, tmp_path: Path, elsewhere: Path) -> None:
    check(words, VARIANTS[words], everything, tmp_path / "models")


@pytest.mark.parametrize("name", cases(RECIPES))
def test_every_backbone_has_its_recipe(name: str, data: Path, tmp_path: Path, elsewhere: Path) -> None:
    task, backbone = name.split("- ")
    words = f"base --task={task} --backbone={backbone}"
    check(words, {"base": RECIPES[name]}, data, tmp_path / "models")
