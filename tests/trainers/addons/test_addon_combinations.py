"""Addons with each other, with LoRA, accumulation and bf16, and with methods that they fit or do not fit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.addons import ADDONS
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.methods import METHODS
from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy

# Settings of each that change the result of two steps.
ON: dict[str, dict[str, Any]] = {
    "superloss": {"curriculum": "superloss", "curriculum_lambda": 0.1},
    "sophia": {"optim": "sophia", "sophia_rho": 1.0, "learning_rate": 0.01},
    "munba": {"harmonise": "munba"},
    "dual_optim": {"dual_optim": "adamw_torch", "dual_learning_rate": 0.01},
    "sam": {"sam_rho": 0.1},
    "lora": {"lora_rank": 2},
    "accumulation": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 9},
    "bf16": {"bf16": True},
}
TWO = {"per_device_train_batch_size": 18, "num_train_epochs": 1, "max_steps": 2}
# Two steps of SCRUB are one on the retain and one on the forget set; two of NPO are on all pairs.
MODELS = {"scrub": "vit", "npo": "gpt2"}
PASSES = {"scrub": toy.ROWS, "npo": 2 * 2 * toy.FORGET}
REPEATED = {"scrub": toy.FORGET, "npo": 2 * toy.FORGET}
PAIRS = [(method, pair) for method in MODELS for pair in itertools.combinations(ON, 2)]


def options(*names: str) -> dict[str, Any]:
    return {key: value for name in names for key, value in ON[name].items()}


def test_every_addon_has_a_setting() -> None:
    assert list(ON)[: len(ADDONS)] == list(ADDONS)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("method", "pair"),
    [pytest.param(method, pair, id="-".join((method, *pair)), marks=() if i % 5 == 0 else pytest.mark.slow)
     for i, (method, pair) in enumerate(PAIRS)],
)  # fmt: skip
def test_two_addons_train_and_cost_their_passes(method: str, pair: tuple[str, str], tmp_path: Path) -> None:
    name = MODELS[method]
    model = toy.build(name)
    before = toy.snapshot(model)
    trainer = toy.trainer(method, model, toy.split_rows(toy.rows(name)), tmp_path, **{**TWO, **options(*pair)})
    if "munba" in pair and method == "scrub":
        with pytest.raises(ValueError, match="expected forget and retain rows in every step for harmonise, got Scrub"):
            trainer.train()
        return
    with CostCounter(trainer) as cost:
        trainer.train()
    rows = PASSES[method] + ("sam" in pair) * REPEATED[method]
    assert (cost.forward["student"], cost.backward["student"]) == (rows, rows)
    assert all(torch.isfinite(weight).all() for weight in trainer.model.parameters())
    assert toy.distance(trainer.model, before) > 1e-5


# Random numbers and signs aside: a weight whose gradient is zero but for rounding would follow the rounding.
EXACT: list[tuple[str, str]] = [
    *(("neg_grad_plus", name) for name in ADDONS), ("scrub", "dual_optim"), ("scrub", "sam"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "addon"), EXACT)
def test_accumulation_changes_nothing(method: str, addon: str, tmp_path: Path) -> None:
    models = []
    for cut in ({}, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}):
        trainer = toy.trainer(
            method, toy.Plain(), toy.split_rows(toy.plain_rows()), tmp_path, num_train_epochs=1, **{**ON[addon], **cut}
        )
        trainer.train()
        models.append(trainer.model)
    assert toy.distance(models[0], toy.snapshot(toy.Plain())) > 1e-3
    assert toy.distance(models[0], toy.snapshot(models[1])) < 1e-6


@pytest.mark.parametrize("addon", ADDONS)
def test_data_that_is_not_finite_stops_the_run_before_a_weight_changes(addon: str, tmp_path: Path) -> None:
    model = toy.build("vit")
    before = toy.snapshot(model)
    broken = toy.broken("vit", which=[toy.ROWS - 1])
    trainer = toy.trainer("neg_grad_plus", model, toy.split_rows(broken), tmp_path, **{**TWO, **ON[addon]})
    with pytest.raises(NonFiniteError):
        trainer.train()
    assert toy.same(model, before)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    given = {**options("superloss", "sophia", "munba", "dual_optim", "sam"), "lr_scheduler_type": "linear"}
    given |= {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 3}

    def run(folder: Path) -> Any:
        return toy.trainer("neg_grad_plus", toy.Plain(), toy.split_rows(toy.plain_rows()), folder, **given)

    toy.check_resume(run, tmp_path, lambda _: 5)


def test_weights_outside_a_mask_stay_with_all_addons(tmp_path: Path) -> None:
    model = toy.build("vit")
    before = toy.snapshot(model)
    given = {**options("superloss", "sophia", "munba", "dual_optim", "sam"), "rho": 0.3, "weight_decay": 0.1}
    trainer = toy.trainer(
        "salun", model, toy.split_rows(toy.rows("vit")), tmp_path, **{**given, "num_train_epochs": 1}
    )
    trainer.train()
    kept = total = 0
    for name, packed in zip(dict(model.named_parameters()), trainer.frozen_masks, strict=True):
        staying = packed.unpack()
        assert torch.equal(model.state_dict()[name][staying], before[name][staying])
        kept, total = kept + int(staying.sum()), total + staying.numel()
    assert total - kept == int(0.3 * total)
    assert toy.distance(model, before) > 1e-3


# Methods that some addons do not fit, and the message.
NO_STEPS = "expected no {}, since {}Trainer edits weights and trains none; got"
REFUSED: Mapping[tuple[str, str], str] = {
    ("ssd", "curriculum"): NO_STEPS.format("curriculum", "Ssd"),
    ("fisher", "harmonise"): NO_STEPS.format("harmonise", "Fisher"),
    ("influence", "optim"): NO_STEPS.format("optim sophia", "Influence"),
    ("sfron", "curriculum"): "expected no curriculum, since the rows of SfronTrainer weigh each other; got",
    ("sfron", "harmonise"): "harmonise, got SfronTrainer with steps of forget, then retain rows",
    ("finetune", "harmonise"): "harmonise, got FinetuneTrainer with steps of retain rows",
    ("neg_grad", "harmonise"): "harmonise, got NegGradTrainer with steps of forget rows",
    ("neg_grad", "dual_optim"): "expected steps of forget and of retain rows for dual_optim, got NegGradTrainer with",
    ("msg", "dual_optim"): "expected steps of forget and of retain rows for dual_optim, got MsgTrainer with steps of",
    ("l1_sparse", "sam_rho"): "expected steps of forget rows for sam_rho, got L1SparseTrainer with steps of retain",
}
VALUES = {
    "curriculum": "superloss", "harmonise": "munba", "optim": "sophia", "dual_optim": "adamw_torch", "sam_rho": 0.1
}  # fmt: skip


@pytest.mark.parametrize(("method", "option"), REFUSED)
def test_addons_that_do_not_fit_a_method_are_refused_in_one_line(method: str, option: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    model = toy.build(name)
    before = toy.snapshot(model)
    with pytest.raises(ValueError, match=REFUSED[method, option]) as error:
        toy.trainer(method, model, toy.split_rows(toy.rows(name)), tmp_path, **{option: VALUES[option]}).train()
    assert "\n" not in str(error.value)
    if method != "msg":  # which resets weights first
        assert toy.same(model, before)


ONE_SET = ("munba", "dual_optim")
UNFIT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ssd", "fisher", "influence"), tuple(ADDONS)),
    **dict.fromkeys(
        ("retrain", "finetune", "l1_sparse", "cf_k", "eu_k", "noise_ft", "undo", "msg", "ct"), (*ONE_SET, "sam")
    ),
    **dict.fromkeys(
        ("neg_grad", "delete", "undial", "ce_u", "esd", "task_vector", "boundary_shrink", "boundary_expand"), ONE_SET
    ),
    **dict.fromkeys(("scrub", "unsir"), ("munba",)),
    "sfron": ("superloss", "munba"),
}


@pytest.mark.nightly
@pytest.mark.parametrize("addon", ADDONS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_with_every_addon_or_refuses_it(method: str, addon: str, tmp_path: Path) -> None:
    name = toy.name_for(method)

    def run(**given: Any) -> tuple[Any, dict[str, int], dict[str, int]]:
        given = {"num_train_epochs": 2, **given}
        trainer = toy.trainer(method, toy.build(name), toy.split_rows_for(method, toy.rows(name)), tmp_path, **given)
        with CostCounter(trainer) as cost:
            trainer.train()
        return trainer, dict(cost.forward), dict(cost.backward)

    if addon in UNFIT.get(method, ()):
        with pytest.raises(ValueError, match=rf"expected .*{METHODS[method].__name__}"):
            run(**ON[addon])
        return
    plain, forward, backward = run()
    trainer, *counts = run(**ON[addon])
    assert toy.distance(trainer.model, toy.snapshot(plain.model)) > 0
    if addon == "sam":
        assert counts[0]["student"] > forward["student"]
        more = counts[0]["student"] - forward["student"], counts[1]["student"] - backward["student"]
        assert more[0] == more[1] > 0
    else:
        assert counts == [forward, backward]
