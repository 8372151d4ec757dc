"""The job book: one method for each thing that a process may do to a job, each one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date

from bt_node.domain.audit import AuditEntry, AuditRecord
from bt_node.domain.errors import InstanceConflictError
from bt_node.domain.follow_up import FormerStudy
from bt_node.domain.priority import Priority
from bt_node.domain.receipt import HeldInstance, ReceivedInstance, Refusal
from bt_node.domain.role import NamedVolume, Role
from bt_node.domain.states import JobState
from bt_node.jobs import audit, decisions, operator, receipts, remembered, review, runs, safekeeping, timetable, views
from bt_node.jobs.audit import Verification
from bt_node.jobs.completeness import Decide, by_quiet_time_alone, quiet_studies, write_down
from bt_node.jobs.database import Clock, Database
from bt_node.jobs.delivery_book import DeliveryBook
from bt_node.jobs.values import (
    ClaimedJob,
    HeldLease,
    JobSummary,
    Json,
    RecordedFile,
    RunRecord,
    StoredResult,
    WaitingResult,
)
from bt_node.jobs.waiting import Patience


def open_book(url: str, *, now: Clock | None = None) -> JobBook:
    """Open the job book at a SQLAlchemy URL (SQLite file or PostgreSQL).

    Args:
        url: `sqlite:////absolute/path.db` or `postgresql://user:password@host/database`.
        now: seconds since 1970, for tests that own the time; by default the database's clock.

    Raises:
        SchemaError: the database does not have this program's schema (`upgrade_schema` brings it there).
        BookUnavailableError: the database cannot be reached.
    """
    database = Database(url, now=now)
    database.require_schema()
    return JobBook(database)


class JobBook(DeliveryBook):
    """All that is known about jobs. Safe to share between threads; processes open their own.

    Every method may raise BookUnavailableError. A method that names a job may raise JobNotFoundError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    # ------------------------------------------------------------ listener

    def held_instances(self, sop_instance_uids: Collection[str]) -> dict[str, HeldInstance]:
        """Those of the instances that are recorded, by their UID: SOP class, path in the spool, digest, syntax."""
        with self._database.read() as tx:
            return receipts.held_instances(tx, sop_instance_uids)

    def record_instance(self, instance: ReceivedInstance, association: str) -> None:
        """Note an instance that lies durably in the spool, and that this association has its study open.

        The first instance of a study creates its job in RECEIVING. Recording the same instance again keeps the
        study open and tells retention that it is being sent; an empty `association` (a reconciler) opens nothing.

        Raises:
            InstanceConflictError: a different object (another digest) has this SOPInstanceUID.
        """
        [conflict] = self.record_instances([(instance, association)])
        if conflict is not None:
            raise conflict

    def record_instances(
        self, received: Sequence[tuple[ReceivedInstance, str]]
    ) -> list[InstanceConflictError | None]:
        """`record_instance` of several with their associations in one transaction; for each its conflict, or None."""
        with self._database.write() as tx:
            return receipts.record_instances(tx, received)

    def replace_lost(self, instance: ReceivedInstance) -> bool:
        """The file of a recorded instance was gone, and this one has just been stored in its place: it counts now.

        Returns:
            False where no instance of this SOPInstanceUID is recorded at this path.
        """
        with self._database.write() as tx:
            return receipts.replace_lost(tx, instance)

    def note_refusal(self, refusal: Refusal) -> None:
        """Note a C-STORE that was answered with a failure status."""
        with self._database.write() as tx:
            receipts.note_refusal(tx, refusal)

    def association_closed(self, association: str, address: str = "") -> None:
        """An association (from this network address) ended, in whatever way: it holds no study open any more."""
        with self._database.write() as tx:
            receipts.association_closed(tx, association, address)

    def listener_started(self, listener: str) -> None:
        """A listener starts: forget associations named `{listener}/…` that it had open when it died."""
        with self._database.write() as tx:
            receipts.listener_started(tx, listener)

    # ------------------------------------------------------------ timetable

    def sweep_complete(
        self, quiet_seconds: float, stale_association_seconds: float, decide: Decide = by_quiet_time_alone
    ) -> list[int]:
        """RECEIVING -> READY for studies that are quiet, that no association has open, and that `decide` lets go on.

        An association that sent nothing for `stale_association_seconds` does not count. Each decision is stored with
        its evidence. `decide` is called outside any transaction: it may take its time. Returns the jobs moved.
        """
        with self._database.read() as tx:
            quiet = quiet_studies(tx, quiet_seconds, stale_association_seconds)
        moved = []
        for study in quiet:
            decided = decide(study)
            with self._database.write() as tx:
                if write_down(tx, study, decided, quiet_seconds, stale_association_seconds):
                    moved.append(study.id)
        return moved

    def reopen_changed(self) -> list[int]:
        """READY, DELIVERING or ended -> RECEIVING for jobs that got new images since their inputs were taken.

        A job in delivery is opened only while its results wait for a destination to be tried again.

        Instances that are not images (our own results sent back to us, for example) reopen nothing.
        """
        with self._database.write() as tx:
            return timetable.reopen_changed(tx)

    def held_leases(self) -> list[HeldLease]:
        """The leases of all jobs that run."""
        with self._database.read() as tx:
            return timetable.held_leases(tx)

    def expire_lease(self, lease: HeldLease, max_attempts: int, pause_seconds: float = 0.0) -> bool:
        """RUNNING -> READY for a job whose worker fell silent, or FAILED once `max_attempts` runs were begun.

        The caller has watched the lease for its whole length (`runtime/lease_watch.py`). After the first loss the
        job is due at once, after the second in `pause_seconds`, which double with each further one. False: it was
        renewed, or moved, since.
        """
        with self._database.write() as tx:
            return timetable.expire_lease(tx, lease, max_attempts, pause_seconds)

    def mend_times(self, longest_pause: float, longest_delivery_pause: float) -> None:
        """Take back times that lie in the future because the clock was set back since they were written.

        Nothing was received in the future, and no pause is longer than the longest: otherwise a study would wait for
        as long as the clock was set back.
        """
        with self._database.write() as tx:
            timetable.mend_times(tx, longest_pause, longest_delivery_pause)

    def purge_candidates(self, retention_days: float) -> list[int]:
        """DONE, REJECTED and CANCELLED jobs whose files are older than `retention_days` (0: none, keep for ever)."""
        with self._database.read() as tx:
            return timetable.purge_candidates(tx, retention_days)

    def purge(self, job_id: int, remove: Callable[[Sequence[str]], None]) -> None:
        """Delete the files of a job that `purge_candidates` gave, and forget its instances.

        Job, history and the facts of its results stay. The study may come again: it is then taken up as new.

        Args:
            job_id: which job.
            remove: deletes files by their paths in the spool, those of instances and results; some may be gone. It is
                called while nobody else can write to the job, so that no listener answers for a file that is about
                to go. When it raises, the rows stay, and another round goes on.

        Raises:
            IllegalMoveError: the job is not in a state that may be purged, has new images, or is being sent again.
        """
        with self._database.write() as tx:
            audit.note_deleted(tx, job_id, timetable.purge(tx, job_id, remove))

    def forget_refusals(self, retention_days: float) -> int:
        """Delete refusals older than `retention_days` (0: none); returns how many."""
        with self._database.write() as tx:
            return timetable.forget_refusals(tx, retention_days)

    # ------------------------------------------------------------ reconciler

    def study_paths(self, study_instance_uid: str) -> set[str]:
        """Paths below the spool's root of all instances that are recorded for a study."""
        with self._database.read() as tx:
            return safekeeping.study_paths(tx, study_instance_uid)

    def recorded_by_study(self) -> dict[str, int]:
        """How many instances are recorded, by StudyInstanceUID."""
        with self._database.read() as tx:
            return safekeeping.recorded_by_study(tx)

    def last_paths(self, limit: int) -> list[str]:
        """Paths below the spool's root of the instances that were recorded last, at most so many."""
        with self._database.read() as tx:
            return safekeeping.last_paths(tx, limit)

    def jobs_that_need_files(self) -> list[tuple[int, JobState, str]]:
        """Number, state and code of each job that is not over: the files of its instances must be in the spool."""
        with self._database.read() as tx:
            return safekeeping.jobs_that_need_files(tx)

    def input_files(self, job_id: int) -> dict[str, HeldInstance]:
        """What is recorded of each instance of a job, by SOPInstanceUID."""
        with self._database.read() as tx:
            return safekeeping.input_files(tx, job_id)

    def recorded_after(self, number: int, limit: int) -> list[RecordedFile]:
        """Files of received instances in the order that they were recorded in, from behind one's number."""
        with self._database.read() as tx:
            return safekeeping.recorded_after(tx, number, limit)

    def last_recorded(self) -> int:
        """The greatest number that `recorded_after` knows; 0 where it knows none."""
        with self._database.read() as tx:
            return safekeeping.last_recorded(tx)

    def files_are_back(self, job_id: int) -> bool:
        """HELD -> READY for a job that was held because files were lost or damaged, now that all are there again."""
        with self._database.write() as tx:
            return safekeeping.files_are_back(tx, job_id)

    def waiting_results(self) -> list[WaitingResult]:
        """Results that are to leave, or may leave once a person says so: their files must be what was made."""
        with self._database.read() as tx:
            return safekeeping.waiting_results(tx)

    def make_again(self, job_id: int, damaged: Sequence[str]) -> bool:
        """DELIVERING, HELD or REJECTED -> READY, because result objects `damaged` are gone or not what was made.

        Nothing of a READY job is sent. The run makes the same objects with the same UIDs; what a destination has
        stays sent. False when the job has moved since.
        """
        with self._database.write() as tx:
            return safekeeping.make_again(tx, job_id, damaged)

    def settle_all(self) -> list[int]:
        """Settle jobs in delivery whose deliveries are all over, because a courier died before it could.

        Nothing of theirs is due any more, so no courier would ever look at them again. Returns the jobs moved.
        """
        with self._database.write() as tx:
            return safekeeping.settle_all(tx)

    def unrecorded_results(self, job_id: int, paths: Collection[str]) -> set[str]:
        """Those of the job's result files that no result names; none while the job runs."""
        with self._database.read() as tx:
            return safekeeping.unrecorded_results(tx, job_id, paths)

    # ------------------------------------------------------------ worker

    def claim(self, worker: str, lease_seconds: float) -> ClaimedJob | None:
        """READY -> RUNNING for the most urgent job (priority, then longest wait), or None when there is none."""
        with self._database.write() as tx:
            job = runs.claim(tx, worker, lease_seconds)
            if job:
                audit.note_accessed(tx, job.study_instance_uid, len(job.instances), worker, "read for analysis")
            return job

    def renew_lease(self, job_id: int, token: int, lease_seconds: float) -> bool:
        """Heartbeat. False: the job was taken away (by another worker, or a person); stop working on it."""
        with self._database.write() as tx:
            return runs.renew_lease(tx, job_id, token, lease_seconds)

    def note_stage(self, job_id: int, token: int, stage: str, seconds: float) -> None:
        """A stage of the run has ended after `seconds`; shown while the job runs.

        Raises:
            LeaseLostError: the caller does not hold the job any more.
        """
        with self._database.write() as tx:
            runs.note_stage(tx, job_id, token, stage, seconds)

    def finish(
        self,
        job_id: int,
        token: int,
        target: JobState,
        code: str,
        reason: str,
        record: RunRecord,
        retry_in_seconds: float | None = None,
    ) -> None:
        """End a run that made no results: READY (tried again after `retry_in_seconds`), HELD, REJECTED or FAILED.

        HELD and REJECTED supersede what an earlier run of the study made. The report of `record` that says why there
        is no answer is sent at once of a REJECTED study; of a HELD one it waits until a person rejects the study.

        Raises:
            LeaseLostError: the caller does not hold the job any more; nothing was written.
            IllegalMoveError: a run without results cannot end in `target`.
        """
        with self._database.write() as tx:
            runs.finish(tx, job_id, token, target, code, reason, record, retry_in_seconds)

    def hand_back(self, job_id: int, token: int, code: str, reason: str) -> None:
        """A worker that stops gives its job to the next one: RUNNING -> READY, and the attempt does not count.

        Raises:
            LeaseLostError: the caller does not hold the job any more; nothing was written.
        """
        with self._database.write() as tx:
            runs.hand_back(tx, job_id, token, code, reason)

    def hand_back_all(self, worker: str) -> list[int]:
        """The same for every job of a worker that runs none: it claimed them, and never heard so. Their numbers."""
        with self._database.write() as tx:
            return runs.hand_back_all(tx, worker)

    def keep(
        self, job_id: int, token: int, record: RunRecord, results: Sequence[StoredResult], reason: str
    ) -> JobState:
        """End a run whose results a person must see first: RUNNING -> HELD, the results stored and nothing queued.

        When images arrived during the run nothing is stored, and the job goes back to RECEIVING.

        Returns:
            The state the job is in now.

        Raises:
            LeaseLostError: the caller does not hold the job any more; nothing was written.
        """
        with self._database.write() as tx:
            return runs.keep(tx, job_id, token, record, results, reason)

    def publish(
        self,
        job_id: int,
        token: int,
        record: RunRecord,
        results: Sequence[StoredResult],
        destinations: Sequence[str],
    ) -> JobState:
        """End a run with results, in one transaction.

        RUNNING -> DELIVERING (DONE where there is no destination, or where the destinations have all of it already).
        When images arrived during the run the results are stale: nothing is stored, and the job goes back to
        RECEIVING. A result with a UID that is known keeps its row; earlier results that this run did not make again
        are superseded and never sent any more.

        Returns:
            The state the job is in now.

        Raises:
            LeaseLostError: the caller does not hold the job any more; nothing was written.
        """
        with self._database.write() as tx:
            return runs.publish(tx, job_id, token, record, results, destinations)

    def former_study(self, patient_hash: str, before: date, not_job: int) -> FormerStudy | None:
        """The latest study of the patient with this keyed hash, on a day before `before`, whose report left.

        "Left" means that some destination acknowledged the report, or that the node has no destinations and the job
        is DONE. Job `not_job` itself never counts, whatever it ran before.
        """
        with self._database.read() as tx:
            return remembered.former_study(tx, patient_hash, before, not_job)

    # ------------------------------------------------------------ people

    def summaries(self, state: JobState | None = None, limit: int = 50) -> list[JobSummary]:
        """The jobs that moved last, newest first."""
        with self._database.read() as tx:
            return views.summaries(tx, state, limit)

    def ids_in(self, state: JobState) -> list[int]:
        """The jobs in a state, by number."""
        with self._database.read() as tx:
            return views.ids_in(tx, state)

    def counts(self) -> dict[JobState, int]:
        """Number of jobs in each state."""
        with self._database.read() as tx:
            return views.counts(tx)

    def refusals(self, limit: int = 50) -> list[Json]:
        """The refusals noted last, newest first."""
        with self._database.read() as tx:
            return views.latest_refusals(tx, limit)

    def view(self, wanted: str | int, patience: Patience | None = None) -> Json:
        """Everything about one job, as JSON-able values with times in ISO 8601 UTC.

        Args:
            wanted: job number or StudyInstanceUID.
            patience: the configured waiting times, for a more exact `waiting_for`.

        Returns:
            Keys: id, study_instance_uid, state, code, reason, waiting_for, priority, created_at, updated_at,
            last_received_at, analysed_at, not_before, purged_at, assigned, attempts, worker, lease_until, stage,
            instances, series, completeness, roles, set_aside, findings, results (each with `destinations`: name ->
            state, status, detail, attempts, next_attempt_at, sent_at), superseded_results, history, refusals,
            timings_s, choices (what a person can do now: command, what), review (a person's last word on a held
            result: what, by, at, reason; or None).
        """
        with self._database.read() as tx:
            return views.view(tx, wanted, patience or Patience())

    def retry(self, job_id: int, actor: str) -> JobState:
        """Do an ended job again.

        A job that failed in delivery goes back to DELIVERING, and what is missing is sent. Every other ended job
        becomes READY with its attempts counted anew; what a run makes is sent to every destination again, also the
        same objects (same UIDs) that a destination had acknowledged.

        Raises:
            IllegalMoveError: the job has not ended.
            InputsPurgedError: its files were deleted.
        """
        with self._database.write() as tx:
            state = operator.retry(tx, job_id, actor)
            audit.note_decided(tx, job_id, actor, "retry")
            return state

    def set_priority(self, job_id: int, priority: str, actor: str) -> None:
        """Let a job be run and sent before others: "stat", "high" or "routine". The history says who wanted it."""
        with self._database.write() as tx:
            operator.set_priority(tx, job_id, Priority(priority), actor)
            audit.note_decided(tx, job_id, actor, "priority")

    def assign(self, job_id: int, wanted: Mapping[Role, NamedVolume], actor: str) -> JobState:
        """Note which series a person gives to roles, and take an ended job up again: READY.

        Roles that are not named keep what was assigned to them before. The decision outlives new images and retries.

        Raises:
            AssignmentRefusedError: a series is not in the study, or would take two roles.
            IllegalMoveError: the job has not ended.
            InputsPurgedError: its files were deleted.
        """
        with self._database.write() as tx:
            state = decisions.assign(tx, job_id, wanted, actor)
            audit.note_decided(tx, job_id, actor, "assign")
            return state

    def unassign(self, job_id: int, actor: str) -> JobState:
        """Withdraw all that was assigned, and take an ended job up again; raises as `assign` does."""
        with self._database.write() as tx:
            state = decisions.unassign(tx, job_id, actor)
            audit.note_decided(tx, job_id, actor, "unassign")
            return state

    def release(self, job_id: int, actor: str, destinations: Sequence[str]) -> JobState:
        """Let the result of a HELD study leave as it was encoded: HELD -> DELIVERING (DONE without destinations).

        Raises:
            ReviewRefusedError: it was held before there was a result, or new images arrived since.
            IllegalMoveError: the job is not HELD.
        """
        with self._database.write() as tx:
            state = review.release(tx, job_id, actor, destinations)
            audit.note_decided(tx, job_id, actor, "release")
            return state

    def reject(self, job_id: int, actor: str, reason: str, destinations: Sequence[str]) -> JobState:
        """End a HELD study without an answer: HELD -> REJECTED, with the person's reason in the history.

        Its result never leaves. The report that says that there is no answer does, where the site had one made.

        Raises:
            ReviewRefusedError: the reason is empty or longer than 200 characters.
            IllegalMoveError: the job is not HELD.
        """
        with self._database.write() as tx:
            state = review.reject(tx, job_id, actor, reason, destinations)
            audit.note_decided(tx, job_id, actor, "reject")
            return state

    def instance_paths(self, job_id: int) -> dict[str, str]:
        """Path below the spool's root of each instance of a job, by SOPInstanceUID; empty once they were purged."""
        with self._database.read() as tx:
            return views.instance_paths(tx, job_id)

    def cancel(self, job_id: int, actor: str) -> JobState:
        """Stop a job; a worker that runs it notices at its next heartbeat and cannot publish.

        Raises:
            IllegalMoveError: the job has ended already.
        """
        with self._database.write() as tx:
            state = operator.cancel(tx, job_id, actor)
            audit.note_decided(tx, job_id, actor, "cancel")
            return state

    # ------------------------------------------------------------ audit trail

    def note_audit(self, record: AuditRecord) -> None:
        """Add to the audit trail what is no part of another transaction of this book."""
        with self._database.write() as tx:
            audit.append(tx, record)

    def note_read(self, job_id: int, actor: str, detail: str) -> None:
        """Tell the audit trail that somebody reads the study's instances; call it before they are read."""
        with self._database.write() as tx:
            study, number = audit.study_of(tx, job_id)
            audit.note_accessed(tx, study, number, actor, detail)

    def audit_entries(self, after: int = 0, limit: int = 1000) -> list[AuditEntry]:
        """Entries of the audit trail with a number above `after`, oldest first."""
        with self._database.read() as tx:
            return audit.entries(tx, after, limit)

    def latest_audit_entries(self, limit: int = 50) -> list[AuditEntry]:
        """The last entries of the audit trail, oldest of them first."""
        with self._database.read() as tx:
            return audit.latest(tx, limit)

    def verify_audit(self, anchor: tuple[int, str] | None = None) -> Verification:
        """Whether the audit trail is whole and unchanged.

        Args:
            anchor: number and hash of an entry that was kept elsewhere; without it nobody can tell whether the trail
                was cut at its end.
        """
        with self._database.read() as tx:
            return audit.verify(tx, anchor)

    def exported_until(self, receiver: str) -> int:
        """Number of the last entry that this receiver was given; 0 for none."""
        with self._database.read() as tx:
            return audit.exported_until(tx, receiver)

    def note_exported(self, receiver: str, number: int) -> None:
        """Remember how far a receiver was given the trail; never goes back."""
        with self._database.write() as tx:
            audit.note_exported(tx, receiver, number)
