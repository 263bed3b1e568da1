"""The method table, which is read from source files, is what the imported classes declare."""

import dataclasses

import pytest

from mubench.trainers.__main__ import main
from mubench.trainers.addons import ADDONS
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.argument_parser import FlagParser, RunArguments, method_parser
from mubench.trainers.runs.defaults import RECORDED, recorded_names
from mubench.trainers.runs.method_table import (
    ADAPTED,
    DECLARED,
    NATIVE,
    SHORT,
    UNDEFINED,
    addon_table,
    check_method,
    descriptions,
    method_table,
    table,
)
from mubench.trainers.unlearning.kinds import CLASSIFICATION, TEXT_GENERATION, TEXT_TO_IMAGE
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

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
def test_a_line_states_what_is_refused_and_what_is_adapted(cells, method):
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


def test_the_table_is_what_the_classes_declare():
    assert list(method_table()) == list(METHODS)
    for key, method in method_table().items():
        trainer = METHODS[key]
        assert not [name for name in DECLARED if getattr(method, name) != getattr(trainer, name)], key
        assert method.edits == trainer.edits()
        assert method.summary == (trainer.__doc__ or "").partition("\n")[0].replace("`", "")
        fields = {field.name: field for field in dataclasses.fields(trainer.arguments)}
        own = [name for name in recorded_names(trainer) if name not in RECORDED]
        assert list(method.options.items()) == [(name, fields[name].default) for name in own]


@pytest.mark.parametrize("method", METHODS)
def test_the_parser_of_a_method_is_that_of_its_class(method):
    both = [RunArguments, METHODS[method].arguments]
    expected = {action.dest: action for action in FlagParser(both)._actions}
    found = {action.dest: action for action in method_parser(method)._actions if action.dest != "config"}
    assert found.keys() == expected.keys()
    for name, action in found.items():
        for fact in ("option_strings", "nargs", "const", "required", "choices"):
            assert getattr(action, fact) == getattr(expected[name], fact), (name, fact)
        assert repr(action.type).partition(" at ")[0] == repr(expected[name].type).partition(" at ")[0], name
        if name in method_table()[method].options:
            assert (action.default, action.help) == (expected[name].default, expected[name].help)


def test_the_addon_table_is_what_the_addons_declare():
    assert list(addon_table()) == list(ADDONS)
    for key, declared in addon_table().items():
        for name in ("paper", "switch", "arguments", "splits_gradients"):
            assert getattr(declared, name) == getattr(ADDONS[key], name)


def test_options_are_a_methods_own_with_their_defaults():
    options = {key: method.options for key, method in method_table().items()}
    assert options["scrub"] == {"gamma": 1.0, "alpha": 0.5, "msteps": 3, "temperature": 2.0}
    assert options["finetune"] == {}
    shared = {field.name for field in dataclasses.fields(UnlearningTrainer.arguments)}
    assert not any(shared & own.keys() for own in options.values())


def test_remarks_name_what_narrows_a_choice():
    methods = method_table()
    assert methods["sfron"].remarks[0] == "its rows interact (coupled)"
    assert methods["ct"].remarks == ["takes no LoRA", "on resnet, convnext, mobilenet only"]
    assert "forgets whole classes only" in methods["unsir"].remarks
    assert methods["neg_grad"].remarks == []


def test_the_front_door_prints_the_table_and_a_summary_of_each(capsys):
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [*table(), "", *descriptions()]
    assert f"scrub           {method_table()['scrub'].summary}" in lines
    assert f"{'':<16}--gamma 1.0 --alpha 0.5 --msteps 3 --temperature 2.0" in lines
    with pytest.raises(SystemExit) as left:
        main(["methods", "scrub"])
    assert left.value.code == 2 and "unrecognized arguments: scrub" in capsys.readouterr().err
