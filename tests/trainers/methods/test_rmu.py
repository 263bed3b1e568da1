"""RMU: one block is steered by a few matrices, in passes that end there."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.methods.rmu import deviation
from mubench.trainers.tools.truncated_forward import hidden_states_at, token_mask
from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy
from tests.fixtures.method_steps import assert_same, batch, gradients, on_every_model

F, E, LAYERS = toy.FORGET, 2, 8
ADAMW = {"optim": "adamw_torch", "weight_decay": 0.1, "learning_rate": 0.01}


def deep() -> PreTrainedModel:
    """Return a language model of eight blocks, so that the second is steered and two are trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        config = GPT2Config(
            vocab_size=toy.VOCABULARY, n_embd=8, n_layer=LAYERS, n_head=2, n_positions=24, pad_token_id=0, **drops
        )
        return GPT2LMHeadModel(config).train()


def prepared(name: str, folder: Path, **changes: Any) -> tuple[Any, dict[str, Any]]:
    model = deep() if name == "deep" else toy.build(name)
    data = toy.split_rows(toy.rows("gpt2" if name == "deep" else name))
    trainer = toy.trainer("rmu", model, data, folder, **changes)
    trainer.prepare()
    trainer.model.eval()
    return trainer, batch(trainer, range(toy.ROWS))


def test_a_deviation_is_over_masked_tokens_and_the_width() -> None:
    states = torch.tensor([[[1.0, 3.0], [9.0, 9.0]], [[0.0, 2.0], [4.0, 0.0]]])
    mask = torch.tensor([[True, False], [True, True]])
    wanted = torch.tensor([1.0, 1.0])
    torch.testing.assert_close(deviation(states, wanted, mask), torch.tensor([2.0, (1.0 + 5.0) / 2]))
    assert deviation(states, states, mask).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["deep", "resnet"])
def test_at_the_base_model_the_retain_term_is_zero_and_the_direction_has_its_length(name: str, tmp_path: Path) -> None:
    trainer, rows = prepared(name, tmp_path, c=3.0)
    forget, retain = trainer.terms(trainer.model, rows)
    assert [(term.split, term.weight) for term in (forget, retain)] == [("forget", 1.0), ("retain", 1200.0)]
    torch.testing.assert_close(retain.values, torch.zeros(toy.ROWS - F), atol=1e-10, rtol=0)
    direction = trainer.direction(16)
    torch.testing.assert_close(direction.norm(), torch.tensor(3.0))
    assert (direction >= 0).all() and torch.equal(direction, trainer.direction(16))
    assert forget.values.min() > 1e-3


def test_a_truncated_pass_has_value_and_gradient_of_the_whole_one(tmp_path: Path) -> None:
    trainer, rows = prepared("deep", tmp_path)
    assert trainer.block == "transformer.h.1"
    assert sorted({name.split(".")[2] for name, w in trainer.model.named_parameters() if w.requires_grad}) == [
        "0",
        "1",
    ]
    for weight in trainer.model.parameters():
        weight.requires_grad_(True)
    term = trainer.terms(trainer.model, rows)[0]
    inputs = {key: rows[key] for key in ("input_ids", "attention_mask")}
    states = trainer.model(**inputs, output_hidden_states=True).hidden_states[2][:F]
    answer = rows["labels"][:F] != -100
    each = [(one[kept] - trainer.direction(8)).pow(2).mean() for one, kept in zip(states, answer, strict=True)]
    torch.testing.assert_close(term.values, torch.stack(each))
    assert_same(gradients(trainer, term.values.sum()), gradients(trainer, torch.stack(each).sum()))


@pytest.mark.parametrize(("_", "name"), on_every_model(["rmu"], also=[("rmu", "gpt2"), ("rmu", "bert")]))
def test_the_gradients_of_both_terms_are_those_of_the_blocks_output(_: str, name: str, tmp_path: Path) -> None:
    trainer, rows = prepared(name, tmp_path, alpha=2.0)
    states = []
    trainer.model.get_submodule(trainer.block).register_forward_hook(lambda *given: states.append(given[2]))
    for weights in (toy.snapshot(trainer.model), toy.elsewhere(name)):
        trainer.model.load_state_dict(weights)
        trainer.model(**model_inputs(rows))
    then, now = (one if torch.is_tensor(one) else one[0] for one in states)
    then, now = ((one.flatten(2).transpose(1, 2) if one.ndim == 4 else one) for one in (then.detach(), now))
    wanted = torch.where(rows["forget"][:, None, None], trainer.direction(now.shape[-1]), then)
    values = (now - wanted).pow(2).mean(-1)
    counted = token_mask(now, rows)
    each = torch.stack([one[kept].mean() for one, kept in zip(values, counted, strict=True)])
    trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    expected = torch.autograd.grad(each[:F].mean() + 2.0 * each[F:].mean(), trained)
    toy.step(trainer, range(toy.ROWS)).backward()
    assert_same([weight.grad for weight in trained], list(expected))


