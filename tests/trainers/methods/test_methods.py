"""What holds for every method: exact averaging, seeds, untouched rows, loud failure, plain models and data."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from mubench.hub_builders.tasks import Kind
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.applicability import methods_for
from mubench.trainers.unlearning.cost_counter import CostCounter
from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments, UnlearningTrainer
from tests.fixtures import toy

F, R = toy.FORGET, toy.ROWS - toy.FORGET
# What the suite promises; everything else in the table is more.
PROMISED = (
    "retrain", "finetune", "neg_grad", "neg_grad_plus", "l1_sparse", "random_label", "salun", "boundary_shrink",
    "boundary_expand", "unsir", "amun", "scrub", "bad_teaching", "delete", "lotus", "undial", "ce_u", "kl_min", "npo",
    "simnpo", "dpo", "wga", "rmu", "multi_delete", "esd", "ssd", "fisher", "influence", "sfron", "task_vector", "cf_k",
    "eu_k", "noise_ft", "msg", "ct", "jensun", "undo",
)  # fmt: skip
# Rows a run of two epochs trains on, and how often.
SEEN = {
    "retrain": [0] * F + [2] * R,
    "retrain_keep50": [2, 0] * (F // 2) + [2] * R,
    "finetune": [0] * F + [2] * R,
    "neg_grad": [2] * F + [0] * R,
    "random_label": [2] * F + [2] * R,
    "salun": [3] * F + [2] * R,
    "scrub": [2] * F + [3] * R,
    "neg_grad_plus": [2 * R // F] * F + [2] * R,
    "l1_sparse": [0] * F + [2] * R,
    "cf_k": [0] * F + [2] * R,
    "eu_k": [0] * F + [2] * R,
    "noise_ft": [0] * F + [2] * R,
    "delete": [2] * F + [0] * R,
    "undial": [2] * F + [0] * R,
    "ce_u": [2] * F + [0] * R,
    "task_vector": [2] * F + [0] * R,
}
# Methods whose result no seed changes.
SEEDLESS = {"ssd", "influence"}
# Every method on one of its tiny models in turn.
TURNS = [(method, toy.names_for(method)[i % len(toy.names_for(method))]) for i, method in enumerate(METHODS)]


def seeded() -> list[tuple[str, str]]:
    """Return every method with the tiny model that will do, and with one that draws, or else one that writes."""
    found = []
    for method in METHODS:
        names = toy.names_for(method, writers=True, painters=True)
        other = [name for name in ("painter", "gpt2") if name in names]
        found += [(method, name) for name in dict.fromkeys([toy.name_for(method), *other[:1]])]
    return found


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with the rows that go through the collator of any trainer."""
    seen: list[int] = []
    collate = UnlearningTrainer.train_collator

    def collator(trainer: UnlearningTrainer, items: Any) -> dict[str, Any]:
        batch = collate(trainer, items)
        seen.extend(batch["index"].tolist())
        return batch

    monkeypatch.setattr(UnlearningTrainer, "train_collator", collator)
    return seen


def plain(method: str) -> tuple[torch.nn.Module, list[dict[str, Any]]]:
    """Return a model without a config that a method can take, and its rows; with blocks where a method needs them."""
    if method in ("dpo", "jensun"):
        return toy.Words(), toy.rows("gpt2")
    if method == "multi_delete":
        return toy.Pair(), toy.pair_rows()
    if method == "esd":
        return toy.Painter(), toy.rows("painter")
    if method in toy.NO_TABLE:
        return toy.Plain(), toy.plain_rows()
    blocks = {"cf_k": toy.Stack, "eu_k": toy.Stack, "rmu": toy.Layers}
    return blocks.get(method, toy.Table)(), toy.table_rows()


def given(method: str) -> dict[str, Any]:
    """Return what a method needs for a model without a config."""
    words = {"data_collator": toy.collator("gpt2"), "processing_class": toy.tokenizer()}
    fresh = {"bad_teaching": {"bad_teacher": toy.Table(seed=9)}, "eu_k": {"fresh": toy.Stack()}}
    return {**fresh, "dpo": words, "jensun": words}.get(method, {})


def test_a_method_says_where_it_comes_from_and_what_it_takes(method: str) -> None:
    kind = METHODS[method]
    assert kind.paper.title and kind.paper.venue and kind.paper.authors
    assert set(kind.kinds) <= set(get_args(Kind))
    assert set(kind.splits) <= {"forget", "retain"}
    own = {field.name: field for field in dataclasses.fields(kind.arguments)}
    for name in set(own) - {field.name for field in dataclasses.fields(UnlearningArguments)}:
        assert own[name].metadata["help"]
    assert "``" in (kind.__doc__ or "")


