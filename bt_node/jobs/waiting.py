"""What a job waits for, in words for the administrator at three in the morning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from bt_node.domain.states import DeliveryState, JobState
from bt_node.jobs.completeness import last_row
from bt_node.jobs.database import Transaction
from bt_node.jobs.tables import deliveries, open_associations, results
from bt_node.jobs.tables import destinations as known
from bt_node.jobs.values import Json


@dataclass(frozen=True)
class Patience:
    """What the configuration says about waiting; None leaves it out.

    Attributes:
        quiet_seconds: of [completeness], for saying how much of the wait is over.
        stale_association_seconds: the same.
        destinations: the names that are configured, for saying which are not.
    """

    quiet_seconds: float | None = None
    stale_association_seconds: float | None = None
    destinations: tuple[str, ...] | None = None


def not_configured(name: str) -> str:
    """Why nothing goes to a destination, as far as this configuration can tell."""
    return f"destination {name} is not configured on this worker"


def waiting_for(tx: Transaction, job: Any, patience: Patience) -> str | None:
    """One sentence, or None for a job that waits for nothing."""
    state = JobState(job.state)
    if state is not JobState.RUNNING and state is not JobState.RECEIVING and job.images > job.images_taken:
        return "the next sweep: new images arrived"
    match state:
        case JobState.RECEIVING:
            return _completeness(tx, job, patience)
        case JobState.READY:
            paused = job.not_before is not None and job.not_before > tx.now
            return f"the next attempt in {job.not_before - tx.now:.0f} s" if paused else "a free worker"
        case JobState.RUNNING:
            return f"worker {job.lease_worker}, whose lease ends in {job.lease_until - tx.now:.0f} s"
        case JobState.DELIVERING:
            return _destinations(tx, job.id, patience.destinations)
        case JobState.REJECTED:  # the report that says why there is no answer, where a site wants one
            return _destinations(tx, job.id, patience.destinations) or None
        case JobState.HELD:
            return "an operator"
        case _:
            return None


def _completeness(tx: Transaction, job: Any, patience: Patience) -> str:
    quiet = tx.now - job.last_received_at
    found = select(func.count(), func.max(open_associations.c.seen_at)).where(open_associations.c.job_id == job.id)
    if patience.stale_association_seconds is not None:
        found = found.where(open_associations.c.seen_at > tx.now - patience.stale_association_seconds)
    number, seen_at = tx.execute(found).one()
    if number:
        return f"{number} open association(s), last instance {tx.now - seen_at:.0f} s ago"
    looked = last_row(tx, job.id)
    if looked is not None and not looked.complete and looked.images == job.images:
        return _what_lacks(tx.now, looked.evidence, looked.reason)
    of = "" if patience.quiet_seconds is None else f" of {patience.quiet_seconds:g}"
    return f"more images: quiet for {quiet:.0f}{of} s"


def _what_lacks(now: float, evidence: Json, reason: str) -> str:
    """What a quiet study still waits for, and for how long at most."""
    words = "; ".join(evidence.get("waits_for", ())) or reason
    goes_on_at = evidence.get("goes_on_at")
    return words if goes_on_at is None else f"{words}; goes on without in {max(0.0, goes_on_at - now):.0f} s"


def _destinations(tx: Transaction, job_id: int, configured: tuple[str, ...] | None) -> str:
    current = select(results.c.id).where(results.c.job_id == job_id, results.c.superseded_at.is_(None))
    by = (deliveries.c.destination, deliveries.c.state)
    waiting = (
        select(
            *by,
            func.count(),
            func.min(deliveries.c.next_attempt_at),
            func.max(deliveries.c.detail),
            func.max(known.c.next_attempt_at),
        )
        .select_from(deliveries.outerjoin(known, known.c.destination == deliveries.c.destination))
        .where(
            deliveries.c.result_id.in_(current),
            deliveries.c.state.in_((DeliveryState.PENDING, DeliveryState.SENT)),
        )
        .group_by(*by)
        .order_by(*by)
    )
    return "; ".join(
        _destination(tx.now, *row)
        + (f": {not_configured(row[0])}" if configured is not None and row[0] not in configured else "")
        for row in tx.execute(waiting).all()
    )


def _destination(
    now: float, name: str, state: str, number: int, next_attempt_at: float, detail: str, down_until: float | None
) -> str:
    pause = max(0.0, next_attempt_at - now, (down_until or 0.0) - now)
    why = f" ({detail})" if detail else ""
    if state == DeliveryState.SENT:
        return f"{name} to confirm {number} object(s), asked again in {pause:.0f} s{why}"
    return f"{name} to take {number} object(s), next attempt in {pause:.0f} s{why}"
