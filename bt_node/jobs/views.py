"""What a person or a dashboard reads from the job book: plain JSON-able values, times as ISO 8601 UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, or_, select

from bt_node.domain.errors import JobNotFoundError
from bt_node.domain.states import DeliveryState, JobState
from bt_node.jobs.choices import choices
from bt_node.jobs.completeness import arrived_series
from bt_node.jobs.database import Transaction
from bt_node.jobs.review import latest_review
from bt_node.jobs.tables import completeness, deliveries, history, instances, jobs, refusals, results
from bt_node.jobs.values import JobSummary, Json
from bt_node.jobs.waiting import Patience, waiting_for

_MOST_REFUSALS = 100
_OPEN = (DeliveryState.PENDING, DeliveryState.SENT)


def summaries(tx: Transaction, state: JobState | None, limit: int) -> list[JobSummary]:
    """The jobs that moved last, newest first."""
    named = {**dict(jobs.c), "updated_at": jobs.c.state_since.label("updated_at")}
    wanted = select(*[named[name] for name in JobSummary.__dataclass_fields__])
    if state is not None:
        wanted = wanted.where(jobs.c.state == state)
    rows = tx.execute(wanted.order_by(jobs.c.state_since.desc(), jobs.c.id.desc()).limit(limit)).mappings()
    return [_summary(dict(row)) for row in rows]


def _summary(row: Json) -> JobSummary:
    typed = {"state": JobState(row["state"]), "created_at": _utc(row["created_at"])}
    return JobSummary(**{**row, **typed, "updated_at": _utc(row["updated_at"])})


def ids_in(tx: Transaction, state: JobState) -> list[int]:
    """The jobs in a state, by number."""
    return list(tx.execute(select(jobs.c.id).where(jobs.c.state == state).order_by(jobs.c.id)).scalars())


def counts(tx: Transaction) -> dict[JobState, int]:
    """Number of jobs in each state; states without jobs have 0."""
    found = tx.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
    return dict.fromkeys(JobState, 0) | {JobState(state): number for state, number in found}


def view(tx: Transaction, wanted: str | int, patience: Patience) -> Json:
    """Everything about one job; see JobBook.view."""
    job = _find(tx, wanted)
    return {
        "id": job.id,
        "study_instance_uid": job.study_instance_uid,
        "state": job.state,
        "code": job.code,
        "reason": job.reason,
        "waiting_for": waiting_for(tx, job, patience),
        "priority": job.priority,
        "created_at": _iso(job.created_at),
        "updated_at": _iso(job.state_since),
        "last_received_at": _iso(job.last_received_at),
        "analysed_at": _iso(job.analysed_at),
        "not_before": _iso(job.not_before),
        "purged_at": _iso(job.purged_at),
        "assigned": job.assigned or {},
        "attempts": job.attempts,
        "worker": job.lease_worker,
        "lease_until": _iso(job.lease_until),
        "stage": job.stage,
        "instances": job.instances,
        "series": _series(tx, job.id),
        "completeness": _completeness(tx, job.id),
        "roles": job.roles,
        "set_aside": job.set_aside,
        "findings": job.findings,
        "results": _results(tx, job.id, superseded=False),
        "superseded_results": _results(tx, job.id, superseded=True),
        "history": _history(tx, job.id),
        "refusals": _refusals(tx, refusals.c.study_instance_uid == job.study_instance_uid, _MOST_REFUSALS),
        "timings_s": job.timings_s,
        "choices": choices(job),
        "review": _review(tx, job.id),
    }


def _review(tx: Transaction, job_id: int) -> Json | None:
    said = latest_review(tx, job_id)
    return said and {**said, "at": _iso(said["at"])}


def instance_paths(tx: Transaction, job_id: int) -> dict[str, str]:
    """Path below the spool's root of each instance of a job, by SOPInstanceUID."""
    held = select(instances.c.sop_instance_uid, instances.c.path).where(instances.c.job_id == job_id)
    return {row.sop_instance_uid: row.path for row in tx.execute(held).all()}