@pytest.mark.parametrize(
    ("method", "name"), toy.everywhere([key for key in METHODS if not METHODS[key].coupled], painters=False)
)
def test_t_ga_accumulation_changes_nothing(method: str, name: str, tmp_path: Path) -> None:
    options = {"num_train_epochs": 1, **toy.smooth(method)}
    one = toy.trained(method, name, tmp_path, **options)
    four = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    other = toy.trained(method, name, tmp_path, **options, **four)
    assert toy.distance(one, toy.snapshot(toy.build(name))) > 1e-4
    assert toy.distance(one, toy.snapshot(other)) < 1e-6


@pytest.mark.parametrize(("method", "name"), seeded())
def test_t_seed_a_run_is_a_function_of_its_seed(method: str, name: str, tmp_path: Path) -> None:
    options = {"per_device_train_batch_size": 4, **({"max_steps": 2} if name != toy.name_for(method) else {})}
    first = toy.trained(method, name, tmp_path, seed=1, **options)
    np.random.seed(7)  # noqa: NPY002  the global state is what must not matter
    torch.manual_seed(7)
    assert toy.same(toy.trained(method, name, tmp_path, seed=1, **options), toy.snapshot(first))
    other = toy.trained(method, name, tmp_path, seed=2, **options)
    assert toy.same(other, toy.snapshot(first)) == (method in SEEDLESS)


