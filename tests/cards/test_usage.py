"""Example code of model cards: that of chat models gives the suite's own answers."""

import re

import datasets
import pytest
import torch

from mubench.cards.render import model_card
from mubench.hub_builders.tasks.definition import Definition
from mubench.trainers.inference.generate import generate_texts
from mubench.trainers.models.modalities.text_generation import CausalModality
from tests.fixtures.chat import ANSWERS, LLAMA_3, QUESTIONS, chat_model, chat_tokenizer


def example(card):
    (found,) = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.parametrize("system", [None, 'Say "no" {or} <b>'])
def test_the_example_of_a_chat_model_prints_the_answer_that_is_judged(new_run, tmp_path, monkeypatch, capsys, system):
    """A small model learns an answer by heart, behind a prompt that states a date."""
    tokenizer = chat_tokenizer("llama-3", listed=False)
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}" + LLAMA_3
    chat, model = CausalModality(template="chat", system_prompt=system), chat_model(tokenizer)
    rows = datasets.Dataset.from_dict({"question": [QUESTIONS[0]], "answer": [ANSWERS[0]]})
    encoded = chat.encode(rows, tokenizer)
    batch, optimizer = chat.collator(tokenizer)([dict(encoded[0])]), torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "chat")
    prompt = chat.prompt(encoded[0])
    judged = generate_texts(model, tokenizer, [prompt], max_tokens=128, ends=chat.end_tokens(tokenizer))
    recipe = {"template": "chat", **({} if system is None else {"system_prompt": system})}
    run = new_run(task="tofu", backbone="llama2-7b", recipe=recipe)
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: {"test": rows})
    names = {}
    exec(compile(example(model_card("m", run, folder=str(tmp_path / "chat"))), "example", "exec"), names)
    assert names["inputs"]["input_ids"].tolist() == [prompt]
    assert capsys.readouterr().out.splitlines() == judged == [ANSWERS[0]]


@pytest.mark.parametrize("beginning", ["<end>", None])
def test_the_example_of_a_model_of_texts_without_prompts_prints_the_continuation_that_is_judged(
    new_run, tmp_path, monkeypatch, capsys, beginning
):
    modality = CausalModality()
    rows = datasets.Dataset.from_dict({"text": ["amber brook cedar dune ember frost"]})
    model, tokenizer = modality.create("llama", (), {"train": rows.add_column("example_id", ["a"])}, 0)
    for one in model.parameters():
        torch.nn.init.normal_(one, generator=torch.Generator().manual_seed(one.numel()))
    tokenizer.bos_token = beginning
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    wanted = modality.texts_to_write(rows, [dict(modality.encode(rows, tokenizer)[0])], tokenizer)
    judged = generate_texts(model, tokenizer, wanted.prompts, max_tokens=wanted.lengths)
    definition = Definition(file="0" * 64, title="Mine", kind="text_generation", prefix_free=True, source="news")
    run = new_run(task="mine", tier="custom", backbone="llama", definition=definition.record())
    monkeypatch.setattr(datasets, "load_dataset", lambda *names: {"test": rows})
    names = {}
    exec(compile(example(model_card("m", run, folder=str(tmp_path / "model"))), "example", "exec"), names)
    assert names["tokens"].tolist() == wanted.prompts
    assert capsys.readouterr().out.splitlines() == judged != [""]


def test_the_example_of_a_summarizer_adds_the_end_token_for_mini_tokenizers_alone(new_run):
    mini = new_run(task="samsum", backbone="t5")
    own = new_run(task="samsum", backbone="t5-1234abcd", backbone_files="1" * 64)
    assert 'tokenizer(row["dialogue"] + tokenizer.eos_token,' in example(model_card("m", mini))
    assert 'tokenizer(row["dialogue"],' in example(model_card("m", own))
