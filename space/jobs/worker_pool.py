"""The server's pool; this file is light, so that its processes load torch while the server loads the rest."""

from __future__ import annotations

from multiprocessing.connection import Connection

from jobs.pool import Pool


def work(server: Connection) -> None:
    """Do what the server says."""
    from jobs.worker import main  # noqa: PLC0415

    main(server)


POOL = Pool(work, preload=("jobs.worker",))
