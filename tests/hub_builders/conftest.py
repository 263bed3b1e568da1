"""Fixtures of the tests of data and repositories."""

from tests.fixtures.clients import client, run_client
from tests.fixtures.data import arrow_cache, hub, hub_server, mini_rows, small

__all__ = ["arrow_cache", "client", "hub", "hub_server", "mini_rows", "run_client", "small"]
