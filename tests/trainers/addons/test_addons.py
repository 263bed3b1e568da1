"""The computation of each addon, against closed forms and sums by hand."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from mubench.trainers.addons import ADDONS
from mubench.trainers.addons.munba import OPPOSED, bargain, dot, nash_weights
from mubench.trainers.addons.sam import perturbed_weights
from mubench.trainers.addons.sophia import Sophia
from mubench.trainers.addons.superloss import SuperLoss, confidence, lambert_w
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.losses import Term
from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments
from tests.fixtures import toy

FORGET, RETAIN = slice(toy.FORGET), slice(toy.FORGET, toy.ROWS)
RATE = 0.05
ALPHA = 0.6
PAIRS: dict[str, Any] = {"per_device_train_batch_size": 12, "num_train_epochs": 1, "alpha": ALPHA}


def pairs(folder: Path, **options: Any) -> Any:
    """Return a trainer whose only step holds every retain row, and every forget row twice."""
    return toy.trainer("neg_grad_plus", toy.Plain(), toy.split_rows(toy.plain_rows()), folder, **{**PAIRS, **options})


def slopes(model: torch.nn.Module, rows: slice, weight: float) -> list[torch.Tensor]:
    """Return the gradient of the weighted mean loss of some rows."""
    data = toy.plain_rows()[rows]
    x, y = torch.stack([row["x"] for row in data]), torch.tensor([row["labels"] for row in data])
    return list(torch.autograd.grad(weight * F.cross_entropy(model(x).logits, y), list(model.parameters())))


def both(model: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the gradients of the two terms of NegGrad+."""
    return slopes(model, FORGET, ALPHA - 1), slopes(model, RETAIN, ALPHA)


def check(model: torch.nn.Module, wanted: list[torch.Tensor], tolerance: float = 1e-6) -> None:
    assert all(torch.allclose(w, v, atol=tolerance, rtol=0) for w, v in zip(model.parameters(), wanted, strict=True))
    assert toy.distance(model, toy.snapshot(toy.Plain())) > 100 * tolerance


# SuperLoss


def test_lambert_w_solves_its_equation_on_its_principal_branch() -> None:
    fine = {"dtype": torch.float64}
    x = torch.cat([torch.linspace(-1 / math.e + 1e-9, 1, 500, **fine), torch.logspace(0, 12, 50, **fine)])
    w = lambert_w(x)
    assert torch.allclose(w * w.exp(), x, rtol=1e-10, atol=1e-12) and (w > -1).all()
    assert lambert_w(torch.tensor([0.0, math.e], **fine)).tolist() == pytest.approx([0.0, 1.0], abs=1e-15)
    assert abs(float(lambert_w(torch.tensor(-1 / math.e))) + 1) < 1e-5
    assert torch.isnan(lambert_w(torch.tensor(float("nan"))))


def test_a_confidence_minimises_superloss() -> None:
    losses, tau, lam = torch.tensor([0.0, 0.5, 1.0, 3.0, 40.0], dtype=torch.float64), 1.0, 2.0
    found = confidence(losses, tau, lam)
    logs = torch.linspace(-8, 1, 90_001, dtype=torch.float64)
    for loss, sigma in zip(losses, found, strict=True):
        values = (loss - tau) * logs.exp() + lam * logs**2
        assert abs(float(logs[values.argmin()].exp() - sigma)) < 2e-4
    assert found[2] == 1
    assert (found.diff() < 0).all()
    assert confidence(torch.tensor([-1e9]), 0.0, 1.0).item() == pytest.approx(math.e, rel=1e-5)


def test_the_gradient_of_superloss_is_that_of_the_weighted_loss() -> None:
    def superloss(loss: torch.Tensor) -> torch.Tensor:
        sigma = confidence(loss, 1.0, 2.0)
        return (loss - 1) * sigma + 2 * sigma.log() ** 2

    losses = torch.tensor([0.2, 0.9, 1.0, 4.0], dtype=torch.float64)
    slope = (superloss(losses + 1e-5) - superloss(losses - 1e-5)) / 2e-5
    assert torch.allclose(slope, confidence(losses, 1.0, 2.0), atol=1e-8)


