"""Fixtures of the tests of models, which read mini rows and talk to a Hub on the loopback."""

from tests.fixtures.data import arrow_cache, hub, hub_server, mini_rows, small

__all__ = ["arrow_cache", "hub", "hub_server", "mini_rows", "small"]
