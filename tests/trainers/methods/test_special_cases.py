"""Settings at which a method equals another one, or changes nothing, on every tiny model that it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.fixtures import toy
from tests.fixtures.method_steps import on_every_model

ADAMW: dict[str, Any] = {"optim": "adamw_torch", "weight_decay": 0.1, "learning_rate": 0.01, "max_grad_norm": 1.0}
# Steps of three pairs and of three rows pass over the forget set in the same order.
THREE = {"per_device_train_batch_size": 3}
# Settings that make a method equal to another bit for bit: dropout, statistics and random numbers included.
BITWISE: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "retrain": ({}, "finetune", {}),
    "noise_ft": ({"sigma": 0.0}, "finetune", {}),
    "l1_sparse": ({"gamma": 0.0}, "finetune", {}),
    "scrub": ({"gamma": 1.0, "alpha": 0.0, "msteps": 0}, "finetune", {}),
    "msg": ({"share": 0.0, "rest": 1.0}, "finetune", {}),
    "salun": ({"rho": 1.0}, "random_label", {"redraw": True}),
}
# The same up to rounding, since both sets go through the model at once.
ROUNDED: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "neg_grad_plus, retain alone": ("neg_grad_plus", {"alpha": 1.0}, "finetune", {}),
    "neg_grad_plus, forget alone": ("neg_grad_plus", {"alpha": 0.0, "anchor": "forget"}, "neg_grad", {}),
    "wga": ("wga", {**THREE, "beta": 0.0, "alpha": 0.0}, "neg_grad", THREE),
    "satimp": ("satimp", {**THREE, "beta1": 0.0, "beta2": 0.0, "gamma": 1.0, "alpha": 0.0}, "neg_grad", THREE),
    "satimp, wga": ("satimp", {"beta1": 1.5, "beta2": 0.0, "gamma": 1.0}, "wga", {"beta": 1.5}),
    "kl_min": ("kl_min", {**THREE, "alpha": 0.0}, "neg_grad", THREE),
}
# Settings that change no weight and no buffer; no importance for the forget set is 4 times that for all data.
STILL: dict[str, dict[str, Any]] = {
    "salun": {**ADAMW, "rho": 0.0},
    "fisher": {"alpha": 0.0},
    "influence": {"alpha": 0.0},
    "ssd": {"alpha": 4.0},
    "task_vector": {"alpha": 0.0},
}
After = Callable[..., dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> After:
    """Return a function that trains a tiny model by a method and returns its weights; each run is made once."""
    found: dict[str, dict[str, torch.Tensor]] = {}

    def run(method: str, name: str, *, coupled: bool, **options: Any) -> dict[str, torch.Tensor]:
        key = f"{method} {name} {coupled} {sorted(options.items())}"
        if key not in found:
            model = toy.build(name, coupled=coupled, dropout=0.1 * coupled)
            folder = tmp_path_factory.mktemp(method)
            toy.trainer(method, model, toy.split_rows_for(method, toy.rows(name)), folder, **options).train()
            found[key] = toy.snapshot(model)
        return found[key]

    return run


@pytest.mark.parametrize(("method", "name"), on_every_model(BITWISE, first="vit"))
def test_the_method_is_the_other_one_bit_for_bit(method: str, name: str, after: After) -> None:
    options, other, others = BITWISE[method]
    wanted = after(other, name, coupled=True, **ADAMW, **others)
    start = toy.build(name, coupled=True)
    assert toy.distance(start, wanted) > 1e-3
    start.load_state_dict(after(method, name, coupled=True, **ADAMW, **options))
    assert toy.same(start, wanted)


@pytest.mark.parametrize(("case", "name"), on_every_model(ROUNDED, lambda case: ROUNDED[case][0], first="vit"))
def test_without_a_term_the_method_is_that_of_the_other_set(case: str, name: str, after: After) -> None:
    method, options, other, others = ROUNDED[case]
    wanted = after(other, name, coupled=False, **others)
    start = toy.build(name)
    assert toy.distance(start, wanted) > 1e-4
    start.load_state_dict(after(method, name, coupled=False, **options))
    assert toy.distance(start, wanted) < 1e-6


@pytest.mark.parametrize(("method", "name"), on_every_model(STILL, first="vit"))
def test_nothing_changes(method: str, name: str, after: After) -> None:
    coupled = method != "salun"  # its mask covers weights; statistics follow the data
    assert toy.same(toy.build(name, coupled=coupled), after(method, name, coupled=coupled, **STILL[method]))
