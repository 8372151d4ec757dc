"""Wakes other processes when there is work (PostgreSQL's NOTIFY). It only shortens waiting: everybody still looks.

Inside a transaction that makes a job READY or DELIVERING a notification is sent, which the server gives out when the
transaction is committed. SQLite has none; there the worker looks every `claim_seconds`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text

from bt_node.domain.states import JobState
from bt_node.jobs.database import normalised, patience

logger = logging.getLogger(__name__)

_CHANNEL = "bt_node_jobs"
_NOTIFY = text("SELECT pg_notify(:channel, :state)")
_TOLD = (JobState.READY, JobState.DELIVERING)
_LOOK_UP_SECONDS = 1.0  # how often the listening thread asks whether it should end
_LONGEST_PAUSE_SECONDS = 10.0

Told = Callable[[JobState], None]


def tell(connection: Connection, state: JobState) -> None:
    """Have whoever listens know, once this transaction is committed, that a job is in `state` now."""
    if state in _TOLD and connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY, {"channel": _CHANNEL, "state": state.value})


class Ear:
    """Listens in a thread of its own, and connects again for as long as it takes. On SQLite it does nothing."""

    def __init__(self, url: str, told: Told) -> None:
        parsed = normalised(url)
        self._url = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        self._patience = patience(parsed)
        self._told, self._stopped = told, threading.Event()
        self._listening = threading.Event()
        self._thread: threading.Thread | None = None
        if parsed.get_backend_name() == "postgresql":
            self._thread = threading.Thread(target=self._keep_listening, name="wake-up", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        if self._thread is not None:
            self._thread.start()

    def stop(self) -> None:
        """End; waits for the thread."""
        self._stopped.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def listens(self, seconds: float) -> bool:
        """Whether it is connected within so many seconds."""
        return self._listening.wait(seconds)

    def _keep_listening(self) -> None:
        import psycopg  # noqa: PLC0415 - SQLite needs none

        from bt_node.jobs.patient_connection import PatientConnection  # noqa: PLC0415

        pause = 1.0
        while not self._stopped.is_set():
            try:
                with PatientConnection.connect(self._url, autocommit=True, **self._patience) as connection:
                    connection.execute(f"LISTEN {_CHANNEL}")
                    self._listening.set()
                    pause = 1.0
                    self._hear_all(connection)
            except psycopg.Error as away:
                logger.warning("no wake-up calls from the database (%s); looking all the same", type(away).__name__)
            self._listening.clear()
            self._stopped.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _hear_all(self, connection: Any) -> None:
        for state in _TOLD:  # what was told before we listened
            self._told(state)
        while not self._stopped.is_set():
            for note in connection.notifies(timeout=_LOOK_UP_SECONDS, stop_after=1):
                self._told(JobState(note.payload))
