"""What a person at the command line does to a job: retry it or cancel it."""

from __future__ import annotations

from sqlalchemy import update

from bt_node.domain.errors import IllegalMoveError, InputsPurgedError
from bt_node.domain.states import ENDED_STATES, DeliveryState, JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked, move
from bt_node.jobs.outbox import DELIVERY_FAILED, queue_again
from bt_node.jobs.tables import jobs


def retry(tx: Transaction, job_id: int, actor: str) -> JobState:
    """Do it again; see JobBook.retry."""
    job = locked(tx, job_id)
    state = JobState(job.state)
    if state not in ENDED_STATES:
        raise IllegalMoveError(job_id, state, JobState.READY)
    if job.purged_at is not None:
        raise InputsPurgedError(job_id)
    if job.code == DELIVERY_FAILED:
        queue_again(tx, job_id, [DeliveryState.FAILED])
        return _moved(tx, job_id, state, JobState.DELIVERING, actor)
    queue_again(tx, job_id, DeliveryState)
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(attempts=0, not_before=None, stage=""))
    return _moved(tx, job_id, state, JobState.READY, actor)


def cancel(tx: Transaction, job_id: int, actor: str) -> JobState:
    """Stop it; see JobBook.cancel."""
    state = JobState(locked(tx, job_id).state)
    return _moved(tx, job_id, state, JobState.CANCELLED, actor, "cancelled by an operator")


def _moved(
    tx: Transaction,
    job_id: int,
    source: JobState,
    target: JobState,
    actor: str,
    reason: str = "retried by an operator",
) -> JobState:
    move(tx, job_id, source, target, actor=actor, reason=reason)
    return target
