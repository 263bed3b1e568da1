"""Evaluation after every epoch: its scores, its cost (none), and the epoch that is kept."""

import contextlib
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.evaluation import validation_score as score_module
from mubench.trainers.evaluation.result import RunInfo, read_result
from mubench.trainers.evaluation.validation_score import ValidationScore
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.predict import predict
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics.case import NoSignal
from mubench.trainers.metrics.proxy import proxy
from mubench.trainers.models import base_models
from mubench.trainers.runs import run as run_module
from mubench.trainers.runs.plan import resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.unlearning import epoch_evaluation
from mubench.trainers.unlearning.cost_counter import CostCounter
from mubench.trainers.unlearning.unlearning_arguments import check_epochs
from tests.fixtures import toy
from tests.trainers.metrics.test_proxy import views

# Outputs of a model at first, and after each of three epochs: the second is the best.
SCRIPT = [views(20, 20, 14), views(18, 20, 14), views(14, 20, 14), views(10, 14, 12)]


# Methods that change weights outside training, or follow the recipe to its end.
ONE_RESULT = {
    "ssd",
    "fisher",
    "influence",
    "task_vector",
    "boundary_expand",
    "retrain",
    "retrain_keep50",
    "retrain_at",
}


class Snapshots(TrainerCallback):
    """Keeps the weights of every epoch."""

    def __init__(self) -> None:
        self.found: list[dict[str, torch.Tensor]] = []

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: torch.nn.Module, **_: Any) -> None:
        self.found.append(toy.snapshot(model))


def scripted(outputs: list[Any]) -> Any:
    """Return an output function that returns one after the other, whatever the model."""
    left = iter(outputs)
    return lambda _: next(left)


def evaluated(name: str, folder: Path, *, outputs: list[Any] = SCRIPT, **changes: Any) -> Any:
    given = {"num_train_epochs": 3, "keep": "best", **changes}
    made = toy.trainer("finetune", toy.build(name), toy.split_rows(toy.rows(name)), folder, **given)
    made.output_function = scripted(outputs)
    made.snapshots = Snapshots()
    made.add_callback(made.snapshots)
    return made


@pytest.mark.parametrize("name", ["resnet", "vit", "gpt2"])  # statistics, other names in files, and shared weights
def test_the_best_epochs_weights_are_kept_to_the_bit(name, tmp_path, capsys):
    made = evaluated(name, tmp_path)
    made.train()
    assert toy.same(made.model, made.snapshots.found[1])
    assert not toy.same(made.model, made.snapshots.found[2])
    assert [entry["kept"] for entry in made.history()] == [False, True, False]
    assert [entry["proxy"] for entry in made.history()] == [proxy(outputs, SCRIPT[0]) for outputs in SCRIPT[1:]]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "epoch 2: forget 0.700, retain 1.000, validation 0.700, proxy 1.000" and len(lines) == 3


def test_adapters_of_the_best_epoch_are_merged(tmp_path):
    made = evaluated("vit", tmp_path / "best", lora_rank=2)
    made.train()
    short = evaluated("vit", tmp_path / "short", lora_rank=2, num_train_epochs=2, keep="last")
    short.train()
    assert toy.same(made.model, toy.snapshot(short.model))


def test_of_equal_epochs_the_last_is_kept(tmp_path):
    made = evaluated("resnet", tmp_path, outputs=[SCRIPT[0], SCRIPT[1], SCRIPT[1], SCRIPT[3]])
    made.train()
    assert toy.same(made.model, made.snapshots.found[1])


class Scripted(ValidationScore):
    """Has a given score for every outputs."""

    def __init__(self, scores: dict[int, float]) -> None:
        self.scores, self.group = scores, SimpleNamespace(retrained={1: None, 0: None}, bases={0: None})

    def __call__(self, model: Any) -> float:
        return self.scores[id(model)]


