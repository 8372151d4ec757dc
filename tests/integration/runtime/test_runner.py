"""One study to the next: whatever a trip ends with, the job book says so and the worker goes on."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from node_bench import Bench, encoded

from bt_node.domain.errors import BookUnavailableError, OutOfDeviceMemoryError, RolesMissingError
from bt_node.domain.geometry import Grid
from bt_node.domain.states import JobState
from bt_node.domain.tumour import Findings, LabelMap, Region, RegionMeasurement, ReleaseIdentity
from bt_node.encode.results import NodeIdentity
from bt_node.jobs import JobBook
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import TripOutcome
from bt_node.runtime import travel as module
from bt_node.runtime.reconciler import Reconciler
from bt_node.runtime.runner import RunnerSettings, StudyRunner
from bt_node.runtime.travel import Trips

LABELS = LabelMap(np.zeros((1, 1, 1), np.uint8), Grid((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
FINDINGS = Findings({region: RegionMeasurement(region, 1.0) for region in Region}, ReleaseIdentity("s", "1", "ab"))


def build(bench: Bench, destinations: tuple[str, ...] = ("pacs",), lease_seconds: float = 30.0) -> StudyRunner:
    settings = RunnerSettings("test", lease_seconds, 3, 60.0, destinations)
    trips = Trips(None, NodeIdentity("m", "n", "1", "s"), bench.spool.root)
    return StudyRunner(bench.book, bench.spool, trips, settings)


def replace_trip(monkeypatch: pytest.MonkeyPatch, behaviour) -> None:
    monkeypatch.setattr(module, "run_trip", behaviour)


def successful_trip(study, models, node, record: TripRecord) -> TripOutcome:
    with record.stage("segment"):
        record.note_findings(FINDINGS)
    return TripOutcome(LABELS, FINDINGS, (encoded(1), encoded(2)))


def failing_trip(error: Exception):
    def trip(study, models, node, record: TripRecord) -> TripOutcome:
        with record.stage("assemble"):
            raise error

    return trip


def test_results_are_on_disk_and_in_the_outbox_when_the_job_is_delivering(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()
    replace_trip(monkeypatch, successful_trip)
    assert build(bench).run_next()
    view = bench.book.view(job)
    assert view["state"] == JobState.DELIVERING
    assert [entry["sop_instance_uid"] for entry in view["results"]] == ["2.25.1", "2.25.2"]
    due = bench.book.due_deliveries("pacs", 10)
    assert [(bench.spool.root / item.path).read_bytes() for item in due] == [b"bytes", b"bytes"]
    assert view["timings_s"].keys() >= {"gather", "segment", "store"}
    assert view["findings"]["volumes_ml"]["WT"] == 1.0


@pytest.mark.parametrize("damage", [b"", b"other", None])
def test_a_damaged_file_is_never_analysed_and_the_study_goes_on_when_it_is_sent_again(
    bench: Bench, monkeypatch, damage: bytes | None
) -> None:
    damaged = bench.receive(2)
    job = bench.make_ready()
    file = bench.spool.absolute(damaged.path)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content) if damage is None else damage)
    replace_trip(monkeypatch, successful_trip)
    assert build(bench).run_next()
    view = bench.book.view(job)
    assert (view["state"], view["code"]) == (JobState.HELD, "files-damaged")
    assert "1 of 2 instances in the spool are not what was received: 1.2.3.1.2." in view["reason"]
    assert "Send the study again" in view["reason"]
    reconciler = Reconciler(bench.book, bench.spool)
    reconciler.mend()
    assert not build(bench).run_next()
    bench.receive(2)
    reconciler.mend()
    assert build(bench).run_next()
    assert bench.book.view(job)["state"] == JobState.DELIVERING


class Away:
    """A job book in front of the real one that does not answer while it is `away`, or once after a commit."""

    def __init__(self, book: JobBook) -> None:
        self._book = book
        self.away, self.unheard = False, ""

    def __getattr__(self, name: str):
        method = getattr(self._book, name)

        def call(*arguments, **named):
            if self.away:
                raise BookUnavailableError("cut off")
            answer = method(*arguments, **named)
            if name == self.unheard:
                self.unheard = ""
                raise BookUnavailableError("the connection broke after the commit")
            return answer

        return call


@pytest.mark.parametrize("written_down_as_silent", [False, True])
def test_a_database_away_for_longer_than_the_lease_costs_no_result_and_no_attempt(
    bench: Bench, monkeypatch, written_down_as_silent: bool
) -> None:
    """Away for all, or for this host alone, so that another one writes the worker down as silent."""
    job = bench.make_ready()
    lease_seconds = 0.2
    runner = build(bench, lease_seconds=lease_seconds)
    book = Away(bench.book)
    runner._book = book

    def come_back() -> None:
        if written_down_as_silent:
            assert bench.book.expire_lease(bench.book.held_leases()[0], 1)
            assert bench.book.view(job)["state"] == JobState.FAILED
        book.away = False

    def trip(study, models, node, record: TripRecord) -> TripOutcome:
        book.away = True
        with record.stage("segment"):
            time.sleep(5 * lease_seconds)
        threading.Timer(3 * lease_seconds, come_back).start()
        with record.stage("encode"):
            return successful_trip(study, models, node, record)

    replace_trip(monkeypatch, trip)
    assert runner.run_next()
    view = bench.book.view(job)
    assert (view["state"], view["attempts"], len(view["results"])) == (JobState.DELIVERING, 1, 2)


def test_a_claim_whose_answer_was_lost_goes_back_and_is_no_attempt(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()
    replace_trip(monkeypatch, successful_trip)
    runner = build(bench)
    book = runner._book = Away(bench.book)
    book.unheard = "claim"
    with pytest.raises(BookUnavailableError):
        runner.run_next()
    assert bench.book.view(job)["state"] == JobState.RUNNING
    assert runner.run_next()
    view = bench.book.view(job)
    assert (view["state"], view["attempts"]) == (JobState.DELIVERING, 1)


def test_without_a_destination_the_job_is_done(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()
    replace_trip(monkeypatch, successful_trip)
    build(bench, destinations=()).run_next()
    assert bench.book.view(job)["state"] == JobState.DONE


def test_an_unfit_study_is_rejected_with_its_reason_and_the_next_one_runs(bench: Bench, monkeypatch) -> None:
    first, second = bench.make_ready("1.2.3"), bench.make_ready("1.2.4")
    runner = build(bench)
    replace_trip(monkeypatch, failing_trip(RolesMissingError(["FLAIR"], 3)))
    runner.run_next()
    replace_trip(monkeypatch, successful_trip)
    runner.run_next()
    states = [bench.book.view(job)["state"] for job in (first, second)]
    assert states == [JobState.REJECTED, JobState.DELIVERING]
    assert "FLAIR" in bench.book.view(first)["reason"]


def test_an_unforeseen_error_is_tried_again_later_and_says_nothing_of_the_patient(
    bench: Bench, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = bench.make_ready()
    replace_trip(monkeypatch, failing_trip(ValueError("bad date of Doe^Jane")))
    runner = build(bench)
    assert runner.run_next()
    assert not runner.run_next(), "the pause before the next attempt was not kept"
    view = bench.book.view(job)
    assert view["state"] == JobState.READY
    assert "Doe" not in str(view)
    assert "Doe" not in caplog.text
    assert "ValueError" in caplog.text


def test_out_of_memory_is_a_retry(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()
    replace_trip(monkeypatch, failing_trip(OutOfDeviceMemoryError("cuda:0")))
    build(bench).run_next()
    assert bench.book.view(job)["state"] == JobState.READY
    assert bench.book.view(job)["history"][-1]["to"] == JobState.READY


def test_a_file_that_vanished_from_the_spool_is_named(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()
    next(bench.spool.root.rglob("1.2.3.1.1.dcm")).unlink()
    replace_trip(monkeypatch, successful_trip)
    build(bench).run_next()
    assert "1.2.3.1.1" in bench.book.view(job)["reason"]


def test_a_cancelled_job_ends_at_the_next_stage_and_leaves_no_result(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()

    def cancelled_half_way(study, models, node, record: TripRecord) -> TripOutcome:
        bench.book.cancel(job, "test")
        return successful_trip(study, models, node, record)

    replace_trip(monkeypatch, cancelled_half_way)
    build(bench).run_next()
    view = bench.book.view(job)
    assert view["state"] == JobState.CANCELLED
    assert view["results"] == []


def test_a_stopping_worker_hands_its_job_back_at_the_next_stage(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()
    runner = build(bench)

    def stopped_half_way(study, models, node, record: TripRecord) -> TripOutcome:
        runner.stopping.set()
        return successful_trip(study, models, node, record)

    replace_trip(monkeypatch, stopped_half_way)
    runner.run_next()
    assert bench.book.view(job)["state"] == JobState.READY
    assert not runner.run_next()


def test_the_lease_is_renewed_while_a_long_stage_runs(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()
    waited = threading.Event()

    def slow(study, models, node, record: TripRecord) -> TripOutcome:
        (before,) = bench.book.held_leases()
        waited.wait(1.5)
        assert not bench.book.expire_lease(before, 3)
        return successful_trip(study, models, node, record)

    replace_trip(monkeypatch, slow)
    build(bench, lease_seconds=0.8).run_next()
    assert bench.book.view(job)["state"] == JobState.DELIVERING


def test_the_same_input_is_analysed_at_the_same_time_on_a_second_run(bench: Bench, monkeypatch) -> None:
    job = bench.make_ready()
    seen = []

    def remember(study, models, node, record: TripRecord) -> TripOutcome:
        seen.append(study.analysed_at)
        return successful_trip(study, models, node, record)

    replace_trip(monkeypatch, remember)
    runner = build(bench, destinations=())
    runner.run_next()
    bench.book.retry(job, "test")
    runner.run_next()
    assert len(seen) == 2
    assert seen[0] == seen[1]
