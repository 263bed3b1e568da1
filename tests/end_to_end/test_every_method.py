"""Every method once on the cheapest task that it is made for, a few rows of it, with the defaults of that task."""

import numpy as np
import pytest

from mubench.hub_builders.hub.model_folder import REFERENCE, read_run
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.inference.storage import read_outputs
from mubench.trainers.methods import METHODS
from mubench.trainers.models.base_models import train_base
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import QUIET
from tests.fixtures.few import RATIO, TASK_OF, few_rows

pytestmark = pytest.mark.slow
CHEAP = ("resnet", "llama", "vilt", "unet")  # the cheapest first; a method is run on the first that it is made for
# Whole classes are forgotten in `tests/trainers/runs/test_method_table.py`.
HERE = [key for key, trainer in METHODS.items() if not trainer.whole_classes]


def backbone_of(method):
    """Return the first cheap backbone that a method is made for."""
    return next(one for one in CHEAP if TASKS[TASK_OF[one]].kind in METHODS[method].kinds)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """Return the setting of a backbone and its base model, made when first asked for."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:

        def get(backbone):
            if backbone not in made:
                folder = tmp_path_factory.mktemp(backbone)
                setting = few_rows(patch, backbone, folder)
                made[backbone] = setting, train_base(setting, 0, models=folder / "models", **QUIET)
            return made[backbone]

        yield get


def outputs(folder):
    """Return what a model says of the training rows."""
    return read_outputs(folder / REFERENCE)["train"]


@pytest.mark.parametrize("method", HERE)
def test_a_method_changes_the_outputs_and_leaves_no_nan(walked, method):
    setting, base = walked(backbone_of(method))
    request = UnlearningRequest(setting=setting, method=method, ratio=RATIO, models=base.parent, arguments=QUIET)
    folder = unlearn(resolve(request))
    assert np.isfinite(outputs(folder).true_probability).all()
    assert not outputs(folder).equals(outputs(base))
    assert read_run(folder).cost["forward"] > 0
