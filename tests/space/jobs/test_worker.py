"""The worker's functions in this process: a small run from its request to its summary."""

import base64
import html
import io
import json
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import ClassOutputs
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
    setting = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": RATIO}
    return space("jobs.job_request").JobRequest(method="scrub", seed=2, arguments={"gamma": 0.9}, **setting)


@pytest.mark.slow
def test_a_run_writes_its_model_row_and_summary_into_its_own_folder(
    space: Import, walking: Walk, job_request: Any, name: str
) -> None:
    before, points = files(walking.models), []
    space("jobs.worker").run(job_request, name, points.append)
    assert files(walking.models) == before
    assert not walking.results.exists()
    (row,) = read_results(Path("runs", name, "rows"))
    assert (row.method, row.seed, row.arguments["gamma"]) == ("scrub", 2, 0.9)
    assert points[-1] == {"stage": "judging"}
    assert [point["step"] for point in points[:-1]] == sorted({point["step"] for point in points[:-1]})
    assert {"forget", "retain", "seconds", "steps"} <= set(points[0])
    (card,) = [path for path in Path("runs", name, "models").glob("*/README.md") if not path.parent.is_symlink()]
    assert "base_model: cifar10-mini-resnet\n" in card.read_text() and "test_score" in card.read_text()
    run = space("handlers.runs").finished_run(name)
    assert run.row == row
    assert len(run.summary["scores"]["retrained"]) == 3
    assert len(run.summary["losses"]["base"]["forget"]) == FORGET
    assert run.summary["rows"][0].keys() == {"id", "base", "unlearned", "retrained"}
    base = json.loads(Path("runs", name, "outcome.json").read_text())["scores"]["base"][0]
    stored = read_outputs(walking.models / "cifar10-mini-resnet" / "reference")["train"]
    assert base["retain"] * (len(stored) - FORGET) + base["forget"] * FORGET == pytest.approx(
        stored.correct.sum(), abs=0.02
    )
    for part in (
        space("handlers.outcome").render_rows(name),
        space("handlers.outcome").render_attack(name, "base", 0.1),
    ):
        assert "<" in part and "nan" not in part
    page = space("handlers.outcome").render_rows(name, "most changed")
    assert page.count("<figure") == 12 and page.count("data:image/png") == 12


