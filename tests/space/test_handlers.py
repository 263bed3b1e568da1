"""What the buttons do, on made-up rows and model folders: nothing is trained here."""

import ast
import dataclasses
import shlex
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mubench.cards.formats import HEAD
from mubench.hub_builders.build import build
from mubench.hub_builders.load import task_info
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.applicability import methods_for
from mubench.trainers.commands import request_of
from mubench.trainers.methods import METHODS
from mubench.trainers.results import write_result
from tests.cards.conftest import make_row, make_run

SPACE = Path(__file__).resolve().parents[2] / "space"
OPTIONS = [("a", "x", "1"), ("a", "x", "2"), ("a", "y", "2"), ("b", "z", "1")]
Models = Callable[..., None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both mini tasks; tests only read them."""
    root = tmp_path_factory.mktemp("space")
    build("imdb", out=root)
    build("cifar10", out=root)
    return root / "mu-bench"


@pytest.fixture
def place(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to serve, with data and nothing else."""
    (tmp_path / "mu-bench").symlink_to(built)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SPACE)
    import handlers  # noqa: PLC0415

    return handlers


@pytest.fixture
def models(place: Path) -> Models:
    """A function that writes model folders of cifar10 at 5 %, without weights."""

    def write(*, bases: int = 1, retrained: int = 2, **changes: Any) -> None:
        recipe = dataclasses.asdict(TASKS["cifar10"].recipes["resnet"])
        common = {"split": task_info("cifar10").split, "recipe": recipe, "arguments": {}, "parent": None, **changes}
        runs = {
            f"base-s{seed}": {"method": None, "ratio": None, "seed": None, "base_seed": seed} for seed in range(bases)
        }
        runs |= {
            f"retrain-s{seed}": {"method": "retrain", "seed": seed, "base_seed": seed} for seed in range(retrained)
        }
        for name, fields in runs.items():
            (place / "models" / name).mkdir(parents=True)
            make_run(**{**common, **fields}).write(place / "models" / name)

    return write


def test_the_handlers_know_no_gradio() -> None:
    for name in ("handlers.py", "worker.py"):
        tree = ast.parse((SPACE / name).read_text())
        names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.startswith("gradio")]


@pytest.mark.parametrize(
    ("chosen", "lists", "choice"),
    [
        (("a", "y", "2"), [["a", "b"], ["x", "y"], ["2"]], ("a", "y", "2")),
        (("b", "y", "2"), [["a", "b"], ["z"], ["1"]], ("b", "z", "1")),
        (("a", "y", "1"), [["a", "b"], ["x", "y"], ["2"]], ("a", "y", "2")),
    ],
)
def test_what_does_not_go_together_gives_way(handlers: ModuleType, chosen: Any, lists: Any, choice: Any) -> None:
    assert handlers.narrow(OPTIONS, chosen) == (lists, choice)


@pytest.mark.parametrize("chosen", [("c", "x", "1"), (None, "x", "1"), (["a"], "x", "1"), ("a", "x", "../1")])
def test_what_exists_nowhere_is_refused(handlers: ModuleType, chosen: Any) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        handlers.narrow(OPTIONS, chosen)


def test_every_table_can_be_chosen_and_tells_its_controls(handlers: ModuleType, place: Path) -> None:
    assert handlers.boards() == {}
    for ratio in (10, 5):
        for row in (
            make_row("scrub", score=0.8),
            make_row("salun", score=0.2),
            make_row("base", score=0, control=True),
        ):
            write_result(row.model_copy(update={"run_id": f"{row.run_id}-{ratio}", "ratio": ratio}), place / "results")
    choices = list(handlers.boards())
    assert [choice[2] for choice in choices] == [
        f"{ratio} % of the mini rows, canonical, split 0123abcd" for ratio in (5, 10)
    ]
    words, lines, picture = handlers.board(*choices[0])
    assert words.startswith("### cifar10 (mini), resnet: 5 % deleted")
    assert "PROVISIONAL" in words
    assert [line[1] for line in lines] == ["scrub", "salun", "base (control)"]
    assert {len(line) for line in lines} == {len(HEAD)}
    assert min(picture.size) > 100


