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
_OF_ONE_ADDRESS = 16
_NO_MORE = "; what else comes from this address is not told for a while"


class AuditBook(Protocol):
    """The part of the job book that the audit trail needs."""

    def note_audit(self, record: AuditRecord) -> None:
        """Add a record."""


class RefusalAlerts:
    """One entry for each caller, address and reason within ten minutes; safe for many threads.

    The trail is never shortened, and names cost nothing to invent: of one address, and in all, only so many are told
    within that time. The log has the others.
    """

    def __init__(self, book: AuditBook, listener: str) -> None:
        self._book, self._listener = book, listener
        self._lock = threading.Lock()
        self._told_at: dict[tuple[str, str, str], float] = {}

    def refused(self, calling: str, address: str, detail: str) -> None:
        """Note that a peer was refused, by what it called itself ("" where it did not come so far). Never raises."""
        left = self._left_for((calling, address, detail))
        if not left:
            return
        record = AuditRecord(
            event=AuditEvent.REFUSED,
            actor=self._listener,
            peer="".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in calling),
            address=address,
            detail=detail + (_NO_MORE if left == 1 else ""),
            outcome=Outcome.MINOR_FAILURE,
        )
        try:
            self._book.note_audit(record)
        except Exception as error:  # noqa: BLE001 - edge: who is refused is refused, whatever the database does
            log_error(logger, "a refused association could not be told to the audit trail", error)

    def _left_for(self, key: tuple[str, str, str]) -> int:
        """How many the address may have told from this one on; 0: this one is not told."""
        now = time.monotonic()
        with self._lock:
            told_at = self._told_at.get(key)
            if told_at is not None and now - told_at < _AGAIN_AFTER_S:
                return 0
            self._told_at = {each: at for each, at in self._told_at.items() if now - at < _AGAIN_AFTER_S}
            of_address = sum(address == key[1] for _, address, _ in self._told_at)
            if of_address >= _OF_ONE_ADDRESS or len(self._told_at) >= _REMEMBERED:
                return 0
            self._told_at[key] = now
            return _OF_ONE_ADDRESS - of_address


def note_stopped(book: AuditBook, process: str, part: str) -> None:
    """Tell the trail that a process ends; one that cannot tell ends all the same."""
    try:
        book.note_audit(AuditRecord(AuditEvent.STOPPED, process, detail=part))
    except Exception as error:  # noqa: BLE001 - edge: the process is on its way out
        log_error(logger, f"the end of the {part} could not be told to the audit trail", error)
