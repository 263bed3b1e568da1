"""Reporting progress changes nothing of a run."""

from pathlib import Path
from typing import Any

import pytest

from mubench.hub_builders.hub.model_folder import REFERENCE, read_run
from mubench.trainers.inference.storage import read_outputs
from mubench.trainers.runs.plan import resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.unlearning.progress import ROWS, ProgressCallback
from tests.fixtures import toy
from tests.fixtures.walk import Walk


def test_reports_change_neither_weights_nor_costs(own_walk: Walk) -> None:
    points: list[dict[str, float]] = []
    request = own_walk.request("scrub", seed=1)
    reported = unlearn(resolve(request), [ProgressCallback(points.append)])
    expected = {split: outputs.logits.copy() for split, outputs in read_outputs(reported / REFERENCE).items()}
    cost = read_run(reported).cost
    reported.rename(own_walk.root / "reported")
    plain = unlearn(resolve(request))
    for split, outputs in read_outputs(plain / REFERENCE).items():
        assert (outputs.logits == expected[split]).all()
    assert {key: cost[key] for key in ("forward", "backward")} == {
        key: read_run(plain).cost[key] for key in ("forward", "backward")
    }
    assert points[0]["step"] == 0 and points[-1]["step"] == points[-1]["steps"]
    first = read_outputs(own_walk.base() / REFERENCE)["train"]
    losses = -first.log_probabilities[range(len(first)), first.labels]
    assert points[0]["forget"] == pytest.approx(float(losses[:16].mean()), abs=1e-4)
    assert points[0]["retain"] == pytest.approx(float(losses[16:][:ROWS].mean()), abs=1e-4)
    assert ROWS >= 16, "all forget rows of the small task are reported"


def test_an_exception_of_the_report_ends_the_run(own_walk: Walk) -> None:
    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    request = own_walk.request("finetune", seed=9)
    with pytest.raises(KeyboardInterrupt):
        unlearn(resolve(request), [ProgressCallback(stop)])
    assert not [path for path in own_walk.models.iterdir() if "finetune" in path.name]


def test_the_bar_of_a_run_names_the_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = toy.rows("resnet")
    model = toy.build("resnet")
    toy.trainer("neg_grad", model, toy.split_rows(data), tmp_path / "a", disable_tqdm=False).train()
    assert "neg_grad: 100%|" in capsys.readouterr().err
    toy.task_trainer(model, data, tmp_path / "b", disable_tqdm=False).train()
    assert "training: 100%|" in capsys.readouterr().err
