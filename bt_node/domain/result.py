"""Result objects on their way out, and what a destination answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ResultKind(StrEnum):
    """The kinds of objects this node makes."""

    SEG = "SEG"  # exclusive regions NCR, ED, ET
    SEG_DERIVED = "SEG_DERIVED"  # nested regions TC, WT
    SR = "SR"  # TID 1500 report
    NOT_ANSWERED = "NOT_ANSWERED"  # TID 1500 report that says why there is no answer


@dataclass(frozen=True)
class EncodedObject:
    """A DICOM Part 10 file in memory, read back and found equal to what was meant."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    content: bytes


@dataclass(frozen=True)
class EarlierReport:
    """A report on the same study that an archive may hold already."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True)
class SendOutcome:
    """What became of one object at one destination.

    Attributes:
        sop_instance_uid: the object.
        status: the C-STORE status (PS3.4 Table B.2-1), or None when none came back.
        delivered: the status is success or a warning that says "stored".
        detail: short words for the operator: "stored", "no association: connection refused",
            "presentation context not accepted: Comprehensive 3D SR Storage", …
        permanent: sending the same object again cannot help (the SOP class is not accepted, for example);
            it is still tried again, slowly, because an administrator may mend the destination.
        unreachable: the destination could not be reached, or was left before this object's turn: nothing was sent,
            and it says nothing about the object.
        withdrawn: it may not leave any more (its job was cancelled, for example): nothing was sent.
    """

    sop_instance_uid: str
    status: int | None
    delivered: bool
    detail: str
    permanent: bool = False
    unreachable: bool = False
    withdrawn: bool = False
