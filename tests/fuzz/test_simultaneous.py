"""The same step started two to four times at once: every start succeeds, and nothing is done twice."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mubench.hub_builders.dataset import build as build_module
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.evaluation import judge_runs as judge_module
from tests.fixtures.steps import STEPS, Process, States, states
from tests.fixtures.steps import differences as unequal
from tests.fuzz.cases import count_outcomes, shares

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, got none")
SLOWEST_S = 0.3


class Noted:
    """What processes have begun to do, in the lines of a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def note(self, patch: pytest.MonkeyPatch, owner: Any, name: str, describe: Callable[..., str]) -> None:
        """Make a function write a line before it does anything."""
        function = getattr(owner, name)

        def noting(*args: Any, **kwargs: Any) -> Any:
            with self.file.open("a") as file:
                file.write(f"{name} {describe(*args)}\n")
            return function(*args, **kwargs)

        patch.setattr(owner, name, noting)

    def take(self) -> Counter[str]:
        lines = self.file.read_text().splitlines()
        self.file.unlink()
        return Counter(lines)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    with states(tmp_path_factory.mktemp("simultaneous")) as found:
        yield found


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Noted:
    noted = Noted(tmp_path / "noted")
    noted.note(monkeypatch, build_module, "load_rows", lambda task, *_: str(task.key))
    noted.note(monkeypatch, TaskTrainer, "train", lambda trainer: Path(trainer.args.output_dir).name)
    noted.note(monkeypatch, judge_module, "judge_against", lambda run, *_: str(run.run_id))
    return noted


def start_together(made: States, root: Path, noted: Noted, steps: Sequence[str], generator: random.Random) -> str:
    """Start a step several times, compare with one start, and return what was done."""
    step = generator.choice(steps)
    whole = made.after(step)
    made.copy_before(step, root)
    noted.file.write_text("")
    count = generator.randint(2, 4)
    processes = []
    for number in range(count):
        processes.append(Process(step, root, root.with_name(f"{number}.log")))
        time.sleep(generator.choice((0.0, generator.uniform(0.0, SLOWEST_S))))
    failed = [process.log.read_text() for process in processes if process.wait() != 0]
    assert not failed, failed[0]
    done = noted.take()
    if step != "build":  # one that starts after the end of another replaces its result
        assert done and set(done.values()) == {1}, (step, done.most_common(3))
    assert not unequal(whole, root), step
    shutil.rmtree(root)
    return f"{count} of {step}"


@shares(fast=3, whole=40, is_slow=True)
def test_nothing_is_done_twice(made: States, noted: Noted, tmp_path: Path, first: int, last: int) -> None:
    steps = [step for step in STEPS if step != "cards"] if first else ["build", "base", "references"]
    count_outcomes(first, last, lambda generator: start_together(made, tmp_path / "case", noted, steps, generator))
