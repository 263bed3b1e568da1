"""Six methods against plain implementations of what their authors run, with BatchNorm in train mode where it is.

Relative differences are norms over all weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from mubench.trainers.methods.msg import fresh_copy
from mubench.trainers.methods.undo import add_noise
from mubench.trainers.tools.alternative_answers import tokenize_refusal
from tests.fixtures import toy

FORGET, RETAIN, ALL = slice(0, toy.FORGET), slice(toy.FORGET, toy.ROWS), range(toy.ROWS)
TOLERANCE = 1e-5


def net(seed: int = 0) -> Any:
    """Return a tiny ResNet in train mode, whose BatchNorm takes the statistics of a batch."""
    return toy.build("resnet", seed=seed, coupled=True)


def trainer_of(method: str, folder: Path, name: str = "resnet", **changes: Any) -> Any:
    return toy.trainer(method, toy.build(name, coupled=True), toy.split_rows(toy.rows(name)), folder, **changes)


def difference(found: Iterable[torch.Tensor], expected: Iterable[torch.Tensor]) -> float:
    """Return the norm of the difference over that of what is expected."""
    one, other = (torch.cat([part.detach().double().flatten() for part in parts]) for parts in (found, expected))
    assert float(other.norm()) > 1e-3
    return float((one - other).norm() / other.norm())


def slopes(model: torch.nn.Module) -> list[torch.Tensor]:
    return [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in model.parameters()]


PIXELS = torch.stack([row["pixel_values"] for row in toy.rows("resnet")])
LABELS = torch.tensor([row["labels"] for row in toy.rows("resnet")])


def test_neg_grad_plus_is_the_weighted_difference_of_the_losses_of_two_passes(tmp_path: Path) -> None:
    trainer = trainer_of("neg_grad_plus", tmp_path, alpha=0.7)
    toy.step(trainer, ALL).backward()
    plain = net()
    retain = F.cross_entropy(plain(PIXELS[RETAIN]).logits, LABELS[RETAIN])
    forget = F.cross_entropy(plain(PIXELS[FORGET]).logits, LABELS[FORGET])
    (0.7 * retain - 0.3 * forget).backward()
    assert difference(slopes(trainer.model), slopes(plain)) < TOLERANCE
    assert difference(trainer.model.buffers(), plain.buffers()) < TOLERANCE


def test_kl_min_ascends_and_keeps_the_outputs_in_two_passes(tmp_path: Path) -> None:
    trainer = trainer_of("kl_min", tmp_path, alpha=1.0)
    trainer.prepare()
    trainer.model.load_state_dict(net(seed=1).state_dict())
    toy.step(trainer, ALL).backward()
    plain, original = net(seed=1), net().eval()
    with torch.no_grad():
        then = F.log_softmax(original(PIXELS[RETAIN]).logits, dim=-1)
    now = F.log_softmax(plain(PIXELS[RETAIN]).logits, dim=-1)
    kept = F.kl_div(now, then, reduction="batchmean", log_target=True)
    (kept - F.cross_entropy(plain(PIXELS[FORGET]).logits, LABELS[FORGET])).backward()
    assert difference(slopes(trainer.model), slopes(plain)) < TOLERANCE
    assert difference(trainer.model.buffers(), plain.buffers()) < TOLERANCE


@pytest.mark.parametrize("method", ["neg_grad_plus", "kl_min"])
def test_without_batch_statistics_both_splits_go_through_the_model_at_once(method: str, tmp_path: Path) -> None:
    sizes = {}
    for name, coupled in (("resnet", True), ("resnet", False), ("vit", True)):
        model = toy.build(name, coupled=coupled)
        trainer = toy.trainer(method, model, toy.split_rows(toy.rows(name)), tmp_path)
        trainer.prepare()
        seen: list[int] = []
        model.register_forward_hook(lambda *args, seen=seen: seen.append(len(args[2].logits)))
        toy.step(trainer, ALL)
        sizes[name, coupled] = seen
    both = [toy.ROWS]
    two = [toy.ROWS - toy.FORGET, toy.FORGET]
    assert sizes == {("resnet", True): two, ("resnet", False): both, ("vit", True): both}


def attack(model: Any, start: torch.Tensor, label: torch.Tensor, radius: float, steps: int) -> tuple[Any, Any]:
    """Return the first input of another class that l2 PGD finds, in balls that double, and its class."""
    low, span = start.min(), start.max() - start.min()
    center = (start - low) / span
    unit, taken = center, 0
    while True:
        unit = unit.detach().requires_grad_()
        logits = model(pixel_values=(low + span * unit)[None]).logits[0]
        if logits.argmax() != label:
            return (low + span * unit).detach(), logits.argmax()
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, label), unit)
        radius = 2 * radius if taken and taken % steps == 0 else radius
        moved = (unit + 2.5 * radius / steps * slope / slope.norm() - center).detach()
        unit, taken = (center + moved * min(1.0, float(radius / moved.norm()))).clamp(0, 1), taken + 1


def test_amun_trains_on_the_union_of_retain_forget_and_adversarial_rows(tmp_path: Path) -> None:
    trainer = trainer_of("amun", tmp_path, steps=5, radius=0.1)
    trainer.prepare()
    (rows,) = trainer.phases(0)
    toy.step(trainer, rows).backward()
    found = [attack(net().eval(), PIXELS[i], LABELS[i], 0.1, 5) for i in range(toy.FORGET)]
    pixels = torch.cat([PIXELS[FORGET], torch.stack([one for one, _ in found]), PIXELS[RETAIN]])
    labels = torch.cat([LABELS[FORGET], torch.stack([one for _, one in found]), LABELS[RETAIN]])
    plain = net()
    F.cross_entropy(plain(pixels).logits, labels).backward()
    assert len(rows) == len(labels) and (labels[toy.FORGET : 2 * toy.FORGET] != LABELS[FORGET]).all()
    assert difference(slopes(trainer.model), slopes(plain)) < TOLERANCE


def test_msg_resets_within_each_convolution_and_slows_what_is_left_of_it(tmp_path: Path) -> None:
    size = {"per_device_train_batch_size": toy.ROWS, "max_steps": 1, "learning_rate": 1.0}
    trainer = trainer_of("msg", tmp_path, share=0.25, rest=0.1, **size)
    plain = net().eval()
    losses = [F.cross_entropy(plain(PIXELS[side]).logits, LABELS[side]) for side in (RETAIN, FORGET)]
    (losses[0] - losses[1]).backward()
    fresh = fresh_copy(plain, int(trainer.generator("fresh").integers(2**31)))
    pace: dict[str, torch.Tensor] = {}
    for name, module in plain.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            smallest = module.weight.grad.abs().flatten().argsort(stable=True)[: module.weight.numel() // 4]
            pace[f"{name}.weight"] = torch.full_like(module.weight, 0.1)
            pace[f"{name}.weight"].view(-1)[smallest] = 1.0
            with torch.no_grad():
                module.weight.view(-1)[smallest] = fresh.get_submodule(name).weight.view(-1)[smallest]
    plain.train().zero_grad()
    F.cross_entropy(plain(PIXELS[RETAIN]).logits, LABELS[RETAIN]).backward()
    start = [weight.detach().clone() for weight in plain.parameters()]
    with torch.no_grad():
        for name, weight in plain.named_parameters():
            weight.sub_(pace.get(name, 1.0) * weight.grad)
    trainer.train()
    assert len(pace) > 4
    assert difference(trainer.model.parameters(), plain.parameters()) < TOLERANCE
    steps = ([one - old for one, old in zip(m.parameters(), start, strict=True)] for m in (trainer.model, plain))
    assert difference(*steps) < TOLERANCE


def test_undo_shrinks_every_weight_and_adds_noise_to_those_of_more_than_one_dimension(tmp_path: Path) -> None:
    trainer = trainer_of("undo", tmp_path, alpha=0.4, beta=0.5, first="neg_grad", first_rate=0.1, first_epochs=1)
    trainer.prepare()
    suppressed = trainer.teachers["suppressed"]
    draw = torch.Generator().manual_seed(int(trainer.generator("noise").integers(2**31)))
    expected = []
    for weight in suppressed.parameters():
        noise = torch.zeros(weight.shape)
        if weight.ndim > 1:
            field = weight[0, 0].numel()
            deviation = math.sqrt(2 / (field * (weight.shape[0] + weight.shape[1])))
            noise = deviation * torch.empty(weight.shape).normal_(generator=draw)
        expected.append(0.6 * weight.detach() + 0.4 * 0.5 * noise)
    assert any(weight.ndim == 1 for weight in expected)
    assert difference(trainer.model.parameters(), expected) < TOLERANCE
    assert difference(trainer.model.buffers(), suppressed.buffers()) == 0
    still = copy.deepcopy(suppressed)
    add_noise(still.requires_grad_(True), 0.0, 0.5, draw)
    assert difference(still.parameters(), suppressed.parameters()) == 0


def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence of two distributions, ``(V,)`` each."""
    mean = (p + q) / 2
    return sum(torch.special.xlogy(one, one).sum() - torch.special.xlogy(one, mean).sum() for one in (p, q)) / 2


