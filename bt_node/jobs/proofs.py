"""Proof that a destination keeps what it acknowledged: SENT -> DELIVERED, or PENDING again where it did not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, insert, select, update

from bt_node.domain.proof import SAY_MISSING, CommitmentReport, Proof, reason_in_words
from bt_node.domain.states import DeliveryState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked
from bt_node.jobs.outbox import settle
from bt_node.jobs.tables import commitments, deliveries, results
from bt_node.jobs.values import DueDelivery

_BY_COMMITMENT = "kept: storage commitment"


def record_kept(tx: Transaction, item: DueDelivery, proof: Proof, detail: str) -> None:
    """SENT -> DELIVERED: the destination keeps the object, or (UNPROVEN) offers no way to be asked."""
    _kept(tx, _awaited(tx, item), proof, detail)


def record_lost(tx: Transaction, item: DueDelivery, detail: str, pause_s: float) -> None:
    """SENT -> PENDING: the destination acknowledged the object and does not have it; sent again after a pause."""
    _lost(tx, _awaited(tx, item), detail, pause_s)


def record_still_open(tx: Transaction, item: DueDelivery, detail: str, pause_s: float) -> None:
    """The question led to nothing yet; asked again after a pause."""
    noted = {
        "proof_attempts": deliveries.c.proof_attempts + 1,
        "detail": detail,
        "next_attempt_at": tx.now + pause_s,
    }
    tx.execute(update(deliveries).where(_awaited(tx, item)).values(noted))


def commitment_asked(tx: Transaction, transaction_uid: str, items: Sequence[tuple[DueDelivery, float]]) -> None:
    """Note what a storage commitment is asked for, before it is; with each object its pause if it proves lost."""
    for item, pause_s in items:
        row = {"transaction_uid": transaction_uid, "result_id": _result_id(tx, item), "destination": item.destination}
        tx.execute(insert(commitments).values(**row, asked_at=tx.now, pause_s=pause_s))


def commitment_withdrawn(tx: Transaction, transaction_uid: str) -> None:
    """The request was refused: no report will come."""
    tx.execute(delete(commitments).where(commitments.c.transaction_uid == transaction_uid))


def commitment_promised(tx: Transaction, transaction_uid: str, item: DueDelivery, detail: str, wait_s: float) -> None:
    """The destination will report; where it has not done so within `wait_s`, it is asked again."""
    asked = and_(commitments.c.transaction_uid == transaction_uid, commitments.c.result_id == _result_id(tx, item))
    if tx.execute(select(commitments.c.result_id).where(asked)).first() is not None:  # not reported in the meantime
        record_still_open(tx, item, detail, wait_s)


def commitment_reported(tx: Transaction, report: CommitmentReport) -> bool:
    """Write down an N-EVENT-REPORT; jobs are settled. False: nobody asked under this TransactionUID."""
    asked = select(commitments, results.c.sop_instance_uid, results.c.job_id).where(
        commitments.c.transaction_uid == report.transaction_uid, commitments.c.result_id == results.c.id
    )
    rows = tx.execute(asked).all()
    # Jobs first and in order, as everybody locks them, so that nobody waits in a circle.
    job_ids = sorted({row.job_id for row in rows})
    for job_id in job_ids:
        locked(tx, job_id)
    stored = {instance for _, instance in report.stored}
    failed = {instance: reason for _, instance, reason in report.failed}
    for row in rows:
        if row.sop_instance_uid in failed:
            _reported_failed(tx, row, failed[row.sop_instance_uid])
        elif row.sop_instance_uid in stored:
            _kept(tx, _of(row), Proof.COMMITMENT, _BY_COMMITMENT)
        else:
            continue  # neither: asked again when the time is over
        answered = (commitments.c.transaction_uid == report.transaction_uid) & (
            commitments.c.result_id == row.result_id
        )
        tx.execute(delete(commitments).where(answered))
    for job_id in job_ids:
        settle(tx, job_id)
    return bool(rows)


def _reported_failed(tx: Transaction, row: Any, reason: int) -> None:
    words = f"storage commitment: {reason_in_words(reason)}"
    # An old report says nothing about what was sent again since.
    current = and_(_of(row), deliveries.c.sent_at <= row.asked_at)
    if reason in SAY_MISSING:
        _lost(tx, current, words, row.pause_s)
    else:
        asked = deliveries.c.proof_attempts + 1
        noted = {"detail": words, "next_attempt_at": tx.now + row.pause_s, "proof_attempts": asked}
        tx.execute(update(deliveries).where(current).values(noted))


def _kept(tx: Transaction, where: Any, proof: Proof, detail: str) -> None:
    tx.execute(update(deliveries).where(where).values(state=DeliveryState.DELIVERED, proof=proof, detail=detail))


def _lost(tx: Transaction, where: Any, detail: str, pause_s: float) -> None:
    again = {
        "state": DeliveryState.PENDING,
        "times_lost": deliveries.c.times_lost + 1,
        "detail": f"acknowledged, but not kept ({detail}); sent again",
        "next_attempt_at": tx.now + pause_s,
    }
    tx.execute(update(deliveries).where(where).values(again))


def _of(row: Any) -> Any:
    return and_(
        deliveries.c.result_id == row.result_id,
        deliveries.c.destination == row.destination,
        deliveries.c.state == DeliveryState.SENT,
    )


def _awaited(tx: Transaction, item: DueDelivery) -> Any:
    return and_(
        deliveries.c.result_id == _result_id(tx, item),
        deliveries.c.destination == item.destination,
        deliveries.c.state == DeliveryState.SENT,
    )


def _result_id(tx: Transaction, item: DueDelivery) -> int:
    found = select(results.c.id).where(
        results.c.job_id == item.job_id, results.c.sop_instance_uid == item.sop_instance_uid
    )
    return int(tx.execute(found).scalar_one())
