"""Destinations as a whole: one courier at a time for each, pauses while one is down, giving up after hours."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, delete, literal, or_, select, text, update

from bt_node.domain.states import DeliveryState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked
from bt_node.jobs.outbox import settle
from bt_node.jobs.tables import commitments, deliveries, jobs, results
from bt_node.jobs.tables import destinations as known

_KEEP = text(
    "INSERT INTO destinations (destination, failures, next_attempt_at, detail) VALUES (:name, 0, 0, '')"
    " ON CONFLICT DO NOTHING"
)
_FOREVER_UNPROVEN = "never proven to be kept: "


def take(tx: Transaction, name: str, courier: str, seconds: float) -> bool:
    """Be the one courier of a destination for so long; False while another one is.

    An end further away than any courier asks for is one that a clock set back left behind: it does not count.
    """
    tx.execute(_KEEP, name=name)
    free = or_(
        known.c.courier.is_(None),
        known.c.courier == courier,
        known.c.courier_until <= tx.now,
        known.c.courier_until > tx.now + seconds,
    )
    mine = {"courier": courier, "courier_until": tx.now + seconds}
    return bool(tx.execute(update(known).where(known.c.destination == name, free).values(mine)).rowcount == 1)


def leave(tx: Transaction, name: str, courier: str) -> None:
    """Let the next courier have it. The time stays: it says that the destination is served."""
    mine = and_(known.c.destination == name, known.c.courier == courier)
    tx.execute(update(known).where(mine).values(courier=None, courier_until=tx.now))


def failures(tx: Transaction, name: str) -> int:
    """How often in a row the destination could not be reached."""
    return int(tx.execute(select(known.c.failures).where(known.c.destination == name)).scalar_one_or_none() or 0)


def note_down(tx: Transaction, name: str, detail: str, pause_s: float) -> None:
    """The destination cannot be reached: nothing is tried for `pause_s`, and all that waits for it says why."""
    tx.execute(_KEEP, name=name)
    down = {"failures": known.c.failures + 1, "next_attempt_at": tx.now + pause_s, "detail": detail}
    tx.execute(update(known).where(known.c.destination == name).values(down))
    waiting = and_(
        deliveries.c.destination == name,
        deliveries.c.state == DeliveryState.PENDING,
        deliveries.c.times_lost == 0,  # what it lost before is the worse news
    )
    tx.execute(update(deliveries).where(waiting).values(detail=detail, status=None))


def note_up(tx: Transaction, name: str) -> None:
    """The destination answers."""
    up = {"failures": 0, "next_attempt_at": 0.0, "detail": ""}
    tx.execute(update(known).where(known.c.destination == name, known.c.failures > 0).values(up))


def give_up(tx: Transaction, name: str, after_s: float) -> list[int]:
    """PENDING or SENT -> FAILED for what has been tried in vain for `after_s` since it was queued; settles the jobs.

    What was never tried since (`attempts` 0, destination not down) is not given up because of its age.
    """
    down = select(known.c.destination).where(known.c.destination == name, known.c.failures > 0)
    tried = or_(
        deliveries.c.state == DeliveryState.SENT,
        and_(deliveries.c.state == DeliveryState.PENDING, or_(deliveries.c.times_lost > 0, down.exists())),
    )
    old = and_(deliveries.c.destination == name, tried, deliveries.c.queued_at <= tx.now - after_s)
    standing = and_(deliveries.c.result_id == results.c.id, results.c.superseded_at.is_(None))
    found = select(results.c.job_id).where(standing, old, jobs.c.id == results.c.job_id).distinct()
    job_ids = sorted(tx.execute(found).scalars())
    for job_id in job_ids:
        locked(tx, job_id)
        _give_up_of(tx, job_id, old)
        settle(tx, job_id)
    return job_ids


def _give_up_of(tx: Transaction, job_id: int, old: Any) -> None:
    mine = deliveries.c.result_id.in_(select(results.c.id).where(results.c.job_id == job_id))
    unproven = and_(mine, old, deliveries.c.state == DeliveryState.SENT)
    words = literal(_FOREVER_UNPROVEN) + deliveries.c.detail
    tx.execute(update(deliveries).where(unproven).values(state=DeliveryState.FAILED, detail=words))
    tx.execute(update(deliveries).where(mine, old).values(state=DeliveryState.FAILED))


def forget_commitments(tx: Transaction, name: str, after_s: float) -> None:
    """Requests that nobody will report on any more."""
    old = and_(commitments.c.destination == name, commitments.c.asked_at <= tx.now - after_s)
    tx.execute(delete(commitments).where(old))
