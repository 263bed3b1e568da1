"""Requests one after the other, and forget sets by memorisation, by commands on a whole mini task."""

import re

import numpy as np
import pytest

from mubench.cards.console import main
from mubench.hub_builders.tasks.names import MEMORISED
from mubench.trainers.sequences.sequence_result import read_sequences


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Return a folder with mini cifar10, one base model and two retrained ones."""
    root = tmp_path_factory.mktemp("requests")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["build", "cifar10"]) == 0
        _train("canonical", 10)
        yield root


def _train(family, ratio):
    flags = ["--task=cifar10", f"--family={family}", "--disable_tqdm=true"]
    assert main(["base", *flags]) == 0
    for seed in (0, 1):
        assert main(["retrain", *flags, f"--ratio={ratio}", f"--base_seed={seed}"]) == 0


@pytest.mark.nightly
def test_ten_requests_forget_their_rows_and_cost_more_than_one(here, capsys):
    words = ["sequence", "--task=cifar10", "--ratio=10", "--steps=10", "--method=scrub", "--disable_tqdm=true"]
    assert main(words) == 0
    (found,) = read_sequences(here / "results")
    assert [step.ratio for step in found.steps] == [*range(1, 11)]
    assert sum(step.rows for step in found.steps) == found.one_shot.rows == 120
    assert [step.parent for step in found.steps[1:]] == [step.identity for step in found.steps[:-1]]
    # Base models know nearly all rows; after its request a row is known as little as in retrained models.
    after = np.mean([step.scores.requests[place] for place, step in enumerate(found.steps)])
    assert np.mean(found.base.requests) > 0.95 and after < 0.9
    assert found.passes[-1] > 5 * found.one_shot.cost["passes_share"]
    capsys.readouterr()
    assert main(["cards", "sequences"]) == 0
    (picture,) = (here / "results" / "sequences").glob("*.png")
    assert f"picture: {picture.relative_to(here)}" in capsys.readouterr().out
    assert main(["leaderboard"]) == 2  # a sequence is no row


@pytest.mark.nightly
def test_rows_of_high_memorisation_are_farther_from_retrained_than_those_of_low(here, capsys):
    assert main(["memorised", "--task=cifar10"]) == 0
    for line in capsys.readouterr().out.splitlines():
        if command := re.match(r"mubench (build cifar10 --family memorised_(?:low|high) .*)", line):
            assert main(command[1].split()) == 0
    for family in (MEMORISED[0], MEMORISED[-1]):
        _train(family, 3)
    capsys.readouterr()
    assert main(["memorised", "--task=cifar10"]) == 0
    lines = {
        line.split()[0]: line.split()[3:] for line in capsys.readouterr().out.splitlines() if "memorised_" in line
    }
    low, high = lines[MEMORISED[0]], lines[MEMORISED[-1]]
    assert float(high[0]) > 0.2 and float(low[3]) < float(high[1])  # the intervals are disjoint
    assert lines[MEMORISED[1]][-2:] == ["not", "built"]
