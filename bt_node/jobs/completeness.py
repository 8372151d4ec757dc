"""Which studies are quiet, what was decided about them, and on what evidence.

The decision itself is made outside any transaction (a source may take its time to answer) and written down only if
the study is still as it was. One row holds one stretch of waiting: it changes while the study waits, and stays once
it has gone on. New images begin a new row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select, update

from bt_node.domain.completeness import KnownGaps
from bt_node.domain.priority import Priority
from bt_node.domain.role import Assigned, Role
from bt_node.domain.states import JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.decisions import assigned_to
from bt_node.jobs.moves import move
from bt_node.jobs.tables import completeness, instances, jobs, open_associations
from bt_node.jobs.values import Json

ACTOR = "timetable"
SERIES_SHORT = "series-short"
GAPS = "gaps"  # key of KnownGaps in the evidence


@dataclass(frozen=True)
class ArrivedSeries:
    """What the listener received of one series: number of instances, and when the last one came (s since 1970)."""

    instances: int
    last_received_at: float


@dataclass(frozen=True)
class QuietStudy:
    """A study for which nothing came for a while and that no living association has open.

    Attributes:
        now: seconds since 1970 by the database's clock.
        last_received_at: when its last instance came, by the same clock.
        images: image instances that arrived.
        series: what arrived, by SeriesInstanceUID.
        calling_ae_titles: who sent it.
        assigned: series that a person gave to roles.
        earlier: evidence stored when it was looked at before, with the same images; empty at the first look.
    """

    id: int
    study_instance_uid: str
    now: float
    last_received_at: float
    images: int
    series: dict[str, ArrivedSeries]
    calling_ae_titles: tuple[str, ...]
    assigned: dict[Role, Assigned] = field(default_factory=dict)
    earlier: Json = field(default_factory=dict)

    @property
    def quiet_s(self) -> float:
        """Seconds since its last instance."""
        return self.now - self.last_received_at


@dataclass(frozen=True)
class Completeness:
    """A decision about a quiet study: whether it goes on, why, and the evidence as plain JSON (UIDs and numbers)."""

    complete: bool
    reason: str
    evidence: Json = field(default_factory=dict)


Decide = Callable[[QuietStudy], Completeness]


def by_quiet_time_alone(study: QuietStudy) -> Completeness:
    """What is decided where nothing else is to be looked at."""
    return Completeness(True, f"quiet for {study.quiet_s:.0f} s with {study.images} images")


def quiet_studies(tx: Transaction, quiet_seconds: float, stale_association_seconds: float) -> list[QuietStudy]:
    """RECEIVING studies to decide about, the longest quiet first."""
    wanted = _quiet(tx, quiet_seconds, stale_association_seconds).order_by(jobs.c.last_received_at, jobs.c.id)
    return [_study(tx, job) for job in tx.execute(wanted).all()]


def _quiet(tx: Transaction, quiet_seconds: float, stale_association_seconds: float) -> Any:
    alive = select(open_associations.c.job_id).where(
        open_associations.c.job_id == jobs.c.id, open_associations.c.seen_at > tx.now - stale_association_seconds
    )
    return select(jobs).where(
        jobs.c.state == JobState.RECEIVING, jobs.c.last_received_at <= tx.now - quiet_seconds, ~alive.exists()
    )


def _study(tx: Transaction, job: Any) -> QuietStudy:
    of_job = instances.c.job_id == job.id
    senders = select(instances.c.calling_ae_title).where(of_job).distinct().order_by(instances.c.calling_ae_title)
    waiting = last_row(tx, job.id)
    same = waiting is not None and not waiting.complete and waiting.images == job.images
    return QuietStudy(
        id=job.id,
        study_instance_uid=job.study_instance_uid,
        now=tx.now,
        last_received_at=job.last_received_at,
        images=job.images,
        series=arrived_series(tx, job.id),
        calling_ae_titles=tuple(tx.execute(senders).scalars()),
        assigned=assigned_to(job),
        earlier=waiting.evidence if same else {},
    )


def arrived_series(tx: Transaction, job_id: int) -> dict[str, ArrivedSeries]:
    """What arrived of each series of a job."""
    columns = (instances.c.series_instance_uid, func.count(), func.max(instances.c.received_at))
    rows = select(*columns).where(instances.c.job_id == job_id).group_by(instances.c.series_instance_uid)
    return {uid: ArrivedSeries(number, last) for uid, number, last in tx.execute(rows).all()}


def write_down(
    tx: Transaction, study: QuietStudy, decided: Completeness, quiet_seconds: float, stale_association_seconds: float
) -> bool:
    """Store a decision with its evidence, and let a complete study go on: RECEIVING -> READY.

    Returns:
        Whether the study went on. A decision about a study that has changed meanwhile is dropped.
    """
    still = _quiet(tx, quiet_seconds, stale_association_seconds).where(jobs.c.id == study.id)
    job = tx.execute(still.with_for_update(key_share=True)).one_or_none()
    if job is None or job.images != study.images:
        return False
    _put(tx, job, decided)
    if decided.complete:
        move(
            tx, job.id, JobState.RECEIVING, JobState.READY, actor=ACTOR, reason=decided.reason,
            images_taken=job.images, priority=max(job.priority, _requested(decided.evidence)),
        )  # fmt: skip
    return decided.complete


def _requested(evidence: Json) -> int:
    """How urgent the headers call the study; a person's word for more stays."""
    return Priority((evidence.get("looked") or {}).get("priority", Priority.ROUTINE)).rank


def _put(tx: Transaction, job: Any, decided: Completeness) -> None:
    values: Json = {"at": tx.now, **vars(decided)}
    last = last_row(tx, job.id)
    if last is not None and not last.complete and last.images == job.images:
        tx.execute(update(completeness).where(completeness.c.id == last.id).values(values))
    else:
        tx.execute(insert(completeness).values(job_id=job.id, begun_at=tx.now, images=job.images, **values))


def last_row(tx: Transaction, job_id: int) -> Any:
    """The latest decision about a job, or None."""
    rows = select(completeness).where(completeness.c.job_id == job_id).order_by(completeness.c.id.desc()).limit(1)
    return tx.execute(rows).one_or_none()


def gaps_of(tx: Transaction, job_id: int) -> KnownGaps:
    """What was known to lack when the job went on the last time."""
    row = last_row(tx, job_id)
    return KnownGaps.from_json({} if row is None else row.evidence.get(GAPS, {}))


def accept_short_series(tx: Transaction, job: Any, actor: str) -> str:
    """Note that a person wants a job that is HELD because series are short to go on; returns words for history."""
    row = last_row(tx, job.id)
    if job.code != SERIES_SHORT or row is None:
        return ""
    accepted = {**row.evidence, GAPS: {**row.evidence.get(GAPS, {}), "accepted_by": actor}}
    tx.execute(update(completeness).where(completeness.c.id == row.id).values(evidence=accepted))
    return " with the images that are there"
