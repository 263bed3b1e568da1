"""Evaluation after every epoch: what it says, what it costs (nothing), and the epoch that is kept."""

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
from mubench.trainers.evaluation import validation_score as oracle_module
from mubench.trainers.evaluation.result import RunInfo
from mubench.trainers.evaluation.result_files import read_result
from mubench.trainers.evaluation.validation_score import ValidationScore
from mubench.trainers.inference.predict import predict
from mubench.trainers.inference.storage import ClassOutputs
from mubench.trainers.methods import METHODS
from mubench.trainers.metrics.case import NoSignal
from mubench.trainers.metrics.proxy import proxy
from mubench.trainers.models import base_models
from mubench.trainers.runs import run as run_module
from mubench.trainers.runs.run import plan_run, unlearn
from mubench.trainers.unlearning import epoch_evaluation as epochs
from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy
from tests.trainers.metrics.test_proxy import views

# What a model says of its rows at first, and after each of three epochs: the second is the best.
SCRIPT = [views(20, 20, 14), views(18, 20, 14), views(14, 20, 14), views(10, 14, 12)]


# Methods that change weights outside training, or are the recipe to its end.
ALONE = {"ssd", "fisher", "influence", "task_vector", "boundary_expand", "retrain", "retrain_keep50"}


class Snapshots(TrainerCallback):
    """Keeps the weights of every epoch."""

    def __init__(self) -> None:
        self.found: list[dict[str, torch.Tensor]] = []

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: torch.nn.Module, **_: Any) -> None:
        self.found.append(toy.snapshot(model))


def scripted(said: list[Any]) -> Any:
    """Return what says one thing after the other, whatever the model."""
    left = iter(said)
    return lambda _: next(left)


def watched(name: str, folder: Path, *, method: str = "finetune", look: Any = None, **changes: Any) -> Any:
    given = {"num_train_epochs": 3, "keep": "best", **changes}
    made = toy.trainer(method, toy.build(name), toy.sides(toy.rows(name)), folder, **given)
    made.output_function = look or scripted(SCRIPT)
    made.snapshots = Snapshots()
    made.add_callback(made.snapshots)
    return made


@pytest.mark.parametrize("name", ["resnet", "vit", "gpt2"])  # statistics, other names in files, and shared weights
def test_the_best_epochs_weights_are_kept_to_the_bit(name, tmp_path, capsys):
    made = watched(name, tmp_path)
    made.train()
    assert toy.same(made.model, made.snapshots.found[1])
    assert not toy.same(made.model, made.snapshots.found[2])
    assert [entry["kept"] for entry in made.history()] == [False, True, False]
    assert [entry["proxy"] for entry in made.history()] == [proxy(said, SCRIPT[0]) for said in SCRIPT[1:]]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "epoch 2: forget 0.700, retain 1.000, validation 0.700, proxy 1.000" and len(lines) == 3


def test_adapters_of_the_best_epoch_are_merged(tmp_path):
    made = watched("vit", tmp_path / "best", lora_rank=2)
    made.train()
    short = watched("vit", tmp_path / "short", lora_rank=2, num_train_epochs=2, keep="last")
    short.train()
    assert toy.same(made.model, toy.snapshot(short.model))


def test_of_equal_epochs_the_last_is_kept(tmp_path):
    made = watched("resnet", tmp_path, look=scripted([SCRIPT[0], SCRIPT[1], SCRIPT[1], SCRIPT[3]]))
    made.train()
    assert toy.same(made.model, made.snapshots.found[1])


class Scripted(ValidationScore):
    """Says of every views what it is told to."""

    def __init__(self, worth: dict[int, float]) -> None:
        self.worth, self.group = worth, SimpleNamespace(retrained={1: None, 0: None}, bases={0: None})

    def __call__(self, model: Any) -> float:
        return self.worth[id(model)]


def test_an_oracle_keeps_what_it_says_and_is_recorded(tmp_path, capsys):
    made = watched("resnet", tmp_path, keep="oracle")
    made.validation_score = Scripted(
        {id(said): value for said, value in zip(SCRIPT, (0.0, 0.1, 0.4, 0.6), strict=True)}
    )
    made.train()
    assert toy.same(made.model, made.snapshots.found[2]) and not toy.same(made.model, made.snapshots.found[1])
    assert [(entry["oracle"], entry["kept"]) for entry in made.history()] == [(0.1, False), (0.4, False), (0.6, True)]
    assert {tuple(entry["retrained_seeds"]) for entry in made.history()} == {(0, 1)}
    assert "proxy 1.000, oracle 0.400" in capsys.readouterr().out.splitlines()[1]
    with pytest.raises(ValueError, match="keep oracle needs the retrained models of a task, got none"):
        watched("resnet", tmp_path, keep="oracle").train()


