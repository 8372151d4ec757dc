"""Tells the audit trail who was refused, without letting a stranger who knocks all day fill it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from bt_node.domain.audit import AuditEvent, AuditRecord, Outcome
from bt_node.runtime.edges import log_error

logger = logging.getLogger(__name__)

_AGAIN_AFTER_S = 600.0
_REMEMBERED = 1024


class AuditBook(Protocol):
    """The part of the job book that the audit trail needs."""

    def note_audit(self, record: AuditRecord) -> None:
        """Add a record."""


class RefusalAlerts:
    """One entry for each caller, address and reason within ten minutes; safe for many threads."""

    def __init__(self, book: AuditBook, listener: str) -> None:
        self._book, self._listener = book, listener
        self._lock = threading.Lock()
        self._told_at: dict[tuple[str, str, str], float] = {}

    def refused(self, calling: str, address: str, detail: str) -> None:
        """Note that a peer was refused, by what it called itself ("" where it did not come so far). Never raises."""
        if not self._is_new((calling, address, detail)):
            return
        record = AuditRecord(
            event=AuditEvent.REFUSED,
            actor=self._listener,
            peer="".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in calling),
            address=address,
            detail=detail,
            outcome=Outcome.MINOR_FAILURE,
        )
        try:
            self._book.note_audit(record)
        except Exception as error:  # noqa: BLE001 - edge: who is refused is refused, whatever the database does
            log_error(logger, "a refused association could not be told to the audit trail", error)

    def _is_new(self, key: tuple[str, str, str]) -> bool:
        now = time.monotonic()
        with self._lock:
            told_at = self._told_at.get(key)
            if told_at is not None and now - told_at < _AGAIN_AFTER_S:
                return False
            if len(self._told_at) >= _REMEMBERED:
                # Somebody who invents names: what is forgotten here is at worst told once more.
                self._told_at.pop(min(self._told_at, key=lambda each: self._told_at[each]))
            self._told_at[key] = now
            return True


def note_stopped(book: AuditBook, process: str, part: str) -> None:
    """Tell the trail that a process ends; one that cannot tell ends all the same."""
    try:
        book.note_audit(AuditRecord(AuditEvent.STOPPED, process, detail=part))
    except Exception as error:  # noqa: BLE001 - edge: the process is on its way out
        log_error(logger, f"the end of the {part} could not be told to the audit trail", error)