def test_later_blocks_are_not_run_except_in_evaluation(tmp_path: Path) -> None:
    trainer, rows = prepared("deep", tmp_path)
    for module in (trainer.model, trainer.teachers["original"]):
        module.transformer.h[2].register_forward_hook(lambda *_: pytest.fail("a later block ran"))
    trainer.terms(trainer.model, rows)
    assert "forward" not in vars(trainer.model)
    with pytest.raises(pytest.fail.Exception):
        trainer.evaluate(trainer.train_dataset.forget)


@pytest.mark.parametrize("name", ["deep", "resnet", "t5"])
def test_all_but_the_chosen_matrices_stay_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = deep() if name == "deep" else toy.build(name, coupled=True)
    before = toy.snapshot(model)
    data = toy.split_rows(toy.rows("gpt2" if name == "deep" else name))
    trainer = toy.trainer("rmu", model, data, tmp_path, **ADAMW)
    trainer.train()
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    blocks = {"deep": ("transformer.h.0.", "transformer.h.1."), "t5": ("decoder.block.0.",)}
    blocks |= {"resnet": ("resnet.encoder.stages.0.",), "gpt2": ("transformer.h.0.",)}
    assert all(key.startswith(blocks.get(name, trainer.block)) and before[key].ndim > 1 for key in moved)
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(("count", "block"), [(1, 0), (2, 0), (4, 0), (5, 1), (7, 1), (8, 1), (9, 2)])
def test_by_default_the_block_a_quarter_in_is_steered(count: int, block: int, tmp_path: Path) -> None:
    model = toy.Layers()
    model.blocks = torch.nn.ModuleList([torch.nn.Linear(toy.CLASSES, toy.CLASSES) for _ in range(count)])
    trainer = toy.trainer("rmu", model, toy.split_rows(toy.table_rows()), tmp_path)
    trainer.prepare()
    assert (trainer.block, trainer.depth) == (f"blocks.{block}", (block + 1) / count)


def test_a_pattern_narrows_the_matrices_and_a_layer_can_be_given(tmp_path: Path) -> None:
    trainer, _ = prepared("deep", tmp_path, weights=r"mlp\.c_proj", layer=5, trained=2)
    trained = [name for name, weight in trainer.model.named_parameters() if weight.requires_grad]
    assert trained == [f"transformer.h.{block}.mlp.c_proj.weight" for block in (4, 5)]
    assert (trainer.block, trainer.depth) == ("transformer.h.5", 6 / LAYERS)
    assert prepared("deep", tmp_path, layer=-3)[0].block == "transformer.h.5"


def test_the_token_mask_covers_answers_else_all_but_padding_else_all() -> None:
    answers = {"labels": torch.tensor([[-100, 4, 5]]), "attention_mask": torch.tensor([[1, 1, 0]])}
    assert token_mask(torch.zeros(1, 3, 2), answers).tolist() == [[False, True, True]]
    classes = {**answers, "labels": torch.tensor([1])}
    assert token_mask(torch.zeros(1, 3, 2), classes).tolist() == [[True, True, False]]
    assert token_mask(torch.zeros(1, 5, 2), classes).tolist() == [[True] * 5]


def test_positions_of_an_image_are_its_tokens() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 1), torch.nn.Conv2d(3, 2, 1))
    picture = torch.randn(2, 1, 4, 5)
    states = hidden_states_at(model, model, "0", {"input": picture})
    assert states.shape == (2, 20, 3)
    torch.testing.assert_close(states[1, 7], model[0](picture)[1, :, 1, 2])


def test_a_block_that_is_never_run_is_an_error() -> None:
    stack = toy.Stack()
    with pytest.raises(ValueError, match=r"expected a model whose forward pass reaches block blocks\.0, got one"):
        hidden_states_at(stack, stack, "blocks.0", {"row": torch.arange(3)})
    assert stack(torch.arange(3)).logits.shape == (3, toy.CLASSES)