def test_an_oracle_scores_an_epochs_rows_beside_the_same_rows_of_the_retrained(world):
    retrained, bases = (
        {seed: {**views, "validation": views["test"]} for seed, views in side.items()}
        for side in (world.retrained(), world.bases())
    )
    group = SimpleNamespace(
        require=lambda: None,
        retrained=retrained,
        bases=bases,
        references=lambda: ([*retrained.values()], [*bases.values()]),
    )
    some = retrained[0]["retain"].ids[::-2]

    def look(saw):
        views = world.views(saw=saw, seed=9)
        return {"forget": views["forget"], "retain": views["retain"].select(some), "validation": views["test"]}

    asked = ValidationScore(group)
    good, half, base = (asked(look(saw)) for saw in (0.0, 0.5, 1.0))
    assert 1 >= good > 0.8 > half > 0.3
    assert base < 0.1
    whole = {**world.views(saw=0.5, seed=9)}
    assert ValidationScore(group)({**look(0.5), "retain": whole["retain"]}) == pytest.approx(half, abs=0.05)


def test_rows_of_an_oracle_are_marked(own_walk, monkeypatch):
    monkeypatch.setattr(oracle_module, "validation_score", lambda *views: 0.5)  # of which so small a task has none
    folders = [own_walk.unlearn("finetune", arguments=given) for given in ({}, {"keep": "oracle"})]
    judge = own_walk.judge()
    plain, marked = (read_result(judge.run(folder)) for folder in folders)
    assert plain.flags == [] and marked.flags == ["oracle_selection"] and marked.arguments["keep"] == "oracle"
    with pytest.raises(ValueError, match="expected flag oracle_selection where keep is oracle and only there"):
        type(marked)(**{**marked.model_dump(), "flags": []})
    with pytest.raises(ValueError, match="expected a score, a flag or a reason why there is no signal"):
        type(marked)(**{**marked.model_dump(), "metrics": {}, "interval": None, "no_signal": None})


def test_an_oracle_without_retrained_models_says_how_to_make_them(own_walk):
    for folder in own_walk.judge().group.retrained.values():
        shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=r"expected 1 base and 2 retrained models .* make references T"):
        own_walk.unlearn("finetune", arguments={"keep": "oracle"})


