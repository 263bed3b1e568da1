"""The table of methods that `make methods` prints is the one that the code holds to."""

import dataclasses

import pytest

from mubench.trainers.__main__ import main
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.applicability import check_method
from mubench.trainers.runs.method_table import ADAPTED, NATIVE, SHORT, UNDEFINED, descriptions, options, remarks, table
from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    TEXT_GENERATION,
    TEXT_TO_IMAGE,
    UnlearningTrainer,
)

GENERATIVE = (*TEXT_GENERATION, *TEXT_TO_IMAGE)
ORDER = (*CLASSIFICATION, *GENERATIVE)
HEARD = ("audio_classification", "video_classification")
# Where a method is carried over from the kinds of task that its paper is about.
CARRIED = {
    "random_label": GENERATIVE, "salun": GENERATIVE, "bad_teaching": GENERATIVE,
    "scrub": GENERATIVE, "delete": TEXT_GENERATION, "undial": CLASSIFICATION,
    "ce_u": CLASSIFICATION, "kl_min": CLASSIFICATION, "npo": (*CLASSIFICATION, *TEXT_TO_IMAGE),
    "simnpo": CLASSIFICATION, "wga": CLASSIFICATION, "rmu": (*CLASSIFICATION, "summarization", *TEXT_TO_IMAGE),
    "boundary_shrink": HEARD,
    "boundary_expand": ("text_classification", *HEARD), "unsir": HEARD, "amun": HEARD,
}  # fmt: skip


@pytest.fixture(scope="module")
def cells():
    lines = [line.split() for line in table()]
    assert lines[0] == ["method", *SHORT.values(), "rows", "coupled"] and tuple(SHORT) == ORDER
    return {line[0]: line[1:] for line in lines[1:-1]}


def test_every_method_has_a_line_in_the_order_of_the_table(cells):
    assert list(cells) == list(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_line_says_what_is_refused_and_what_is_carried_over(cells, method):
    for kind, cell in zip(ORDER, cells[method], strict=False):
        if cell == UNDEFINED:
            with pytest.raises(ValueError, match=f"method for {kind} must be one of"):
                check_method(method, kind)
        else:
            check_method(method, kind)
        assert (cell == ADAPTED) == (kind in METHODS[method].adapted_kinds)
    rest = cells[method][len(ORDER) :]
    assert rest == [*METHODS[method].splits, *["yes"] * METHODS[method].coupled]
    assert NATIVE in cells[method], "every method is made for something"


def test_what_is_carried_over_is_what_the_papers_are_not_about():
    assert {key: set(METHODS[key].adapted_kinds) for key in CARRIED} == {
        key: set(kinds) for key, kinds in CARRIED.items()
    }
    for trainer in METHODS.values():
        assert set(trainer.adapted_kinds) < set(trainer.kinds)


def test_options_are_a_methods_own_with_their_defaults():
    assert options(METHODS["scrub"]) == {"gamma": 1.0, "alpha": 0.5, "msteps": 3, "temperature": 2.0}
    assert options(METHODS["finetune"]) == {}
    shared = {field.name for field in dataclasses.fields(UnlearningTrainer.arguments)}
    assert not any(shared & options(trainer).keys() for trainer in METHODS.values())


def test_remarks_name_what_narrows_a_choice():
    assert remarks(METHODS["sfron"])[0] == "its rows interact (coupled)"
    assert remarks(METHODS["ct"]) == ["takes no LoRA", "on resnet, convnext, mobilenet only"]
    assert "forgets whole classes only" in remarks(METHODS["unsir"])
    assert remarks(METHODS["neg_grad"]) == []


def test_the_front_door_prints_the_table_and_a_summary_of_each(capsys):
    assert main(["methods"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [*table(), "", *descriptions()]
    assert "scrub           Alternates max passes over the forget rows with min passes over the retain rows." in said
    assert f"{'':<16}--gamma 1.0 --alpha 0.5 --msteps 3 --temperature 2.0" in said
    with pytest.raises(SystemExit) as left:
        main(["methods", "scrub"])
    assert left.value.code == 2 and "unrecognized arguments: scrub" in capsys.readouterr().err
