"""Asking a destination whether it keeps objects: a fake PACS, Orthanc (which calls us back), dcmqrscp."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from orthanc import OrthancServer
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from pynetdicom import AE, evt

from bt_node.deliver.commitment import STORAGE_COMMITMENT, read_report
from bt_node.deliver.prove import CommitmentDesk, prove
from bt_node.deliver.send import OutgoingFile, Peer, send
from bt_node.domain.proof import Answer, CommitmentReport, Proof, Reference
from bt_node.simulate.fake_commitment import Commitment
from bt_node.simulate.fake_pacs import FakePacs, Faults
from bt_node.simulate.node_process import free_port

ME = "BT_NODE"
BOTH = (Proof.COMMITMENT, Proof.QUERY)
MakeFile = Callable[..., OutgoingFile]


class Desk:
    """What was asked and what was reported."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.withdrawn: list[str] = []
        self.reports: list[CommitmentReport] = []
        self.news = threading.Event()

    def reported(self, report: CommitmentReport) -> None:
        self.reports.append(report)
        self.news.set()

    def port(self, linger_s: float = 5.0) -> CommitmentDesk:
        return CommitmentDesk(self.asked.append, self.withdrawn.append, self.reported, linger_s)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def reference(file: OutgoingFile) -> Reference:
    return Reference(file.sop_class_uid, file.sop_instance_uid, "2.25.71", "2.25.72")


NOWHERE = Reference(SegmentationStorage, "2.25.404", "2.25.71", "2.25.72")


@pytest.fixture
def there(pacs: FakePacs, fake_peer: Peer, make_file: MakeFile) -> Reference:
    """An object that the fake PACS keeps."""
    file = make_file(1)
    assert send(fake_peer, ME, [file], 5)[0].delivered
    return reference(file)


@pytest.mark.parametrize("after_s", [0.0, 0.3], ids=["with the answer", "later"])
def test_a_report_on_the_same_association_names_what_is_kept_and_what_is_not(
    pacs: FakePacs, fake_peer: Peer, there: Reference, desk: Desk, after_s: float
) -> None:
    pacs.faults = Faults(commitment=Commitment(after_s=after_s))
    outcomes, transaction = prove(fake_peer, ME, [there, NOWHERE], BOTH, desk.port(), 5)
    assert [outcome.answer for outcome in outcomes] == [Answer.PROMISED] * 2
    assert desk.asked == [transaction]
    (report,) = desk.reports
    assert report == CommitmentReport(
        transaction,
        ((there.sop_class_uid, there.sop_instance_uid),),
        ((NOWHERE.sop_class_uid, NOWHERE.sop_instance_uid, 0x0112),),
    )
    assert pacs.commitments.report_statuses == [0x0000]
    assert pacs.find_requests == 0


def test_a_report_that_cannot_be_written_down_is_answered_with_failure(
    pacs: FakePacs, fake_peer: Peer, there: Reference, desk: Desk
) -> None:
    def broken(report: CommitmentReport) -> None:
        desk.news.set()
        raise OSError("the job book is away")

    pacs.faults = Faults(commitment=Commitment())
    prove(fake_peer, ME, [there], BOTH, CommitmentDesk(desk.asked.append, desk.withdrawn.append, broken, 0.5), 5)
    assert pacs.commitments.report_statuses == [0x0110]


def test_each_request_has_a_transaction_uid_of_its_own(
    pacs: FakePacs, fake_peer: Peer, there: Reference, desk: Desk
) -> None:
    pacs.faults = Faults(commitment=Commitment())
    uids = {prove(fake_peer, ME, [there], BOTH, desk.port(), 5)[1] for _ in range(3)}
    assert len(uids) == 3
    assert all(len(uid) <= 64 and uid.startswith("2.25.") for uid in uids)


def test_where_commitment_is_refused_or_not_offered_a_query_finds_out(
    pacs: FakePacs, fake_peer: Peer, there: Reference, desk: Desk
) -> None:
    for commitment in (None, Commitment(status=0x0110)):
        pacs.faults = Faults(commitment=commitment)
        outcomes, transaction = prove(fake_peer, ME, [there, NOWHERE], BOTH, desk.port(), 5)
        assert transaction == ""
        assert [(o.answer, o.proof) for o in outcomes] == [
            (Answer.KEPT, Proof.QUERY),
            (Answer.MISSING, Proof.QUERY),
        ]
    assert desk.asked == desk.withdrawn != []


