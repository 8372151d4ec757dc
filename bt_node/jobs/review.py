"""A person's word on a HELD study: let its result leave as it was encoded, or never.

Two kinds of studies are HELD. One was held before anything was made: a person says which series is which
(`jobs/decisions.py`), and it runs again. The other has its result, encoded and stored, which waits here; its code is
RESULT_HELD. Releasing queues the stored objects, the same bytes and UIDs; rejecting ends the study without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from bt_node.domain.errors import IllegalMoveError, ReviewRefusedError
from bt_node.domain.result import ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked, move
from bt_node.jobs.outbox import queue_kept, settle, supersede
from bt_node.jobs.tables import history
from bt_node.jobs.values import Json

RESULT_HELD = "result-held"
RELEASED = "released"
REJECTED_BY_PERSON = "rejected-by-person"
LONGEST_REASON = 200  # characters

_ANSWERS = tuple(kind for kind in ResultKind if kind is not ResultKind.NOT_ANSWERED)


def release(tx: Transaction, job_id: int, actor: str, destinations: Sequence[str]) -> JobState:
    """Let a held result leave; see JobBook.release."""
    job = _held_job(tx, job_id, JobState.DELIVERING)
    if job.code != RESULT_HELD:
        raise ReviewRefusedError(job_id, "it was held before there was a result", job.reason)
    if job.images > job.images_taken:
        raise ReviewRefusedError(job_id, "new images arrived, and the result does not rest on them")
    supersede(tx, job_id, (ResultKind.NOT_ANSWERED,))
    number = queue_kept(tx, job_id, destinations)
    target = JobState.DELIVERING if destinations else JobState.DONE
    reason = f"released by an operator: {number} results for {', '.join(destinations) or 'no destination'}"
    move(tx, job_id, JobState.HELD, target, actor=actor, code=RELEASED, reason=reason, send_again=False)
    return settle(tx, job_id)


def reject(tx: Transaction, job_id: int, actor: str, reason: str, destinations: Sequence[str]) -> JobState:
    """End a held study without an answer; see JobBook.reject."""
    _held_job(tx, job_id, JobState.REJECTED)
    words = " ".join(reason.split())
    if not words or len(words) > LONGEST_REASON:
        raise ReviewRefusedError(job_id, f"a reason has 1 to {LONGEST_REASON} characters")
    supersede(tx, job_id, _ANSWERS)
    queue_kept(tx, job_id, destinations)
    said = f"rejected by an operator: {words}"
    move(tx, job_id, JobState.HELD, JobState.REJECTED, actor=actor, code=REJECTED_BY_PERSON, reason=said)
    return JobState.REJECTED


def latest_review(tx: Transaction, job_id: int) -> Json | None:
    """The last word of a person on a held result: what, who, when (seconds since 1970) and why; None without one."""
    said = select(history).where(history.c.job_id == job_id, history.c.code.in_((RELEASED, REJECTED_BY_PERSON)))
    row = tx.execute(said.order_by(history.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else {"what": row.code, "by": row.actor, "at": row.at, "reason": row.reason}


def _held_job(tx: Transaction, job_id: int, target: JobState) -> Any:
    job = locked(tx, job_id)
    if job.state != JobState.HELD:
        raise IllegalMoveError(job_id, job.state, target)
    return job