@pytest.mark.parametrize("remember", [False, True])
def test_counts_of_passes_and_their_depth(remember: bool, tmp_path: Path) -> None:
    trainer, _ = prepared("deep", tmp_path, remember=remember, num_train_epochs=E)
    sampled = {int(row) for epoch in range(E) for row in trainer.phases(epoch)[0][:, 1]}
    with CostCounter(trainer) as cost:
        trainer.train()
    cached = len(sampled) if remember else E * F
    assert cost.forward == {"student": 2 * E * F, "original": cached}
    assert cost.backward == {"student": 2 * E * F}
    assert cost.counts()["whole"] == 2 / LAYERS * (2 * E * F + cached)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"layer": 8}, r"layer must be -8 to 7 for transformer\.h, got 8"),
        ({"weights": "nothing"}, r"weights must name matrices of transformer\.h\.0\., transformer\.h\.1\., got 'noth"),
    ],
)
def test_blocks_and_matrices_that_do_not_exist_are_refused(
    option: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        prepared("deep", tmp_path, **option)


LORA: dict[str, Any] = {"lora_rank": 2, "lora_alpha": 8.0}


def nudge(trainer: Any) -> None:
    """Move the adapters, which start at zero, so that the adapted model differs from the base model."""
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))))


@pytest.mark.parametrize("name", ["deep", "bert", "resnet"])
def test_under_lora_gradients_are_those_of_the_adapters_of_the_same_matrices(name: str, tmp_path: Path) -> None:
    """With ``W + s B A`` in place of ``W``, ``dL/dB = s dL/dW A^T`` and ``dL/dA = s B^T dL/dW``, ``s = alpha / r``."""
    trainer, rows = prepared(name, tmp_path, alpha=2.0, **LORA)
    plain, _ = prepared(name, tmp_path, alpha=2.0)
    chosen = {key for key, weight in plain.model.named_parameters() if weight.requires_grad}
    nudge(trainer)
    trained = {key: weight for key, weight in trainer.model.named_parameters() if weight.requires_grad}
    layers = {key.partition(".lora_")[0] for key in trained}
    assert {f"{layer.removeprefix('base_model.model.')}.weight" for layer in layers} == chosen
    assert set(trained) == {f"{layer}.lora_{side}.default.weight" for layer in layers for side in "AB"}

    loss = sum(term.weight * term.values.mean() for term in trainer.terms(trainer.model, rows))
    found = dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))
    merged = copy.deepcopy(trainer.model).merge_and_unload()
    plain.model.load_state_dict({**merged.state_dict()})
    value = sum(term.weight * term.values.mean() for term in plain.terms(plain.model, rows))
    torch.testing.assert_close(loss, value)
    weights = dict(plain.model.named_parameters())
    whole = dict(
        zip(sorted(chosen), torch.autograd.grad(value, [weights[key] for key in sorted(chosen)]), strict=True)
    )
    scale = LORA["lora_alpha"] / LORA["lora_rank"]
    for layer in layers:
        gradient = whole[f"{layer.removeprefix('base_model.model.')}.weight"]
        if gradient.ndim > 2:  # of a convolution: `A` has the kernel, and `B` mixes its channels
            continue
        gradient = gradient.T if name == "deep" else gradient  # GPT-2 stores its matrices transposed
        a, b = (trained[f"{layer}.lora_{side}.default.weight"].detach() for side in "AB")
        torch.testing.assert_close(found[f"{layer}.lora_B.default.weight"], scale * gradient @ a.T)
        torch.testing.assert_close(found[f"{layer}.lora_A.default.weight"], scale * b.T @ gradient)


@pytest.mark.parametrize("name", ["deep", "resnet"])
def test_under_lora_the_chosen_matrices_alone_move(name: str, tmp_path: Path) -> None:
    model, plain = (deep(), deep()) if name == "deep" else (toy.build(name), toy.build(name))
    data = toy.split_rows(toy.rows("gpt2" if name == "deep" else name))
    trainer = toy.trainer("rmu", plain, data, tmp_path)
    trainer.prepare()
    chosen = {key for key, weight in plain.named_parameters() if weight.requires_grad}
    before = toy.snapshot(model)
    toy.trainer("rmu", model, data, tmp_path, **ADAMW, **LORA).train()
    assert {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])} == chosen
    assert all(weight.requires_grad for weight in model.parameters())


def test_adapters_beside_none_of_the_chosen_matrices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected lora_targets among transformer\.h\.0\.mlp\.c_proj\.weight"):
        prepared("deep", tmp_path, lora_targets=["c_attn"], **LORA)
