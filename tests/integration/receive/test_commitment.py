"""Storage commitment as SCP, over real associations."""

from __future__ import annotations

import queue
import socket

import pytest
from fakes.receipt_book import FakeReceiptBook
from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from receive_cases import NATIVE, mr_slice, running, wait_until

from bt_node.receive.part10 import StoredFile
from bt_node.receive.promises import Promise
from bt_node.receive.settings import AllowedSource, ReportTo

pytestmark = pytest.mark.integration

CLASS, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
TRANSACTION = "1.2.3.4.5"


class Requester:
    """A modality that stores, asks for commitment and may listen for reports."""

    def __init__(self, port: int) -> None:
        self.reports: queue.Queue[tuple[int, Dataset]] = queue.Queue()
        self.status = 0x0000
        entity = AE("SCANNER")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
        entity.add_requested_context(uid.MRImageStorage, [uid.ExplicitVRLittleEndian])
        entity.add_requested_context(CLASS, [uid.ExplicitVRLittleEndian])
        handlers = [(evt.EVT_N_EVENT_REPORT, self._reported)]
        self.association = entity.associate("127.0.0.1", port, ae_title="BT_NODE", evt_handlers=handlers)
        assert self.association.is_established

    def store(self, ds: Dataset) -> int:
        return self.association.send_c_store(ds).Status

    def _reported(self, event):
        self.reports.put((event.event_type, event.event_information))
        return self.status, None

    def ask(self, *pairs: tuple[str, str], transaction: str = TRANSACTION, action: int = 1, instance: str = INSTANCE):
        ds = Dataset()
        ds.TransactionUID = transaction
        ds.ReferencedSOPSequence = [reference(*pair) for pair in pairs]
        status, _ = self.association.send_n_action(ds, action, CLASS, instance)
        return status.Status


def reference(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    return item


def pair(ds: Dataset) -> tuple[str, str]:
    return str(ds.SOPClassUID), str(ds.SOPInstanceUID)


def pairs(sequence) -> list[tuple[str, ...]]:
    return [
        (
            str(item.ReferencedSOPClassUID),
            str(item.ReferencedSOPInstanceUID),
            *([item.FailureReason] if "FailureReason" in item else []),
        )
        for item in sequence
    ]


def promises(node) -> list[str]:
    return [path.name for path in node.files() if path.suffix == ".json"]


@pytest.fixture
def node(tmp_path):
    with running(tmp_path) as node:
        yield node


def test_what_is_stored_is_committed_on_the_same_association(node):
    peer = Requester(node.port)
    for number in (1, 2):
        assert peer.store(mr_slice(number)) == 0
    assert peer.ask(pair(mr_slice(1)), pair(mr_slice(2))) == 0
    event_type, report = peer.reports.get(timeout=10)
    assert (event_type, report.TransactionUID) == (1, TRANSACTION)
    assert pairs(report.ReferencedSOPSequence) == [pair(mr_slice(1)), pair(mr_slice(2))]
    assert "FailedSOPSequence" not in report
    wait_until(lambda: promises(node) == [])
    assert peer.store(mr_slice(3)) == 0, "the association goes on"
    peer.association.release()


def test_what_is_not_there_or_not_as_it_came_is_said_so(node):
    peer = Requester(node.port)
    for number in (1, 2, 3):
        assert peer.store(mr_slice(number)) == 0
    damaged = node.path_of(mr_slice(2))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    node.path_of(mr_slice(3)).unlink()
    asked = [
        pair(mr_slice(1)),
        pair(mr_slice(2)),
        pair(mr_slice(3)),
        pair(mr_slice(4)),
        (uid.CTImageStorage, mr_slice(1).SOPInstanceUID),
    ]
    assert peer.ask(*asked) == 0
    event_type, report = peer.reports.get(timeout=10)
    assert event_type == 2
    assert pairs(report.ReferencedSOPSequence) == [pair(mr_slice(1))]
    assert pairs(report.FailedSOPSequence) == [
        (*pair(mr_slice(2)), 0x0112), (*pair(mr_slice(3)), 0x0112), (*pair(mr_slice(4)), 0x0112),
        (uid.CTImageStorage, mr_slice(1).SOPInstanceUID, 0x0119),
    ]  # fmt: skip
    peer.association.release()


def test_an_object_that_is_named_many_times_is_read_once(node, monkeypatch):
    read = []
    digest = StoredFile.digest
    monkeypatch.setattr(StoredFile, "digest", lambda self: read.append(self.path) or digest(self))
    peer = Requester(node.port)
    assert peer.store(mr_slice(1)) == 0
    assert peer.ask(*[pair(mr_slice(1))] * 50) == 0
    assert len(peer.reports.get(timeout=10)[1].ReferencedSOPSequence) == 50
    assert read == [node.path_of(mr_slice(1))]
    peer.association.release()


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"action": 2}, 0x0123), ({"instance": "1.2.3"}, 0x0112), ({"transaction": ""}, 0x0115)],
)
def test_a_request_that_is_none_is_refused(node, changed, status):
    peer = Requester(node.port)
    assert peer.ask(pair(mr_slice(1)), **changed) == status
    assert promises(node) == []
    peer.association.release()


class Place:
    """Where a requester listens for reports on new associations."""

    def __init__(self, status: int = 0x0000) -> None:
        self.reports: queue.Queue[tuple[int, Dataset, str]] = queue.Queue()
        entity = AE("SCANNER")
        entity.add_supported_context(CLASS, NATIVE[:2], scu_role=True, scp_role=True)

        def reported(event):
            self.reports.put((event.event_type, event.event_information, event.assoc.requestor.ae_title))
            return status, None

        self.server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reported)]
        )
        self.port = self.server.server_address[1]


