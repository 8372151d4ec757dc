"""Destinations that fail in every way: each is found out, named in the job book and mended; on our own clock."""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from answers import CLASS, IMPLICIT, VERSION, accepted, answer, answering, item
from job_desk import Clock
from node_bench import Bench
from node_log import node_log
from orthanc import OrthancServer
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from bench.trials.raw_peer import pdu
from bt_node.deliver import outlet
from bt_node.deliver.outlet import DimseOutlet
from bt_node.deliver.peer import Peer
from bt_node.domain.proof import ProofWanted
from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs import RunRecord, StoredResult, open_book, upgrade_schema
from bt_node.receive.listener import Listener
from bt_node.receive.settings import ListenerSettings
from bt_node.receive.spool import Spool
from bt_node.runtime.courier import Courier, CourierSettings
from bt_node.simulate.fake_commitment import Commitment
from bt_node.simulate.fake_pacs import FakePacs, Faults
from bt_node.simulate.node_process import free_port

SR_CLASS, SEG_CLASS = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.66.4"
HOUR = 3600.0
FIRST_PAUSE, LONGEST_PAUSE, GIVE_UP, PROOF_TIMEOUT = 30.0, 1800.0, 72 * HOUR, 600.0


class Office:
    """A job book on a clock of our own, a spool, and couriers."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder / 'jobs.sqlite'}"
        upgrade_schema(url)
        self.clock = Clock()
        self.book = open_book(url, now=self.clock)
        self.bench = Bench(self.book, Spool(folder / "spool"), url)
        self.couriers: dict[str, Courier] = {}
        self._folder = folder
        self._studies = 0

    def courier(
        self,
        name: str,
        peer: Peer,
        proof: ProofWanted = ProofWanted.AUTO,
        timeout_s: float = 5.0,
        give_up: float = GIVE_UP,
    ) -> Courier:
        settings = CourierSettings(FIRST_PAUSE, LONGEST_PAUSE, give_up, proof, PROOF_TIMEOUT)
        outlet = DimseOutlet(peer, "BT_NODE", timeout_s)
        self.couriers[name] = Courier(name, outlet, self.book, self.bench.spool, settings)
        return self.couriers[name]

    def publish(self, *destinations: str, objects: int = 2) -> int:
        """A study whose results are ready; returns the job."""
        self._studies += 1
        study = f"1.2.3.{self._studies}"
        self.bench.make_ready(study)
        job = self.book.claim("test", 30.0)
        assert job is not None
        stored = []
        for number in range(objects):
            uid = f"2.25.{self._studies}{number:03d}"
            content = self._object(study, uid, SR_CLASS if number else SEG_CLASS)
            path = self.bench.spool.store_result(job.id, uid, content)
            item = EncodedObject(
                ResultKind.SR if number else ResultKind.SEG,
                SR_CLASS if number else SEG_CLASS,
                uid,
                f"{uid}.1",
                9,
                content,
            )
            stored.append(StoredResult.of(item, path, hashlib.sha256(item.content).hexdigest()))
        self.book.publish(job.id, job.token, RunRecord(), stored, destinations)
        return job.id

    def _object(self, study: str, uid: str, sop_class: str) -> bytes:
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = study, f"{uid}.1", "SR"
        dataset.PatientName, dataset.PatientID = "PHANTOM", "0"
        dataset.add_new(0x00420011, "OB", bytes(20_000))
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = self._folder / "made.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return path.read_bytes()

    def round(self, seconds: float = 0.0) -> None:
        """Time goes by, then every courier looks once."""
        self.clock.forward(seconds)
        for courier in self.couriers.values():
            courier.deliver_due()

    def rounds_until(self, ended: Callable[[], bool], step: float, at_most: int) -> int:
        for number in range(1, at_most + 1):
            self.round(step)
            if ended():
                return number
        raise AssertionError(f"not after {at_most} rounds of {step} s")

    def state(self, job: int) -> JobState:
        return JobState(self.book.view(job)["state"])

    def deliveries(self, job: int, destination: str = "pacs") -> list[dict]:
        return [result["destinations"][destination] for result in self.book.view(job)["results"]]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.book.close()


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with FakePacs() as running:
        yield running


def peer_of(pacs: FakePacs) -> Peer:
    return Peer(pacs.ae_title, "127.0.0.1", pacs.port)


# ---------------------------------------------------------------- answers that are none

FORGED = b"1\n2026-11-30 22:00:00,000 INFO    bt_node.runtime.courier: job 7: delivered\x1b[2J"
ODD_ANSWERS = {
    "no transfer syntax": answer(*(accepted(each, None) for each in (1, 3, 5, 7))),
    "a transfer syntax that is text": answer(*(accepted(each, FORGED) for each in (1, 3, 5, 7))),
    "an empty transfer syntax": answer(*(accepted(each, b"") for each in (1, 3, 5, 7))),
    "contexts that nobody asked for": answer(*(accepted(each) for each in (2, 99, 255, 255))),
    "the same context twice": answer(*(accepted(1) for _ in range(200))),
    "a result that does not exist": answer(*(accepted(each, IMPLICIT, 77) for each in (1, 3, 5, 7))),
    "no contexts": answer(),
    "another application": answer(accepted(1), application=FORGED * 300),
    "nothing about itself": answer(accepted(1), accepted(3), about=b""),
    "lies about itself": answer(accepted(1), accepted(3), about=item(CLASS, FORGED) + item(VERSION, FORGED)),
    "no A-ASSOCIATE-AC": pdu(bytes(68), pdu_type=2),
    "a rejection that does not exist": pdu(bytes((0, 9, 9, 9)), pdu_type=3),
    "an abort that does not exist": pdu(bytes((0, 0, 9, 9)), pdu_type=7),
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("sent", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_whatever_a_destination_answers_is_an_attempt_with_a_reason_and_ends_in_time(office: Office, sent: bytes):
    threads = threading.active_count()
    job = office.publish("pacs")
    with answering(lambda: sent) as port, node_log("DEBUG") as log:
        office.courier("pacs", Peer("PACS", "127.0.0.1", port), timeout_s=1.0)
        office.round()
        first = office.deliveries(job)[0]
        assert first["detail"], "no reason"
        tried = office.book.destination_failures("pacs") + first["attempts"]
        assert tried == 1
        office.round(1.0)  # within the pause: left alone
        assert office.book.destination_failures("pacs") + office.deliveries(job)[0]["attempts"] == 1
        office.rounds_until(lambda: office.state(job) is not JobState.DELIVERING, GIVE_UP / 2, 4)
        assert "delivered" not in log()
        assert all(line.isprintable() for line in log().split("\n"))
    assert office.state(job) is JobState.FAILED
    assert office.deliveries(job)[0]["detail"].isprintable()
    assert wait_until(lambda: threading.active_count() <= threads + 1), "threads are left"


def test_an_error_that_nobody_foresaw_is_an_attempt_too(office: Office, pacs: FakePacs, monkeypatch):
    job = office.publish("pacs")
    office.courier("pacs", peer_of(pacs))

    def raising(*_: object, **__: object) -> None:
        raise IndexError("Doe^Jane")

    with monkeypatch.context() as patched, node_log("DEBUG") as log:
        patched.setattr(outlet, "send", raising)
        office.round()
    assert office.deliveries(job)[0]["attempts"] == 1
    assert "IndexError" in office.deliveries(job)[0]["detail"]
    with monkeypatch.context() as patched:
        patched.setattr(outlet, "prove", raising)
        office.round(FIRST_PAUSE)
        assert {each["state"] for each in office.deliveries(job)} == {"SENT"}
        assert "IndexError" in office.deliveries(job)[0]["detail"]
    office.rounds_until(lambda: office.state(job) is JobState.DONE, LONGEST_PAUSE, 4)
    assert "Doe" not in log()


# ---------------------------------------------------------------- down


def test_a_destination_down_for_a_day_gets_everything_once_oldest_first_and_delays_no_other(
    office: Office, pacs: FakePacs
) -> None:
    with FakePacs() as archive:
        peer = peer_of(archive)
    office.courier("archive", peer)
    office.courier("pacs", peer_of(pacs))
    jobs = []
    for hour in range(24):
        if hour % 3 == 0:
            jobs.append(office.publish("archive", "pacs"))
        office.round(HOUR)
        assert len(pacs.stored) == 2 * len(jobs)  # never later than the next round
    view = office.book.view(jobs[0])
    assert view["waiting_for"].startswith("archive to take 2 object(s), next attempt in ")
    assert view["waiting_for"].endswith("(no association: connection refused)")
    assert {each["attempts"] for job in jobs for each in office.deliveries(job, "archive")} == {0}  # nothing was sent
    with FakePacs(port=peer.port) as archive:
        rounds = office.rounds_until(lambda: office.state(jobs[-1]) is JobState.DONE, 60.0, 31)
        assert rounds * 60 <= LONGEST_PAUSE
        assert archive.stored == pacs.stored == sorted(archive.stored)
        assert len(archive.stored) == len(set(archive.stored)) == 16
    assert {office.state(job) for job in jobs} == {JobState.DONE}


def test_what_waits_for_a_destination_that_never_returns_is_given_up_and_can_be_revived(
    office: Office, pacs: FakePacs
) -> None:
    peer = peer_of(pacs)
    pacs.stop()
    office.courier("pacs", peer)
    job = office.publish("pacs")
    office.rounds_until(lambda: office.state(job) is JobState.FAILED, 6 * HOUR, 13)
    view = office.book.view(job)
    assert (view["code"], view["reason"]) == ("delivery-failed", "not delivered: 2 objects to pacs")
    with FakePacs(port=peer.port) as back:
        office.book.retry(job, "test")
        office.round(LONGEST_PAUSE)
        assert len(back.stored) == 2
    assert office.state(job) is JobState.DONE


def test_only_one_courier_is_at_a_destination(office: Office, pacs: FakePacs) -> None:
    first = office.courier("pacs", peer_of(pacs))
    second = office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs", objects=5)
    pacs.faults = Faults(answer_after_seconds=0.2)
    workers = [threading.Thread(target=courier.deliver_due) for courier in (first, second)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    office.round()
    assert sorted(pacs.stored) == sorted(set(pacs.stored))
    assert office.state(job) is JobState.DONE


def test_a_courier_that_died_blocks_its_destination_for_seconds_only(office: Office, pacs: FakePacs) -> None:
    assert office.book.take_destination("pacs", "a dead worker", 15.0)
    courier = office.courier("pacs", peer_of(pacs))
    office.publish("pacs")
    assert courier.deliver_due() == 0
    office.clock.forward(15.0)
    assert courier.deliver_due() == 2
    assert office.book.take_destination("pacs", "a worker before the clock was set back", 15.0)
    office.clock.forward(-HOUR)
    office.publish("pacs")
    assert courier.deliver_due() == 2


def test_an_urgent_study_goes_first(office: Office, pacs: FakePacs) -> None:
    office.courier("pacs", peer_of(pacs), ProofWanted.NONE)
    office.publish("pacs", objects=1)
    urgent = office.publish("pacs", objects=1)
    office.book.set_priority(urgent, "stat", "test")
    office.round()
    assert pacs.stored == ["2.25.2000", "2.25.1000"]


# ---------------------------------------------------------------- one fault each


def test_out_of_resources_is_named_and_sent_again_when_there_is_room(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(status=0xA700, times=4)
    office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs")
    office.round()
    assert [each["status"] for each in office.deliveries(job)] == ["0xA700"] * 2
    assert "out of resources (0xA700)" in office.book.view(job)["waiting_for"]
    assert (
        office.rounds_until(lambda: office.state(job) is JobState.DONE, FIRST_PAUSE, 5) == 3
    )  # after 30 s, then 60 s


def test_one_refused_context_keeps_nothing_else_back(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(refused_sop_classes=frozenset({SEG_CLASS}))
    office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs")
    office.round()
    refused, arrived = office.deliveries(job)
    assert (refused["state"], arrived["state"]) == ("PENDING", "DELIVERED")
    assert refused["detail"].startswith("presentation context not accepted: Segmentation Storage")
    pacs.faults = Faults()
    office.round(FIRST_PAUSE)
    assert office.state(job) is JobState.DONE
    assert pacs.stored == ["2.25.1001", "2.25.1000"]


def test_a_reset_in_the_middle_of_an_object_costs_that_object_one_pause(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(drop_after_bytes=10_000, times=1)
    office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs")
    office.round()
    dropped, arrived = office.deliveries(job)
    assert (dropped["state"], arrived["state"]) == ("PENDING", "DELIVERED")
    assert dropped["detail"] == "the association ended before an answer came"
    office.round(FIRST_PAUSE)
    assert office.state(job) is JobState.DONE
    assert sorted(pacs.stored) == ["2.25.1000", "2.25.1001"]


def test_one_that_answers_later_than_we_wait_is_waited_for_longer_each_time(office: Office, pacs: FakePacs) -> None:
    """Both times are a thirtieth of those at work: an answer after a minute, a timeout of 25 s."""
    pacs.faults = Faults(answer_after_seconds=2.0)
    office.courier("pacs", peer_of(pacs), ProofWanted.NONE, timeout_s=0.8)
    job = office.publish("pacs", objects=1)
    office.round()
    (waiting,) = office.deliveries(job)
    assert waiting["detail"].startswith("no answer within")
    office.rounds_until(lambda: office.state(job) is JobState.DONE, 2 * FIRST_PAUSE, 4)
    assert pacs.sop_instance_uids == ("2.25.1000",)


def test_an_object_that_meets_silence_holds_up_no_other(office: Office, pacs: FakePacs) -> None:
    slow, answer = {"2.25.1000"}, threading.Event()
    keep = pacs._on_store

    def on_store(event):
        if str(event.request.AffectedSOPInstanceUID) in slow:
            answer.wait(10)
        return keep(event)

    pacs.stop()
    pacs._on_store = on_store
    with pacs:
        office.courier("pacs", peer_of(pacs), ProofWanted.NONE, timeout_s=1.0)
        silent, other = office.publish("pacs"), office.publish("pacs")
        office.round()
        office.round(FIRST_PAUSE)
        answer.set()
        assert office.state(other) is JobState.DONE
        assert office.state(silent) is JobState.DELIVERING
        assert office.deliveries(silent)[1]["state"] == "DELIVERED"


# ---------------------------------------------------------------- accepts and forgets


def test_one_that_accepts_and_forgets_is_found_out_and_gets_the_object_again(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(forget=True, times=2)
    office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs")
    office.round()
    assert office.book.view(job)["waiting_for"] == (
        "pacs to confirm 2 object(s), asked again in 30 s (acknowledged; not found by C-FIND)"
    )
    office.round(FIRST_PAUSE)
    office.round(2 * FIRST_PAUSE)
    assert [(each["state"], each["times_lost"]) for each in office.deliveries(job)] == [("PENDING", 1)] * 2
    assert "acknowledged, but not kept (not found by C-FIND); sent again" in office.book.view(job)["waiting_for"]
    assert office.state(job) is JobState.DELIVERING
    office.round(FIRST_PAUSE)
    assert office.state(job) is JobState.DONE
    assert [(each["state"], each["proof"]) for each in office.deliveries(job)] == [("DELIVERED", "query")] * 2
    assert len(pacs.stored) == 4


def test_one_that_always_forgets_gets_the_object_ever_more_rarely_and_is_told_of(
    office: Office, pacs: FakePacs
) -> None:
    pacs.faults = Faults(forget=True)
    office.courier("pacs", peer_of(pacs), give_up=5 * HOUR)
    job = office.publish("pacs", objects=1)
    sent_at: list[float] = []

    def look() -> bool:
        if len(pacs.stored) > len(sent_at):
            sent_at.append(office.clock.now)
        return office.state(job) is JobState.FAILED

    office.rounds_until(look, 240.0, 100)
    pauses = [later - earlier for earlier, later in itertools.pairwise(sent_at)]
    assert pauses[0] <= 4 * 240.0
    assert pauses[-1] >= LONGEST_PAUSE
    assert len(sent_at) <= 8 + 5 * HOUR / LONGEST_PAUSE
    view = office.book.view(job)
    assert view["reason"] == "acknowledged but not proven to be kept: 1 objects to pacs"
    assert office.deliveries(job)[0]["times_lost"] >= len(sent_at) - 1
    assert "not found by C-FIND" in office.deliveries(job)[0]["detail"]


# ---------------------------------------------------------------- storage commitment


def test_a_commitment_on_the_same_association_is_proof(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(commitment=Commitment())
    office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs")
    office.round()
    assert [(each["state"], each["proof"]) for each in office.deliveries(job)] == [("DELIVERED", "commitment")] * 2
    assert office.state(job) is JobState.DONE
    assert pacs.find_requests == 0


def test_what_a_commitment_names_as_missing_is_sent_again(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(commitment=Commitment(), forget=True, times=1)
    office.courier("pacs", peer_of(pacs), ProofWanted.COMMITMENT)
    job = office.publish("pacs")
    office.round()
    lost, kept = office.deliveries(job)
    assert (lost["state"], kept["state"]) == ("PENDING", "DELIVERED")
    assert (
        lost["detail"]
        == "acknowledged, but not kept (storage commitment: no such object instance (0x0112)); sent again"
    )
    office.round(FIRST_PAUSE)
    assert office.state(job) is JobState.DONE
    assert pacs.stored == ["2.25.1000", "2.25.1001", "2.25.1000"]


def test_a_report_that_never_comes_is_replaced_by_a_query(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(commitment=Commitment(report="never"))
    office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs")
    office.round()
    assert office.book.view(job)["waiting_for"] == (
        "pacs to confirm 2 object(s), asked again in 600 s (acknowledged; storage commitment asked for)"
    )
    office.round(PROOF_TIMEOUT / 2)
    assert office.state(job) is JobState.DELIVERING
    office.round(PROOF_TIMEOUT / 2)
    assert [each["proof"] for each in office.deliveries(job)] == ["query"] * 2
    assert pacs.stored == ["2.25.1000", "2.25.1001"]


def test_a_report_that_comes_hours_late_still_counts(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(commitment=Commitment(report="never"), no_find=True)
    office.courier("pacs", peer_of(pacs), ProofWanted.COMMITMENT)
    job = office.publish("pacs")
    for _ in range(3):
        office.round(HOUR)
    assert len(pacs.commitments.requests) == 3
    asked = pacs.commitments.requests[0]
    stored = [(SEG_CLASS, "2.25.1000"), (SR_CLASS, "2.25.1001")]
    assert office.book.commitment_reported(str(asked.TransactionUID), "PACS", stored, [])
    assert office.state(job) is JobState.DONE


def test_what_a_report_leaves_out_is_asked_for_again(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(commitment=Commitment(silent_about=frozenset({"2.25.1000"})))
    office.courier("pacs", peer_of(pacs), ProofWanted.COMMITMENT)
    job = office.publish("pacs")
    office.round()
    assert [each["state"] for each in office.deliveries(job)] == ["SENT", "DELIVERED"]
    pacs.faults = Faults(commitment=Commitment())
    office.round(PROOF_TIMEOUT)
    assert office.state(job) is JobState.DONE
    assert [len(asked.ReferencedSOPSequence) for asked in pacs.commitments.requests] == [2, 1]


def test_a_failure_that_says_nothing_about_the_object_is_no_reason_to_send_it_again(
    office: Office, pacs: FakePacs
) -> None:
    pacs.faults = Faults(commitment=Commitment(reason=0x0110))
    office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs")
    office.round()
    assert [each["detail"] for each in office.deliveries(job)] == [
        "storage commitment: processing failure (0x0110)"
    ] * 2
    office.round(FIRST_PAUSE)
    assert [(each["state"], each["proof"]) for each in office.deliveries(job)] == [("DELIVERED", "query")] * 2
    assert len(pacs.stored) == 2


@pytest.mark.parametrize(
    ("faults", "detail", "rounds"),
    [
        (Faults(no_find=True), "stored; unproven: the destination does not offer storage commitment nor C-FIND", 1),
        (Faults(find_status=0xC001), "stored; unproven: C-FIND: it answered the query with status 0xC001", 3),
        (
            Faults(no_find=True, commitment=Commitment(report="never")),
            "stored; unproven: no report of storage commitment came",
            4,
        ),
    ],
)
def test_where_nothing_can_be_proven_auto_says_so_and_lets_its_word_do(
    office: Office, pacs: FakePacs, faults: Faults, detail: str, rounds: int
) -> None:
    pacs.faults = faults
    office.courier("pacs", peer_of(pacs))
    job = office.publish("pacs")
    assert office.rounds_until(lambda: office.state(job) is JobState.DONE, PROOF_TIMEOUT, 5) == rounds
    assert [(each["proof"], each["detail"]) for each in office.deliveries(job)] == [("unproven", detail)] * 2
    assert office.book.view(job)["reason"] == "delivered to pacs (unproven at pacs)"


@pytest.mark.parametrize("wanted", [ProofWanted.COMMITMENT, ProofWanted.QUERY])
def test_where_a_site_insists_on_proof_a_job_without_it_fails(
    office: Office, pacs: FakePacs, wanted: ProofWanted
) -> None:
    pacs.faults = Faults(no_find=True)
    office.courier("pacs", peer_of(pacs), wanted, give_up=6 * HOUR)
    job = office.publish("pacs")
    office.rounds_until(lambda: office.state(job) is JobState.FAILED, HOUR, 8)
    assert office.book.view(job)["reason"] == "acknowledged but not proven to be kept: 2 objects to pacs"
    assert "the destination does not offer" in office.deliveries(job)[0]["detail"]
    assert len(pacs.stored) == 2


def test_without_proof_the_destinations_word_is_enough_and_nobody_asks(office: Office, pacs: FakePacs) -> None:
    pacs.faults = Faults(commitment=Commitment(), forget=True)
    office.courier("pacs", peer_of(pacs), ProofWanted.NONE)
    job = office.publish("pacs")
    office.round()
    assert office.state(job) is JobState.DONE
    assert (pacs.find_requests, pacs.commitments.requests) == (0, [])
    assert office.book.view(job)["reason"] == "delivered to pacs"


def test_a_destination_that_goes_down_before_it_proved_anything_is_asked_when_it_is_back(
    office: Office, pacs: FakePacs
) -> None:
    pacs.faults = Faults(find_status=0xA700, times=1)
    office.courier("pacs", peer_of(pacs), ProofWanted.QUERY)
    job = office.publish("pacs")
    office.round()
    port = pacs.port
    pacs.stop()
    office.round(HOUR)
    assert office.state(job) is JobState.DELIVERING
    pacs._wanted_port, pacs.faults = port, Faults()
    with pacs:
        office.round(HOUR)
    assert office.state(job) is JobState.DONE
    assert len(pacs.stored) == 2


# ---------------------------------------------------------------- reports to our own listener


@pytest.fixture
def listener(office: Office) -> Iterator[Listener]:
    settings = ListenerSettings(host="127.0.0.1", port=0, accept_unknown_sources=True)
    running = Listener(settings, office.bench.spool, office.book)
    running.start()
    yield running
    running.stop()


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def test_a_report_on_a_new_association_reaches_the_job_book_by_the_listener(
    office: Office, pacs: FakePacs, listener: Listener
) -> None:
    pacs.faults = Faults(commitment=Commitment(report="new", port=listener.port))
    office.courier("pacs", peer_of(pacs), ProofWanted.COMMITMENT)
    job = office.publish("pacs")
    office.round()
    assert wait_until(lambda: office.state(job) is JobState.DONE)
    assert [each["proof"] for each in office.deliveries(job)] == ["commitment"] * 2
    assert wait_until(lambda: pacs.commitments.report_statuses == [0x0000])


@pytest.mark.e2e
def test_orthanc_commits_to_our_listener_and_keeps_one_object_however_often_it_is_sent(
    office: Office, orthanc: OrthancServer, listener: Listener
) -> None:
    orthanc.clear()
    orthanc.add_modality("BT_NODE", listener.port)
    office.courier("pacs", Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port), timeout_s=20.0)
    job = office.publish("pacs")
    office.round()
    assert wait_until(lambda: office.state(job) is JobState.DONE)
    assert [each["proof"] for each in office.deliveries(job)] == ["commitment"] * 2
    # A crash between C-STORE and the job book: what was sent is sent again.
    with sqlite3.connect(office.bench.url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE deliveries SET state = 'PENDING'")
        database.execute("UPDATE jobs SET state = 'DELIVERING'")
    office.round()
    assert wait_until(lambda: office.state(job) is JobState.DONE)
    assert orthanc.sop_instance_uids() == {"2.25.1000", "2.25.1001"}
    assert len(orthanc.get_json("instances")) == 2


@pytest.mark.e2e
def test_orthanc_that_loses_an_object_before_it_commits_gets_it_again(
    office: Office, orthanc: OrthancServer, listener: Listener
) -> None:
    orthanc.clear()
    orthanc.add_modality("BT_NODE", free_port())  # its report reaches nobody
    office.courier("pacs", Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port), timeout_s=20.0)
    job = office.publish("pacs")
    office.round()
    orthanc.request(f"instances/{orthanc.orthanc_id('2.25.1000')}", method="DELETE")
    office.round(PROOF_TIMEOUT)  # asks by C-FIND now
    assert [each["state"] for each in office.deliveries(job)] == ["SENT", "DELIVERED"]
    orthanc.add_modality("BT_NODE", listener.port)
    office.rounds_until(lambda: office.state(job) is JobState.DONE, PROOF_TIMEOUT, 5)
    assert orthanc.sop_instance_uids() == {"2.25.1000", "2.25.1001"}
    assert [each["times_lost"] for each in office.deliveries(job)] == [1, 0]
