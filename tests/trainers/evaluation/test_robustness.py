"""The values that need weights, and the command that adds them to result rows."""

import dataclasses

import pytest

from mubench.hub_builders.tasks.own_backbones import OwnBackbone
from mubench.trainers.__main__ import main
from mubench.trainers.evaluation import relearning
from mubench.trainers.evaluation import robustness as measuring
from mubench.trainers.evaluation.result import read_result
from mubench.trainers.evaluation.robustness import Robustness
from mubench.trainers.metrics import WEIGHT_METRICS, Case
from mubench.trainers.metrics.accuracy import majority_baseline
from mubench.trainers.metrics.score import parts
from mubench.trainers.models.base_models import predict_splits
from tests.fixtures.pretrained import known
from tests.fixtures.walk import FORGET, RATIO

__all__ = ["known"]


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(relearning, "LIMIT", 6)


@pytest.mark.slow
def test_a_row_has_every_value_after_the_command_and_keeps_it(own_walk, short, capsys, monkeypatch):
    words = ["robustness", "--task=cifar10", f"--ratio={RATIO}", "--backbone=resnet", *own_walk.flags()]
    words.append(f"--results={own_walk.results}")
    assert main([*words, "--methods", "scrub"]) == 0 and capsys.readouterr().out == ""
    assert main(words) == 0
    (line,) = capsys.readouterr().out.splitlines()
    (path,) = own_walk.results.glob("*neg-grad*.json")
    row = read_result(path)
    assert line.startswith(f"{row.run_id}: relearn ") and {"row", "ain", "score_int4"} <= row.metrics.keys()
    assert {name: row.metrics[name].n for name in WEIGHT_METRICS if name in row.metrics} == {
        "relearn": FORGET // 2, "ain": FORGET, "score_int8": FORGET, "score_int4": FORGET,
    }  # fmt: skip
    monkeypatch.setattr(measuring, "relearn", None)
    assert main(words) == 0 and capsys.readouterr().out.splitlines() == [line]


def test_scores_of_rounded_weights_are_those_of_the_rounded_model(walked, monkeypatch):
    group = walked.judge().group
    found = Robustness(group)
    (folder,) = group.unlearned
    monkeypatch.setattr(measuring, "quantize", lambda model, bits: None)
    retrained, bases = group.references()
    own = {split: one for split, one in group.outputs(folder).items() if split != "shifted"}
    same = found._outputs_quantized_to(folder, 8)
    assert all(same[split].equals(one) for split, one in own.items()) and same.keys() == own.keys()
    chance = majority_baseline(retrained[0]["test"])
    assert found._score(same) == float(parts(Case(own, retrained, bases, chance)).score)


@pytest.mark.slow
def test_an_adopted_model_and_its_retrained_models_encode_rows_by_their_own_processors(walked, monkeypatch, known):
    known["mine"] = OwnBackbone(family="resnet", architecture="Any", sha256="0" * 64, start="resnet")
    group = walked.judge().group
    setting = dataclasses.replace(group.setting, backbone="mine", encoded={})
    found = Robustness(dataclasses.replace(group, setting=setting))
    monkeypatch.setattr(measuring, "quantize", lambda model, bits: None)
    (folder,) = group.unlearned
    plain = found._outputs_quantized_to(folder, 8)  # encodes rows by the suite's processor
    model, processor = setting.load(folder)
    processor.image_mean = [0.0, 0.0, 0.0]
    monkeypatch.setattr(Robustness, "_load", lambda *_: (model, processor))
    own = found._outputs_quantized_to(folder, 8)
    expected = predict_splits(dataclasses.replace(setting, encoded={}), model, processor, walked.models)
    assert own["test"].equals(expected["test"]) and not own["test"].equals(plain["test"])
