"""Packs what there is into ``build/space``, a folder that is a Space of its own: ``python space/pack.py``."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.hub.client import MARKER_FILES
from mubench.hub_builders.hub.model_folder import RUN_FILE, read_run
from mubench.hub_builders.tasks.names import DATASET, FAMILIES
from mubench.hub_builders.utils.atomic import replace_folder
from mubench.hub_builders.utils.cli import run_command

SPACE = Path(__file__).resolve().parent
ROOMS = ("hub_builders", "trainers", "cards")
NO_CODE = shutil.ignore_patterns("__pycache__", ".*", "pack.py")
TIER = "mini"


def _rows(place: Path) -> list[Path]:
    """Return the dataset folders to pack; a public Space holds generated rows and no others.

    Raises:
        ValueError: If a task is of another tier.
        FileNotFoundError: If there are none.
    """
    named = (place / f"{DATASET}{ending}" for ending in FAMILIES.values())
    folders = [path for path in named if read_manifests(path)]
    if not folders:
        raise FileNotFoundError(f"expected tasks in {place / DATASET}, got none; build them with: make data")
    others = sorted(
        {f"{m['task']} ({m['tier']})" for f in folders for m in read_manifests(f).values() if m["tier"] != TIER}
    )
    if others:
        raise ValueError(f"expected tasks of the {TIER} tier alone, as they are made public, got {', '.join(others)}")
    return folders


def _models(place: Path) -> list[Path]:
    """Return the folders of base and retrained models."""
    found = [path.parent for path in sorted((place / "models").glob(f"*/{RUN_FILE}"))]
    return [
        folder for folder in found if read_run(folder).method in (None, "retrain") and read_run(folder).tier == TIER
    ]


def _check_free(out: Path) -> None:
    if (out / MARKER_FILES["space"]).is_file() or not out.exists():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise ValueError(f"expected a new or empty folder or a packed Space, as it is replaced, got {out}")


def pack(place: Path, out: Path) -> Path:
    """Write a Space: its files, the package, and the data, reference models and rows of a folder.

    Args:
        place: The folder that holds mu-bench, models and results.
        out: Folder to write; what it held is removed.

    Raises:
        ValueError: If a task is not of the mini tier, or what is there holds something else than a packed Space.
        FileNotFoundError: If there are no tasks.
    """
    _check_free(out)
    rows, models = _rows(place), _models(place)
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(SPACE, fresh, ignore=NO_CODE)
    for room in ROOMS:
        shutil.copytree(SPACE.parent / room, fresh / "mubench" / room, ignore=NO_CODE)
    for folder in rows:
        shutil.copytree(folder, fresh / folder.name, ignore=NO_CODE)
    for folder in models:
        shutil.copytree(folder, fresh / "models" / folder.name, ignore=NO_CODE)
    (fresh / "results").mkdir()
    for row in (place / "results").glob("*.json"):
        shutil.copy2(row, fresh / "results")
    replace_folder(fresh, out)
    return out


def main() -> None:
    """Pack, and say what to do with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build", "space"), help="folder to write")
    out = pack(Path(), parser.parse_args().out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    sys.stdout.write(
        f"{out}: {size / 1e6:.0f} MB, a Space of its own; publish it with: "
        f"python -m mubench.hub_builders push {out} --repo NAMESPACE/mubench-{TIER}\n"
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
