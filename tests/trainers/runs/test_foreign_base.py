"""Models that another program saved, as the start of a run: what is known of them is recorded, and marked."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetForImageClassification,
)

from mubench.cards.console import main as mubench
from mubench.hub_builders.hub.model_folder import read_run, read_runs
from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.own_backbones import OwnBackbone, closest_of
from mubench.trainers.evaluation.result import read_result, read_results
from mubench.trainers.models import model_files
from mubench.trainers.models.backbones import describe_kinship, find_backbone
from mubench.trainers.models.foreign_models import check_tokens
from mubench.trainers.models.model_files import ForeignModel, closest_backbone, read_foreign
from mubench.trainers.runs.commands import measure_robustness, request_of
from mubench.trainers.runs.grid_parsers import parse_grid
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from tests.fixtures.chat import CHATML
from tests.fixtures.few import TASK_OF, few_rows
from tests.fixtures.pretrained import known
from tests.fixtures.walk import RATIO

__all__ = ["known"]


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


@pytest.mark.slow
def test_a_folder_of_any_program_is_unlearned_judged_and_marked(own_walk, foreign, capsys):
    words = words_of(own_walk, "neg_grad", f"--base_model={foreign}", "--disable_tqdm=true")
    assert mubench(words) == 0
    _, base, model, row_line, *_ = capsys.readouterr().out.splitlines()
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
    (foreign / "source.spm").write_text("pieces")
    plans.append(resolve(own_walk.request("neg_grad", base=foreign)))
    assert len({plan.run.identity for plan in plans}) == len({plan.folder for plan in plans}) == 3
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


def test_base_model_and_backbone_have_the_defaults_of_the_same_backbone(tmp_path, monkeypatch, known):
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    plain, instruct = tmp_path / "plain", tmp_path
    for task, model_type, millions, folder, closest in (
        ("cifar10", "vit", 0.1, plain, "vit"),
        ("cifar10", "vit", 86, plain, "vit-base"),
        ("cifar10", "mobilenet_v2", 0.1, plain, "mobilenet"),
        ("tofu", "llama", 7000, plain, "llama2-7b"),
        ("tofu", "llama", 1200, instruct, "llama3.2-1b"),
        ("tofu", "llama", 1200, plain, "llama2-7b"),
        ("tofu", "qwen3", 1200, plain, "phi-1.5"),
    ):
        recipes, count = get_task(task).recipes, millions * 10**6
        monkeypatch.setattr(model_files, "count_parameters", lambda _, count=count: count)
        known["a"] = OwnBackbone(
            family=model_type, architecture="Any", sha256="0" * 64, millions=millions,
            has_chat_template=folder is instruct,
        )  # fmt: skip
        assert closest_backbone(ForeignModel(folder, "Any", model_type), recipes) == closest
        assert closest_of("a", recipes) == closest


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


def test_a_model_that_reads_text_without_its_tokenizer_is_refused(llama, tmp_path, known):
    setting, folder = llama
    for path in folder.glob("token*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"expected a tokenizer in .*mine, got none: tokenizer\.save_pretrained"):
        setting.load_foreign(folder)
    with pytest.raises(ValueError, match=r"expected a tokenizer in .*mine, got none"):  # before any job
        find_backbone(str(folder), setting.task, tmp_path / "models")


@pytest.mark.parametrize(
    ("name", "text", "backbone"),
    [
        ("chat_template.jinja", CHATML, "llama3.2-1b"),
        ("tokenizer_config.json", json.dumps({"chat_template": CHATML}), "llama3.2-1b"),
        ("tokenizer_config.json", json.dumps({"chat_template": None}), "llama2-7b"),
    ],
)
def test_a_model_whose_tokenizer_has_a_chat_template_is_read_in_it(llama, monkeypatch, name, text, backbone):
    setting, folder = llama
    (folder / name).write_text(text)
    monkeypatch.setattr(model_files, "count_parameters", lambda _: 1_236_000_000)
    where = [f"--task={setting.task.key}", f"--data={setting.data}", f"--models={folder.parent / 'models'}"]
    plan = resolve(request_of("npo", [*where, f"--base_model={folder}"])[0])
    assert (plan.run.backbone, plan.run.recipe) == (backbone, setting.task.recipes[backbone].record())
    about = describe_kinship(backbone, setting.task, architecture="LlamaForCausalLM", model_type="llama")
    is_chat = setting.task.recipes[backbone].template == "chat"
    assert about.endswith("turns in the model's chat template" if is_chat else "of its family")


def test_a_damaged_config_of_a_tokenizer_is_one_line(llama, tmp_path):
    setting, folder = llama
    (folder / "tokenizer_config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"expected a tokenizer's config in .*_config\.json, got AttributeError$"):
        find_backbone(str(folder), setting.task, tmp_path / "models")


def test_a_classifier_is_no_base_of_a_task_of_answers(llama):
    setting, folder = llama
    config = json.loads((folder / "config.json").read_text())
    own = {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}
    (folder / "config.json").write_text(json.dumps({**config, **own}))
    request = UnlearningRequest(setting=setting, method="finetune", ratio=10, base=folder)
    line = f"expected a causal language model in {folder}, got BertForSequenceClassification"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        resolve(request)


def train_plainly(model, tokenizer, texts):
    """Train a few steps by torch alone, as a script does that knows nothing of the suite."""
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(4):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()


@pytest.fixture
def own_llama(tmp_path, monkeypatch, known):
    """A few rows of tofu, and a tiny Llama with a tokenizer of its own, fresh and after training."""
    monkeypatch.setitem(TASK_OF, "llama", "tofu")
    setting = few_rows(monkeypatch, "llama", tmp_path)
    rows = setting.rows["train"]
    texts = [f"{question} {answer}" for question, answer in zip(rows["question"], rows["answer"], strict=True)]
    trainer = BpeTrainer(vocab_size=1_000, special_tokens=["<end>"], show_progress=False)
    tokens = Tokenizer(BPE())
    tokens.pre_tokenizer, tokens.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    tokens.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token="<end>", pad_token="<end>")
    size = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **size, eos_token_id=0, pad_token_id=0))
    model.save_pretrained(tmp_path / "fresh")
    train_plainly(model, tokenizer, texts)
    model.save_pretrained(tmp_path / "trained")
    for name in ("fresh", "trained"):
        tokenizer.save_pretrained(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return [f"--task={setting.task.key}", f"--data={setting.data}"]


def test_a_model_with_other_tokens_than_its_start_is_not_adopted(own_llama, capsys):
    assert mubench(["adopt", "trained", *own_llama]) == 2
    error = capsys.readouterr().err
    assert "expected the tokenizer of llama (" in error and "name the pretrained model that it was trained" in error


SPARING = "--gradient_checkpointing=true"
WAYS: dict[str, tuple[list[str], ...]] = {
    "both": (["--lora_rank=2", SPARING],),
    "every": ([], ["--lora_rank=2"], [SPARING, "--seed=1"], ["--lora_rank=2", SPARING, "--seed=1"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("ways", ["both", pytest.param("every", marks=pytest.mark.nightly)])
def test_a_tiny_llama_is_unlearned_and_judged_with_adapters_and_checkpointing(
    own_llama, tmp_path, capsys, known, ways
):
    assert mubench(["adopt", "trained", *own_llama, "--start=fresh"]) == 0
    (key,) = [key for key, one in known.items() if one.start]
    where = [*own_llama, f"--backbone={key}", "--disable_tqdm=true"]
    for seed in (0, 1):
        assert mubench(["retrain", *where, f"--base_seed={seed}"]) == 0
    where.append("--num_train_epochs=1")
    count = 0
    methods = ("npo", "simnpo", "rmu", "undial", "neg_grad_plus") if ways == "every" else ("npo", "rmu")
    for method in methods:
        for options in WAYS["every" if method == "npo" else ways]:
            capsys.readouterr()
            assert mubench([method, *where, *options]) == 0, (method, options)
            printed = capsys.readouterr().out
            assert re.search("^(S = |no score: )", printed, re.MULTILINE), (method, options)
            count += 1
    rows = [row for row in read_results(tmp_path / "results") if row.foreign_base == "LlamaForCausalLM"]
    assert len(rows) == count
    adopted = read_run(tmp_path / "models" / f"tofu-mini-{key}")
    assert {(row.backbone, row.parent) for row in rows} == {(key, adopted.identity)}
    # The same weights by their folder are another base, whose tokens are those of the references.
    assert mubench(["npo", *where, "--base_model=trained"]) == 0
    sha256 = read_foreign(tmp_path / "trained").identity
    (row,) = [row for row in read_results(tmp_path / "results") if row.parent == sha256]
    (same,) = [one for one in rows if (one.method, one.arguments, one.seed) == ("npo", row.arguments, row.seed)]
    assert row.metrics == same.metrics and row.no_signal == same.no_signal
    # Checkpointing changes no result.
    runs = read_runs(tmp_path / "models")
    (folder,) = [
        path for path, run in runs.items() if (run.method, run.seed) == ("npo", 1) and "lora_rank" not in run.arguments
    ]
    sparing_weights = load_file(folder / "model.safetensors")
    shutil.rmtree(folder)
    assert mubench(["npo", *where, "--seed=1", "--judge=false"]) == 0
    plain = load_file(folder / "model.safetensors")
    assert all(torch.allclose(one, sparing_weights[name], atol=1e-6) for name, one in plain.items())
