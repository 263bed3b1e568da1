"""Change the sources one small way at a time, and count how many of the changes the fast tests notice.

Each argument is a group of files and folders, joined by commas; every group gives as many mutants, drawn by the seed.
A mutant faces the test files nearest to its module first, then all others. Tests that fail without a mutant as well
prove nothing and are set aside. Sources are changed in a private copy only.
"""

import argparse
import ast
import contextlib
import itertools
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOMS = ("hub_builders", "trainers", "cards", "space")
GROUPS = ["trainers/methods", "trainers/metrics", "trainers/engine", "trainers/unlearning", "hub_builders/deletion",
          "hub_builders/dataset"]  # fmt: skip
HEAVY = ("torch", "transformers", "datasets", "pyarrow", "peft", "sklearn.metrics", "matplotlib.pyplot", "accelerate")
QUIET = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS", "OMP_NUM_THREADS")
QUIET_S, MEMORY = 240, 12 << 30  # seconds without news of a test, and bytes, that a mutant may take
ROUNDS = (0, 2, 14, None)  # how many test files a mutant has faced after each round; most do not outlive the first
FLIPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.And: ast.Or, ast.Or: ast.And, ast.Lt: ast.GtE, ast.GtE: ast.Lt,
    ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
JOINED = {str, ast.JoinedStr, ast.List, ast.ListComp, ast.Tuple}  # their sums and products are no arithmetic
SPLITS = {"forget": "retain", "retain": "forget"}
Mutant = dict[str, Any]


