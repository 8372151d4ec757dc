"""The UIDs of an instance, read from the first part of its encoded data set; pixels are never touched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from bt_node.receive.encoded import elements, encoding_of, inflate
from bt_node.receive.errors import EncodingError

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x0020000D, 0x0020000E
_WANTED = (SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)

# Enough for every private header before group 0020; a deflate bomb costs this much memory and no more.
_MAX_HEADER = 16 * 1024 * 1024
_MOST_ELEMENTS = 200_000  # a header that refers to 10,000 images has 30,000
_FIRST_LOOK, _FIRST_LOOK_INFLATED = 64 * 1024, 1024 * 1024
_large_looks = threading.Semaphore(2)  # so that many associations at once cost no more memory than two


@dataclass(frozen=True)
class Identity:
    """UIDs as the data set has them; "" where one is absent."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


class HeadTooShortError(EncodingError):
    """The four UIDs do not all lie in the bytes that were looked at; more of the data set may have them."""

    code = "head-too-short"


class _TooManyError(EncodingError):
    """A few deflated bytes can hold millions, which would keep the interpreter from all other associations."""


def read_identity(
    data: bytes, transfer_syntax_uid: str, *, whole: bool = True, max_inflated: int = _MAX_HEADER
) -> Identity:
    """Read the four UIDs that place an instance.

    Args:
        data: the data set, or its first bytes.
        transfer_syntax_uid: what it is encoded in.
        whole: whether `data` is all of it.
        max_inflated: so many bytes of a deflated data set are looked at.

    Raises:
        HeadTooShortError: `data` is not all of it and ends before the UIDs are found.
        EncodingError: the bytes before (0020,000E) are no data set of this transfer syntax.
    """
    encoding = encoding_of(transfer_syntax_uid)
    if encoding.deflated:
        data, inflated_whole = inflate(data, max_inflated)
        whole = whole and inflated_whole
    found: dict[int, str] = {}
    passed = False
    try:
        for number, element in enumerate(elements(data, encoding, descend=False)):
            if number >= _MOST_ELEMENTS:
                raise _TooManyError("more elements than any header has before its UIDs", 0)
            if element.depth == 0:
                passed = element.tag > SERIES_INSTANCE_UID
                if passed:
                    break
                if element.tag in _WANTED:
                    found[element.tag] = uid_text(element.value)
    except EncodingError as error:
        if whole or isinstance(error, _TooManyError):
            raise
        raise HeadTooShortError("no UIDs in the first bytes", error.position) from error
    if not (whole or passed or len(found) == len(_WANTED)):
        raise HeadTooShortError("no UIDs in the first bytes", len(data))
    return Identity(*(found.get(tag, "") for tag in _WANTED))


def find_identity(head: Callable[[int], bytes], size: int, transfer_syntax_uid: str) -> Identity:
    """`read_identity` of a data set of `size` bytes that is read as far as it is needed.

    Args:
        head: gives the first bytes of the data set, as many as it is asked for.
        size: bytes of the data set.
        transfer_syntax_uid: what it is encoded in.

    Raises:
        EncodingError: as `read_identity`, or no UIDs in the first 16 MiB.
    """
    first = min(size, _FIRST_LOOK)
    try:
        return read_identity(head(first), transfer_syntax_uid, whole=first == size, max_inflated=_FIRST_LOOK_INFLATED)
    except HeadTooShortError:
        with _large_looks:
            limit = min(size, _MAX_HEADER)
            return read_identity(head(limit), transfer_syntax_uid, whole=limit == size)


def uid_text(value: bytes | memoryview) -> str:
    """A UI value without its padding; bytes that are no ASCII become "?" and so no valid UID."""
    return bytes(value).rstrip(b"\0 ").decode("ascii", errors="replace")
