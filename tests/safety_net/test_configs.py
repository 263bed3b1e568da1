"""The configs that ``make data`` writes: splits and files of each, and what `datasets` reads of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.safety_net import golden, measures

GOLDEN, BYTES, HEADS = golden.read("configs"), golden.read("bytes"), golden.read("heads")
FEW = [f"{measures.FOLDERS[family]} {task}" for task, family in measures.FEW]


@pytest.mark.parametrize("place", FEW)
def test_a_data_set_is_the_one_that_was_written_down(place: str, few: Path, tmp_path: Path) -> None:
    folder, task = place.split()
    assert measures.dataset(few / folder, task, tmp_path) == GOLDEN[place]


@pytest.mark.slow
@pytest.mark.parametrize("place", GOLDEN)
def test_so_is_every_other(place: str, everything: Path, tmp_path: Path) -> None:
    folder, task = place.split()
    assert measures.dataset(everything / folder, task, tmp_path) == GOLDEN[place]


@pytest.mark.slow
@pytest.mark.parametrize("place", GOLDEN)
def test_the_bytes_of_its_files_are_those_of_this_environment(place: str, everything: Path) -> None:
    folder, task = place.split()
    assert measures.bytes_of(everything / folder, task) == BYTES[place]


@pytest.mark.slow
@pytest.mark.parametrize("folder", HEADS)
def test_a_readme_says_the_same_beside_its_configs(folder: str, everything: Path) -> None:
    assert measures.head(everything / folder) == HEADS[folder]


@pytest.mark.slow
def test_no_task_is_gone_and_none_has_come(everything: Path) -> None:
    from mubench.hub_builders.tasks import TASKS  # noqa: PLC0415

    assert {place.split()[1] for place in GOLDEN} == set(TASKS)
    built = {
        f"{folder} {task}"
        for folder in measures.FOLDERS.values()
        for task in measures.configs.manifests(everything / folder)
    }
    assert built == GOLDEN.keys()
