import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from mubench.trainers.engine.losses import IGNORED, mean_over_tokens, per_example_loss, shift_labels
from mubench.trainers.inference.predict import predict_tokens
from mubench.trainers.inference.storage import read_outputs, write_outputs
from mubench.trainers.inference.token_outputs import TokenOutputs

VOCABULARY, PAD = 30, 0


@pytest.fixture(scope="module")
def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=16, n_embd=16, n_layer=1, n_head=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def t5():
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0,
        decoder_start_token_id=PAD, pad_token_id=PAD,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


def rows(lengths=(5, 7, 4), prompt=2, seed=0):
    """Return rows whose first tokens are a prompt without labels."""
    rng = np.random.default_rng(seed)
    tokens = [rng.integers(1, VOCABULARY, size).tolist() for size in lengths]
    return [{"input_ids": one, "labels": [IGNORED] * prompt + one[prompt:]} for one in tokens]


def collate(items):
    longest = max(len(one["input_ids"]) for one in items)

    def padded(name, value):
        return torch.tensor([one[name] + [value] * (longest - len(one[name])) for one in items])

    ids = padded("input_ids", PAD)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": padded("labels", IGNORED)}


def seq2seq(items):
    batch = collate(items)
    labels = batch["labels"]
    start = torch.full((len(labels), 1), PAD)
    return {**batch, "decoder_input_ids": torch.cat([start, labels[:, :-1].clamp(min=0)], dim=1)}


@pytest.fixture(scope="module")
def outputs(gpt2):
    return predict_tokens(gpt2, rows(), collate, ["a", "b", "c"], batch_size=2)


def test_the_loss_of_a_causal_model_is_the_mean_over_its_answer_tokens_as_transformers_has_it(gpt2):
    for one in rows():
        batch = collate([one])
        with torch.no_grad():
            ours = per_example_loss(gpt2(batch["input_ids"]).logits, shift_labels(gpt2, batch)["labels"])
            theirs = gpt2(**batch).loss
        torch.testing.assert_close(ours, theirs[None])


def test_the_labels_of_a_decoder_and_of_a_classifier_stay_where_they_are(t5):
    batch = seq2seq(rows())
    assert shift_labels(t5, batch)["labels"] is batch["labels"]
    with torch.no_grad():
        logits = t5(**{name: value for name, value in batch.items() if name != "labels"}).logits
        theirs = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED)
    ours = per_example_loss(logits, batch["labels"])
    counts = (batch["labels"] != IGNORED).sum(dim=1)
    torch.testing.assert_close((ours * counts).sum() / counts.sum(), theirs)
    classes = {"labels": torch.tensor([1, 2])}
    assert shift_labels(t5, classes)["labels"] is classes["labels"]


def test_padding_changes_no_loss(gpt2):
    alone = [per_example_loss(gpt2(collate([one])["input_ids"]).logits, shift_labels(gpt2, collate([one]))["labels"])
             for one in rows()]  # fmt: skip
    batch = collate(rows())
    logits = gpt2(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(per_example_loss(logits, shift_labels(gpt2, batch)["labels"]), torch.cat(alone))


def test_a_row_without_an_answer_adds_nothing_and_is_refused_where_it_is_judged(gpt2):
    labels = torch.tensor([[1, IGNORED], [IGNORED, IGNORED]])
    assert mean_over_tokens(torch.ones(2, 2), labels).tolist() == [1, 0]
    silent = [{"input_ids": [1, 2, 3], "labels": [IGNORED] * 3}]
    with pytest.raises(ValueError, match="at least 1 answer token in each of 1 rows"):
        predict_tokens(gpt2, silent, collate, ["a"])


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 5), (2,)])
def test_labels_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected logits \(B, K\)"):
        per_example_loss(torch.zeros(shape), torch.zeros(2, 3, dtype=torch.long))


def test_outputs_are_the_models_own_numbers(gpt2, outputs):
    for index, one in enumerate(rows()):
        batch = collate([one])
        with torch.no_grad():
            log_p = gpt2(batch["input_ids"]).logits[0].log_softmax(-1)
        true = torch.tensor(one["input_ids"][2:])
        predicted = log_p[1:-1]
        expected = predicted.gather(1, true[:, None])[:, 0]
        mine = outputs.row == index
        np.testing.assert_allclose(outputs.token_logprob[mine], expected, rtol=1e-5, atol=1e-6)
        assert outputs.token_id[mine].tolist() == true.tolist()
        assert outputs.token_correct[mine].tolist() == (predicted.argmax(-1) == true).tolist()
        assert outputs.true_probability[index] == pytest.approx(math.exp(expected.mean()), rel=1e-5)
        assert outputs.correct[index] == pytest.approx(float((predicted.argmax(-1) == true).float().mean()))
        assert outputs.log_odds[index] == pytest.approx(
            math.log(outputs.true_probability[index] / (1 - outputs.true_probability[index]))
        )
        np.testing.assert_allclose(outputs.top_logprob[mine][:, 0], predicted.max(-1).values, rtol=1e-5, atol=1e-6)


