"""The job book's SQLite file: how long its lock is waited for, and whether it still is the file that was opened."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from bt_node.domain.errors import BookUnavailableError

WRITES = "bt_node_writes"
# As long as PostgreSQL's lock_timeout. A migration may take any time.
LOCK_SECONDS = 10.0
_UNHURRIED_SECONDS = 600.0
# Who waited in vain tells the others: for so long nobody waits as long again. A C-STORE asks up to three times.
_SPARED_SECONDS = 5.0
_SHORT_SECONDS = 0.1
_PRIMARY_CODE = 0xFF  # https://www.sqlite.org/rescode.html#primary_result_codes_versus_extended_result_codes
_TIMEOUT = "bt_node_busy_timeout"


@contextmanager
def file_trouble_worded() -> Iterator[None]:
    """Word what the file system says of the file or its folder (no rights, read-only) as BookUnavailableError."""
    try:
        yield
    except OSError as failure:
        why = (failure.strerror or type(failure).__name__).lower()
        raise BookUnavailableError(f"{failure.filename}: {why}") from failure


class SqliteFile:
    """Watches over all connections of one engine."""

    def __init__(self, file: Path, *, unhurried: bool) -> None:
        self._file, self._unhurried = file, unhurried
        self._opened: tuple[int, int] | None = None
        self._spared_until = 0.0

    def watch(self, engine: Engine) -> None:
        """Be heard at every connection and transaction of the engine."""
        event.listen(engine, "do_connect", self._before_connecting)
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", self._begin)
        event.listen(engine, "handle_error", self._failed)

    def _before_connecting(self, *_: object) -> None:
        self._require_same()  # SQLite would make a new, empty file

    def _prepare(self, connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin by itself, too late for BEGIN IMMEDIATE
        connection.execute(f"PRAGMA busy_timeout={round(self._lock_seconds() * 1000)}").close()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()
        if self._opened is None:
            self._opened = self._identity()

    def _begin(self, connection: Connection) -> None:
        self._require_same()
        milliseconds = round(self._lock_seconds() * 1000)
        if connection.info.get(_TIMEOUT) != milliseconds:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={milliseconds}")
            connection.info[_TIMEOUT] = milliseconds
        # What reads first and writes later fails at once when another writes between; said at its start, it waits.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    def _lock_seconds(self) -> float:
        if self._unhurried:
            return _UNHURRIED_SECONDS
        return _SHORT_SECONDS if time.monotonic() < self._spared_until else LOCK_SECONDS

    def _failed(self, context: ExceptionContext) -> None:
        error = context.original_exception
        if not isinstance(error, sqlite3.OperationalError) or context.connection is None:
            return
        locked = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
        if locked and context.connection.info.get(_TIMEOUT, 0) > _SHORT_SECONDS * 1000:
            self._spared_until = time.monotonic() + _SPARED_SECONDS

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _require_same(self) -> None:
        """Go on only with the file that was opened: what is written to a deleted one is written nowhere.

        Raises:
            BookUnavailableError: it was deleted, or another one lies in its place.
        """
        if self._opened is not None and self._identity() != self._opened:
            raise BookUnavailableError(
                f"{self._file} was deleted or exchanged while this process had it open; put it back, "
                "or stop listener and worker before a database is exchanged"
            )
