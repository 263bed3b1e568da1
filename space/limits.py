"""How much a stranger may send at once: what is longer is refused before anybody reads it."""

from __future__ import annotations

import json
from typing import Any

MOST_BYTES = 1_000_000


class SizeLimit:
    """Outputs a request whose body is too long with 413 and one line.

    Args:
        app: The application behind it.
        most: Bytes that a body may have.
    """

    def __init__(self, app: Any, most: int = MOST_BYTES) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self.most:
            await self._refuse(send)
            return
        read, refused, started = 0, False, False

        async def counted() -> Any:
            nonlocal read, refused
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most:  # a body may come in pieces, and not say how long it is
                refused = True
                return {"type": "http.disconnect"}
            return message

        async def answered(message: Any) -> None:
            nonlocal started
            if started or not refused:  # what is said of a body that was cut short is not the answer
                started = True
                await send(message)

        try:
            await self.app(scope, counted, answered)
        finally:
            if refused and not started:
                await self._refuse(send)

    async def _refuse(self, send: Any) -> None:
        detail = f"expected a request of at most {self.most:,} bytes, got a longer one"
        body = json.dumps({"detail": detail, "error": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
