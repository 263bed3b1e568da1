"""Custom methods: from a file to rows, one line for every bad file, and no code but that of the option."""

import dataclasses
import hashlib
import pickle
import sys
from pathlib import Path

import pytest

from mubench.cards.console import main as mubench
from mubench.hub_builders.hub.model_folder import read_run, read_runs
from mubench.trainers.__main__ import main
from mubench.trainers.evaluation.result import read_result, read_results, write_result
from mubench.trainers.runs.grid_parsers import parse_grid
from mubench.trainers.runs.method_files import MethodFile, custom_methods, read_method_file
from mubench.trainers.runs.method_table import CUSTOM, known_methods, method_table
from mubench.trainers.runs.plan import resolve
from mubench.trainers.sweeps.execution import execute
from mubench.trainers.sweeps.jobs import MethodJob, Place
from mubench.trainers.sweeps.ray_cluster import RayCluster
from mubench.trainers.sweeps.schedule import run_jobs
from tests.fixtures.walk import RATIO, Walk
from tests.pages import blocks, page

METHOD = blocks(page("own_method"), "python")[0]
HEAD = "from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer\n"
ONE = "class {}Trainer(UnlearningTrainer):\n    kinds = ('image_classification',)\n"
KEY = "my_method"


@pytest.fixture
def method(tmp_path: Path) -> Path:
    path = tmp_path / f"{KEY}.py"
    path.write_text(METHOD)
    return path


def words_of(walk: Walk, *words: str) -> list[str]:
    return [*words, "--task=cifar10", f"--ratio={RATIO}", *walk.flags(), f"--results={walk.results}"]


def test_the_method_of_a_file_is_in_the_table_of_its_block_alone(method):
    before = known_methods()
    with custom_methods(read_method_file(str(method))):
        assert known_methods() == (*before, KEY)
        row, trainer = method_table()[KEY], CUSTOM[KEY].trainer
        assert (row.summary, dict(row.options)) == ("Ascends on forget rows up to a bound.", {"bound": 2.0})
        assert (row.paper, row.like, row.splits) == (None, "neg_grad_plus", ("forget", "retain"))
        arguments = trainer.arguments(output_dir="x", report_to="none")
        assert pickle.loads(pickle.dumps(arguments)).bound == 2.0  # checkpoints hold the arguments
    assert known_methods() == before and KEY not in method_table()


