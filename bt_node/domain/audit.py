"""What is told to the audit trail: who did what to which studies, in UIDs, titles and words of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class AuditEvent(StrEnum):
    """What happened; PS3.15 A.5.3 has an audit message for each."""

    STARTED = "application-started"
    STOPPED = "application-stopped"
    RECEIVED = "instances-received"
    ACCESSED = "instances-accessed"
    SENT = "instances-sent"
    DELETED = "study-deleted"
    DECIDED = "person-decided"
    REFUSED = "association-refused"
    TRAIL_READ = "audit-trail-read"


class Outcome(IntEnum):
    """EventOutcomeIndicator of PS3.15 A.5.1."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8


@dataclass(frozen=True)
class AuditRecord:
    """One thing that happened.

    Attributes:
        actor: who did it: a process ("host:port", "host:pid"), or a person ("cli:ann").
        studies: number of instances by StudyInstanceUID; 0 where the number has no meaning.
        peer: AE title or configured name of the other side of a transfer.
        address: network address of the other side, where it is known.
        detail: our own words, never a peer's.
    """

    event: AuditEvent
    actor: str
    studies: Mapping[str, int] = field(default_factory=dict)
    peer: str = ""
    address: str = ""
    detail: str = ""
    outcome: Outcome = Outcome.SUCCESS


@dataclass(frozen=True)
class AuditEntry:
    """A record as the trail keeps it.

    Attributes:
        number: 1 for the first entry, without gaps.
        at: seconds since 1970 (UTC) by the database's clock.
        source: host and process that wrote it.
        hash: SHA-256 (hex) over this entry and the hash of the one before.
    """

    number: int
    at: float
    source: str
    record: AuditRecord
    hash: str
