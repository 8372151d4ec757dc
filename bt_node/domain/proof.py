"""Proof of safe keeping: what a destination says when it is asked whether it keeps an object.

A success status of C-STORE or STOW is the destination's word at that moment. Storage commitment (PS3.4 Annex J) is
its promise to keep the object; a query that finds the object says that whoever looks for it can find it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProofWanted(StrEnum):
    """What a site asks of a destination: `proof` in [[destinations]]."""

    AUTO = "auto"  # commitment where it is offered, else a query, else nothing, and the job book says "unproven"
    COMMITMENT = "commitment"
    QUERY = "query"
    NONE = "none"


class Proof(StrEnum):
    """How it is known that a destination keeps an object. The words are those in the database."""

    COMMITMENT = "commitment"  # N-EVENT-REPORT of storage commitment
    QUERY = "query"  # found by C-FIND or QIDO-RS
    UNPROVEN = "unproven"  # its success status alone: it offers no way to ask


class Answer(StrEnum):
    """What came of asking about one object."""

    KEPT = "kept"
    MISSING = "missing"  # the destination says that it does not have it
    PROMISED = "promised"  # storage commitment was asked for; the report comes later, on this association or another
    UNCLEAR = "unclear"  # asked, and no usable answer came
    NOT_OFFERED = "not offered"  # it accepts none of the ways to ask
    UNREACHABLE = "unreachable"  # it could not be asked at all


@dataclass(frozen=True)
class Reference:
    """An object by its UIDs."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True)
class ProofOutcome:
    """What a destination said about one object.

    Attributes:
        proof: by which way it was asked; None where none was offered.
        detail: short words for the operator.
    """

    sop_instance_uid: str
    answer: Answer
    proof: Proof | None
    detail: str


@dataclass(frozen=True)
class CommitmentReport:
    """An N-EVENT-REPORT of storage commitment (PS3.4 Table J.3-2).

    Attributes:
        stored: SOP class and instance UID of each object that is kept.
        failed: the same with the Failure Reason (0008,1197) of each one that is not.
    """

    transaction_uid: str
    stored: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str, int], ...]


# Failure Reason (0008,1197), PS3.3 C.14.1.1: these say that the archive has no such object. With the others
# (processing failure, resource limitation, SOP class not supported, duplicate transaction UID) it may be safe there.
SAY_MISSING = frozenset({0x0112, 0x0119})

_REASONS = {
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class/instance conflict",
    0x0122: "SOP class not supported",
    0x0131: "duplicate transaction UID",
    0x0213: "resource limitation",
}


def reason_in_words(reason: int) -> str:
    """Failure Reason (0008,1197) in words, with its number."""
    return f"{_REASONS.get(reason, 'unknown reason')} (0x{reason:04X})"
