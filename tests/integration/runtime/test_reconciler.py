"""Spool and job book after a crash: whatever differs is found, named and mended, both ways."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from node_bench import STUDY, Bench, encoded
from receive_cases import encoded as encoded_dataset
from receive_cases import mr_slice

from bt_node.config import Config, Storage
from bt_node.domain.errors import FilesDamagedError, FilesLostError
from bt_node.domain.result import SendOutcome
from bt_node.domain.states import JobState
from bt_node.jobs import ClaimedJob, RunRecord, StoredResult
from bt_node.receive.part10 import encode_file_meta
from bt_node.receive.spool import instance_path
from bt_node.runtime.housekeeping import Housekeeper
from bt_node.runtime.reconciler import Reconciler

LONG_AGO = time.time() - 7200


@pytest.fixture
def reconciler(bench: Bench) -> Reconciler:
    return Reconciler(bench.book, bench.spool)


def publish(bench: Bench, number: int = 1, destinations: tuple[str, ...] = ("pacs",)) -> tuple[int, Path]:
    """A job in delivery with one stored result; its number, and the file."""
    bench.make_ready()
    job = claim(bench)
    made = encoded(number)
    path = bench.spool.store_result(job.id, made.sop_instance_uid, made.content)
    stored = StoredResult.of(made, path, hashlib.sha256(made.content).hexdigest())
    bench.book.publish(job.id, job.token, RunRecord(), [stored], destinations)
    return job.id, bench.spool.absolute(path)


def claim(bench: Bench) -> ClaimedJob:
    job = bench.book.claim("worker", 60.0)
    assert job is not None
    return job


def state(bench: Bench, job_id: int) -> tuple[str, str]:
    view = bench.book.view(job_id)
    return view["state"], view["code"]


def test_a_file_without_a_row_gets_its_row_and_its_study_goes_on(bench: Bench, reconciler: Reconciler) -> None:
    ds = mr_slice()
    uids = (str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))
    syntax = "1.2.840.10008.1.2.1"  # explicit VR little endian
    meta = encode_file_meta(str(ds.SOPClassUID), uids[2], syntax, calling="PACS")
    bench.spool.write(instance_path(*uids), [meta, encoded_dataset(ds)])
    reconciler.mend()
    assert bench.book.view(uids[0])["instances"] == 1
    assert bench.book.sweep_complete(0.0, 300.0) == [1]
    reconciler.mend()
    assert bench.book.view(uids[0])["instances"] == 1


def test_half_written_files_are_swept_but_not_those_of_a_live_writer(bench: Bench, reconciler: Reconciler) -> None:
    folder = bench.spool.absolute(bench.receive().path).parent
    dead, live = folder / ".1.2.aa.part", folder / ".1.3.bb.part"
    dead.write_bytes(b"half")
    with live.open("wb") as writer:
        import fcntl

        fcntl.flock(writer, fcntl.LOCK_EX)
        reconciler.mend()
        assert (dead.exists(), live.exists()) == (False, True)


def test_a_study_whose_files_are_lost_is_held_with_their_names_and_goes_on_when_they_are_back(
    bench: Bench, reconciler: Reconciler
) -> None:
    lost = bench.receive(2)
    job_id = bench.make_ready()
    bench.spool.absolute(lost.path).unlink()
    job = claim(bench)
    error = FilesLostError([lost.sop_instance_uid], of=2)
    bench.book.finish(job.id, job.token, JobState.HELD, error.code, str(error), RunRecord())
    reconciler.mend_inputs()
    assert state(bench, job_id) == (JobState.HELD, "files-lost")
    assert lost.sop_instance_uid in bench.book.view(job_id)["reason"]
    bench.receive(2)  # the same instance, sent again
    reconciler.mend_inputs()
    assert state(bench, job_id) == (JobState.READY, "")
    assert len(claim(bench).instances) == 2


def test_a_study_whose_files_are_damaged_goes_on_only_when_they_are_sound_again(
    bench: Bench, reconciler: Reconciler
) -> None:
    damaged = bench.receive(2)
    job_id = bench.make_ready()
    file = bench.spool.absolute(damaged.path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"x")
    job = claim(bench)
    error = FilesDamagedError([damaged.sop_instance_uid], of=2)
    bench.book.finish(job.id, job.token, JobState.HELD, error.code, str(error), RunRecord())
    reconciler.mend_inputs()
    assert state(bench, job_id) == (JobState.HELD, "files-damaged")
    assert damaged.sop_instance_uid in bench.book.view(job_id)["reason"]
    bench.receive(2)  # sent again
    reconciler.mend_inputs()
    assert state(bench, job_id) == (JobState.READY, "")


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_result_that_is_not_what_was_made_is_never_sent_and_made_again(
    bench: Bench, reconciler: Reconciler, damage: str
) -> None:
    job_id, path = publish(bench)
    path.unlink() if damage == "gone" else path.write_bytes(b"other")
    reconciler.mend_results()
    assert bench.book.due_deliveries("pacs", 10) == []
    assert state(bench, job_id) == (JobState.READY, "result-damaged")
    assert "2.25.1" in bench.book.view(job_id)["reason"]
    job = claim(bench)
    again = bench.spool.store_result(job_id, "2.25.1", b"bytes")
    made = StoredResult.of(encoded(1), again, hashlib.sha256(b"bytes").hexdigest())
    bench.book.publish(job.id, job.token, RunRecord(), [made], ("pacs",))
    reconciler.mend_results()
    assert [due.sop_instance_uid for due in bench.book.due_deliveries("pacs", 10)] == ["2.25.1"]


def test_a_held_result_that_was_lost_is_made_again_before_a_person_can_release_it(
    bench: Bench, reconciler: Reconciler
) -> None:
    bench.make_ready()
    job = claim(bench)
    path = bench.spool.store_result(job.id, "2.25.1", b"bytes")
    made = StoredResult.of(encoded(1), path, hashlib.sha256(b"bytes").hexdigest())
    bench.book.keep(job.id, job.token, RunRecord(), [made], "doubtful")
    reconciler.mend_results()
    assert state(bench, job.id) == (JobState.HELD, "result-held")
    bench.spool.absolute(path).unlink()
    reconciler.mend_results()
    assert state(bench, job.id) == (JobState.READY, "result-damaged")


def test_what_every_destination_has_needs_no_file(bench: Bench, reconciler: Reconciler) -> None:
    job_id, path = publish(bench)
    taken = SendOutcome("2.25.1", 0, delivered=True, detail="")
    bench.book.record_delivery(job_id, "pacs", taken, None, give_up=False)
    bench.book.settle_deliveries(job_id)
    before = bench.book.view(job_id)["state"]
    path.unlink()
    reconciler.mend()
    assert bench.book.view(job_id)["state"] == before


def test_a_delivery_that_was_over_when_its_courier_died_is_settled(bench: Bench) -> None:
    """Nothing of it is due any more, so no courier would look at the job again."""
    job_id, _ = publish(bench)
    assert bench.book.settle_all() == [], "it is not over"
    taken = SendOutcome("2.25.1", 0, delivered=True, detail="")
    bench.book.record_delivery(job_id, "pacs", taken, None, give_up=False)
    assert bench.book.due_deliveries("pacs", 10) == []
    assert bench.book.settle_all() == [job_id]
    assert state(bench, job_id) == (JobState.DONE, "")


def test_results_encoded_but_never_recorded_are_removed_once_nobody_can_record_them(
    bench: Bench, reconciler: Reconciler
) -> None:
    job_id, recorded = publish(bench)
    made = [bench.spool.store_result(job_id, uid, b"x") for uid in ("2.25.8", "2.25.9")]
    orphan, fresh = map(bench.spool.absolute, made)
    for path in (recorded, orphan):
        os.utime(path, (LONG_AGO, LONG_AGO))
    reconciler.mend()
    assert [path.exists() for path in (recorded, orphan, fresh)] == [True, False, True]


def test_no_result_file_of_a_running_job_is_touched(bench: Bench, reconciler: Reconciler) -> None:
    bench.make_ready()
    job = claim(bench)
    path = bench.spool.absolute(bench.spool.store_result(job.id, "2.25.8", b"x"))
    os.utime(path, (LONG_AGO, LONG_AGO))
    reconciler.mend()
    assert path.exists()


def test_a_crash_in_the_middle_of_retention_brings_no_purged_study_back(
    bench: Bench, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = bench.make_ready()
    bench.book.cancel(job_id, "test")
    config = Config(storage=Storage(retention_days=1e-9))
    housekeeper = Housekeeper(bench.book, bench.spool, config, None)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("bt_node.jobs.timetable._forget", crash)
        with pytest.raises(KeyboardInterrupt):
            housekeeper.retain()
    reconciler.mend()
    assert bench.book.view(STUDY)["state"] == JobState.CANCELLED
    housekeeper.retain()
    reconciler.mend()
    view = bench.book.view(STUDY)
    assert (view["state"], view["instances"]) == (JobState.CANCELLED, 0)
    assert view["purged_at"] is not None


def test_a_study_whose_files_cannot_be_removed_does_not_keep_those_of_others(bench: Bench) -> None:
    stuck, other = bench.make_ready("1.2.3"), bench.make_ready("1.2.4")
    for job_id in (stuck, other):
        bench.book.cancel(job_id, "test")
    [path] = bench.book.instance_paths(stuck).values()
    in_the_way = bench.spool.absolute(path)
    in_the_way.unlink()
    in_the_way.mkdir()
    housekeeper = Housekeeper(bench.book, bench.spool, Config(storage=Storage(retention_days=1e-9)), None)
    time.sleep(0.01)
    housekeeper.retain()
    assert bench.book.view(stuck)["purged_at"] is None
    assert bench.book.view(other)["purged_at"] is not None
