"""A migrated, empty job book on both databases, with a clock that the test owns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from job_desk import Clock, Desk
from postgres import PostgresServer, postgres

from bt_node.jobs import JobBook, open_book, upgrade_schema
from bt_node.jobs.tables import metadata

__all__ = ["postgres"]

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> tuple[PostgresServer, str]:
    url = postgres.create_database("job_book")
    upgrade_schema(url)
    return postgres, url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("job-book") / "migrated.db"
    upgrade_schema(f"sqlite:///{file}")
    return file


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with the schema and without rows."""
    if request.param == "sqlite":
        file = tmp_path / "book.db"
        with (
            closing(sqlite3.connect(request.getfixturevalue("migrated_sqlite"))) as source,
            closing(sqlite3.connect(file)) as target,
        ):
            source.backup(target)
        return f"sqlite:///{file}"
    server, migrated = request.getfixturevalue("migrated_postgres")
    # Faster than TRUNCATE on tables this small. As a replica, because the audit trail's triggers refuse DELETE.
    emptied = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
    server.execute(f"SET session_replication_role = replica; {emptied}", "job_book")
    return str(migrated)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(url: str, clock: Clock) -> Iterator[JobBook]:
    opened = open_book(url, now=clock)
    yield opened
    opened.close()


@pytest.fixture
def desk(book: JobBook, clock: Clock) -> Desk:
    return Desk(book, clock)
