"""What happens to jobs because time goes by: completeness, new images, lost leases, retention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import and_, delete, or_, select, update

from bt_node.domain.errors import IllegalMoveError
from bt_node.domain.states import ENDED_STATES, DeliveryState, JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import FRESH_INPUTS, WORKER_LOST, locked, move
from bt_node.jobs.tables import deliveries, instances, jobs, open_associations, refusals, results
from bt_node.jobs.values import HeldLease

ACTOR = "timetable"

_SECONDS_PER_DAY = 86400.0
_SLACK_SECONDS = 1.0
_SENDING_SECONDS = 3600.0  # since the last instance; an association of a listener that died may stay for ever
_LOST_WITHOUT_PAUSE = 1
# HELD and FAILED wait for a person, and the person needs the files.
_PURGEABLE = (JobState.DONE, JobState.REJECTED, JobState.CANCELLED)


def reopen_changed(tx: Transaction) -> list[int]:
    """READY or ended -> RECEIVING for jobs that got new images; other objects (SEG, SR, KO) change nothing.

    A job in delivery is opened too when all that is left waits for a destination to be tried again, which may take
    days. What is due now may be on its way this moment: whether it arrived must be known before the next run names
    the report that it replaces.
    """
    due_now = select(deliveries.c.result_id).where(
        deliveries.c.result_id == results.c.id,
        results.c.job_id == jobs.c.id,
        results.c.superseded_at.is_(None),
        deliveries.c.state == DeliveryState.PENDING,
        deliveries.c.next_attempt_at <= tx.now,
    )
    open_to_change = or_(
        jobs.c.state.in_((JobState.READY, *ENDED_STATES)),
        and_(jobs.c.state == JobState.DELIVERING, ~due_now.exists()),
    )
    changed = (
        select(jobs.c.id, jobs.c.state, jobs.c.images - jobs.c.images_taken)
        .where(open_to_change, jobs.c.images > jobs.c.images_taken)
        .with_for_update(skip_locked=True)
    )
    moved = []
    for job_id, state, new in tx.execute(changed).all():
        reopen(tx, job_id, JobState(state), new, actor=ACTOR)
        moved.append(job_id)
    return moved


def reopen(
    tx: Transaction, job_id: int, source: JobState, new_images: int, *, actor: str, token: int | None = None
) -> None:
    """Move a job back to RECEIVING, because it has new images; what was found in the old ones is dropped."""
    reason = f"{new_images} new images arrived"
    move(tx, job_id, source, JobState.RECEIVING, actor=actor, reason=reason, token=token, **FRESH_INPUTS)


def held_leases(tx: Transaction) -> list[HeldLease]:
    """The leases of all jobs that run."""
    running = select(jobs.c.id, jobs.c.lease_token, jobs.c.lease_until).where(jobs.c.state == JobState.RUNNING)
    return [HeldLease(row.id, row.lease_token, row.lease_until) for row in tx.execute(running).all()]


def expire_lease(tx: Transaction, lease: HeldLease, max_attempts: int, pause_seconds: float) -> bool:
    """RUNNING -> READY, or FAILED when the attempts are used up; see JobBook.expire_lease."""
    job = locked(tx, lease.job_id)
    if job.state != JobState.RUNNING or (job.lease_token, job.lease_until) != (lease.token, lease.until):
        return False
    target = JobState.READY if job.attempts < max_attempts else JobState.FAILED
    where = f"after stage {job.stage}" if job.stage else "before its first stage ended"
    reason = f"worker {job.lease_worker} fell silent {where} in attempt {job.attempts} of {max_attempts}"
    # A machine that went down once is no fault of the study; what takes worker after worker with it shall wait.
    again = job.attempts - _LOST_WITHOUT_PAUSE
    pause = pause_seconds * 2 ** (again - 1) if again > 0 else 0.0
    move(
        tx, job.id, JobState.RUNNING, target, actor=ACTOR, code=WORKER_LOST, reason=reason, token=lease.token,
        not_before=tx.now + pause, lease_worker=job.lease_worker,  # who may come back, see `held`
    )  # fmt: skip
    return True


def mend_times(tx: Transaction, longest_pause: float, longest_delivery_pause: float) -> None:
    """Take back times in the future, which a clock that was set back leaves; see JobBook.mend_times."""
    for column, latest in (
        (jobs.c.last_received_at, tx.now),
        (open_associations.c.seen_at, tx.now),
        (jobs.c.not_before, tx.now + longest_pause),
        (deliveries.c.next_attempt_at, tx.now + longest_delivery_pause),
    ):
        ahead = column > latest + _SLACK_SECONDS
        tx.execute(update(column.table).where(ahead).values({column.name: latest}))


def purge_candidates(tx: Transaction, retention_days: float) -> list[int]:
    """Jobs that ended well longer ago than `retention_days` and still have files; 0 days keeps everything.

    Not those whose results are still on their way, or not proven to be kept: the report on a REJECTED study may be.
    """
    if retention_days <= 0:
        return []
    old = jobs.c.state_since <= tx.now - retention_days * _SECONDS_PER_DAY
    on_its_way = select(deliveries.c.result_id).where(
        deliveries.c.result_id == results.c.id,
        results.c.job_id == jobs.c.id,
        results.c.superseded_at.is_(None),
        deliveries.c.state.in_((DeliveryState.PENDING, DeliveryState.SENT)),
    )
    settled = or_(jobs.c.state == JobState.CANCELLED, ~on_its_way.exists())
    found = select(jobs.c.id).where(jobs.c.state.in_(_PURGEABLE), old, jobs.c.purged_at.is_(None), settled)
    return list(tx.execute(found.where(~_being_sent(tx)).order_by(jobs.c.id)).scalars())


def _being_sent(tx: Transaction) -> Any:
    """Somebody sends the study again: what he was told is kept may not go, and half of it is no study.

    Also between two of his associations.
    """
    since = tx.now - _SENDING_SECONDS
    recent = open_associations.c.seen_at > since
    is_open = select(open_associations.c.job_id).where(open_associations.c.job_id == jobs.c.id, recent).exists()
    return or_(is_open, and_(jobs.c.last_received_at > jobs.c.state_since, jobs.c.last_received_at > since))


def purge(tx: Transaction, job_id: int, remove: Callable[[Sequence[str]], None]) -> int:
    """Delete the files of a job and then their rows; see JobBook.purge."""
    paths = _purgeable_files(tx, job_id)
    remove(paths)
    _forget(tx, job_id)
    return len(paths)


def _purgeable_files(tx: Transaction, job_id: int) -> list[str]:
    job = locked(tx, job_id)
    sending = tx.execute(select(jobs.c.id).where(jobs.c.id == job_id, _being_sent(tx))).first() is not None
    if job.state not in _PURGEABLE or job.images > job.images_taken or sending:
        raise IllegalMoveError(job_id, job.state, "purged")
    received = tx.execute(select(instances.c.path).where(instances.c.job_id == job_id)).scalars().all()
    made = tx.execute(select(results.c.path).where(results.c.job_id == job_id)).scalars().all()
    return [*received, *made]


def _forget(tx: Transaction, job_id: int) -> None:
    tx.execute(delete(instances).where(instances.c.job_id == job_id))
    tx.execute(delete(open_associations).where(open_associations.c.job_id == job_id))
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(purged_at=tx.now, instances=0))


def forget_refusals(tx: Transaction, retention_days: float) -> int:
    """Delete refusals older than `retention_days`; 0 days keeps them."""
    if retention_days <= 0:
        return 0
    old = refusals.c.at <= tx.now - retention_days * _SECONDS_PER_DAY
    return int(tx.execute(delete(refusals).where(old)).rowcount)