@pytest.mark.parametrize(
    ("faults", "ways", "answer", "detail"),
    [
        (Faults(no_find=True), BOTH, Answer.NOT_OFFERED, "does not offer storage commitment nor C-FIND"),
        (Faults(), (Proof.COMMITMENT,), Answer.NOT_OFFERED, "does not offer storage commitment"),
        (Faults(find_status=0xC001), BOTH, Answer.UNCLEAR, "C-FIND: it answered the query with status 0xC001"),
        (Faults(commitment=Commitment(status=0x0213)), (Proof.COMMITMENT,), Answer.UNCLEAR, "refused (0x0213)"),
        (Faults(refuse_association=True), BOTH, Answer.UNREACHABLE, "calling AE title not recognised"),
    ],
)
def test_what_proves_nothing_says_why(
    pacs: FakePacs, fake_peer: Peer, there: Reference, desk: Desk, faults: Faults, ways, answer: Answer, detail: str
) -> None:
    pacs.faults = faults
    ((outcome,), _) = prove(fake_peer, ME, [there], ways, desk.port(0.1), 5)
    assert outcome.answer is answer
    assert detail in outcome.detail


def test_an_archive_that_ignores_the_key_proves_nothing(
    pacs: FakePacs, fake_peer: Peer, there: Reference, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bt_node.simulate.fake_index as index

    monkeypatch.setattr(index, "_UNIQUE_KEYS", ("StudyInstanceUID",))
    ((outcome,), _) = prove(fake_peer, ME, [NOWHERE], BOTH, desk.port(), 5)
    assert outcome.answer is Answer.MISSING


# ---------------------------------------------------------------- real archives


@contextmanager
def listener_for_reports(desk: Desk, port: int) -> Iterator[None]:
    """Takes N-EVENT-REPORT on new associations."""

    def on_report(event: evt.Event) -> tuple[int, None]:
        desk.reported(read_report(event.event_information))
        return 0x0000, None

    entity = AE(ae_title=ME)
    # Orthanc proposes itself as SCP of the class.
    entity.add_supported_context(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)])
    try:
        yield
    finally:
        server.shutdown()


@pytest.mark.e2e
def test_orthanc_commits_to_what_it_has_on_an_association_of_its_own(
    orthanc: OrthancServer, make_file: MakeFile, desk: Desk
) -> None:
    orthanc.clear()
    peer = Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port)
    port = free_port()
    orthanc.add_modality(ME, port)
    files = [make_file(1, SegmentationStorage), make_file(2, Comprehensive3DSRStorage)]
    assert all(outcome.delivered for outcome in send(peer, ME, files, 20))
    references = [*map(reference, files), NOWHERE]
    with listener_for_reports(desk, port):
        outcomes, transaction = prove(peer, ME, references, BOTH, desk.port(0.2), 20)
        assert desk.news.wait(20)
    assert {outcome.answer for outcome in outcomes} == {Answer.PROMISED}
    (report,) = desk.reports
    assert report.transaction_uid == transaction
    assert {instance for _, instance in report.stored} == {file.sop_instance_uid for file in files}
    assert report.failed == ((NOWHERE.sop_class_uid, NOWHERE.sop_instance_uid, 0x0112),)


@pytest.mark.e2e
def test_orthanc_answers_a_query_about_each_object(orthanc: OrthancServer, make_file: MakeFile, desk: Desk) -> None:
    orthanc.clear()
    peer = Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port)
    orthanc.add_modality(ME, free_port())
    file = make_file(1, SegmentationStorage)
    send(peer, ME, [file], 20)
    outcomes, _ = prove(peer, ME, [reference(file), NOWHERE], (Proof.QUERY,), desk.port(), 20)
    assert [outcome.answer for outcome in outcomes] == [Answer.KEPT, Answer.MISSING]


@pytest.mark.e2e
def test_dcmtks_archive_answers_a_query_and_offers_no_commitment(
    dcmqrscp: Peer, make_file: MakeFile, desk: Desk
) -> None:
    file = make_file(1, SegmentationStorage)
    assert send(dcmqrscp, ME, [file], 20)[0].delivered
    outcomes, _ = prove(dcmqrscp, ME, [reference(file), NOWHERE], BOTH, desk.port(), 20)
    assert [(outcome.answer, outcome.proof) for outcome in outcomes] == [
        (Answer.KEPT, Proof.QUERY),
        (Answer.MISSING, Proof.QUERY),
    ]
    assert desk.asked == []
