"""The mini tasks under their real base models: each is a good one. That of ``make demo`` is looked at in test_demo.

``MUBENCH_BASES`` names a folder where ``make data bases`` has run, to look at its models as well.
"""

import math
import os
import sys
from pathlib import Path

import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.tasks import BACKBONES, TASKS
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.result import ENOUGH_RETRAINED
from mubench.trainers.metrics.accuracy import majority_baseline
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.signal_gate import SIGNAL_LIMIT, row_spread
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import QUIET
from mubench.trainers.unlearning.kinds import TEXT_GENERATION, TEXT_TO_IMAGE
from tests.fixtures.mini_rules import Outputs, check

pytestmark = [pytest.mark.slow, pytest.mark.nightly]  # a minute or two each
# Looked at by test_demo.
ELSEWHERE = "cifar10"
TRAINED = [key for key, task in TASKS.items() if BACKBONES[task.default_backbone].hub_id is None and key != ELSEWHERE]
# As many retrained models as a ranked row needs: with three of them chance decides about the gate.
RATIO, BASES, RETRAINED = 5, (0, 1), range(ENOUGH_RETRAINED)
STEPS, STEPS_OF_DRAWING = 400, 1_200  # of one model at most; to draw takes longer to learn


def answers(views):
    return {
        split: Outputs(views[split].correct.astype(float), views[split].true_probability)
        for split in ("forget", "retain", "test")
    }


def trained(task, family, place):
    """Return base and retrained models of a mini task that are made here."""
    setting = load_setting(
        task, TASKS[task].default_backbone, data=str(build(task, out=place, family=family)), family=family
    )
    models = place / "models"
    for seed in BASES:
        train_base(setting, seed, models=models, **QUIET)
    for seed in RETRAINED:
        unlearn(
            resolve(
                UnlearningRequest(
                    setting=setting,
                    method="retrain",
                    ratio=RATIO,
                    base_seed=seed,
                    models=models,
                    arguments=dict(QUIET),
                )
            )
        )
    return find_group(setting, RATIO, models)


def check_rules(group):
    """Hold what models say against the rules, say how they came out, and return their views."""
    bases = [group.outputs(folder) for folder in group.bases.values()]
    retrained = [group.outputs(folder) for folder in group.retrained.values()]
    tokens = group.setting.task.kind in TEXT_GENERATION
    found = check([answers(one) for one in bases], [answers(one) for one in retrained], tokens=tokens)
    sys.stdout.write(f"\n{group.setting.task.key} {group.setting.backbone}: {found}")
    return bases, retrained


@pytest.mark.parametrize("task", TRAINED)
def test_base_and_retrained_models_obey_the_rules(task, tmp_path):
    bases, retrained = check_rules(trained(task, TASKS[task].family_of("mini"), tmp_path))
    gate = row_spread(Case(retrained[0], retrained, bases, majority_baseline(retrained[0]["test"])))
    sys.stdout.write(f", gate {gate:.3f}")
    assert gate <= SIGNAL_LIMIT


@pytest.mark.skipif("MUBENCH_BASES" not in os.environ, reason="MUBENCH_BASES names no folder of `make bases`")
@pytest.mark.parametrize("task", TASKS)
def test_what_make_bases_has_made_obeys_the_rules(task):
    root, family = Path(os.environ["MUBENCH_BASES"]), TASKS[task].family_of("mini")
    setting = load_setting(task, TASKS[task].default_backbone, data=str(root / "mu-bench"), family=family)
    group = find_group(setting, RATIO, root / "models")
    assert group.bases and group.retrained
    for folder in (*group.bases.values(), *group.retrained.values()):
        run = read_run(folder)
        rows = setting.info.counts["train"] - (setting.info.forget_size(RATIO) if run.method else 0)
        assert run.tier == "mini"
        steps = math.ceil(rows / run.recipe["batch_size"]) * run.recipe["epochs"]
        assert steps <= (STEPS_OF_DRAWING if setting.task.kind in TEXT_TO_IMAGE else STEPS)
    check_rules(group)
