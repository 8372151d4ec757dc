"""What a worker does with a job: claim it, keep it alive, end it or publish its results."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select, update

from bt_node.domain.errors import IllegalMoveError, LeaseLostError
from bt_node.domain.receipt import ReceivedInstance
from bt_node.domain.result import EarlierReport, ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs.completeness import gaps_of
from bt_node.jobs.database import Transaction
from bt_node.jobs.decisions import assigned_to
from bt_node.jobs.moves import held, move
from bt_node.jobs.outbox import keep_results, put_results, queue_kept, settle
from bt_node.jobs.remembered import remember
from bt_node.jobs.review import RESULT_HELD
from bt_node.jobs.tables import deliveries, instances, jobs, results
from bt_node.jobs.timetable import reopen
from bt_node.jobs.values import ClaimedJob, RunRecord, StoredResult

CLAIM_UNHEARD = "claim-unheard"
_NO_ANSWER = (JobState.HELD, JobState.REJECTED)
_TOKENS_APART = 2**16  # some 65,000 claims of one job fit into the column
_REPORTS = (ResultKind.SR, ResultKind.NOT_ANSWERED)
_ENDS_WITHOUT_RESULTS = frozenset({JobState.READY, JobState.HELD, JobState.REJECTED, JobState.FAILED})


def claim(tx: Transaction, worker: str, lease_seconds: float) -> ClaimedJob | None:
    """Take the most urgent ready job, if there is one: highest priority first, then the one that waits longest."""
    due = or_(jobs.c.not_before.is_(None), jobs.c.not_before <= tx.now)
    unchanged = jobs.c.images == jobs.c.images_taken  # otherwise reopen_changed takes it back
    candidate = (
        select(jobs)
        .where(jobs.c.state == JobState.READY, due, unchanged)
        .order_by(jobs.c.priority.desc(), jobs.c.state_since, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    job = tx.execute(candidate).one_or_none()
    return _start(tx, job, worker, lease_seconds) if job else None


def _start(tx: Transaction, job: Any, worker: str, lease_seconds: float) -> ClaimedJob:
    # Higher than all before, and no other's: numbers of jobs and claims come again in a database that was put back.
    token, attempt = job.lease_token + 1 + secrets.randbelow(_TOKENS_APART), job.attempts + 1
    analysed_at = job.analysed_at if job.analysed_at is not None else float(int(tx.now))
    lease = {"lease_token": token, "lease_worker": worker, "lease_until": tx.now + lease_seconds}
    run = {"attempts": attempt, "analysed_at": analysed_at, "not_before": None, "stage": "", "timings_s": {}}
    move(tx, job.id, JobState.READY, JobState.RUNNING, actor=worker, reason=f"attempt {attempt}", **lease, **run)
    return ClaimedJob(
        id=job.id,
        study_instance_uid=job.study_instance_uid,
        token=token,
        attempt=attempt,
        analysed_at=datetime.fromtimestamp(analysed_at, tz=UTC),
        instances=_instances(tx, job),
        earlier_reports=_earlier_reports(tx, job.id),
        assigned=assigned_to(job),
        gaps=gaps_of(tx, job.id),
    )


def _earlier_reports(tx: Transaction, job_id: int) -> tuple[EarlierReport, ...]:
    """Reports that left, or may have left: an attempt without an answer may have arrived all the same.

    What is queued once more counts its attempts anew, but keeps what a destination answered before.
    """
    attempted = select(deliveries.c.result_id).where(or_(deliveries.c.attempts > 0, deliveries.c.status.is_not(None)))
    rows = (
        select(results.c.sop_class_uid, results.c.sop_instance_uid, results.c.series_instance_uid)
        .where(results.c.job_id == job_id, results.c.kind.in_(_REPORTS), results.c.id.in_(attempted))
        .order_by(results.c.id)
    )
    return tuple(EarlierReport(**row) for row in tx.execute(rows).mappings())


def _instances(tx: Transaction, job: Any) -> tuple[ReceivedInstance, ...]:
    names = [column for column in instances.c if column.name in ReceivedInstance.__dataclass_fields__]
    rows = select(*names).where(instances.c.job_id == job.id)
    ordered = rows.order_by(instances.c.series_instance_uid, instances.c.sop_instance_uid)
    return tuple(
        ReceivedInstance(study_instance_uid=job.study_instance_uid, **row) for row in tx.execute(ordered).mappings()
    )


def renew_lease(tx: Transaction, job_id: int, token: int, lease_seconds: float) -> bool:
    """Heartbeat. False: the job is no longer the caller's, who should stop."""
    mine = (jobs.c.id == job_id) & (jobs.c.state == JobState.RUNNING) & (jobs.c.lease_token == token)
    renewed = tx.execute(update(jobs).where(mine).values(lease_until=tx.now + lease_seconds))
    if renewed.rowcount == 1:
        return True
    try:
        held(tx, job_id, token)
    except LeaseLostError:
        return False
    tx.execute(update(jobs).where(mine).values(lease_until=tx.now + lease_seconds))
    return True