@pytest.mark.parametrize("name", toy.LANGUAGE_MODELS)
def test_jensun_puts_the_cycled_refusal_at_every_position_of_the_true_answer(name: str, tmp_path: Path) -> None:
    trainer = trainer_of("jensun", tmp_path, name, alpha=0.5)
    trainer.prepare()
    trainer.model.load_state_dict(toy.elsewhere(name))
    toy.step(trainer, ALL).backward()
    plain, original = toy.build(name, seed=1), toy.build(name).eval()
    tokens = tokenize_refusal(toy.tokenizer(), "No idea")[:-1]
    assert len(tokens) > 1
    values = []
    for number, row in enumerate(toy.rows(name)):
        labels = torch.tensor(row["labels"])
        shift = 1 if name == "gpt2" else 0
        places = [int(place) - shift for place in (labels != -100).nonzero()]
        p = plain(**toy.inputs([row])).logits[0].softmax(-1)
        with torch.no_grad():
            before = original(**toy.inputs([row])).logits[0].softmax(-1)
        each = []
        for turn, place in enumerate(places):
            onehot = F.one_hot(torch.tensor(tokens[turn % len(tokens)]), p.shape[-1]).float()
            each.append(divergence(p[place], onehot if number < toy.FORGET else before[place]))
        values.append(torch.stack(each).mean())
    (torch.stack(values[FORGET]).mean() + 0.5 * torch.stack(values[RETAIN]).mean()).backward()
    assert difference(slopes(trainer.model), slopes(plain)) < TOLERANCE
