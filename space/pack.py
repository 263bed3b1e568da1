"""Packs the served folder into ``build/space``, a self-contained Space: ``python space/pack.py``."""

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
        raise FileNotFoundError(f"expected tasks in {root / DATASET}, got none; build them with: make data")
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
    is_packed = (out / MARKER_FILES["space"]).is_file()
    if out.exists() and not is_packed and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"expected a new or empty folder or a packed Space, as it is replaced, got {out}")
    datasets = _dataset_folders(root)
    runs = read_runs(root / "models")
    models = [folder for folder, run in runs.items() if run.method in (None, "retrain") and run.tier == TIER]
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
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


def main() -> None:
    """Pack the working directory and print the command that publishes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build", "space"), help="folder to write")
    out = pack(Path(), parser.parse_args().out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    sys.stdout.write(
        f"{out}: {size / 1e6:.0f} MB, a self-contained Space; publish it with: "
        f"python -m mubench.hub_builders push {out} --repo NAMESPACE/mubench-{TIER}\n"
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
