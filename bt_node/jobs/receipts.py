"""What the listener writes into the job book.

A C-STORE waits for this, so its statements are plain SQL, which SQLite and PostgreSQL write alike (ON CONFLICT,
RETURNING), and go to the driver's own cursor: 0.22 ms for an instance, where the same statements through SQLAlchemy's
`execute` take 0.53 ms. The transaction around them is SQLAlchemy's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import TextClause, delete, func, insert, select, text
from sqlalchemy.engine import Dialect

from bt_node.domain.errors import BookUnavailableError, InstanceConflictError
from bt_node.domain.receipt import HeldInstance, ReceivedInstance, Refusal
from bt_node.domain.states import JobState
from bt_node.jobs.audit import append_all, what_it_brought
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import note_history
from bt_node.jobs.tables import instances, open_associations, refusals

_ASKED_AT_ONCE = 500  # SQLite takes 32,766 parameters, older ones 999

_DIGEST = text("SELECT digest FROM instances WHERE sop_instance_uid = :uid")
_JOB_OF_STUDY = text("SELECT id FROM jobs WHERE study_instance_uid = :study")
_NEW_JOB = text(
    "INSERT INTO jobs (study_instance_uid, state, created_at, state_since, last_received_at,"
    " roles, set_aside, findings, timings_s)"
    " VALUES (:study, :state, :now, :now, :now, '[]', '[]', '{}', '{}') ON CONFLICT DO NOTHING RETURNING id"
)
_NEW_INSTANCE = text(
    "INSERT INTO instances (job_id, sop_instance_uid, sop_class_uid, series_instance_uid, transfer_syntax_uid,"
    " path, size_bytes, digest, calling_ae_title, is_image, received_at)"
    " VALUES (:job_id, :sop_instance_uid, :sop_class_uid, :series_instance_uid, :transfer_syntax_uid,"
    " :path, :size_bytes, :digest, :calling_ae_title, :is_image, :now) ON CONFLICT DO NOTHING RETURNING id"
)
_COUNT = text(
    "UPDATE jobs SET instances = instances + 1, images = images + :images, last_received_at = :now, purged_at = NULL"
    " WHERE id = :job_id"
)
# Sent again: retention leaves the study alone for a while, also between two associations.
_TOUCH = text("UPDATE jobs SET last_received_at = :now WHERE id = :job_id")
_REPLACE_LOST = text(
    "UPDATE instances SET sop_class_uid = :sop_class_uid, transfer_syntax_uid = :transfer_syntax_uid,"
    " size_bytes = :size_bytes, digest = :digest, calling_ae_title = :calling_ae_title, received_at = :now"
    " WHERE sop_instance_uid = :sop_instance_uid AND path = :path RETURNING id"
)
_KEEP_OPEN = text(
    "INSERT INTO open_associations (association, job_id, seen_at, calling_ae_title, instances)"
    " VALUES (:association, :job_id, :now, :calling_ae_title, 1)"
    " ON CONFLICT (association, job_id) DO UPDATE"
    " SET seen_at = excluded.seen_at, instances = open_associations.instances + 1"
)

# The columns of HeldInstance.
HELD = (instances.c.sop_class_uid, instances.c.path, instances.c.digest, instances.c.transfer_syntax_uid)


@cache
def _driver_text(statement: TextClause, dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
    """A statement in the driver's own style of parameters: by name, or in an order."""
    compiled: Any = statement.compile(dialect=dialect)
    return compiled.string, tuple(compiled.positiontup) if compiled.positional else None


class _Cursor:
    """The driver's cursor on the transaction's connection."""

    def __init__(self, tx: Transaction) -> None:
        self._dialect = tx.connection.dialect
        self._cursor = tx.connection.connection.cursor()

    def run(self, statement: TextClause, **parameters: Any) -> None:
        sql, order = _driver_text(statement, self._dialect)
        self._cursor.execute(sql, parameters if order is None else tuple(parameters[name] for name in order))

    def value(self, statement: TextClause, **parameters: Any) -> Any:
        """First column of the first row, None where there is no row."""
        self.run(statement, **parameters)
        row = self._cursor.fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        self._cursor.close()


@contextmanager
def _cursor(tx: Transaction) -> Iterator[_Cursor]:
    """The driver's cursor; its trouble worded as that of the book."""
    dbapi: Any = tx.connection.dialect.loaded_dbapi
    cursor = _Cursor(tx)
    try:
        yield cursor
    except (dbapi.IntegrityError, dbapi.ProgrammingError, dbapi.DataError):
        raise  # a mistake in our statements
    except dbapi.Error as failure:
        raise BookUnavailableError(str(failure)) from failure
    finally:
        cursor.close()


