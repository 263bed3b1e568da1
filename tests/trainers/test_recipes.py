import dataclasses

import pytest

from mubench.hub_builders.tasks import BACKBONES, TASKS
from mubench.trainers.base import UnlearningTrainer
from mubench.trainers.methods import METHODS
from mubench.trainers.recipes import DEFAULTS, default_arguments
from mubench.trainers.spaces import space_of
from mubench.trainers.tuned import ON, TUNED

BENCHES = [(task.kind, backbone) for task in TASKS.values() for backbone in task.recipes]


@pytest.mark.parametrize(("kind", "backbone"), BENCHES)
def test_every_backbone_of_every_task_has_defaults_for_every_method(kind, backbone):
    family = BACKBONES[backbone].family
    for method, trainer in METHODS.items():
        if kind not in trainer.kinds:
            continue
        arguments = default_arguments(kind, family, method)
        trained = trainer.edit is UnlearningTrainer.edit and not trainer.from_scratch
        assert not trained or arguments["learning_rate"] > 0, method
        assert set(arguments) <= {field.name for field in dataclasses.fields(trainer.arguments)}


def test_no_defaults_are_kept_for_what_is_not_there():
    families = {(kind, BACKBONES[backbone].family) for kind, backbone in BENCHES}
    assert set(DEFAULTS) == families
    for (kind, _), arguments in DEFAULTS.items():
        assert arguments
        assert all(kind in METHODS[method].kinds for method in arguments)


def test_what_tuning_found_lies_over_the_first_guesses():
    assert set(TUNED) == set(ON) <= set(DEFAULTS)
    for (kind, family), methods in TUNED.items():
        assert {TASKS[task].kind for task, _ in ON[kind, family]} == {kind}
        assert all(draw > 0 for _, draw in ON[kind, family])
        for method, found in methods.items():
            given = default_arguments(kind, family, method)
            assert found.arguments.items() <= given.items()
            assert set(found.arguments) <= set(space_of(method))
            assert 0 <= found.first <= found.best <= 1
            assert 1 <= found.worst_of <= len(ON[kind, family])
            assert found.trials in ((6,) if family == "mini-t5" else (8, 16))
            # A second round starts from what the first found; a default that left one class is replaced at S 0, too.
            assert found.trials == 16 or found.best == 0 or bool(found.arguments) == (found.best > found.first)
