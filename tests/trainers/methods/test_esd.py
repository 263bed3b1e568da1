"""ESD: its target and the weights it trains, and NPO on predicted noise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mubench.trainers.engine.losses import answer_nll
from mubench.trainers.methods.esd import EsdArguments, EsdTrainer
from mubench.trainers.runs.method_table import methods_for
from tests.fixtures import toy
from tests.fixtures.method_steps import batch

F = toy.FORGET


def prepared(folder: Path, method: str = "esd", **changes: Any) -> tuple[Any, dict[str, Any]]:
    trainer = toy.trainer(method, toy.build("diffusion"), toy.split_rows(toy.rows("diffusion")), folder, **changes)
    trainer.prepare()
    return trainer, batch(trainer, range(F))


@pytest.mark.parametrize("eta", [0.0, 1.0, 3.0])
def test_the_target_is_the_negatively_guided_prediction(eta: float, tmp_path: Path) -> None:
    trainer, rows = prepared(tmp_path, eta=eta)
    (term,) = trainer.terms(trainer.model, rows)
    inputs = {name: rows[name] for name in ("sample", "timestep", "input_ids")}
    with torch.no_grad():
        conditional = trainer.model(**inputs).logits
        unconditional = trainer.model(**{**inputs, "input_ids": torch.tensor(toy.EMPTY).expand(F, 3)}).logits
    # At the original weights the distance is (1 + eta) times what the caption changes.
    expected = ((1 + eta) * (conditional - unconditional)).pow(2).mean(dim=(1, 2, 3))
    assert (term.split, term.weight) == ("forget", 1.0)
    torch.testing.assert_close(term.values, expected)
    assert expected.min() > 0


@pytest.mark.parametrize(
    ("trained", "moving"),
    [("xattn", {"attn2"}), ("noxattn", {"conv", "out"}), ("all", {"attn2", "conv", "out"})],
)
def test_only_the_chosen_weights_change(trained: str, moving: set[str], tmp_path: Path) -> None:
    model, before = toy.build("diffusion"), toy.snapshot(toy.build("diffusion"))
    options = {"optim": "adamw_torch", "weight_decay": 0.1, "trained": trained}
    toy.trainer("esd", model, toy.split_rows(toy.rows("diffusion")), tmp_path, **options).train()
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == moving
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("method", [key for key in methods_for("text_to_image") if key not in toy.IN_BLOCKS])
def test_a_method_trains_and_evaluates_a_text_to_image_model(method: str, tmp_path: Path) -> None:
    model, data = toy.build("diffusion"), toy.rows("diffusion")
    before = toy.snapshot(model)
    trainer = toy.trainer(method, model, toy.split_rows(data), tmp_path, given={"eval_dataset": data})
    trainer.train()
    assert toy.distance(model, before) > 1e-6
    with torch.no_grad():
        logits = model(**toy.inputs(data)).logits
    expected = (logits - torch.stack([row["labels"] for row in data])).pow(2).mean()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(expected), rel=1e-4)


def test_training_removes_the_effect_of_the_captions(tmp_path: Path) -> None:
    options = {"optim": "adamw_torch", "learning_rate": 0.1, "num_train_epochs": 12, "eta": 0.0, "trained": "all"}
    trainer, rows = prepared(tmp_path, **options)
    before = float(trainer.terms(trainer.model, rows)[0].values.detach().mean())
    trainer.train()
    assert float(trainer.terms(trainer.model, rows)[0].values.detach().mean()) < 0.3 * before


def test_the_tokenizer_encodes_and_pads_the_empty_caption(tmp_path: Path) -> None:
    processor = SimpleNamespace(tokenizer=toy.tokenizer())
    args = EsdArguments(**toy.settings(tmp_path))
    rows = toy.split_rows(toy.rows("diffusion"))
    trainer = EsdTrainer(toy.build("diffusion"), args, train_dataset=rows, processing_class=processor)
    assert trainer.without_caption(torch.ones(2, 4, dtype=torch.long)).tolist() == [[0] * 4] * 2
    with pytest.raises(ValueError, match="expected empty= or processing_class= to encode an empty caption"):
        EsdTrainer(toy.build("diffusion"), args, train_dataset=rows)


def test_a_model_without_such_weights_is_refused(tmp_path: Path) -> None:
    args = EsdArguments(**toy.settings(tmp_path))
    trainer = EsdTrainer(toy.build("vit"), args, train_dataset=toy.split_rows(toy.rows("vit")), empty=[0])
    with pytest.raises(ValueError, match="expected a U-Net with weights for 'xattn', got none"):
        trainer.prepare()


def test_a_whole_answer_of_noise_is_the_likelihood_of_a_normal_distribution() -> None:
    predicted, noise = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal(predicted, 1.0)
    expected = -normal.log_prob(noise).sum(dim=(1, 2, 3)) + normal.log_prob(predicted).sum(dim=(1, 2, 3))
    torch.testing.assert_close(answer_nll(predicted, noise), expected)
    assert answer_nll(predicted[:0], noise[:0]).shape == (0,)


def test_npo_on_noise_starts_at_its_value_and_caches_nothing(tmp_path: Path) -> None:
    trainer, rows = prepared(tmp_path, "npo")
    forget, _ = trainer.terms(trainer.model, rows)
    torch.testing.assert_close(forget.values, torch.full((F,), 13.862944), atol=1e-4, rtol=0)
    assert not trainer.teacher_cache.outputs