def test_every_term_has_the_mean_of_its_earlier_values_over_all_processes() -> None:
    curriculum, first = SuperLoss(1.0), torch.tensor([1.0, 2.0], requires_grad=True)
    assert curriculum.weigh(0, Term("forget", first)) is first
    curriculum.weigh(0, Term("forget", torch.tensor([6.0])))
    curriculum.weigh(1, Term("retain", torch.tensor([5.0])))
    curriculum.weigh(1, Term("retain", torch.tensor([9.0])), note=False)
    curriculum.advance(lambda own: [*own, ("0 forget", 7.0, 1)])
    assert curriculum.means == {"0 forget": (16.0, 4), "1 retain": (5.0, 1)}
    weighed = curriculum.weigh(0, Term("forget", first))
    assert torch.equal(weighed, confidence(first, 4.0, 1.0) * first) and (weighed > first).all()
    (slope,) = torch.autograd.grad(weighed.sum(), [first])
    assert torch.equal(slope, confidence(first, 4.0, 1.0))
    assert curriculum.weigh(1, Term("retain", torch.tensor([5.0]))).tolist() == [5.0]
    assert not len(curriculum.weigh(1, Term("retain", torch.zeros(0))))


@pytest.mark.parametrize("options", [{"curriculum_lambda": 1e9}, {"curriculum_lambda": 0.3}])
def test_a_large_lambda_is_no_curriculum_and_a_small_one_is(options: dict[str, Any], tmp_path: Path) -> None:
    plain = pairs(tmp_path, num_train_epochs=3)
    other = pairs(tmp_path, num_train_epochs=3, curriculum="superloss", **options)
    plain.train()
    other.train()
    apart = toy.distance(plain.model, toy.snapshot(other.model))
    assert apart < 1e-6 if options["curriculum_lambda"] > 1 else apart > 1e-4


@pytest.mark.parametrize("method", ["bad_teaching", "scrub"])
def test_an_example_has_one_loss_per_term_to_be_weighted(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weigh, seen = SuperLoss.weigh, []

    def recorded(self: SuperLoss, place: int, term: Term, **options: Any) -> torch.Tensor:
        seen.append(term.values.shape)
        return weigh(self, place, term, **options)

    monkeypatch.setattr(SuperLoss, "weigh", recorded)
    data, own = toy.split_rows(toy.rows("vit")), {"retain_share": 1.0} if method == "bad_teaching" else {"msteps": 2}
    toy.trainer(method, toy.build("vit"), data, tmp_path, curriculum="superloss", **own).train()
    assert {len(shape) for shape in seen} == {1}
    # Every row of two epochs once; in SCRUB's min passes, of which there are three, with both of its terms.
    values = {"bad_teaching": 2 * toy.ROWS, "scrub": 2 * toy.FORGET + 3 * 2 * (toy.ROWS - toy.FORGET)}
    assert sum(shape[0] for shape in seen) == values[method]


# Sophia


def test_momentum_is_applied_once_a_step() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = Sophia([weight], lr=0.1, betas=(0.9, 0.95))
    for gradient, momentum in ((1.0, 0.1), (0.0, 0.09)):
        weight.grad = torch.full((3,), gradient)
        optimizer.step()
        torch.testing.assert_close(optimizer.state[weight]["m"], torch.full((3,), momentum))


def test_sophia_takes_its_closed_form_steps_and_none_longer_than_its_rate() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64))
    optimizer = Sophia([weight], lr=0.1, betas=(0.9, 0.95), rho=2.0, rows=5, weight_decay=0.5)
    slope = torch.tensor([3.0, 0.01, 7.0], dtype=torch.float64)  # of the loss (slope / 2) theta^2
    theta, m, h = weight.detach().clone(), torch.zeros(3).double(), torch.zeros(3).double()
    for _ in range(3):
        optimizer.zero_grad()
        (slope * weight**2 / 2).sum().backward()
        optimizer.step()
        gradient = slope * theta
        m, h = 0.9 * m + 0.1 * gradient, 0.95 * h + 0.05 * gradient**2
        step = torch.tensor(
            [min(abs(a) / (2 * 5 * b + 1e-15), 1) for a, b in zip(m.tolist(), h.tolist(), strict=True)]
        )
        before = theta
        theta = theta * (1 - 0.1 * 0.5) - 0.1 * m.sign() * step
        assert torch.allclose(weight.detach(), theta, atol=1e-12)
        assert ((theta - before * 0.95).abs() <= 0.1 + 1e-12).all()
    assert step[0] < 0.1 and step[1] == 1 and weight[2] == 0


def test_sophia_without_curvature_is_descent_by_sign() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    weight.grad = torch.tensor([1e-8, -5.0])
    Sophia([weight], lr=0.25, rho=1e-30).step()
    assert weight.tolist() == [0.75, -1.75]


