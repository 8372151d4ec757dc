"""A lease kept alive while a study travels."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Protocol, Self

from bt_node.domain.errors import BtNodeError, LeaseLostError
from bt_node.runtime.edges import log_error

logger = logging.getLogger(__name__)

_RENEWALS_PER_LEASE = 4
_AGAIN_SECONDS = 1.0  # after a renewal that found no database


class LeaseBook(Protocol):
    """The part of the job book that a lease needs."""

    def renew_lease(self, job_id: int, token: int, lease_seconds: float) -> bool:
        """Prolong the lease; False when this token no longer owns the job."""
        ...


class WorkerStoppingError(BtNodeError):
    """The worker was asked to stop; the job goes back to READY."""

    code = "worker-stopping"

    def __init__(self) -> None:
        super().__init__("The worker was stopped; the job is handed back.")


class Lease:
    """Renews a job's lease from a thread of its own; `check` tells the trip when it must end.

    The thread may miss any number of renewals (database away): the lease counts as lost only when the book says so.
    Whoever has the job by then is told apart by his token, and what is computed is kept until the book can say.
    """

    def __init__(
        self, book: LeaseBook, job_id: int, token: int, lease_seconds: float, stopping: threading.Event
    ) -> None:
        self._book, self._job_id, self._token = book, job_id, token
        self._seconds = lease_seconds
        self._stopping = stopping
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=self._seconds)

    def check(self) -> None:
        """Go on only while the job is ours and the worker is not stopping.

        Raises:
            LeaseLostError: another worker owns the job, or an operator cancelled it.
            WorkerStoppingError: the process is going down.
        """
        if self._lost:
            raise LeaseLostError(self._job_id)
        if self._stopping.is_set():
            raise WorkerStoppingError

    def _keep(self) -> None:
        usual = pause = self._seconds / _RENEWALS_PER_LEASE
        while not self._ended.wait(pause):
            try:
                renewed = self._book.renew_lease(self._job_id, self._token, self._seconds)
            except Exception as error:  # noqa: BLE001 - thread edge: the next renewal may find the database again
                log_error(logger, f"job {self._job_id}: lease renewal", error)
                pause = min(usual, _AGAIN_SECONDS)
                continue
            pause = usual
            if not renewed:
                self._lost = True
                return
