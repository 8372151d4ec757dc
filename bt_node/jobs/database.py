"""One door to the database: engine, transactions, and the one clock that all times come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Executable, create_engine, event, make_url, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bt_node.domain.errors import BookUnavailableError, SchemaError
from bt_node.jobs.sqlite_file import LOCK_SECONDS, WRITES, SqliteFile, file_trouble_worded
from bt_node.jobs.tables import SCHEMA_REVISION

__all__ = ["WRITES", "Clock", "Database", "Transaction", "make_engine", "normalised", "patience", "trouble_worded"]

# Who is cut off, or whose machine is gone, answers nothing at all; the kernel would wait for a quarter of an hour.
_PATIENCE = {
    "connect_timeout": 10,  # s
    "tcp_user_timeout": 20_000,  # ms without acknowledgement of what was sent
    "keepalives_idle": 10,  # s, for what only listens
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# Each of our statements is short. One that is not stands behind somebody's lock, or on a server in trouble.
_HURRY = {"options": "-c lock_timeout=10s -c statement_timeout=20s"}

# The running clock, not the time at which the transaction began: it may have waited for a lock since.
_SERVER_TIME = text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)")

_UNDEFINED_TABLE = "42P01"  # PostgreSQL's Appendix A; SQLite's word for it is an OperationalError

_OLDEST_PROGRAM = text("SELECT oldest_program FROM schema_compatibility WHERE revision = :revision")

Clock = Callable[[], float]


@dataclass(frozen=True)
class Transaction:
    """An open transaction and its time, in seconds since 1970 by the database's clock."""

    connection: Connection
    now: float

    def execute(self, statement: Executable, **parameters: Any) -> Any:
        """Run one statement."""
        return self.connection.execute(statement, parameters)


def normalised(url: str) -> URL:
    """The URL with our drivers filled in: `postgresql://` and `postgres://` mean psycopg 3."""
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def patience(url: URL, *, unhurried: bool = False) -> dict[str, Any]:
    """How long PostgreSQL and its client wait, for locks and for each other: what the URL does not say itself."""
    wanted = _PATIENCE if unhurried else _PATIENCE | _HURRY
    return {name: value for name, value in wanted.items() if name not in url.query}


def make_engine(url: str, *, unhurried: bool = False) -> Engine:
    """An engine that waits for locks before it fails, and survives a power cut once a commit has returned.

    Args:
        url: SQLite or PostgreSQL.
        unhurried: for migrations, whose statements and waits may take any time; others are bounded.
    """
    parsed = normalised(url)
    if parsed.get_backend_name() != "sqlite":
        # A database in SQL_ASCII would answer in bytes.
        asked = {"client_encoding": "utf8"} | patience(parsed, unhurried=unhurried)
        engine = create_engine(parsed, pool_size=10, pool_pre_ping=True, hide_parameters=True, connect_args=asked)
        if not unhurried:
            from bt_node.jobs.patient_connection import Door  # noqa: PLC0415 - SQLite needs no psycopg

            event.listen(engine, "do_connect", Door().connect)
        return engine
    engine = create_engine(
        parsed,
        pool_size=10,
        max_overflow=40,
        pool_reset_on_return=None,  # every use is a transaction that ends; another rollback costs a C-STORE time
        pool_timeout=LOCK_SECONDS,  # its connections wait for a lock then, and not longer
        hide_parameters=True,
    )
    SqliteFile(Path(parsed.database or ""), unhurried=unhurried).watch(engine)
    return engine


@contextmanager
def trouble_worded() -> Iterator[None]:
    """Word trouble of server, disk or file as BookUnavailableError; mistakes in our statements stay what they are.

    Tables that are not there are no mistake of ours, whose schema was looked at: a dump is being restored.
    """
    try:
        yield
    except ProgrammingError as failure:
        if getattr(failure.orig, "sqlstate", "") == _UNDEFINED_TABLE:
            raise BookUnavailableError("its tables are not there; is a dump being restored?") from failure
        raise
    except (IntegrityError, DataError):
        raise
    except DBAPIError as failure:
        raise BookUnavailableError(str(failure.orig)) from failure
    except PoolTimeoutError as failure:
        raise BookUnavailableError("no free connection") from failure


class Database:
    """Transactions for the job book. SQLite has one writer at a time; PostgreSQL locks rows."""

    def __init__(self, url: str, *, now: Clock | None = None) -> None:
        self._engine = make_engine(url)
        self._now = now

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that may write; committed at the end, rolled back when anything is raised."""
        with self._transaction(writes=True) as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads."""
        with self._transaction(writes=False) as transaction:
            yield transaction

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Transaction]:
        with trouble_worded(), self._engine.connect() as connection:
            connection.execution_options(**{WRITES: writes})
            with connection.begin():
                yield Transaction(connection, self._time(connection))

    def _time(self, connection: Connection) -> float:
        if self._now is not None:
            return self._now()
        if connection.dialect.name == "sqlite":
            return time.time()  # SQLite runs in this process and has no other clock
        return float(connection.execute(_SERVER_TIME).scalar_one())

    def require_schema(self) -> None:
        """Refuse to work on a database whose schema this program does not know.

        A newer schema is fine where its migrations only added to what this program knows, and say so: during an
        upgrade, programs of both versions work side by side.

        Raises:
            SchemaError: it has none, an older one, or a newer one that does not say so.
            BookUnavailableError: it cannot be reached.
        """
        file = self._engine.url.database if self._engine.dialect.name == "sqlite" else None
        with file_trouble_worded():
            missing = file is not None and not Path(file).exists()
        current = None if missing else self._revision()
        if current != SCHEMA_REVISION and not self._says_that_we_may(current):
            raise SchemaError(current, SCHEMA_REVISION)

    def _says_that_we_may(self, current: str | None) -> bool:
        if current is None or current < SCHEMA_REVISION:  # revisions are numbered
            return False
        with self.read() as tx:
            if not tx.connection.dialect.has_table(tx.connection, "schema_compatibility"):
                return False
            oldest = tx.execute(_OLDEST_PROGRAM, revision=current).scalar_one_or_none()
        return oldest is not None and oldest <= SCHEMA_REVISION

    def _revision(self) -> str | None:
        with self.read() as tx:
            if not tx.connection.dialect.has_table(tx.connection, "alembic_version"):
                return None
            return tx.connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()
