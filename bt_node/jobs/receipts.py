"""What the listener writes into the job book."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Table, delete, func, insert, select, update

from bt_node.domain.errors import InstanceConflictError
from bt_node.domain.receipt import ReceivedInstance, Refusal
from bt_node.domain.states import JobState
from bt_node.jobs.database import Transaction, insert_or_skip
from bt_node.jobs.moves import FRESH_INPUTS, note_history
from bt_node.jobs.tables import instances, jobs, open_associations, refusals


def known_digest(tx: Transaction, sop_instance_uid: str) -> str | None:
    """Digest of the instance under this UID, if we have it."""
    found = select(instances.c.digest).where(instances.c.sop_instance_uid == sop_instance_uid)
    digest: str | None = tx.execute(found).scalar_one_or_none()
    return digest


def record_instance(tx: Transaction, instance: ReceivedInstance, association: str) -> None:
    """Note an instance that lies durably in the spool; a known one changes nothing but keeps its study open.

    Raises:
        InstanceConflictError: another object has this SOPInstanceUID.
    """
    job_id = _job_of_study(tx, instance)
    facts = {name: value for name, value in asdict(instance).items() if name != "study_instance_uid"}
    row = insert_or_skip(tx, instances).values(job_id=job_id, received_at=tx.now, **facts).on_conflict_do_nothing()
    if _inserted(tx, row, instances):
        _count(tx, job_id, is_image=instance.is_image)
    elif known_digest(tx, instance.sop_instance_uid) != instance.digest:
        raise InstanceConflictError(instance.sop_instance_uid)
    if association:
        _keep_open(tx, job_id, association)


def _job_of_study(tx: Transaction, instance: ReceivedInstance) -> int:
    wanted = select(jobs.c.id).where(jobs.c.study_instance_uid == instance.study_instance_uid)
    job_id: int | None = tx.execute(wanted).scalar_one_or_none()
    if job_id is not None:
        return job_id
    row = {
        "study_instance_uid": instance.study_instance_uid,
        "state": JobState.RECEIVING,
        "created_at": tx.now,
        "state_since": tx.now,
        "last_received_at": tx.now,
        **FRESH_INPUTS,
    }
    born = _inserted(tx, insert_or_skip(tx, jobs).values(row).on_conflict_do_nothing(), jobs)
    job_id = int(tx.execute(wanted).scalar_one())
    if born:
        source = f"from {instance.calling_ae_title}"
        note_history(tx, job_id, None, JobState.RECEIVING, actor="listener", reason=f"first instance, {source}")
    return job_id


def _inserted(tx: Transaction, statement: Any, table: Table) -> bool:
    # RETURNING says so on both databases; PostgreSQL's driver gives no rowcount for an insert.
    return tx.execute(statement.returning(table.c.id)).first() is not None


def _count(tx: Transaction, job_id: int, *, is_image: bool) -> None:
    counted = {
        "instances": jobs.c.instances + 1,
        "images": jobs.c.images + int(is_image),
        "last_received_at": tx.now,
        "purged_at": None,
    }
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(counted))


def _keep_open(tx: Transaction, job_id: int, association: str) -> None:
    row = insert_or_skip(tx, open_associations).values(association=association, job_id=job_id, seen_at=tx.now)
    tx.execute(row.on_conflict_do_update(index_elements=["association", "job_id"], set_={"seen_at": tx.now}))


def note_refusal(tx: Transaction, refusal: Refusal) -> None:
    """Note a C-STORE that was answered with a failure status."""
    tx.execute(insert(refusals).values(at=tx.now, **asdict(refusal)))


def association_closed(tx: Transaction, association: str) -> None:
    """The association ended, released or aborted: it holds no study open any more."""
    tx.execute(delete(open_associations).where(open_associations.c.association == association))


def listener_started(tx: Transaction, listener: str) -> None:
    """A listener that starts has no association open: forget those it had when it died."""
    prefix = f"{listener}/"
    # substr, because LIKE ignores case on SQLite and reads % and _ in a host's name.
    own = func.substr(open_associations.c.association, 1, len(prefix)) == prefix
    tx.execute(delete(open_associations).where(own))
