"""A worker that only waits; it imports next to nothing, so that its processes start at once."""

import os
import time
from multiprocessing.connection import Connection
from typing import Any


def act(server: Connection) -> None:
    """Do what a job's method says: wait for its seed in tenths of a second, fail, die, or tell and hear nothing."""
    while True:
        try:
            said = server.recv()
        except EOFError:
            return
        if said == "stop":
            continue
        wish, name = said
        if wish.method == "die":
            os._exit(3)
        end: dict[str, Any] = {"end": "failed", "error": "no luck"} if wish.method == "fail" else {"end": "finished"}
        for tenth in range(wish.seed):
            server.send({"point": {"tenth": tenth, "name": name, "process": os.getpid()}})
            time.sleep(0.03 if wish.method == "deaf" else 0.1)
            if wish.method != "deaf" and server.poll():
                server.recv()
                end = {"end": "cancelled"}
                break
        server.send(end)