def _find(tx: Transaction, wanted: str | int) -> Any:
    text = str(wanted)
    match = jobs.c.study_instance_uid == text
    if text.isdecimal() and len(text) < 10:  # noqa: PLR2004 - a longer number does not fit the column, a UID may
        match = or_(match, jobs.c.id == int(text))
    row = tx.execute(select(jobs).where(match).order_by(jobs.c.id).limit(1)).one_or_none()
    if row is None:
        raise JobNotFoundError(text)
    return row


def _series(tx: Transaction, job_id: int) -> list[Json]:
    arrived = arrived_series(tx, job_id)
    columns = (instances.c.series_instance_uid, instances.c.is_image)
    counted = select(*columns, func.count(), func.sum(instances.c.size_bytes)).where(instances.c.job_id == job_id)
    rows = tx.execute(counted.group_by(*columns).order_by(*columns)).all()
    return [
        {"series_instance_uid": uid, "is_image": bool(is_image), "instances": number, "size_bytes": int(size)}
        | {"last_received_at": _iso(arrived[uid].last_received_at)}
        for uid, is_image, number, size in rows
    ]


def _completeness(tx: Transaction, job_id: int) -> list[Json]:
    rows = tx.execute(select(completeness).where(completeness.c.job_id == job_id).order_by(completeness.c.id)).all()
    return [
        {
            "begun_at": _iso(row.begun_at),
            "at": _iso(row.at),
            "images": row.images,
            "complete": bool(row.complete),
            "reason": row.reason,
            "evidence": row.evidence,
        }
        for row in rows
    ]


def _results(tx: Transaction, job_id: int, *, superseded: bool) -> list[Json]:
    of_job = select(results).where(results.c.job_id == job_id).order_by(results.c.id)
    rows = tx.execute(of_job).all()
    sent = _deliveries(tx, [row.id for row in rows])
    return [
        {
            "kind": row.kind,
            "sop_class_uid": row.sop_class_uid,
            "sop_instance_uid": row.sop_instance_uid,
            "series_instance_uid": row.series_instance_uid,
            "series_number": row.series_number,
            "path": row.path,
            "sha256": row.sha256,
            "created_at": _iso(row.created_at),
            "destinations": sent.get(row.id, {}),
        }
        for row in rows
        if (row.superseded_at is not None) == superseded
    ]


def _deliveries(tx: Transaction, result_ids: Sequence[int]) -> dict[int, Json]:
    found: dict[int, Json] = {}
    rows = select(deliveries).where(deliveries.c.result_id.in_(result_ids)).order_by(deliveries.c.destination)
    for row in tx.execute(rows).all():
        found.setdefault(row.result_id, {})[row.destination] = {
            "state": row.state,
            "status": _hex(row.status),
            "detail": row.detail,
            "attempts": row.attempts,
            "next_attempt_at": _iso(row.next_attempt_at) if row.state in _OPEN else None,
            "sent_at": _iso(row.sent_at),
            "proof": row.proof,
            "proof_attempts": row.proof_attempts,
            "times_lost": row.times_lost,
        }
    return found


def _history(tx: Transaction, job_id: int) -> list[Json]:
    rows = tx.execute(select(history).where(history.c.job_id == job_id).order_by(history.c.id)).all()
    return [
        {
            "at": _iso(row.at),
            "from": row.from_state,
            "to": row.to_state,
            "actor": row.actor,
            "code": row.code,
            "reason": row.reason,
        }
        for row in rows
    ]


def latest_refusals(tx: Transaction, limit: int) -> list[Json]:
    """The refusals noted last, newest first, those without a study included."""
    return _refusals(tx, refusals.c.id > 0, limit)


def _refusals(tx: Transaction, wanted: Any, limit: int) -> list[Json]:
    rows = tx.execute(select(refusals).where(wanted).order_by(refusals.c.id.desc()).limit(limit)).all()
    return [
        {
            "at": _iso(row.at),
            "status": _hex(row.status),
            "reason": row.reason,
            "calling_ae_title": row.calling_ae_title,
            "sop_instance_uid": row.sop_instance_uid,
        }
        for row in rows
    ]


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else _utc(seconds).isoformat(timespec="milliseconds")


def _hex(status: int | None) -> str | None:
    return None if status is None else f"0x{status:04X}"
