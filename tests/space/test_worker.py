"""What a worker process does, done here: a small run from job_request to what is shown of it."""

import base64
import io
import json
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.evaluation.result_files import read_results
from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.storage import read_outputs
from mubench.trainers.models.base_models import train_image_classifier
from tests.fixtures.few import RATIO as FEW_RATIO
from tests.fixtures.few import few_rows
from tests.fixtures.walk import FORGET, RATIO, Walk, files
from tests.space.conftest import Import


@pytest.fixture
def name() -> str:
    return secrets.token_hex(12)


@pytest.fixture
def job_request(space: Import, walking: Walk) -> Any:
    place = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": RATIO}
    return space("jobs.job_request").JobRequest(method="scrub", seed=2, arguments={"gamma": 0.9}, **place)


def test_a_run_lies_whole_in_its_own_folder_and_nowhere_else(
    space: Import, walking: Walk, job_request: Any, name: str
) -> None:
    before, told = files(walking.models), []
    space("jobs.worker").run(job_request, name, told.append)
    assert files(walking.models) == before
    assert not walking.results.exists()
    (row,) = read_results(Path("runs", name, "rows"))
    assert (row.method, row.seed, row.arguments["gamma"]) == ("scrub", 2, 0.9)
    assert told[-1] == {"stage": "judging"}
    assert [point["step"] for point in told[:-1]] == sorted({point["step"] for point in told[:-1]})
    assert {"forget", "retain", "seconds", "steps"} <= set(told[0])
    (card,) = [path for path in Path("runs", name, "models").glob("*/README.md") if not path.parent.is_symlink()]
    assert "base_model: cifar10-mini-resnet\n" in card.read_text() and "test_score" in card.read_text()
    run = space("handlers.runs").finished(name)
    assert run.row == row
    assert len(run.shown["scores"]["retrained"]) == 3
    assert len(run.shown["losses"]["base"]["forget"]) == FORGET
    assert run.shown["rows"][0].keys() == {"id", "base", "unlearned", "retrained"}
    base = json.loads(Path("runs", name, "outcome.json").read_text())["scores"]["base"][0]
    stored = read_outputs(walking.models / "cifar10-mini-resnet" / "reference")["train"]
    assert base["retain"] * (len(stored) - FORGET) + base["forget"] * FORGET == pytest.approx(
        stored.correct.sum(), abs=0.02
    )
    for part in (
        space("handlers.outcome").rows_shown(name),
        space("handlers.outcome").attack_shown(name, "base", 0.1),
    ):
        assert "<" in part and "nan" not in part
    page = space("handlers.outcome").rows_shown(name, "most changed")
    assert page.count("<figure") == 12 and page.count("data:image/png") == 12


