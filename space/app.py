"""The Space: ``python space/app.py`` in the folder that holds mu-bench, models and results serves it on 127.0.0.1."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

# No network access, no statistics (gradio would tabulate its last 10,000 calls at every call), and no addresses that a
# client claims to have.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
    "FORWARDED_ALLOW_IPS": "",
}
# Of glibc's malloc.h: the number of arenas, which by default grows with that of threads.
M_ARENA_MAX = -8
ARENAS = 2


def limit_arenas() -> bool:
    """Let all threads share a few malloc arenas, and return whether this system has arenas.

    Otherwise each thread that serves a visitor retains an arena as large as its largest response.
    """
    return platform.libc_ver()[0] == "glibc" and ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS) == 1


def main() -> int:
    """Start the server, and then its worker processes."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mubench.hub_builders.utils.cli import run_command  # noqa: PLC0415
    from mubench.hub_builders.utils.optional import check_package  # noqa: PLC0415

    if code := run_command(lambda: check_package("gradio")):
        return code
    # Workers preload our modules; before Python 3.12 they do not search this file's folder.
    paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    limit_arenas()
    # Imported here, since every worker process imports this file.
    from page import serve  # noqa: PLC0415

    return run_command(serve)


if __name__ == "__main__":
    sys.exit(main())