def held_instances(tx: Transaction, sop_instance_uids: Collection[str]) -> dict[str, HeldInstance]:
    """What is recorded of these instances, by their UID."""
    columns = (instances.c.sop_instance_uid, *HELD)
    wanted, held = list(sop_instance_uids), dict[str, HeldInstance]()
    for start in range(0, len(wanted), _ASKED_AT_ONCE):
        some = instances.c.sop_instance_uid.in_(wanted[start : start + _ASKED_AT_ONCE])
        held |= {uid: HeldInstance(*facts) for uid, *facts in tx.execute(select(*columns).where(some)).all()}
    return held


def record_instances(
    tx: Transaction, received: Sequence[tuple[ReceivedInstance, str]]
) -> list[InstanceConflictError | None]:
    """Note instances that lie durably in the spool, each with its association; for each what stands against it.

    A known one changes nothing but keeps its study open; one whose SOPInstanceUID names another object does nothing.
    """
    with _cursor(tx) as cursor:
        return [_record(tx, cursor, instance, association) for instance, association in received]


def _record(
    tx: Transaction, cursor: _Cursor, instance: ReceivedInstance, association: str
) -> InstanceConflictError | None:
    known = cursor.value(_DIGEST, uid=instance.sop_instance_uid)
    if known not in {None, instance.digest}:
        return InstanceConflictError(instance.sop_instance_uid)
    job_id = cursor.value(_JOB_OF_STUDY, study=instance.study_instance_uid) or _new_job(tx, cursor, instance)
    if known is not None:
        cursor.run(_TOUCH, job_id=job_id, now=tx.now)
        # The row of the job may have been retention's until now, and the instance's gone with it.
        known = cursor.value(_DIGEST, uid=instance.sop_instance_uid)
    if known is None:
        if cursor.value(_NEW_INSTANCE, **vars(instance), job_id=job_id, now=tx.now) is not None:
            cursor.run(_COUNT, job_id=job_id, images=int(instance.is_image), now=tx.now)
        elif cursor.value(_DIGEST, uid=instance.sop_instance_uid) != instance.digest:  # another listener was faster
            return InstanceConflictError(instance.sop_instance_uid)
    if association:
        title = instance.calling_ae_title
        cursor.run(_KEEP_OPEN, association=association, job_id=job_id, now=tx.now, calling_ae_title=title)
    return None


def replace_lost(tx: Transaction, instance: ReceivedInstance) -> bool:
    """Record another object in the place of one whose file is gone; see JobBook.replace_lost."""
    columns = ("sop_class_uid", "transfer_syntax_uid", "size_bytes", "digest", "calling_ae_title")
    facts = {name: getattr(instance, name) for name in (*columns, "sop_instance_uid", "path")}
    with _cursor(tx) as cursor:
        return cursor.value(_REPLACE_LOST, **facts, now=tx.now) is not None


def _new_job(tx: Transaction, cursor: _Cursor, instance: ReceivedInstance) -> int:
    study = instance.study_instance_uid
    born: int | None = cursor.value(_NEW_JOB, study=study, state=JobState.RECEIVING.value, now=tx.now)
    if born is None:  # another listener was faster
        return int(cursor.value(_JOB_OF_STUDY, study=study))
    reason = f"first instance, from {instance.calling_ae_title}"
    note_history(tx, born, None, JobState.RECEIVING, actor="listener", reason=reason)
    return born


def note_refusal(tx: Transaction, refusal: Refusal) -> None:
    """Note a C-STORE that was answered with a failure status."""
    tx.execute(insert(refusals).values(at=tx.now, **vars(refusal)))


def association_closed(tx: Transaction, association: str, address: str) -> None:
    """The association ended, released or aborted: it holds no study open any more; the trail has what it brought."""
    brought = what_it_brought(tx, association, association.rpartition("/")[0], address)
    tx.execute(delete(open_associations).where(open_associations.c.association == association))
    append_all(tx, brought)


def listener_started(tx: Transaction, listener: str) -> None:
    """A listener that starts has no association open: forget those it had when it died."""
    prefix = f"{listener}/"
    # substr, because LIKE ignores case on SQLite and reads % and _ in a host's name.
    own = func.substr(open_associations.c.association, 1, len(prefix)) == prefix
    associations = tx.execute(select(open_associations.c.association).where(own).distinct()).scalars().all()
    brought = [each for name in associations for each in what_it_brought(tx, name, listener, None)]
    tx.execute(delete(open_associations).where(own))
    append_all(tx, brought)
