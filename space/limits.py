"""The size limit of requests: a longer body is refused before it is parsed."""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 1_000_000


class SizeLimit:
    """ASGI middleware that responds to a request with too long a body with status 413 and one line.

    Args:
        app: The wrapped application.
        limit: Maximum size of a body in bytes.
    """

    def __init__(self, app: Any, limit: int = MAX_BYTES) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self.limit:
            await self._refuse(send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on until its body exceeds the limit: a chunked body declares no length."""
        read, refused, started = 0, False, False

        async def limited_receive() -> Any:
            nonlocal read, refused
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.limit:
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
                await self._refuse(send)

    async def _refuse(self, send: Any) -> None:
        detail = f"expected a request of at most {self.limit:,} bytes, got a longer one"
        body = json.dumps({"detail": detail, "error": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
