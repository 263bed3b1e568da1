"""The guard refuses other sites, closed routes, long bodies and too many calls, and its errors are one line."""

import asyncio
import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from tests.space.conftest import Import


@pytest.mark.parametrize("declared", [None, b"10", b"2000001", b"many"])
def test_too_long_a_body_is_refused_before_it_is_parsed(space: Import, declared: bytes | None) -> None:
    sent, got = [], []
    pieces = [{"type": "http.request", "body": b"x" * 600_000, "more_body": True}] * 3

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in pieces:
            got.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 400})

    async def send(message: Any) -> None:
        sent.append(message)

    left = iter(pieces)

    async def receive() -> Any:
        return next(left)

    headers = [] if declared is None else [(b"content-length", declared)]
    asyncio.run(space("request_guard").SizeLimit(app)({"type": "http", "headers": headers}, receive, send))
    if declared in (None, b"10"):
        assert got == ["http.request", "http.disconnect", "http.disconnect"]
    else:
        assert not got
    assert [message.get("status") for message in sent] == [413, None]
    assert "at most 1,000,000 bytes" in json.loads(sent[1]["body"])["detail"]


ORIGIN = (b"origin", b"http://127.0.0.1:7860")
HOST = (b"host", b"127.0.0.1:7860")


@pytest.mark.parametrize(("method", "path", "headers", "status"), [
    ("GET", "/", [HOST], 200),
    ("GET", "/", [(b"host", b"LocalHost:7860")], 200),
    ("GET", "/", [(b"host", b"[::1]:7860")], 200),
    ("POST", "/gradio_api/call/x", [HOST, ORIGIN], 200),
    ("GET", "/", [], 421),
    ("GET", "/", [(b"host", b"evil.example:7860")], 421),
    ("GET", "/", [(b"host", b"127.0.0.1.evil.example")], 421),
    ("GET", "/", [HOST, (b"host", b"evil.example")], 421),
    ("POST", "/gradio_api/queue/join", [HOST, (b"origin", b"http://evil.example")], 403),
    ("POST", "/gradio_api/queue/join", [HOST, (b"origin", b"http://127.0.0.1:80")], 403),
    ("POST", "/gradio_api/queue/join", [HOST, (b"origin", b"null")], 403),
    ("POST", "/gradio_api/queue/join", [HOST, (b"origin", b"http://[")], 403),
    ("POST", "/gradio_api/upload", [HOST], 404),
    ("POST", "/gradio_api/component_server", [HOST], 404),
    ("GET", "/gradio_api/deep_link", [HOST], 404),
    ("GET", "/gradio_api/proxy=http://x", [HOST], 404),
    ("GET", "/gradio_api/file=https://x", [HOST], 404),
])  # fmt: skip
def test_another_site_and_closed_routes_are_refused(
    space: Import, method: str, path: str, headers: list[Any], status: int
) -> None:
    assert respond(space("request_guard").Guard, method, path, headers)[0] == status
    if status in (403, 421):  # the Hub serves a page under names of its own
        assert respond(space("request_guard").Guard, method, path, headers, is_local=False)[0] == 200


PROXIED = (b"host", b"Unlearning.example.org:8443")
HOSTS = frozenset({"unlearning.example.org"})


@pytest.mark.parametrize(("host", "origin", "status"), [
    (PROXIED, b"https://Unlearning.example.org:8443", 200),  # a proxy passes the host on,
    (HOST, b"https://unlearning.example.org", 200),  # or names its own
    (PROXIED, b"https://evil.example", 403), (HOST, b"https://unlearning.example.org.evil.example", 403),
    (HOST, b"unlearning.example.org", 403), ((b"host", b"evil.example"), b"https://unlearning.example.org", 421),
])  # fmt: skip
def test_a_proxy_may_serve_the_page_under_a_name_of_its_own(
    space: Import, host: tuple[bytes, bytes], origin: bytes, status: int
) -> None:
    guard, call = space("request_guard").Guard, ("POST", "/gradio_api/call/x", [host, (b"origin", origin)])
    assert respond(guard, *call, hosts=HOSTS)[0] == status
    assert respond(guard, *call)[0] in (403, 421)


def respond(guard: Any, method: str, path: str, headers: Any, error: Any = None, **options: Any) -> tuple[int, str]:
    """Return the status of a response, and the client that the application saw."""
    sent: list[Any] = []
    queue = SimpleNamespace(
        event_queue_per_concurrency_id={}, pending_event_ids_session={},
        pending_messages_per_session=SimpleNamespace(trim=lambda _: None),
    )  # fmt: skip
    blocks = SimpleNamespace(get_blocks=lambda: SimpleNamespace(_queue=queue))
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": ("127.0.0.1", 1)}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if error is not None:
            raise error
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    received = {**scope, "app": blocks}
    asyncio.run(guard(app, **{"is_local": True, **options})(received, None, send))
    if sent[0]["status"] != 200:
        assert "\n" not in json.loads(sent[1]["body"])["detail"]
    return sent[0]["status"], received["client"][0]


