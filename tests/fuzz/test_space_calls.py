"""Hostile calls of a running Space: wrong values, wrong numbers of them, unknown functions, routes and hosts."""

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cards.conftest import make_row
from tests.fixtures.serving import Served, serving
from tests.fixtures.walk import RATIO, Walk, quick
from tests.fuzz.cases import count_outcomes, shares

pytestmark = pytest.mark.slow
NAMES = (
    "settings", "arguments", "try_out", "train_references", "cancel", "result", "attack", "row", "download", "compare",
    "leaderboard", "submit", "data", "samples",
)  # fmt: skip
# What is in no response: of a file on the server, and of an error that nobody expected.
SECRETS = ("root:x:0:0", "Traceback (most recent call last)", 'File "')
PATHS = ("/etc/passwd", "../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "models", "C:\\Windows", "file:///etc/passwd")
WORDS = (
    "", "cifar10", "resnet", str(RATIO), "scrub", "canonical", "forget", "0" * 24, *PATHS, "x" * 100_000, "{" * 5000,
    "\x00", "\x1b[2J", "$\\frac", "<script>", "\ud800", "__class__", "名前", "true", "1e999", "{}", "[]", "null",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2.5, 1e308, 2**63, 10**400, True, False, None)
OTHER_HOSTS = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "[::2]", "169.254.169.254", "")
ROUTES = (
    "config", "info", "gradio_api/info", "gradio_api/openapi.json", "gradio_api/upload", "gradio_api/queue/status",
    "gradio_api/component_server", "gradio_api/process_recording", "gradio_api/deep_link?session_hash=x",
    "gradio_api/proxy=http://127.0.0.1:1/", "gradio_api/file=http://127.0.0.1:1/x", "gradio_api/vibe-code",
    "gradio_api/vibe-edit", "gradio_api/heartbeat/", "gradio_api/reset", "gradio_api/cancel", "gradio_api/queue/data",
    "gradio_api/queue/data?session_hash=none", "gradio_api/run/settings", "gradio_api/api/submit", "monitoring",
    "gradio_api/call/settings/none", "gradio_api/stream/none", "gradio_api/runs", "static/../../etc/passwd",
    "assets/%2e%2e/%2e%2e/etc/passwd", "custom_component/x/y/z/w", "theme.css", "login", "svelte/..",
    "gradio_api/run-history/records",
    *(f"gradio_api/file={path}" for path in PATHS), *(f"file={path}" for path in PATHS),
)  # fmt: skip


def any_value(generator: random.Random, depth: int = 0) -> Any:
    """Return a word, a number, a list or a dictionary."""
    kind = generator.random()
    if kind < 0.5:
        return generator.choice(WORDS)
    if kind < 0.75 or depth > 3:
        return generator.choice(NUMBERS)
    inner = [any_value(generator, depth + 1) for _ in range(generator.choice((0, 1, 2, 5, 100 if depth == 0 else 3)))]
    return inner if kind < 0.88 else {str(generator.choice(WORDS))[:100]: value for value in inner}


def values(generator: random.Random, name: str) -> Any:
    """Return the values of a call: good ones with some replaced, one too few or too many, or something else."""
    row = json.dumps(make_row().model_dump(mode="json"))
    good: dict[str, list[Any]] = {
        "settings": ["cifar10", "", ""], "arguments": ["cifar10", "resnet", "scrub"],
        "try_out": ["cifar10", "resnet", str(RATIO), "scrub", 0, {"gamma": 0.9}],
        "train_references": ["cifar10", "resnet", "7"], "attack": ["0" * 24, 0.5], "compare": [["0" * 24]],
        "leaderboard": [{"task": ["cifar10"]}, [], [row]], "submit": [row],
        "data": ["canonical", "cifar10", str(RATIO)], "samples": ["canonical", "cifar10", str(RATIO), "forget", 1],
    }  # fmt: skip
    found = list(good.get(name, ["0" * 24]))
    for place in range(len(found)):
        if generator.random() < 0.6 or name in ("try_out", "train_references"):
            found[place] = any_value(generator)
    count = generator.choice((0, 0, 0, -1, 1, 5, -len(found)))
    found = found[:count] if count < 0 else found + [any_value(generator) for _ in range(count)]
    return any_value(generator) if generator.random() < 0.05 else found


