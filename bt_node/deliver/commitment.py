"""Storage commitment as SCU, push model (PS3.4 Annex J): the request, and what a report says."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pynetdicom.association import Association

from bt_node.domain.proof import CommitmentReport, Reference

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  # Push Model SOP Class
_WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"  # PS3.4 J.3.5
_REQUEST_STORAGE_COMMITMENT = 1  # Action Type ID, PS3.4 Table J.3-1
_SUCCESS = 0x0000


def new_transaction_uid() -> str:
    """A UID for one request (PS3.5 B.2); nobody else can guess it, so a report that names it is about our request."""
    return f"2.25.{uuid.uuid4().int}"


def request_commitment(association: Association, transaction_uid: str, references: Sequence[Reference]) -> str:
    """N-ACTION: ask the peer to commit to these objects. Returns "" where it agreed to report, else why not."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = DicomSequence(_item(reference) for reference in references)
    try:
        answer, _ = association.send_n_action(
            information, _REQUEST_STORAGE_COMMITMENT, STORAGE_COMMITMENT, _WELL_KNOWN_INSTANCE
        )
    except RuntimeError:  # the library's word for an association that is no more
        return "the association ended before storage commitment was answered"
    status = answer.get("Status")
    if status is None:
        return "no answer to the request for storage commitment"
    return "" if status == _SUCCESS else f"storage commitment refused (0x{status:04X})"


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def read_report(information: Dataset) -> CommitmentReport:
    """The Event Information of an N-EVENT-REPORT; the sequences decide, not the Event Type ID.

    Raises:
        ValueError: it has no TransactionUID.
    """
    transaction_uid = str(information.get("TransactionUID", "")).strip()
    if not transaction_uid:
        raise ValueError("no TransactionUID")
    return CommitmentReport(
        transaction_uid,
        tuple(_named(information, "ReferencedSOPSequence")),
        tuple(
            (*named, int(item.get("FailureReason") or 0))
            for named, item in zip(
                _named(information, "FailedSOPSequence"), information.get("FailedSOPSequence") or [], strict=True
            )
        ),
    )


def _named(information: Dataset, keyword: str) -> Iterator[tuple[str, str]]:
    for item in information.get(keyword) or []:
        yield str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", ""))
