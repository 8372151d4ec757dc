"""How a job changes its state: along the table of legal moves, guarded by the database, with a line of history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update

from bt_node.domain.errors import IllegalMoveError, JobNotFoundError, LeaseLostError
from bt_node.domain.states import JobState, is_legal
from bt_node.jobs.database import Transaction
from bt_node.jobs.tables import history, jobs
from bt_node.jobs.wakeup import tell

# What a run found out belongs to its inputs; it goes when they change.
FRESH_INPUTS: dict[str, Any] = {
    "analysed_at": None,
    "attempts": 0,
    "not_before": None,
    "stage": "",
    "roles": [],
    "set_aside": [],
    "findings": {},
    "timings_s": {},
}
WORKER_LOST = "worker-lost"
_IS_BACK = "it was only cut off, and nobody else had taken the job"
_NO_LEASE: dict[str, Any] = {"lease_worker": None, "lease_until": None}


def move(
    tx: Transaction,
    job_id: int,
    source: JobState,
    target: JobState,
    *,
    actor: str,
    code: str = "",
    reason: str = "",
    token: int | None = None,
    **values: Any,
) -> None:
    """Move a job, or raise; `values` are further columns to set with it.

    Raises:
        IllegalMoveError: the table has no such edge, or the job is no longer in `source`.
        LeaseLostError: a token was given, and another worker (or nobody) holds the job.
    """
    if not is_legal(source, target):
        raise IllegalMoveError(job_id, source, target)
    guard = (jobs.c.id == job_id) & (jobs.c.state == source)
    if token is not None:
        guard &= jobs.c.lease_token == token
    lease = {} if target is JobState.RUNNING else _NO_LEASE
    words = {"state": target.value, "state_since": tx.now, "code": code, "reason": reason}
    moved = tx.execute(update(jobs).where(guard).values(words | lease | values))
    if moved.rowcount != 1:
        raise _refused(tx, job_id, target, token)
    note_history(tx, job_id, source, target, actor=actor, code=code, reason=reason)
    tell(tx.connection, target)


def note_history(
    tx: Transaction,
    job_id: int,
    source: JobState | None,
    target: JobState,
    *,
    actor: str,
    code: str = "",
    reason: str = "",
) -> None:
    """Add one line of history; `source` None is the job's birth."""
    row = {"job_id": job_id, "at": tx.now, "from_state": source, "to_state": target}
    tx.execute(insert(history).values({**row, "actor": actor, "code": code, "reason": reason}))


def _refused(tx: Transaction, job_id: int, target: JobState, token: int | None) -> Exception:
    if token is not None:
        return LeaseLostError(job_id)
    return IllegalMoveError(job_id, locked(tx, job_id).state, target)


def locked(tx: Transaction, job_id: int) -> Any:
    """The job's row, locked until the transaction ends.

    Raises:
        JobNotFoundError: there is none.
    """
    # NO KEY UPDATE (key_share): a listener may add instances, whose foreign key only reads the job's number.
    row = tx.execute(select(jobs).where(jobs.c.id == job_id).with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise JobNotFoundError(str(job_id))
    return row


def held(tx: Transaction, job_id: int, token: int) -> Any:
    """The row of a job that the caller runs, locked until the transaction ends.

    A worker that was written down as silent, because the database was out of its reach, has its job again as long as
    nobody else claimed it, and no person decided: what it has computed is as good as before.

    Raises:
        LeaseLostError: the caller does not run it (any more).
    """
    try:
        row = locked(tx, job_id)
    except JobNotFoundError:  # an older copy of the database was put back
        raise LeaseLostError(job_id) from None
    if row.lease_token != token:
        raise LeaseLostError(job_id)
    if row.state == JobState.RUNNING:
        return row
    if row.code != WORKER_LOST or row.lease_worker is None:
        raise LeaseLostError(job_id)
    return _taken_back(tx, row)


def _taken_back(tx: Transaction, row: Any) -> Any:
    """READY or FAILED for a silent worker -> RUNNING for the same one, in the same attempt."""
    worker, job_id = row.lease_worker, row.id
    if row.state == JobState.FAILED:
        move(tx, job_id, JobState.FAILED, JobState.READY, actor=worker, reason=_IS_BACK)
    lease = {"lease_worker": worker, "lease_until": tx.now, "not_before": None}
    move(tx, job_id, JobState.READY, JobState.RUNNING, actor=worker, reason=_IS_BACK, **lease)
    return locked(tx, job_id)
