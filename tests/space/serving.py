"""A served Space, as a process of its own on the loopback."""

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).resolve().parents[2]
# The server and the processes it starts know the small task of the tests.
SMALL = """
from tests.space.small import settle
settle()
"""
SERVE = """
import app
if __name__ == "__main__":
    app.main()
"""


@dataclass(frozen=True)
class Served:
    """A server that is up."""

    url: str
    process: "subprocess.Popen[str]"

    def client(self) -> Any:
        """Return a client of it."""
        from gradio_client import Client  # noqa: PLC0415

        return Client(self.url, verbose=False)

    def get(self, path: str) -> int:
        """Return the status of an answer."""
        return httpx2.get(f"{self.url}/{path}").status_code

    def crowd(self, visitors: int) -> None:
        """Let so many others ask something, one after the other."""
        for _ in range(visitors):
            asked = {"data": ["", "", ""], "session_hash": secrets.token_hex(8)}
            event = httpx2.post(f"{self.url}/gradio_api/call/settings", json=asked).json()["event_id"]
            assert "cifar10" in httpx2.get(f"{self.url}/gradio_api/call/settings/{event}").text

    def kill(self) -> None:
        """End it at once, without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def started(words: list[str], root: Path, env: dict[str, str]) -> Iterator[Served]:
    """Start a server in a folder, and wait until it says where it listens.

    Args:
        words: The command.
        root: The folder.
        env: The whole environment of the server.
    """
    with subprocess.Popen(words, cwd=root, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = next((m for line in process.stdout if (m := re.search(r"http://127\.0\.0\.1:\d+", line))), None)
        assert found, "the server ended"
        threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop it
        try:
            yield Served(found[0], process)
        finally:
            process.terminate()


@contextmanager
def serving(root: Path, folder: Path, *, small: bool = False, space: Path = ROOT / "space") -> Iterator[Served]:
    """Serve a folder.

    Args:
        root: The folder.
        folder: Where to write the script that serves it.
        small: Whether cifar10 is the small one of the tests, with longest runs that do not end by themselves.
        space: The Space's files.
    """
    script = folder / "serve.py"
    script.write_text((SMALL if small else "") + SERVE)
    path = os.pathsep.join([str(space), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "GRADIO_ANALYTICS_ENABLED": "False"}
    with started([sys.executable, "-u", str(script)], root, env) as served:
        yield served