def live(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a tree that mutants are made of: no texts, annotations, decorators or messages."""
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) and field != "decorator_list" else [value]:
            match child:
                case ast.JoinedStr() | ast.Raise() | ast.Expr(ast.Constant()) | ast.Subscript(ast.Name("Literal")):
                    continue
                case ast.keyword("metadata" | "help") | ast.Assign([ast.Name("__all__")]) | ast.arg():
                    continue
                case ast.If(ast.Name("TYPE_CHECKING") | ast.Compare(ast.Name("__name__"))):
                    continue
            if isinstance(child, ast.AST) and field not in {"annotation", "returns"}:
                yield child
                yield from live(child)


def but(node: ast.AST, **fields: Any) -> ast.AST:
    """Return a node with some of its fields changed."""
    return type(node)(**dict(ast.iter_fields(node)) | fields)


def sums(node: ast.BinOp | ast.AugAssign) -> Iterator[tuple[str, ast.AST]]:
    """Yield what a sum or a product is changed to."""
    if not {type(getattr(part, "value", part)) for part in ast.iter_child_nodes(node)} & JOINED:
        if type(node.op) in FLIPPED:
            yield "sign", but(node, op=FLIPPED[type(node.op)]())
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
            yield "term", node.left


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the kind of every change of an operator or a number, and what then stands in its place."""
    match node:
        case ast.BinOp() | ast.AugAssign():
            yield from sums(node)
        case ast.BoolOp(op=op):
            yield "and/or", but(node, op=FLIPPED[type(op)]())
        case ast.Compare(ops=ops):
            for k, op in enumerate(ops):
                if type(op) in FLIPPED:
                    yield "comparison", but(node, ops=[*ops[:k], FLIPPED[type(op)](), *ops[k + 1 :]])
        case ast.UnaryOp(op=ast.USub() | ast.Not() as op, operand=operand):
            yield "not" if isinstance(op, ast.Not) else "sign", operand
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            yield "off by one", ast.Constant(value + 1)


def swaps(node: ast.AST, names: set[str]) -> Iterator[tuple[str, ast.AST]]:
    """Yield a node that speaks of the other side of the data, where the file knows that name."""
    for key in ("value", "id", "attr", "arg"):
        word = getattr(node, key, None)
        if isinstance(word, str) and not isinstance(getattr(node, "ctx", None), ast.Store):
            other = re.sub("forget|retain", lambda found: SPLITS[found[0]], word)
            if other != word and (word in SPLITS or (key != "value" and other in names)):
                yield "side", but(node, **{key: other})


def mutants(root: Path, group: str) -> Iterator[Mutant]:
    """Yield every mutant of a group that compiles."""
    places = [root / word for word in group.split(",")]
    for path in sorted({path for place in places for path in ([place] if place.is_file() else place.rglob("*.py"))}):
        data = path.read_bytes()
        tree, lines, file = ast.parse(data), data.splitlines(keepends=True), str(path.relative_to(root))
        starts = [sum(map(len, lines[:k])) for k in range(len(lines) + 1)]
        names = {getattr(node, key, None) for node in ast.walk(tree) for key in ("id", "arg", "attr")}
        for node, kind, new in ((old, *new) for old in live(tree) for new in (*changes(old), *swaps(old, names))):
            start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            before, after = ast.unparse(node), ast.unparse(new)
            bare = isinstance(node, ast.keyword | ast.AugAssign | ast.Constant | ast.Name)
            changed = data[:start] + (after if bare else f"({after})").encode() + data[end:]
            with contextlib.suppress(SyntaxError):
                compile(changed, path, "exec", dont_inherit=True)
                yield {"file": file, "line": node.lineno, "kind": kind, "before": before, "after": after,
                       "source": lines[node.lineno - 1].decode().strip(), "data": changed}  # fmt: skip


def speaks_of(tree: ast.AST) -> Iterator[str]:
    """Yield the names of what a file imports, inside functions too, and names with dots in strings."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (module, *(f"{module}.{alias.name}" for alias in names))
            case ast.Constant(value=str(word)) if re.fullmatch(r"\w+(\.\w+)+", word):
                yield from (word, word.rpartition(".")[0], f"{word}.__main__")


def nearest(root: Path, file: str) -> list[str]:
    """Return all test files: those named like a module, then the nearest by imports, then those that speak of none."""
    paths, users, far = {}, {}, {}
    for path in [path for room in (*ROOMS, "tests") for path in sorted((root / room).rglob("*.py"))]:
        room, *words = path.relative_to(root).with_suffix("").parts
        words = words if room == "space" else [room, *words] if room == "tests" else ["mubench", room, *words]
        name = ".".join(words).removesuffix(".__init__")
        paths[name] = str(path.relative_to(root))
        above = {".".join([*words[:k], "conftest"]) for k in range(1, len(words)) if room == "tests"}
        for used in above.union(speaks_of(ast.parse(path.read_bytes()))):
            users.setdefault(used, set()).add(name)
    new = {name for name, path in paths.items() if path == file}
    while new:
        far |= dict.fromkeys((paths[name] for name in new), len(far))
        new = {user for name in new for user in users.get(name, ()) if paths[user] not in far}
    tests = [path for path in paths.values() if "/test_" in path]
    named, room = f"/test_{Path(file).name}", f"tests/{file.split('/', maxsplit=1)[0]}"
    return sorted(tests, key=lambda t: (not t.endswith(named), far.get(t, 10**6), not t.startswith(room), t))


class News:
    """A plugin that tells by a pipe what becomes of the tests."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        os.write(self.pipe, f"start {nodeid}\n".encode())

    def pytest_runtest_logreport(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        os.write(self.pipe, f"{'fail' if report.failed else 'done'} {report.nodeid}\n".encode())

    pytest_collectreport = pytest_runtest_logreport


class TestRunner:
    """A private copy of a checkout, and a process that has the heavy imports behind it and forks for every run."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.copy, self.home, self.writes = scratch / "copy", scratch / "home", 0
        self.broken: set[str] = set()  # tests that fail without mutants
        ignored = shutil.ignore_patterns(".venv", "build", "*_cache", "__pycache__", ".hypothesis")
        shutil.copytree(root, self.copy, symlinks=True, ignore=ignored)
        (farm := self.copy / "build/types/mubench").mkdir(parents=True)
        for room in ROOMS[:3]:
            (farm / room).symlink_to(self.copy / room)
        for name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_TOKEN", "PYTHONDONTWRITEBYTECODE"):
            os.environ.pop(name, None)
        os.environ.update(dict.fromkeys(QUIET, "1"), TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg",
                          HF_HOME=f"{self.home}/hf", TMPDIR=str(self.home), PYTHONPATH=str(farm.parent),
                          PYTHONPYCACHEPREFIX=f"{scratch}/compiled")  # fmt: skip
        sys.pycache_prefix, sys.dont_write_bytecode = f"{scratch}/compiled", False
        tempfile.tempdir, sys.argv, sys.path[:1] = None, ["pytest"], [str(self.copy), str(farm.parent)]
        os.chdir(self.copy)
        for name in HEAVY:
            __import__(name)
        while failed := self.run():
            if not all("::" in test for test in failed):
                sys.exit(f"the tests do not run without mutants: {failed}")
            self.broken.update(failed)

    def write(self, file: str, data: bytes) -> None:
        """Write a source, at a time of its own, so that no compiled file is taken for its."""
        (self.copy / file).write_bytes(data)
        self.writes += 1
        os.utime(self.copy / file, (10**9 + 2 * self.writes,) * 2)

    def test(self, pipe: int, words: list[str]) -> None:
        """Run pytest in this process, which is a fork, and end it."""
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            for stream in range(3):
                os.dup2(os.open(os.devnull, os.O_RDWR), stream)
            code = pytest.main(["-q", "-p", "no:cacheprovider", *words], [News(pipe)])
            os.write(pipe, f"end {int(code)}\n".encode())
        finally:
            os._exit(1)

    def run(self, *words: str) -> list[str]:
        """Return the tests that fail, or the one that fell silent, or `?` where there is none to blame."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        (news, pipe), output, end = os.pipe(), "", None
        if not (pid := os.fork()):
            self.test(pipe, [*words, *(f"--deselect={test}" for test in self.broken)])
        os.close(pipe)
        while not end and select.select([news], [], [], QUIET_S)[0] and (more := os.read(news, 65536)):
            output += more.decode()
            end = re.search(r"^end (\d)\n\Z", output[-20:], re.M)
        os.close(news)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        failed, begun = (re.findall(rf"^{word} (.+)$", output, re.M) for word in ("fail", "start"))
        return failed or ([] if end and end[1] in "05" else (begun or ["?"])[-1:])

    def killer(self, mutant: Mutant) -> str:
        """Return the test that notices a mutant, or nothing."""
        file, order = mutant["file"], nearest(self.copy, mutant["file"])
        sound, failed = (self.copy / file).read_bytes(), []
        self.write(file, mutant["data"])
        for start, end in itertools.pairwise(ROUNDS):
            failed = failed or (order[start:end] and self.run("-x", *order[start:end]))
        self.write(file, sound)
        return failed[0] if failed else ""


def work(root: Path, drawn: list[Mutant], scratch: Path) -> None:
    """Judge mutants one by one, and write down what became of them."""
    scratch.mkdir()
    runner, done = TestRunner(root, scratch), []
    for mutant in drawn:
        start = time.monotonic()
        facts = {"killer": runner.killer(mutant), "seconds": round(time.monotonic() - start), **mutant}
        done.append({key: value for key, value in facts.items() if key != "data"})
        line = "{fate} {file}:{line} {kind}: {before} -> {after} | {source} | {killer} {seconds} s\n"
        sys.stdout.write(line.format(fate="killed  " if facts["killer"] else "SURVIVED", **facts))
        sys.stdout.flush()
        (scratch / "done.json").write_text(json.dumps([done, sorted(runner.broken)]))


def main() -> None:
    """Draw the mutants, share them out among workers and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", default=GROUPS, metavar="FOLDER_OR_FILE")
    for name, default in {"seed": 0, "count": 60, "workers": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    root, out, scratch = (
        options.root.resolve(),
        options.out and options.out.resolve(),
        Path(tempfile.mkdtemp(prefix="mut")),
    )
    drawn: list[Mutant] = []
    for k, group in enumerate(options.groups):
        every, part = list(mutants(root, group)), options.count / len(options.groups)
        drawn += random.Random(f"{options.seed} {k}").sample(
            every, min(len(every), int(part * (k + 1)) - int(part * k))
        )
    for k in range(options.workers):
        if not os.fork():
            work(root, drawn[k :: options.workers], scratch / str(k))
            os._exit(0)
    statuses = [os.wait()[1] for _ in range(options.workers)]
    parts = [json.loads(path.read_text()) for path in sorted(scratch.glob("*/done.json"))]
    done, aside = [facts for part in parts for facts in part[0]], sorted({test for part in parts for test in part[1]})
    killed = sum(bool(facts["killer"]) for facts in done)
    if out:
        out.write_text(json.dumps({"killed": killed, "of": len(done), "set_aside": aside, "mutants": done}, indent=1))
    shutil.rmtree(scratch)
    sys.stdout.write(f"tests set aside: {len(aside)}\nkilled {killed} of {len(done)}\n")
    sys.exit(any(statuses) or len(done) < len(drawn))


if __name__ == "__main__":
    main()