def test_an_oracle_chooses_by_its_score_and_is_recorded(tmp_path, capsys):
    made = evaluated("resnet", tmp_path, keep="oracle")
    made.validation_score = Scripted(
        {id(outputs): score for outputs, score in zip(SCRIPT, (0.0, 0.1, 0.4, 0.6), strict=True)}
    )
    made.train()
    assert toy.same(made.model, made.snapshots.found[2]) and not toy.same(made.model, made.snapshots.found[1])
    assert [(entry["oracle"], entry["kept"]) for entry in made.history()] == [(0.1, False), (0.4, False), (0.6, True)]
    assert {tuple(entry["retrained_seeds"]) for entry in made.history()} == {(0, 1)}
    assert "proxy 1.000, oracle 0.400" in capsys.readouterr().out.splitlines()[1]
    with pytest.raises(ValueError, match="keep oracle needs the retrained models of a task, got none"):
        evaluated("resnet", tmp_path, keep="oracle").train()


def test_an_oracle_scores_an_epochs_rows_beside_the_same_rows_of_retrained_models(world):
    retrained, bases = (
        {seed: {**views, "validation": views["test"]} for seed, views in models.items()}
        for models in (world.retrained(), world.bases())
    )
    group = SimpleNamespace(
        require=lambda: None,
        retrained=retrained,
        bases=bases,
        references=lambda: ([*retrained.values()], [*bases.values()]),
    )
    sample = retrained[0]["retain"].ids[::-2]

    def outputs(saw):
        views = world.views(saw=saw, seed=9)
        return {"forget": views["forget"], "retain": views["retain"].select(sample), "validation": views["test"]}

    score = ValidationScore(group)
    good, half, base = (score(outputs(saw)) for saw in (0.0, 0.5, 1.0))
    assert 1 >= good > 0.8 > half > 0.3
    assert base < 0.1
    whole = {**world.views(saw=0.5, seed=9)}
    assert ValidationScore(group)({**outputs(0.5), "retain": whole["retain"]}) == pytest.approx(half, abs=0.05)


@pytest.mark.slow
def test_rows_of_an_oracle_are_marked(own_walk, monkeypatch):
    monkeypatch.setattr(score_module, "validation_score", lambda *views: 0.5)  # which is undefined on so small a task
    folders = [own_walk.unlearn("finetune", arguments=given) for given in ({}, {"keep": "oracle"})]
    judge = own_walk.judge()
    plain, marked = (read_result(judge.run(folder)) for folder in folders)
    assert plain.flags == [] and marked.flags == ["oracle_selection"] and marked.arguments["keep"] == "oracle"
    with pytest.raises(ValueError, match="expected flag oracle_selection where keep is oracle and only there"):
        type(marked)(**{**marked.model_dump(), "flags": []})
    with pytest.raises(ValueError, match="expected a score, a flag or a reason why there is no signal"):
        type(marked)(**{**marked.model_dump(), "metrics": {}, "interval": None, "no_signal": None})


def test_an_oracle_without_retrained_models_names_the_command_that_makes_them(own_walk):
    for folder in own_walk.judge().group.retrained.values():
        shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=r"expected 1 base and 2 retrained models .* mubench references --t"):
        own_walk.unlearn("finetune", arguments={"keep": "oracle"})


