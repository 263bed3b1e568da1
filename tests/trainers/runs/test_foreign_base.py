"""Models that another program saved, as the start of a run: what is known of them is recorded, and marked."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, ResNetConfig, ResNetForImageClassification

from mubench.cards.console import main as mubench
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.hub_builders.tasks import get_task
from mubench.trainers.evaluation.result import read_result, read_results
from mubench.trainers.models.foreign_models import ForeignModel, check_tokens, closest_backbone, read_foreign
from mubench.trainers.runs.commands import measure_robustness
from mubench.trainers.runs.grid_parsers import parse_grid
from mubench.trainers.runs.plan import resolve
from tests.fixtures.few import few_rows
from tests.fixtures.walk import RATIO


def words_of(walk, *words):
    return [*words, "--task=cifar10", f"--ratio={RATIO}", *walk.flags(), f"--results={walk.results}"]


@pytest.fixture
def foreign(own_walk):
    """A classifier that a plain script saved: no names of classes, and another size than the suite's."""
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=6, hidden_sizes=[6, 12], depths=[1, 1], layer_type="basic", num_labels=10)
    folder = own_walk.root / "mine"
    ResNetForImageClassification(config).save_pretrained(folder)
    shutil.copy(own_walk.models / "cifar10-mini-resnet" / "preprocessor_config.json", folder)
    return folder


def test_a_folder_of_any_program_is_unlearned_judged_and_marked(own_walk, foreign, capsys):
    words = words_of(own_walk, "neg_grad", f"--base_model={foreign}", "--disable_tqdm=true")
    assert mubench(words) == 0
    base, model, row_line, _ = capsys.readouterr().out.splitlines()
    assert base == (
        "base:  ResNetForImageClassification of unknown training; defaults and references are those of resnet, "
        "of its family"
    )
    row = read_result(row_line.removeprefix("row:").strip())
    known = read_foreign(foreign)
    assert (row.foreign_base, row.parent) == ("ResNetForImageClassification", known.identity)
    assert row.parent not in row.references.identities
    assert mubench(words) == 0  # its folder is ours: the model has the names of the classes
    assert "(was there)" in capsys.readouterr().out
    assert mubench(["leaderboard", f"--results={own_walk.results}"]) == 0
    assert "neg_grad (own base ResNetForImageClassification)" in capsys.readouterr().out
    assert mubench(["cards", *own_walk.flags(), f"--results={own_walk.results}"]) == 0
    card = (own_walk.root / model.split()[1] / "README.md").read_text()
    assert "`ResNetForImageClassification` of unknown training" in card and known.identity in card
    own = [folder for folder, run in read_runs(own_walk.models).items() if run.foreign_base]
    for folder, run in read_runs(own_walk.models).items():
        if run.method == "neg_grad" and not run.foreign_base:
            shutil.rmtree(folder)
    lines = measure_robustness(parse_grid("robustness", words_of(own_walk)))
    assert lines == [f"{own[0].name}: left out, since its base model is none of the suite's"]


def test_other_files_are_another_run_and_runs_of_the_suite_record_nothing(own_walk, foreign):
    plans = [resolve(own_walk.request("neg_grad", base=foreign))]
    (foreign / "README.md").write_text("no part of the model")
    assert resolve(own_walk.request("neg_grad", base=foreign)).run == plans[0].run
    config = json.loads((foreign / "config.json").read_text())
    (foreign / "config.json").write_text(json.dumps({**config, "note": "another"}))
    plans.append(resolve(own_walk.request("neg_grad", base=foreign)))
    assert plans[0].run.identity != plans[1].run.identity and plans[0].folder != plans[1].folder
    suite = resolve(own_walk.request("neg_grad")).run
    assert suite.foreign_base is None and "foreign_base" not in suite.record()
    assert plans[0].request.setting.encoded is not own_walk.setting().encoded


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"architectures": []}, "expected a model's config in"),
        ({"architectures": ["../x"]}, "expected architectures and model_type in"),
        ({"num_labels": 3, "id2label": {"0": "a"}}, "expected all weights of the model that its config names"),
        (
            {"auto_map": {"AutoModelForImageClassification": "x.Y"}, "model_type": "none-such"},
            "expected a whole model in",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(own_walk, foreign, capsys, change, line):
    config = json.loads((foreign / "config.json").read_text())
    (foreign / "config.json").write_text(json.dumps({**config, **change}))
    assert mubench(words_of(own_walk, "neg_grad", f"--base_model={foreign}", "--disable_tqdm=true")) == 2
    error = capsys.readouterr().err
    assert line in error and error.startswith("mubench: ") and error.count("\n") == 1


def test_the_defaults_are_those_of_a_backbone_of_its_family(tmp_path):
    task = get_task("cifar10")

    def closest(model_type, tier):
        return closest_backbone(ForeignModel(tmp_path, "Any", model_type), task, tier)

    assert [closest("vit", tier) for tier in ("mini", "full")] == ["vit", "vit-base"]
    assert closest("mobilenet_v2", "mini") == "mobilenet" and closest("dinov2", "mini") is None


@pytest.fixture
def llama(tmp_path, monkeypatch):
    """The setting of a few rows of its task, and a Llama of another size that a plain script saved."""
    setting = few_rows(monkeypatch, "llama", tmp_path)
    _, tokenizer = setting.fresh_model(0)
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    model, folder = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **size, **ends)), tmp_path / "mine"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return setting, folder


def test_tokens_are_those_of_the_references(llama, tmp_path):
    setting, folder = llama
    check_tokens(setting, folder, folder)
    other = shutil.copytree(folder, tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"].popitem()
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ValueError, match="expected the tokenizer of the references"):
        check_tokens(setting, other, folder)


@pytest.mark.slow
def test_a_tiny_llama_is_unlearned_and_judged_with_adapters_and_checkpointing(llama, tmp_path, monkeypatch):
    setting, folder = llama
    monkeypatch.chdir(tmp_path)
    where = [f"--task={setting.task.key}", f"--data={setting.data}", "--disable_tqdm=true"]
    for words in (["base"], ["retrain"], ["retrain", "--base_seed=1"]):
        assert mubench([*words, *where, "--backbone=llama"]) == 0
    where += [f"--base_model={folder}", "--num_train_epochs=1"]
    sparing, count = "--gradient_checkpointing=true", 0
    for method in ("npo", "simnpo", "rmu", "undial", "neg_grad_plus"):
        for options in ([], ["--lora_rank=2"], [sparing, "--seed=1"], ["--lora_rank=2", sparing, "--seed=1"]):
            assert mubench([method, *where, *options]) == 0, (method, options)
            count += 1
    rows = [row for row in read_results(tmp_path / "results") if row.foreign_base == "LlamaForCausalLM"]
    assert len(rows) == count and {row.parent for row in rows} == {read_foreign(folder).identity}
    # Checkpointing changes no result.
    assert mubench(["npo", *where, "--seed=1", "--models=plain", "--judge=false"]) == 0
    (plain,) = (tmp_path / "plain").glob("*npo*/model.safetensors")
    one, other = (load_file(path) for path in (plain, tmp_path / "models" / plain.parent.name / plain.name))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)
