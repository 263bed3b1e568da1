"""The front door of room 2: flags in, a model folder and a judged row out, and the same again from the row."""

import dataclasses
import importlib.util
import json
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.tasks import BACKBONES
from mubench.trainers.__main__ import main
from mubench.trainers.engine.task_arguments import UNRECORDED, TaskArguments
from mubench.trainers.evaluation.result import read_result, to_json, write_result
from mubench.trainers.methods import METHODS
from mubench.trainers.models import model_files
from mubench.trainers.runs.argument_parser import FlagParser, RunArguments, method_parser, training_flags
from mubench.trainers.runs.commands import request_of, run_method, summary
from mubench.trainers.runs.defaults import RECORDED, default_arguments, recorded_names
from mubench.trainers.runs.plan import resolve
from tests.cards.conftest import demo_rows  # noqa: F401  (a fixture)
from tests.fixtures.walk import files

QUIET = ["--disable-tqdm=true", "--save-strategy=no"]


@pytest.fixture
def words(own_walk):
    return ["--task=cifar10", "--ratio=10", *own_walk.flags(), *QUIET]


def rows(walk):
    return sorted(walk.results.glob("*.json"))


@pytest.mark.parametrize("method", METHODS)
def test_every_argument_of_a_method_is_a_flag_with_help(method):
    parser = method_parser(method)
    flags = {option for action in parser._actions for option in action.option_strings}
    names = {field.name for field in fields(METHODS[method].arguments) if field.init}
    names |= {field.name for field in fields(RunArguments)}
    assert {f"--{name}" for name in names} <= flags
    own = {field.name for field in fields(METHODS[method].arguments)} - {"output_dir"}
    helps = {action.dest: action.help for action in parser._actions}
    assert [name for name in own if not helps[name]] == []