def known(name: str = "resnet") -> tuple[torch.nn.Module, list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a model that has memorised its rows, the rows, and others like them that it never saw."""
    model, mine, draw = toy.build(name), toy.rows(name), torch.Generator().manual_seed(0)
    noise = torch.randn(2 * toy.ROWS, 3, 8, 8, generator=draw)
    others = [{**row, "pixel_values": row["pixel_values"] + one} for row, one in zip(2 * mine, noise, strict=True)]
    toy.task_trainer(model, mine, Path(), num_train_epochs=25).train()
    return model, mine, others


def test_the_trainers_own_rows_are_evaluated_and_the_epoch_with_the_highest_proxy_is_kept(tmp_path):
    model, mine, others = known()
    outputs = [{name: predicted(model, rows) for name, rows in splits(mine, others).items()}]
    made = toy.trainer(
        "neg_grad_plus", model, toy.split_rows(mine), tmp_path, given={"eval_dataset": others}, num_train_epochs=6,
        keep="best", alpha=0.4,
    )  # fmt: skip
    snapshots = Snapshots()
    made.add_callback(snapshots)
    made.train()
    other = toy.build("resnet")
    for state in snapshots.found:
        other.load_state_dict(state)
        outputs.append({name: predicted(other, rows) for name, rows in splits(mine, others).items()})
    found = [proxy(one, outputs[0]) for one in outputs[1:]]
    assert [entry["proxy"] for entry in made.history()] == pytest.approx(found)
    best = max(range(6), key=lambda epoch: (found[epoch], epoch))
    assert len(set(found)) > 2 and best < 5, "the best epoch is not the last one, or this proves nothing"
    assert toy.same(made.model, snapshots.found[best])


def splits(mine: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {**toy.split_rows(mine), "validation": others}


def predicted(model: torch.nn.Module, rows: list[dict[str, Any]]) -> ClassOutputs:
    labels = np.array([row["labels"] for row in rows])
    return ClassOutputs(np.arange(len(rows)).astype(str), predict(model, rows, toy.collator("resnet")), labels)


@pytest.mark.parametrize("method", ["finetune", "scrub"])  # SCRUB's epochs differ in length
def test_evaluation_changes_no_weight_and_no_count(method, tmp_path):
    def outputs(model):
        predict(model, toy.rows("vit"), toy.collator("vit"))
        return SCRIPT[0]

    runs = []
    for evaluates in (True, False):
        model = toy.build("vit", dropout=0.3)
        made = toy.trainer(method, model, toy.split_rows(toy.rows("vit")), tmp_path, eval_each_epoch=evaluates)
        made.output_function = outputs
        with CostCounter(made) as made.cost_counter:
            made.train()
        runs.append((toy.snapshot(model), made.process_cost(), made.history()))
    (weights, cost, history), (plain_weights, plain_cost, none) = runs
    assert all(torch.equal(weights[name], plain_weights[name]) for name in weights)
    assert [cost[name] for name in ("forward", "backward")] == [plain_cost[name] for name in ("forward", "backward")]
    assert [entry["epoch"] for entry in history] == [1, 2] and "kept" not in history[0]
    assert none == []


def test_the_clock_of_a_run_leaves_out_excluded_blocks(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    made = toy.trainer("finetune", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path)
    assert made.process_cost() == {"seconds": 0.0}
    made.start_clock()
    now[0] = 3.0
    with made.exclude_from_cost():
        now[0] = 10.0
    made.start_clock()
    assert made.process_cost() == {"seconds": 3.0}


def test_evaluations_are_excluded_from_the_cost(tmp_path):
    made, open_blocks, inside = evaluated("resnet", tmp_path), [], []
    excluded = made.exclude_from_cost

    @contextlib.contextmanager
    def recorded():
        open_blocks.append(True)
        with excluded():
            yield
        open_blocks.pop()

    made.exclude_from_cost = recorded
    outputs = made.output_function
    made.output_function = lambda model: inside.append(bool(open_blocks)) or outputs(model)
    made.train()
    assert inside == [True] * 4


def test_a_resumed_run_keeps_the_best_epoch_of_the_whole_run(tmp_path, monkeypatch):
    monkeypatch.setattr(epoch_evaluation, "proxy", confidence)
    made, rows = [], toy.rows("vit", 30)

    def run(folder):
        changes = {"num_train_epochs": 4, "keep": "best", "save_strategy": "epoch"}
        data, given = toy.split_rows(rows[:18]), {"eval_dataset": rows[18:]}
        made.append(toy.trainer("neg_grad", toy.build("vit"), data, folder, given=given, **changes))
        return made[-1]

    toy.check_resume(run, tmp_path, lambda steps: steps - 1)
    whole, _, resumed = (one.history() for one in made)
    assert whole == resumed and [entry["kept"] for entry in whole] == [True, False, False, False]


def confidence(model, base):
    """Stand in for the proxy where no model is good enough for it; gradient ascent lowers it from epoch to epoch."""
    return float(model["forget"].true_probability.mean())


def test_the_best_weights_of_an_earlier_run_are_not_loaded(tmp_path):
    first = evaluated("resnet", tmp_path, outputs=[SCRIPT[0], SCRIPT[2], *SCRIPT[2:]])
    first.train()
    again = evaluated("resnet", tmp_path, outputs=[SCRIPT[0], SCRIPT[1], SCRIPT[3], SCRIPT[3]])
    again.train()
    assert [entry["kept"] for entry in again.history()] == [True, False, False]


def test_outputs_that_are_not_finite_stop_the_run(tmp_path):
    forget = SCRIPT[0]["forget"]
    bad = {**SCRIPT[0], "forget": ClassOutputs(forget.ids, forget.logits * float("nan"), forget.labels)}
    with pytest.raises(NonFiniteError, match="expected finite outputs after step 2"):
        evaluated("resnet", tmp_path, outputs=[SCRIPT[0], bad]).train()


def test_where_the_proxy_is_undefined_epochs_are_evaluated_and_not_chosen(tmp_path, capsys):
    flat = views(14, 20, 14)
    with pytest.raises(NoSignal, match="no better on forget than on validation rows"):
        evaluated("resnet", tmp_path, outputs=[flat]).train()
    evaluated("resnet", tmp_path, outputs=[flat] * 4, keep="last", eval_each_epoch=True).train()
    assert capsys.readouterr().out.splitlines()[0] == "epoch 1: forget 0.700, retain 1.000, validation 0.700"


@pytest.mark.parametrize("method", METHODS)
def test_only_methods_whose_epochs_are_results_have_epochs_to_choose_from(method, tmp_path):
    args = METHODS[method].arguments(**toy.settings(tmp_path, keep="best"))
    one_result = METHODS[method].changes_once() or METHODS[method].from_scratch
    assert one_result or method not in ONE_RESULT
    if not one_result:
        check_epochs(METHODS[method], args)
        return
    with pytest.raises(ValueError, match=r"expected keep last for \w+Trainer, which .*; got keep best"):
        check_epochs(METHODS[method], args)


def test_invalid_requests_are_refused(tmp_path, walked):
    data = toy.split_rows(toy.rows("resnet"))
    with pytest.raises(ValueError, match="keep must be one of last, best, oracle, got 'bset'"):
        toy.trainer("finetune", toy.build("resnet"), data, tmp_path, keep="bset")
    with pytest.raises(ValueError, match="needs validation rows, got none"):
        toy.trainer("finetune", toy.build("resnet"), data, tmp_path, keep="best").train()
    with pytest.raises(ValueError, match=r"expected no eval_each_epoch for SsdTrainer, .*; got it$"):
        resolve(walked.request("ssd", arguments={"eval_each_epoch": True}))


def test_only_a_choice_is_recorded(walked):
    plain, chosen = (resolve(walked.request("scrub", arguments=given)).run for given in ({}, {"keep": "best"}))
    assert resolve(walked.request("scrub", arguments={"keep": "last", "eval_each_epoch": True})).run == plain
    assert chosen.arguments == {**plain.arguments, "keep": "best"} and "keep" not in plain.arguments
    assert chosen.tuned == "custom" and chosen.identity != plain.identity


class Closed(dict[str, Any]):
    """Splits of which two may not be read."""

    def __getitem__(self, split: str) -> Any:
        if split in ("test", "ood"):
            raise AssertionError(f"{split} rows were read")
        return super().__getitem__(split)


def test_a_run_reads_no_test_row_before_its_weights_are_chosen(own_walk, monkeypatch, capsys):
    monkeypatch.setattr(epoch_evaluation, "proxy", confidence)
    request = own_walk.request("finetune", arguments={"keep": "best", "num_train_epochs": 2})
    setting = request.setting
    write = base_models.train_into

    def guarded(folder, run, trainer, *args, **kwargs):
        rows, train = setting.rows, trainer.train

        def closed(*words, **more):
            setting.__dict__["rows"] = Closed(rows)
            try:
                return train(*words, **more)
            finally:
                setting.__dict__["rows"] = rows

        trainer.train = closed
        write(folder, run, trainer, *args, **kwargs)

    monkeypatch.setattr(run_module, "train_into", guarded)
    folder = unlearn(resolve(request))
    lines = capsys.readouterr().out.splitlines()
    run = read_run(folder)
    assert len(run.history) == 2 and sum(entry["kept"] for entry in run.history) == 1
    assert lines[0].startswith("epoch 1: forget ")
    assert run.identity == resolve(request).run.identity
    assert "history" not in RunInfo.from_run(run, "row").model_dump()
    assert not list((own_walk.models / ".work").iterdir())
