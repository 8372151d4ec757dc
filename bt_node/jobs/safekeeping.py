"""What the job book says about files, for the reconciler that compares it with the spool."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import and_, func, or_, select

from bt_node.domain.receipt import HeldInstance
from bt_node.domain.states import DeliveryState, JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked, move
from bt_node.jobs.outbox import settle
from bt_node.jobs.receipts import HELD
from bt_node.jobs.review import RESULT_HELD
from bt_node.jobs.tables import deliveries, instances, jobs, results
from bt_node.jobs.values import RecordedFile, WaitingResult

ACTOR = "reconciler"
FILES_WANTED = ("files-lost", "files-damaged")
RESULT_DAMAGED = "result-damaged"

_NAMED = 3  # UIDs in a reason; the others are counted
# The files of these are not needed any more: retention may be deleting them this moment.
_FILES_MAY_GO = (JobState.DONE, JobState.REJECTED, JobState.CANCELLED)


def study_paths(tx: Transaction, study_instance_uid: str) -> set[str]:
    """Spool paths of all instances that are recorded for a study."""
    of_study = instances.join(jobs, jobs.c.id == instances.c.job_id)
    found = select(instances.c.path).select_from(of_study).where(jobs.c.study_instance_uid == study_instance_uid)
    return set(tx.execute(found).scalars())


def recorded_by_study(tx: Transaction) -> dict[str, int]:
    """How many instances are recorded, by StudyInstanceUID."""
    rows = tx.execute(select(jobs.c.study_instance_uid, jobs.c.instances)).all()
    return {row.study_instance_uid: row.instances for row in rows}


def last_paths(tx: Transaction, limit: int) -> list[str]:
    """Spool paths of the instances that were recorded last."""
    return list(tx.execute(select(instances.c.path).order_by(instances.c.id.desc()).limit(limit)).scalars())


def jobs_that_need_files(tx: Transaction) -> list[tuple[int, JobState, str]]:
    """Number, state and code of each job whose received files must be there, oldest first."""
    needed = select(jobs.c.id, jobs.c.state, jobs.c.code).where(jobs.c.state.not_in(_FILES_MAY_GO))
    return [(row.id, JobState(row.state), row.code) for row in tx.execute(needed.order_by(jobs.c.id)).all()]


def files_are_back(tx: Transaction, job_id: int) -> bool:
    """HELD for want of files -> READY, because all of them are in the spool again; False when it has moved since."""
    job = locked(tx, job_id)
    if job.state != JobState.HELD or job.code not in FILES_WANTED:
        return False
    anew: dict[str, Any] = {"attempts": 0, "not_before": None, "stage": ""}
    reason = "the images that were lost or damaged are in the spool again"
    move(tx, job_id, JobState.HELD, JobState.READY, actor=ACTOR, reason=reason, **anew)
    return True


def input_files(tx: Transaction, job_id: int) -> dict[str, HeldInstance]:
    """What is recorded of each instance of a job, by SOPInstanceUID."""
    rows = tx.execute(select(instances.c.sop_instance_uid, *HELD).where(instances.c.job_id == job_id)).all()
    return {uid: HeldInstance(*facts) for uid, *facts in rows}


def recorded_after(tx: Transaction, number: int, limit: int) -> list[RecordedFile]:
    """The next files in the order of their rows' numbers."""
    columns = (instances.c.id, instances.c.job_id, instances.c.sop_instance_uid, instances.c.size_bytes, *HELD)
    rows = select(*columns).where(instances.c.id > number).order_by(instances.c.id).limit(limit)
    return [RecordedFile(row[0], row[1], row[2], row[3], HeldInstance(*row[4:])) for row in tx.execute(rows).all()]


def last_recorded(tx: Transaction) -> int:
    """The greatest row's number, 0 where there is none."""
    return int(tx.execute(select(func.max(instances.c.id))).scalar_one() or 0)


def waiting_results(tx: Transaction) -> list[WaitingResult]:
    """Results that are to leave, or may leave once a person says so."""
    pending = select(deliveries.c.result_id).where(
        deliveries.c.result_id == results.c.id, deliveries.c.state == DeliveryState.PENDING
    )
    may_leave = or_(
        and_(jobs.c.state.in_((JobState.DELIVERING, JobState.REJECTED)), pending.exists()),
        and_(jobs.c.state == JobState.HELD, jobs.c.code == RESULT_HELD),
    )
    found = (
        select(results.c.job_id, results.c.sop_instance_uid, results.c.path, results.c.sha256)
        .select_from(results.join(jobs, jobs.c.id == results.c.job_id))
        .where(results.c.superseded_at.is_(None), jobs.c.purged_at.is_(None), may_leave)
        .order_by(results.c.id)
    )
    return [WaitingResult(**row) for row in tx.execute(found).mappings()]


def make_again(tx: Transaction, job_id: int, damaged: Sequence[str]) -> bool:
    """Run a job again whose stored results are not what was recorded; see JobBook.make_again."""
    job = locked(tx, job_id)
    if job.state not in (JobState.DELIVERING, JobState.HELD, JobState.REJECTED) or job.purged_at is not None:
        return False
    anew: dict[str, Any] = {"attempts": 0, "not_before": None, "stage": ""}
    reason = f"{named(damaged)} in the spool is not what was made; it is made again"
    move(
        tx, job_id, JobState(job.state), JobState.READY, actor=ACTOR, code=RESULT_DAMAGED, reason=reason, **anew
    )  # fmt: skip
    return True


def settle_all(tx: Transaction) -> list[int]:
    """Settle jobs in delivery whose deliveries are all over; see JobBook.settle_all."""
    still_open = select(deliveries.c.result_id).where(
        deliveries.c.result_id == results.c.id,
        results.c.job_id == jobs.c.id,
        results.c.superseded_at.is_(None),
        deliveries.c.state.in_((DeliveryState.PENDING, DeliveryState.SENT)),
    )
    over = select(jobs.c.id).where(jobs.c.state == JobState.DELIVERING, ~still_open.exists())
    return [
        job_id
        for job_id in tx.execute(over.order_by(jobs.c.id)).scalars().all()
        if settle(tx, job_id) is not JobState.DELIVERING
    ]


def named(uids: Sequence[str]) -> str:
    """The first few of a list of UIDs, and how many more there are."""
    more = len(uids) - _NAMED
    return ", ".join(uids[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def unrecorded_results(tx: Transaction, job_id: int, paths: Collection[str]) -> set[str]:
    """Those of `paths` (below the spool's root) that no result names; none while the job runs: it may be about to."""
    row = tx.execute(select(jobs.c.state).where(jobs.c.id == job_id)).one_or_none()
    if row is not None and row.state == JobState.RUNNING:
        return set()
    known = select(results.c.path).where(results.c.job_id == job_id)
    return set(paths) - set(tx.execute(known).scalars())
