"""The architecture: layers, folders, names and registries, read from the sources without importing them."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("hub_builders", "trainers", "cards", "space")
# The folders of a room from bottom to top: a folder imports those before it, and the room's own modules import all.
LAYERS = {
    "hub_builders": ("utils", "tasks", "raw", "mini", "deletion", "dataset", "hub"),
    "trainers": (
        "engine", "inference", "models", "metrics", "addons", "unlearning", "tools", "methods", "evaluation",
        "corpora", "runs", "sequences", "sweeps", "tuning",
    ),
    "cards": ("evidence", "evaluate", "leaderboard", "report"),
    "space": ("jobs", "charts", "handlers", "tabs"),
}  # fmt: skip
REGISTRIES = {
    "METHODS": "trainers/methods",
    "METRICS": "trainers/metrics",
    "ENSEMBLE_METRICS": "trainers/metrics",
    "ADDONS": "trainers/addons",
    "RAW": "hub_builders/raw",
    "MINI": "hub_builders/mini",
    "MODALITIES": "trainers/models/modalities",
}
MODULES_A_FOLDER = 14
METHOD_LINES = 150
# Modules that may import a client of the Hub.
CLIENTS = {
    "huggingface_hub": {
        "hub_builders/utils/hub_client.py",
        "hub_builders/hub/training_card.py",
        "cards/render.py",
        "cards/eval_results.py",
    },
    "datasets.load_dataset": {
        "hub_builders/dataset/load.py",
        "hub_builders/dataset/own_rows.py",
        "hub_builders/raw/_hub.py",
    },
}
# Words that the field does not use for what they named here; CONTRIBUTING has the glossary.
RETIRED = {
    "ask", "asked", "asking", "asks", "bench", "catalogue", "drawings", "eye", "jars", "manners", "painter", "said",
    "say", "says", "sides", "spoiled", "streams", "tell", "tells", "told", "wish", "wished", "withheld", "workbench",
}  # fmt: skip
# Attributes of PyAV, torch, numpy and Optuna.
LIBRARY_NAMES = re.compile(r"\b(container|self)\.streams\b|\b(torch|np)\.eye\b|\bstudy\.(ask|tell)\b")
KEYS = re.compile(r'"([a-z_]+)"(?=\]|: )')  # of dicts
IMPORTS = (ast.Import, ast.ImportFrom)
EXAMPLES = "trainers/examples"
FROZEN = "tests/safety_net"


def sources(*folders: str) -> list[Path]:
    """Return the modules of folders; examples are scripts that nothing imports."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if path.parent != ROOT / EXAMPLES)


