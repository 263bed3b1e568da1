"""Texts and summaries: inputs, labels and decoder inputs, and folders that transformers reads."""

import datasets
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from mubench.hub_builders.dataset.shards import features
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.losses import IGNORED, per_example_loss, shift_labels
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities import modality as modality_base
from mubench.trainers.models.modalities import summarization as seq2seq
from tests.fixtures.backbones import first_by_day

MODALITY = MODALITIES["summarization"]
NAMES = ("Vonn", "Lirr", "Marr", "Nokk")
TOWNS = ("Velsk", "Brisk", "Velsk", "Brisk")


def table(names, towns):
    rows = list(zip(names, towns, strict=True))
    return datasets.Dataset.from_dict(
        {
            "example_id": [f"{name}-0" for name in names],
            "dialogue": [f"{name}: Shall we eat in {town}?\nBob: Yes, {name}." for name, town in rows],
            "summary": [f"They eat in {town}{' together' * (town == 'Brisk')}." for _, town in rows],
        }
    )


@pytest.fixture(scope="module")
def rows():
    return {"train": table(NAMES[:3], TOWNS[:3]), "test": table(NAMES[3:], TOWNS[3:])}


@pytest.fixture(scope="module", params=first_by_day(seq2seq.MINI))
def made(request, rows):
    return MODALITY.create(request.param, (), rows, seed=0)


def batch_of(rows, tokenizer):
    encoded = MODALITY.encode(rows, tokenizer)
    return MODALITY.collator(tokenizer)([dict(encoded[i]) for i in range(len(encoded))])


def test_the_columns_of_the_task_are_found():
    kinds = features(TASKS["samsum"], "mini")
    empty = datasets.Dataset.from_dict({name: [] for name in kinds}, features=kinds)
    assert seq2seq.prompts_and_answers(empty) == ("dialogue", "summary")


def test_a_row_is_a_text_to_read_and_a_text_to_write_with_their_ends(made, rows):
    _, tokenizer = made
    encoded = MODALITY.encode(rows["train"], tokenizer)
    for i, row in enumerate(rows["train"]):
        one = encoded[i]
        assert one["input_ids"][-1] == one["labels"][-1] == tokenizer.eos_token_id
        assert tokenizer.decode(one["input_ids"][:-1]) == row["dialogue"]
        assert tokenizer.decode(one["labels"][:-1]) == row["summary"]
        assert one["attention_mask"] == [1] * len(one["input_ids"])


def test_encoding_twice_gives_the_same_and_so_does_encoding_on_demand(made, rows, monkeypatch):
    kept = MODALITY.encode(rows["train"], made[1])
    monkeypatch.setattr(modality_base, "memory_share", lambda: 0)
    lazy = MODALITY.encode(rows["train"], made[1])
    assert kept.kept is not None and lazy.kept is None
    assert [kept[i] for i in range(len(kept))] == [lazy[i] for i in range(len(lazy))]


def test_long_texts_are_cut_and_end_all_the_same(made, rows):
    _, tokenizer = made
    whole, cut = (MODALITY.encode(rows["train"], tokenizer, length)[0] for length in (None, 4))
    for name in ("input_ids", "labels"):
        assert len(whole[name]) > 4 and cut[name] == [*whole[name][:3], tokenizer.eos_token_id]


def test_a_text_that_is_not_there_is_its_end_alone(made, rows):
    _, tokenizer = made
    silent = rows["test"].map(lambda row: {**row, "dialogue": ""})
    assert MODALITY.encode(silent, tokenizer)[0]["input_ids"] == [tokenizer.eos_token_id]


def test_a_tokenizer_that_writes_the_end_itself_does_not_get_a_second_one(made, rows):
    _, tokenizer = made

    class Ending:
        eos_token_id = tokenizer.eos_token_id

        def __call__(self, texts):
            return {"input_ids": [[*ids, self.eos_token_id] for ids in tokenizer(texts)["input_ids"]]}

    for length in (None, 4, 100):
        plain, ending = (MODALITY.encode(rows["train"], one, length) for one in (tokenizer, Ending()))
        assert [plain[i] for i in range(3)] == [ending[i] for i in range(3)]


