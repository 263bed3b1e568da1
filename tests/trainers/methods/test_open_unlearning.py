"""Losses of a tiny Llama against plain implementations of open-unlearning's formulas, row by row.

The plain functions are written after locuslab/open-unlearning, src/trainer/utils.py and src/trainer/unlearn/*.py. They
share nothing with the suite: they read labels as `transformers` has them, shift them, and see one unpadded row at a
time, while the suite sees one padded batch. Values of a row agree to 1e-5; what a batch makes of them differs on
purpose, and the last tests say how.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from tests.fixtures import toy
from tests.fixtures.method_steps import batch

ALL = range(toy.ROWS)
BLOCK = 1
BETA, DELTA, GAMMA, ALPHA, LENGTH = 0.6, 0.4, 0.25, 0.8, 20.0
Row = dict[str, torch.Tensor]


def llama(seed: int) -> LlamaForCausalLM:
    """Return a random Llama of three blocks, with weights so large that its answers differ in probability."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
        ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
        config = LlamaConfig(vocab_size=toy.VOCABULARY, initializer_range=0.3, **size, **ends)
        return LlamaForCausalLM(config).eval()


def token_losses(model: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the cross-entropy of every token but the first, 0 without a label, as `compute_batch_nll` (utils.py)."""
    logits = model(input_ids=row["input_ids"]).logits[:, :-1]
    return F.cross_entropy(logits.transpose(1, 2), row["labels"][:, 1:], ignore_index=-100, reduction="none")


def likelihood_ratio(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return ``log p(y) - log p_0(y)`` of a whole answer, as `compute_dpo_loss` (utils.py)."""
    with torch.no_grad():
        then = token_losses(reference, row).sum(-1)
    return then - token_losses(model, row).sum(-1)


def nll(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the loss of `transformers`, which GradDiff keeps and, with a minus, forgets (unlearn/grad_diff.py)."""
    return model(input_ids=row["input_ids"], labels=row["labels"]).loss


def npo(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the forget loss of unlearn/npo.py: DPO's with a losing answer alone."""
    return -2 / BETA * torch.log(torch.sigmoid(-BETA * likelihood_ratio(model, reference, row)))


def simnpo(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the forget loss of unlearn/simnpo.py, which divides by the number of an answer's tokens."""
    lead = token_losses(model, row).sum(-1) / (row["labels"] != -100).sum(-1) - DELTA
    return -2 / BETA * torch.log(torch.sigmoid(BETA * lead))


def satimp(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the loss of unlearn/satimp.py, without its minus: weights without a gradient, answer tokens alone."""
    losses = token_losses(model, row)[row["labels"][:, 1:] != -100]
    p = (-losses).exp().detach()
    return (p**BETA * (1 - p) ** DELTA * losses).mean()


def pdu(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the forget loss of unlearn/pdu.py at the tokens that predict an answer; there it runs over all."""
    logits = model(input_ids=row["input_ids"]).logits[0][predicting(row)]
    return ((logits.max(-1)[0] - logits.mean(-1)) ** 2).mean()


def undial(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the forget loss of `compute_undial_loss` (utils.py) at the answer's tokens.

    There it also runs over prompt and padding, whose label -100 lowers the logit of a word counted from behind.
    """
    kept, answer = row["labels"][0, 1:] != -100, row["labels"][0, 1:]
    logits = model(input_ids=row["input_ids"]).logits[0, :-1][kept]
    with torch.no_grad():
        then = reference(input_ids=row["input_ids"]).logits[0, :-1][kept]
    target = torch.softmax(then - BETA * F.one_hot(answer[kept], then.shape[-1]), dim=-1)
    return F.cross_entropy(logits, target)


def states(model: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the outputs of the steered block, shape ``(T, D)``, as `forward_with_cache` (unlearn/rmu.py)."""
    found: list[torch.Tensor] = []
    hook = model.model.layers[BLOCK].register_forward_hook(lambda *given: found.append(given[2]))
    model(input_ids=row["input_ids"])
    hook.remove()
    output = found[0]
    return (output[0] if isinstance(output, tuple) else output).view(-1, model.config.hidden_size)


def activation_loss(now: torch.Tensor, wanted: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Return `compute_activation_loss` (unlearn/rmu.py) of one row, where its division broadcasts nothing."""
    return (F.mse_loss(now, wanted, reduction="none") * counted[:, None]).mean(-1).sum() / counted.sum()


def predicting(row: Row) -> torch.Tensor:
    """Return the tokens that predict an answer's token; unlearn/rmu.py takes the answer's own, one later."""
    return F.pad(row["labels"][0, 1:] != -100, (0, 1))


def steering(vector: torch.Tensor) -> Callable[..., torch.Tensor]:
    """Return the forget loss of unlearn/rmu.py for a control vector."""

    def loss(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
        now = states(model, row)
        return activation_loss(now, vector.expand_as(now), predicting(row))

    return loss


def embed_diff(model: LlamaForCausalLM, reference: LlamaForCausalLM, row: Row) -> torch.Tensor:
    """Return the retain loss EMBED_DIFF of unlearn/rmu.py."""
    with torch.no_grad():
        then = states(reference, row)
    return activation_loss(states(model, row), then, predicting(row))


# Method -> its arguments, open-unlearning's losses of a forget and a retain row, and their coefficients gamma, alpha.
# GradDiff is twice the suite's NegGrad+ at one half, see there.
CASES: dict[str, tuple[dict[str, Any], Any, Any, float, float]] = {
    "neg_grad_plus": ({"alpha": 0.5, "anchor": "forget"}, nll, nll, -0.5, 0.5),
    "npo": ({"beta": BETA, "alpha": ALPHA}, npo, nll, 1.0, ALPHA),
    "simnpo": ({"beta": BETA, "delta": DELTA, "gamma": GAMMA, "alpha": ALPHA}, simnpo, nll, GAMMA, ALPHA),
    "satimp": ({"beta1": BETA, "beta2": DELTA, "gamma": GAMMA, "alpha": ALPHA}, satimp, nll, -GAMMA, ALPHA),
    "pdu": ({"gamma": GAMMA, "alpha": ALPHA}, pdu, nll, GAMMA, ALPHA),
    "undial": ({"beta": BETA, "alpha": ALPHA}, undial, nll, 1.0, ALPHA),
    "rmu": ({"layer": BLOCK, "trained": 2, "c": LENGTH, "alpha": ALPHA}, None, embed_diff, 1.0, ALPHA),
}


def prepared(method: str, folder: Path) -> Any:
    """Return a trainer whose model has left its teacher, without dropout."""
    trainer = toy.trainer(method, llama(0), toy.split_rows(toy.rows("gpt2")), folder, **CASES[method][0])
    trainer.prepare()
    trainer.model.load_state_dict(llama(1).state_dict())
    trainer.model.eval()
    return trainer


def plain_rows() -> list[Row]:
    made = toy.rows("gpt2")
    assert len({len(row["input_ids"]) for row in made}) > 2
    return [{key: torch.tensor([row[key]]) for key in ("input_ids", "labels")} for row in made]


@pytest.mark.parametrize("method", CASES)
def test_every_row_of_a_batch_has_the_loss_of_open_unlearning(method: str, tmp_path: Path) -> None:
    trainer = prepared(method, tmp_path)
    _, forget, retain, gamma, alpha = CASES[method]
    forget = forget or steering(trainer.direction(16))
    student, reference = llama(1), llama(0)
    losses = [
        (forget if i < toy.FORGET else retain)(student, reference, row).squeeze() for i, row in enumerate(plain_rows())
    ]
    expected = {"forget": torch.stack(losses[: toy.FORGET]), "retain": torch.stack(losses[toy.FORGET :])}
    terms = {term.split: term for term in trainer.terms(trainer.model, batch(trainer, ALL))}
    for split, weight in (("forget", gamma), ("retain", alpha)):
        assert expected[split].std() > 0.01, "rows differ"
        torch.testing.assert_close(terms[split].values, expected[split], atol=1e-5, rtol=1e-5)
        assert terms[split].weight == weight
    # The step is the mean of the rows, and so is its gradient.
    mean = gamma * expected["forget"].mean() + alpha * expected["retain"].mean()
    loss = toy.step(trainer, ALL)
    torch.testing.assert_close(loss, mean, atol=1e-5, rtol=1e-5)
    loss.backward()
    trained = {name: weight.grad for name, weight in trainer.model.named_parameters() if weight.grad is not None}
    weights = [student.get_parameter(name) for name in trained]
    for found, slope in zip(trained.values(), torch.autograd.grad(mean, weights), strict=True):
        torch.testing.assert_close(found, slope, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("split", ["forget", "retain"])
def test_its_cross_entropy_of_a_batch_weighs_rows_by_their_tokens(split: str, tmp_path: Path) -> None:
    """`transformers` averages over the tokens of a batch, the suite over rows: here the two differ."""
    trainer = prepared("neg_grad_plus", tmp_path)
    rows = batch(trainer, ALL)
    values = next(term.values for term in trainer.terms(trainer.model, rows) if term.split == split)
    ours = toy.split_rows(toy.rows("gpt2"))[split]
    padded = toy.collator("gpt2")(ours)
    counts = torch.tensor([sum(label != -100 for label in row["labels"]) for row in ours])
    with torch.no_grad():
        loss = llama(1)(**padded).loss
        torch.testing.assert_close(loss, (values * counts).sum() / counts.sum(), atol=1e-5, rtol=1e-5)
        assert (loss - values.mean()).abs() > 1e-3


def test_rmu_steers_one_token_before_those_of_open_unlearning(tmp_path: Path) -> None:
    trainer = prepared("rmu", tmp_path)
    vector = trainer.direction(16)
    torch.testing.assert_close(vector.norm(), torch.tensor(LENGTH))
    now, row = states(llama(1), plain_rows()[0]), plain_rows()[0]
    value = trainer.terms(trainer.model, batch(trainer, ALL))[0].values[0]
    own = activation_loss(now, vector.expand_as(now), row["labels"][0] != -100)
    assert (value - own).abs() > 1e-3
