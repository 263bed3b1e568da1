"""Which methods there are for a kind of task, a backbone and the rows to forget, and what is said of the others."""

from types import SimpleNamespace

import datasets
import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.tasks.definition import Definition, resolve_task
from mubench.trainers.methods import METHODS
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.method_table import (
    check_method,
    check_request,
    forgets_whole_classes,
    methods_for,
    methods_on,
)
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import QUIET
from tests.fixtures.walk import COUNTS, RATIO, few, quick


def test_a_method_for_some_backbones_is_refused_on_others_and_names_those_that_are_made_for_them():
    check_method("ct", "image_classification", "resnet-50")
    check_method("ct", "image_classification", "mobilenet")
    with pytest.raises(ValueError, match=r"method for image_classification on vit must be one of .*ssd.*, got 'ct'"):
        check_method("ct", "image_classification", "vit")
    with pytest.raises(ValueError, match=r"method for text_classification must be one of .*, got 'ct'"):
        check_method("ct", "text_classification", "bert")
    assert set(methods_for("image_classification", "resnet")) - set(methods_for("image_classification", "vit")) == {
        "ct"
    }


@pytest.mark.parametrize("method", ["boundary_shrink", "amun", "unsir"])
def test_methods_that_change_inputs_are_refused_for_text(method):
    for kind in ("text_classification", "text_generation", "summarization"):
        with pytest.raises(ValueError, match=rf"method for {kind} must be one of .*, got '{method}'"):
            check_method(method, kind)
    check_method(method, "image_pair_classification")


def test_a_method_for_whole_classes_is_refused_for_rows_of_classes_that_stay(walked):
    setting = walked.setting()
    assert not forgets_whole_classes(setting, RATIO)
    with pytest.raises(
        ValueError, match=r"rows of classes that stay must be one of .*quantile, got 'unsir': it forgets whol"
    ):
        resolve(walked.request("unsir"))
    check_request("amun", setting, RATIO)
    assert [key for key in methods_for("image_classification", "resnet") if key not in methods_on(setting, RATIO)] == [
        key for key in METHODS if METHODS[key].whole_classes
    ]


def test_methods_that_train_other_answers_are_refused_for_texts_without_prompts():
    definition = Definition(file="0" * 64, title="Mine", kind="text_generation", prefix_free=True, source="news")
    task, rows = resolve_task("mine", definition), datasets.Dataset.from_dict({"text": ["a b"]})
    setting = SimpleNamespace(task=task, backbone="llama", rows={"train": rows})
    with pytest.raises(ValueError, match=r"without prompts must be one of .*npo.*, got 'dpo': it trains"):
        check_request("dpo", setting, RATIO)
    assert {*methods_for(task.kind, "llama")} - {*methods_on(setting, RATIO)} == {"dpo", "altpo", "jensun"}


@pytest.mark.slow
def test_a_class_of_ones_own_is_unlearned_with_noise(tmp_path):
    with quick():
        rows = few(COUNTS)["train"]
        names = [row["example_id"] for row in rows if row["label"] == 0]
        (tmp_path / "ids.txt").write_text("\n".join(names))
        data = build("cifar10", out=tmp_path, family="custom", forget_ids=tmp_path / "ids.txt")
        setting = load_setting("cifar10", "resnet", data=str(data), family="custom")
        ratio = round(100 * len(names) / len(rows))
        assert forgets_whole_classes(setting, ratio) and "unsir" in methods_on(setting, ratio)
        train_base(setting, 0, models=tmp_path, **QUIET)
        folder = unlearn(
            resolve(UnlearningRequest(setting=setting, method="unsir", ratio=ratio, models=tmp_path, arguments=QUIET))
        )
    assert read_run(folder).cost["forward"] > 40 * len(names)
