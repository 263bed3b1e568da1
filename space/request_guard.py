"""ASGI middleware before gradio: allowed hosts, routes, sizes and calls a visitor; every refusal is one line."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import re
import time
from typing import Any

from gradio.route_utils import FnIndexInferError
from gradio.utils import LRUCache

from mubench.hub_builders.utils.text import one_line, quote

# A longer body is refused before it is parsed.
MAX_BYTES = 1_000_000
TOO_LONG = f"expected a request of at most {MAX_BYTES:,} bytes, got a longer one"
# Waiting calls of one visitor, and unread messages of all visitors.
MAX_WAITING, MAX_UNREAD = 32, 256
# Seconds between two counts of them.
SWEEP_S = 2.0
# Number of trusted proxies, each of which appends the address of its client to X-Forwarded-For.
PROXIES = "MUBENCH_PROXIES"
# Further names of this host, separated by commas: those under which a proxy serves the page.
HOSTS = "MUBENCH_HOSTS"
HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
# Routes of gradio that this page does not need: they store files, run programs, or fetch other addresses.
CLOSED = re.compile(
    r"(/gradio_api)?/(upload|process_recording|component_server|deep_link|vibe-|stream/|run-history|runs|monitoring|"
    r"dev/|proxy=|file=\s*https?:|file/\s*https?:)",
    re.IGNORECASE,
)
CALL = re.compile(r"/gradio_api/(queue/join|call/.*)")
# What gradio raises at an unknown function, session or value of a call.
BAD_REQUEST = (FnIndexInferError, LookupError, TypeError, ValueError, AttributeError)


class Messages(LRUCache):  # type: ignore[type-arg]
    """Unread messages by session: gradio limits the number of sessions, this class that of their messages."""

    def __init__(self) -> None:
        super().__init__(2000)
        self._swept, self._unread = 0.0, set[str]()

    def __missing__(self, session: str) -> asyncio.Queue[Any]:
        return asyncio.Queue()  # of a session that is dropped

    def trim(self, events: dict[str, Any]) -> None:
        """Drop the oldest sessions whose messages nobody reads, and the events of all dropped sessions."""
        if time.monotonic() - self._swept < SWEEP_S:
            return
        count, unread = 0, set()
        for session, messages in reversed(list(self.items())):
            count += messages.qsize()
            if count > MAX_UNREAD and messages.qsize():
                unread.add(session)
        for session in unread & self._unread:  # twice in a row: a reader may be about to read
            del self[session]
        for session in events.keys() - self.keys():
            del events[session]
        self._swept, self._unread = time.monotonic(), unread


def without_empty_session(push: Any) -> Any:
    """Return gradio's function that queues a call, for which an empty session hash is none.

    Under an empty one gradio keeps the messages of a call where no stream reads them, so that its stream never ends.
    """

    async def queue_call(body: Any, *others: Any, **named: Any) -> Any:
        body.session_hash = body.session_hash or None
        return await push(body, *others, **named)

    return queue_call


def proxies_from_environment(default: int) -> int:
    """Return how many proxies are trusted.

    Raises:
        ValueError: If ``MUBENCH_PROXIES`` is no such number.
    """
    given = os.environ.get(PROXIES, "").strip() or str(default)
    if not (given.isascii() and given.isdigit() and len(given) < 4):
        raise ValueError(f"expected a number of proxies from 0 up, got {quote(given)} in {PROXIES}")
    return int(given)


def hosts_from_environment() -> frozenset[str]:
    """Return the further names of this host.

    Raises:
        ValueError: If ``MUBENCH_HOSTS`` holds something else.
    """
    names = [name.strip().lower() for name in os.environ.get(HOSTS, "").split(",") if name.strip()]
    if wrong := [name for name in names if not HOST.fullmatch(name)]:
        raise ValueError(f"expected host names separated by commas in {HOSTS}, got {quote(wrong[0])}")
    return frozenset(names)


def log_failure(what: str, error: Exception) -> bool:
    """Log an error, ours with its traceback, and return whether gradio raises it at a bad request."""
    log, cause = logging.getLogger(__name__), error.__cause__
    is_refusal = getattr(cause, "status_code", 500) < 500  # an HTTPException of a stream that had begun
    is_bad = is_refusal or isinstance(error, BAD_REQUEST)
    if is_bad:
        shown = cause if is_refusal else error
        log.warning("%s failed: %s: %s", what, type(shown).__name__, one_line(str(shown)))
    else:
        log.error("%s failed", what, exc_info=error)
    return is_bad


def visitor_address(scope: Any, proxies: int = 0) -> str:
    """Return the address of a client, as the server or the outermost trusted proxy sees it.

    Of an IPv6 address it is the network of 64 bits, which a visitor has to themselves.
    """
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    forwarded = [each.strip() for value in values for each in value.split(",")]
    peer = scope["client"][0] if scope.get("client") else ""
    address = forwarded[-proxies] if 0 < proxies <= len(forwarded) else peer
    try:
        found = ipaddress.ip_address(address)
        found = getattr(found, "ipv4_mapped", None) or found
    except ValueError:
        return str(peer)
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))


def _values(scope: Any, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


async def refuse(send: Any, status: int, reason: str) -> None:
    """Respond with a status and one line."""
    body = json.dumps({"detail": reason, "error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Guard:
    """Refuses requests of other sites, closed routes, and too many calls of a visitor, whose address it sets.

    Args:
        app: The application.
        is_local: Whether only this machine is served: its own names are then the only hosts, and a request that
            changes something must come from a page of the same host (no other site may reach it by DNS rebinding).
        proxies: Number of trusted proxies in front.
        hosts: Further names of this host, in lower case.
    """

    def __init__(self, app: Any, *, is_local: bool, proxies: int = 0, hosts: frozenset[str] = frozenset()) -> None:
        self.app, self.is_local, self.proxies, self.hosts = app, is_local, proxies, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["client"] = (visitor_address(scope, self.proxies), 0)
        if refusal := self._refusal(scope):
            await refuse(send, *refusal)
        else:
            await self._pass(scope, receive, send)

    def _refusal(self, scope: Any) -> tuple[int, str] | None:
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        if self.is_local and not (hosts and all(LOCAL_HOST.fullmatch(host) or self._is_own(host) for host in hosts)):
            return 421, f"expected a request to localhost, 127.0.0.1, [::1] or a host of {HOSTS}, got one to another"
        if self.is_local and scope["method"] != "GET" and not all(self._is_own_page(each, hosts) for each in origins):
            return 403, "expected a request of this page, got one of another site"
        if CLOSED.match(scope["path"]):
            return 404, "expected a route of this page, got one that it does not have"
        if scope["method"] == "POST" and CALL.fullmatch(scope["path"].rstrip("/")):
            return self._refuse_many(scope["app"].get_blocks()._queue, scope["client"][0])
        return None

    def _is_own(self, host: str) -> bool:
        return re.sub(r":\d+$", "", host.lower()) in self.hosts

    def _is_own_page(self, origin: str, hosts: list[str]) -> bool:
        scheme, _, host = origin.partition("://")
        return scheme in {"http", "https"} and (host in hosts or self._is_own(host))  # a proxy may change the host

    def _refuse_many(self, queue: Any, address: str) -> tuple[int, str] | None:
        queue.pending_messages_per_session.trim(queue.pending_event_ids_session)
        waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]
        if sum(event.request.client.host == address for event in waiting) < MAX_WAITING:
            return None
        return 429, f"expected at most {MAX_WAITING} waiting calls a visitor, got one more; try again later"

    async def _pass(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, and turn an error of the application into one line.

        A response that breaks off is not ended, so that its client sees that it is not whole; a stream of events is.
        """
        started = ended = is_stream = False

        async def noting_send(message: Any) -> None:
            nonlocal started, ended, is_stream
            if message["type"] == "http.response.start":
                is_stream = dict(message.get("headers", ())).get(b"content-type", b"").startswith(b"text/event-stream")
            started, ended = True, message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        except Exception as error:
            is_bad = log_failure("a request", error)
            if started and not ended:
                if not is_stream:
                    raise
                await send({"type": "http.response.body"})
            elif not started:
                line = "expected a function, a session and values of this page, got others"
                await refuse(send, *((400, line) if is_bad else (500, "internal error: the server has logged it")))


class SizeLimit:
    """ASGI middleware that responds to a request with too long a body with status 413 and one line."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > MAX_BYTES:
            await refuse(send, 413, TOO_LONG)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on until its body exceeds the limit: a chunked body declares no length."""
        read, refused, started = 0, False, False

        async def limited_receive() -> Any:
            nonlocal read, refused
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BYTES:
                refused = True
                return {"type": "http.disconnect"}
            return message

        async def guarded_send(message: Any) -> None:
            nonlocal started
            if started or not refused:  # the application's response to a truncated body is dropped
                started = True
                await send(message)

        try:
            await self.app(scope, limited_receive, guarded_send)
        finally:
            if refused and not started:
                await refuse(send, 413, TOO_LONG)