def test_a_decoder_reads_the_token_before():
    labels = torch.tensor([[5, 6, 2], [7, 2, IGNORED], [2, IGNORED, IGNORED]])
    assert seq2seq.decoder_inputs(labels, 9, 0).tolist() == [[9, 5, 6], [9, 7, 2], [9, 2, 0]]
    assert labels[1, 2] == IGNORED


def test_a_batch_is_padded_behind_and_padding_has_no_label(made, rows):
    model, tokenizer = made
    batch = batch_of(rows["train"], tokenizer)
    lengths = [len(MODALITY.encode(rows["train"], tokenizer)[i]["labels"]) for i in range(3)]
    assert len(set(lengths)) > 1 and (batch["labels"] != IGNORED).sum(1).tolist() == lengths
    assert batch["decoder_input_ids"][:, 0].tolist() == [model.config.decoder_start_token_id] * 3
    assert shift_labels(model, batch)["labels"].tolist() == batch["labels"].tolist()


def test_losses_are_those_that_transformers_counts(made, rows):
    model, tokenizer = made
    batch = batch_of(rows["train"], tokenizer)
    with torch.no_grad():
        ours = per_example_loss(model.eval()(**model_inputs(batch)).logits, batch["labels"])
        for i in range(3):
            alone = batch_of(rows["train"].select([i]), tokenizer)
            del alone["decoder_input_ids"]  # then the model shifts the labels itself
            torch.testing.assert_close(model(**alone).loss, ours[i])


def test_tokens_of_one_row_start_at_zero_and_no_others(made, rows):
    model, tokenizer = made
    encoded = MODALITY.encode(rows["train"], tokenizer)
    seen = [{*encoded[i]["input_ids"], *encoded[i]["labels"]} for i in range(3)]
    silent = (model.get_input_embeddings().weight == 0).all(dim=1).tolist()
    assert silent == [sum(token in ids for ids in seen) < 2 for token in range(len(tokenizer))]
    assert all(silent[token] for name in NAMES for token in tokenizer(name)["input_ids"])
    (eat,) = tokenizer("eat")["input_ids"]
    assert not silent[eat]


@pytest.mark.parametrize("backbone", first_by_day(seq2seq.MINI))
def test_a_seed_decides_the_weights_and_nothing_is_dropped(backbone, rows):
    models = []
    for seed in (0, 0, 1):
        torch.rand(1)
        model, tokenizer = MODALITY.create(backbone, (), rows, seed)
        models.append(model)
    batch = model_inputs(batch_of(rows["train"], tokenizer))
    one, same, other = (model(**batch).logits for model in (models[0].train(), models[1].eval(), models[2]))
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)


def test_a_saved_folder_loads_with_equal_outputs(made, rows, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    outputs = [
        MODALITY.predict(model, tokenizer, rows["train"], MODALITY.encode(rows["train"], tokenizer))
        for model, tokenizer in (made, MODALITY.load(tmp_path))
    ]
    assert outputs[0].equals(outputs[1]) and outputs[0].ids.tolist() == rows["train"]["example_id"]
    assert made[1].decode(outputs[0].token_id[outputs[0].row == 1]) == "They eat in Brisk together.<end>"


def test_a_saved_folder_is_read_by_plain_transformers_which_generates_the_tokens_we_judge(made, rows, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    plain, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    batch = batch_of(rows["train"].select([0]), tokenizer)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    written = plain.generate(**inputs, max_new_tokens=3, do_sample=False, num_beams=1)
    assert written[0, 0] == tokenizer.pad_token_id
    with torch.no_grad():
        expected = made[0].eval()(**inputs, decoder_input_ids=written[:, :-1]).logits.argmax(-1)
    assert written[0, 1:].tolist() == expected[0].tolist()


def test_a_decoder_that_starts_with_another_token_is_refused(made, tmp_path):
    model, tokenizer = made
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = model.config.to_dict() | {"decoder_start_token_id": 1}
    type(model.config)(**config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"^expected a decoder that starts with padding \(0\), got 1$"):
        MODALITY.load(tmp_path)
