"""Hostile result rows, through the one function by which the Space, `cards` and `judge` read them."""

import copy
import importlib
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mubench.cards.leaderboard import tables
from mubench.cards.leaderboard.formats import HEAD, as_markdown, as_matrix, as_text
from mubench.cards.picture import draw_leaderboard
from mubench.trainers.evaluation.result import Result, parse_result, read_result, to_json
from mubench.trainers.evaluation.row_limits import MAX_BYTES, MAX_NAME, MAX_SEEDS
from mubench.trainers.metrics.bootstrap import DRAWS
from tests.cards.conftest import make_row
from tests.fuzz.cases import count_outcomes, shares
from tests.space.conftest import SPACE, Import, space  # noqa: F401  (a fixture)

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
WORDS = (
    "", "x" * 65, "x" * 5000, ESCAPE, "$\\frac{1}{0}$", "a$b", "\\", "../../etc/passwd", "/etc/passwd", "hf_token",
    "~", "<script>alert(1)</script>", "a|b", "a\nb", "\u202eevil", "\ud800", "\x00", "é", "名前", "__class__",
)  # fmt: skip
NUMBERS = (
    -1, 0, 1, 2.5, -0.0, 1e308, -1e308, 5e-324, 1e12, -1e12, 1e13, 2**31, 2**32, 2**63, 10**400, True, False, None,
    float("nan"), float("inf"), -float("inf"), 0.999, 100,
)  # fmt: skip
SIZES = (0, 1, 2, 63, 64, 65, 128, 129, 1999, 2000, 2001, 2500, 20_000)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value, but one of every long list's."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    if isinstance(value, list):
        inner = list(enumerate(value))[:3]
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def any_value(generator: random.Random) -> Any:
    """Return a word, a number, a list or a dictionary."""
    size = generator.choice(SIZES)
    return generator.choice([
        lambda: generator.choice(WORDS), lambda: generator.choice(NUMBERS), lambda: list(range(size)),
        lambda: [0] * size, lambda: [generator.choice(WORDS)] * min(size, 200),
        lambda: {f"k{i}": generator.choice(NUMBERS) for i in range(min(size, 200))},
        lambda: {generator.choice(WORDS): generator.choice(NUMBERS)}, dict, list,
    ])()  # fmt: skip


