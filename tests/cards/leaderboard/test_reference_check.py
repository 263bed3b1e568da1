"""Rows of a table were judged against the same reference models."""

from hashlib import sha256

import pytest

from mubench.cards.leaderboard import tables
from mubench.trainers.evaluation.result import References


def test_rows_of_other_references_are_not_compared(new_row):
    other = new_row("b", references=References(retrained=[0, 1, 2, 3], bases=[0, 1]))
    with pytest.raises(ValueError, match="'b-b0-s0' to be judged against the models of 'a-b0-s0', got others"):
        tables([new_row("a"), other])


def on_machine(name, seeds=(0, 1, 2)):
    """Return references whose outputs are those of a machine; their identities are the same everywhere."""
    models = [*(f"retrained {seed}" for seed in seeds), "base 0"]
    identities = [sha256(model.encode()).hexdigest() for model in models]
    outputs = [sha256(f"{name} {model}".encode()).hexdigest() for model in models] if name else []
    return References(retrained=list(seeds), bases=[0], identities=identities, outputs=outputs)


@pytest.mark.parametrize("other", ["two", ""])
def test_rows_of_two_machines_never_share_a_table(new_row, other):
    own = sha256(b"one retrained 0").hexdigest()
    rows = [new_row("a", references=on_machine("one")), new_row("b", references=on_machine("one")),
            new_row("retrain", control=True, references=on_machine("one", (1, 2)), outputs=own)]  # fmt: skip
    assert len(tables(rows)) == 1
    for method, judges, kept in (("b", (0, 1, 2), rows[:1]), ("retrain", (1, 2), rows[:2])):
        with pytest.raises(
            ValueError, match="got other outputs of them, as of another machine; judge it again"
        ) as caught:
            tables([*kept, new_row(method, references=on_machine(other, judges))])
        assert "\n" not in str(caught.value)
    elsewhere = rows[2].model_copy(update={"outputs": sha256(b"two retrained 0").hexdigest()})
    with pytest.raises(ValueError, match="as of another machine"):
        tables([*rows[:2], elsewhere])


@pytest.mark.parametrize(
    ("changes", "folders", "variables"),
    [
        ({}, {}, ""),
        ({"deletion_seed": 1}, {"results": "rows"}, " --data mu-bench-d1 --results rows"),
        ({"deletion_seed": 1}, {"data": "a/mu-bench", "models": "m"}, " --data a/mu-bench-d1 --models m"),
        ({}, {"data": "mine"}, " --data mine"),
    ],
)
def test_the_command_that_judges_again_names_all_folders(new_row, changes, folders, variables):
    other = new_row("b", references=References(retrained=[0, 1, 2, 3], bases=[0, 1]), **changes)
    with pytest.raises(
        ValueError, match=f"mubench sweep --task cifar10 --ratio 5 --backbone resnet{variables}, or remove"
    ):
        tables([new_row("a", **changes), other], **folders)
