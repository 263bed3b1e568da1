"""The weights of every method after a few steps on a tiny model, compared to 5e-5: machines round differently."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.safety_net import golden, measures, models, option_cases

GOLDEN = golden.read("weights")
TOLERANCE = 5e-5
# What is left for the slow tests: other models, other cuts of a step.
FAST_WRITERS = ("dpo", "jensun", "rmu", "npo", "simnpo", "random_label", "scrub", "undial")
ADDONS = ("superloss", "sophia", "munba", "dual_optim", "sam", "lora", "augmented", "in halves", "all weights", "alt")


def is_fast(name: str) -> bool:
    case = models.CASES[name]
    method, model, label = case["method"], case["model"], name.partition(f" on {case['model']}")[2].strip()
    if label:
        return label in ADDONS and method in ("neg_grad_plus", "npo", "dpo", "base")
    if method == "base":
        return model in ("gpt2", "painter", "resnet-coupled")
    first = next(key for key, one in models.CASES.items() if one["method"] == method)
    return name == first or (model == "gpt2" and method in FAST_WRITERS)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if is_fast(name) else pytest.mark.slow) for name in models.CASES]
)
def test_weights_are_those_that_were_written_down(name: str, tmp_path: Path) -> None:
    found, wanted = measures.weights(name, tmp_path), GOLDEN[name]
    assert found.keys() == wanted.keys()
    assert models.apart(found, wanted) < TOLERANCE


def test_every_method_is_among_the_cases() -> None:
    assert {case["method"] for case in models.CASES.values()} >= {*option_cases.methods(), "base"}
    assert GOLDEN.keys() == models.CASES.keys()
