"""Storage commitment of the fake PACS: reports on the same association, on a new one, or never."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
_INSTANCE = "1.2.840.10008.1.20.1.1"
_ALL_STORED, _SOME_FAILED = 1, 2  # PS3.4 Table J.3-2
_NO_SUCH_INSTANCE = 0x0112


@dataclass(frozen=True)
class Commitment:
    """How the fake PACS commits.

    Attributes:
        report: "same" association, "new" one to `port`, or "never".
        port: where the requester listens on loopback, for "new".
        status: answer to the N-ACTION; anything but success promises nothing.
        reason: Failure Reason for every object, whether it is kept or not; 0 tells the truth.
        silent_about: SOPInstanceUIDs that no report mentions.
        after_s: the report comes so long after the answer.
    """

    report: str = "same"
    port: int = 0
    status: int = 0x0000
    reason: int = 0
    silent_about: frozenset[str] = frozenset()
    after_s: float = 0.0


class CommitmentDesk:
    """Answers N-ACTION and sends the reports, each from a thread of its own."""

    def __init__(self, ae_title: str, kept: Callable[[], Collection[str]]) -> None:
        self.requests: list[Dataset] = []
        self.report_statuses: list[int | None] = []
        self._ae_title, self._kept = ae_title, kept

    def on_action(self, event: evt.Event, how: Commitment) -> tuple[int, Dataset | None]:
        """The answer to an N-ACTION; the report follows it."""
        asked = event.action_information
        self.requests.append(asked)
        if how.status == 0x0000 and how.report != "never":
            title = str(event.assoc.requestor.ae_title)
            threading.Thread(target=self._report, args=(event, asked, how, title), daemon=True).start()
        return how.status, None

    def _report(self, event: evt.Event, asked: Dataset, how: Commitment, requester: str) -> None:
        time.sleep(how.after_s)
        report = self._worded(asked, how)
        kind = _SOME_FAILED if "FailedSOPSequence" in report else _ALL_STORED
        if how.report == "same":
            answer, _ = event.assoc.send_n_event_report(report, kind, STORAGE_COMMITMENT, _INSTANCE)
            self.report_statuses.append(answer.get("Status"))
            return
        entity = AE(ae_title=self._ae_title)
        association = entity.associate(
            "127.0.0.1",
            how.port,
            [build_context(STORAGE_COMMITMENT)],
            ae_title=requester,
            ext_neg=[build_role(STORAGE_COMMITMENT, scp_role=True)],
        )
        if association.is_established:
            answer, _ = association.send_n_event_report(report, kind, STORAGE_COMMITMENT, _INSTANCE)
            self.report_statuses.append(answer.get("Status"))
            association.release()

    def _worded(self, asked: Dataset, how: Commitment) -> Dataset:
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        kept = self._kept()
        stored: list[Dataset] = []
        failed: list[Dataset] = []
        for item in asked.ReferencedSOPSequence:
            uid = str(item.ReferencedSOPInstanceUID)
            if uid in how.silent_about:
                continue
            reason = how.reason or (0 if uid in kept else _NO_SUCH_INSTANCE)
            (failed if reason else stored).append(_reference(item, reason))
        if stored:
            report.ReferencedSOPSequence = DicomSequence(stored)
        if failed:
            report.FailedSOPSequence = DicomSequence(failed)
        return report


def _reference(asked: Dataset, reason: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = (
        asked.ReferencedSOPClassUID,
        asked.ReferencedSOPInstanceUID,
    )
    if reason:
        item.FailureReason = reason
    return item
