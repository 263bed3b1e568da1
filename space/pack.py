"""Packs a folder that is a self-contained Space: ``python space/pack.py`` the demo, ``--metric mu_score`` a metric."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.hub_builders.tasks.names import DATASET, FAMILIES
from mubench.hub_builders.utils.atomic import replace_folder
from mubench.hub_builders.utils.cli import run_command
from mubench.hub_builders.utils.hub_client import MARKER_FILES

SPACE = Path(__file__).resolve().parent
METRICS = SPACE.parent / "cards" / "evaluate"
ROOMS = ("hub_builders", "trainers", "cards")
IGNORED = shutil.ignore_patterns("__pycache__", ".*", "pack.py")
TIER = "mini"


def _dataset_folders(root: Path) -> list[Path]:
    """Return the dataset folders to pack; a public Space holds generated rows only.

    Raises:
        ValueError: If a task is of another tier.
        FileNotFoundError: If there are none.
    """
    folders = [root / f"{DATASET}{ending}" for ending in FAMILIES.values()]
    manifests = {folder: found for folder in folders if (found := read_manifests(folder))}
    if not manifests:
        raise FileNotFoundError(f"expected tasks in {root / DATASET}, got none; build them with: mubench build")
    tasks = [task for found in manifests.values() for task in found.values()]
    others = sorted({f"{task['task']} ({task['tier']})" for task in tasks if task["tier"] != TIER})
    if others:
        raise ValueError(f"expected only tasks of the {TIER} tier, as a Space is public, got {', '.join(others)}")
    return list(manifests)


def pack(root: Path, out: Path) -> Path:
    """Replace ``out`` by a Space: its files, the package, and the data, reference models and result rows in ``root``.

    Raises:
        ValueError: If a task is not of the mini tier, or ``out`` holds something other than a packed Space.
        FileNotFoundError: If there are no tasks.
    """
    _check_replaceable(out)
    datasets = _dataset_folders(root)
    runs = read_runs(root / "models")
    models = [folder for folder, run in runs.items() if run.method in (None, "retrain") and run.tier == TIER]
    fresh = _fresh_path(out)
    targets = {SPACE: fresh, **{SPACE.parent / room: fresh / "mubench" / room for room in ROOMS}}
    targets |= {folder: fresh / folder.name for folder in datasets}
    targets |= {folder: fresh / "models" / folder.name for folder in models}
    for source, target in targets.items():
        shutil.copytree(source, target, ignore=IGNORED)
    (fresh / "results").mkdir()
    for row in (root / "results").glob("*.json"):
        shutil.copy2(row, fresh / "results")
    replace_folder(fresh, out)
    return out


def _check_replaceable(out: Path) -> None:
    is_packed = (out / MARKER_FILES["space"]).is_file()
    if out.exists() and not is_packed and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"expected a new or empty folder or a packed Space, as it is replaced, got {out}")


def _fresh_path(out: Path) -> Path:
    """Return the path of a folder that will replace ``out``, where there is none."""
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    return fresh


def metrics() -> list[str]:
    """Return the metrics for the library ``evaluate``, one folder each."""
    return sorted(path.parent.name for path in METRICS.glob("*/app.py"))


def pack_metric(name: str, out: Path) -> Path:
    """Replace ``out`` by the Space of a metric: its files, and the rooms that it imports.

    Raises:
        ValueError: If ``out`` is not named after the metric, or holds something other than a packed Space.
    """
    if out.name != name:
        raise ValueError(f"expected a folder called {name}, as `evaluate` finds a metric by its name, got {out}")
    _check_replaceable(out)
    fresh = _fresh_path(out)
    shutil.copytree(METRICS / name, fresh, ignore=shutil.ignore_patterns("__pycache__", ".*", "__init__.py"))
    for room in ROOMS[:2]:
        shutil.copytree(SPACE.parent / room, fresh / "mubench" / room, ignore=IGNORED)
    replace_folder(fresh, out)
    return out


def main() -> None:
    """Pack the working directory or a metric, and print the command that publishes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metric", choices=metrics(), help="pack this metric, and not the demo")
    parser.add_argument("--out", type=Path, help="folder to write; build/space, or build/ and the metric's name")
    options = parser.parse_args()
    out = options.out or Path("build", options.metric or "space")
    out = pack_metric(options.metric, out) if options.metric else pack(Path(), out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    sys.stdout.write(
        f"{out}: {size / 1e6:.0f} MB, a self-contained Space; publish it with: "
        f"mubench push {out} --repo NAMESPACE/{options.metric or f'mubench-{TIER}'}\n"
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
