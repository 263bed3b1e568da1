"""The bars of a sweep: what they show as soon as a job starts or ends."""

import pytest

from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.sweep_progress import Progress
from tests.fixtures.fake_jobs import FakeRun


@pytest.fixture
def jobs(tmp_path):
    return [FakeRun(Place(models=tmp_path), "cifar10", "resnet", 0, name) for name in "abc"]


def test_a_bar_shows_how_many_jobs_run_and_the_newest_of_them_at_once(jobs, capsys):
    def shown() -> str:
        return capsys.readouterr().err.rpartition("\r")[2]

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
