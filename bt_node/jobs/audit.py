"""The audit trail: rows that are only ever added, each with the hash of the one before.

The database's own triggers refuse UPDATE and DELETE (migrations of this table), and `verify` finds what somebody with
more rights than the node's changed all the same. A record is part of the transaction of the thing it tells about:
what cannot be told does not happen.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, text, update

from bt_node.domain.audit import AuditEntry, AuditEvent, AuditRecord, Outcome
from bt_node.domain.result import SendOutcome
from bt_node.jobs.database import Transaction
from bt_node.jobs.tables import audit_exports, audit_trail, instances, jobs, results

FIRST_PREVIOUS = "0" * 64
# Any number that nothing else in the database locks: entries are added one after the other, whoever adds them.
_LOCK = text("SELECT pg_advisory_xact_lock(107841635316833)")
_LAST = select(audit_trail.c.number, audit_trail.c.hash).order_by(audit_trail.c.number.desc()).limit(1)
_AT_ONCE = 1000
_TRIGGERS = {
    "sqlite": text("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_trail'"),
    "postgresql": text(
        "SELECT count(*) FROM pg_trigger"
        " WHERE tgrelid = 'audit_trail'::regclass AND NOT tgisinternal AND tgenabled <> 'D'"
    ),
}
_TRIGGERS_WANTED = {"sqlite": 3, "postgresql": 2}


def append(tx: Transaction, record: AuditRecord) -> None:
    """Add an entry. The last statement of a transaction: other writers of the trail wait from here to its end."""
    if tx.connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        tx.execute(_LOCK)
    last = tx.execute(_LAST).one_or_none()
    number, previous = (last.number + 1, last.hash) if last else (1, FIRST_PREVIOUS)
    entry, event = _entry_text(record), record.event.value
    proof = {"previous": previous, "hash": _hash(number, tx.now, event, entry, previous)}
    tx.execute(insert(audit_trail).values(number=number, at=tx.now, event=event, entry=entry, **proof))


def append_all(tx: Transaction, records: Sequence[AuditRecord]) -> None:
    """Add several; as `append`, after all else that the transaction locks, or two could wait for one another."""
    for record in records:
        append(tx, record)


def _entry_text(record: AuditRecord) -> str:
    content = {
        "actor": record.actor,
        "studies": dict(record.studies),
        "peer": record.peer,
        "address": record.address,
        "detail": record.detail,
        "outcome": int(record.outcome),
        "source": f"{socket.gethostname()}:{os.getpid()}",
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _hash(number: int, at: float, event: str, entry: str, previous: str) -> str:
    # As JSON, so that nothing can move from one column to the next without changing the hash.
    return hashlib.sha256(json.dumps([number, at, event, entry, previous]).encode()).hexdigest()


# ---------------------------------------------------------------- what is told


def what_it_brought(tx: Transaction, association: str, listener: str, address: str | None) -> list[AuditRecord]:
    """What is to be told of an association, from its row for each study; nothing where it brought nothing.

    `address` is the sender's; None where the listener died with the association.
    """
    ended = address is not None
    rows = tx.execute(_BROUGHT, association=association).all()
    if not rows:
        return []
    record = AuditRecord(
        event=AuditEvent.RECEIVED,
        actor=listener,
        studies={row.study_instance_uid: row.instances for row in rows},
        peer=rows[0].calling_ae_title,
        address=address or "",
        detail=f"association {association}" if ended else f"association {association} ended with its listener",
        outcome=Outcome.SUCCESS if ended else Outcome.MINOR_FAILURE,
    )
    return [record]


_BROUGHT = text(
    "SELECT study_instance_uid, a.instances, a.calling_ae_title"
    " FROM open_associations a JOIN jobs ON jobs.id = a.job_id WHERE association = :association ORDER BY jobs.id"
)


def note_accessed(tx: Transaction, study: str, number: int, actor: str, detail: str) -> None:
    """Tell that a study's instances are read."""
    append(tx, AuditRecord(AuditEvent.ACCESSED, actor, {study: number}, detail=detail))


def note_decided(tx: Transaction, job_id: int, actor: str, what: str) -> None:
    """Tell what a person decided about a study."""
    append(tx, AuditRecord(AuditEvent.DECIDED, actor, {_study(tx, job_id): 0}, detail=what))


def note_sent(tx: Transaction, job_id: int, destination: str, outcome: SendOutcome) -> None:
    """Tell that a destination answered to one of our objects; where nothing was answered there is nothing to tell."""
    if outcome.status is None and not outcome.delivered:
        return
    found = select(results.c.kind).where(results.c.sop_instance_uid == outcome.sop_instance_uid)
    kind = tx.execute(found).scalar_one_or_none() or "object"
    record = AuditRecord(
        event=AuditEvent.SENT,
        actor="delivery",
        studies={_study(tx, job_id): 1},
        peer=destination,
        detail=f"{kind} {outcome.sop_instance_uid}",
        outcome=Outcome.SUCCESS if outcome.delivered else Outcome.MINOR_FAILURE,
    )
    append(tx, record)


