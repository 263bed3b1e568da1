"""Every mini backbone on a few rows of a task: trained, saved and reloaded, retrained, and unlearned with SCRUB."""

import pytest

from mubench.hub_builders.hub.model_folder import REFERENCE
from mubench.trainers.inference.storage import read_outputs
from mubench.trainers.methods import METHODS
from mubench.trainers.models.base_models import predict_splits, train_base
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import QUIET
from tests.fixtures.few import RATIO, TASK_OF, few_rows

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


@pytest.fixture
def setting(request, tmp_path, monkeypatch):
    """Return the setting of a backbone, on a few rows of its task and with a recipe of two passes."""
    return few_rows(monkeypatch, request.param, tmp_path)


def checked_outputs(setting, folder):
    """Return what a folder's reference outputs say, after a look at the model that it holds."""
    stored = read_outputs(folder / REFERENCE)
    model, processor = setting.modality.load(folder)
    again = predict_splits(setting, model, processor, folder.parent)
    assert set(stored) == set(again) == set(setting.rows)
    assert all(stored[split].equals(again[split]) for split in stored)
    return stored["train"]


@pytest.mark.parametrize("setting", TASK_OF, indirect=True)
def test_a_mini_backbone_goes_the_whole_way(setting, tmp_path):
    models = tmp_path / "models"
    given = {"retrain": {}, "scrub": {"num_train_epochs": 1, "msteps": 1}}
    outputs = [checked_outputs(setting, train_base(setting, 0, models=models, **QUIET))]
    for method, arguments in given.items():
        if setting.task.kind in METHODS[method].kinds:
            request = UnlearningRequest(
                setting=setting, method=method, ratio=RATIO, models=models, arguments={**QUIET, **arguments}
            )
            outputs.append(checked_outputs(setting, unlearn(resolve(request))))
    assert len(outputs) == 1 + sum(setting.task.kind in METHODS[method].kinds for method in given) > 1
    assert not any(outputs[0].equals(other) for other in outputs[1:])
