import random
from collections import Counter

import datasets
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from mubench.hub_builders.tasks import TASKS
from mubench.trainers.models.modalities import text_classification as text
from tests.fixtures.backbones import first_by_day
from tests.fixtures.mini_rows import mini_rows_of


@pytest.fixture(scope="module")
def texts():
    return [row["text"] for rows in mini_rows_of("imdb").values() for row in rows]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return text.make_tokenizer(texts)


def test_the_order_of_the_texts_does_not_matter(texts, tokenizer):
    shuffled = random.Random(0).sample(texts, len(texts))
    assert shuffled != texts
    assert text.make_tokenizer(shuffled).get_vocab() == tokenizer.get_vocab()


def test_order_decides_no_tie_where_the_vocabulary_is_cut(texts, monkeypatch):
    monkeypatch.setattr(text, "VOCABULARY", 300)  # cuts among the many words that occur once
    cut = text.make_tokenizer(texts).get_vocab()
    assert len(cut) == 300
    assert text.make_tokenizer(texts[::-1]).get_vocab() == cut


def test_a_tokenizer_reloads_equal(texts, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.pad_token_id == tokenizer.pad_token_id
    some = [*texts[::50], "A WORD never seen: Xylophon!"]
    assert loaded(some)["input_ids"] == tokenizer(some)["input_ids"]


def made(backbone, parts, seed=0):
    rows = {split: datasets.Dataset.from_dict({"text": part}) for split, part in parts.items()}
    return text.TextModality().create(backbone, ["neg", "pos"], rows, seed)


@pytest.mark.parametrize("backbone", first_by_day(text.MINI))
def test_words_of_at_most_one_training_row_start_at_zero_and_no_others(texts, tokenizer, backbone):
    parts = {"train": texts[:-5], "test": texts[-5:]}
    model, _ = made(backbone, parts)
    silent = (model.get_input_embeddings().weight == 0).all(dim=1)
    counts = Counter(token for ids in tokenizer(parts["train"])["input_ids"] for token in ids)
    assert [token for token in range(len(tokenizer)) if counts[token] > 1] == (~silent).nonzero().flatten().tolist()
    names = {token for ids in tokenizer(texts)["input_ids"] for token in ids} - {t for t in counts if counts[t] > 1}
    assert len(names) == 3 * len(texts) and silent[list(names)].all()  # a title and two surnames each


def test_no_word_of_the_texts_is_unknown(texts, tokenizer):
    assert all(tokenizer.unk_token_id not in ids for ids in tokenizer(texts)["input_ids"])


@pytest.mark.parametrize("backbone", first_by_day(text.MINI))
def test_a_mini_backbone_has_its_own_kind_and_at_most_about_a_million_weights(texts, backbone):
    model, _ = made(backbone, {"train": texts})
    assert model.config.model_type == {"deberta": "deberta-v2"}.get(backbone, backbone)
    assert 50_000 < model.num_parameters() < 1_100_000


def test_models_of_the_same_splits_share_one_vocabulary(texts):
    rows = {"train": datasets.Dataset.from_dict({"text": texts[:20]})}
    others = {"train": datasets.Dataset.from_dict({"text": texts[20:40]})}
    make = text.TextModality().create
    one, same, other = (make("bert", ["neg", "pos"], splits, 0)[1] for splits in (rows, rows, others))
    assert one is same and one.get_vocab() != other.get_vocab()


@pytest.mark.parametrize(
    ("task", "backbone", "kind"), [("imdb", "dan", "eurobert"), ("ddi2013", "modernbert-small", "modernbert")]
)
def test_a_backbone_for_real_texts_reads_as_many_tokens_as_its_recipe(texts, task, backbone, kind):
    model, tokenizer = made(backbone, {"train": texts})
    longest = TASKS[task].recipes[backbone].max_length
    batch = tokenizer(" ".join(texts[:50]), truncation=True, max_length=longest, return_tensors="pt")
    assert batch["input_ids"].shape == (1, longest) and longest <= model.config.max_position_embeddings
    assert model.config.model_type == kind and model(**batch).logits.isfinite().all()


@pytest.mark.parametrize("backbone", first_by_day(text.MINI))
def test_a_seed_decides_the_head_and_nothing_is_dropped(texts, backbone):
    few = {"train": texts[:20]}
    one, same, other = (made(backbone, few, seed)[0] for seed in (0, 0, 1))
    ids = made(backbone, few)[1](texts[:8], padding=True, return_tensors="pt")
    torch.testing.assert_close(one.train()(**ids).logits, same.eval()(**ids).logits, rtol=0, atol=0)
    assert not torch.equal(one(**ids).logits, other(**ids).logits)
    bodies = one.base_model.state_dict(), other.base_model.state_dict()
    assert all(torch.equal(value, bodies[1][name]) for name, value in bodies[0].items())


@pytest.mark.parametrize("backbone", first_by_day(text.MINI))
def test_a_saved_folder_is_read_by_us_and_by_plain_transformers(texts, backbone, tmp_path):
    model, tokenizer = made(backbone, {"train": texts[:20]})
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path)
    loaded, reloaded = text.TextModality().load(tmp_path)
    ids = tokenizer(texts[:8], padding=True, return_tensors="pt")
    assert dict(reloaded(texts[:8])) == dict(tokenizer(texts[:8]))
    expected = model.eval()(**ids).logits
    for one in (loaded, AutoModelForSequenceClassification.from_pretrained(tmp_path)):
        assert torch.equal(one.eval()(**ids).logits, expected)
    labels = pipeline("text-classification", model=str(tmp_path), device="cpu")(texts[:8])
    assert [one["label"] for one in labels] == [("neg", "pos")[best] for best in expected.argmax(1)]


@pytest.mark.parametrize("backbone", first_by_day(text.MINI))
def test_padding_changes_no_output(texts, backbone):
    model, tokenizer = made(backbone, {"train": texts[:20]})
    alone = model.eval()(**tokenizer("a film", return_tensors="pt")).logits
    padded = model(**tokenizer(["a film", texts[0]], padding=True, return_tensors="pt")).logits[:1]
    torch.testing.assert_close(alone, padded)