def test_the_trainer_passes_sophia_its_rates_batch_size_and_decay(tmp_path: Path) -> None:
    given = {"sophia_rho": 0.5, "sophia_beta1": 0.8, "sophia_beta2": 0.7, "weight_decay": 0.1}
    trainer = pairs(tmp_path, optim="sophia", gradient_accumulation_steps=3, **given)
    groups = trainer.create_optimizer().param_groups
    assert isinstance(trainer.optimizer, Sophia)
    for group, decay in zip(groups, (0.1, 0.0), strict=True):
        assert group == {**group, "lr": RATE, "betas": (0.8, 0.7), "rho": 0.5, "rows": 36, "weight_decay": decay}


# MUNBa


def test_a_bargain_solves_its_equation_and_has_the_largest_product_of_gains() -> None:
    forget, retain = [torch.tensor([3.0, 0.0]), None], [torch.tensor([-1.0, 0.5]), None]
    a, b = nash_weights(forget, retain)
    table = torch.tensor([[9.0, -3.0], [-3.0, 1.25]])
    assert torch.allclose(table @ torch.tensor([a, b]), 1 / torch.tensor([a, b]), atol=1e-5)
    cosine = -3 / math.sqrt(9 * 1.25)
    assert (a, b) == pytest.approx((1 / (3 * math.sqrt(1 + cosine)), 1 / (math.sqrt(1.25 * (1 + cosine)))))
    one, other = bargain(forget, retain)
    step = one[0] + other[0]  # type: ignore[operator]
    assert float(step.norm()) == pytest.approx(math.sqrt(2))
    angles = torch.linspace(0, 2 * math.pi, 100_001)
    steps = math.sqrt(2) * torch.stack([angles.cos(), angles.sin()], dim=1)
    gains = (steps @ forget[0]).clamp(min=0) * (steps @ retain[0]).clamp(min=0)  # type: ignore[arg-type]
    assert torch.allclose(steps[gains.argmax()], step, atol=1e-3)


def test_a_single_gradient_gets_length_one_and_opposed_ones_get_none() -> None:
    one = [torch.tensor([3.0, 4.0])]
    assert nash_weights(one, [None]) == pytest.approx((0.2, 0))
    assert nash_weights([torch.zeros(2)], one) == pytest.approx((0, 0.2))
    assert nash_weights(one, [-7 * one[0]]) == (0, 0)
    assert nash_weights(one, [-one[0] + torch.tensor([0.02, 0.0])])[0] > 1 and OPPOSED < 1e-5
    with pytest.raises(NonFiniteError, match="expected finite gradients to harmonise"):
        nash_weights(one, [torch.tensor([math.inf, 0.0])])


def test_a_step_is_the_sum_of_both_unit_gradients_over_the_root_of_one_plus_their_cosine(tmp_path: Path) -> None:
    model = toy.Plain()
    forget, retain = both(model)
    lengths = math.sqrt(dot(list(forget), list(forget))), math.sqrt(dot(list(retain), list(retain)))
    root = math.sqrt(1 + dot(list(forget), list(retain)) / (lengths[0] * lengths[1]))
    wanted = [
        w - RATE * (f / lengths[0] + r / lengths[1]) / root
        for w, f, r in zip(model.parameters(), forget, retain, strict=True)
    ]
    trainer = pairs(tmp_path, harmonise="munba")
    trainer.train()
    check(trainer.model, wanted)


# SAM


def test_weights_are_perturbed_by_rho_along_the_gradient_and_restored() -> None:
    weights = [torch.randn(3), torch.randn(2)]
    before = copy.deepcopy(weights)
    with perturbed_weights(weights, [torch.tensor([0.0, 3.0, 4.0]), None], 0.5):
        assert torch.allclose(weights[0] - before[0], torch.tensor([0.0, 0.3, 0.4]))
        assert torch.equal(weights[1], before[1])
    with perturbed_weights(weights, [torch.zeros(3), None], 0.5):
        assert torch.equal(weights[0], before[0])
    with pytest.raises(ZeroDivisionError), perturbed_weights(weights, [torch.ones(3), None], 0.5):
        raise ZeroDivisionError
    assert all(torch.equal(w, v) for w, v in zip(weights, before, strict=True))
    broken = perturbed_weights(weights, [None, weights[1] / 0], 1)
    with pytest.raises(NonFiniteError, match="expected a finite forget gradient"), broken:
        pass


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_the_forget_gradient_is_that_of_the_perturbed_weights_and_the_retain_gradient_is_not(
    rho: float, tmp_path: Path
) -> None:
    model = toy.Plain()
    forget, retain = both(model)
    length = math.sqrt(dot(list(forget), list(forget)))
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for weight, part in zip(moved.parameters(), forget, strict=True):
            weight.add_(rho * part / length)
    up, _ = both(moved)
    wanted = [w - RATE * (f + r) for w, f, r in zip(model.parameters(), up, retain, strict=True)]
    trainer = pairs(tmp_path, sam_rho=rho)
    trainer.train()
    check(trainer.model, wanted)
    plain = pairs(tmp_path)
    plain.train()
    apart = toy.distance(plain.model, toy.snapshot(trainer.model))
    assert apart < 1e-7 if rho == 0 else apart > 1e-5


