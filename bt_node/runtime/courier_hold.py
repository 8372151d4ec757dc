"""One courier at a time for each destination, whichever worker it belongs to, on however many machines."""

from __future__ import annotations

import logging
import os
import socket
import threading
from types import TracebackType
from typing import Protocol, Self

from bt_node.runtime.edges import log_error

logger = logging.getLogger(__name__)

# A worker that dies holds a destination up for so long at most; sending twice would do no harm.
_SECONDS = 15.0
_RENEW_EVERY_SECONDS = _SECONDS / 4


class DestinationBook(Protocol):
    """The part of the job book that a hold needs."""

    def take_destination(self, name: str, courier: str, seconds: float) -> bool:
        """Be the one courier for so long; False while another one is."""
        ...

    def leave_destination(self, name: str, courier: str) -> None:
        """Let the next courier have it."""
        ...


class DestinationHold:
    """Holds a destination for the length of a `with` block, renewed from a thread; false where another has it."""

    def __init__(self, book: DestinationBook, name: str) -> None:
        self._book, self._name = book, name
        # The thread's number too: two workers in one process are two couriers.
        self._courier = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"courier-{name}", daemon=True)
        self._taken = False

    def __enter__(self) -> Self:
        self._taken = self._book.take_destination(self._name, self._courier, _SECONDS)
        if self._taken:
            self._thread.start()
        return self

    def __bool__(self) -> bool:
        return self._taken

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._taken:
            return
        self._ended.set()
        self._thread.join()
        self._book.leave_destination(self._name, self._courier)

    def _keep(self) -> None:
        while not self._ended.wait(_RENEW_EVERY_SECONDS):
            try:
                self._book.take_destination(self._name, self._courier, _SECONDS)
            except Exception as error:  # noqa: BLE001 - thread edge: the next renewal may find the database again
                log_error(logger, f"destination {self._name}: hold", error)
