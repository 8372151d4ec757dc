"""Typed header values: what scanners and archives really write, without an exception for the odd one.

Real headers hold empty strings, numbers under a text VR, decimal commas and several values where the standard
allows one. A value that cannot be understood is absent (None or empty), never a reason to lose the instance.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from bt_node.assemble.charset import mended

# What pydicom raises where a value is made from bytes; OSError for a sequence that is none. No file is read here.
_ODD_VALUE = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    BytesLengthException,
)
_LARGEST_INTEGER = 2**31 - 1  # PS3.5 Table 6.2-1, VR IS
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_DATE = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d+)?")


# PS3.3 C.7.3.1.1.1; what stands there instead is somebody's own text, and may be a patient's name.
_MODALITIES = frozenset(
    [
        "AR",
        "ASMT",
        "AU",
        "BDUS",
        "BI",
        "BMD",
        "CR",
        "CT",
        "CTPROTOCOL",
        "DG",
        "DOC",
        "DX",
        "ECG",
        "EPS",
        "ES",
        "FID",
        "GM",
        "HC",
        "HD",
        "IO",
        "IOL",
        "IVOCT",
        "IVUS",
        "KER",
        "KO",
        "LEN",
        "LS",
        "MG",
        "MR",
        "NM",
        "OAM",
        "OCT",
        "OP",
        "OPM",
        "OPT",
        "OPV",
        "OT",
        "PLAN",
        "PR",
        "PT",
        "PX",
        "REG",
        "RESP",
        "RF",
        "RG",
        "RTDOSE",
        "RTIMAGE",
        "RTPLAN",
        "RTRECORD",
        "RTSTRUCT",
        "RWV",
        "SC",
        "SEG",
        "SM",
        "SMR",
        "SR",
        "SRF",
        "STAIN",
        "TG",
        "US",
        "VA",
        "XA",
        "XC",
    ]
)

Key = str | BaseTag  # a keyword of the dictionary, or the tag of a private element


def _raw(ds: Dataset, key: Key) -> Any:
    try:
        return ds.get(key) if isinstance(key, str) else ds[key].value
    except _ODD_VALUE:
        pass
    try:
        value = ds.get_item(key).value
    except _ODD_VALUE:
        return None
    return value.decode("ascii", errors="replace") if isinstance(value, bytes) else value


def _parts(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str | bytes):
        text = value.decode("ascii", errors="replace") if isinstance(value, bytes) else value
        return [part for part in text.split("\\") if part.strip(" \0")]
    if isinstance(value, MultiValue | Iterable):
        return [part for part in value if part is not None and str(part).strip(" \0")]
    return [value]


def _to_float(part: Any) -> float | None:
    found = _NUMBER.fullmatch(str(part).strip(" \0").replace(",", "."))
    value = float(found.group()) if found else math.nan
    return value if math.isfinite(value) else None  # "1e400" is a number to the pattern, and infinite


def numbers(ds: Dataset, keyword: Key) -> tuple[float, ...]:
    """All values of a numeric element, in order; empty when absent or when one of them is not a number."""
    converted = [_to_float(part) for part in _parts(_raw(ds, keyword))]
    if any(value is None for value in converted):
        return ()
    return tuple(value for value in converted if value is not None)


def number(ds: Dataset, keyword: Key) -> float | None:
    """The first value of a numeric element, or None."""
    found = numbers(ds, keyword)
    return found[0] if found else None


def integer(ds: Dataset, keyword: Key) -> int | None:
    """The first value of an element as a whole number; None where there is none, or one that IS cannot hold."""
    value = number(ds, keyword)
    return None if value is None or abs(value) > _LARGEST_INTEGER else int(value)


def texts(ds: Dataset, keyword: Key) -> tuple[str, ...]:
    """All values of a text element, stripped and with a wrong character set mended; empty ones are left out."""
    return tuple(mended(str(part).strip(" \0")) for part in _parts(_raw(ds, keyword)))


def text(ds: Dataset, keyword: Key) -> str:
    """A text element as one string; empty when absent."""
    return " ".join(texts(ds, keyword))


def items(ds: Dataset, keyword: Key) -> tuple[Dataset, ...]:
    """Items of a sequence; empty when absent or when the element is no sequence."""
    value = _raw(ds, keyword)
    if value is None or isinstance(value, str | bytes):
        return ()
    try:
        return tuple(item for item in value if isinstance(item, Dataset))
    except TypeError:
        return ()


def modality_in_words(modality: str) -> str:
    """Name a modality; a value that the standard does not have is not repeated."""
    return f"modality {modality.upper()}" if modality.upper() in _MODALITIES else "a modality that does not exist"


def moment(date: str, time: str) -> float | None:
    """Seconds since 1970 of a DICOM date (DA) and time (TM); None if unusable.

    The scanner's local clock is taken as UTC. Only differences inside one study matter, so the zone
    does not.
    """
    day, hour = _DATE.match(date.strip()), _TIME.match(time.strip())
    if not day or not hour:
        return None
    hours, minutes, seconds = (int(hour.group(i) or 0) for i in (1, 2, 3))
    try:
        whole = datetime(
            int(day.group(1)), int(day.group(2)), int(day.group(3)), hours, minutes, min(seconds, 59), tzinfo=UTC
        )
    except ValueError:
        return None
    return whole.timestamp() + float(hour.group(4) or 0)


def moment_of_datetime(value: str) -> float | None:
    """Seconds since 1970 of a DICOM date-time (DT, PS3.5 6.2); None if unusable."""
    local = re.split(r"[&+-]", value.strip(), maxsplit=1)[0]
    return moment(local[:8], local[8:]) if len(local) > len("YYYYMMDD") else None
