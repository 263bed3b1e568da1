"""Grids from files: what they mean, what is wrong with them in one line, and what a dry run lists."""

from collections import Counter
from dataclasses import replace

import pytest
import yaml

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.__main__ import main
from mubench.trainers.evaluation.judge_runs import passes
from mubench.trainers.runs.grid_parsers import parse_grid
from mubench.trainers.sweeps.failures import write_failure
from mubench.trainers.sweeps.grid_file import read_grid
from mubench.trainers.sweeps.jobs import BaseJob, JudgeJob, MethodJob, Outcome
from tests.fixtures.walk import files


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a grid and returns its path."""

    def writes(**fields):
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump({"tasks": ["cifar10"], **fields}))
        return path

    return writes


def test_a_grid_is_the_product_of_its_fields(write):
    path = write(
        tasks=["cifar10", "imdb"], backbones={"cifar10": ["resnet", "vit"]}, ratios=[5, 10], base_seeds=[0, 1],
        methods={"scrub": {"alpha": 0.5}, "finetune": None}, options=[{}, {"sam_rho": 0.1}], seeds=[0, 1, 2],
    )  # fmt: skip
    sweeps = read_grid(path).sweeps()
    found = [(sweep.task, sweep.ratio, [*sweep.backbones]) for sweep in sweeps]
    assert found == [(t, r, b) for r in (5, 10) for t, b in (("cifar10", ["resnet", "vit"]), ("imdb", ["bert"]))]
    runs = [job for sweep in sweeps for job in sweep.unlearning()]
    assert len({job.key for job in runs}) == len(runs) == 2 * (2 + 1) * 2 * 2 * 2 * 3
    given = Counter((job.method, job.given) for job in runs)
    assert set(given) == {
        ("scrub", (("alpha", 0.5),)), ("scrub", (("alpha", 0.5), ("sam_rho", 0.1))), ("finetune", ()),
        ("finetune", (("sam_rho", 0.1),)),
    }  # fmt: skip


def test_a_grid_with_tiers_refuses_data_of_another_tier(write, own_walk):
    (one,) = read_grid(write(tiers=["full", "partial"], methods=["ssd"]), data=own_walk.data).sweeps()
    with pytest.raises(ValueError, match=r"^expected cifar10 of tier full or partial in .*, got mini: make it "):
        one.check()


def test_a_list_of_backbones_is_that_of_all_tasks_and_a_family_is_each_tasks_own(write):
    grid = read_grid(write(tasks=["cifar10", "cifar100", "tofu"], backbones=["vit"]))
    assert [(sweep.backbones, sweep.place.family) for sweep in grid.sweeps()] == [
        (["vit"], "canonical"), (["vit"], "canonical"), (["vit"], "group"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"tasks": None}, "expected tasks to be a valid list, got None"),
        ({"task": ["imdb"]}, "got 'task'; did you mean 'tasks'?"),
        ({"seeds": [0, "a"]}, "expected seeds.1 to be a valid integer, got 'a'"),
        ({"seeds": [-1]}, "expected seeds.0 to be greater than or equal to 0, got -1"),
        ({"workers": 0}, "expected workers to be greater than or equal to 1, got 0"),
        ({"methods": "scrub"}, "expected methods to be a valid dictionary, got 'scrub'"),
        ({"methods": ["scrub", "scrub"]}, "expected each method once, got scrub again (methods)"),
        ({"resources": {"gpu": 1}}, "expected the fields cpus, gpus, minutes, got 'resources.gpu'"),
        ({"backbones": {"imdb": ["bert"]}}, "expected backbones of cifar10, got some of imdb"),
        ({"tasks": ["cifar11"]}, "task must be one of"),
        ({"methods": ["scrup"]}, "method must be one of"),
    ],
)
def test_mistakes_are_one_line(write, own_walk, capsys, fields, line):
    path = write(**fields)
    before = files(own_walk.models)
    assert main(["sweep", str(path), *own_walk.flags(), "--dry_run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mubench: ") and line in error and error.count("\n") == 1
    assert files(own_walk.models) == before


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: [", "expected YAML in"), ("[1]", "expected the fields of a grid in"), (None, "expected a grid in")],
)
def test_a_file_that_is_no_grid_is_one_line(tmp_path, capsys, text, line):
    path = tmp_path / "grid.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["sweep", str(path)]) == 2
    error = capsys.readouterr().err
    assert line in error and str(path) in error and error.count("\n") == 1


def test_options_about_the_grid_are_refused_beside_a_file(write, capsys):
    assert main(["sweep", str(write()), "--methods", "scrub"]) == 2
    assert capsys.readouterr().err.endswith("expected methods in " + str(write()) + ", got --methods beside it\n")
    with pytest.raises(SystemExit):
        main(["sweep", "--ratio", "10"])
    assert "expected --task TASK or GRID.yaml, got neither" in capsys.readouterr().err


def test_options_of_a_config_file_count_beside_a_grid_even_where_they_equal_the_default(write, tmp_path, capsys):
    path, config = write(family="group", workers=3), tmp_path / "options.yml"
    config.write_text("family: canonical\nworkers: 2\ndry_run: true\n")
    options = parse_grid("sweep", [str(path), "--config", str(config)])
    assert options.changes == {"family": "canonical", "workers": 2} and options.dry_run
    config.write_text("ratio: 10\n")
    assert main(["sweep", str(path), f"--config={config}"]) == 2
    assert "expected ratio in " in capsys.readouterr().err
    assert main(["sweep", str(path), "--seeds", "0", "1", "2"]) == 2
    assert "expected seeds in " in capsys.readouterr().err


def test_the_command_line_has_the_last_word_on_places_and_workers(write):
    path = write(models="elsewhere", workers=4)
    grid = read_grid(path, workers=2, data="here")
    assert (grid.models, grid.workers, grid.data) == ("elsewhere", 2, "here")


def test_a_dry_run_lists_runs_with_state_passes_and_minutes_and_makes_nothing(write, own_walk, capsys):
    path = write(methods=["neg_grad", "finetune"], retrain_seeds=[0, 1], controls=["retrain_at"], seeds=[0, 1])
    before = files(own_walk.root)
    assert main(["sweep", str(path), *own_walk.flags(), f"--results={own_walk.results}", "--dry_run"]) == 0
    assert files(own_walk.root) == before
    head, *lines, last = [line for line in capsys.readouterr().out.splitlines() if line]
    assert head.split() == ["run", "state", "passes", "minutes"]
    table = {line.split("  ")[0].strip(): line.split()[-4:] for line in lines}
    rows, epochs = 160, 2
    assert table["base of cifar10 resnet s0"][:3] == ["s0", "done", str(3 * epochs * rows)]
    assert table["retrain of cifar10 resnet del10 s1"][1:3] == ["done", str(3 * epochs * (rows - 16))]
    retrained = own_walk.models / "cifar10-mini-resnet-del10-retrain-s1"
    assert passes(read_run(retrained).cost) == 3 * epochs * (rows - 16)
    at = table["retrain_at of cifar10 resnet del10 s0 percent=50"]
    assert at[:3] == ["to", "do", str(3 * epochs * (rows - 16) // 2)] and float(at[3]) > 0
    measured = table["neg_grad of cifar10 resnet del10 b0 s1"]
    assert measured[2] == table["neg_grad of cifar10 resnet del10 b0 s0"][2] and int(measured[2]) > 0
    equal = read_run(own_walk.models / "cifar10-mini-resnet-del10-neg-grad-s0")
    assert measured[3] == format(equal.cost["seconds"] / 60, ".3g")  # and not that of the mean rate of all methods
    assert table["finetune of cifar10 resnet del10 b0 s1"][2:] == ["unknown", "unknown"]
    assert last.startswith("to do: 8 runs, ") and "passes (2 runs unknown)" in last


def test_a_dry_run_names_what_failed_with_the_reason(write, own_walk, capsys):
    path = write(methods=["finetune"], retrain_seeds=[0, 1], controls=[])
    (job,) = (job for sweep in read_grid(path, data=own_walk.data).sweeps() for job in sweep.unlearning())
    write_failure(replace(job, place=replace(job.place, models=own_walk.models)), Outcome(failure="no luck"))
    assert main(["sweep", str(path), *own_walk.flags(), "--dry_run"]) == 0
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last == ["finetune of cifar10 resnet del10 b0 s0 failed: no luck", "to do: nothing"]
    assert main(["sweep", str(path), *own_walk.flags(), "--dry_run", "--retry"]) == 0
    *_, row, _, last = capsys.readouterr().out.splitlines()
    assert "to do" in row and last.startswith("to do: 1 run, ")


@pytest.mark.slow
def test_a_grid_is_run_from_the_command_line_and_a_second_time_nothing_is(write, own_walk, capsys):
    path = write(methods=["finetune"], retrain_seeds=[0, 1], controls=[], workers=1)
    words = ["sweep", str(path), *own_walk.flags(), f"--results={own_walk.results}"]
    assert main(words) == 0
    rows = {path.name for path in own_walk.results.glob("*finetune*.json")}
    assert len(rows) == 1
    models, results = files(own_walk.models), files(own_walk.results)
    assert main(words) == 0
    assert (files(own_walk.models), files(own_walk.results)) == (models, results)
    jobs = [job for sweep in read_grid(path, data=own_walk.data).sweeps() for job in sweep.jobs()]
    assert Counter(type(job) for job in jobs if isinstance(job, BaseJob | MethodJob | JudgeJob)) == {
        BaseJob: 1, MethodJob: 3, JudgeJob: 1,
    }  # fmt: skip
