"""The Space: ``python space/app.py``, where mu-bench, models and results lie, serves it on 127.0.0.1."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from jobs.worker_pool import POOL
from memory import share_arenas

# Nothing is told to anybody, and calls are not counted: gradio would make a table of the last 10,000 at each of them.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000",
}


def main() -> int:
    """Start the processes that train and, while they load, the server."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mubench.hub_builders.utils.cli import run_command  # noqa: PLC0415
    from mubench.hub_builders.utils.optional import check_package  # noqa: PLC0415

    if code := run_command(lambda: check_package("gradio")):
        return code
    # The processes preload our modules; before Python 3.12 they do not look where this file lies.
    places = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    POOL.start()
    share_arenas()
    # Here, since every process that trains imports this file.
    from page import serve  # noqa: PLC0415

    return run_command(serve)


if __name__ == "__main__":
    sys.exit(main())