@pytest.mark.parametrize(("error", "said"), [
    (ValueError("expected a whole model in models/a-b/model.safetensors, got: none"),
     "expected a whole model in a file here, got: none"),
    (FileNotFoundError("expected rows in {here}/results/x+y.json; make them with: make demo"),
     "expected rows in a file here; make them with: make demo"),
    (ValueError("expected mu-bench/data/imdb/a.parquet to be whole"), "expected a file here to be whole"),
    (ValueError("gamma must be a number from 0 to 1,\n  got '/etc/passwd'"),
     "gamma must be a number from 0 to 1, got '/etc/passwd'"),
    (ValueError("10 %/row, see https://example.org/models/x"), "10 %/row, see https://example.org/models/x"),
    (FileNotFoundError(2, "No such file", "/srv/x"), "something went wrong here, not with you"),
    (KeyError("x"), "something went wrong here, not with you"),
])  # fmt: skip
def test_what_a_visitor_is_told_names_no_place(
    space: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    place = tmp_path / "my space"
    place.mkdir()
    monkeypatch.chdir(place)
    error.args = tuple(one.replace("{here}", str(place)) if isinstance(one, str) else one for one in error.args)
    assert space("jobs.errors").told(error) == said


def test_a_run_that_is_stopped_leaves_nothing_to_show(
    space: Import, walking: Walk, job_request: Any, name: str
) -> None:
    worker, runs = space("jobs.worker"), space("handlers.runs")

    def stop(point: dict[str, Any]) -> None:
        if point.get("step"):
            raise worker.StoppedError

    with pytest.raises(worker.StoppedError):
        worker.run(job_request, name, stop)
    with pytest.raises(ValueError, match="expected a finished run"):
        runs.finished(name)
    runs.tidy(lambda: {name})
    assert Path("runs", name).is_dir()
    runs.tidy()
    assert not Path("runs", name).exists()


@pytest.mark.parametrize(("error", "told"), [
    (ValueError("expected\none"), "expected one"), (NonFiniteError("expected finite loss"), "expected finite loss"),
    (MemoryError(), "expected enough memory for a run"), (RuntimeError("/secret/place"), "not with you"),
    (ZeroDivisionError("division"), "not with you"),
])  # fmt: skip
def test_a_job_that_fails_says_what_its_visitor_can_mend(
    space: Import, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    worker = space("jobs.worker")
    monkeypatch.setitem(worker.WORK, "run", fail)
    place = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": RATIO}
    end = worker._done(space("jobs.job_request").JobRequest(**place), "x", None)
    assert end["end"] == "failed" and told in end["error"] and "secret" not in end["error"]


@pytest.mark.slow
def test_with_one_retrained_model_there_is_no_row_but_all_else(
    space: Import, walking: Walk, job_request: Any, name: str
) -> None:
    for path in sorted(walking.models.glob("*retrain-s[12]")):
        path.rename(walking.root / path.name)
    space("jobs.worker").run(job_request, name, lambda _: None)
    run = space("handlers.runs").finished(name)
    assert run.row is None and run.shown["metrics"] == []
    told = space("handlers.try_out").verdict(run)
    assert "Not judged" in told
    assert f'make references TASK=cifar10 BACKBONE=resnet RATIO={RATIO} SEEDS="0 1 2"' in told
    assert len(run.shown["scores"]["retrained"]) == 1
    with pytest.raises(ValueError, match="lacks retrained models"):
        space("handlers.runs").row_file(name)


@pytest.mark.slow
def test_references_are_trained_where_runs_look_for_them(space: Import, walking: Walk, name: str) -> None:
    choices, told = space("handlers.choices"), []
    assert not choices.ratios("cifar10", "resnet")[5]
    place = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": 5}
    space("jobs.worker").train_references(
        space("jobs.job_request").JobRequest(kind="references", **place), name, told.append
    )
    assert choices.ratios("cifar10", "resnet")[5] == 3
    assert len(choices.group_of("cifar10", "resnet", 5).retrained) == 3
    assert [point["stage"] for point in told if "step" not in point] == [
        "base model of seed 0", *(f"retrained model of seed {seed}" for seed in range(3)),
    ]  # fmt: skip


@pytest.mark.slow
def test_what_models_draw_is_shown_as_it_was_judged(
    space: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip("diffusers")
    few_rows(monkeypatch, "unet", tmp_path)
    monkeypatch.chdir(tmp_path)
    worker, wishes, choices = space("jobs.worker"), space("jobs.job_request"), space("handlers.choices")
    monkeypatch.setattr(worker, "RETRAINED", (0,))
    place = {"task": "tiny_imagenet", "family": "canonical", "backbone": "unet", "ratio": FEW_RATIO}
    worker.train_references(wishes.JobRequest(kind="references", **place), name, lambda _: None)
    told: list[dict[str, Any]] = []
    worker.run(wishes.JobRequest(method="finetune", arguments={"num_train_epochs": 1}, **place), name, told.append)
    assert told[-2:] == [{"stage": "judging"}, {"stage": "drawing"}]
    rows = space("handlers.runs").finished(name).shown["rows"]
    group = choices.group_of("tiny_imagenet", "unet", FEW_RATIO)
    image_classifier = train_image_classifier(group.setting, tmp_path / "models")
    for model, folder in (("base", group.bases[0]), ("retrained", group.retrained[0])):
        said = group.outputs(folder)["forget"].select([row["id"] for row in rows])
        assert isinstance(said, ImageOutputs)
        drawn = [Image.open(io.BytesIO(base64.b64decode(row[model]["drawn"]))) for row in rows]
        assert drawn[0].size == group.setting.rows["train"][0]["image"].size
        assert np.allclose(image_classifier(drawn), said.classes.logits, atol=1e-3)
    assert any(row["base"]["drawn"] != row["retrained"]["drawn"] for row in rows)
    page = space("handlers.outcome").rows_shown(name)
    assert page.count("drawn by the unlearned model") == page.count("<figure") == len(rows)
