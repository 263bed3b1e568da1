"""What a served Space makes of the small task: most runs end at once, the longest do not end by themselves."""

import importlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from mubench.trainers.watch import Watch
from tests.walk import quick

# Runs of as many epochs as are allowed: of more than a hundred steps, none of which is over sooner.
LONGEST, STEP_S = 50, 2.0
# In the folder that is served: a line a job that has run, with its name, its state and why it ended.
ENDS = Path("ends.jsonl")
_small = quick()


def settle() -> None:
    """Make the small task known for good, its longest runs slow, and every end a line of `ENDS`."""
    _small.__enter__()
    patch, pool, stepped = pytest.MonkeyPatch(), importlib.import_module("jobs.pool").Pool, Watch.on_step_end
    end = pool._end

    def slowly(watch: Watch, args: Any, *rest: Any, **more: Any) -> None:
        if args.num_train_epochs == LONGEST:
            time.sleep(STEP_S)
        stepped(watch, args, *rest, **more)

    def noted(self: Any, job: Any, state: str, error: str) -> None:
        end(self, job, state, error)
        with ENDS.open("a") as file:
            file.write(f"{json.dumps([job.name, state, error])}\n")

    patch.setattr(Watch, "on_step_end", slowly)
    patch.setattr(pool, "_end", noted)


def ends(root: Path) -> dict[str, tuple[str, str]]:
    """Return state and reason of every job that has run, by name."""
    lines = (root / ENDS).read_text().splitlines() if (root / ENDS).exists() else []
    return {name: (state, why) for name, state, why in map(json.loads, lines)}
