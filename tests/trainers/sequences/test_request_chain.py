"""A forget set in several requests: which rows each takes, where each starts, and what a killed sequence repeats."""

import dataclasses

import numpy as np
import pytest
import torch

from mubench.hub_builders.hub.model_folder import read_run, remake_command
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.result import RunInfo
from mubench.trainers.runs import run as run_module
from mubench.trainers.runs.plan import SEQUENCES, resolve
from mubench.trainers.runs.run import starting_model
from mubench.trainers.sequences.request_chain import request_ratios, run_requests, split_request
from tests.fixtures.walk import FORGET, RATIO


def counted(monkeypatch, stop_after=None):
    """Return a list that gets the plan of every run that is trained; the one after ``stop_after`` is killed."""
    trained, make = [], run_module._make

    def count(plan, callbacks):
        if len(trained) == stop_after:
            raise KeyboardInterrupt
        trained.append(plan)
        make(plan, callbacks)

    monkeypatch.setattr(run_module, "_make", count)
    return trained


@pytest.mark.parametrize(("steps", "ratios"), [(1, [10]), (2, [5, 10]), (5, [2, 4, 6, 8, 10]), (10, [*range(1, 11)])])
def test_steps_divide_the_ratio_into_equal_parts(steps, ratios):
    assert request_ratios(10, steps) == ratios


@pytest.mark.parametrize("steps", [0, -1, 3, 20])
def test_other_steps_name_those_that_do(steps):
    with pytest.raises(ValueError, match=rf"whole percentages \(1, 2, 5, 10\), got {steps}$"):
        request_ratios(10, steps)


def test_every_row_of_the_forget_set_is_in_one_request(walked):
    requests = split_request(walked.request("neg_grad"), 10)
    setting = walked.setting()
    masks = [setting.request_mask(one.ratio, one.deleted_before) for one in requests]
    assert np.array_equal(np.sum(masks, axis=0), setting.forget_mask(RATIO).astype(int))
    sizes = [setting.info.forget[ratio] for ratio in range(1, 11)]
    assert [int(mask.sum()) for mask in masks] == np.diff([0, *sizes]).tolist()


def test_a_later_request_sees_its_own_rows_and_none_that_are_deleted(walked):
    setting = walked.setting()
    _, processor = setting.fresh_model(0)
    sets = {split: set(rows.indices) for split, rows in setting.forget_retain_sets(10, processor, 5).items()}
    earlier = set(np.flatnonzero(setting.forget_mask(5)))
    assert sets["forget"] == set(np.flatnonzero(setting.forget_mask(10))) - earlier
    assert sets["retain"] == set(range(160)) - earlier - sets["forget"]


def test_what_cannot_be_cut_into_requests_is_refused(walked, monkeypatch):
    with pytest.raises(ValueError, match="method that changes a model, got retrain_keep50, which starts from a fresh"):
        split_request(walked.request("retrain_keep50"), 2)
    whole = walked.request("neg_grad")
    info = dataclasses.replace(whole.setting.info, forget={**whole.setting.info.forget, 5: 8, 10: 8})
    same = dataclasses.replace(whole, setting=dataclasses.replace(whole.setting, info=info))
    with pytest.raises(ValueError, match=r"that 10 % deletes beside those of 5 %, got none$"):
        split_request(same, 2)


def test_each_request_starts_from_the_model_of_the_one_before(own_walk):
    plans, _ = run_requests(split_request(own_walk.request("neg_grad"), 2))
    runs = [read_run(plan.folder) for plan in plans]
    assert runs[0] == read_run(resolve(own_walk.request("neg_grad", ratio=5)).folder)  # the first is an ordinary run
    assert (runs[1].deleted_before, runs[1].ratio, runs[1].parent) == (5, RATIO, runs[0].identity)
    assert plans[1].folder.parent == own_walk.models / SEQUENCES
    started, finished = starting_model(plans[1])[0], own_walk.setting().load(plans[0].folder)[0]
    for one, other in zip(started.parameters(), finished.parameters(), strict=True):
        assert torch.equal(one, other)
    trainer = run_module._trainer(plans[1], *starting_model(plans[1]), [])
    assert (len(trainer.forget_rows), len(trainer.retain_rows)) == (FORGET - 8, 160 - FORGET)
    assert runs[1].cost["backward"] == FORGET - 8  # one epoch over the new rows


def test_a_later_request_is_no_row_of_its_ratio(own_walk):
    whole = own_walk.request("neg_grad")
    plan = run_requests(split_request(whole, 2))[0][1]
    group = find_group(whole.setting, RATIO, own_walk.models)
    assert plan.folder not in group.runs and list(group.unlearned) == [resolve(whole).folder]
    with pytest.raises(ValueError, match="expected a run that deletes all of 10 %, got a request of a sequence"):
        RunInfo.from_run(read_run(plan.folder), "later")
    line = remake_command(plan.run, plan.folder)
    assert line.startswith("mubench sequence") and "--ratio RATIO --base_seed 0" in line
    assert f"--steps STEPS --method neg_grad --models {own_walk.models}" in line


@pytest.mark.slow
def test_a_killed_sequence_goes_on_where_it_was(own_walk, monkeypatch):
    requests = split_request(own_walk.request("neg_grad"), 5)
    with pytest.MonkeyPatch.context() as patch:
        first = counted(patch, stop_after=3)
        with pytest.raises(KeyboardInterrupt):
            run_requests(requests)
    then = counted(monkeypatch)
    plans, _ = run_requests(requests)
    assert [plan.folder for plan in (*first, *then)] == [plan.folder for plan in plans] and len(then) == 2
    again = counted(monkeypatch)
    assert [plan.run for plan in run_requests(requests)[0]] == [plan.run for plan in plans] and not again