def note_deleted(tx: Transaction, job_id: int, files: int) -> None:
    """Tell that the files of a study are deleted."""
    append(
        tx, AuditRecord(AuditEvent.DELETED, "retention", {_study(tx, job_id): files}, detail="retention time over")
    )


def _study(tx: Transaction, job_id: int) -> str:
    return str(tx.execute(select(jobs.c.study_instance_uid).where(jobs.c.id == job_id)).scalar_one())


def study_of(tx: Transaction, job_id: int) -> tuple[str, int]:
    """StudyInstanceUID of a job, and how many instances it holds now."""
    number = tx.execute(select(func.count()).where(instances.c.job_id == job_id)).scalar_one()
    return _study(tx, job_id), int(number)


# ---------------------------------------------------------------- reading and proving


def entries(tx: Transaction, after: int, limit: int) -> list[AuditEntry]:
    """Entries with a number above `after`, oldest first."""
    rows = select(audit_trail).where(audit_trail.c.number > after).order_by(audit_trail.c.number).limit(limit)
    return [_entry(row) for row in tx.execute(rows).all()]


def latest(tx: Transaction, limit: int) -> list[AuditEntry]:
    """The last entries, oldest of them first."""
    rows = tx.execute(select(audit_trail).order_by(audit_trail.c.number.desc()).limit(limit)).all()
    return [_entry(row) for row in reversed(rows)]


def _entry(row: Any) -> AuditEntry:
    told = json.loads(row.entry)
    record = AuditRecord(
        event=AuditEvent(row.event),
        actor=told["actor"],
        studies=told["studies"],
        peer=told["peer"],
        address=told["address"],
        detail=told["detail"],
        outcome=Outcome(told["outcome"]),
    )
    return AuditEntry(row.number, row.at, told["source"], record, row.hash)


@dataclass(frozen=True)
class Verification:
    """What was found: number of entries, hash of the last one, and what is wrong (nothing: whole and unchanged)."""

    entries: int
    last_hash: str
    problems: tuple[str, ...]


def verify(tx: Transaction, anchor: tuple[int, str] | None = None) -> Verification:
    """Recompute the whole chain, and look whether the database still protects it.

    Args:
        tx: a transaction.
        anchor: number and hash of an entry that was kept elsewhere: a trail that was cut or written anew differs.
    """
    problems = (
        [] if _protected(tx) else ["the database no longer refuses changes of the trail: its triggers are gone"]
    )
    expected, previous, number = 1, FIRST_PREVIOUS, 0
    for row in _all(tx):
        number = row.number
        if number != expected:
            problems.append(f"entries {expected} to {number - 1} are missing")
        elif row.previous != previous:
            problems.append(f"entry {number} does not follow entry {number - 1}: one of the two was replaced")
        if _hash(number, row.at, row.event, row.entry, row.previous) != row.hash:
            problems.append(f"entry {number} was changed")
        if anchor and anchor[0] == number and anchor[1] != row.hash:
            problems.append(f"entry {number} is not the one that was kept elsewhere")
        expected, previous = number + 1, row.hash
    if anchor and anchor[0] > number:
        problems.append(f"the trail ends with entry {number}, but entry {anchor[0]} was there")
    return Verification(number, previous, tuple(problems))


def _all(tx: Transaction) -> Iterator[Any]:
    after = 0
    while True:
        rows = tx.execute(
            select(audit_trail).where(audit_trail.c.number > after).order_by(audit_trail.c.number).limit(_AT_ONCE)
        ).all()
        if not rows:
            return
        yield from rows
        after = rows[-1].number


def _protected(tx: Transaction) -> bool:
    engine = tx.connection.dialect.name
    return bool(tx.execute(_TRIGGERS[engine]).scalar_one() >= _TRIGGERS_WANTED[engine])


# ---------------------------------------------------------------- who has been given it


def exported_until(tx: Transaction, receiver: str) -> int:
    """Number of the last entry that this receiver was given; 0 for none."""
    known = select(audit_exports.c.number).where(audit_exports.c.receiver == receiver)
    return int(tx.execute(known).scalar_one_or_none() or 0)


def note_exported(tx: Transaction, receiver: str, number: int) -> None:
    """Remember how far a receiver was given the trail; two exports at once never take it back."""
    known = audit_exports.c.receiver == receiver
    if tx.execute(select(audit_exports.c.number).where(known)).one_or_none() is None:
        tx.execute(_FIRST_EXPORT, receiver=receiver)
    tx.execute(update(audit_exports).where(known, audit_exports.c.number < number).values(number=number))


_FIRST_EXPORT = text("INSERT INTO audit_exports (receiver, number) VALUES (:receiver, 0) ON CONFLICT DO NOTHING")