def test_a_method_is_found_by_the_name_of_its_file_or_of_its_class(tmp_path, monkeypatch):
    code = HEAD + "".join(map(ONE.format, ("TwoStep", "NPOPlus", "_Shared")))
    (tmp_path / "many_of_mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    both = ["two_step", "npo_plus"]
    for source, keys in {str(tmp_path / "many_of_mine.py"): both, "many_of_mine:NPOPlusTrainer": both[1:]}.items():
        file = read_method_file(source)
        assert file == MethodFile(source, hashlib.sha256(code.encode()).hexdigest())
        with custom_methods(file):
            assert list(CUSTOM) == keys
    del sys.modules["many_of_mine"]


def test_a_run_of_ones_own_method_records_the_hash_of_its_file(walked, method):
    found, texts = [], (METHOD, METHOD + "\n")
    for text in texts:
        method.write_text(text)
        with custom_methods(read_method_file(str(method))):
            found.append(resolve(walked.request(KEY)))
    runs, folders = [plan.run for plan in found], {plan.folder.name for plan in found}
    assert [run.method_file for run in runs] == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert runs[0].identity != runs[1].identity and len(folders) == 2 and runs[0].tuned == "default"
    assert runs[0].arguments["bound"] == 2.0
    # What it shares with the method that it is like.
    assert runs[0].arguments["num_train_epochs"] == 1
    suite = resolve(walked.request("neg_grad_plus")).run
    assert suite.method_file is None and "method_file" not in suite.record()


def test_a_command_runs_it_judges_it_and_repeats_it(own_walk, method, capsys):
    option = f"--method-file={method}"
    assert mubench(words_of(own_walk, KEY, option, "--bound=1.5", "--disable_tqdm=true")) == 0
    _, _, row_line, *_ = capsys.readouterr().out.splitlines()
    row = read_result(path := Path(row_line.removeprefix("row:").strip()))
    assert (row.method, row.arguments["bound"], row.tuned) == (KEY, 1.5, "custom")
    assert row.method_file == hashlib.sha256(METHOD.encode()).hexdigest()
    there = [*own_walk.flags(), f"--results={own_walk.results}"]
    assert mubench(["rerun", str(path), option.replace("-file", "_file"), *there]) == 0
    capsys.readouterr()
    assert mubench(["rerun", str(path), *there]) == 2
    expected = f"expected --method_file with the file of {KEY}, SHA-256 {row.method_file[:12]}, got no such method"
    assert capsys.readouterr().err == f"mubench: {expected}\n"
    method.write_text(METHOD + "\n")
    assert mubench(["rerun", str(path), option, *there]) == 2
    assert "method file and arguments of" in capsys.readouterr().err


@pytest.mark.slow
def test_tables_name_it_as_custom(own_walk, method, capsys):
    assert main(words_of(own_walk, KEY, f"--method_file={method}", "--disable_tqdm=true")) == 0
    sha256 = hashlib.sha256(METHOD.encode()).hexdigest()
    capsys.readouterr()
    assert mubench(["leaderboard", "--results", str(own_walk.results)]) == 0
    assert f"{KEY} (custom method {sha256[:8]})" in capsys.readouterr().out
    words = ["cards", f"--data={own_walk.data}", f"--models={own_walk.models}", f"--results={own_walk.results}"]
    assert mubench(words) == 0
    (folder,) = own_walk.models.glob("*my-method*")
    assert f"custom method, no part of MU-Bench: SHA-256 of its file `{sha256}`" in (folder / "README.md").read_text()


def test_help_lists_its_arguments(method, capsys):
    with pytest.raises(SystemExit, match="0"):
        mubench([KEY, f"--method_file={method}", "--help"])
    assert f"arguments of {KEY}" in (out := capsys.readouterr().out) and "Loss of a forget row above" in out
    assert mubench(["methods", f"--method_file={method}"]) == 0
    assert f"{KEY:<16}Ascends on forget rows up to a bound." in capsys.readouterr().out


BAD = {
    "no class": ("x = 1\n", "expected a subclass of UnlearningTrainer in {}, got no class"),
    "no trainer": (HEAD + "class Mine:\n    pass\n", "of UnlearningTrainer in {}, got the classes Mine"),
    "two classes": (
        HEAD + ONE.format("One") + ONE.format("Other"),
        f"expected a method of {{}} (one, other) or of the suite, got '{KEY}'",
    ),
    "no Python": ("x = (\n", "expected Python in {}, got SyntaxError: '(' was never closed (line 1)"),
    "an exception": (
        "import os\n1 / 0\n",
        "expected a module that can be imported in {}, got ZeroDivisionError: division by zero (line 2)",
    ),
    "an exit": ("import sys\nsys.exit(3)\n", "that can be imported in {}, got SystemExit: 3 (line 2)"),
    "a missing package": ("import no_such_package\n", "got ModuleNotFoundError: No module named 'no_such_package'"),
    "no kinds": (HEAD + "class MyTrainer(UnlearningTrainer):\n    pass\n", "expected MyTrainer.kinds to be a tuple"),
    "other kinds": (HEAD + ONE.format("My").replace("image_c", "c"), "image_pair_classification"),
    "no dataclass": (
        HEAD + "from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments\n"
        "class A(UnlearningArguments):\n    x: int = 1\n" + ONE.format("My") + "    arguments = A\n",
        "expected MyTrainer.arguments to be a dataclass below UnlearningArguments, got",
    ),
    "a reference": (HEAD + ONE.format("My") + "    from_scratch = True\n", "MyTrainer.from_scratch to be False"),
    "a control": (HEAD + ONE.format("My") + "    is_control = True\n", "MyTrainer.is_control to be False"),
    "like nothing": (HEAD + ONE.format("My") + "    like = 'x'\n", "None or the key of a method of the suite, got"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_one_line(method, capsys, fault):
    text, line = BAD[fault]
    method.write_text(text)
    assert main([KEY, f"--method_file={method}", "--task=cifar10"]) == 2
    error = capsys.readouterr().err
    assert line.format(method) in error and error.startswith("mubench: expected ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("gone.py", "expected a file of methods at "),
        ("", "expected method_file to be a Python file or package.module:Class, got ''"),
        ("no.such.module:MyTrainer", "expected a module called no.such.module, got ModuleNotFoundError"),
        ("json:loads", "expected loads of json to be a subclass of UnlearningTrainer, got "),
        ("json:Nothing", "expected Nothing of json to be a subclass of UnlearningTrainer, got nothing of this name"),
        ("mubench.trainers.methods.scrub:ScrubTrainer", "got 'scrub', which the suite has"),
    ],
)
def test_what_is_no_file_of_methods_is_one_line(tmp_path, monkeypatch, capsys, source, line):
    monkeypatch.chdir(tmp_path)
    for command in ((KEY, "--task=cifar10"), ("sweep", "--task=cifar10"), ("tune",)):
        assert main([*command, "--method_file", source]) == 2
        error = capsys.readouterr().err
        assert line in error and error.startswith("mubench: expected ") and error.count("\n") == 1


def test_a_file_named_like_a_method_of_the_suite_is_refused(tmp_path, capsys):
    (path := tmp_path / "scrub.py").write_text(METHOD)
    assert main(["scrub", f"--method_file={path}", "--task=cifar10"]) == 2
    assert f"a name of its own for the method of {path}, got 'scrub', which the suite has" in capsys.readouterr().err


def test_a_file_that_changes_while_jobs_run_fails_those_that_are_left(own_walk, method):
    place = Place(data=own_walk.data, models=own_walk.models, method_file=read_method_file(str(method)))
    job = MethodJob(place, "cifar10", "resnet", RATIO, KEY, 0, 0)
    method.write_text(METHOD + "\n")
    other = dataclasses.replace(job, place=dataclasses.replace(place, method_file=read_method_file(str(method))))
    assert job.key != other.key  # the failure of one version is not that of another
    failure = execute(job).failure
    assert failure == f"expected {method} as it was when the command began, got another file; start it again"
    assert execute(other).failure == "" and KEY not in CUSTOM


@pytest.mark.parametrize("named", ["my_method.py", "my_method:X"])
def test_no_folder_and_no_row_runs_code(own_walk, method, monkeypatch, capsys, named):
    """Only the user's option names a file: what others wrote cannot."""
    monkeypatch.chdir(method.parent)
    monkeypatch.syspath_prepend(method.parent)
    assert method.name == "my_method.py"
    method.write_text(f"import pathlib\npathlib.Path({str(own_walk.root / 'ran')!r}).touch()\n")
    folder = custom_folder(own_walk)
    run = read_run(folder)
    arguments = {**run.arguments, "method_file": named}
    type(run)(**{**dataclasses.asdict(run), "arguments": arguments}).write(folder)
    own_walk.judge().run(folder)
    (path,) = own_walk.results.glob("*.json")
    row = read_result(path)
    assert row.arguments["method_file"] == named
    for name in (KEY, "neg_grad"):
        changed = row.model_copy(update={"method": name, "method_file": None})
        write_result(changed, own_walk.results)
        assert main(["rerun", str(path), *own_walk.flags(), f"--results={own_walk.results}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (own_walk.root / "ran").exists()


def custom_folder(walk: Walk, method: str = KEY, sha256: str | None = "5" * 64) -> Path:
    """Make the folder of an unlearned model that of another method, whose file is gone; return it."""
    (old,) = walk.models.glob("*neg-grad*")
    folder = old.rename(walk.models / f"{old.name.replace('neg-grad', method.replace('_', '-'))}")
    run = read_run(folder)
    fields = {**dataclasses.asdict(run), "method": method, "method_file": sha256}
    type(run)(**fields).write(folder)
    return folder


def lists(walk: Walk) -> list[list[str]]:
    """Return commands that list or judge several things; robustness, which reads as many, takes seconds more."""
    there = words_of(walk)
    return [
        ["sweep", "--methods", "finetune", "--seeds", "0", "--base_seeds", "0", "1", *there, "--workers=1"],
        ["sweep", "--dry_run", "--methods", "finetune", *there],
        ["cards", f"--data={walk.data}", f"--models={walk.models}", f"--results={walk.results}"],
        ["leaderboard", f"--results={walk.results}"],
        ["cards", "matrix", f"--results={walk.results}"],
    ]


@pytest.fixture
def few_controls(monkeypatch):
    from mubench.trainers.sweeps import sweep  # noqa: PLC0415

    monkeypatch.setattr(sweep, "CURVE", ())
    monkeypatch.setattr(sweep, "CONTROL_SEEDS", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("few_controls")
def test_without_its_file_every_command_works_and_its_run_is_judged(own_walk, capsys):
    folder = custom_folder(own_walk)
    for words in lists(own_walk):
        assert mubench(words) == 0, (words, capsys.readouterr().err)
    rows = {row.method: row for row in read_results(own_walk.results)}
    assert rows[KEY].method_file == "5" * 64 and not rows[KEY].control
    assert rows[KEY].references == rows["finetune"].references
    assert f"{KEY} (custom method 55555555)" in capsys.readouterr().out
    assert read_run(folder).method == KEY
    # One that a command names is one line.
    for command in (["sweep", "--methods", KEY], [KEY]):
        assert mubench(words_of(own_walk, *command)) == 2
        assert KEY in (error := capsys.readouterr().err) and error.count("\n") == 1
    # One whose runs are read alone is taken from the folder.
    assert parse_grid("robustness", words_of(own_walk, "--methods", KEY)).methods == [KEY]
    with pytest.raises(ValueError, match="method must be one of"):
        parse_grid("robustness", words_of(own_walk, "--methods", "other"))


@pytest.mark.slow
@pytest.mark.usefixtures("few_controls")
def test_the_run_of_an_unknown_method_is_left_out_in_one_line(own_walk, capsys, caplog):
    folder = custom_folder(own_walk, "elsewhere", None)
    for words in lists(own_walk)[:2]:
        assert mubench(words) == 0, (words, capsys.readouterr().err)
    lines = [line for line in caplog.messages if folder.name in line]
    expected = "expected a method of the suite, or one with the SHA-256 of its file, got 'elsewhere'"
    assert lines == [f"{folder.name} is left out: {expected}"]
    assert "elsewhere" not in {row.method for row in read_results(own_walk.results)}


@pytest.mark.nightly
def test_workers_of_ray_read_the_file_themselves(own_walk, method):
    place = Place(data=own_walk.data, models=own_walk.models, method_file=read_method_file(str(method))).absolute()
    job = MethodJob(place, "cifar10", "resnet", RATIO, KEY, 0, 0, (("max_steps", 1),))
    with RayCluster("local", workers=1) as cluster:
        report = run_jobs([job], cluster)
    assert report.done == [job], report.failed
    assert [run.method for run in read_runs(own_walk.models).values()].count(KEY) == 1
