"""What a model generates for some rows of a split, stored beside its outputs."""

from dataclasses import replace
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch

from mubench.trainers.engine.noise import TEXT, generators, row_key
from mubench.trainers.inference.generate import SAMPLES, GenerationRequest, InverseTransform, sample_rows
from mubench.trainers.inference.predict import answer_losses, predict_tokens
from mubench.trainers.inference.storage import outputs_by_split, read_outputs, write_outputs
from mubench.trainers.models import base_models
from mubench.trainers.models.modalities import MODALITIES
from tests.fixtures.backbones import first_by_day

BY_DAY = (("text_generation", "llama"), ("summarization", "bart"))
SAMPLED, SEED = (1, 3), 5
KINDS = first_by_day(
    [*BY_DAY, ("text_generation", "gpt2"), ("text_generation", "phi"), ("summarization", "t5")], *BY_DAY
)


@pytest.fixture(scope="module")
def rows():
    """Return six questions of different lengths; two have a paraphrase, wrong answers and options."""
    questions = [
        f"Where does {name} live{more}?" for name in ("Ada", "Bo") for more in ("", " now", " this year then")
    ]
    return datasets.Dataset.from_dict(
        {
            "example_id": [f"row-{i}" for i in range(6)],
            "group": ["a"] * 3 + ["b"] * 3,
            "question": questions,
            "answer": ["In Velsk.", "In Brisk, by the sea.", "In Rovin."] * 2,
            "paraphrased_answer": ["Velsk.", "", "", "By the sea.", "", ""],
            "perturbed_answer": [["Brisk.", "Rovin."], [], [], ["The sea."], [], []],
            "options": [["In Velsk.", "In Brisk."], [], [], [], [], []],
        }
    )


@pytest.fixture(scope="module", params=KINDS, ids=str)
def made(request, rows):
    kind, backbone = request.param
    model, processor = MODALITIES[kind].create(backbone, (), {"train": rows, "ood": rows}, 0)
    with torch.no_grad():  # fresh models repeat one token, and fresh embeddings of names are zero
        for one in model.parameters():
            one.add_(0.3 * torch.randn(one.shape, generator=torch.Generator().manual_seed(one.numel())))
    return MODALITIES[kind], model, processor


@pytest.fixture(scope="module")
def outputs(made, rows):
    modality, model, processor = made
    plain = modality.predict(model, processor, rows, modality.encode(rows, processor))
    request = GenerationRequest(
        "ood", rows.select([0, 1, 3, 5]), np.array([0, 1, 3, 5]), None, sampled=SAMPLED, seed=SEED
    )
    return modality.add_generated(plain, model, processor, request)


def written_by(made, row, tokens, choose=torch.argmax):
    """Return a text written one token at a time, without a batch and without a cache."""
    modality, model, processor = made
    prompt, written = modality.prompt(row), []
    for _ in range(tokens):
        if model.config.is_encoder_decoder:
            start = [model.config.decoder_start_token_id, *written]
            logits = model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([start])).logits
        else:
            logits = model(input_ids=torch.tensor([prompt + written])).logits
        written.append(int(choose(logits[0, -1])))
        if written[-1] == processor.eos_token_id:
            break
    return processor.decode(written, skip_special_tokens=True).strip()


def test_texts_of_a_padded_batch_are_those_of_greedy_decoding_row_by_row(made, rows, outputs):
    modality, model, processor = made
    encoded = modality.encode(rows, processor)
    longest = max(sum(label >= 0 for label in encoded[row]["labels"]) for row in (0, 1, 3, 5))
    model.eval()
    with torch.no_grad():
        expected = [written_by(made, encoded[row], longest) for row in (0, 1, 3, 5)]
    assert outputs.answers.generated[outputs.answers.chosen].tolist() == expected
    assert outputs.answers.generated[[2, 4]].tolist() == [None, None]
    assert outputs.answers.reference[[1, 3]].tolist() == ["In Brisk, by the sea.", "In Velsk."]
    assert outputs.answers.group[[1, 3]].tolist() == ["a", "b"]


