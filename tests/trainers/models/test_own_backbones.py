"""Custom backbones: a key of name and files, the closest recipe, and weights to start from."""

import json
import shutil
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mubench.cards.console import main as mubench
from mubench.hub_builders.hub.model_folder import read_run, read_runs
from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.own_backbones import OwnBackbone, closest_of, is_of_any_family, own_key, recipe_of
from mubench.trainers.evaluation.result import read_result, read_results
from mubench.trainers.models.backbones import describe_backbone, find_backbone, recall_backbone, remember_backbone
from mubench.trainers.models.model_files import read_foreign
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.method_table import methods_for
from tests.fixtures.few import few_rows
from tests.fixtures.pretrained import known, pretrained, setting

__all__ = ["known", "pretrained", "setting"]


def own(family, millions, architecture="Any", **fields):
    return OwnBackbone(family=family, millions=millions, architecture=architecture, sha256="0" * 64, **fields)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("org/Tiny_Llama-1.1B", "tiny-llama-1.1b"),
        ("/a/b/", "b"),
        ("...", "model"),
        ("é", "model"),
        ("x" * 99, "x" * 32),
    ],
)
def test_a_key_is_part_of_file_names_and_has_the_start_of_the_hash(name, words):
    assert own_key(name, "0123456789") == f"{words}-01234567"


def test_the_recipe_is_that_of_the_closest_backbone_in_family_size_and_parameters(known):
    task = get_task("tofu")
    for key, (backbone, closest) in {
        "a": (own("llama", 0.1), "llama"),
        "b": (own("llama", 300), "smollm2-135m"),
        "c": (own("llama", 6000), "llama2-7b"),
        "d": (own("phi", 0.1), "phi"),
        "e": (own("mistral", 6900), "llama2-7b"),
        "f": (own("mistral", 1), "llama"),
        "g": (own("llama", 9, start="gpt2"), "gpt2"),
    }.items():
        known[key] = backbone
        assert (closest_of(key, task.recipes), recipe_of(task, key)) == (closest, task.recipes[closest]), key
    for key, (backbone, name, closest) in {
        "h": (own("modernbert", 149), "ddi2013", "biobert"),
        "i": (own("modernbert", 0.5), "ddi2013", "modernbert-small"),
        "j": (own("audio-spectrogram-transformer", 86), "speech_commands", "wav2vec2-base"),
    }.items():
        known[key] = backbone
        assert closest_of(key, get_task(name).recipes) == closest, key
    (line,) = describe_backbone("e", task)
    assert line.endswith(
        "recipe and defaults are those of llama2-7b, a backbone of another family, for tasks of text_generation"
    )


def test_a_recipe_in_a_chat_template_is_for_models_that_have_one(known):
    task = get_task("tofu")
    known["a"], known["b"] = own("llama", 1236), own("llama", 1236, has_chat_template=True)
    known["c"] = own("llama", 1236, start="b")
    assert [recipe_of(task, key).template for key in "abc"] == ["none", "chat", "chat"]
    for key in "bc":
        (line,) = describe_backbone(key, task)
        assert "llama3.2-1b" in line and line.endswith("; prompts and answers are turns in the model's chat template")
    # Where there is no other recipe, the tokenizer without a template is refused later.
    assert closest_of("a", {"llama3.2-1b": task.recipes["llama3.2-1b"]}) == "llama3.2-1b"


def test_a_record_of_before_chat_templates_is_read(known, tmp_path):
    record = asdict(own("llama", 1236))
    del record["has_chat_template"]
    (tmp_path / ".backbones").mkdir()
    (tmp_path / ".backbones" / "mine-01234567.json").write_text(json.dumps(record))
    assert recall_backbone("mine-01234567", tmp_path) and not known["mine-01234567"].has_chat_template


def test_methods_for_some_families_take_models_of_these_alone(known):
    known["a"], known["b"] = own("mobilenet_v2", 3), own("dinov2", 3)
    assert is_of_any_family("a", ("mobilenet",)) and not is_of_any_family("b", ("resnet", "mobilenet"))
    assert {"ct"} == {*methods_for("image_classification", "a")} - {*methods_for("image_classification", "b")}


