"""Mini builds that several tests read, and a small task that is quick to build again and again."""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import datasets
import huggingface_hub
import pytest

from mubench.hub_builders.mini import MINI
from mubench.hub_builders.raw.rows import Splits
from mubench.hub_builders.tasks import TASKS

if TYPE_CHECKING:
    from tests.hub_server import Hub

# Tests of one data set or one kind of model: slow ones all, so that the fast tests stay a minute.
OF_ONE = re.compile(
    r"test_(mini_|relations|cifar|ddi2013|nlvr|samsum|speech|tiny|tofu|ucf101|celeb|jsonl|modalities|\w+_modality)"
)
COUNTS = {"train": 60, "validation": 20, "test": 30, "ood": 10}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of one data set or one kind of model as slow."""
    for item in items:
        if item.path.parent == Path(__file__).parent and OF_ONE.match(item.path.name):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def arrow_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an Arrow cache of its own."""
    cache = tmp_path_factory.mktemp("arrow")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def mini_rows() -> Callable[[str], Splits]:
    """Return a function that gives the rows of a mini task, made once; tests only read them."""
    return functools.cache(lambda key: MINI[key]())


def small_rows(word: str) -> Splits:
    """Return a small imdb whose texts all hold a word."""
    return {
        split: [
            {"example_id": f"{split}-{i}", "source_index": None, "text": f"{word} {split} {i}", "label": i % 2}
            for i in range(rows)
        ]
        for split, rows in COUNTS.items()
    }


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes mini imdb 180 rows that hold a word; the next build takes them."""
    monkeypatch.setitem(TASKS["imdb"].counts, "mini", COUNTS)

    def become(word: str) -> None:
        monkeypatch.setitem(MINI, "imdb", lambda: small_rows(word))

    become("old")
    return become


@pytest.fixture(scope="session")
def hub_server() -> "Iterator[Hub]":
    """Serve a Hub on the loopback."""
    from tests.hub_server import serving  # noqa: PLC0415  most tests talk to no hub

    with serving() as server:
        yield server


@pytest.fixture
def hub(hub_server: "Hub", monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Iterator[Hub]":
    """Return an empty Hub on the loopback that the client of this process talks to, with a token that may write.

    Neither the client nor we wait between tries, and nobody waits long for an answer.
    """
    from mubench.hub_builders import hub as ours  # noqa: PLC0415  most tests talk to no hub
    from tests.hub_server import TOKEN  # noqa: PLC0415

    hub_server.forget()
    settings = {
        "ENDPOINT": hub_server.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub_server.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
    }
    for name, value in settings.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.setattr(huggingface_hub.utils._http, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(ours, "WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(ours, "TIMEOUT_S", 0.5)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield hub_server
    huggingface_hub.close_session()
