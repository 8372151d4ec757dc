"""Results on their way out: one row for each object and destination.

What becomes of deliveries:

- A run that makes the same objects again (same content, so same UIDs) keeps their rows; what a destination already
  has is not sent again, what it has not is due at once.
- A run that makes other objects supersedes the earlier ones: their rows stay, and they are never sent again. One UID
  never stands for two contents.
- `jobs retry` of a DONE job means "do it again and send it again": after the run everything is due at once, also what
  a destination had acknowledged. Until then the rows say what the destinations have.
- `jobs retry` of a job that failed in delivery sends what is missing, without a new run.
- What a destination acknowledged is SENT while proof that it keeps it is awaited (`proofs.py`), then DELIVERED.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update

from bt_node.domain.errors import SameUidError
from bt_node.domain.proof import Proof
from bt_node.domain.result import ResultKind, SendOutcome
from bt_node.domain.states import DeliveryState, JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked, move
from bt_node.jobs.tables import deliveries, jobs, results
from bt_node.jobs.tables import destinations as known
from bt_node.jobs.values import DueDelivery, StoredResult

ACTOR = "delivery"
DELIVERY_FAILED = "delivery-failed"

# A REJECTED study has nothing in the outbox but the report that says why it was not answered, where a site wants one.
_SENDING = (JobState.DELIVERING, JobState.REJECTED)
_NOT_CONFIGURED = "this destination is no longer configured"
_OF_RESULT = deliveries.join(results, results.c.id == deliveries.c.result_id)
_OF_JOB = _OF_RESULT.join(jobs, jobs.c.id == results.c.job_id)
_OPEN = (DeliveryState.PENDING, DeliveryState.SENT)
ARRIVED = (DeliveryState.SENT, DeliveryState.DELIVERED)


def put_results(
    tx: Transaction, job_id: int, stored: Sequence[StoredResult], destinations: Sequence[str], *, send_again: bool
) -> None:
    """Make `stored` the results of the job, and queue what destinations do not have (`send_again`: all of it)."""
    _supersede_others(tx, job_id, [result.sop_instance_uid for result in stored])
    for result in stored:
        result_id = _put_result(tx, job_id, result)
        _queue(tx, result_id, destinations, send_again=send_again)


def _supersede_others(tx: Transaction, job_id: int, kept: Sequence[str]) -> None:
    replaced = and_(results.c.job_id == job_id, results.c.sop_instance_uid.not_in(kept))
    tx.execute(update(results).where(replaced, results.c.superseded_at.is_(None)).values(superseded_at=tx.now))


def _put_result(tx: Transaction, job_id: int, result: StoredResult) -> int:
    known = select(results.c.id, results.c.sha256).where(results.c.sop_instance_uid == result.sop_instance_uid)
    made_before = tx.execute(known).one_or_none()
    if made_before is not None:
        if made_before.sha256 != result.sha256:
            raise SameUidError(job_id, result.sop_instance_uid)
        found_again = {"path": result.path, "superseded_at": None}
        tx.execute(update(results).where(results.c.id == made_before.id).values(found_again))
        return int(made_before.id)
    row = insert(results).values(job_id=job_id, created_at=tx.now, **asdict(result))
    return int(tx.execute(row).inserted_primary_key[0])


def _queue(tx: Transaction, result_id: int, destinations: Sequence[str], *, send_again: bool) -> None:
    of_result = deliveries.c.result_id == result_id
    unsent = deliveries.c.state.not_in(ARRIVED)
    # Nobody would ever take up what waits for a destination that is gone.
    tx.execute(delete(deliveries).where(of_result, unsent, deliveries.c.destination.not_in(destinations)))
    due_again = deliveries.c.destination.in_(destinations) if send_again else unsent
    tx.execute(update(deliveries).where(of_result, due_again).values(_queued(tx)))
    known = set(tx.execute(select(deliveries.c.destination).where(of_result)).scalars())
    for destination in dict.fromkeys(destinations):
        if destination not in known:
            tx.execute(insert(deliveries).values(result_id=result_id, destination=destination, **_queued(tx)))


def _queued(tx: Transaction) -> dict[str, Any]:
    fresh = {"state": DeliveryState.PENDING, "attempts": 0, "sent_at": None}
    unproven = {"proof": "", "proof_attempts": 0, "times_lost": 0}
    return {**fresh, **unproven, "queued_at": tx.now, "next_attempt_at": tx.now}


def _current_of(job_id: int) -> Any:
    """The results of a job that still count, as a subquery of their ids."""
    return select(results.c.id).where(results.c.job_id == job_id, results.c.superseded_at.is_(None))


def queue_failed_again(tx: Transaction, job_id: int) -> None:
    """What was given up is due now."""
    given_up = deliveries.c.result_id.in_(_current_of(job_id)) & (deliveries.c.state == DeliveryState.FAILED)
    tx.execute(update(deliveries).where(given_up).values(_queued(tx)))


def supersede(tx: Transaction, job_id: int, kinds: Sequence[ResultKind]) -> None:
    """Results of these kinds do not stand any more, and are never sent (again)."""
    replaced = and_(results.c.job_id == job_id, results.c.kind.in_(kinds), results.c.superseded_at.is_(None))
    tx.execute(update(results).where(replaced).values(superseded_at=tx.now))


def keep_results(tx: Transaction, job_id: int, stored: Sequence[StoredResult]) -> None:
    """Make `stored` the results of the job without queueing anything: a person decides first."""
    _supersede_others(tx, job_id, [result.sop_instance_uid for result in stored])
    for result in stored:
        _put_result(tx, job_id, result)


def queue_kept(tx: Transaction, job_id: int, destinations: Sequence[str]) -> int:
    """Queue the results that stand, for every destination, also for one that has them; returns how many."""
    kept = tx.execute(_current_of(job_id)).scalars().all()
    for result_id in kept:
        _queue(tx, result_id, destinations, send_again=True)
    return len(kept)


def due_deliveries(
    tx: Transaction, destination: str, limit: int, state: DeliveryState = DeliveryState.PENDING
) -> list[DueDelivery]:
    """What this destination should get now (`state` SENT: should be asked about now); nothing while it is down.

    The most urgent study first. Of equally urgent ones, what was never tried goes before what was refused or met
    with silence, so that no single object holds up the others; then the oldest, in the order the objects were made.
    """
    down = select(known.c.destination).where(known.c.destination == destination, known.c.next_attempt_at > tx.now)
    due = (
        select(deliveries, results, jobs.c.study_instance_uid, jobs.c.priority)
        .select_from(_OF_JOB)
        .where(
            jobs.c.state.in_(_SENDING),
            results.c.superseded_at.is_(None),
            deliveries.c.destination == destination,
            deliveries.c.state == state,
            deliveries.c.next_attempt_at <= tx.now,
            ~down.exists(),
        )
        .order_by(
            jobs.c.priority.desc(), deliveries.c.attempts > 0, deliveries.c.queued_at, results.c.job_id, results.c.id
        )
        .limit(limit)
    )
    return [_due(row, tx.now) for row in tx.execute(due).all()]


def is_pending(tx: Transaction, destination: str, sop_instance_uid: str) -> bool:
    """Whether an object is (still) to be sent to a destination."""
    pending = (
        select(deliveries.c.result_id)
        .select_from(_OF_JOB)
        .where(
            jobs.c.state.in_(_SENDING),
            results.c.superseded_at.is_(None),
            results.c.sop_instance_uid == sop_instance_uid,
            deliveries.c.destination == destination,
            deliveries.c.state == DeliveryState.PENDING,
        )
    )
    return tx.execute(pending).first() is not None


def _due(row: Any, now: float) -> DueDelivery:
    return DueDelivery(
        job_id=row.job_id,
        destination=row.destination,
        kind=ResultKind(row.kind),
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        path=row.path,
        sha256=row.sha256,
        attempts=row.attempts,
        age_seconds=max(0.0, now - row.queued_at),
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        proof_attempts=row.proof_attempts,
    )


def record_delivery(
    tx: Transaction,
    job_id: int,
    destination: str,
    outcome: SendOutcome,
    next_attempt_in: float | None,
    *,
    give_up: bool,
    prove: bool = False,
) -> None:
    """Note what a destination answered about one object (`prove`: what it took is asked for next).

    What it has once taken stays SENT or DELIVERED.
    """
    owned = select(results.c.id).where(
        results.c.job_id == job_id, results.c.sop_instance_uid == outcome.sop_instance_uid
    )
    state = _state_after(outcome, give_up=give_up, prove=prove)
    noted = {
        "state": state,
        "attempts": deliveries.c.attempts + 1,
        "proof": "",
        "proof_attempts": 0,
        "status": outcome.status,
        "detail": outcome.detail,
        "next_attempt_at": tx.now + (next_attempt_in or 0.0),
        "sent_at": tx.now if outcome.delivered else deliveries.c.sent_at,
    }
    pending = and_(
        deliveries.c.result_id.in_(owned),
        deliveries.c.destination == destination,
        deliveries.c.state == DeliveryState.PENDING,
    )
    tx.execute(update(deliveries).where(pending).values(noted))


def _state_after(outcome: SendOutcome, *, give_up: bool, prove: bool) -> DeliveryState:
    if outcome.delivered:
        return DeliveryState.SENT if prove else DeliveryState.DELIVERED
    return DeliveryState.FAILED if give_up else DeliveryState.PENDING


def settle(tx: Transaction, job_id: int) -> JobState:
    """DELIVERING -> DONE when everything is delivered, -> FAILED when nothing is open and something failed."""
    job = locked(tx, job_id)
    if job.state != JobState.DELIVERING:
        return JobState(job.state)
    unproven = deliveries.c.proof == Proof.UNPROVEN
    arrived = deliveries.c.sent_at.is_not(None)
    counted = select(deliveries.c.destination, deliveries.c.state, unproven, arrived, func.count()).where(
        deliveries.c.result_id.in_(_current_of(job_id))
    )
    by = (deliveries.c.destination, deliveries.c.state, unproven, arrived)
    rows = tx.execute(counted.group_by(*by).order_by(*by)).all()
    if any(state in _OPEN for _, state, *_ in rows):
        return JobState.DELIVERING
    failed = [(name, arrived, count) for name, state, _, arrived, count in rows if state == DeliveryState.FAILED]
    if failed:
        reason = "; ".join(_failed(failed))
        move(tx, job_id, JobState.DELIVERING, JobState.FAILED, actor=ACTOR, code=DELIVERY_FAILED, reason=reason)
        return JobState.FAILED
    reason = f"delivered to {', '.join(dict.fromkeys(name for name, *_ in rows))}"
    doubtful = dict.fromkeys(name for name, _, unproven, *_ in rows if unproven)
    if doubtful:
        reason += f" (unproven at {', '.join(doubtful)})"
    move(tx, job_id, JobState.DELIVERING, JobState.DONE, actor=ACTOR, reason=reason)
    return JobState.DONE


def _failed(failed: Sequence[tuple[str, bool, int]]) -> Iterator[str]:
    """What was never taken, and what was acknowledged but is not known to be kept."""
    for words, wanted in (("not delivered", False), ("acknowledged but not proven to be kept", True)):
        named = [f"{count} objects to {name}" for name, arrived, count in failed if bool(arrived) is wanted]
        if named:
            yield f"{words}: {', '.join(named)}"


def retire_destinations(tx: Transaction, configured: Sequence[str], after_s: float) -> list[int]:
    """Give up what has waited so long for destinations that nobody serves; see DeliveryBook.retire_destinations."""
    served = select(known.c.destination).where(
        known.c.destination == deliveries.c.destination,
        # A time further ahead than that is one that a clock set back left behind.
        known.c.courier_until.between(tx.now - after_s, tx.now + after_s),
    )
    forgotten = and_(_for_unknown(configured), deliveries.c.queued_at <= tx.now - after_s, ~served.exists())
    rows = select(deliveries.c.result_id, deliveries.c.destination, results.c.job_id).select_from(_OF_JOB)
    job_ids = []
    for result_id, destination, job_id in tx.execute(rows.where(forgotten)).all():
        row = and_(deliveries.c.result_id == result_id, deliveries.c.destination == destination)
        tx.execute(update(deliveries).where(row).values(state=DeliveryState.FAILED, detail=_NOT_CONFIGURED))
        job_ids.append(job_id)
    settled = sorted(set(job_ids))
    for job_id in settled:
        settle(tx, job_id)
    return settled


def unknown_destinations(tx: Transaction, configured: Sequence[str]) -> dict[str, int]:
    """The destinations that are waited for and not among these, each with the number of jobs that wait."""
    counted = select(deliveries.c.destination, func.count(results.c.job_id.distinct())).select_from(_OF_JOB)
    by = deliveries.c.destination
    rows = tx.execute(counted.where(_for_unknown(configured)).group_by(by).order_by(by)).all()
    return {name: int(number) for name, number in rows}


def _for_unknown(configured: Sequence[str]) -> Any:
    return and_(
        deliveries.c.state.in_(_OPEN),
        results.c.superseded_at.is_(None),
        deliveries.c.destination.not_in(configured),
        jobs.c.state.in_(_SENDING),
    )
