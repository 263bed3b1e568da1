"""The rules of the house: rooms look backwards only, registries are literal tables, everything is shipped."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("hub_builders", "trainers", "cards", "space")
REGISTRIES = {
    "METHODS": "trainers/methods",
    "METRICS": "trainers/metrics",
    "ADDONS": "trainers/addons",
    "RAW": "hub_builders/raw",
    "MINI": "hub_builders/mini",
    "MODALITIES": "hub_builders/modalities",
}
METHOD_LINES = 150
IMPORTS = (ast.Import, ast.ImportFrom)
# Who may know of a hub: one module talks to it, one writes the YAML of cards, two load data sets by name.
CLIENTS = {
    "huggingface_hub": {"hub_builders/hub/client.py", "cards/render.py"},
    "datasets.load_dataset": {"hub_builders/dataset/load.py", "hub_builders/raw/_hub.py"},
}


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def modules(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"}


def imported(tree: ast.AST) -> list[str]:
    """Every module named by an import anywhere in a file, inside functions too; relative ones start with a dot."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names += [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names += [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return names


def faults(source: str, room: str) -> list[str]:
    """The imports of a file that a room must not have."""
    later = {f"mubench.{name}" for name in ROOMS[ROOMS.index(room) + 1 :]}
    found = []
    for name in imported(ast.parse(source)):
        bare = name.split(".")[0] in ROOMS
        forward = ".".join(name.split(".")[:2]) in later
        if name.startswith(".") or bare or forward:
            found.append(name)
    return found


def registry(folder: str, name: str) -> dict[str, str]:
    """Read a registry without importing it: key -> source of its value. Only a literal dict is one."""
    tree = ast.parse((ROOT / folder / "__init__.py").read_text())
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and [getattr(t, "id", "") for t in targets] == [name]:
            table = node.value
            assert isinstance(table, ast.Dict), f"{name} must be a literal dict"
            assert all(isinstance(key, ast.Constant) for key in table.keys), f"{name} must have literal keys"
            return {key.value: ast.unparse(value) for key, value in zip(table.keys, table.values, strict=True)}
    raise AssertionError(f"{folder}/__init__.py must define {name}")


def origins(folder: str) -> dict[str, str]:
    """Local name -> module of the folder it comes from, for the imports of a registry's own file."""
    package = "mubench." + folder.replace("/", ".")
    table = {}
    for node in ast.walk(ast.parse((ROOT / folder / "__init__.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origin = alias.name if node.module == package else (node.module or "").removeprefix(f"{package}.")
                table[alias.asname or alias.name] = origin
    return table


@pytest.mark.parametrize(
    "line",
    [
        "from mubench.trainers import base",
        "def late():\n    import mubench.cards.render",
        "from mubench import space",
        "import importlib\nimportlib.import_module('mubench.trainers.runs.run')",
        "from . import tasks",
        "import trainers",
    ],
)
def test_the_import_check_sees_every_way_to_import_a_later_room(line: str) -> None:
    assert faults(line, "hub_builders")
    assert not faults("from mubench.hub_builders.tasks import TASKS\nimport os", "hub_builders")


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_backwards_only(room: str) -> None:
    found = {str(path.relative_to(ROOT)): faults(path.read_text(), room) for path in sources(room)}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize("client", CLIENTS)
def test_one_module_talks_to_a_hub(client: str) -> None:
    names = {str(path.relative_to(ROOT)): imported(ast.parse(path.read_text())) for path in sources(*ROOMS)}
    assert {
        path for path, found in names.items() if any(f"{name}.".startswith(f"{client}.") for name in found)
    } == CLIENTS[client]


def test_what_cards_take_of_the_hub_is_no_client() -> None:
    tree = ast.parse((ROOT / "cards/render.py").read_text())
    taken = {name for name in imported(tree) if name.startswith("huggingface_hub")}
    assert taken == {"huggingface_hub.EvalResult", "huggingface_hub.ModelCardData"}


@pytest.mark.parametrize(("name", "folder"), REGISTRIES.items())
def test_every_module_of_a_registry_is_a_row_or_serves_one(name: str, folder: str) -> None:
    rows, origin = registry(folder, name), origins(folder)
    words = {key: set(re.findall(r"\w+", value)) & set(origin) for key, value in rows.items()}
    named = {origin[word] for found in words.values() for word in found}
    front = ROOT / folder / "__init__.py"
    used = {module for path in sources(*ROOMS) if path != front for module in imported(ast.parse(path.read_text()))}
    package = "mubench." + folder.replace("/", ".")
    serving = {module.removeprefix(f"{package}.").split(".")[0] for module in used if module.startswith(f"{package}.")}
    assert rows
    assert not modules(folder) - named - serving, "files that no row names and nothing imports"
    assert all(words.values()), f"rows of {name} that come from no file of {folder}"


def test_a_method_is_called_what_its_file_is_called() -> None:
    rows, origin = registry("trainers/methods", "METHODS"), origins("trainers/methods")
    assert set(rows) == modules("trainers/methods")
    for key, trainer in rows.items():
        assert trainer == "".join(part.capitalize() for part in key.split("_")) + "Trainer"
        assert origin[trainer] == key


def test_tasks_are_known_by_their_rows_alone() -> None:
    from mubench.hub_builders.tasks import TASKS  # noqa: PLC0415

    assert set(registry("hub_builders/raw", "RAW")) == set(TASKS)
    assert set(registry("hub_builders/mini", "MINI")) == set(TASKS)
    assert set(registry("hub_builders/modalities", "MODALITIES")) == {task.kind for task in TASKS.values()}


def test_nothing_fills_a_registry_behind_its_back() -> None:
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


def foreign(room: str, *, top: bool) -> set[str]:
    """Distributions that a room imports: at the top of its files, or inside their functions as well."""
    called = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
    # A script imports what lies beside it.
    beside = modules("space") | {path.parent.name for path in sources("space")} if room == "space" else set()
    trees = [ast.parse(path.read_text()) for path in sources(room)]
    if top:
        trees = [ast.Module([node for node in tree.body if isinstance(node, IMPORTS)], []) for tree in trees]
    names = {name.split(".")[0] for tree in trees for name in imported(tree)}
    return {called.get(name, name) for name in names - set(sys.stdlib_module_names) - {"mubench"} - beside}


@pytest.mark.parametrize("room", ROOMS)
def test_everything_imported_is_a_declared_dependency_and_extras_only_where_they_are_needed(room: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    declared, optional = (
        {re.split(r"[<>=]", line)[0] for line in lines} for lines in (project["dependencies"], extras)
    )
    assert foreign(room, top=True) <= declared
    assert foreign(room, top=False) <= declared | optional


def test_the_task_table_needs_no_torch() -> None:
    code = (
        "import sys, mubench.hub_builders, mubench.hub_builders.tasks.names, mubench.hub_builders.tasks as tasks\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules)), len(tasks.TASKS) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"
