"""What holds for every method: exact averaging, seeds, resuming, untouched data, loud failure, plain models."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from mubench.hub_builders.tasks import Kind
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.method_table import methods_for
from mubench.trainers.unlearning.cost_counter import CostCounter
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer
from tests.fixtures import toy

F, R = toy.FORGET, toy.ROWS - toy.FORGET
# One step for every phase.
WHOLE: dict[str, Any] = {"per_device_train_batch_size": toy.ROWS, "num_train_epochs": 1}
# How often each forget and each retain example occurs in two epochs.
FORGET_ONLY, RETAIN_ONLY, BOTH = ([2] * F, [0] * R), ([0] * F, [2] * R), ([2] * F, [2] * R)
SEEN: dict[str, tuple[list[int], list[int]]] = {
    **dict.fromkeys(("neg_grad", "delete", "undial", "ce_u", "task_vector", "boundary_shrink", "boundary_expand",
                     "esd"), FORGET_ONLY),
    **dict.fromkeys(("retrain", "retrain_at", "finetune", "l1_sparse", "cf_k", "eu_k", "noise_ft", "msg", "ct",
                     "undo"), RETAIN_ONLY),
    **dict.fromkeys(("random_label", "salun", "quantile"), BOTH),
    "amun": ([2] * 2 * F, [2] * R),  # every forget row twice: as it is, and changed
    "retrain_keep50": ([2, 0] * (F // 2), [2] * R),
    "scrub": ([2] * F, [3] * R),
    "neg_grad_plus": ([2 * R // F] * F, [2] * R),
    "unsir": ([2] * F, [4] * R),
    "sfron": ([2] * F, [2] * R),
}  # fmt: skip
# Methods that pair each forget example with a retain example; those whose forget examples come with some of the
# retain set.
PAIRED = ("kl_min", "npo", "simnpo", "wga", "satimp", "pdu", "rmu", "dpo", "altpo", "jensun",
          "multi_delete")  # fmt: skip
SAMPLED = ("bad_teaching", "lotus")
WITH_TEACHER = {"altpo", "bad_teaching", "delete", "dpo", "esd", "jensun", "kl_min", "lotus", "multi_delete", "npo",
                "quantile", "rmu", "scrub", "undial"}  # fmt: skip
# Methods whose loss and steps are those of plain training on one of the sets, or that do not train at all.
PLAIN = ("retrain", "retrain_keep50", "retrain_at", "finetune", "noise_ft", "ct", "eu_k", "cf_k", "task_vector")
OWN_LOSS = [key for key in METHODS if key not in PLAIN and not toy.edits(key)]
OTHER_MODELS = [("random_label", "gpt2"), ("random_label", "diffusion"), ("rmu", "gpt2"), ("ce_u", "gpt2")]
CASES = [*((method, toy.name_for(method)) for method in OWN_LOSS), *OTHER_MODELS]
# Methods that draw random numbers beside their pairs, with settings that make the result depend on them.
RANDOM: dict[str, dict[str, Any]] = {
    "multi_delete": {"num_train_epochs": 2}, "sfron": {"per_device_train_batch_size": 3, "max_steps": 1},
    **{key: {} for key in ("dpo", "altpo", "rmu", "boundary_expand", "fisher", "undo", "unsir", *SAMPLED)},
}  # fmt: skip
# Methods whose loss depends on more than each example by itself, or whose steps are changed.
JOINT = ("salun", "msg", "l1_sparse", "lotus", "boundary_expand", "multi_delete", "dpo", "altpo", "jensun", "esd",
         "rmu", "pdu", "random_label")  # fmt: skip
# Methods whose later steps depend on more than the weights and the step.
STATEFUL = ("l1_sparse", "salun", "scrub", "lotus", "sfron", "undo", "boundary_expand", "task_vector",
            "pdu")  # fmt: skip
# Methods that compute something from the data beside their loss.
PREPARED = ("finetune", "salun", "boundary_shrink", "unsir", "amun", "ssd", "fisher", "influence", "sfron", "msg",
            "undo", "rmu", "multi_delete")  # fmt: skip
# Methods that train on examples other than those given.
CHANGED = ("random_label", "amun", "unsir", "boundary_expand", "dpo", "altpo", "jensun", "multi_delete")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(method: str, folder: Path, *, name: str = "", dropout: float = 0.0, **options: Any) -> Any:
    name = name or toy.name_for(method)
    data = toy.split_rows_for(method, toy.rows(name))
    return toy.trainer(method, toy.build(name, dropout=dropout), data, folder, **options)


def plain(method: str) -> tuple[torch.nn.Module, list[dict[str, Any]]]:
    """Return a model without a config that a method can take, and its data; with blocks where a method needs them."""
    if method == "altpo":
        return toy.build("gpt2"), toy.rows("gpt2")  # it generates, as models of transformers do
    if method in ("dpo", "jensun", "satimp", "pdu"):
        return toy.Words(), toy.rows("gpt2")
    if method == "multi_delete":
        return toy.Pair(), toy.pair_rows()
    if method == "esd":
        return toy.TinyDiffusion(), toy.rows("diffusion")
    if method in toy.NO_TABLE:
        return toy.Plain(), toy.plain_rows()
    blocks = {"cf_k": toy.Stack, "eu_k": toy.Stack, "rmu": toy.Layers}
    return blocks.get(method, toy.Table)(), toy.table_rows()


def given(method: str) -> dict[str, Any]:
    """Return what a method needs for a model without a config."""
    words = {"data_collator": toy.collator("gpt2"), "processing_class": toy.tokenizer()}
    fresh = {"bad_teaching": {"bad_teacher": toy.Table(seed=9)}, "eu_k": {"fresh": toy.Stack()}}
    return {**fresh, **dict.fromkeys(("dpo", "altpo", "jensun", "satimp", "pdu"), words)}.get(method, {})


def test_a_method_names_its_paper_and_its_kinds_and_has_a_place_in_the_table(method: str) -> None:
    kind = METHODS[method]
    assert kind.paper.title and kind.paper.venue and kind.paper.authors
    assert set(kind.adapted_kinds) <= set(kind.kinds) <= set(get_args(Kind))
    assert "``" in (kind.__doc__ or "")
    assert kind.__name__ == "".join(word.title() for word in method.split("_")) + "Trainer"
    assert kind.__module__.endswith(f".{method}")
    assert any(method in methods_for(one) for one in kind.kinds)
    assert kind.uses_teacher == (method in WITH_TEACHER)


def test_the_phases_of_a_method_hold_its_own_data(method: str, tmp_path: Path) -> None:
    trainer = build(method, tmp_path)
    trainer.prepare()
    counts = np.zeros(len(trainer.train_dataset), dtype=int)
    for epoch in (0, 1):
        for phase in trainer.phases(epoch):
            np.add.at(counts, np.ravel(phase), 1)
    forget, retain = counts[:-R], counts[-R:]
    if method in SEEN:
        assert (forget.tolist(), retain.tolist()) == SEEN[method]
    elif method in (*PAIRED, *SAMPLED):
        assert forget.tolist() == [2] * F
        assert (retain.sum(), retain.max()) == ((2 * F, 2) if method in PAIRED else (2 * round(0.3 * R), 2))
    used = {split for split, count in (("forget", forget.sum()), ("retain", retain.sum())) if count}
    if method in (*PAIRED, *SAMPLED):
        phase = trainer.phases(0)[0]
        trainer.args.seed += 1
        assert not np.array_equal(trainer.phases(0)[0], phase)
    assert used == set(trainer.splits) - (
        {"forget"} if method in ("msg", "undo") else set()
    )  # read in `prepare` alone


@pytest.mark.parametrize(
    ("method", "name"),
    [pytest.param(*case, marks=() if case[0] in JOINT else pytest.mark.slow)
     for case in CASES if not METHODS[case[0]].coupled],
)  # fmt: skip
def test_accumulation_changes_nothing(method: str, name: str, tmp_path: Path) -> None:
    trainers = [
        build(method, tmp_path, name=name, **{**WHOLE, **cut})
        for cut in ({}, {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 4})
    ]
    for trainer in trainers:
        trainer.train()
    assert toy.distance(trainers[0].model, toy.snapshot(toy.build(name))) > 1e-5
    assert toy.distance(trainers[0].model, toy.snapshot(trainers[1].model)) < 1e-6


@pytest.mark.parametrize("method", RANDOM)
def test_random_numbers_of_a_method_depend_on_its_seed_and_not_on_the_global_state(
    method: str, tmp_path: Path
) -> None:
    states = []
    for seed, state in ((1, 5), (1, 6), (2, 5)):
        trainer = build(method, tmp_path, seed=seed, **{**WHOLE, **RANDOM[method]})
        np.random.seed(state)  # noqa: NPY002
        if method != "multi_delete":  # ViLT samples patches from the global state
            torch.manual_seed(state)
        trainer.train()
        states.append(toy.snapshot(trainer.model))
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert max(float((value - states[2][key]).abs().max()) for key, value in states[0].items()) > 1e-6


@pytest.mark.parametrize(
    "method", [pytest.param(key, marks=() if key in STATEFUL else pytest.mark.slow)
               for key in METHODS if not toy.edits(key)]
)  # fmt: skip
def test_a_resumed_run_is_the_uninterrupted_one(method: str, tmp_path: Path) -> None:
    options = {**WHOLE, "save_strategy": "steps", "save_steps": 1, "num_train_epochs": 2}
    options |= {"optim": "adamw_torch", "learning_rate": 0.01, "lr_scheduler_type": "linear"}
    toy.check_resume(
        lambda folder: build(method, folder, dropout=0.2, **options), tmp_path, lambda steps: steps // 2 + 1
    )


@pytest.mark.parametrize("method", METHODS)
def test_plain_models_and_lists_need_nothing_but_forget_and_retain(method: str, tmp_path: Path) -> None:
    model, data = plain(method)
    before = toy.snapshot(model)
    changes: dict[str, Any] = {**WHOLE, "learning_rate": 1.0, "num_train_epochs": 2}
    changes |= {name: name for name in ("words", "pictures", "head") if method == "multi_delete"}
    options = {**given(method), "eval_dataset": {"forget": data[:F], "retain": data[F:], "validation": data[F:]}}
    trainer = toy.trainer(method, model, toy.split_rows_for(method, data), tmp_path, given=options, **changes)
    trainer.train()
    assert toy.distance(model, before) > 1e-3
    assert {"eval_forget_loss", "eval_retain_loss"} <= set(trainer.evaluate())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_method_runs_in_bfloat16(method: str, tmp_path: Path) -> None:
    trainer = build(method, tmp_path, bf16=True, num_train_epochs=1)
    trainer.train()
    assert toy.distance(trainer.model, toy.snapshot(toy.build(toy.name_for(method)))) > 1e-5


@pytest.mark.parametrize("method", CHANGED)
def test_the_data_given_stays_as_it_was_and_so_does_evaluation(method: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    data = toy.split_rows_for(method, toy.rows(name))
    untouched = copy.deepcopy(data)
    given = {"eval_dataset": data["forget"]}
    trainer = toy.trainer(method, toy.build(name), data, tmp_path, given=given, **WHOLE)
    trainer.train()
    other = toy.task_trainer(trainer.model, untouched["forget"], tmp_path)
    other.data_collator = toy.collator(name)
    assert trainer.evaluate()["eval_loss"] == other.evaluate(untouched["forget"])["eval_loss"]
    for split, rows in data.items():
        for row, old in zip(rows, untouched[split], strict=True):
            assert row.keys() == old.keys()
            assert all(torch.equal(torch.as_tensor(row[key]), torch.as_tensor(old[key])) for key in row)


@pytest.mark.parametrize(
    "method",
    [pytest.param(key, marks=() if key in PREPARED else pytest.mark.slow)
     for key in METHODS if key != "altpo"],  # it reads prompts as tokens, which are never NaN
)  # fmt: skip
def test_data_that_is_not_finite_stops_the_run_before_a_weight_changes(method: str, tmp_path: Path) -> None:
    name = "t5" if toy.name_for(method) == "gpt2" else toy.name_for(method)  # whose answers are tokens, never NaN
    trainer = toy.trainer(method, toy.build(name), toy.split_rows_for(method, toy.broken(name)), tmp_path)
    states, prepare = [toy.snapshot(trainer.model)], trainer.prepare
    trainer.prepare = lambda: [prepare(), states.append(toy.snapshot(trainer.model))]
    with pytest.raises(NonFiniteError):
        trainer.train()
    assert toy.same(trainer.model, states[-1])  # the original weights, or what `prepare` made of them


@pytest.mark.parametrize(("method", "name"), CASES)
def test_steps_without_forget_or_without_retain_examples_are_finite(method: str, name: str, tmp_path: Path) -> None:
    trainer = build(method, tmp_path, name=name)
    trainer.prepare()
    for rows in (trainer.forget_rows, trainer.retain_rows):
        loss = toy.step(trainer, rows)
        loss.backward()
        slopes = [weight.grad for weight in trainer.model.parameters() if weight.grad is not None]
        assert torch.isfinite(loss) and slopes and all(torch.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("split", ["forget", "retain"])
def test_a_missing_set_is_an_error(split: str, tmp_path: Path) -> None:
    data = toy.split_rows(toy.table_rows())
    with pytest.raises(ValueError, match=rf"ScrubTrainer needs forget and retain rows, got .*0 {split}"):
        toy.trainer("scrub", toy.Table(), {**data, split: []}, tmp_path)
    for given, got in (({"test": data[split]}, "test"), ({}, "nothing"), (data[split], "list")):
        with pytest.raises(ValueError, match=f'expected train_dataset={{"forget": rows, "retain": rows}}, got {got}$'):
            toy.trainer("scrub", toy.Table(), given, tmp_path)


def test_rows_without_labels_are_refused(tmp_path: Path) -> None:
    """They are met where a batch is counted, since a collator may add labels."""
    data = toy.split_rows([{key: row[key] for key in row if key != "labels"} for row in toy.table_rows()])
    trainer = toy.trainer("neg_grad_plus", toy.Table(), data, tmp_path)
    with pytest.raises(ValueError, match="expected batches with labels, got forget, index"):
        trainer.train()


def test_a_teacher_is_kept_where_a_method_has_one_and_refused_elsewhere(tmp_path: Path) -> None:
    data, options = toy.split_rows(toy.table_rows()), {"teacher": toy.Table(seed=1)}
    assert toy.trainer("scrub", toy.Table(), data, tmp_path, given=options).teacher is options["teacher"]
    with pytest.raises(ValueError, match="NegGradTrainer has no teacher, got one"):
        toy.trainer("neg_grad", toy.Table(), data, tmp_path, given=options)


def test_arguments_of_another_method_are_refused(tmp_path: Path) -> None:
    args = METHODS["neg_grad"].arguments(**toy.settings(tmp_path))
    with pytest.raises(ValueError, match="expected args of ScrubArguments, got NegGradArguments"):
        METHODS["scrub"](toy.Table(), args, train_dataset=toy.split_rows(toy.table_rows()))


class OneShot(UnlearningTrainer):
    """Edits the weights once."""

    factor = 0.5

    def edit(self, model: torch.nn.Module) -> None:
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(self.factor)


def test_a_method_that_edits_is_not_trained(tmp_path: Path) -> None:
    model = toy.Table()
    before = model.table.detach().clone()
    with CostCounter(trainer := toy.trainer(OneShot, model, toy.split_rows(toy.table_rows()), tmp_path)) as cost:
        assert trainer.train().global_step == 0
    assert torch.equal(model.table, before / 2)
    assert cost.counts() == {"forward": 0, "backward": 0}
    trainer.factor = float("nan")
    with pytest.raises(NonFiniteError, match="expected finite weights"):
        trainer.train()
