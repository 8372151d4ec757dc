"""What a person at the command line does to a job: retry it or cancel it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from bt_node.domain.errors import IllegalMoveError, InputsPurgedError
from bt_node.domain.priority import Priority
from bt_node.domain.states import ENDED_STATES, JobState
from bt_node.jobs.completeness import accept_short_series
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked, move, note_history
from bt_node.jobs.outbox import DELIVERY_FAILED, queue_failed_again
from bt_node.jobs.tables import jobs

_RETRIED = "retried by an operator"
_CANCELLED = "cancelled by an operator"


def retry(tx: Transaction, job_id: int, actor: str) -> JobState:
    """Do it again; see JobBook.retry."""
    job = locked(tx, job_id)
    state = JobState(job.state)
    if state not in ENDED_STATES:
        raise IllegalMoveError(job_id, state, JobState.READY)
    if job.purged_at is not None:
        raise InputsPurgedError(job_id)
    if job.code == DELIVERY_FAILED:
        queue_failed_again(tx, job_id)
        move(tx, job_id, state, JobState.DELIVERING, actor=actor, reason=_RETRIED)
        return JobState.DELIVERING
    anew: dict[str, Any] = {"attempts": 0, "not_before": None, "stage": "", "send_again": True}
    reason = f"{_RETRIED}{accept_short_series(tx, job, actor)}"
    move(tx, job_id, state, JobState.READY, actor=actor, reason=reason, **anew)
    return JobState.READY


def set_priority(tx: Transaction, job_id: int, priority: Priority, actor: str) -> None:
    """Let a job go before others, or wait its turn again; see JobBook.set_priority."""
    job = locked(tx, job_id)
    if job.priority == priority.rank:
        return
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(priority=priority.rank))
    state = JobState(job.state)
    note_history(tx, job_id, state, state, actor=actor, reason=f"priority set to {priority.value}")


def cancel(tx: Transaction, job_id: int, actor: str) -> JobState:
    """Stop it; see JobBook.cancel."""
    job = locked(tx, job_id)
    # The images so far count as taken: the operator's word stands until more arrive.
    taken = {"images_taken": job.images}
    move(tx, job_id, JobState(job.state), JobState.CANCELLED, actor=actor, reason=_CANCELLED, **taken)
    return JobState.CANCELLED