def test_an_encoder_and_decoder_gets_its_decoder_inputs(t5):
    predicted = predict_tokens(t5, rows(), seq2seq, ["a", "b", "c"])
    batch = seq2seq(rows())
    with torch.no_grad():
        loss = per_example_loss(t5(**{k: v for k, v in batch.items() if k != "labels"}).logits, batch["labels"])
    np.testing.assert_allclose(predicted.loss, loss, rtol=1e-5)


def test_kept_tokens_and_the_rest_are_all_there_is(outputs):
    assert outputs.top_id.shape == (10, 20)
    np.testing.assert_allclose(np.exp(outputs.top_logprob).sum(1) + outputs.rest, 1, atol=1e-6)
    assert (outputs.entropy > 0).all() and outputs.is_finite() and not outputs.is_constant()


def test_files_give_back_what_was_written(outputs, tmp_path):
    write_outputs(tmp_path / "reference", {"test": outputs})
    (found,) = read_outputs(tmp_path / "reference").values()
    assert isinstance(found, TokenOutputs) and found.equals(outputs)
    for name in TokenOutputs.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, name), getattr(outputs, name))


def test_rows_are_selected_by_id_with_their_tokens(outputs):
    some = outputs.select(["c", "a"])
    assert some.ids.tolist() == ["c", "a"] and some.lengths.tolist() == [2, 3]
    assert some.token_id.tolist() == [*outputs.token_id[8:], *outputs.token_id[:3]]
    with pytest.raises(ValueError, match="such as 'z'"):
        outputs.select(["z"])


def test_a_model_is_at_no_distance_from_itself_and_shared_tokens_are_compared(outputs, gpt2):
    own, same, row = outputs.pair_log_probabilities(outputs)
    np.testing.assert_array_equal(own, same)
    assert row.tolist() == outputs.row.tolist()
    torch.manual_seed(1)
    other = predict_tokens(GPT2LMHeadModel(gpt2.config), rows(), collate, ["a", "b", "c"])
    u, r, _ = outputs.pair_log_probabilities(other)
    np.testing.assert_allclose(np.exp(u).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(np.exp(r).sum(1), 1, atol=1e-6)
    assert ((u == -np.inf) == (r == -np.inf)).all()
    shared = set(outputs.top_id[0]) & set(other.top_id[0])
    assert np.isfinite(u[0, :-1]).sum() == len(shared)


def test_wronged_rows_have_no_right_token_and_the_others_are_as_they_were(outputs):
    right = TokenOutputs(
        outputs.ids, outputs.lengths, outputs.top_id[:, 0], outputs.top_logprob[:, 0], np.ones(10, bool),
        outputs.top_id, outputs.top_logprob,
    )  # fmt: skip
    wrong = right.flip(np.array([1]), np.random.default_rng(0))
    assert wrong.correct.tolist() == [1, 0, 1]
    assert (wrong.top_id[wrong.row == 1, 0] != right.token_id[right.row == 1]).all()
    assert (
        wrong.true_probability[1] < right.true_probability[1]
        and wrong.true_probability[0] == right.true_probability[0]
    )


def test_one_token_everywhere_is_constant(outputs):
    token = outputs.most_frequent()
    fixed = outputs.constant(token)
    assert fixed.is_constant() and fixed.is_finite()
    assert fixed.token_correct.tolist() == (outputs.token_id == token).tolist()


def _dense(outputs, vocabulary):
    """Return the probability of every stored token, 0 for the others, ``(M, V)``."""
    table = np.zeros((len(outputs.token_id), vocabulary))
    np.put_along_axis(table, outputs.top_id.astype(int), np.exp(outputs.top_logprob.astype(float)), axis=1)
    return table


@pytest.mark.parametrize("sure", [False, True])
def test_given_log_odds_scale_the_answer_and_leave_other_tokens_their_proportions(gpt2, sure):
    outputs = predict_tokens(gpt2, rows(), collate, ["a", "b", "c"])
    if sure:  # the answer is certain and first
        outputs = outputs.with_log_odds(np.full(3, 40.0))
    wanted = np.array([-6.0, 0.5, 5.0])
    found = outputs.with_log_odds(wanted)
    np.testing.assert_allclose(found.log_odds, wanted, atol=1e-4)
    before, after = _dense(outputs, VOCABULARY), _dense(found, VOCABULARY)
    assert (after.sum(axis=1) <= 1 + 1e-6).all() and (np.diff(found.top_logprob, axis=1) <= 0).all()
    np.testing.assert_array_equal(found.token_correct, found.top_id[:, 0] == found.token_id)
    assert found.token_correct[found.row == 2].all() and not found.token_correct[found.row == 0].any()
    both = (before > 0) & (after > 0) & (np.arange(VOCABULARY) != outputs.token_id[:, None])
    for token, kept in enumerate(both):
        ratio = after[token][kept] / before[token][kept]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    true = _dense(found, VOCABULARY)[np.arange(len(found.token_id)), found.token_id]
    stored = true > 0
    np.testing.assert_allclose(np.log(true[stored]), found.token_logprob[stored], rtol=1e-5)
    assert stored[found.row == 2].all()
