"""Fixtures of the tests of data and repositories."""

from tests.fixtures.data import arrow_cache, hub, hub_server, mini_rows, small

__all__ = ["arrow_cache", "hub", "hub_server", "mini_rows", "small"]
