"""Records what several associations stored in one transaction: one commit, and so one sync, for all that wait.

Nobody's answer waits for a timer: whoever comes while nothing is being recorded records at once, alone; whoever
comes meanwhile waits for that to end, and then the first of them records for all. (SQLite has one writer at a time,
and lets the others sleep and try again; that took longer than the commit.)
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from bt_node.domain.errors import BookUnavailableError
from bt_node.domain.receipt import ReceivedInstance
from bt_node.receive.ports import ReceiptBook

_MOST_AT_ONCE = 64


@dataclass(eq=False)
class _Waiting:
    instance: ReceivedInstance
    association: str
    turn: threading.Event | None  # None for who records at once, for itself and whoever has come by then
    done: bool = False
    failure: Exception | None = None


class GroupRecorder:
    """`record` of any number of threads, in as few transactions as they allow."""

    def __init__(self, book: ReceiptBook) -> None:
        self._book = book
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._recording = False

    def record(self, instance: ReceivedInstance, association: str) -> None:
        """Return when the instance is recorded.

        Raises:
            InstanceConflictError: the SOPInstanceUID is recorded with another digest.
            Exception: what the book raised; nothing of this transaction is recorded.
        """
        with self._lock:
            mine = _Waiting(instance, association, threading.Event() if self._recording else None)
            self._waiting.append(mine)
            self._recording = True
        if mine.turn is not None:
            mine.turn.wait()
        if not mine.done:
            self._record_for_all()
        if mine.failure is not None:
            raise mine.failure

    def _record_for_all(self) -> None:
        with self._lock:
            together, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
        if not self._try(together) and len(together) > 1 and not self._book_is_away(together):
            for each in together:  # one may be to blame: the others need not suffer for it
                self._try([each])
        with self._lock:
            if self._waiting:
                _wake(self._waiting[0])  # the next to record for all
            else:
                self._recording = False
        for each in together:
            _wake(each)

    @staticmethod
    def _book_is_away(together: list[_Waiting]) -> bool:
        """Nobody's row is to blame, and to try each would cost everyone the patience for each."""
        return isinstance(together[0].failure, BookUnavailableError)

    def _try(self, together: list[_Waiting]) -> bool:
        """Record these; False where none was, and why is noted with each."""
        try:
            conflicts = self._book.record_instances([(each.instance, each.association) for each in together])
        except Exception as error:  # noqa: BLE001 - handed to everyone whose row it was
            for each in together:
                each.done, each.failure = True, error
            return False
        for each, conflict in zip(together, conflicts, strict=True):
            each.done, each.failure = True, conflict
        return True


def _wake(waiting: _Waiting) -> None:
    if waiting.turn is not None:
        waiting.turn.set()
