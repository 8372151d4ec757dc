"""Asks a DIMSE destination whether it keeps objects: by storage commitment, or by C-FIND at IMAGE level."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from bt_node.deliver.association import NoAssociationError, associate
from bt_node.deliver.commitment import STORAGE_COMMITMENT, new_transaction_uid, read_report, request_commitment
from bt_node.deliver.find import STUDY_ROOT_FIND, Finder, SilentError, text_of
from bt_node.deliver.peer import Peer
from bt_node.domain.proof import Answer, CommitmentReport, Proof, ProofOutcome, Reference

logger = logging.getLogger(__name__)

_SUCCESS, _PROCESSING_FAILURE, _NO_SUCH_ARGUMENT = 0x0000, 0x0110, 0x0114  # PS3.7 Annex C
_ANSWERING_S = 0.1  # the library sends our answer to a report from another thread; releasing first would cut it off
_SOP_CLASS = {Proof.COMMITMENT: STORAGE_COMMITMENT, Proof.QUERY: STUDY_ROOT_FIND}
_WORDS = {Proof.COMMITMENT: "storage commitment", Proof.QUERY: "C-FIND"}


@dataclass(frozen=True)
class CommitmentDesk:
    """What is done about storage commitment while it is asked for.

    Attributes:
        asked: called with a TransactionUID before the request is sent: the report may come at once, by any way.
        withdrawn: called with it when the request was refused.
        reported: called with each report that comes on our own association.
        linger_s: how long our association stays open for the report. Archives that report on a new one, as most do,
            cost this time once for each request.
    """

    asked: Callable[[str], None]
    withdrawn: Callable[[str], None]
    reported: Callable[[CommitmentReport], None]
    linger_s: float = 1.0


def prove(
    peer: Peer,
    calling_ae_title: str,
    references: Sequence[Reference],
    ways: Sequence[Proof],
    desk: CommitmentDesk,
    timeout_s: float,
) -> tuple[tuple[ProofOutcome, ...], str]:
    """Ask about objects in the first of `ways` that the destination accepts, over one association.

    A request for storage commitment that is refused is followed by the next way.

    Returns:
        One outcome for each object in their order, and the TransactionUID where some are PROMISED. Trouble of network
        or destination is an outcome, never raised.

    Raises:
        ValueError: `calling_ae_title` is not an AE title.
    """
    inbox = _Inbox(desk.reported)
    contexts = [build_context(_SOP_CLASS[way]) for way in ways]
    try:
        with associate(peer, calling_ae_title, contexts, timeout_s, inbox.take) as association:
            return _ask(association, references, ways, desk, inbox, timeout_s)
    except NoAssociationError as trouble:
        return _all(references, Answer.UNREACHABLE, None, f"no association: {trouble}"), ""


def offered(peer: Peer, calling_ae_title: str, timeout_s: float) -> tuple[Proof, ...]:
    """The ways to ask that a destination accepts, by negotiation alone; none where there is no association."""
    contexts = [build_context(sop_class) for sop_class in _SOP_CLASS.values()]
    try:
        with associate(peer, calling_ae_title, contexts, timeout_s) as association:
            accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
    except NoAssociationError:
        return ()
    return tuple(way for way, sop_class in _SOP_CLASS.items() if sop_class in accepted)


def _ask(
    association: Association,
    references: Sequence[Reference],
    ways: Sequence[Proof],
    desk: CommitmentDesk,
    inbox: _Inbox,
    timeout_s: float,
) -> tuple[tuple[ProofOutcome, ...], str]:
    accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
    offered = [way for way in ways if _SOP_CLASS[way] in accepted] if association.is_established else []
    if not offered:
        names = " nor ".join(_WORDS[way] for way in ways)
        return _all(references, Answer.NOT_OFFERED, None, f"the destination does not offer {names}"), ""
    trouble = ""
    for way in offered:
        if way is Proof.QUERY:
            return _query(association, references, timeout_s), ""
        association.dimse_timeout = timeout_s
        transaction_uid = new_transaction_uid()
        desk.asked(transaction_uid)
        trouble = request_commitment(association, transaction_uid, references)
        if not trouble:
            inbox.wait_for(transaction_uid, desk.linger_s)
            return _all(references, Answer.PROMISED, way, "storage commitment asked for"), transaction_uid
        desk.withdrawn(transaction_uid)
    return _all(references, Answer.UNCLEAR, Proof.COMMITMENT, trouble), ""


def _query(association: Association, references: Sequence[Reference], timeout_s: float) -> tuple[ProofOutcome, ...]:
    """C-FIND for each object by all its UIDs; after a failure the rest is not asked any more."""
    outcomes: list[ProofOutcome] = []
    finder = Finder(association, timeout_s)
    trouble = ""
    for reference in references:
        uid = reference.sop_instance_uid
        if not trouble:
            try:
                found = _is_found(finder, reference)
            except SilentError as silent:
                trouble = f"C-FIND: {silent}"
            else:
                answer = Answer.KEPT if found else Answer.MISSING
                outcomes.append(ProofOutcome(uid, answer, Proof.QUERY, f"{'' if found else 'not '}found by C-FIND"))
                continue
        outcomes.append(ProofOutcome(uid, Answer.UNCLEAR, Proof.QUERY, trouble))
    return tuple(outcomes)


def _is_found(finder: Finder, reference: Reference) -> bool:
    keys = {"SeriesInstanceUID": reference.series_instance_uid, "SOPInstanceUID": reference.sop_instance_uid}
    matches = list(finder.find(reference.study_instance_uid, "IMAGE", keys))
    # A destination that does not know a key answers with more than was asked for.
    return any(text_of(match, "SOPInstanceUID") == reference.sop_instance_uid for match in matches)


def _all(references: Sequence[Reference], answer: Answer, way: Proof | None, detail: str) -> tuple[ProofOutcome, ...]:
    return tuple(ProofOutcome(reference.sop_instance_uid, answer, way, detail) for reference in references)


class _Inbox:
    """Answers N-EVENT-REPORT requests on our association and passes their reports on."""

    def __init__(self, reported: Callable[[CommitmentReport], None]) -> None:
        self._reported = reported
        self._seen: set[str] = set()
        self._news = threading.Condition()

    def take(self, event: evt.Event) -> tuple[int, None]:
        """The status for one N-EVENT-REPORT, which carries no data set back."""
        return self._status_of(event), None

    def _status_of(self, event: evt.Event) -> int:
        """Success only when it is written down."""
        try:
            report = read_report(event.event_information)
        except Exception as error:  # noqa: BLE001 - whatever a peer sends is its mistake, and its association goes on
            logger.warning("a report of storage commitment cannot be read: %s", type(error).__name__)
            return _NO_SUCH_ARGUMENT
        try:
            self._reported(report)
        except Exception as error:  # noqa: BLE001 - edge: the destination may report again
            logger.error("a report of storage commitment was not written down: %s", type(error).__name__)  # noqa: TRY400
            return _PROCESSING_FAILURE
        with self._news:
            self._seen.add(report.transaction_uid)
            self._news.notify_all()
        return _SUCCESS

    def wait_for(self, transaction_uid: str, seconds: float) -> None:
        """Until the report came, or the time is over."""
        with self._news:
            came = self._news.wait_for(lambda: transaction_uid in self._seen, seconds)
        if came:
            time.sleep(_ANSWERING_S)