def test_the_data_tab_counts_and_shows_what_is_forgotten(handlers: ModuleType, place: Path) -> None:
    assert handlers.configs() == [(task, str(r)) for task in ("cifar10", "imdb") for r in range(1, 11)]
    texts, pictures = handlers.config_rows("imdb", "5"), handlers.config_rows("cifar10", "10")
    assert texts.counts == [
        *(["forget", "60"], ["retain", "1140"], ["validation", "200"], ["test", "400"], ["ood", "400"])
    ]
    assert dict(pictures.counts)["forget"] == "120"
    assert (len(texts.texts), len(texts.pictures)) == (handlers.SHOWN_ROWS, 0)
    assert (len(pictures.texts), len(pictures.pictures)) == (0, handlers.SHOWN_ROWS)
    assert {label for label, _ in texts.texts} == {"neg", "pos"}
    assert pictures.pictures[0][0].size == (128, 128)
    assert "mini tier" in texts.words
    assert 'load_dataset("mu-bench", "imdb_del5")' in texts.code


@pytest.mark.parametrize(("task", "ratio"), [("nope", "5"), ("imdb", "11"), ("imdb", "../x")])
def test_the_data_tab_refuses_what_is_not_there(handlers: ModuleType, place: Path, task: str, ratio: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        handlers.config_rows(task, ratio)


def test_a_setting_with_references_can_be_tried(handlers: ModuleType, models: Models) -> None:
    models()
    tried = [key for key in methods_for("image_classification", "resnet") if not METHODS[key].from_scratch]
    tried = [key for key in tried if not METHODS[key].whole_classes]
    assert handlers.settings() == [("cifar10", "resnet", "5", method) for method in tried]


@pytest.mark.parametrize("changes", [{"retrained": 1}, {"bases": 0}, {"split": "f" * 64}, {"tuned": "custom"}])
def test_a_setting_without_references_cannot(handlers: ModuleType, models: Models, changes: Any) -> None:
    assert handlers.settings() == []
    models(**changes)
    assert handlers.settings() == []
    with pytest.raises(FileNotFoundError, match="make references TASK=cifar10 BACKBONE=resnet RATIO=5"):
        handlers.command_words("cifar10", "resnet", "5", "scrub", 0)


def test_the_command_is_the_run(handlers: ModuleType, models: Models) -> None:
    models()
    request, where = request_of("scrub", handlers.command_words("cifar10", "resnet", "5", "scrub", 3.0))
    assert (request.bench.task.key, request.bench.backbone, request.ratio) == ("cifar10", "resnet", 5)
    assert (request.method, request.base_seed, request.seed, where.judge) == ("scrub", 0, 3, True)
    assert (request.models, Path(where.results)) == (handlers.MODELS, handlers.RESULTS)


@pytest.mark.parametrize(
    ("place_of", "wrong"),
    [(0, "nope"), (1, "bert"), (2, "0"), (2, "5; ls"), (3, "retrain"), (3, "--help"), (4, -1), (4, 0.5), (4, 2**31),
     (4, "1"), (4, None), (4, float("nan")), (4, 10**400)],
)  # fmt: skip
def test_a_choice_that_does_not_exist_is_refused(
    handlers: ModuleType, models: Models, place_of: int, wrong: Any
) -> None:
    models()
    choice: list[Any] = ["cifar10", "resnet", "5", "scrub", 0]
    choice[place_of] = wrong
    with pytest.raises(ValueError, match="must be"):
        handlers.command_words(*choice)


def test_a_run_is_shown_beside_base_and_retrained(
    handlers: ModuleType, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    models()
    jobs: list[tuple[Any, ...]] = []

    def submit(job: Any, *arguments: Any) -> Future[Any]:
        jobs.append((job.__name__, *arguments))
        write_result(make_row("scrub", score=0.8, identity="ab" * 32), handlers.RESULTS)
        write_result(make_row("base", score=0.0, control=True, cost={}), handlers.RESULTS)
        write_result(make_row("base", score=0.1, control=True, cost={}, base_seed=1), handlers.RESULTS)
        future: Future[Any] = Future()
        future.set_result("ab" * 32)
        return future

    monkeypatch.setattr(handlers.worker, "submit", submit)
    words, lines, command = handlers.try_out("cifar10", "resnet", "5", "scrub", 0, tell=lambda *_: None)
    assert [job[:2] for job in jobs] == [("unlearn", "scrub"), ("judge", "scrub")]
    assert "S = 0.80" in words
    assert "provisional" in words
    assert lines[0][:5] == ["S", "0.800", "0.000", "0.500", "higher"]
    assert {len(line) for line in lines} == {len(handlers.OUTCOME_HEAD)}
    assert shlex.split(command) == ["python", "-m", "mubench.trainers", "scrub", *jobs[0][2]]
