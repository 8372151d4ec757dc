"""Brings results to one destination. Each destination has a courier of its own, so none waits for another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from bt_node.deliver.pause import pause_before_attempt
from bt_node.deliver.peer import OutgoingFile, Peer
from bt_node.deliver.send import send
from bt_node.domain.result import SendOutcome
from bt_node.jobs import DueDelivery, JobBook
from bt_node.receive.spool import Spool

logger = logging.getLogger(__name__)

_OBJECTS_PER_ROUND = 100


@dataclass(frozen=True)
class CourierSettings:
    """Pauses grow from first to longest; after `give_up_seconds` since the first try a delivery is FAILED."""

    calling_ae_title: str
    timeout_seconds: float
    first_pause_seconds: float
    longest_pause_seconds: float
    give_up_seconds: float


class Courier:
    """Sends what is due for one destination and writes down each answer."""

    def __init__(self, name: str, peer: Peer, book: JobBook, spool: Spool, settings: CourierSettings) -> None:
        self.name, self._peer = name, peer
        self._book, self._spool, self._settings = book, spool, settings

    def deliver_due(self) -> int:
        """Send everything due now, one association a job. Returns the number of objects delivered."""
        delivered = 0
        due = self._book.due_deliveries(self.name, _OBJECTS_PER_ROUND)
        for job_id, group in groupby(due, key=lambda item: item.job_id):
            delivered += self._deliver_job(job_id, tuple(group))
        return delivered

    def _deliver_job(self, job_id: int, due: Sequence[DueDelivery]) -> int:
        files = [
            OutgoingFile(self._spool.root / item.path, item.sop_class_uid, item.sop_instance_uid) for item in due
        ]
        outcomes = send(self._peer, self._settings.calling_ae_title, files, self._settings.timeout_seconds)
        for item, outcome in zip(due, outcomes, strict=True):
            self._write_down(item, outcome)
        state = self._book.settle_deliveries(job_id)
        delivered = sum(outcome.delivered for outcome in outcomes)
        logger.info(
            "job %d: %d of %d objects delivered to %s, job is %s", job_id, delivered, len(due), self.name, state.value
        )
        return delivered

    def _write_down(self, item: DueDelivery, outcome: SendOutcome) -> None:
        settings = self._settings
        pause = pause_before_attempt(item.attempts + 1, settings.first_pause_seconds, settings.longest_pause_seconds)
        give_up = not outcome.delivered and item.age_seconds + pause > settings.give_up_seconds
        if not outcome.delivered:
            logger.warning("job %d: %s at %s: %s", item.job_id, item.sop_instance_uid, self.name, outcome.detail)
        self._book.record_delivery(
            item.job_id,
            self.name,
            outcome,
            next_attempt_in=None if outcome.delivered or give_up else pause,
            give_up=give_up,
        )