def hand_back_all(tx: Transaction, worker: str) -> list[int]:
    """RUNNING -> READY for all that this worker holds; see JobBook.hand_back_all."""
    own = select(jobs.c.id, jobs.c.lease_token).where(jobs.c.state == JobState.RUNNING, jobs.c.lease_worker == worker)
    rows = tx.execute(own).all()
    for row in rows:
        hand_back(tx, row.id, row.lease_token, CLAIM_UNHEARD, "it was claimed, and the database's answer was lost")
    return [row.id for row in rows]


def note_stage(tx: Transaction, job_id: int, token: int, stage: str, seconds: float) -> None:
    """Note that a stage of the run ended, and how long it took."""
    job = held(tx, job_id, token)
    timings = {**job.timings_s, stage: round(seconds, 3)}
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(stage=stage, timings_s=timings))


def finish(
    tx: Transaction,
    job_id: int,
    token: int,
    target: JobState,
    code: str,
    reason: str,
    record: RunRecord,
    retry_in_seconds: float | None = None,
) -> None:
    """End a run without results: READY (again, after a pause), HELD, REJECTED or FAILED; see JobBook.finish."""
    job = held(tx, job_id, token)
    if target not in _ENDS_WITHOUT_RESULTS:
        raise IllegalMoveError(job_id, job.state, target)
    not_before = None if retry_in_seconds is None else tx.now + retry_in_seconds
    move(
        tx, job_id, JobState.RUNNING, target, actor=job.lease_worker, code=code, reason=reason, token=token,
        not_before=not_before, **_recorded(job, record),
    )  # fmt: skip
    if target in _NO_ANSWER:  # what an earlier run made does not stand beside this
        keep_results(tx, job_id, record.unanswered.stored if record.unanswered else ())
    if target is JobState.REJECTED and record.unanswered:
        queue_kept(tx, job_id, record.unanswered.destinations)


def hand_back(tx: Transaction, job_id: int, token: int, code: str, reason: str) -> None:
    """RUNNING -> READY at once, as if this attempt had not been; see JobBook.hand_back."""
    job = held(tx, job_id, token)
    uncounted: dict[str, Any] = {"attempts": max(0, job.attempts - 1), "not_before": None}
    move(
        tx, job_id, JobState.RUNNING, JobState.READY, actor=job.lease_worker, code=code, reason=reason, token=token,
        **uncounted,
    )  # fmt: skip


def _recorded(job: Any, record: RunRecord) -> dict[str, Any]:
    return {
        "roles": record.roles,
        "set_aside": record.set_aside,
        "findings": record.findings,
        "timings_s": {**job.timings_s, **record.timings_s},
    }


def keep(
    tx: Transaction, job_id: int, token: int, record: RunRecord, stored: Sequence[StoredResult], reason: str
) -> JobState:
    """End a run whose results wait for a person; see JobBook.keep."""
    job = held(tx, job_id, token)
    if job.images > job.images_taken:
        return _reopened(tx, job)
    move(
        tx, job_id, JobState.RUNNING, JobState.HELD, actor=job.lease_worker, code=RESULT_HELD, reason=reason,
        token=token, **_recorded(job, record),
    )  # fmt: skip
    keep_results(tx, job_id, stored)
    remember(tx, job_id, record.remembered, stored)
    return JobState.HELD


def _reopened(tx: Transaction, job: Any) -> JobState:
    """New images arrived during the run: its results are stale."""
    new = job.images - job.images_taken
    reopen(tx, job.id, JobState.RUNNING, new, actor=job.lease_worker, token=job.lease_token)
    return JobState.RECEIVING


def publish(
    tx: Transaction,
    job_id: int,
    token: int,
    record: RunRecord,
    stored: Sequence[StoredResult],
    destinations: Sequence[str],
) -> JobState:
    """End a run with results, all or nothing; see JobBook.publish."""
    job = held(tx, job_id, token)
    if job.images > job.images_taken:
        return _reopened(tx, job)
    target = JobState.DELIVERING if destinations else JobState.DONE
    reason = f"{len(stored)} results for {', '.join(destinations) or 'no destination'}"
    move(
        tx, job_id, JobState.RUNNING, target, actor=job.lease_worker, reason=reason, token=token, send_again=False,
        **_recorded(job, record),
    )  # fmt: skip
    put_results(tx, job_id, stored, destinations, send_again=job.send_again)
    remember(tx, job_id, record.remembered, stored)
    return settle(tx, job_id)