@pytest.fixture
def place():
    place = Place()
    yield place
    place.server.shutdown()


def reporting_to(place: Place) -> tuple[AllowedSource, ...]:
    return (AllowedSource("SCANNER", report_to=ReportTo("127.0.0.1", place.port)),)


def test_a_report_that_is_not_taken_on_its_association_comes_on_a_new_one(tmp_path, place):
    with running(tmp_path, sources=reporting_to(place)) as node:
        peer = Requester(node.port)
        peer.status = 0x0110
        peer.store(mr_slice(1))
        assert peer.ask(pair(mr_slice(1))) == 0
        peer.reports.get(timeout=10)
        peer.association.release()
        event_type, report, title = place.reports.get(timeout=10)
        assert (event_type, report.TransactionUID, title) == (1, TRANSACTION, "BT_NODE")
        assert pairs(report.ReferencedSOPSequence) == [pair(mr_slice(1))]
        wait_until(lambda: promises(node) == [])


def test_a_report_that_nobody_answered_comes_on_a_new_association(tmp_path, place):
    with running(tmp_path, sources=reporting_to(place)) as node:
        peer = Requester(node.port)
        peer.store(mr_slice(1))
        assert peer.ask(pair(mr_slice(1))) == 0
        peer.reports.get(timeout=10)
        wait_until(lambda: promises(node) == [])
        node.listener._commitment._promises.keep(promise := Promise("SCANNER", "1.2.9", (pair(mr_slice(1)),)))
        node.listener._commitment._unanswered["listener/1", 77] = promise
        node.listener._reporter.wake()
        peer.association.release()
        assert place.reports.get(timeout=10)[1].TransactionUID == "1.2.9"


def test_a_promise_survives_kill_and_is_reported_by_the_next_listener(tmp_path, place, monkeypatch):
    book = FakeReceiptBook()
    with running(tmp_path, book=book) as node:
        monkeypatch.setattr(node.listener._reporter, "wake", lambda: None)  # dies before it comes to it
        peer = Requester(node.port)
        peer.store(mr_slice(1))
        monkeypatch.setattr(node.listener._commitment._promises, "report", lambda _: 1 / 0)
        assert peer.ask(pair(mr_slice(1))) == 0
        peer.association.release()
    assert len(promises(node)) == 1
    with running(tmp_path, book=book, sources=reporting_to(place)) as node:
        assert place.reports.get(timeout=10)[1].TransactionUID == TRANSACTION
        wait_until(lambda: promises(node) == [])


def test_a_requester_that_is_silent_holds_up_no_other(tmp_path, place):
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        nowhere = ReportTo("127.0.0.1", silent.getsockname()[1])
        sources = (AllowedSource("SILENT", report_to=nowhere), *reporting_to(place))
        settings = {"sources": sources, "acse_timeout_seconds": 1, "network_timeout_seconds": 1}
        with running(tmp_path, **settings) as node:
            kept = node.listener._commitment._promises
            for number in range(20):  # by their names some of these come before the other one
                kept.keep(Promise("SILENT", f"1.2.{number}", (pair(mr_slice(1)),)))
            kept.keep(Promise("SCANNER", TRANSACTION, (pair(mr_slice(1)),)))
            before = [promise.requester for promise in kept.owed()].index("SCANNER")
            assert before > 4
            node.listener._reporter.wake()
            assert place.reports.get(timeout=4)[1].TransactionUID == TRANSACTION
            wait_until(lambda: len(promises(node)) == 20)  # those are owed still


def test_a_source_without_a_place_for_reports_gets_none_and_nothing_stays(node):
    peer = Requester(node.port)
    peer.status = 0x0110
    peer.store(mr_slice(1))
    assert peer.ask(pair(mr_slice(1))) == 0
    peer.reports.get(timeout=10)
    peer.association.release()
    wait_until(lambda: promises(node) == [])


@pytest.mark.parametrize("with_role", [True, False])
def test_a_report_to_us_on_a_new_association_reaches_the_book(node, with_role):
    entity = AE("SCANNER")
    entity.add_requested_context(CLASS, list(NATIVE[:2]))
    roles = [build_role(CLASS, scp_role=True)] if with_role else []
    association = entity.associate("127.0.0.1", node.port, ae_title="BT_NODE", ext_neg=roles)
    assert association.is_established
    ds = Dataset()
    ds.TransactionUID = TRANSACTION
    ds.ReferencedSOPSequence = [reference("1.2", "1.2.3")]
    lost = reference("1.2", "1.2.4")
    lost.FailureReason = 0x0112
    ds.FailedSOPSequence = [lost]
    assert association.accepted_contexts[0].as_scp is with_role
    association._accepted_cx[1]._as_scp = True  # archives that propose no role report all the same
    status, _ = association.send_n_event_report(ds, 2, CLASS, INSTANCE)
    assert status.Status == 0
    assert node.book.reports == [(TRANSACTION, "SCANNER", (("1.2", "1.2.3"),), (("1.2", "1.2.4", 0x0112),))]
    node.book.failing = OSError("away")
    status, _ = association.send_n_event_report(ds, 2, CLASS, INSTANCE)
    assert status.Status == 0x0110, "it may report again"
    node.book.failing = None
    association.release()


def test_reports_that_are_never_answered_do_not_pile_up(node):
    peer = Requester(node.port)
    commitment = node.listener._commitment
    for number in range(8):
        commitment._unanswered["listener/1", 1000 + number] = object()
    assert peer.ask(pair(mr_slice(1))) == 0x0213
    commitment._unanswered.clear()
    peer.association.release()
