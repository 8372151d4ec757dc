"""One claimed job: trip, then job book. The edge between one study and the next."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bt_node.domain.errors import FilesLostError, Hold, LeaseLostError, Reject
from bt_node.domain.result import EncodedObject
from bt_node.domain.states import JobState
from bt_node.encode.not_answered import Unanswered, encode_not_answered
from bt_node.encode.results import NodeIdentity
from bt_node.jobs import ClaimedJob, JobBook, RunRecord, StoredResult, UnansweredReport
from bt_node.pipeline.follow_up import Memory
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import Models, StudyFiles, run_trip
from bt_node.pipeline.verdicts import next_step
from bt_node.receive.spool import Spool
from bt_node.runtime.edges import log_error
from bt_node.runtime.lease import Lease, WorkerStoppingError

logger = logging.getLogger(__name__)


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
    """Claims jobs one after another and takes each through its trip; without a site `key` there are no follow-ups."""

    def __init__(
        self,
        book: JobBook,
        spool: Spool,
        models: Models,
        node: NodeIdentity,
        settings: RunnerSettings,
        key: bytes | None = None,
    ) -> None:
        self._book, self._spool, self._models = book, spool, models
        self._node, self._settings, self._key = node, settings, key
        self.stopping = threading.Event()

    def run_next(self) -> bool:
        """Claim and run one job. False when there is none, or the worker is stopping."""
        if self.stopping.is_set():
            return False
        job = self._book.claim(self._settings.worker, self._settings.lease_seconds)
        if job is None:
            return False
        logger.info("job %d: claimed, attempt %d, %d instances", job.id, job.attempt, len(job.instances))
        with Lease(self._book, job.id, job.token, self._settings.lease_seconds, self.stopping) as lease:
            record = TripRecord(
                checkpoint=lease.check,
                stage_done=lambda stage, seconds: self._book.note_stage(job.id, job.token, stage, seconds),
            )
            try:
                self._travel(job, record)
            except Exception as error:  # noqa: BLE001 - edge: one study never stops the next
                self._end(job, record, error)
        return True

    def _travel(self, job: ClaimedJob, record: TripRecord) -> None:
        with record.stage("gather"):
            study = StudyFiles(
                self._paths(job), job.analysed_at, job.earlier_reports, job.assigned, job.gaps, self._memory(job)
            )
        outcome = run_trip(study, self._models, self._node, record)
        with record.stage("store"):
            stored = self._store(job.id, outcome.objects)
        if outcome.held_because:
            why = " ".join(outcome.held_because)
            kept = [*stored, *self._why_not_answered(job, why)]
            state = self._book.keep(job.id, job.token, _facts(record), kept, why)
        else:
            state = self._book.publish(job.id, job.token, _facts(record), stored, self._settings.destinations)
        logger.info("job %d: %s with %d result objects", job.id, state.value, len(stored))

    def _memory(self, job: ClaimedJob) -> Memory | None:
        """How the study finds the patient's former one; it is never its own."""
        if self._key is None:
            return None
        return Memory(self._key, lambda patient, day: self._book.former_study(patient, day, job.id), self._spool.root)

    def _paths(self, job: ClaimedJob) -> dict[str, Path]:
        paths = {instance.sop_instance_uid: self._spool.root / instance.path for instance in job.instances}
        lost = [sop_instance_uid for sop_instance_uid, path in paths.items() if not path.is_file()]
        if lost:
            raise FilesLostError(lost, of=len(paths))
        return paths

    def _store(self, job_id: int, objects: Sequence[EncodedObject]) -> list[StoredResult]:
        """Results are on disk before the job book names them, so that a crash can only leave a file too many."""
        stored = []
        for item in objects:
            path = self._spool.store_result(job_id, item.sop_instance_uid, item.content)
            stored.append(StoredResult.of(item, path, hashlib.sha256(item.content).hexdigest()))
        return stored

    def _end(self, job: ClaimedJob, record: TripRecord, error: Exception) -> None:
        log_error(logger, f"job {job.id}", error)
        if isinstance(error, LeaseLostError):
            return  # whoever holds the job now decides
        if isinstance(error, WorkerStoppingError):
            self._finish(job, record, JobState.READY, error.code, str(error), 0.0)
            return
        step = next_step(
            error,
            attempt=job.attempt,
            max_attempts=self._settings.max_attempts,
            pause_seconds=self._settings.retry_pause_seconds,
        )
        report = self._why_not_answered(job, error.message) if isinstance(error, Hold | Reject) else []
        self._finish(job, record, step.target, step.code, step.reason, step.retry_in_seconds, report)

    def _why_not_answered(self, job: ClaimedJob, why: str) -> list[StoredResult]:
        """The report that says so, where the site wants one; a study that it cannot be made of ends all the same.

        Of a HELD study it is made now as well, and waits with the rest: a person who rejects only has the job book.
        """
        if not self._settings.not_answered_report:
            return []
        images = {each.sop_instance_uid: self._spool.root / each.path for each in job.instances if each.is_image}
        try:
            asked = Unanswered(images, why, job.analysed_at, self._node, job.earlier_reports)
            return self._store(job.id, [encode_not_answered(asked)])
        except Exception as error:  # noqa: BLE001 - edge: whatever made the study unfit may break this too
            log_error(logger, f"job {job.id}, report that it is not answered", error)
            return []

    def _finish(
        self,
        job: ClaimedJob,
        record: TripRecord,
        target: JobState,
        code: str,
        reason: str,
        retry_in: float | None,
        report: Sequence[StoredResult] = (),
    ) -> None:
        try:
            facts = replace(_facts(record), unanswered=UnansweredReport(tuple(report), self._settings.destinations))
            self._book.finish(job.id, job.token, target, code, reason, facts, retry_in_seconds=retry_in)
        except LeaseLostError as lost:
            log_error(logger, f"job {job.id}", lost)


def _facts(record: TripRecord) -> RunRecord:
    return RunRecord(
        roles=record.roles,
        set_aside=record.set_aside,
        findings=record.findings,
        timings_s=record.timings_s,
        remembered=record.remembered,
    )
