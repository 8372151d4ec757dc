"""A real PostgreSQL for tests: one cluster for the session, stopped at the end.

Use the session-wide fixture by importing it into a folder's conftest.py (`from postgres import postgres`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bench.trials.cluster import PostgresServer, find_initdb, running_cluster

__all__ = ["PostgresServer", "postgres"]


@pytest.fixture(scope="session")
def postgres(peer: Callable[[str], str]) -> Iterator[PostgresServer]:
    """One cluster for the session; skips (or fails, see `peer`) when it is not installed."""
    with running_cluster(find_initdb(peer)) as server:
        yield server