# DualOptim


def test_a_step_is_that_of_two_optimizers_from_the_same_weights(tmp_path: Path) -> None:
    model = toy.Plain()
    wanted = [weight.detach().clone() for weight in model.parameters()]
    for gradient, rate in zip(both(model), (0.02, RATE), strict=True):
        other = copy.deepcopy(model)
        for weight, part in zip(other.parameters(), gradient, strict=True):
            weight.grad = part
        torch.optim.AdamW(other.parameters(), lr=rate, weight_decay=0.0).step()
        for total, old, new in zip(wanted, model.parameters(), other.parameters(), strict=True):
            total.add_((new - old).detach())
    trainer = pairs(tmp_path, optim="adamw_torch", dual_optim="adamw_torch", dual_learning_rate=0.02)
    trainer.train()
    check(trainer.model, wanted, 1e-5)  # the smallest gradient is 4e-7: Adam scales its rounding up with it


def test_without_moments_two_optimizers_are_one(tmp_path: Path) -> None:
    plain, dual = pairs(tmp_path, num_train_epochs=3), pairs(tmp_path, num_train_epochs=3, dual_optim="sgd")
    plain.train()
    dual.train()
    check(dual.model, list(plain.model.parameters()))


def test_the_forget_optimizer_steps_on_the_forget_set_alone_at_its_rate_and_under_the_same_schedule(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"optim": "adamw_torch", "dual_optim": "adamw_torch", "dual_learning_rate": 0.01}
    options |= {"per_device_train_batch_size": 18, "msteps": 1, "num_train_epochs": 2, "weight_decay": 0.1}
    model = toy.Plain()
    trainer = toy.trainer(
        "scrub", model, toy.split_rows(toy.plain_rows()), tmp_path, lr_scheduler_type="linear", **options
    )  # fmt: skip
    rates, forgetter = [], trainer.split_gradients.forget_optimizer.optimizer
    forgetter.register_step_pre_hook(lambda *_: rates.append(forgetter.param_groups[0]["lr"]))
    trainer.train()
    assert rates == pytest.approx([0.01 * 3 / 4])  # the second of four steps: retain, forget, retain, retain
    assert forgetter.param_groups[0]["weight_decay"] == 0
    both_optimizers = (forgetter, trainer.optimizer.optimizer)
    assert [{int(of["step"]) for of in one.state.values()} for one in both_optimizers] == [{1}, {3}]


# Arguments


def test_an_addon_names_its_paper_and_its_arguments_have_help_texts() -> None:
    helped = {field.name for field in dataclasses.fields(UnlearningArguments) if field.metadata.get("help")}
    for addon in ADDONS.values():
        assert addon.paper.title and addon.paper.venue and addon.paper.authors
        assert addon.arguments and set(addon.arguments) <= helped


@pytest.mark.parametrize(
    ("given", "message"),
    [({"curriculum": "easy"}, "curriculum must be superloss, got 'easy'"),
     ({"curriculum": "superloss", "curriculum_lambda": 0}, "curriculum_lambda must be more than 0 and finite, got 0"),
     ({"curriculum_lambda": 2.0}, "expected curriculum beside curriculum_lambda, got none"),
     ({"sophia_rho": 1.0}, "expected optim sophia beside sophia_rho, got none"),
     ({"optim": "sophia", "sophia_rho": 0.0}, "sophia_rho must be positive, got 0.0"),
     ({"optim": "sophia", "sophia_beta2": 1.0}, r"sophia_beta2 must lie in \[0, 1\), got 1.0"),
     ({"harmonise": "nash"}, "harmonise must be munba, got 'nash'"),
     ({"sam_rho": -1.0}, "sam_rho must be 0 or more and finite, got -1.0"),
     ({"dual_optim": "adam"}, "dual_optim must be one of adamw_torch, .*, sophia, got 'adam'"),
     ({"dual_learning_rate": 0.1}, "expected dual_optim beside dual_learning_rate, got none"),
     ({"dual_optim": "sgd", "dual_learning_rate": 0.0}, "expected learning rates above 0 with dual_optim, got 0.05"),
     ({"dual_optim": "sgd", "sam_rho": 0.1, "fp16": True}, "expected bf16 or fp32 with dual_optim, sam_rho, got")],
)  # fmt: skip
def test_invalid_arguments_are_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        UnlearningArguments(**toy.settings(tmp_path, **given))
