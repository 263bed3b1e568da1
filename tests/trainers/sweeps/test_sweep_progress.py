"""The bars of a sweep: what they show as soon as a job starts or ends."""

import pytest

from mubench.trainers.sweeps.jobs import MethodJob, Place
from mubench.trainers.sweeps.sweep_progress import Progress
from tests.fixtures.fake_jobs import FakeRun


@pytest.fixture
def jobs(tmp_path):
    return [FakeRun(Place(models=tmp_path), "cifar10", "resnet", 0, name) for name in "abc"]


def test_a_bar_shows_how_many_jobs_run_and_the_newest_of_them_at_once(jobs, capsys):
    def shown() -> str:
        return capsys.readouterr().err.rpartition("\n")[0].rpartition("\n")[2]

    first, second, third = jobs
    with Progress(jobs) as progress:
        progress.show([first])
        assert "0/3" in (line := shown()) and "running=1, run a]" in line
        progress.show([second, first])
        assert "running=2, run b]" in shown()
        progress.end(second, "done")
        progress.show([first])
        assert "1/3" in (line := shown()) and "running=1, run a]" in line
        progress.end(first, "failed")
        progress.end(third, "blocked")
        progress.show([])
        assert "3/3" in (line := shown()) and "failed=1, blocked=1]" in line
        progress.show([])
        assert shown() == ""


def test_the_time_left_goes_by_the_cost_of_jobs_and_not_by_their_number(jobs, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    first, second, third = jobs
    costs = dict.fromkeys("abc", 1.0)
    with Progress(jobs, lambda: costs) as progress:
        now[0] = 100.0  # no job of the stage ran until now
        progress.show([first])
        costs |= {"b": 1.0, "c": 8.0}  # known once a first run on the task is finished
        now[0] = 110.0
        progress.end(first, "done")
        progress.show([second])
        assert " 10%|" in (line := capsys.readouterr().err.splitlines()[-1]) and "1/3 [00:10<01:30" in line
        now[0] = 120.0
        progress.end(second, "done")
        progress.show([third])
        assert " 20%|" in (line := capsys.readouterr().err.splitlines()[-1]) and "2/3 [00:20<01:20" in line


def test_costs_are_estimated_anew_after_the_first_run_of_every_method(tmp_path):
    shared = {"ratio": 10, "base_seed": 0, "base": "base"}
    runs = [
        MethodJob(Place(models=tmp_path), "cifar10", "resnet", method=method, seed=seed, **shared)
        for method in ("scrub", "salun")
        for seed in (0, 1)
    ]
    estimated = []

    def costs() -> dict[str, float]:
        estimated.append(len(progress_of_runs._bars["unlearning"].ended) if estimated else 0)
        return dict.fromkeys((run.key for run in runs), 1.0)

    progress_of_runs = Progress(runs, costs)
    for run in runs:
        progress_of_runs.end(run, "done")
    assert estimated == [0, 1, 3]  # at the start, after the first run of scrub and the first of salun


def test_jobs_that_all_cost_nothing_are_counted(jobs, capsys):
    with Progress(jobs, lambda: dict.fromkeys("abc", 0.0)) as progress:
        progress.end(jobs[0], "done")
        progress.show([])
        assert " 33%|" in (line := capsys.readouterr().err.splitlines()[-1]) and "1/3 [" in line


def draw(jobs, capsys) -> str:
    with Progress(jobs) as progress:
        progress.show([jobs[0]])
        progress.end(jobs[0], "done")
        progress.show([])
    return capsys.readouterr().err


def test_a_file_gets_a_line_per_change_without_cursor_codes(jobs, capsys):
    text = draw(jobs, capsys)
    assert "\r" not in text and "\x1b" not in text
    first, second, third = text.splitlines()
    assert "0/3" in first and "run a]" in second and "1/3" in third


def test_a_terminal_gets_bars_that_are_drawn_again_in_their_place(jobs, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    text = draw(jobs, capsys)
    assert text.count("\n") == 1 and text.count("\r") >= 3 and "run a]" in text