def test_base_models_start_from_its_weights_with_a_head_for_the_classes(setting, pretrained, tmp_path, capsys):
    models = tmp_path / "models"
    where = ["--task=cifar10", f"--data={setting.data}", f"--models={models}", "--disable_tqdm=true"]
    assert mubench(["base", *where, f"--backbone={pretrained}"]) == 0
    line, folder = capsys.readouterr().out.splitlines()
    key = own_key("my-resnet", read_foreign(pretrained).identity)
    assert line == (
        f"backbone: {key}, ResNetForImageClassification of 0.00381 M parameters; recipe and defaults are those of "
        "resnet, of its family"
    )
    assert folder == str(models / f"cifar10-mini-{key}")
    run = read_run(models / f"cifar10-mini-{key}")
    assert (run.backbone, run.backbone_files) == (key, read_foreign(pretrained).identity)
    assert run.recipe == setting.recipe.record()
    own_setting = load_setting("cifar10", key, data=setting.data)
    model, _ = own_setting.fresh_model(0)
    weights, state = load_file(pretrained / "model.safetensors"), model.state_dict()
    assert all(torch.equal(state[name], weights[name]) for name in state if not name.startswith("classifier"))
    assert tuple(model.config.id2label.values()) == setting.info.labels
    assert state["classifier.1.weight"].shape[0] == len(setting.info.labels)


@pytest.mark.slow
def test_runs_on_it_are_judged_and_its_key_is_enough_later(setting, pretrained, tmp_path, capsys, known):
    place = ["--task=cifar10", f"--data={setting.data}", f"--models={tmp_path / 'models'}"]
    where = [*place, f"--results={tmp_path / 'results'}"]
    for words in (["base"], ["retrain"], ["retrain", "--base_seed=1"]):
        assert mubench([*words, *place, f"--backbone={pretrained}", "--disable_tqdm=true"]) == 0
    (key,) = known
    known.clear()
    shutil.rmtree(pretrained)
    assert mubench(["neg_grad", *where, f"--backbone={key}", "--disable_tqdm=true"]) == 0
    out = capsys.readouterr().out
    assert f"backbone: {key}, ResNet" in out and "row: " in out
    known.clear()
    (path,) = (tmp_path / "results").glob("*neg-grad*.json")
    row = read_result(path)
    assert (row.backbone, len(row.backbone_files), row.foreign_base) == (key, 64, None)
    assert mubench(["rerun", str(path), *where[1:]]) == 0
    assert "(was there)" in capsys.readouterr().out
    known.clear()
    assert mubench(["leaderboard", f"--results={tmp_path / 'results'}"]) == 0
    assert f"cifar10 (mini), {key}" in capsys.readouterr().out
    assert mubench(["cards", *place[1:], f"--results={tmp_path / 'results'}"]) == 0
    assert all((folder / "README.md").is_file() for folder in read_runs(tmp_path / "models"))


@pytest.mark.slow
def test_worker_processes_of_a_sweep_know_it(setting, pretrained, tmp_path, capsys, known):
    where = ["--task=cifar10", *(f"--{name}={tmp_path / name}" for name in ("models", "results"))]
    grid = ["--methods", "neg_grad", "--base_seeds=0", "--seeds=0", "--retrain_seeds", "0 1", "--workers=2"]
    words = ["sweep", *where, f"--data={setting.data}", *grid, "--backbones", "resnet", str(pretrained)]
    assert mubench([*words, "--dry_run"]) == 0
    assert mubench(words) == 0
    assert capsys.readouterr().out.count("backbone: my-resnet-") == 2
    ((key, own_one),) = known.items()
    rows = [row for row in read_results(tmp_path / "results") if row.method == "neg_grad"]
    assert {row.backbone: row.backbone_files for row in rows} == {"resnet": None, key: own_one.sha256}


