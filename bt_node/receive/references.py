"""What storage commitment speaks of: a transaction and lists of objects (PS3.4 Tables J.3-1 and J.3-2), as bytes.

Read by our own walk and not by pydicom, because what arrives is not trusted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from bt_node.domain.uids import is_safe_uid
from bt_node.receive.encoded import ITEM, elements, encoding_of
from bt_node.receive.errors import EncodingError
from bt_node.receive.header import uid_text

_TRANSACTION_UID = 0x00081195
_FAILED, _REFERENCED = 0x00081198, 0x00081199
_CLASS, _INSTANCE, _REASON = 0x00081150, 0x00081155, 0x00081197

Reference = tuple[str, str]
Failure = tuple[str, str, int]


@dataclass(frozen=True)
class References:
    """A transaction UID, (SOP class, SOP instance) of objects, and those that failed with their Failure Reason."""

    transaction_uid: str
    referenced: tuple[Reference, ...]
    failed: tuple[Failure, ...] = ()


@dataclass
class _Item:
    uids: dict[int, str] = field(default_factory=dict)
    reason: int = 0


def read_references(data: bytes, transfer_syntax_uid: str) -> References:
    """Read the data set of an N-ACTION or N-EVENT-REPORT.

    Raises:
        EncodingError: it is none, names no transaction, or names objects by what is no UID.
    """
    encoding = encoding_of(transfer_syntax_uid)
    order = "little" if encoding.little_endian else "big"
    transaction, items = "", {_FAILED: list[_Item](), _REFERENCED: list[_Item]()}
    current: list[_Item] | None = None
    for element in elements(data, encoding):
        if element.depth == 0:
            current = items.get(element.tag)
            if element.tag == _TRANSACTION_UID:
                transaction = uid_text(element.value)
        elif current is not None and element.tag == ITEM and element.depth == 1:
            current.append(_Item())
        elif current and element.depth == 2:  # noqa: PLR2004 - inside an item of the sequence
            if element.tag in {_CLASS, _INSTANCE}:
                current[-1].uids[element.tag] = uid_text(element.value)
            elif element.tag == _REASON:
                current[-1].reason = int.from_bytes(element.value, order)  # type: ignore[arg-type]
    listed = [item.uids.get(tag, "") for each in items.values() for item in each for tag in (_CLASS, _INSTANCE)]
    if not all(map(is_safe_uid, (transaction, *listed))):
        raise EncodingError("a UID is missing or is none", 0)
    return References(
        transaction,
        tuple((item.uids[_CLASS], item.uids[_INSTANCE]) for item in items[_REFERENCED]),
        tuple((item.uids[_CLASS], item.uids[_INSTANCE], item.reason) for item in items[_FAILED]),
    )


def report_data_set(report: References) -> Dataset:
    """The Event Information of a report."""
    ds = Dataset()
    ds.TransactionUID = report.transaction_uid
    if report.referenced:
        ds.ReferencedSOPSequence = [_item(*reference) for reference in report.referenced]
    if report.failed:
        ds.FailedSOPSequence = [_item(*failure) for failure in report.failed]
    return ds


def _item(sop_class_uid: str, sop_instance_uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def encode_report(report: References, transfer_syntax_uid: str) -> bytes:
    """The Event Information, encoded."""
    encoding = encoding_of(transfer_syntax_uid)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = encoding.implicit, encoding.little_endian
    write_dataset(buffer, report_data_set(report))
    return bytes(buffer.parent.getvalue())  # type: ignore[union-attr]
