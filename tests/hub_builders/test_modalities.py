import random
from collections import Counter

import datasets
import pytest
from transformers import AutoTokenizer

from mubench.hub_builders.mini import MINI
from mubench.hub_builders.modalities import text


@pytest.fixture(scope="module")
def texts():
    return [row["text"] for rows in MINI["imdb"]().values() for row in rows]


@pytest.fixture(scope="module")
def tokenizer(texts):
    return text.make_tokenizer(texts)


def test_equal_texts_give_an_equal_vocabulary(texts, tokenizer):
    assert text.make_tokenizer(texts).get_vocab() == tokenizer.get_vocab()


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


def test_words_of_at_most_one_training_row_start_silent_and_no_others(texts, tokenizer):
    parts = {"train": texts[:-5], "test": texts[-5:]}
    rows = {split: datasets.Dataset.from_dict({"text": part}) for split, part in parts.items()}
    model, _ = text.TextModality().create("bert", ["neg", "pos"], rows, seed=0)
    silent = (model.get_input_embeddings().weight == 0).all(dim=1)
    counts = Counter(token for ids in tokenizer(parts["train"])["input_ids"] for token in ids)
    assert [token for token in range(len(tokenizer)) if counts[token] > 1] == (~silent).nonzero().flatten().tolist()
    names = {token for ids in tokenizer(texts)["input_ids"] for token in ids} - {t for t in counts if counts[t] > 1}
    assert len(names) == 3 * len(texts) and silent[list(names)].all()  # a title and two surnames each


def test_no_word_of_the_texts_is_unknown(texts, tokenizer):
    assert all(tokenizer.unk_token_id not in ids for ids in tokenizer(texts)["input_ids"])