@pytest.mark.parametrize(("error", "message"), [
    (ValueError("expected a whole model in models/a-b/model.safetensors, got: none"),
     "expected a whole model in a file on the server, got: none"),
    (FileNotFoundError("expected rows in {here}/results/x+y.json; make them with: make demo"),
     "expected rows in a file on the server; make them with: make demo"),
    (ValueError("expected mu-bench/data/imdb/a.parquet to be whole"), "expected a file on the server to be whole"),
    (ValueError("gamma must be a number from 0 to 1,\n  got '/etc/passwd'"),
     "gamma must be a number from 0 to 1, got '/etc/passwd'"),
    (ValueError("10 %/row, see https://example.org/models/x"), "10 %/row, see https://example.org/models/x"),
    (FileNotFoundError(2, "No such file", "/srv/x"), "internal error: the server has logged it"),
    (KeyError("x"), "internal error: the server has logged it"),
])  # fmt: skip
def test_an_error_message_names_no_path(
    space: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    folder = tmp_path / "my space"
    folder.mkdir()
    monkeypatch.chdir(folder)
    error.args = tuple(one.replace("{here}", str(folder)) if isinstance(one, str) else one for one in error.args)
    assert space("jobs.errors").error_message(error) == message


def test_a_stopped_run_is_not_finished(space: Import, walking: Walk, job_request: Any, name: str) -> None:
    worker, runs = space("jobs.worker"), space("handlers.runs")

    def stop(point: dict[str, Any]) -> None:
        if point.get("step"):
            raise worker.StoppedError

    with pytest.raises(worker.StoppedError):
        worker.run(job_request, name, stop)
    with pytest.raises(ValueError, match="expected a finished run"):
        runs.finished_run(name)
    runs.remove_old_runs(lambda: {name})
    assert Path("runs", name).is_dir()
    runs.remove_old_runs()
    assert not Path("runs", name).exists()


@pytest.mark.parametrize(("error", "message"), [
    (ValueError("expected\none"), "expected one"), (NonFiniteError("expected finite loss"), "expected finite loss"),
    (MemoryError(), "expected enough memory for a run"), (RuntimeError("/secret/place"), "internal error"),
    (ZeroDivisionError("division"), "internal error"),
])  # fmt: skip
def test_a_failed_job_reports_only_user_mistakes(
    space: Import, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    worker = space("jobs.worker")
    monkeypatch.setitem(worker.JOBS, "run", fail)
    setting = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": RATIO}
    end = worker.run_job(space("jobs.job_request").JobRequest(**setting), "x", None)
    assert end["end"] == "failed" and message in end["error"] and "secret" not in end["error"]


@pytest.mark.slow
def test_with_one_retrained_model_there_is_a_summary_and_no_row(
    space: Import, walking: Walk, job_request: Any, name: str
) -> None:
    for path in sorted(walking.models.glob("*retrain-s[12]")):
        path.rename(walking.root / path.name)
    space("jobs.worker").run(job_request, name, lambda _: None)
    run = space("handlers.runs").finished_run(name)
    assert run.row is None and run.summary["metrics"] == []
    verdict = space("handlers.try_out").verdict(run)
    assert "Not judged" in verdict
    assert f'mubench references --task cifar10 --backbone resnet --ratio {RATIO} --seeds "0 1 2"' in verdict
    assert len(run.summary["scores"]["retrained"]) == 1
    with pytest.raises(ValueError, match="lacks retrained models"):
        space("handlers.runs").row_file(name)


@pytest.mark.slow
def test_a_first_run_trains_the_base_model_and_is_judged_by_shipped_evidence(
    space: Import, root: Path, name: str
) -> None:
    choice = {"task": "cifar10", "backbone": "resnet", "ratio": "10", "method": "finetune", "seed": 0}
    points: list[dict[str, Any]] = []
    space("jobs.worker").run(space("handlers.try_out").check_request(**choice), name, points.append)
    stages = [point["stage"] for point in points]
    assert stages[0] == "base model of seed 0" and {"training", "judging"} <= set(stages)
    run = space("handlers.runs").finished_run(name)
    assert run.row is not None and run.row.interval is not None and run.row.references.source == "shipped"
    page = space("handlers.verdict").render_verdict(run, space("handlers.try_out").verdict(run))
    assert "half of the forget set kept" in page
    outcome = space("handlers.outcome")
    assert '<th scope="row">membership (part of S)</th>' in outcome.render_metrics(run)
    command = 'mubench references --task cifar10 --backbone resnet --ratio 10 --seeds "0 1 2"'
    for page in (outcome.render_rows(name), space("handlers.compare").render_numbers([run])):
        assert html.unescape(page).count(f"<code>{command}</code>") == 1
    assert outcome.orders(run) == ["most changed", "as deleted"]
    assert not space("handlers.try_out").check_request(**choice).trains_base


@pytest.mark.slow
def test_references_are_trained_into_the_models_folder(space: Import, walking: Walk, name: str) -> None:
    choices, points = space("handlers.choices"), []
    assert not choices.ratios("cifar10", "resnet")[5]
    setting = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": 5}
    space("jobs.worker").train_references(
        space("jobs.job_request").JobRequest(kind="references", **setting), name, points.append
    )
    assert choices.ratios("cifar10", "resnet")[5] == 3
    assert len(choices.chosen_group("cifar10", "resnet", 5).retrained) == 3
    assert [point["stage"] for point in points if "step" not in point] == [
        "base model of seed 0", *(f"retrained model of seed {seed}" for seed in range(3)),
    ]  # fmt: skip


def test_the_gallery_has_the_first_rows_and_those_that_differ_most_from_base_or_retrained(space: Import) -> None:
    shown = space("jobs.run_summary")._shown_rows
    logits = {name: np.full((100, 2), 3, np.float32) for name in ("base", "unlearned", "retrained")}
    logits["base"][80:92, 0] = -3
    logits["retrained"][40:52, 0] = -3
    ids, labels = np.arange(100).astype(str), np.zeros(100, np.int64)
    models = {name: ClassOutputs(ids=ids, logits=each, labels=labels) for name, each in logits.items()}
    assert shown(models) == [*range(12), *range(40, 52), *range(80, 92)]


@pytest.mark.slow
def test_the_summary_has_the_generated_images_that_were_judged(
    space: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip("diffusers")
    few_rows(monkeypatch, "unet", tmp_path)
    monkeypatch.chdir(tmp_path)
    worker, choices = space("jobs.worker"), space("handlers.choices")
    request = space("jobs.job_request").JobRequest
    monkeypatch.setattr(worker, "RETRAINED", (0,))
    setting = {"task": "tiny_imagenet", "family": "canonical", "backbone": "unet", "ratio": FEW_RATIO}
    worker.train_references(request(kind="references", **setting), name, lambda _: None)
    points: list[dict[str, Any]] = []
    worker.run(request(method="finetune", arguments={"num_train_epochs": 1}, **setting), name, points.append)
    assert points[-2:] == [{"stage": "judging"}, {"stage": "drawing"}]
    rows = space("handlers.runs").finished_run(name).summary["rows"]
    group = choices.chosen_group("tiny_imagenet", "unet", FEW_RATIO)
    image_classifier = train_image_classifier(group.setting, tmp_path / "models")
    for model, folder in (("base", group.bases[0]), ("retrained", group.retrained[0])):
        outputs = group.outputs(folder)["forget"].select([row["id"] for row in rows])
        assert isinstance(outputs, ImageOutputs)
        images = [Image.open(io.BytesIO(base64.b64decode(row[model]["generated_image"]))) for row in rows]
        assert images[0].size == group.setting.rows["train"][0]["image"].size
        assert np.allclose(image_classifier(images), outputs.classes.logits, atol=1e-3)
    assert any(row["base"]["generated_image"] != row["retrained"]["generated_image"] for row in rows)
    page = space("handlers.outcome").render_rows(name)
    assert page.count("generated by the unlearned model") == page.count("<figure") == len(rows)