@pytest.mark.parametrize("method", METHODS)
def test_help_shows_what_a_run_needs_then_the_methods_own_then_what_else_is_accepted(method, capsys):
    with pytest.raises(SystemExit) as left:
        main([method, "--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "percentage to delete, 1 to 10 (default: 10)" in printed
    assert "--base_seed BASE_SEED" in printed and not re.search(r"--\w+-\w", printed)
    accepted = {*recorded_names(METHODS[method]), *UNRECORDED, *RunArguments.__dataclass_fields__, "seed"} - {
        "output_dir"
    }
    shown = re.findall(r"^  --(\w+)", printed, re.MULTILINE)
    assert accepted <= set(shown)
    assert not {"output_dir", "label_smoothing_factor"} & set(shown)
    own = [name for name in recorded_names(METHODS[method]) if name not in RECORDED]
    places = [shown.index(name) for name in ("ratio", *own, "lora_rank", "learning_rate", "save_steps")]
    assert places == sorted(places)


@pytest.mark.parametrize("backbone", ["resnet", "vit", "resnet-50"])
def test_help_shows_the_defaults_that_hold_on_a_task_and_backbone(backbone, capsys):
    with pytest.raises(SystemExit):
        main(["scrub", "--task", "cifar10", "--backbone", backbone, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"Defaults are those on cifar10 with {backbone}." in printed
    usual = default_arguments("image_classification", BACKBONES[backbone].family, "scrub")
    assert len(usual) >= 3
    for name, value in usual.items():
        (line,) = re.findall(rf" --{name} [A-Z_]+,? .*?\(default: ([^)]+)\)", printed)
        assert line == str(value), name


def test_help_without_a_task_states_that_defaults_depend_on_it(capsys):
    with pytest.raises(SystemExit):
        main(["scrub", "--help"])
    assert "give --task before --help" in " ".join(capsys.readouterr().out.split())


def test_an_unknown_flag_is_named_before_what_is_missing(capsys):
    for words in (["scrub", "--tsk", "x"], ["references", "--tsk=x"], ["bases", "--tsk"]):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 2 and capsys.readouterr().err.startswith("mubench: unrecognized arguments: --tsk")


def test_help_has_a_line_for_every_method_and_command(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name in (*METHODS, "bases", "references", "sweep", "matrix", "rerun"):
        (line,) = [line for line in printed.splitlines() if line.startswith(f"  {name} ")]
        assert len(line) < 120 and len(line.split()) > 4


def test_flags_reach_the_request(walked):
    words = [
        "--task",
        "cifar10",
        "--ratio",
        "7",
        "--seed",
        "3",
        "--base_seed",
        "1",
        "--gamma",
        "0.25",
        *walked.flags(),
    ]
    request, where = request_of("scrub", [*words, "--backbone", "vit", "--results", "r", "--judge", "false"])
    assert (request.ratio, request.seed, request.base_seed, request.setting.backbone) == (7, 3, 1, "vit")
    assert request.arguments == {"save_strategy": "epoch", "gamma": 0.25}
    assert (where.results, where.judge, request.models) == ("r", False, walked.models)


def test_a_typed_flag_wins_over_every_default(walked):
    words = ["--task", "cifar10", *walked.flags()]
    plain = resolve(request_of("scrub", words)[0]).run
    assert plain.arguments["learning_rate"] != 5e-5 and plain.arguments["per_device_train_batch_size"] != 8
    # 5e-5 and 8 are what the dataclass says: typed out they still have to win over the suite's own defaults.
    typed = resolve(request_of("scrub", [*words, "--learning_rate=5e-5", "--per_device_train_batch_size", "8"])[0]).run
    assert (typed.arguments["learning_rate"], typed.arguments["per_device_train_batch_size"]) == (5e-5, 8)
    assert typed.tuned == "custom" and plain.tuned == "default"


def test_how_checkpoints_are_kept_is_the_users_choice(walked):
    words = ["--task", "cifar10", *walked.flags()]
    assert request_of("scrub", [*words, "--save_steps=3"])[0].arguments["save_strategy"] == "steps"
    assert request_of("scrub", [*words, "--save_strategy=no"])[0].arguments["save_strategy"] == "no"


def test_a_run_prints_what_it_was_where_it_lies_and_how_it_stands(own_walk, words, capsys):
    assert main(["finetune", *words, f"--results={own_walk.results}", "--seed=4"]) == 0
    printed = capsys.readouterr().out.splitlines()
    folder = own_walk.models / "cifar10-mini-resnet-del10-finetune-s4"
    about, model, path, *verdict = printed
    assert about == "what:  finetune on cifar10 (mini tier), resnet, 10 % deleted, base seed 0, seed 4"
    row = own_walk.results / f"{folder.name}-{read_run(folder).identity[:8]}.json"
    assert (model, path) == (f"model: {folder}", f"row:   {row}")
    found = read_result(row)
    assert found.seed == 4
    assert verdict == summary(found, own_walk.results) != []


def test_s_is_printed_beside_what_it_is_read_against_with_its_weakest_part(tmp_path, demo_rows):  # noqa: F811
    for row in demo_rows:
        name = {"retrain": "retrain", "retrain_keep50": "retrain-keep50"}.get(row.method, row.method)
        write_result(row.model_copy(update={"run_id": f"cifar10-mini-resnet-del5-{name}-s{row.seed}"}), tmp_path)
    first = demo_rows[0]
    score, parts, following = summary(first, tmp_path)
    low, high = first.interval.low, first.interval.high
    assert score == (
        f"S = 0.82 (one seed, 95 % interval {low:.2f} to {high:.2f} over rows and reference models, not seeds), "
        "beside retrained 0.93, half of the forget set kept 0.45, base 0.00"
    )
    worst = max(("row", "mean", "membership", "utility"), key=lambda name: first.metrics[name].value)
    assert parts.startswith("parts: row ") and parts.endswith(f"; the weakest is {worst}")
    assert following == f"next:  mubench leaderboard --results {tmp_path}"


def test_help_names_what_turns_a_switch_off(capsys):
    with pytest.raises(SystemExit):
        main(["scrub", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "compute S and write the result row, which takes reference models; otherwise only train" in printed
    assert "--no_judge the same as --judge false --method_file" in printed


def test_dashes_and_underscores_are_the_same_run(own_walk, words):
    dashed = [*words, "--judge=false", "--learning-rate=2e-4", "--base-seed", "1"]
    assert main(["finetune", *dashed]) == 0
    before = files(own_walk.models)
    assert main(["finetune", *words, "--judge", "false", "--learning_rate", "2e-4", "--base_seed=1"]) == 0
    assert files(own_walk.models) == before


def test_without_judging_no_reference_is_needed_and_no_row_is_written(own_walk, words):
    for folder in own_walk.models.glob("*retrain*"):
        (folder / "run.json").unlink()
    (message,) = run_method("finetune", [*words, "--judge=false"])
    assert message.startswith("model: ")
    assert run_method("finetune", [*words, "--judge=false"]) == [f"{message} (was there)"]
    assert run_method("retrain", [*words, "--base_seed=1"])[0].startswith("model: ")
    assert not own_walk.results.exists()


ADDONS = ["--curriculum=superloss", "--optim=sophia", "--harmonise=munba", "--dual_optim=sgd", "--sam-rho=0.01"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "options"), [("scrub", []), pytest.param("random_label", ADDONS, marks=pytest.mark.slow)]
)
def test_rerun_reproduces_the_run_and_its_metrics_from_the_row_alone(own_walk, words, method, options):
    given = ["--learning_rate=0.0007", "--num_train_epochs=1", "--weight_decay=0.01", "--seed=2", *options]
    first = own_walk.root / "first"
    run_method(method, [*words, f"--results={first}", *given])
    path = next(path for path in sorted(first.glob("*.json")) if method.replace("_", "-") in path.name)
    row = read_result(path)
    path.write_text(to_json(row.model_copy(update={"tuned": "tuned"})))
    folder = next(own_walk.models.glob(f"*-del10-{method.replace('_', '-')}-*-s2"))
    weights = (folder / "model.safetensors").read_bytes()
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    second = own_walk.root / "second"
    assert main(["rerun", str(path), *own_walk.flags(), f"--results={second}", *QUIET]) == 0
    again = read_result(second / path.name)
    assert again.identity == row.identity and (row.tuned, again.tuned) == ("custom", "tuned")
    assert (again.metrics, again.interval, again.flags) == (row.metrics, row.interval, row.flags)
    assert len(again.metrics) > 5
    assert (folder / "model.safetensors").read_bytes() == weights


def test_rerun_refuses_what_would_be_another_run(own_walk, words, capsys):
    run_method("finetune", [*words, f"--results={own_walk.results}"])
    path = next(path for path in rows(own_walk) if "finetune" in path.name)
    before = files(own_walk.models)
    capsys.readouterr()
    assert main(["rerun", str(path), *own_walk.flags(), *QUIET, "--weight_decay=0.5"]) == 2
    assert "expected the data, base model and arguments of" in capsys.readouterr().err
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "seed": 5}))
    assert main(["rerun", str(path), *own_walk.flags(), *QUIET]) == 2
    assert files(own_walk.models) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tier": "full"},
            "expected cifar10 of tier full in {}, got mini: make it with `mubench build cifar10 --tier full",
        ),
        ({"split": "0" * 64}, "in {}, got "),
        ({"split": "0" * 64}, "other rows or other forget sets; build it again "),
        (
            {"deletion_seed": 1},
            "expected cifar10 of tier mini in {}-d1, got none: make it with `mubench build cifar10 --deletion_seed 1",
        ),
    ],
)
def test_rerun_names_the_data_of_the_row_before_its_base_model(own_walk, words, capsys, changes, message):
    run_method("finetune", [*words, f"--results={own_walk.results}"])
    path = next(path for path in rows(own_walk) if "finetune" in path.name)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    capsys.readouterr()
    assert main(["rerun", str(path), *own_walk.flags(), *QUIET]) == 2
    error = capsys.readouterr().err
    assert message.format(own_walk.data) in error and error.count("\n") == 1


