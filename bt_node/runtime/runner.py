"""One claimed job: trip, then job book. The edge between one study and the next."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

from bt_node.domain.errors import BookUnavailableError, LeaseLostError
from bt_node.domain.follow_up import FormerStudy
from bt_node.domain.result import EncodedObject
from bt_node.jobs import ClaimedJob, JobBook, RunRecord, StoredResult, UnansweredReport
from bt_node.pipeline.verdicts import NextStep, next_step
from bt_node.receive.spool import Spool
from bt_node.runtime.edges import log_error
from bt_node.runtime.journey import Arrival, Journey, Traveller
from bt_node.runtime.lease import Lease, WorkerStoppingError

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 5.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class RunnerSettings:
    """How one worker treats jobs. Seconds are the database's; destinations are names from the configuration."""

    worker: str
    lease_seconds: float
    max_attempts: int
    retry_pause_seconds: float
    destinations: tuple[str, ...]
    not_answered_report: bool = False  # send a short report that says why, where a study is not answered


class StudyRunner:
    """Claims jobs one after another, has each travel, and writes down what came of it."""

    def __init__(self, book: JobBook, spool: Spool, traveller: Traveller, settings: RunnerSettings) -> None:
        self._book, self._spool = book, spool
        self._traveller, self._settings = traveller, settings
        self.stopping = threading.Event()
        self._claim_unheard = False

    def run_next(self) -> bool:
        """Claim and run one job. False when there is none, or the worker is stopping."""
        if not self.prepare():  # before a job is taken: loading models is no attempt of a study
            return False
        job = self._claim()
        if job is None:
            return False
        logger.info("job %d: claimed, attempt %d, %d instances", job.id, job.attempt, len(job.instances))
        with Lease(self._book, job.id, job.token, self._settings.lease_seconds, self.stopping) as lease:
            try:
                self._run(job, lease)
            except LeaseLostError as lost:  # whoever holds the job now decides
                log_error(logger, f"job {job.id}", lost)
            except WorkerStoppingError as stopped:
                self._hand_back(job, stopped)
        return True

    def _claim(self) -> ClaimedJob | None:
        """The next job. One whose claim was committed without our hearing so goes back first: it is no attempt."""
        if self._claim_unheard:
            for job_id in self._book.hand_back_all(self._settings.worker):
                logger.warning("job %d: handed back, the answer to its claim was lost", job_id)
            self._claim_unheard = False
        try:
            return self._book.claim(self._settings.worker, self._settings.lease_seconds)
        except BookUnavailableError:
            self._claim_unheard = True
            raise

    def prepare(self) -> bool:
        """Have the models loaded. False when the worker is stopping.

        Raises:
            TripStartError: they cannot be loaded.
        """
        try:
            self._go_on()
            self._traveller.prepare(self._go_on)
            self._go_on()
        except WorkerStoppingError:
            return False
        return True

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise WorkerStoppingError

    def _run(self, job: ClaimedJob, lease: Lease) -> None:
        follower = _Follower(self._book, job, lease, self.stopping)
        try:
            arrival = self._traveller.travel(self._journey(job), follower)
            self._write_down(job, arrival)
        except (LeaseLostError, WorkerStoppingError):
            raise
        except Exception as error:  # noqa: BLE001 - edge: one study never stops the next
            log_error(logger, f"job {job.id}", error)
            self._finish(job, Arrival(RunRecord(timings_s=follower.timings_s), step=self._step(job, error)), [])

    def _journey(self, job: ClaimedJob) -> Journey:
        return Journey(
            job_id=job.id,
            attempt=job.attempt,
            analysed_at=job.analysed_at,
            paths={each.sop_instance_uid: self._spool.absolute(each.path) for each in job.instances},
            received={each.sop_instance_uid: (each.digest, each.transfer_syntax_uid) for each in job.instances},
            images=tuple(each.sop_instance_uid for each in job.instances if each.is_image),
            earlier_reports=job.earlier_reports,
            assigned=job.assigned,
            gaps=job.gaps,
            max_attempts=self._settings.max_attempts,
            pause_seconds=self._settings.retry_pause_seconds,
            explain=self._settings.not_answered_report,
        )

    def _step(self, job: ClaimedJob, error: Exception) -> NextStep:
        return next_step(
            error,
            attempt=job.attempt,
            max_attempts=self._settings.max_attempts,
            pause_seconds=self._settings.retry_pause_seconds,
        )

    def _write_down(self, job: ClaimedJob, arrival: Arrival) -> None:
        started = time.monotonic()
        stored = self._store(job.id, arrival.objects)
        report = self._store(job.id, arrival.unanswered)
        if arrival.step is not None:
            self._finish(job, arrival, report)
            return
        took = {"store": round(time.monotonic() - started, 3)}
        facts = replace(arrival.record, timings_s=arrival.record.timings_s | took)
        if arrival.held_because:
            why = " ".join(arrival.held_because)
            state = insist(lambda: self._book.keep(job.id, job.token, facts, [*stored, *report], why), self.stopping)
        else:
            destinations = self._settings.destinations
            state = insist(lambda: self._book.publish(job.id, job.token, facts, stored, destinations), self.stopping)
        logger.info("job %d: %s with %d result objects", job.id, state.value, len(stored))

    def _store(self, job_id: int, objects: Sequence[EncodedObject]) -> list[StoredResult]:
        """Results are on disk before the job book names them, so that a crash can only leave a file too many."""
        stored = []
        for item in objects:
            path = self._spool.store_result(job_id, item.sop_instance_uid, item.content)
            stored.append(StoredResult.of(item, path, hashlib.sha256(item.content).hexdigest()))
        return stored

    def _finish(self, job: ClaimedJob, arrival: Arrival, report: Sequence[StoredResult]) -> None:
        step = arrival.step
        assert step is not None  # noqa: S101 - the caller has looked
        facts = replace(arrival.record, unanswered=UnansweredReport(tuple(report), self._settings.destinations))
        insist(
            lambda: self._book.finish(
                job.id, job.token, step.target, step.code, step.reason, facts, step.retry_in_seconds
            ),
            self.stopping,
        )
        logger.info("job %d: %s (%s)", job.id, step.target.value, step.code)

    def _hand_back(self, job: ClaimedJob, stopped: WorkerStoppingError) -> None:
        """The job is READY at once, and this attempt does not count. Without the database its lease runs out."""
        try:
            self._book.hand_back(job.id, job.token, stopped.code, str(stopped))
        except (LeaseLostError, BookUnavailableError) as error:
            log_error(logger, f"job {job.id}", error)