def known(name: str = "resnet") -> tuple[torch.nn.Module, list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a model that knows its rows by heart, the rows, and others like them that it never saw."""
    model, mine, draw = toy.build(name), toy.rows(name), torch.Generator().manual_seed(0)
    noise = torch.randn(2 * toy.ROWS, 3, 8, 8, generator=draw)
    others = [{**row, "pixel_values": row["pixel_values"] + one} for row, one in zip(2 * mine, noise, strict=True)]
    toy.task_trainer(model, mine, Path(), num_train_epochs=25).train()
    return model, mine, others


def test_plain_rows_are_looked_at_and_the_epoch_with_the_highest_p_is_kept(tmp_path):
    model, mine, others = known()
    said = [{name: spoken(model, rows) for name, rows in three(mine, others).items()}]
    made = toy.trainer(
        "neg_grad_plus", model, toy.sides(mine), tmp_path, given={"eval_dataset": others}, num_train_epochs=6,
        keep="best", alpha=0.4,
    )  # fmt: skip
    snapshots = Snapshots()
    made.add_callback(snapshots)
    made.train()
    other = toy.build("resnet")
    for state in snapshots.found:
        other.load_state_dict(state)
        said.append({name: spoken(other, rows) for name, rows in three(mine, others).items()})
    found = [proxy(one, said[0]) for one in said[1:]]
    assert [entry["proxy"] for entry in made.history()] == pytest.approx(found)
    best = max(range(6), key=lambda epoch: (found[epoch], epoch))
    assert len(set(found)) > 2 and best < 5, "a best epoch that is not the last one, or this proves nothing"
    assert toy.same(made.model, snapshots.found[best])


def three(mine: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {**toy.sides(mine), "validation": others}


def spoken(model: torch.nn.Module, rows: list[dict[str, Any]]) -> ClassOutputs:
    labels = np.array([row["labels"] for row in rows])
    return ClassOutputs(np.arange(len(rows)).astype(str), predict(model, rows, toy.collator("resnet")), labels)


@pytest.mark.parametrize("method", ["finetune", "scrub"])  # scrub's epochs differ in length
def test_to_look_changes_no_weight_no_count_and_no_second(method, tmp_path):
    def slow(model):
        time.sleep(0.1)
        predict(model, toy.rows("vit"), toy.collator("vit"))
        return SCRIPT[0]

    runs = []
    for eyes in (True, False):
        model = toy.build("vit", dropout=0.3)
        made = toy.trainer(method, model, toy.sides(toy.rows("vit")), tmp_path, eval_each_epoch=eyes)
        made.output_function = slow
        began = time.perf_counter()
        with CostCounter(made) as made.cost_counter:
            made.train()
        runs.append((toy.snapshot(model), made.process_cost(), time.perf_counter() - began, made.history()))
    (seen, cost, wall, history), (unseen, plain, _, none) = runs
    assert all(torch.equal(seen[name], unseen[name]) for name in seen)
    assert [cost[name] for name in ("forward", "backward")] == [plain[name] for name in ("forward", "backward")]
    assert cost["seconds"] < wall - 0.3, "three looks of .1 s"
    assert [entry["epoch"] for entry in history] == [1, 2] and "kept" not in history[0]
    assert none == []


def test_a_resumed_run_keeps_the_best_epoch_of_the_whole_run(tmp_path, monkeypatch):
    monkeypatch.setattr(epochs, "proxy", confidence)
    made, rows = [], toy.rows("vit", 30)

    def run(folder):
        changes = {"num_train_epochs": 4, "keep": "best", "save_strategy": "epoch"}
        data, given = toy.sides(rows[:18]), {"eval_dataset": rows[18:]}
        made.append(toy.trainer("neg_grad", toy.build("vit"), data, folder, given=given, **changes))
        return made[-1]

    toy.check_resume(run, tmp_path, lambda steps: steps - 1)
    whole, _, resumed = (one.history() for one in made)
    assert whole == resumed and [entry["kept"] for entry in whole] == [True, False, False, False]


def confidence(model, base):
    """Stand in for P where no model is good enough for it; to ascend lowers it from epoch to epoch."""
    return float(model["forget"].true_probability.mean())


def test_what_another_attempt_left_is_not_taken(tmp_path):
    first = watched("resnet", tmp_path, look=scripted([SCRIPT[0], SCRIPT[2], *SCRIPT[2:]]))
    first.train()
    again = watched("resnet", tmp_path, look=scripted([SCRIPT[0], SCRIPT[1], SCRIPT[3], SCRIPT[3]]))
    again.train()
    assert [entry["kept"] for entry in again.history()] == [True, False, False]


def test_outputs_that_are_not_finite_stop_the_run(tmp_path):
    forget = SCRIPT[0]["forget"]
    bad = {**SCRIPT[0], "forget": ClassOutputs(forget.ids, forget.logits * float("nan"), forget.labels)}
    with pytest.raises(NonFiniteError, match="expected finite outputs after step 2"):
        watched("resnet", tmp_path, look=scripted([SCRIPT[0], bad])).train()


def test_where_p_says_nothing_epochs_are_shown_and_not_chosen(tmp_path, capsys):
    flat = views(14, 20, 14)
    with pytest.raises(NoSignal, match="no better on forget than on validation rows"):
        watched("resnet", tmp_path, look=scripted([flat])).train()
    watched("resnet", tmp_path, look=scripted([flat] * 4), keep="last", eval_each_epoch=True).train()
    assert capsys.readouterr().out.splitlines()[0] == "epoch 1: forget 0.700, retain 1.000, validation 0.700"


@pytest.mark.parametrize("method", METHODS)
def test_only_methods_whose_epochs_are_results_have_epochs_to_choose_from(method, tmp_path):
    alone = METHODS[method].changes_once() or METHODS[method].from_scratch
    assert alone or method not in ALONE
    name = toy.name_for(method)
    sides = toy.sides_for(method, toy.rows(name))
    if not alone:
        toy.trainer(method, toy.build(name), sides, tmp_path, keep="best")
        return
    with pytest.raises(ValueError, match=r"expected keep last for \w+Trainer, which .*; got keep best"):
        toy.trainer(method, toy.build(name), sides, tmp_path, keep="best")


def test_bad_requests_are_one_line(tmp_path, walked):
    data = toy.sides(toy.rows("resnet"))
    with pytest.raises(ValueError, match="keep must be one of last, best, oracle, got 'bset'"):
        toy.trainer("finetune", toy.build("resnet"), data, tmp_path, keep="bset")
    with pytest.raises(ValueError, match="needs validation rows, got none"):
        toy.trainer("finetune", toy.build("resnet"), data, tmp_path, keep="best").train()
    with pytest.raises(ValueError, match=r"expected no eval_each_epoch for SsdTrainer, .*; got it$"):
        plan_run(walked.request("ssd", arguments={"eval_each_epoch": True}))


def test_only_a_choice_is_recorded(walked):
    plain, chosen = (plan_run(walked.request("scrub", arguments=given)) for given in ({}, {"keep": "best"}))
    assert plan_run(walked.request("scrub", arguments={"keep": "last", "eval_each_epoch": True})) == plain
    assert chosen.arguments == {**plain.arguments, "keep": "best"} and "keep" not in plain.arguments
    assert chosen.tuned == "custom" and chosen.identity != plain.identity


class Closed(dict[str, Any]):
    """Splits of which two may not be read."""

    def __getitem__(self, split: str) -> Any:
        if split in ("test", "ood"):
            raise AssertionError(f"{split} rows were read")
        return super().__getitem__(split)


def test_a_run_reads_no_test_row_before_its_weights_are_chosen(own_walk, monkeypatch, capsys):
    monkeypatch.setattr(epochs, "proxy", confidence)
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
    folder = unlearn(request)
    said = capsys.readouterr().out.splitlines()
    run = read_run(folder)
    assert len(run.history) == 2 and sum(entry["kept"] for entry in run.history) == 1
    assert said[0].startswith("epoch 1: forget ")
    assert run.identity == plan_run(request).identity
    assert "history" not in RunInfo.from_run(run, "row").model_dump()
    assert not list((own_walk.models / ".work").iterdir())
