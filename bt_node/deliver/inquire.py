"""C-FIND as SCU: how many instances of each series of a study does its source have?

Study Root Query/Retrieve Information Model - FIND (PS3.4 C.6.2): one query at SERIES level, and one at IMAGE level
for each series whose number the source leaves out: NumberOfSeriesRelatedInstances is an optional key (PS3.4 C.3.4).
Nothing is asked about the patient, and whatever comes back about one is not looked at.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from bt_node.deliver.association import NoAssociationError, associate
from bt_node.deliver.find import STUDY_ROOT_FIND, Finder, SilentError, text_of
from bt_node.deliver.peer import Peer
from bt_node.domain.completeness import SourceAnswer, SourceSeries

logger = logging.getLogger(__name__)

_CODE_STRING = re.compile(r"[A-Z0-9 _]{1,16}")  # PS3.5 6.2, CS
_MOST_INSTANCES = 100_000  # of one series; a larger number is no number


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
    try:
        with associate(source, calling_ae_title, [build_context(STUDY_ROOT_FIND)], timeout_s) as association:
            if not association.is_established:
                return SourceAnswer(source.ae_title, trouble="it does not offer C-FIND (Study Root)")
            return SourceAnswer(source.ae_title, _Inquiry(association, study_instance_uid, timeout_s).series())
    except (NoAssociationError, SilentError) as trouble:
        return SourceAnswer(source.ae_title, trouble=str(trouble))
    except Exception as error:  # noqa: BLE001 - edge: whatever a source answers is no reason to stop
        logger.warning("source %s answered with something unforeseen: %s", source.ae_title, type(error).__name__)
        return SourceAnswer(source.ae_title, trouble=f"its answer cannot be used ({type(error).__name__})")


class _Inquiry:
    """The queries about one study over one association, within one deadline."""

    def __init__(self, association: Association, study_instance_uid: str, timeout_s: float) -> None:
        self._study, self._finder = study_instance_uid, Finder(association, timeout_s)

    def series(self) -> tuple[SourceSeries, ...]:
        """Every series, with the source's number of instances or our own count.

        Raises:
            SilentError: the query at SERIES level was not answered to its end, or with nothing about this study.
        """
        wanted = {"SeriesInstanceUID": "", "SeriesNumber": "", "Modality": "", "NumberOfSeriesRelatedInstances": ""}
        told = map(_told, self._finder.find(self._study, "SERIES", wanted))
        found = {series.series_instance_uid: series for series in told if series}
        if self._finder.strays:
            logger.warning("%d answers of a source are not about the study asked for", self._finder.strays)
            if not found:
                raise SilentError("what it answered is not about this study")
        return tuple(self._counted(series) for series in sorted(found.values(), key=lambda each: each.order))

    def _counted(self, series: SourceSeries) -> SourceSeries:
        if series.instances is not None or not series.may_hold_images:
            return series
        wanted = {"SeriesInstanceUID": series.series_instance_uid, "SOPInstanceUID": ""}
        try:
            uids = {text_of(item, "SOPInstanceUID") for item in self._finder.find(self._study, "IMAGE", wanted)} - {
                ""
            }
        except SilentError as trouble:
            logger.warning("instances of series %s cannot be counted: %s", series.series_instance_uid, trouble)
            return series
        # A source that names a series but none of its instances cannot count them.
        return replace(series, instances=len(uids) or None, counted=True)


def _told(item: Dataset) -> SourceSeries | None:
    uid = text_of(item, "SeriesInstanceUID")
    if not uid:
        return None
    number, instances = _number(item, "SeriesNumber"), _number(item, "NumberOfSeriesRelatedInstances")
    # A series without instances does not exist: 0 is how some say that they did not count.
    modality = text_of(item, "Modality").upper()
    if not _CODE_STRING.fullmatch(modality):
        modality = ""
    return SourceSeries(uid, number, modality, instances if instances and instances <= _MOST_INSTANCES else None)


def _number(item: Dataset, keyword: str) -> int | None:
    text = text_of(item, keyword)
    return int(text) if text.isdecimal() and len(text) < 10 else None  # noqa: PLR2004 - IS allows more than an int column