def test_sampled_texts_are_those_that_numbers_of_seed_and_row_choose_token_by_token(made, rows, outputs):
    modality, model, processor = made
    encoded, sampled = modality.encode(rows, processor), outputs.answers.sampled
    longest = max(sum(label >= 0 for label in encoded[row]["labels"]) for row in (0, 1, 3, 5))
    assert sampled.shape == (6, SAMPLES) and [row for row in range(6) if sampled[row, 0] is not None] == [1, 5]
    model.eval()
    for row in (1, 5):
        (source,) = generators(torch.tensor([row_key(f"row-{row}")]), TEXT, 0, SEED)
        numbers = source.random((longest, SAMPLES))
        for place in (0, SAMPLES - 1):
            steps = iter(numbers[:, place])

            def choose(logits, steps=steps):
                return (logits.double().softmax(-1).cumsum(-1) <= next(steps)).sum()

            with torch.no_grad():
                assert sampled[row, place] == written_by(made, encoded[row], longest, choose)
    assert len({*sampled[1], *sampled[5]}) > SAMPLES


def test_uniform_numbers_choose_tokens_as_often_as_their_probability_and_a_diverged_model_writes_one():
    probability = torch.tensor([0.0, 0.125, 0.5, 0.375])
    sampler = InverseTransform((np.arange(80)[:, None] + 0.5) / 80)
    tokens = sampler(torch.empty(80, 0), probability.log().expand(80, 4)).argmax(dim=1)
    assert torch.bincount(tokens, minlength=4).tolist() == [0, 10, 40, 30]
    lost = InverseTransform(np.array([[0.5]]))(torch.empty(1, 0), torch.full((1, 4), torch.nan))
    assert lost.tolist() == [[-torch.inf] * 3 + [0]]


def test_texts_are_sampled_for_the_first_rows_in_deletion_order(monkeypatch):
    requests = []
    rank = [3, 4, 0, 2, 1, 5]
    train = datasets.Dataset.from_dict({"example_id": list("abcdef"), "deletion_rank": rank})
    modality = SimpleNamespace(
        generates=True,
        predict=lambda *_: SimpleNamespace(ids=np.array(train["example_id"])),
        add_generated=lambda outputs, model, processor, request: requests.append(request),
    )
    setting = SimpleNamespace(
        rows={"train": train, "test": train}, modality=modality, encode=lambda *_: None, encode_shifted=lambda _: None,
        info=SimpleNamespace(forget={1: 2, 2: 4}), recipe=SimpleNamespace(max_length=None), eval_seed=7,
        task=SimpleNamespace(classifiers={}), forget_mask=lambda ratio: np.array(rank) < 2 * ratio,
    )  # fmt: skip
    for most, expected in ((3, ["c", "d", "e"]), (9, ["a", "c", "d", "e"])):
        monkeypatch.setattr(base_models, "SAMPLED_ROWS", most)
        base_models.predict_splits(setting, None, None)
        of_train, of_test = requests[-2:]
        assert [of_train.rows["example_id"][row] for row in of_train.sampled] == expected
        assert (of_train.seed, len(of_test.sampled), len(of_test.rows)) == (7, 0, 6)


