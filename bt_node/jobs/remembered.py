"""What the job book keeps for follow-ups: one row for each report, found again by a keyed hash of the patient.

The row outlives the study's files, so that the next study of the patient can be compared. It holds volumes, places
inside the head and UIDs, the day of the study and the hash; without the site's key nobody can tell whose it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import and_, delete, exists, insert, or_, select

from bt_node.domain.follow_up import FormerObject, FormerStudy, Remembered
from bt_node.domain.receipt import HeldInstance
from bt_node.domain.result import ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.outbox import ARRIVED
from bt_node.jobs.receipts import HELD
from bt_node.jobs.tables import deliveries, instances, jobs, remembered, results
from bt_node.jobs.values import StoredResult

_MADE = "objects"  # SOPInstanceUIDs


def remember(tx: Transaction, job_id: int, memory: Remembered | None, made: Sequence[StoredResult]) -> None:
    """Keep `memory` beside the report that the job has now, and which objects were made with it.

    None forgets what was kept beside it.
    """
    current = select(results.c.id).where(
        results.c.job_id == job_id, results.c.kind == ResultKind.SR, results.c.superseded_at.is_(None)
    )
    report = tx.execute(current.order_by(results.c.id.desc()).limit(1)).scalar_one_or_none()
    if report is None:
        return
    tx.execute(delete(remembered).where(remembered.c.result_id == report))
    if memory is not None:
        uids = [each.sop_instance_uid for each in made]
        row = {"subject_hash": memory.patient_hash, "study_day": memory.study_day.isoformat()}
        tx.execute(insert(remembered).values(result_id=report, facts={**memory.facts(), _MADE: uids}, **row))


def former_study(tx: Transaction, patient_hash: str, before: date, not_job: int) -> FormerStudy | None:
    """The latest study of this patient on a day before `before` whose report has arrived somewhere; see JobBook."""
    sent = exists().where(deliveries.c.result_id == results.c.id, deliveries.c.state.in_(ARRIVED))
    queued = exists().where(deliveries.c.result_id == results.c.id)
    kept_here = and_(jobs.c.state == JobState.DONE, ~queued)  # a node without destinations
    rows = (
        select(remembered, results.c.job_id, results.c.superseded_at, jobs.c.study_instance_uid)
        .select_from(remembered.join(results, results.c.id == remembered.c.result_id))
        .join(jobs, jobs.c.id == results.c.job_id)
        .where(
            remembered.c.subject_hash == patient_hash,
            remembered.c.study_day < before.isoformat(),
            results.c.job_id != not_job,
            or_(sent, kept_here),
        )
        .order_by(remembered.c.study_day.desc(), results.c.id.desc())
        .limit(1)
    )
    row = tx.execute(rows).one_or_none()
    return None if row is None else _former(tx, row)


def _former(tx: Transaction, row: Any) -> FormerStudy:
    memory = Remembered.of_facts(row.subject_hash, date.fromisoformat(row.study_day), row.facts)
    return FormerStudy(
        job_id=row.job_id,
        study_instance_uid=row.study_instance_uid,
        remembered=memory,
        objects=_objects(tx, row),
        reference=_reference(tx, row.job_id, memory.reference_series_uid),
    )


def _objects(tx: Transaction, row: Any) -> tuple[FormerObject, ...]:
    """The objects that were made together with the report, in their order.

    One of them may stand although the report was superseded: a later run may have made the same outline again.
    """
    columns = [results.c[name] for name in FormerObject.__dataclass_fields__]
    of_job = select(*columns).where(results.c.job_id == row.job_id)
    made = row.facts.get(_MADE)
    if made is None:  # remembered by an earlier version, whose objects were superseded together or not at all
        same = row.superseded_at
        together = results.c.superseded_at.is_(None) if same is None else results.c.superseded_at == same
    else:
        together = results.c.sop_instance_uid.in_(made)
    found = [
        FormerObject(**{**each, "kind": ResultKind(each["kind"])})
        for each in tx.execute(of_job.where(together).order_by(results.c.id)).mappings()
    ]
    return tuple(sorted(found, key=lambda each: made.index(each.sop_instance_uid)) if made else found)


def _reference(tx: Transaction, job_id: int, series_instance_uid: str) -> dict[str, HeldInstance]:
    held = select(instances.c.sop_instance_uid, *HELD).where(
        instances.c.job_id == job_id, instances.c.series_instance_uid == series_instance_uid
    )
    return {uid: HeldInstance(*facts) for uid, *facts in tx.execute(held).all()}
