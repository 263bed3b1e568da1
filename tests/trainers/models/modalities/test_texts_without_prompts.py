"""Texts without prompts: every token has a label, and what follows their first half is written."""

from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from tokenizers.processors import TemplateProcessing

from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.inference.generate import GenerationRequest
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities.shifts import SENTENCE
from mubench.trainers.models.modalities.text_output import make_tokenizer

MODALITY = MODALITIES["text_generation"]
TEXTS = ["amber brook cedar dune ember", "frost grove", "heath isle jade knoll lake mesa north opal"]


@pytest.fixture(scope="module")
def rows():
    ids = [f"row-{i}" for i in range(len(TEXTS))]
    return datasets.Dataset.from_dict({"example_id": ids, "group": ids, "text": TEXTS})


@pytest.fixture(scope="module")
def made(rows):
    """Return a model that repeats no token, and its tokenizer."""
    model, tokenizer = MODALITY.create("llama", (), {"train": rows}, 0)
    with torch.no_grad():
        for one in model.parameters():
            one.add_(0.3 * torch.randn(one.shape, generator=torch.Generator().manual_seed(one.numel())))
    return model, tokenizer


def tokenizer_with(beginning):
    """Return a tokenizer that writes a beginning token itself, has one that it does not write, or has none."""
    tokenizer = make_tokenizer([*TEXTS, SENTENCE])
    if beginning == "written":
        template = TemplateProcessing(single="<end> $A", special_tokens=[("<end>", tokenizer.bos_token_id)])
        tokenizer.backend_tokenizer.post_processor = template
    elif beginning == "none":
        tokenizer.bos_token = None
    return tokenizer


@pytest.mark.parametrize("beginning", ["written", "had", "none"])
def test_every_token_behind_the_first_has_a_label_and_no_end_token_follows(rows, beginning):
    tokenizer = tokenizer_with(beginning)
    plain = make_tokenizer([*TEXTS, SENTENCE])
    first = [] if beginning == "none" else [plain.bos_token_id]
    for text, row in zip(TEXTS, MODALITY.encode(rows, tokenizer, 64), strict=True):
        ids = [*first, *plain(text)["input_ids"]]
        assert row == {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [IGNORED, *ids[1:]]}


@pytest.mark.parametrize("beginning", ["written", "had", "none"])
def test_the_sentence_in_front_of_a_changed_text_has_no_label(rows, beginning):
    tokenizer = tokenizer_with(beginning)
    plain = make_tokenizer([*TEXTS, SENTENCE])
    for text, row in zip(TEXTS, MODALITY.encode_shifted(rows, tokenizer, 64), strict=True):
        own = plain(text)["input_ids"]
        assert row["labels"][-len(own) :] == row["input_ids"][-len(own) :] == own
        assert set(row["labels"][: -len(own)]) == {IGNORED}


def test_a_text_of_the_greatest_length_may_be_a_token_longer_behind_the_sentence():
    tokenizer = make_tokenizer([SENTENCE, "amber"])
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.bos_token = None
    rows = datasets.Dataset.from_dict({"text": ["ambe"]})
    (plain,), (moved,) = MODALITY.encode(rows, tokenizer, 4), MODALITY.encode_shifted(rows, tokenizer, 4)
    assert len(plain["input_ids"]) == 4 and sum(label != IGNORED for label in moved["labels"]) == 5


def test_the_loss_of_a_row_is_that_of_all_its_tokens(rows, made):
    model, tokenizer = made
    found = MODALITY.predict(model, tokenizer, rows, MODALITY.encode(rows, tokenizer))
    for text, loss, length in zip(TEXTS, found.loss, found.lengths, strict=True):
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]])
        assert length == ids.shape[1] - 1
        with torch.no_grad():
            assert loss == pytest.approx(model(input_ids=ids, labels=ids).loss.item(), rel=1e-5)


def test_a_model_writes_as_many_tokens_as_follow_the_first_half(rows, made):
    model, tokenizer = made
    plain = MODALITY.predict(model, tokenizer, rows, MODALITY.encode(rows, tokenizer))
    request = GenerationRequest("train", rows, np.arange(3), None, sampled=(0, 2))
    answers = MODALITY.add_generated(plain, model, tokenizer, request).answers
    for row, text in enumerate(TEXTS):
        ids = tokenizer(text)["input_ids"]
        known = len(ids) // 2
        assert answers.reference[row] == tokenizer.decode(ids[known:])
        written = [tokenizer.bos_token_id, *ids[:known]]
        for _ in ids[known:]:  # one token at a time, without a batch and its padding
            with torch.no_grad():
                written.append(int(model(input_ids=torch.tensor([written])).logits[0, -1].argmax()))
        assert tokenizer.eos_token_id not in written[1:]
        assert answers.generated[row] == tokenizer.decode(written[known + 1 :], skip_special_tokens=True).strip()
    assert np.isnan(answers.perturbed_losses).all()
    assert [sum(one is not None for one in each) for each in answers.sampled] == [8, 0, 8]


def test_texts_that_are_too_long_or_too_short_or_turns_are_refused(rows):
    tokenizer = tokenizer_with("none")
    with pytest.raises(ValueError, match=r"expected a text of at most 4 tokens, got 5: 'amber .*`chunk_words`"):
        MODALITY.encode(rows, tokenizer, 4)
    with pytest.raises(ValueError, match="expected a text of 2 tokens or more, got 1: 'opal'"):
        MODALITY.encode(datasets.Dataset.from_dict({"text": ["opal"]}), tokenizer, 4)
    with pytest.raises(ValueError, match="expected a text of 2 tokens or more, got 0: ''"):
        MODALITY.encode(datasets.Dataset.from_dict({"text": [""]}), tokenizer, 4)[0]
    with pytest.raises(ValueError, match="expected template none for texts without prompts, got chat"):
        replace(MODALITY, template="chat").encode(rows, tokenizer, 4)