def body_of(generator: random.Random, name: str) -> bytes:
    """Return the body of a call, perhaps damaged, with fields that a page would send."""
    body: Any = {"data": values(generator, name)}
    for field in ("fn_index", "session_hash", "trigger_id", "event_data", "event_id", "batched", "simple_format", "x"):
        if generator.random() < 0.15:
            body[field] = any_value(generator)
    text = json.dumps(body).encode()
    damage = generator.randrange(20)
    if damage == 0:
        return text[: generator.randrange(len(text))]
    if damage == 1:
        return b"[" * 100_000
    if damage == 2:
        return generator.randbytes(200)
    return text


class Caller:
    """Sends calls, and checks every response."""

    def __init__(self, server: Served) -> None:
        self.url = server.url
        self.http = httpx2.Client(timeout=60)

    def check(self, response: Any) -> str:
        """Return the kind of a response; it must be no crash and tell no secret."""
        text = response.text
        assert response.status_code != 500, text[:300]
        assert not [secret for secret in SECRETS if secret in text], text[:300]
        return f"{response.status_code // 100}xx"

    def case(self, generator: random.Random) -> str:
        """Send one call, to a function or a route, or with another host."""
        kind = generator.random()
        name = generator.choice((*NAMES, *NAMES, "nothing", "__init__", "../info"))
        url = f"{self.url}/gradio_api/call/{name}"
        if kind < 0.1:
            response = self.post(url, body_of(generator, name), Host=generator.choice(OTHER_HOSTS))
            assert response.status_code in (400, 421), response.status_code
            return "another host"
        if kind < 0.3:
            method, route = generator.choice(("GET", "POST", "HEAD", "PUT")), generator.choice(ROUTES)
            files = {"files": ("a.html", b"<script>")} if "upload" in route else None
            with self.http.stream(method, f"{self.url}/{route}", files=files) as response:
                if "heartbeat" not in route and method != "HEAD":
                    response.read()
                    self.check(response)
                assert not files or response.status_code in (404, 405)
            return "a route"
        if kind < 0.45:
            session = f"{generator.getrandbits(40):x}"
            body = {"data": values(generator, name), "session_hash": session, "fn_index": generator.randrange(-2, 60)}
            response = self.post(f"{self.url}/gradio_api/queue/join", json.dumps(body).encode())
            return self.follow(response, f"{self.url}/gradio_api/queue/data?session_hash={session}")
        return self.follow(self.post(url, body_of(generator, name)), f"{url}/{{}}")

    def post(self, url: str, body: bytes, **headers: str) -> Any:
        """Send a body of JSON."""
        return self.http.post(url, content=body, headers={"Content-Type": "application/json", **headers})

    def follow(self, response: Any, stream: str) -> str:
        """Read the outcome of a call that the server has accepted."""
        outcome = self.check(response)
        if outcome != "2xx":
            assert "\n" not in response.text
            return "refused at once"
        outcome = self.check(self.http.get(stream.format(response.json()["event_id"])))
        return "answered" if outcome == "2xx" else outcome


@pytest.fixture(scope="module")
def served(walked_once: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    folder = tmp_path_factory.mktemp("serve")
    with quick():
        walk = walked_once.copy(tmp_path_factory.mktemp("served"))
        walk.judge().controls()
    with serving(walk.root, folder, small=True) as server:
        yield server, folder / "log.txt"


@shares(60, 600)
def test_a_hostile_call_gets_one_line_and_reads_no_file(served: tuple[Served, Path], first: int, last: int) -> None:
    server, log = served
    counts = count_outcomes(first, last, Caller(server).case)
    assert counts["answered"] and counts["refused at once"] and counts["another host"] and counts["a route"]
    assert server.client().predict("cifar10", api_name="/settings")["chosen"]["task"] == "cifar10"
    found = log.read_text()
    sys.stdout.write(f"tracebacks in the log: {found.count('Traceback')}\n")
    assert "Traceback" not in found, found[found.index("Traceback") :][:3000]


def test_a_call_of_an_empty_session_gets_its_response(served: tuple[Served, Path]) -> None:
    caller = Caller(served[0])
    url = f"{caller.url}/gradio_api/call/compare"
    response = caller.post(url, json.dumps({"data": [[]], "session_hash": ""}).encode())
    time.sleep(1)  # it is over before it is read
    with caller.http.stream("GET", f"{url}/{response.json()['event_id']}") as stream:
        assert next(stream.iter_lines()) == "event: error"
