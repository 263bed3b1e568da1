"""Steps killed at any moment, the whole group or the parent alone: the next start makes what it would have made."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fixtures.sessions import assert_gone
from tests.fixtures.steps import STEPS, WITH_WORKERS, Process, States, states
from tests.fixtures.steps import differences as unequal
from tests.fuzz.cases import count_outcomes, shares

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, got none")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    with states(tmp_path_factory.mktemp("kills")) as found:
        yield found


def kill_and_repeat(made: States, root: Path, steps: Sequence[str], generator: random.Random) -> str:
    """Kill a step, start it again at once, compare, and return what was killed."""
    alone = generator.random() < 0.3
    step = generator.choice([step for step in steps if not alone or step in WITH_WORKERS])
    whole = made.after(step)
    made.copy_before(step, root)
    process = Process(step, root, root.with_suffix(".log"))
    time.sleep(generator.uniform(0.0, made.seconds[step]))
    late = not process.is_alive
    (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.wait()
    again = Process(step, root, root.with_suffix(".log"))
    assert again.wait() == 0, process.log.read_text()
    assert not unequal(whole, root), step
    for one in (process, again):
        assert_gone(one.pid)
    shutil.rmtree(root)
    if late:  # the machine has less to do than it had
        made.seconds[step] *= 0.7
    return "too late" if late else f"{'parent' if alone else 'group'} of {step}"


@shares(fast=5, whole=140, is_slow=True)
def test_what_was_killed_is_made_by_the_next_start(made: States, tmp_path: Path, first: int, last: int) -> None:
    steps = list(STEPS) if first else ["references", "unlearn", "judge"]
    counts = count_outcomes(first, last, lambda generator: kill_and_repeat(made, tmp_path / "case", steps, generator))
    killed = {kind: sum(n for name, n in counts.items() if name.startswith(kind)) for kind in ("group", "parent")}
    assert sum(killed.values()) > 0
    if last - first > 100:
        assert killed["group"] >= 60 and killed["parent"] >= 20