@pytest.mark.parametrize("method", [method for method in METHODS if not toy.edits(method)])
def test_a_resumed_run_is_the_uninterrupted_one(method: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    options = {"save_strategy": "steps", "save_steps": 1, "num_train_epochs": 3, "lr_scheduler_type": "linear"}
    options |= {"optim": "adamw_torch", "learning_rate": 0.01}

    def run(folder: Path) -> Any:
        model = toy.build(name, dropout=0.2)
        return toy.trainer(method, model, toy.sides_for(method, toy.rows(name)), folder, **options)

    toy.check_resume(run, tmp_path, lambda steps: steps // 2 + 1)


@pytest.mark.parametrize(("method", "name"), toy.spread(METHODS))
def test_t_split_the_sides_are_disjoint_and_cover_all_rows(method: str, name: str, tmp_path: Path) -> None:
    trainer = toy.trainer(method, toy.build(name), toy.sides_for(method, toy.rows(name)), tmp_path)
    assert np.concatenate([trainer.forget_rows, trainer.retain_rows]).tolist() == list(range(toy.ROWS))
    assert len(trainer.forget_rows) == F
    batch = trainer.train_collator([trainer.train_dataset[i] for i in range(toy.ROWS)])
    assert batch.pop("forget").tolist() == [True] * F + [False] * R
    assert batch.pop("index").tolist() == list(range(toy.ROWS))
    assert len(set(batch.pop("content_hash", torch.arange(toy.ROWS)).tolist())) == toy.ROWS
    given = toy.collator(name)([row for side in toy.sides_for(method, toy.rows(name)).values() for row in side])
    assert batch.keys() == given.keys() and all(torch.equal(batch[key], given[key]) for key in given)


def test_f02_a_method_trains_on_its_own_rows_and_no_others(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, seen = toy.name_for(method), watched(monkeypatch)
    trainer = toy.trainer(method, toy.build(name), toy.sides_for(method, toy.rows(name)), tmp_path, num_train_epochs=2)
    trainer.train()
    counts = np.bincount(seen, minlength=toy.ROWS).tolist()
    assert counts == SEEN.get(method, counts)
    for split, count in (("forget", sum(counts[:F])), ("retain", sum(counts[F:]))):
        assert (count > 0) == (split in trainer.splits)


def test_f03_plain_models_and_lists_need_nothing_but_forget_and_retain(method: str, tmp_path: Path) -> None:
    model, data = plain(method)
    before = toy.snapshot(model)
    changes: dict[str, Any] = {"learning_rate": 1.0, "num_train_epochs": 3}
    changes |= {name: name for name in ("words", "pictures", "head") if method == "multi_delete"}
    options = {**given(method), "eval_dataset": {"forget": data[:F], "retain": data[F:], "validation": data[F:]}}
    trainer = toy.trainer(method, model, toy.sides_for(method, data), tmp_path, given=options, **changes)
    trainer.train()
    assert toy.distance(model, before) > 1e-3
    assert {"eval_forget_loss", "eval_retain_loss"} <= set(trainer.evaluate())


@pytest.mark.parametrize("key", PROMISED)
def test_f22_a_method_that_is_promised_is_in_the_table_and_defined_for_a_kind_of_task(key: str) -> None:
    assert METHODS[key].__name__ == "".join(word.title() for word in key.split("_")) + "Trainer"
    assert METHODS[key].__module__.endswith(f".{key}")
    assert any(key in methods_for(kind) for kind in METHODS[key].kinds)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_f08_a_method_runs_in_bfloat16(method: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    model = toy.trained(method, name, tmp_path, bf16=True, num_train_epochs=1)
    assert toy.distance(model, toy.snapshot(toy.build(name))) > 1e-5


@pytest.mark.parametrize(("method", "name"), TURNS)
def test_f09_t_split_evaluation_sees_the_rows_as_they_were(method: str, name: str, tmp_path: Path) -> None:
    given = toy.sides_for(method, toy.rows(name))
    data = given["forget"] + given["retain"]
    untouched = copy.deepcopy(data)
    options = {"given": {"eval_dataset": data[:F]}, "num_train_epochs": 1}
    trainer = toy.trainer(method, toy.build(name), given, tmp_path, **options)
    trainer.train()
    other = toy.task_trainer(trainer.model, untouched, tmp_path)
    other.data_collator = toy.collator(name)
    assert trainer.evaluate()["eval_loss"] == other.evaluate(untouched[:F])["eval_loss"]
    for row, old in zip(data, untouched, strict=True):
        assert row.keys() == old.keys()
        assert all(torch.equal(torch.as_tensor(row[key]), torch.as_tensor(old[key])) for key in row)


@pytest.mark.parametrize(("method", "name"), toy.spread(METHODS))
def test_t_nan_rows_that_are_not_finite_stop_the_run_before_a_weight_moves(
    method: str, name: str, tmp_path: Path
) -> None:
    name = "t5" if name == "gpt2" else name  # whose answers are words, none of which is NaN
    trainer = toy.trainer(method, toy.build(name), toy.sides_for(method, toy.broken(name)), tmp_path)
    reached, prepare = [toy.snapshot(trainer.model)], trainer.prepare
    trainer.prepare = lambda: [prepare(), reached.append(toy.snapshot(trainer.model))]
    with pytest.raises(NonFiniteError):
        trainer.train()
    assert toy.same(trainer.model, reached[-1])  # as it was at first, or as far as it came before training


@pytest.mark.parametrize(("method", "name"), toy.spread(METHODS))
def test_t_empty_steps_without_forget_or_without_retain_rows_are_finite(
    method: str, name: str, tmp_path: Path
) -> None:
    trainer = toy.trainer(method, toy.build(name), toy.sides_for(method, toy.rows(name)), tmp_path)
    trainer.prepare()
    for rows in (trainer.forget_rows, trainer.retain_rows):
        batch = trainer.train_collator([trainer.train_dataset[i] for i in rows])
        (batch,), count = trainer.get_batch_samples(iter([batch]), 1, torch.device("cpu"))
        loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=count)
        loss.backward()
        assert torch.isfinite(loss)
        trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
        assert all(weight.grad is None or torch.isfinite(weight.grad).all() for weight in trained)
        assert any(weight.grad is not None for weight in trained)


def test_a_missing_side_is_an_error_that_says_so(method: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    data = toy.rows(name)
    for side in METHODS[method].splits:
        with pytest.raises(ValueError, match=rf"Trainer needs .*{side}.* rows, got .*0 {side}"):
            toy.trainer(method, toy.build(name), {**toy.sides_for(method, data), side: []}, tmp_path)
    with pytest.raises(ValueError, match="train_dataset must hold forget and retain, got test"):
        toy.trainer(method, toy.build(name), {"test": data}, tmp_path)


def test_a_teacher_is_refused_where_there_is_none(method: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    options = {"teacher": toy.build(name)}
    if METHODS[method].uses_teacher:
        teacher = toy.trainer(
            method, toy.build(name), toy.sides_for(method, toy.rows(name)), tmp_path, given=options
        ).teacher
        assert teacher is options["teacher"]
    else:
        with pytest.raises(ValueError, match="has no teacher, got one"):
            toy.trainer(method, toy.build(name), toy.sides_for(method, toy.rows(name)), tmp_path, given=options)


def test_arguments_of_another_method_are_refused(tmp_path: Path) -> None:
    args = METHODS["neg_grad"].arguments(**toy.settings(tmp_path))
    with pytest.raises(ValueError, match="expected args of ScrubArguments, got NegGradArguments"):
        METHODS["scrub"](toy.build("vit"), args, train_dataset=toy.sides(toy.rows("vit")))


class OneShot(UnlearningTrainer):
    """Edits the weights once."""

    def edit(self, model: torch.nn.Module) -> None:
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(self.factor)

    factor = 0.5


def test_a_method_that_edits_is_not_trained(tmp_path: Path) -> None:
    model = toy.Table()
    before = model.table.detach().clone()
    with CostCounter(trainer := toy.trainer(OneShot, model, toy.sides(toy.table_rows()), tmp_path)) as cost:
        assert trainer.train().global_step == 0
    assert torch.equal(model.table, before / 2)
    assert cost.counts() == {"forward": 0, "backward": 0}
    trainer.factor = float("nan")
    with pytest.raises(NonFiniteError, match="expected finite weights"):
        trainer.train()