def insist(action: Callable[[], _T], stopping: threading.Event) -> _T:
    """Do something in the job book; wait for a database that is away.

    A commit whose answer was lost is not done twice: the job is no longer this worker's then, and the second try says
    LeaseLostError.

    Raises:
        WorkerStoppingError: the worker stops while the database is away.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return action()
        except BookUnavailableError as away:
            log_error(logger, "the job book is away; waiting", away)
        if stopping.wait(pause):
            raise WorkerStoppingError
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class _Follower:
    """Follows one trip from the worker's side: lease, job book."""

    def __init__(self, book: JobBook, job: ClaimedJob, lease: Lease, stopping: threading.Event) -> None:
        self._book, self._job, self._lease, self._stopping = book, job, lease, stopping
        self.timings_s: dict[str, float] = {}

    def check(self) -> None:
        """Go on only while the job is ours and the worker is not stopping."""
        self._lease.check()

    def stage_begins(self, stage: str) -> None:
        """Nothing is written: the stages that ended tell."""

    def stage_done(self, stage: str, seconds: float) -> None:
        """Shown while the job runs; a database that is away misses a line that `finish` brings later."""
        self.timings_s[stage] = seconds
        try:
            self._book.note_stage(self._job.id, self._job.token, stage, seconds)
        except BookUnavailableError as away:
            log_error(logger, f"job {self._job.id}, stage {stage}", away)

    def former(self, patient_hash: str, before: date) -> FormerStudy | None:
        """The patient's former study; it is never the job itself."""
        return insist(lambda: self._book.former_study(patient_hash, before, self._job.id), self._stopping)
