"""The public names of the package, each of which can be imported from its room."""

from mubench import hub_builders, trainers


def test_every_public_name_is_there():
    for room in (hub_builders, trainers):
        assert set(room.__all__) <= set(dir(room)) and not hasattr(room, "nothing")
        assert not [name for name in room.__all__ if getattr(room, name, None) is None]
    for trainer in trainers.METHODS.values():
        assert getattr(trainers, trainer.__name__) is trainer
        assert getattr(trainers, trainer.arguments.__name__) is trainer.arguments
    assert trainers.judge.__module__ == "mubench.trainers.runs.own_models"
