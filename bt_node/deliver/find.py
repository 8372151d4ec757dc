"""C-FIND as SCU in the Study Root model (PS3.4 C.6.2): queries over one association, within one deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pynetdicom import _config as pynetdicom_settings
from pynetdicom.association import Association

from bt_node.domain.uids import is_safe_uid

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"

_SUCCESS = 0x0000
_PENDING = frozenset({0xFF00, 0xFF01})  # PS3.4 Table C.4-1; 0xFF01: an optional key is not supported
_SHORTEST_WAIT_S = 0.01
_MOST_ANSWERS = {
    "SERIES": 2_000,
    "IMAGE": 100_000,
}  # a study has fewer; a peer that never ends must not fill our memory
_LEVELS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class SilentError(Exception):
    """The peer did not answer a query to its end; the message says why."""


class Finder:
    """Queries over one association; the deadline covers all of them together.

    Attributes:
        strays: answers that were passed over: about something else than was asked, or without proper UIDs.
    """

    def __init__(self, association: Association, timeout_s: float) -> None:
        # The library's own log would print what comes back.
        pynetdicom_settings.LOG_RESPONSE_IDENTIFIERS = False
        self._association, self._timeout_s = association, timeout_s
        self._deadline = time.monotonic() + timeout_s
        self.strays = 0

    def find(self, study_instance_uid: str, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
        """The answers to one query about a study; those about anything else are counted and passed over.

        Args:
            study_instance_uid: which study.
            level: SERIES or IMAGE.
            keys: further keys to match (a value) or to return ("").

        Raises:
            SilentError: it ended with a failure, too late, or not at all.
        """
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        identifier.StudyInstanceUID = study_instance_uid
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        try:
            for item in self._answers(identifier, _MOST_ANSWERS[level]):
                if _is_about(item, identifier):
                    yield item
                else:
                    self.strays += 1
        except (RuntimeError, ValueError):  # the library's words for an association that is no more
            raise SilentError("the association ended before the answer did") from None

    def _answers(self, identifier: Dataset, most: int) -> Iterator[Dataset]:
        self._hurry()
        answers = self._association.send_c_find(identifier, STUDY_ROOT_FIND)
        for number, (status, item) in enumerate(answers, start=1):
            code = status.get("Status")
            if code is None:
                raise SilentError(self._why_silent())
            if int(code) == _SUCCESS:
                return
            if int(code) not in _PENDING:
                raise SilentError(f"it answered the query with status 0x{int(code):04X}")
            if number > most:
                self._association.abort()
                raise SilentError(f"its answer does not end after {most} entries")
            if item is not None:
                yield item
            self._hurry()

    def _hurry(self) -> None:
        """Leave the library only the time that is left.

        Raises:
            SilentError: none is left.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._association.abort()
            raise SilentError(self._why_silent())
        self._association.dimse_timeout = max(left, _SHORTEST_WAIT_S)

    def _why_silent(self) -> str:
        if time.monotonic() >= self._deadline - _SHORTEST_WAIT_S:
            return f"no full answer within {self._timeout_s:g} s"
        return "the association ended before the answer did"


def _is_about(item: Dataset, asked: Dataset) -> bool:
    """Whether each UID of an answer is one, and that of the question; some leave out what the question named."""
    for keyword in _LEVELS:
        said, wanted = text_of(item, keyword), text_of(asked, keyword)
        if said and (not is_safe_uid(said) or (wanted and said != wanted)):
            return False
    return True


def text_of(item: Dataset, keyword: str) -> str:
    """A value as text, "" where it is absent or broken."""
    try:
        value = item.get(keyword)
    except Exception:  # noqa: BLE001 - a peer's broken value is no value, whatever the library makes of it
        return ""
    return "" if value is None else str(value).strip()