def put(row: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Replace the value of a place."""
    if not place:
        return value
    inner = row
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return row


def change(row: Any, generator: random.Random) -> Any:
    """Replace, add or remove one value."""
    place = generator.choice(places(row))
    kind = generator.random()
    if kind < 0.15 and place:
        *outer, last = place
        target = row
        for key in outer:
            target = target[key]
        del target[last]
        return row
    own = generator.choice(("arguments", "recipe", "versions", "cost", "metrics"))
    if kind < 0.3 and isinstance(row.get(own), dict):
        place = (own, "own")
    return put(row, place, any_value(generator))


def consistent(row: Any, generator: random.Random) -> Any:
    """Return a row whose texts or numbers are extreme, and which may be valid."""
    texts = ("$x^$", "a|b", "<b>", "\\alpha", "é", "a" * 256, 1e308, -5, None, True)
    row["arguments"] = {f"k{i}": generator.choice(texts) for i in range(generator.choice((1, 8, 64)))}
    row["cost"] = {name: generator.choice((0.0, 1e-12, 1.0, 1e12)) for name in ("seconds_share", "passes_share")}
    for name in ("row", "mean", "membership", "utility", "gap", "kl_retrained"):
        row["metrics"][name]["value"] = generator.choice((0.0, 1.0, 1e-300, 1e12, -1e12 if name == "row" else 0.5))
    seeds = list(range(generator.choice((2, 64))))
    row["references"] = {"retrained": seeds, "bases": seeds, "identities": [f"{i:064x}" for i in range(128)]}
    return row


def as_json(row: Any, generator: random.Random) -> str | bytes:
    """Write a row, perhaps damaged as a text."""
    text = json.dumps(row)
    kind = generator.randrange(12)
    damages: dict[int, Callable[[], str | bytes]] = {
        0: lambda: text[: generator.randrange(len(text))],
        1: lambda: "[" * 100_000,
        2: lambda: text[:-1] + ', "x": ' + "[" * generator.choice((10, 900, 5000, 30_000)),
        3: lambda: text[:-1] + ', "seed": 5}',
        4: lambda: text + " " * generator.choice((10, MAX_BYTES, 10 * MAX_BYTES)),
        5: lambda: text.encode(generator.choice(("utf-16", "utf-8-sig", "utf-32"))),
        6: lambda: bytes(byte ^ (generator.random() < 0.001) << generator.randrange(8) for byte in text.encode()),
        7: lambda: text.replace("0.1", generator.choice(("1e999", "-1e999", "0x1", "1" * 5000, "1" * 400))),
    }
    return damages.get(kind, lambda: text)()


def use(row: Result, path: Path, generator: random.Random) -> None:
    """Print, write and draw a row that was accepted."""
    assert len(row.references.retrained) <= MAX_SEEDS >= len(row.references.bases)
    assert row.interval is None or (len(row.interval.draws) == DRAWS and row.interval.draws.itemsize == 2)
    assert max(map(len, (row.task, row.method, row.backbone, row.family, row.device))) <= MAX_NAME
    assert parse_result(to_json(row)) == row
    if row.interval and row.base_seed not in row.references.bases:
        with pytest.raises(ValueError, match="expected base seed"):
            tables([row])
        return
    ranked = tables([row])
    printed = as_text(ranked) + as_matrix(ranked)
    assert all(line.isprintable() for line in printed.splitlines())
    lines = as_markdown(ranked[0]).splitlines()
    assert len(lines) == 3 and {line.count("|") for line in lines} == {len(HEAD) + 1} and "<" not in lines[2]
    if generator.random() < 0.05:
        draw_leaderboard(ranked, path.with_suffix(".png"))


def case(generator: random.Random, check_row: Any, folder: Path, source: str) -> str:
    """Read one hostile row from its file, and send it to the Space."""
    row = copy.deepcopy(json.loads(source))
    if generator.random() < 0.25:
        text: str | bytes = json.dumps(consistent(row, generator))
    else:
        for _ in range(generator.choice((0, 1, 1, 1, 2, 5))):
            row = change(row, generator) if isinstance(row, dict) and row else row
        text = as_json(row, generator)
    path = folder / f"{json.loads(source)['run_id']}.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
    sent = path.read_text("utf-8", "replace")
    outcomes = [outcome(read, path, generator) for read in (lambda: read_result(path), lambda: check_row(sent))]
    return " and ".join(outcomes)


def outcome(read: Callable[[], Result], path: Path, generator: random.Random) -> str:
    """Read a row, and use it if it is accepted; a refusal must be one line."""
    try:
        row = read()
    except ValueError as error:
        kind, message = type(error), str(error)
    else:
        use(row, path, generator)
        return "accepted"
    assert kind is ValueError and message.isprintable() and len(message) < 700, message
    assert "expected" in message or "must" in message, message
    return "refused"


@pytest.mark.parametrize("source", ["made", "shipped"])
@shares(60, 1000)
def test_a_hostile_row_is_refused_in_one_line_or_harmless(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, first: int, last: int
) -> None:
    shipped = Path(__file__).parents[2] / "cards" / "results"
    text = to_json(make_row()) if source == "made" else min(shipped.glob("cifar10*scrub*")).read_text()
    monkeypatch.syspath_prepend(SPACE)
    check_row, slowest = importlib.import_module("handlers.submissions").check_row, 0.0

    def timed(generator: random.Random) -> str:
        nonlocal slowest
        start = time.perf_counter()
        outcome = case(generator, check_row, tmp_path, text)
        slowest = max(slowest, time.perf_counter() - start)
        return outcome

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = count_outcomes(first, last, timed)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    sys.stdout.write(f"slowest case {slowest:.2f} s, peak memory {grown:+.0f} MB\n")
    assert counts["refused and refused"] and counts["accepted and accepted"]
