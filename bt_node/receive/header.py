"""The UIDs of an instance, read from the first part of its encoded data set; pixels are never touched."""

from __future__ import annotations

from dataclasses import dataclass

from bt_node.receive.encoded import elements, encoding_of, inflate
from bt_node.receive.errors import EncodingError

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x0020000D, 0x0020000E
_WANTED = (SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)

# Enough for every private header before group 0020; a deflate bomb costs this much memory and no more.
_MAX_INFLATED_HEADER = 16 * 1024 * 1024


@dataclass(frozen=True)
class Identity:
    """UIDs as the data set has them; "" where one is absent."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


def read_identity(data: bytes, transfer_syntax_uid: str) -> Identity:
    """Read the four UIDs that place an instance.

    Raises:
        EncodingError: the bytes before (0020,000E) are no data set of this transfer syntax.
    """
    encoding = encoding_of(transfer_syntax_uid)
    whole = True
    if encoding.deflated:
        data, whole = inflate(data, _MAX_INFLATED_HEADER)
    found: dict[int, str] = {}
    try:
        for element in elements(data, encoding, descend=False):
            if element.depth == 0:
                if element.tag > SERIES_INSTANCE_UID:
                    break
                if element.tag in _WANTED:
                    found[element.tag] = uid_text(element.value)
    except EncodingError as error:
        if whole:
            raise
        raise EncodingError("no UIDs in the first inflated bytes", error.position) from error
    return Identity(*(found.get(tag, "") for tag in _WANTED))


def uid_text(value: bytes | memoryview) -> str:
    """A UI value without its padding; bytes that are no ASCII become "?" and so no valid UID."""
    return bytes(value).rstrip(b"\0 ").decode("ascii", errors="replace")