def test_help_of_rerun_names_the_options_that_it_takes(capsys):
    with pytest.raises(SystemExit):
        main(["rerun", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "ROW.json [options of the row's method]" in text and "--data, --models, --results and --method_file" in text


def test_rerun_of_a_control_that_is_no_run_is_refused(own_walk, capsys):
    path = next(path for path in own_walk.judge().controls() if "control-base" in path.name)
    assert main(["rerun", str(path), *own_walk.flags()]) == 2
    assert "method must be one of" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--lr_scheduler_kwargs={}", "--neftune_noise_alpha=5"])
def test_an_argument_that_would_change_the_result_unseen_is_refused(walked, flag):
    request, _ = request_of("scrub", ["--task=cifar10", "--ratio=10", *walked.flags()[:1], flag])
    with pytest.raises(ValueError, match="expected arguments that a run records or that change no result"):
        resolve(dataclasses.replace(request, models=walked.models))


def test_a_seed_for_a_method_that_has_only_a_base_seed_is_refused(walked):
    with pytest.raises(ValueError, match=r"expected --base_seed, .* got --seed 2"):
        request_of("retrain", ["--task=cifar10", "--seed=2", *walked.flags()])


@pytest.mark.parametrize(
    ("name", "requested"), [("models/typo", False), ("./typo", False), ("ns/name", True), ("m", False)]
)
def test_a_base_model_is_a_folder_unless_it_can_only_be_a_repository(tmp_path, monkeypatch, name, requested):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "m").mkdir(parents=True)
    monkeypatch.setattr(model_files, "fetch_model", lambda repository: Path("fetched", repository))
    assert model_files.find_model(name) == (Path("fetched", name) if requested else Path(name))
    assert model_files.find_model("models/m") == Path("models/m")


def test_only_typed_flags_are_given_even_where_they_repeat_a_default():
    parser = FlagParser(TaskArguments)
    assert parser.parse_given([]) == {}
    assert parser.parse_given(["--weight_decay", "0.0", "--bf16"]) == {"weight_decay": 0.0, "bf16": True}
    assert parser.parse_given(["--save-strategy=no"]) == {"save_strategy": "no"}


def test_checkpoints_come_every_epoch_by_default():
    assert training_flags({}) == {"save_strategy": "epoch"}
    assert training_flags({"save_steps": 5}) == {"save_strategy": "steps", "save_steps": 5}
    assert training_flags({"save_strategy": "no"}) == {"save_strategy": "no"}
    with pytest.raises(ValueError, match="expected no output_dir"):
        training_flags({"output_dir": "x"})


def test_base_trains_prints_its_folder_and_keeps_what_is_there(own_walk, capsys):
    words = ["base", "--task", "cifar10", *own_walk.flags(), "--disable-tqdm", "true"]
    assert main([*words, "--base-seed", "3", "--save_steps=4"]) == 0
    folder = own_walk.models / "cifar10-mini-resnet-s3"
    assert capsys.readouterr().out == f"{folder}\n"
    assert read_run(folder).base_seed == 3
    before = files(folder)
    assert main([*words, "--base_seed=3"]) == 0
    assert files(folder) == before


def test_base_takes_other_training_arguments(capsys):
    with pytest.raises(SystemExit) as left:
        main(["base", "--help"])
    assert left.value.code == 0
    assert "transformers.TrainingArguments" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["base"], "the following arguments are required: --task"),
        (["base", "--task", "cifar10", "--nope"], "unrecognized arguments: --nope"),
        (["base", "--task", "cifar10", "--base_seed", "x"], "argument --base_seed/--base-seed: invalid int value"),
        (["base", "--task", "cifar10", "--save_steps", "x"], "argument --save_steps/--save-steps: invalid"),
        (["scrub", "--tsak=cifar10"], "unrecognized arguments: --tsak=cifar10; did you mean '--task'?"),
        (["scrub", "--task=cifar10", "--gama=1"], "unrecognized arguments: --gama=1; did you mean '--gamma'?"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(words, line, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    printed = capsys.readouterr().err
    assert left.value.code == 2
    assert printed.startswith(f"mubench: {line}") and printed.count("\n") == 1


@pytest.mark.parametrize("flag", ["--learning_rate=1", "--seed=3", "--num_train_epochs=3", "--output_dir=x"])
def test_base_refuses_what_the_recipe_decides(own_walk, capsys, flag):
    before = files(own_walk.models)
    assert main(["base", "--task", "cifar10", *own_walk.flags(), "--base_seed=9", flag]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and flag[2:].split("=")[0] in printed
    assert files(own_walk.models) == before


def test_a_config_file_gives_arguments_of_a_method_and_the_command_line_wins(walked, tmp_path, capsys):
    file = tmp_path / "scrub.yaml"
    file.write_text("task: cifar10\nratio: 7\ngamma: 0.25\nlearning-rate: 1e-4\nbackbone: vit\njudge: false\n")
    request, where = request_of("scrub", ["--config", str(file), "--gamma=0.5", *walked.flags()])
    assert (request.ratio, request.setting.backbone, where.judge) == (7, "vit", False)
    assert request.arguments == {"save_strategy": "epoch", "gamma": 0.5, "learning_rate": 1e-4}
    with pytest.raises(SystemExit):
        main(["scrub", f"--config={file}", "--help"])
    assert "Defaults are those on cifar10 with vit." in " ".join(capsys.readouterr().out.split())
    file.write_text("gama: 1\n")
    with pytest.raises(SystemExit) as left:
        main(["scrub", f"--config={file}"])
    message = capsys.readouterr().err
    assert left.value.code == 2 and message.endswith("got gama; did you mean 'gamma'?\n") and message.count("\n") == 1


@pytest.fixture
def shallow():
    """Allow less recursion: the time that YAML takes grows with the square of the depth."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("text", ["task: [[]]", "task: {a: b}", "backbone: [resnet]\ntask: cifar10", "[" * 400])
def test_a_config_file_of_other_types_is_one_line(text, tmp_path, capsys, shallow):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(SystemExit, match="2"):
        main(["scrub", f"--config={tmp_path / 'config.yaml'}", "--gamma=x"])
    assert capsys.readouterr().err.count("\n") == 1


def test_an_empty_word_is_no_command(capsys):
    assert main(["", "scrub"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and err.endswith("got ''\n")


def test_an_absent_tracker_is_one_line_before_anything_is_trained(words, own_walk, monkeypatch, capsys):
    find, absent = importlib.util.find_spec, ("tensorboard", "tensorboardX")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else find(name, *rest))
    before = files(own_walk.models)
    assert main(["neg_grad", *words, "--seed=9", "--report_to=tensorboard"]) == 2
    assert capsys.readouterr().err == (
        "mubench: expected the package tensorboard to report to tensorboard, got none: pip install 'mubench[track]'\n"
    )
    assert files(own_walk.models) == before


@pytest.mark.slow
def test_events_of_tensorboard_outlive_the_scratch_folder_of_a_run(words, own_walk, capsys):
    tracking = ["--report_to=tensorboard", "--logging_steps=1", "--max_steps=2", "--judge=false"]
    assert main(["neg_grad", *words, "--seed=9", *tracking]) == 0
    folder = Path(capsys.readouterr().out.splitlines()[0])
    (events,) = (own_walk.models / "tensorboard" / folder.name).iterdir()
    assert b"train/loss_forget" in events.read_bytes()
