"""C-FIND as SCU: how many instances of each series of a study does its source have?

Study Root Query/Retrieve Information Model - FIND (PS3.4 C.6.2): one query at SERIES level, and one at IMAGE level
for each series whose number the source leaves out: NumberOfSeriesRelatedInstances is an optional key (PS3.4 C.3.4).
Nothing is asked about the patient, and whatever comes back about one is not looked at.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

from pydicom.dataset import Dataset
from pynetdicom import _config as pynetdicom_settings
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from bt_node.deliver.association import NoAssociationError, associate
from bt_node.deliver.peer import Peer
from bt_node.domain.completeness import SourceAnswer, SourceSeries

logger = logging.getLogger(__name__)

_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_SUCCESS = 0x0000
_PENDING = frozenset({0xFF00, 0xFF01})  # PS3.4 Table C.4-1; 0xFF01: an optional key is not supported
_SHORTEST_WAIT_S = 0.01
_MOST_ANSWERS = 100_000  # a study has fewer; a source that never ends must not fill our memory


class _SilentError(Exception):
    """The source did not answer a query to its end; the message says why."""


def ask_source(source: Peer, calling_ae_title: str, study_instance_uid: str, timeout_s: float) -> SourceAnswer:
    """Ask a source what it has of a study.

    Args:
        source: whom to ask.
        calling_ae_title: our AE title.
        study_instance_uid: which study.
        timeout_s: seconds for connecting, for the association's answer, and then for all queries together: an answer
            that trickles in more slowly is none.

    Returns:
        The series the source has, or the trouble in words. Trouble of network or source is never raised.

    Raises:
        ValueError: `calling_ae_title` is not an AE title.
    """
    # The library's own log would print what comes back.
    pynetdicom_settings.LOG_RESPONSE_IDENTIFIERS = False
    try:
        with associate(source, calling_ae_title, [build_context(_STUDY_ROOT_FIND)], timeout_s) as association:
            if not association.is_established:
                return SourceAnswer(source.ae_title, trouble="it does not offer C-FIND (Study Root)")
            return SourceAnswer(source.ae_title, _Inquiry(association, study_instance_uid, timeout_s).series())
    except NoAssociationError as trouble:
        return SourceAnswer(source.ae_title, trouble=str(trouble))
    except _SilentError as trouble:
        return SourceAnswer(source.ae_title, trouble=str(trouble))


class _Inquiry:
    """The queries about one study over one association, within one deadline."""

    def __init__(self, association: Association, study_instance_uid: str, timeout_s: float) -> None:
        self._association, self._study, self._timeout_s = association, study_instance_uid, timeout_s
        self._deadline = time.monotonic() + timeout_s

    def series(self) -> tuple[SourceSeries, ...]:
        """Every series, with the source's number of instances or our own count.

        Raises:
            _SilentError: the query at SERIES level was not answered to its end.
        """
        wanted = {"SeriesInstanceUID": "", "SeriesNumber": "", "Modality": "", "NumberOfSeriesRelatedInstances": ""}
        found = {series.series_instance_uid: series for series in map(_told, self._find("SERIES", wanted)) if series}
        return tuple(self._counted(series) for series in sorted(found.values(), key=lambda each: each.order))

    def _counted(self, series: SourceSeries) -> SourceSeries:
        if series.instances is not None or not series.may_hold_images:
            return series
        wanted = {"SeriesInstanceUID": series.series_instance_uid, "SOPInstanceUID": ""}
        try:
            uids = {_text(item, "SOPInstanceUID") for item in self._find("IMAGE", wanted)} - {""}
        except _SilentError as trouble:
            logger.warning("instances of series %s cannot be counted: %s", series.series_instance_uid, trouble)
            return series
        # A source that names a series but none of its instances cannot count them.
        return replace(series, instances=len(uids) or None, counted=True)

    def _find(self, level: str, keys: dict[str, str]) -> Iterator[Dataset]:
        """The answers to one query.

        Raises:
            _SilentError: it ended with a failure, too late, or not at all.
        """
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        identifier.StudyInstanceUID = self._study
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        try:
            yield from self._answers(identifier)
        except (RuntimeError, ValueError):  # the library's words for an association that is no more
            raise _SilentError("the association ended before the answer did") from None

    def _answers(self, identifier: Dataset) -> Iterator[Dataset]:
        self._hurry()
        answers = self._association.send_c_find(identifier, _STUDY_ROOT_FIND)
        for number, (status, item) in enumerate(answers, start=1):
            code = status.get("Status")
            if code is None:
                raise _SilentError(self._why_silent())
            if int(code) == _SUCCESS:
                return
            if int(code) not in _PENDING:
                raise _SilentError(f"it answered the query with status 0x{int(code):04X}")
            if number > _MOST_ANSWERS:
                self._association.abort()
                raise _SilentError(f"its answer does not end after {_MOST_ANSWERS} entries")
            if item is not None:
                yield item
            self._hurry()

    def _hurry(self) -> None:
        """Leave the library only the time that is left.

        Raises:
            _SilentError: none is left.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._association.abort()
            raise _SilentError(self._why_silent())
        self._association.dimse_timeout = max(left, _SHORTEST_WAIT_S)

    def _why_silent(self) -> str:
        if time.monotonic() >= self._deadline - _SHORTEST_WAIT_S:
            return f"no full answer within {self._timeout_s:g} s"
        return "the association ended before the answer did"


def _told(item: Dataset) -> SourceSeries | None:
    uid = _text(item, "SeriesInstanceUID")
    if not uid:
        return None
    number, instances = _number(item, "SeriesNumber"), _number(item, "NumberOfSeriesRelatedInstances")
    # A series without instances does not exist: 0 is how some say that they did not count.
    return SourceSeries(uid, number, _text(item, "Modality").upper(), instances or None)


def _text(item: Dataset, keyword: str) -> str:
    try:
        value = item.get(keyword)
    except Exception:  # noqa: BLE001 - a peer's broken value is no value, whatever the library makes of it
        return ""
    return "" if value is None else str(value).strip()


def _number(item: Dataset, keyword: str) -> int | None:
    text = _text(item, keyword)
    return int(text) if text.isdecimal() and len(text) < 10 else None  # noqa: PLR2004 - IS allows more than an int column
