"""Connections to PostgreSQL that do not wait for ever for a server that is there and answers nothing.

The kernel of a server whose processes stand still acknowledges what is sent: no timeout of TCP ends the wait.
Imported only where the job book is PostgreSQL; SQLite needs no psycopg.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.errors import ConnectionTimeout, _WaitTimeout

# Longer than the server's own bound on a statement: a server that can still say what is wrong does.
ANSWER_WITHIN_SECONDS = 25.0
SPARED_SECONDS = 5.0
_LOOK_UP_SECONDS = 0.1  # psycopg's own


class PatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself when the server answers nothing. Who listens for calls sets its own time."""

    gave_up: Callable[[], None] | None = None

    def wait(self, gen: PQGen[RV], interval: float = _LOOK_UP_SECONDS, timeout: float | None = None) -> RV:
        """All of psycopg's waiting goes through this: statements, commits, rollbacks, and the pool's ping."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, ANSWER_WITHIN_SECONDS)
        except _WaitTimeout:
            self.close()  # an answer may come yet, and would be taken for that to the next question
            if self.gave_up is not None:
                self.gave_up()
            raise psycopg.OperationalError(f"the server answered nothing for {ANSWER_WITHIN_SECONDS:g} s") from None


class Door:
    """Opens an engine's connections; right after somebody waited in vain none, so that others are not kept as long.

    The pool asks for a new connection where an old one was given up, and would keep its caller twice.
    """

    def __init__(self) -> None:
        self._closed_until = 0.0

    def connect(
        self, _dialect: object, _record: object, args: Sequence[Any], parameters: dict[str, Any]
    ) -> PatientConnection:
        """SQLAlchemy's event `do_connect`."""
        if time.monotonic() < self._closed_until:
            raise psycopg.OperationalError("the server answered nothing a moment ago")
        try:
            connection = PatientConnection.connect(*args, **parameters)
        except ConnectionTimeout:
            self._close()
            raise
        connection.gave_up = self._close
        return connection

    def _close(self) -> None:
        self._closed_until = time.monotonic() + SPARED_SECONDS
