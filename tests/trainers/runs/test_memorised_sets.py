"""`memorised`: lists of rows by what leaving them out costs, the commands that follow, and what each list shows."""

import dataclasses

import numpy as np
import pytest

from mubench.hub_builders.__main__ import main as build_door
from mubench.hub_builders.dataset.load import load_task
from mubench.hub_builders.tasks.names import MEMORISED
from mubench.trainers.__main__ import main
from mubench.trainers.metrics.leave_out import LEVELS, leave_out_loss
from mubench.trainers.runs.memorised_sets import find_no_signal
from tests.fixtures.walk import RATIO, Walk, add_signal


def words(walk, *more):
    return ["memorised", "--task=cifar10", f"--ratio={RATIO}", f"--out={walk.root / 'lists'}", *walk.flags(), *more]


def listed(walk):
    paths = {level: walk.root / "lists" / f"cifar10-mini-resnet-del{RATIO}-{level}.txt" for level in LEVELS}
    return {level: path.read_text().split() for level, path in paths.items()}


def test_the_lists_are_thirds_of_the_forget_set_in_the_order_of_the_leave_out_loss(own_walk, capsys):
    add_signal(own_walk)
    assert main(words(own_walk)) == 0
    printed = capsys.readouterr().out
    evidence = own_walk.judge().references.evidence
    scores = dict(zip(evidence.rows.forget.tolist(), leave_out_loss(evidence), strict=True))
    found = {level: [scores[one] for one in ids] for level, ids in listed(own_walk).items()}
    assert {len(one) for one in found.values()} == {5}  # a third of 16 rows
    assert max(found["low"]) < min(found["middle"]) and max(found["middle"]) < min(found["high"])
    for family, level in zip(MEMORISED, LEVELS, strict=True):
        (line,) = [line for line in printed.splitlines() if line.startswith(f"{family} ")]
        assert line.split()[1:3] == ["5", f"{np.mean(found[level]):.3f}"] and line.endswith("not built")
        (command,) = [line for line in printed.splitlines() if f"--family {family} " in line]
        assert command.startswith("mubench build cifar10") and f"{level}.txt" in command


def test_a_list_that_is_there_is_kept_and_a_foreign_one_refused(own_walk, capsys):
    add_signal(own_walk)
    assert main(words(own_walk)) == 0
    path = own_walk.root / "lists" / f"cifar10-mini-resnet-del{RATIO}-low.txt"
    path.write_text(path.read_text().split()[0])
    assert main(words(own_walk)) == 0
    assert " 1 " in next(
        line for line in capsys.readouterr().out.splitlines()[-20:] if line.startswith("memorised_low")
    )
    path.write_text("nobody")
    assert main(words(own_walk)) == 2
    error = capsys.readouterr().err
    assert "expected a list of rows that the references leave out, got others such as 'nobody'; remove" in error


@pytest.fixture
def built(own_walk, capsys, monkeypatch):
    """Return a walk whose lists are built as families, beside data of its own, by the printed commands."""
    add_signal(own_walk)
    data = own_walk.root / "mu-bench"
    data.unlink()
    monkeypatch.chdir(own_walk.root)
    assert build_door(["build", "cifar10"]) == 0
    assert main(words(own_walk)[:4]) == 0
    commands = [line.split()[1:] for line in capsys.readouterr().out.splitlines() if " build cifar10" in line]
    assert [build_door(command) for command in commands] == [0, 0, 0]
    return own_walk


def test_the_printed_commands_build_families_that_forget_the_lists(built, capsys):
    for family, (level, ids) in zip(MEMORISED, listed(built).items(), strict=True):
        rows = load_task("cifar10", 3, data="mu-bench", family=family)  # 5 of 160 rows are 3 %
        assert sorted(rows["forget"]["example_id"]) == sorted(ids), level
    capsys.readouterr()
    assert main(words(built)[:4]) == 0
    printed = capsys.readouterr().out
    for family in MEMORISED:
        (command,) = [line for line in printed.splitlines() if f"--family {family} " in line]
        assert command.startswith("mubench references --task cifar10 --backbone resnet")
        assert '--ratio 3 --base_seeds "0 1 2" --retrain_seeds "0 1 2 3 4"' in command


def test_a_family_of_another_list_is_refused_with_the_command_that_builds_it(built, capsys):
    path = built.root / "lists" / f"cifar10-mini-resnet-del{RATIO}-high.txt"
    path.write_text(path.read_text().split()[0])
    assert main(words(built)[:4]) == 2
    error = capsys.readouterr().err
    assert "expected family memorised_high to forget the rows of" in error and error.count("\n") == 1
    assert "build cifar10" in error and "--family memorised_high" in error


@pytest.mark.slow
def test_a_family_with_references_shows_a_distance_and_its_interval(built, capsys):
    family = {"data": "mu-bench", "family": "memorised_high"}
    for seed in (0, 1):
        assert main(["base", "--task=cifar10", "--disable_tqdm=true", f"--base_seed={seed}", *_flags(family)]) == 0
        flags = ["--ratio=3", "--disable_tqdm=true", f"--base_seed={seed}", *_flags(family)]
        assert main(["retrain", "--task=cifar10", *flags]) == 0
    capsys.readouterr()
    assert main(words(built)[:4]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("memorised_high")]
    value, low, to, high, floor = line.split()[3:8]
    assert to == "to" and float(low) <= float(value) <= float(high) and float(floor) > 0


def _flags(options):
    return [f"--{name}={value}" for name, value in options.items()]


def test_references_that_agree_with_the_bases_have_no_signal(world):
    from mubench.trainers.evaluation.reference_models import ReferenceModels  # noqa: PLC0415

    seen = ReferenceModels.from_outputs(world.retrained(5), world.bases(3), 0.1)
    assert find_no_signal(seen, "ab" * 32) is None
    same = {seed: world.views(saw=0.0, seed=100 + seed) for seed in range(3)}
    none = ReferenceModels.from_outputs(world.retrained(5), same, 0.1)
    assert str(find_no_signal(none, "ab" * 32)).startswith("no signal")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data=elsewhere"], "expected data named mu-bench, beside which families have their own, got elsewhere"),
        (["--ratio=4"], "expected 1 base and 2 retrained models of cifar10 resnet at 4 %"),
        (["--ratio=11"], "ratio must be a whole percentage from 1 to 10, got '11'"),
    ],
)
def test_a_mistake_is_one_line_and_writes_no_list(walked: Walk, tmp_path, capsys, more, message):
    here = dataclasses.replace(walked, root=tmp_path)
    flags = [f"--data={walked.data}", f"--models={walked.models}"]
    assert main(["memorised", "--task=cifar10", f"--out={here.root / 'lists'}", *flags, *more]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "lists").exists()
