"""What every test needs before its first import: no network, one thread, and a Hub cache that is thrown away."""

import functools
import gc
import os
import re
import shutil
import sys
import tempfile

gc.disable()  # until all tests are collected: what imports make stays, and looking at it took a fourth of the time
_HF_HOME = tempfile.mkdtemp(prefix="mubench-tests-")
for _name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_TOKEN"):
    os.environ.pop(_name, None)
os.environ.update(
    HF_HOME=_HF_HOME,
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",  # else the first test of a worker to read a split finds a bar in its errors
    MPLBACKEND="Agg",
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    COLUMNS="80",  # argparse asks for the size of the terminal once an option
    LINES="24",
)

from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from types import SimpleNamespace  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import pytest  # noqa: E402

if TYPE_CHECKING:
    from tests.fixtures.shared import Shared
    from tests.fixtures.walk import Walk


# The two tasks that most tests of data are about.
PAIR = ("cifar10", "imdb")


# Tests of one data set or of one kind of model are slow.
OF_ONE_TASK = ("tests/hub_builders/mini/", "tests/hub_builders/raw/", "tests/trainers/models/modalities/")
OF_ALL_TASKS = (
    "test_chat.py",
    "test_mini.py",
    "test_mini_rules.py",
    "test_raw.py",
    "test_full_tier.py",
    "test_pretrained.py",
    "test_shifts.py",
    "test_generated_outputs.py",
    "test_texts_without_prompts.py",
)


# Marks all tests of a file as slow.
ALL_SLOW = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.slow\b", re.MULTILINE)


# Files with more than half a minute of slow tests, the longest first: with these in front, workers end together.
LONGEST = (
    "test_processes.py",
    "test_options.py",
    "test_own_data_page.py",
    "test_identities.py",
    "test_configs.py",
)


def is_of_one_task(path: Path, config: pytest.Config) -> bool:
    """Tell whether all tests of a file are about one data set or one kind of model."""
    folder = f"{path.parent.relative_to(config.rootpath).as_posix()}/"
    return folder in OF_ONE_TASK and path.name not in OF_ALL_TASKS


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files of slow tests alone where those are left out, without the seconds that their imports take."""
    if "not slow" not in config.option.markexpr or not collection_path.match("test_*.py"):
        return None
    return is_of_one_task(collection_path, config) or bool(ALL_SLOW.search(collection_path.read_text())) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of one data set or of one kind of model as slow, and begin with the longest files."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    for item in items:
        if is_of_one_task(item.path, item.config):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Set aside what imports made: `Trainer` collects garbage as it starts, and all of torch takes .3 s to look at."""
    gc.enable()
    gc.set_threshold(20_000, 20, 20)  # models are built and dropped all the time, seldom in cycles
    gc.collect()
    gc.freeze()
    if (torch := sys.modules.get("torch")) and not torch.cuda.is_available():
        # Until a device is used, each keeps every seed with a stack trace: a thirtieth of the fast tests' time.
        torch.cuda.manual_seed_all = torch.xpu.manual_seed_all = torch.mtia.manual_seed_all = lambda _: None
        # Every training starts by collecting garbage, to free what lies on a device.
        if memory := sys.modules.get("accelerate.utils.memory"):
            memory.gc = SimpleNamespace(collect=lambda: 0)
        # Every training looks several times through the path for packages that are not installed.
        if imports := sys.modules.get("accelerate.utils.imports"):
            imports._is_package_available = functools.cache(imports._is_package_available)


@pytest.fixture(scope="module", autouse=True)
def _set_aside() -> None:
    """Set aside what the tests of the modules before have imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> "Shared":
    """Return folders that tests only read, made once for all processes of a parallel run."""
    from tests.fixtures.shared import Shared  # noqa: PLC0415  most tests share none

    parallel = "PYTEST_XDIST_WORKER" in os.environ
    return Shared(tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def mini(shared: "Shared") -> Path:
    """Return a dataset folder with the mini tasks of `PAIR`; tests only read it."""
    from mubench.hub_builders.dataset.build import build  # noqa: PLC0415  most tests need no data
    from mubench.hub_builders.tasks.names import DATASET  # noqa: PLC0415

    return shared("mini", lambda out: [build(task, out=out) for task in PAIR]) / DATASET


@pytest.fixture(scope="session")
def walked_once(shared: "Shared") -> "Walk":
    """Walk a small cifar10 from rows to models, once."""
    from tests.fixtures.walk import Walk, walk  # noqa: PLC0415  most tests need no transformers

    return Walk(shared("walk", walk))


@pytest.fixture
def walked(walked_once: "Walk") -> "Iterator[Walk]":
    """Return the finished walk, with its small task in force; tests only read it."""
    from tests.fixtures.walk import quick  # noqa: PLC0415

    with quick():
        yield walked_once


@pytest.fixture
def own_walk(walked: "Walk", tmp_path: Path) -> "Walk":
    """Return a copy of the finished walk that a test may change."""
    return walked.copy(tmp_path)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache; every process of a parallel run has its own."""
    shutil.rmtree(_HF_HOME, ignore_errors=True)