@pytest.mark.parametrize(("error", "status"), [(KeyError("x"), 400), (ValueError("x"), 400), (OSError("x"), 500)])
def test_an_error_of_gradio_is_one_line(
    space: Import, caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    assert respond(space("request_guard").Guard, "GET", "/fails", [HOST], error=error)[0] == status
    assert [record.levelname for record in caplog.records] == ["WARNING" if status == 400 else "ERROR"]
    assert bool(caplog.records[0].exc_info) == (status == 500)


def test_a_mistake_in_a_handler_is_logged_in_one_line(space: Import, caplog: pytest.LogCaptureFixture) -> None:
    respond(space("request_guard").Guard, "GET", "/fails", [HOST], error=TypeError("our\n\x1b[2J mistake"))
    assert caplog.messages == [r"a request failed: TypeError: our \x1b[2J mistake"]


@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream; charset=utf-8"])
def test_a_response_that_breaks_off_does_not_look_whole(space: Import, kind: bytes) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise OSError("disk")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [HOST]}
    with nullcontext() if b"stream" in kind else pytest.raises(OSError, match="disk"):
        asyncio.run(space("request_guard").Guard(app, is_local=True)(scope, None, send))
    assert len(sent) == (3 if b"stream" in kind else 2)


@pytest.mark.parametrize(("proxies", "forwarded", "address"), [
    (0, ["1.1.1.1"], "127.0.0.1"), (1, [], "127.0.0.1"), (1, ["1.1.1.1"], "1.1.1.1"),
    (1, ["claimed, 1.1.1.1"], "1.1.1.1"), (1, ["9.9.9.9", "1.1.1.1"], "1.1.1.1"), (1, ["claimed"], "127.0.0.1"),
    (2, ["9.9.9.9, 1.1.1.1, 10.0.0.1"], "1.1.1.1"), (1, ["2001:db8::1:2:3:4"], "2001:db8::/64"),
    (1, ["::ffff:1.1.1.1"], "1.1.1.1"),
])  # fmt: skip
def test_a_visitor_is_an_address_that_they_cannot_choose(
    space: Import, proxies: int, forwarded: list[str], address: str
) -> None:
    headers = [HOST, *((b"x-forwarded-for", each.encode()) for each in forwarded)]
    assert respond(space("request_guard").Guard, "GET", "/", headers, proxies=proxies) == (200, address)


def test_a_visitor_may_have_so_many_waiting_calls(space: Import) -> None:
    guard = space("request_guard")
    mine = SimpleNamespace(request=SimpleNamespace(client=SimpleNamespace(host="1.1.1.1")))
    queue = SimpleNamespace(
        event_queue_per_concurrency_id={"f": SimpleNamespace(queue=[mine] * guard.MAX_WAITING)},
        pending_event_ids_session={}, pending_messages_per_session=guard.Messages(),
    )  # fmt: skip
    refusal = guard.Guard(None, is_local=True)._refuse_many(queue, "1.1.1.1")
    assert refusal[0] == 429 and "at most 32 waiting calls" in refusal[1]
    assert guard.Guard(None, is_local=True)._refuse_many(queue, "1.1.1.2") is None


def test_messages_that_nobody_reads_are_dropped(space: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = space("request_guard")
    monkeypatch.setattr(guard, "SWEEP_S", 0)
    messages = guard.Messages()
    for session, count in (("read", 0), ("old", 1), ("flood", guard.MAX_UNREAD), ("new", 1)):
        messages[session] = asyncio.Queue()
        for _ in range(count):
            messages[session].put_nowait("x")
    events = dict.fromkeys([*messages, "gone"], ())
    messages.trim(events)
    assert list(messages) == ["read", "old", "flood", "new"] and "gone" not in events
    messages.trim(events)
    assert list(messages) == list(events) == ["read", "new"]
    messages["old"].put_nowait("x")  # a call that is still running
    assert "old" not in messages


@pytest.mark.parametrize(("status", "is_bad"), [(404, True), (500, False)])
def test_a_refusal_inside_a_stream_is_a_bad_request(
    space: Import, caplog: pytest.LogCaptureFixture, status: int, is_bad: bool
) -> None:
    error = RuntimeError("Caught handled exception, but response already started.")
    error.__cause__ = HTTPException(status)
    assert space("request_guard").log_failure("a request", error) is is_bad
    (record,) = caplog.records
    assert (record.exc_info is None) is is_bad and record.levelname == ("WARNING" if is_bad else "ERROR")