def test_rows_with_wrong_answers_come_first_into_a_sample(monkeypatch):
    ids, known = [f"row-{i}" for i in range(40)], np.isin(np.arange(40), [1, 5, 30])
    chosen = sample_rows(ids, 10, known)
    assert {1, 5, 30} < {*chosen.tolist()} < {1, 5, 30, *sample_rows(ids, 10).tolist()}
    assert len(chosen) == 10 and (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(sample_rows(ids, 10, ~np.zeros(40, dtype=bool)), sample_rows(ids, 10))
    requests = []
    rows = datasets.Dataset.from_dict(
        {"example_id": ids, "perturbed_answer": [["no"] if one else [] for one in known]}
    )
    modality = SimpleNamespace(
        generates=True,
        predict=lambda *_: SimpleNamespace(ids=np.array(ids)),
        add_generated=lambda outputs, model, processor, request: requests.append(request),
    )
    setting = SimpleNamespace(
        rows={"ood": rows}, modality=modality, encode=lambda *_: None, encode_shifted=lambda _: None,
        recipe=SimpleNamespace(max_length=None), eval_seed=0, task=SimpleNamespace(classifiers={}),
    )  # fmt: skip
    monkeypatch.setattr(base_models, "sample_rows", lambda *given, **more: sample_rows(*given, size=3, **more))
    base_models.predict_splits(setting, None, None)
    assert requests[0].positions.tolist() == [1, 5, 30]


def test_losses_on_other_answers_are_those_of_rows_with_these_answers(made, rows, outputs):
    modality, model, processor = made
    one = rows.select([0, 3]).remove_columns("answer").rename_column("paraphrased_answer", "answer")
    one = one.select_columns(["example_id", "question", "answer"])
    encoded = modality.encode(one, processor)
    expected = predict_tokens(model, encoded, modality.collator(processor), one["example_id"]).loss
    np.testing.assert_allclose(outputs.answers.paraphrase_loss[[0, 3]], expected, rtol=1e-5)
    np.testing.assert_allclose(answer_losses(model, encoded, modality.collator(processor)), expected, rtol=1e-5)
    assert np.isfinite(outputs.answers.perturbed_losses).sum(axis=1).tolist() == [2, 0, 0, 1, 0, 0]
    assert np.isfinite(outputs.answers.option_losses).sum(axis=1).tolist() == [2, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(outputs.answers.option_losses[0, 0], outputs.loss[0], rtol=1e-5)  # the true answer


def test_mean_and_deviation_of_log_probabilities_are_those_over_the_vocabulary(made, rows, outputs):
    modality, model, processor = made
    batch = modality.collator(processor)([modality.encode(rows, processor)[0]])
    with torch.no_grad():
        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits[0]
    labels = batch["labels"][0]
    seen = logits if model.config.is_encoder_decoder else logits[:-1]
    log_p = seen[(labels if model.config.is_encoder_decoder else labels[1:]) >= 0].double().log_softmax(dim=-1)
    mean = (log_p.exp() * log_p).sum(dim=-1)
    std = ((log_p.exp() * log_p.square()).sum(dim=-1) - mean.square()).sqrt()
    np.testing.assert_allclose(outputs.token_mean[: len(mean)], mean, rtol=1e-4)
    np.testing.assert_allclose(outputs.token_std[: len(std)], std, rtol=1e-3)


def test_files_and_splits_keep_what_was_generated_and_older_files_have_nothing(outputs, tmp_path):
    recorded = write_outputs(tmp_path / "reference", {"train": outputs})
    found = outputs_by_split(read_outputs(tmp_path / "reference", recorded), ["row-3", "row-2"], ["row-0"])
    assert found["forget"].answers.generated.tolist() == outputs.answers.generated[[3, 2]].tolist()
    np.testing.assert_array_equal(found["forget"].answers.perturbed_losses[1], [np.nan, np.nan])
    np.testing.assert_array_equal(found["retain"].answers.option_losses, outputs.answers.option_losses[:1])
    np.testing.assert_array_equal(
        read_outputs(tmp_path / "reference")["train"].answers.sampled, outputs.answers.sampled
    )
    np.testing.assert_array_equal(found["retain"].token_std, outputs.token_std[: outputs.lengths[0]])
    older = replace(outputs, token_mean=None, token_std=None, answers=None)
    write_outputs(tmp_path / "older", {"train": older})
    again = read_outputs(tmp_path / "older")["train"]
    assert again.equals(outputs) and again.answers is None and again.token_mean is None


def test_the_sample_of_a_split_does_not_depend_on_the_order_of_its_rows():
    ids = [f"row-{i}" for i in range(50)]
    chosen = sample_rows(ids, 10)
    assert len(chosen) == 10 and len(sample_rows(ids[:5], 10)) == 5
    assert {ids[row] for row in chosen} == {ids[::-1][row] for row in sample_rows(ids[::-1], 10)}
