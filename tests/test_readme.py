"""README, docs and CONTRIBUTING are true: the map lists the folders, commands and options exist, examples run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from mubench.cards import console
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.utils.cli import replace_dashes
from mubench.trainers.methods import METHODS
from tests.pages import ROOT, blocks

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
DOCS = {path.stem: path.read_text() for path in sorted((ROOT / "cards" / "docs").glob("*.md"))}
PAGES = {"README": README, **DOCS}
ELSEWHERE = "language_models"  # whose examples are about models, see test_tofu_numbers.py and test_corpora.py


def map_entries() -> dict[Path, set[str]]:
    """Return folder -> folders listed under it on the map; two spaces of indentation are one level."""
    listing = re.search(r"^## Map\n.*?^```\n(.*?)^```$", DOCS["architecture"], re.MULTILINE | re.DOTALL)
    assert listing, "the page of the architecture needs a map"
    parents: list[str] = []
    entries: dict[Path, set[str]] = {}
    for line in filter(None, listing[1].splitlines()):
        name = line.split()[0].rstrip("/")
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [name]
        entries.setdefault(Path(*parents[:depth]), set()).add(name)
    return entries


def test_the_map_lists_every_folder_of_a_room() -> None:
    listed = map_entries()
    rooms = {"hub_builders", "trainers", "cards", "space", "tests"}
    assert listed.pop(Path()) == rooms
    for room, names in listed.items():
        folders = {path.name for path in (ROOT / room).iterdir() if path.is_dir() and path.name != "__pycache__"}
        assert names == folders - (rooms if room == Path("tests") else set())


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = "\n".join((*PAGES.values(), CONTRIBUTING))
    code = "\n".join([*re.findall(r"`[^`\n]+`", pages), *blocks(pages, "bash"), *blocks(pages, "")])
    named = set(re.findall(r"\bmake ([a-z-]+)", code))
    assert {"demo", "test"} <= named <= targets
    helped = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert helped == targets, "targets without help"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1_100


def test_links_between_files_of_the_checkout_lead_somewhere() -> None:
    """Docs are checked by `make docs`; README and CONTRIBUTING also link to what is no page of them."""
    for text in (README, CONTRIBUTING):
        for path, anchor in re.findall(r"\]\((?!https?:)([^)#]+)(?:#([^)]+))?\)", text):
            assert (ROOT / path).is_file(), path
            titles = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE) if anchor else []
            assert not anchor or anchor in {title.lower().replace(" ", "-") for title in titles}


def run(*command: str | Path, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, **extra}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", ROOT / "cards" / "mkdocs.yml")
    done = run(*command, "--site-dir", tmp_path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert {f"{page}.html" for page in DOCS} <= {path.name for path in tmp_path.glob("*.html")}
    pages = "".join(path.read_text() for path in tmp_path.glob("*.html"))
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"https?://(?!arxiv)[^\"]+", pages), (
        "requests elsewhere"
    )


@pytest.fixture(scope="module")
def with_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data that examples read."""
    folder = tmp_path_factory.mktemp("examples")
    build("ucf101", out=folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [name for name, text in PAGES.items() if blocks(text, "python") and name != ELSEWHERE]
)
def test_the_python_examples_of_a_page_run(
    page: str, with_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(with_data / "unlearned", ignore_errors=True)
    monkeypatch.chdir(with_data)
    examples = blocks(PAGES[page], "python")
    for example in examples:
        capsys.readouterr()
        exec(compile(example, f"an example of {page}", "exec"), {"__name__": "__main__"})
    assert (with_data / "unlearned" / "model.safetensors").exists() == any("save_model" in text for text in examples)
    if "judge(" in examples[-1]:
        score, low, high = map(float, capsys.readouterr().out.split()[:3])  # of a model that is retrained in truth
        assert 0.4 < score < 1 and low < score <= high


def test_the_number_of_methods_is_that_of_the_table_without_retraining() -> None:
    count = sum(not key.startswith("retrain") for key in METHODS)
    for page in (README, DOCS["index"]):
        assert re.findall(r"(\d+) methods", page) == [str(count)]


def command_options() -> dict[str, set[str]]:
    """Return the options that bash examples give to every command of `mubench`."""
    found: dict[str, set[str]] = defaultdict(set)
    for block in blocks("\n".join((*PAGES.values(), CONTRIBUTING)), "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if command := re.match(r"(?:mubench|.* -m mubench\.\w+) (\w+)", line):
                words = replace_dashes(shlex.split(line, comments=True))
                found[command[1]] |= {word.partition("=")[0] for word in words if word.startswith("--")}
    return found


@pytest.mark.slow
def test_every_command_of_the_pages_exists_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    commands = command_options()
    assert len(commands) > 12
    for command, options in sorted(commands.items()):
        if command == "my_method":  # of a user's file; it has the options of a method
            command, options = "scrub", options - {"--method_file"}  # noqa: PLW2901
        extra = ("--task", "cifar10") if command in METHODS else ()
        with pytest.raises(SystemExit) as ended:
            console.main([command, *extra, "--help"])
        printed = capsys.readouterr().out
        assert not ended.value.code and "usage:" in printed, command
        if command == "sequence":  # it also takes what its method does
            with pytest.raises(SystemExit):
                console.main(["scrub", "--task", "cifar10", "--help"])
            printed += capsys.readouterr().out
        known = set(re.findall(r"--\w+", printed)) | {"--config", "--help"}
        launcher = {"--nproc_per_node", "--multi_gpu", "--num_processes"}
        assert options - launcher <= known, f"{command}: {options - known}"


def insert(text: str, table: str, entry: str, imports: list[str]) -> str:
    """Put an entry first into a literal dict, and its imports before the file's first one of ours."""
    head = re.search(rf"^{table}: .*\] = (Registry\()?{{", text, re.MULTILINE)
    assert head, f"no literal dict {table}"
    text = f"{text[: head.end()]}\n{entry}\n{text[head.end() :]}"
    return text.replace("\nfrom mubench.", "".join(f"\n{line}" for line in imports) + "\nfrom mubench.", 1)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which somebody has done everything that CONTRIBUTING says."""
    copy = tmp_path_factory.mktemp("followed")
    for folder in ("hub_builders", "trainers", "cards", "space", "tests"):
        # With bytecode, which stays valid since copies keep modification times.
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("*.pyc.*"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for block in [*blocks(CONTRIBUTING, "python"), *blocks(CONTRIBUTING, "yaml")]:
        first, _, rest = block.partition("\n")
        if new := re.fullmatch(r"# new file: (\S+)", first):
            (copy / new[1]).write_text(rest)
        elif added := re.fullmatch(r"# add to (\w+) in (\S+)", first):
            imports = [line for line in rest.splitlines() if line.startswith("from ")]
            entry = "\n".join(line for line in rest.splitlines() if line not in imports)
            (copy / added[2]).write_text(insert((copy / added[2]).read_text(), added[1], entry, imports))
        else:
            pytest.fail(f"an example that names no file: {first}")
    (copy / "build" / "mubench").mkdir(parents=True)
    for room in ("hub_builders", "trainers", "cards"):
        (copy / "build" / "mubench" / room).symlink_to(copy / room)
    return copy


def run_followed(copy: Path, *command: str) -> str:
    done = run(sys.executable, *command, cwd=copy, PYTHONPATH=str(copy / "build"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_added_method_passes_its_test_and_the_architecture(followed: Path) -> None:
    tables = "architecture or class_satimp or defaults or help_has or expected_order or is_declared or test_tasks"
    every_method = (
        "engine/test_lora", "methods/test_arguments", "methods/test_methods", "methods/test_class_satimp",
        "metrics/test_metrics", "runs/test_commands", "runs/test_defaults", "runs/test_method_table", "runs/test_run",
        "tuning/test_tune", "unlearning/test_epoch_evaluation",
    )  # fmt: skip
    files = ("test_architecture", "hub_builders/tasks/test_tasks", *(f"trainers/{file}" for file in every_method))
    tests = (*(f"tests/{file}.py" for file in files), "-k", tables)
    assert re.search(r"\d+ passed", run_followed(followed, "-m", "pytest", "-p", "no:cacheprovider", *tests))
    code = "from mubench.trainers import methods; print(*methods.METHODS); print(methods.__file__)"
    names, file = run_followed(followed, "-c", code).splitlines()
    assert "class_satimp" in names.split()
    assert Path(file).is_relative_to(followed)


@pytest.mark.slow
def test_an_added_metric_is_a_metric(followed: Path) -> None:
    code = "from mubench.trainers.metrics import METRICS; print(METRICS['confidence'].better)"
    assert run_followed(followed, "-c", code).strip() == "near retrained"


@pytest.mark.slow
def test_an_added_task_builds_from_its_recipe_and_from_its_files(followed: Path) -> None:
    front = ("-m", "mubench.hub_builders", "build", "ag_news")
    assert "1200 train, 200 validation, 400 test" in run_followed(followed, *front)
    files = followed / "raw" / "ag_news_csv"
    files.mkdir(parents=True)
    for name, rows in (("train.csv", 80), ("test.csv", 40)):
        (files / name).write_text("".join(f'"{i % 4 + 1}","Title ""{i}""","{name} {i}"\n' for i in range(rows)))
    out = run_followed(followed, *front, "--tier", "partial", "--allow_partial", "--raw", "raw", "--out", "from_files")
    assert "80 train, 8 validation, 32 test" in out
