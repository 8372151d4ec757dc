"""C-STORE statuses in words, and whether sending again can help (PS3.4 Table B.2-1, PS3.7 Annex C)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What a status means for one object."""

    delivered: bool
    detail: str
    permanent: bool = False


_STORED = {
    0x0000: "stored",
    0xB000: "stored; the destination changed data elements (0xB000)",
    0xB006: "stored; the destination discarded data elements (0xB006)",
    0xB007: "stored; the destination says the data set does not match the SOP class (0xB007)",
}
# PS3.7 Annex C: failures that any DIMSE service may answer.
_GENERAL_FAILURES = {
    0x0105: ("no such attribute", True),
    0x0106: ("invalid attribute value", True),
    0x0110: ("processing failure", False),
    0x0111: ("duplicate SOP instance", True),
    0x0117: ("invalid SOP instance", True),
    0x0118: ("no such SOP class", True),
    0x0122: ("SOP class not supported", True),
    0x0124: ("not authorised", False),  # an administrator may allow us later
    0x0210: ("duplicate invocation", False),
    0x0211: ("unrecognised operation", True),
    0x0212: ("mistyped argument", True),
    0x0213: ("resource limitation", False),
}


def verdict(status: int) -> Verdict:
    """What a C-STORE status says, with the number for whoever looks it up."""
    if status in _STORED:
        return Verdict(delivered=True, detail=_STORED[status])
    words, permanent = _failure(status)
    return Verdict(delivered=False, detail=f"refused: {words} (0x{status:04X})", permanent=permanent)


def _failure(status: int) -> tuple[str, bool]:
    if status in _GENERAL_FAILURES:
        return _GENERAL_FAILURES[status]
    if status >> 8 == 0xA7:  # noqa: PLR2004 - 0xA7xx of PS3.4 Table B.2-1
        return "out of resources", False
    if status >> 8 == 0xA9:  # noqa: PLR2004 - 0xA9xx of the same table
        return "data set does not match SOP class", True
    if status >> 12 == 0xC:  # noqa: PLR2004 - 0xCxxx of the same table
        return "cannot understand", True
    return "unknown status", False