def test_other_files_are_another_backbone_and_changed_ones_are_refused(setting, pretrained, tmp_path):
    models = tmp_path / "models"
    first = find_backbone(str(pretrained), setting.task, models)
    config = json.loads((pretrained / "config.json").read_text())
    (pretrained / "config.json").write_text(json.dumps({**config, "note": "another"}))
    with pytest.raises(ValueError, match=r"expected the files of .* and it is another backbone"):
        load_setting("cifar10", first, data=setting.data).fresh_model(0)
    assert find_backbone(str(pretrained), setting.task, models) != first
    shutil.rmtree(pretrained)
    with pytest.raises(FileNotFoundError, match="expected the pretrained model of ResNetForImageClassification in"):
        load_setting("cifar10", first, data=setting.data).fresh_model(0)


def test_a_damaged_record_is_one_line(tmp_path):
    (tmp_path / ".backbones").mkdir()
    (tmp_path / ".backbones" / "mine-01234567.json").write_text("[]")
    with pytest.raises(ValueError, match=r"expected the record of a backbone in .*mine-01234567\.json, got TypeError"):
        recall_backbone("mine-01234567", tmp_path)
    assert not recall_backbone("../mine-01234567", tmp_path)


@pytest.mark.parametrize(
    ("start", "got"),
    [("mine", "that of an adopted model"), ("other", "none"), ("../mine", "none"), (5, "5")],
)
def test_a_record_that_starts_from_no_pretrained_model_is_refused(tmp_path, known, start, got):
    remember_backbone("mine", own("resnet", 1, start=start), tmp_path)
    known.clear()
    with pytest.raises(ValueError, match=f"^expected the .* in .*, got {got}$"):
        recall_backbone("mine", tmp_path)
    assert not known


def test_a_key_is_known_in_the_folder_of_models_that_has_its_record(setting, pretrained, tmp_path):
    key = find_backbone(str(pretrained), setting.task, tmp_path / "models")
    assert find_backbone(key, setting.task, tmp_path / "models") == key
    with pytest.raises(ValueError, match="backbone of cifar10 must be one of"):
        find_backbone(key, setting.task, tmp_path / "others")


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (shutil.rmtree, "backbone of cifar10 must be one of resnet"),
        (lambda folder: (folder / "config.json").unlink(), "expected a pretrained model with config.json"),
        (lambda folder: (folder / "run.json").write_text("{}"), "expected a pretrained model with config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "expected weights as safetensors in"),
        (lambda folder: (folder / "model.safetensors").write_text("?"), "expected weights in"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "preprocessor_config.json"),
        (
            lambda folder: save_file({"other.weight": torch.zeros(9)}, folder / "model.safetensors"),
            "expected the weights of ResNetForImageClassification in",
        ),
        (
            lambda folder: BertForMaskedLM(BertConfig(num_hidden_layers=1, vocab_size=8)).save_pretrained(folder),
            "Unrecognized configuration class",
        ),
    ],
)
def test_what_is_no_pretrained_model_of_the_kind_is_one_line(setting, pretrained, capsys, spoil, line):
    spoil(pretrained)
    where = [f"--data={setting.data}", f"--models={pretrained.parent / 'models'}", "--disable_tqdm=true"]
    assert mubench(["base", "--task=cifar10", *where, f"--backbone={pretrained}"]) == 2
    error = capsys.readouterr().err
    assert line in error and error.startswith("mubench: ") and error.count("\n") == 1


def test_a_language_model_without_a_padding_token_classifies_texts(tmp_path, monkeypatch, known):
    texts = few_rows(monkeypatch, "bert", tmp_path)
    tokens = Tokenizer(WordLevel({"<end>": 0, "the": 1}, unk_token="<end>"))
    tokens.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token="<end>").save_pretrained(tmp_path / "llama")
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    LlamaForCausalLM(LlamaConfig(vocab_size=2, **size)).save_pretrained(tmp_path / "llama")
    key = find_backbone(str(tmp_path / "llama"), texts.task, tmp_path / "models")
    own_setting = load_setting(texts.task.key, key, data=texts.data)
    model, tokenizer = own_setting.fresh_model(0)
    assert model.config.pad_token_id == tokenizer.pad_token_id == 0
    rows = own_setting.encode("test", tokenizer)
    batch = own_setting.modality.collator(tokenizer)([rows[0], rows[1]])
    assert model(**batch).logits.shape == (2, len(texts.info.labels))