def modules(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def last_name(node: ast.AST) -> str:
    """Return the last part of a dotted name."""
    return getattr(node, "attr", getattr(node, "id", ""))


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that are executed: imports for annotations alone are left out."""
    left = [tree]
    while left:
        node = left.pop()
        if not (isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"):
            yield node
            left += ast.iter_child_nodes(node)


@cache
def named_by(path: Path) -> list[str]:
    """Return the modules that a file imports; most tests read the imports of all files."""
    return imported(parsed(path))


def imported(tree: ast.AST) -> list[str]:
    """Return every module named by an import, inside functions too; relative ones start with a dot."""
    names: list[str] = []
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names += [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and last_name(node.func) in {"import_module", "__import__"}:
            names += [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return names


def layer_faults(names: list[str], room: str, folder: str | None = None) -> list[str]:
    """Return those of the imports of a module that its room, or its folder of the room, must not have."""
    later = {f"mubench.{name}" for name in ROOMS[ROOMS.index(room) + 1 :]}
    order = LAYERS.get(room, ())
    prefix = "" if room == "space" else f"mubench.{room}."
    above = order[order.index(folder) + 1 :] if folder in order else ()
    found = []
    for name in names:
        bare = name.split(".")[0] in ROOMS
        if (
            name.startswith(".")
            or bare
            or ".".join(name.split(".")[:2]) in later
            or any(f"{name}.".startswith(f"{prefix}{one}.") for one in above)
        ):
            found.append(name)
    return found


def registry(folder: str, name: str) -> dict[str, str]:
    """Return a registry without importing it: key -> source of its value. Only a literal dict is one."""
    for node in parsed(ROOT / folder / "__init__.py").body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and [getattr(t, "id", "") for t in targets] == [name]:
            table = node.value
            if isinstance(table, ast.Call) and len(table.args) == 1:  # a lazy mapping around the literal
                table = table.args[0]
            assert isinstance(table, ast.Dict), f"{name} must be a literal dict"
            assert all(isinstance(key, ast.Constant) for key in table.keys), f"{name} must have literal keys"
            return {key.value: ast.unparse(value) for key, value in zip(table.keys, table.values, strict=True)}
    raise AssertionError(f"{folder}/__init__.py must define {name}")


def origins(folder: str) -> dict[str, str]:
    """Return local name -> module of the folder it comes from, for the imports of a registry's own file."""
    package = "mubench." + folder.replace("/", ".")
    table = {}
    for node in ast.walk(parsed(ROOT / folder / "__init__.py")):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origin = alias.name if node.module == package else (node.module or "").removeprefix(f"{package}.")
                table[alias.asname or alias.name] = origin
    return table


@pytest.mark.parametrize(
    "line",
    [
        "from mubench.trainers import engine",
        "def late():\n    import mubench.cards.render",
        "from mubench import space",
        "import importlib\nimportlib.import_module('mubench.trainers.runs.run')",
        "from . import tasks",
        "import trainers",
        "from mubench.hub_builders.hub.push import publish",
    ],
)
def test_the_layer_check_sees_every_way_to_import_a_later_layer(line: str) -> None:
    assert layer_faults(imported(ast.parse(line)), "hub_builders", "dataset")
    allowed = imported(ast.parse("from mubench.hub_builders.tasks import TASKS\nimport os"))
    assert allowed and not layer_faults(allowed, "hub_builders", "dataset")


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_down(room: str) -> None:
    found = {}
    for path in sources(room):
        parts = path.relative_to(ROOT / room).parts
        if faults := layer_faults(named_by(path), room, parts[0] if len(parts) > 1 else None):
            found[str(path.relative_to(ROOT))] = faults
    assert not found
    folders = {path.parent.relative_to(ROOT / room).parts[0] for path in sources(room) if path.parent != ROOT / room}
    assert folders == set(LAYERS.get(room, ()))


def test_a_folder_has_at_most_14_modules_unless_it_is_a_registry() -> None:
    counts = Counter(path.parent for path in sources(*ROOMS) if path.name != "__init__.py")
    registries = {ROOT / folder for folder in REGISTRIES.values()}
    assert not {
        folder.relative_to(ROOT).as_posix(): count
        for folder, count in counts.items()
        if count > MODULES_A_FOLDER and folder not in registries
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_stem_names_one_module_of_a_room(room: str) -> None:
    named = [
        path for path in sources(room) if path.parent.name != "mini" and path.name != "app.py"
    ]  # as Spaces have it
    stems = Counter(path.stem for path in named if path.stem[:2] != "__")
    assert not {stem for stem, count in stems.items() if count > 1}


@pytest.mark.parametrize("room", ROOMS)
def test_a_folder_of_tests_is_named_after_the_folder_that_it_tests(room: str) -> None:
    """Every folder with tests mirrors a folder of the sources; folders with recorded files hold no tests."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests" / room).rglob("test_*.py")}
    assert folders and not [str(one) for one in folders if not (ROOT / one).is_dir()]


def test_every_folder_has_a_docstring() -> None:
    packages = [path for path in sources("hub_builders", "trainers", "cards") if path.name == "__init__.py"]
    packages += [path for path in sources("space") if path.name == "__init__.py"]
    assert not [str(path.relative_to(ROOT)) for path in packages if not ast.get_docstring(parsed(path))]


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def identifiers(text: str) -> set[str]:
    return {
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.NAME
    }


def test_the_check_of_retired_words_reads_identifiers() -> None:
    assert words_of("check_wishList") & RETIRED == {"wish"}
    assert identifiers("asked = f(told)  # said") == {"asked", "f", "told"}


def test_retired_words_name_nothing() -> None:
    found = {}
    for path in sources(*ROOMS, "tests"):
        where = path.relative_to(ROOT).as_posix()
        if where.startswith(FROZEN) or path == Path(__file__):
            continue
        text = LIBRARY_NAMES.sub("", path.read_text())
        if not words_of(f"{text} {path.stem}") & RETIRED:  # far less work than tokens, which few files need
            continue
        names = identifiers(text) | {path.stem} | {*KEYS.findall(text)}
        if bad := {name for name in names if words_of(name) & RETIRED}:
            found[where] = sorted(bad)
    assert not found


@pytest.mark.parametrize("client", CLIENTS)
def test_one_module_talks_to_a_hub(client: str) -> None:
    names = {str(path.relative_to(ROOT)): named_by(path) for path in sources(*ROOMS)}
    assert {
        path for path, found in names.items() if any(f"{name}.".startswith(f"{client}.") for name in found)
    } == CLIENTS[client]


def test_cards_take_data_classes_of_the_hub_and_no_client() -> None:
    paths = ("cards/render", "cards/eval_results", "hub_builders/hub/training_card")
    names = [name for path in paths for name in named_by(ROOT / f"{path}.py")]
    assert {name.removeprefix("huggingface_hub.") for name in names if name.startswith("huggingface_hub")} == {
        "EvalResult", "EvalResultEntry", "ModelCardData", "eval_result_entries_to_yaml",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "folder"), REGISTRIES.items())
def test_every_module_of_a_registry_is_an_entry_or_serves_one(name: str, folder: str) -> None:
    entries, origin = registry(folder, name), origins(folder)
    tables = [registry(folder, one) for one, place in REGISTRIES.items() if place == folder]
    values = " ".join(value for table in tables for value in table.values())
    named = {origin[word] for word in re.findall(r"\w+", values) if word in origin}
    named |= set(entries) & modules(folder)
    front = ROOT / folder / "__init__.py"
    used = {module for path in sources(*ROOMS) if path != front for module in named_by(path)}
    package = "mubench." + folder.replace("/", ".")
    serving = {module.removeprefix(f"{package}.").split(".")[0] for module in used if module.startswith(f"{package}.")}
    assert entries
    assert not modules(folder) - named - serving, "modules that no entry names and nothing imports"


def test_a_method_is_called_what_its_file_is_called() -> None:
    entries = registry("trainers/methods", "METHODS")
    assert set(entries) == modules("trainers/methods")
    for key, trainer in entries.items():
        assert trainer.strip("'\"") == "".join(part.capitalize() for part in key.split("_")) + "Trainer"


def test_the_readers_of_a_task_are_called_like_the_task() -> None:
    from mubench.hub_builders.tasks import TASKS  # noqa: PLC0415

    for folder in ("raw", "mini"):
        assert set(registry(f"hub_builders/{folder}", folder.upper())) == set(TASKS)
        assert {stem for stem in modules(f"hub_builders/{folder}") if stem[0] != "_"} == set(TASKS)
    assert set(registry("trainers/models/modalities", "MODALITIES")) == {task.kind for task in TASKS.values()}


def test_nothing_fills_a_registry_elsewhere() -> None:
    writes = re.compile(rf"\b({'|'.join(REGISTRIES)})(\[[^\]]+\]\s*=[^=]|\.(update|setdefault|pop|clear)\()")
    assert writes.search('METHODS["mine"] = Mine')
    assert not [path for path in sources(*ROOMS) if writes.search(path.read_text())]


def test_method_files_stay_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in sources("trainers/methods")}
    assert not {name: count for name, count in lengths.items() if count > METHOD_LINES}


def test_every_sub_package_is_shipped() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        "mubench." + ".".join(path.parent.relative_to(ROOT).parts)
        for path in sources("hub_builders", "trainers", "cards")
        if path.name == "__init__.py"
    }
    assert found == set(settings["packages"])
    folders = {path.parent for path in sources("hub_builders", "trainers", "cards")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_every_room_is_type_checked() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    beside = {path.parent.name for path in sources("space")} - {"space"}
    assert set(settings["packages"]) == {"mubench"} | beside
    assert set(settings["modules"]) == modules("space")


def distributions(room: str, *, top: bool) -> set[str]:
    """Return the distributions that a room imports: at the top of its files, or inside their functions as well."""
    called = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
    beside = modules("space") | set(LAYERS["space"]) if room == "space" else set()
    trees: list[ast.Module] = [parsed(path) for path in sources(room)]
    if top:
        trees = [
            ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], []) for tree in trees
        ]
    names = {name.split(".")[0] for tree in trees for name in imported(tree)}
    return {called.get(name, name) for name in names - set(sys.stdlib_module_names) - {"mubench"} - beside}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_are_declared_and_extras_are_imported_where_they_are_needed(room: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    declared, optional = (
        {re.split(r"[<>=\[]", line)[0] for line in lines} for lines in (project["dependencies"], extras)
    )
    assert distributions(room, top=True) <= declared | ({"gradio"} if room == "space" else set())
    assert distributions(room, top=False) <= declared | optional


def loaded(code: str, *names: str) -> set[str]:
    """Return which modules, or modules below them, a fresh interpreter has loaded after some code."""
    line = "import sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{line}"], capture_output=True, text=True, check=True)
    found = done.stdout.split()
    return {name for name in names if any(f"{one}.".startswith(f"{name}.") for one in found)}


@pytest.mark.slow
def test_the_data_room_needs_no_torch() -> None:
    heavy = ("torch", "transformers", "datasets", "numpy")
    names = f"{{name.partition('.')[0] for name in sys.modules}} & {set(heavy)}"
    light = f"import sys\nimport mubench.hub_builders\nmubench.hub_builders.TASKS\nassert not {names}"
    everything = [
        f"import mubench.{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}"
        for path in sources("hub_builders")
        if path.stem[:2] != "__"
    ]
    assert not loaded("\n".join([light, *everything]), "torch", "transformers")


@pytest.mark.slow
def test_methods_load_no_data_code_and_have_two_trainer_classes_of_ours_above_them() -> None:
    code = (
        "from mubench.trainers.methods import METHODS\n"
        "for key in METHODS:\n"
        "    ours = [kind.__name__ for kind in METHODS[key].__mro__ if kind.__module__.startswith('mubench.')]\n"
        "    assert ours[-2:] == ['UnlearningTrainer', 'TaskTrainer'] and len(ours) <= 4, ours"
    )
    assert not loaded(code, "mubench.hub_builders.dataset", "mubench.trainers.models", "mubench.trainers.runs")


def calls(path: Path, name: str) -> list[ast.Call]:
    """Return the calls of a method or function by its last name."""
    found = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    return [call for call in found if last_name(call.func) == name]


def test_models_are_read_in_one_place_which_runs_no_code_of_theirs() -> None:
    ours = ("DiffusionModel", "DiffusionProcessor")
    found = {
        str(path.relative_to(ROOT)): [{word.arg: ast.unparse(word.value) for word in call.keywords} for call in loads]
        for path in sources(*ROOMS)
        if (loads := [c for c in calls(path, "from_pretrained") if not ast.unparse(c.func).startswith(ours)])
    }
    assert found.keys() == {"trainers/models/modalities/pretrained.py"}
    assert all(words.get("trust_remote_code") == "False" for each in found.values() for words in each)


def test_model_folders_are_compared_with_their_record_wherever_they_are_loaded() -> None:
    loads = {str(path.relative_to(ROOT)) for path in sources(*ROOMS) for call in calls(path, "load")
             if ast.unparse(call.func).endswith("modality.load")}  # fmt: skip
    assert loads == {"trainers/models/setting.py"}


def test_nothing_is_unpickled() -> None:
    pickles = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    names = {name.split(".")[0] for path in sources(*ROOMS) for name in named_by(path)}
    assert not names & pickles
    loads = [ast.unparse(call) for path in sources(*ROOMS) for call in calls(path, "load")]
    assert [line for line in loads if "torch.load" in line and "weights_only=True" not in line] == []
    assert not [line for line in loads if "allow_pickle" in line]
