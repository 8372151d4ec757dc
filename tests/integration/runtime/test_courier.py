"""Results reach a destination that misbehaves, once it behaves, and a dead one delays nobody."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from node_bench import Bench
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from bt_node.deliver.outlet import DimseOutlet
from bt_node.deliver.peer import Peer
from bt_node.domain.errors import BookUnavailableError
from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs import RunRecord, StoredResult
from bt_node.runtime.courier import Courier, CourierSettings
from bt_node.simulate.fake_pacs import FakePacs, Faults

SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.34"


def sr_bytes(tmp_path: Path, uid: str) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SR_CLASS, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "2.25.7", "SR"
    dataset.PatientName, dataset.PatientID = "PHANTOM", "0"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = tmp_path / "made.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path.read_bytes()


@pytest.fixture
def delivering(bench: Bench, tmp_path: Path):
    """A job with two results for the given destinations."""

    def make(*destinations: str) -> int:
        bench.make_ready()
        job = bench.book.claim("test", 30.0)
        assert job is not None
        stored = []
        for uid in ("2.25.11", "2.25.12"):
            content = sr_bytes(tmp_path, uid)
            path = bench.spool.store_result(job.id, uid, content)
            item = EncodedObject(ResultKind.SR, SR_CLASS, uid, "2.25.7", 9101, content)
            stored.append(StoredResult.of(item, path, hashlib.sha256(item.content).hexdigest()))
        bench.book.publish(job.id, job.token, RunRecord(), stored, destinations)
        return job.id

    return make


def courier(bench: Bench, name: str, peer: Peer, **changes: float) -> Courier:
    settings = {"first_pause_seconds": 0.0, "longest_pause_seconds": 0.0, "give_up_seconds": 3600.0} | changes
    outlet = DimseOutlet(peer, "BT_NODE", 5.0)
    return Courier(name, outlet, bench.book, bench.spool, CourierSettings(**settings))


def peer_of(pacs: FakePacs) -> Peer:
    return Peer(pacs.ae_title, "127.0.0.1", pacs.port)


def test_a_result_whose_file_was_changed_is_not_sent_and_the_job_runs_again(bench: Bench, delivering) -> None:
    job = delivering("pacs")
    path = bench.spool.absolute(bench.book.view(job)["results"][0]["path"])
    path.write_bytes(path.read_bytes()[:-2] + b"xx")
    with FakePacs() as pacs:
        assert courier(bench, "pacs", peer_of(pacs)).deliver_due() == 0
        assert pacs.store_requests == 0
    view = bench.book.view(job)
    assert (view["state"], view["code"]) == (JobState.READY, "result-damaged")
    assert "2.25.11" in view["reason"]


@pytest.mark.parametrize("happens", ["cancelled", "opened again", "the job book is away"])
def test_no_further_object_leaves_once_its_job_was_cancelled(
    bench: Bench, delivering, happens: str, monkeypatch
) -> None:
    job = delivering("pacs")
    ask, asked = bench.book.is_pending, []

    def between_the_two(destination: str, sop_instance_uid: str) -> bool:
        asked.append(sop_instance_uid)
        if len(asked) == 2:
            match happens:
                case "cancelled":
                    bench.book.cancel(job, "ann")
                case "opened again":
                    bench.book.make_again(job, ["2.25.12"])
                case _:
                    raise BookUnavailableError("away")
        return ask(destination, sop_instance_uid)

    monkeypatch.setattr(bench.book, "is_pending", between_the_two)
    with FakePacs() as pacs:
        courier(bench, "pacs", peer_of(pacs)).deliver_due()
        assert pacs.store_requests == 1
    [first, second] = bench.book.view(job)["results"]
    assert first["destinations"]["pacs"]["status"] == "0x0000"
    assert second["destinations"]["pacs"]["attempts"] == 0


def test_everything_delivered_makes_the_job_done_with_a_status_for_each_object(bench: Bench, delivering) -> None:
    job = delivering("pacs")
    with FakePacs() as pacs:
        assert courier(bench, "pacs", peer_of(pacs)).deliver_due() == 2
        assert sorted(pacs.sop_instance_uids) == ["2.25.11", "2.25.12"]
    view = bench.book.view(job)
    assert view["state"] == JobState.DONE
    assert [entry["destinations"]["pacs"]["status"] for entry in view["results"]] == ["0x0000", "0x0000"]


def test_out_of_resources_is_tried_again_until_the_pacs_recovers(bench: Bench, delivering) -> None:
    job = delivering("pacs")
    with FakePacs(faults=Faults(status=0xA700, times=2)) as pacs:
        sender = courier(bench, "pacs", peer_of(pacs))
        assert sender.deliver_due() == 0
        assert bench.book.view(job)["state"] == JobState.DELIVERING
        assert sender.deliver_due() == 2
    assert bench.book.view(job)["state"] == JobState.DONE


def test_a_destination_that_is_down_is_named_and_waits_its_pause(bench: Bench, delivering) -> None:
    job = delivering("pacs")
    with FakePacs() as pacs:
        gone = peer_of(pacs)
    sender = courier(bench, "pacs", gone, first_pause_seconds=60.0, longest_pause_seconds=600.0)
    assert sender.deliver_due() == 0
    view = bench.book.view(job)
    assert "pacs" in view["waiting_for"]
    assert "refused" in view["results"][0]["destinations"]["pacs"]["detail"]
    assert bench.book.due_deliveries("pacs", 10) == []


def test_a_dead_destination_does_not_delay_the_other(bench: Bench, delivering) -> None:
    job = delivering("alive", "dead")
    with FakePacs() as pacs:
        gone = Peer("NOBODY", "127.0.0.1", pacs.port)
        with FakePacs(faults=Faults(refuse_association=True)) as dead:
            courier(bench, "dead", Peer("NOBODY", "127.0.0.1", dead.port)).deliver_due()
        del gone
        assert courier(bench, "alive", peer_of(pacs)).deliver_due() == 2
    statuses = bench.book.view(job)["results"][0]["destinations"]
    assert (statuses["alive"]["state"], statuses["alive"]["proof"]) == ("DELIVERED", "query")
    assert statuses["dead"]["state"] == "PENDING"


def test_after_giving_up_the_job_is_failed_and_retry_sends_the_same_objects(bench: Bench, delivering) -> None:
    job = delivering("pacs")
    with FakePacs(faults=Faults(refused_sop_classes=frozenset({SR_CLASS}))) as pacs:
        courier(bench, "pacs", peer_of(pacs), give_up_seconds=-1.0).deliver_due()
        view = bench.book.view(job)
        assert view["state"] == JobState.FAILED
        assert "context" in view["results"][0]["destinations"]["pacs"]["detail"]
        pacs.faults = Faults()
        bench.book.retry(job, "test")
        assert courier(bench, "pacs", peer_of(pacs)).deliver_due() == 2
    assert bench.book.view(job)["state"] == JobState.DONE
