"""Claims, leases, fencing tokens, and how a run ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from job_desk import LEASE, QUIET, STALE, Desk, stored

from bt_node.domain.errors import IllegalMoveError, LeaseLostError
from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs import ClaimedJob, RunRecord, StoredResult
from bt_node.jobs.database import Database
from bt_node.jobs.moves import move

NOTHING = RunRecord()


def test_a_claimed_job_holds_every_instance_in_a_steady_order(desk: Desk):
    desk.make_ready(images=3)
    job = desk.claim("worker-7")
    assert (job.study_instance_uid, job.attempt) == ("1.2.3", 1)
    assert [item.sop_instance_uid for item in job.instances] == ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"]
    assert job.instances[0].study_instance_uid == "1.2.3"
    assert job.instances[0].path == "instances/1.2.3.1.1.dcm"
    assert desk.book.view(job.id)["worker"] == "worker-7"


def test_nothing_is_claimed_when_nothing_is_ready(desk: Desk):
    desk.receive()
    assert desk.book.claim("worker", LEASE) is None


def test_a_job_is_claimed_once(desk: Desk):
    desk.make_ready()
    desk.claim("worker-1")
    assert desk.book.claim("worker-2", LEASE) is None


def test_the_job_that_waits_longest_goes_first(desk: Desk):
    first, second = desk.make_ready("1.2.3"), desk.make_ready("1.2.4")
    assert [desk.claim().id, desk.claim().id] == [first, second]


def test_a_heartbeat_keeps_the_job_and_silence_loses_it(desk: Desk):
    job = desk.run()
    desk.clock.forward(LEASE - 1)
    assert desk.book.renew_lease(job.id, job.token, LEASE)
    desk.clock.forward(LEASE - 1)
    seen = desk.lease(job.id)
    assert desk.book.renew_lease(job.id, job.token, LEASE + 1)
    assert not desk.book.expire_lease(seen, 3), "it was renewed since it was looked at"
    assert desk.book.expire_lease(desk.lease(job.id), 3)
    assert desk.state(job.id) is JobState.READY
    desk.claim("worker-2")
    assert not desk.book.renew_lease(job.id, job.token, LEASE)


def test_a_worker_that_lost_its_lease_can_write_nothing(desk: Desk):
    old = desk.run()
    desk.clock.forward(LEASE + 1)
    assert desk.book.expire_lease(desk.lease(old.id), 3)
    new = desk.claim("worker-2")
    assert new.token > old.token
    for write in (
        lambda: desk.book.publish(old.id, old.token, NOTHING, [stored("1.9.1")], ["archive"]),
        lambda: desk.book.finish(old.id, old.token, JobState.REJECTED, "x", "y", NOTHING),
        lambda: desk.book.note_stage(old.id, old.token, "infer", 1.0),
    ):
        with pytest.raises(LeaseLostError):
            write()
    view = desk.book.view(old.id)
    assert (view["state"], view["results"], view["worker"]) == ("RUNNING", [], "worker-2")


def silent(desk: Desk, max_attempts: int = 3) -> ClaimedJob:
    """A job whose worker was written down as silent."""
    job = desk.run()
    desk.clock.forward(LEASE + 1)
    assert desk.book.expire_lease(desk.lease(job.id), max_attempts)
    return job


@pytest.mark.parametrize("max_attempts", [1, 3])  # FAILED, READY
def test_a_worker_that_was_only_cut_off_keeps_its_results_and_its_attempt(desk: Desk, max_attempts: int):
    job = silent(desk, max_attempts)
    target = desk.book.publish(job.id, job.token, NOTHING, [stored("1.9.1")], ["archive"])
    assert target is JobState.DELIVERING
    view = desk.book.view(job.id)
    assert (view["attempts"], view["code"], [each["sop_instance_uid"] for each in view["results"]]) == (
        1,
        "",
        ["1.9.1"],
    )
    assert view["history"][-2]["actor"] == "worker-1"
    assert "cut off" in view["history"][-2]["reason"]


def test_a_worker_that_was_only_cut_off_goes_on_and_nobody_else_has_its_job(desk: Desk):
    job = silent(desk)
    assert desk.book.renew_lease(job.id, job.token, LEASE)
    assert desk.state(job.id) is JobState.RUNNING
    assert desk.book.claim("worker-2", LEASE) is None
    desk.clock.forward(LEASE + 1)
    assert desk.book.expire_lease(desk.lease(job.id), 3)
    assert desk.claim("worker-2").attempt == 2
    assert not desk.book.renew_lease(job.id, job.token, LEASE)


@pytest.mark.parametrize("decision", ["retry", "cancel", "new images"])
def test_a_worker_that_was_cut_off_does_not_undo_what_was_decided_meanwhile(desk: Desk, decision: str):
    job = silent(desk, max_attempts=1 if decision == "retry" else 3)
    if decision == "new images":
        desk.receive()
        desk.book.reopen_changed()
    else:
        getattr(desk.book, decision)(job.id, "ann")
    before = desk.book.view(job.id)
    assert not desk.book.renew_lease(job.id, job.token, LEASE)
    with pytest.raises(LeaseLostError):
        desk.book.publish(job.id, job.token, NOTHING, [stored("1.9.1")], ["archive"])
    assert desk.book.view(job.id) == before


def test_a_claim_whose_answer_was_lost_is_no_attempt(desk: Desk):
    other = desk.run("1.2.4")
    desk.make_ready("1.2.3")
    job = desk.claim("worker-2")
    assert desk.book.hand_back_all("worker-2") == [job.id]
    assert desk.book.hand_back_all("worker-2") == []
    assert desk.state(other.id) is JobState.RUNNING
    assert desk.claim("worker-2").attempt == 1


def test_the_database_itself_refuses_a_move_with_an_old_token_or_from_another_state(desk: Desk, url: str):
    job = desk.run()
    database = Database(url)
    with pytest.raises(LeaseLostError), database.write() as tx:
        move(tx, job.id, JobState.RUNNING, JobState.READY, actor="test", token=job.token - 1)
    with (
        pytest.raises(IllegalMoveError, match=f"Job {job.id} is RUNNING and cannot become CANCELLED"),
        database.write() as tx,
    ):
        move(tx, job.id, JobState.READY, JobState.CANCELLED, actor="test")
    database.close()
    assert desk.state(job.id) is JobState.RUNNING


def test_a_job_whose_worker_keeps_dying_fails_with_the_stage_in_which_it_died(desk: Desk):
    job_id = desk.make_ready()
    for attempt in (1, 2):
        job = desk.claim()
        assert job.attempt == attempt
        desk.book.note_stage(job.id, job.token, "convert", 2.5)
        desk.clock.forward(LEASE + 1)
        assert desk.book.expire_lease(desk.lease(job_id), max_attempts=2)
    view = desk.book.view(job_id)
    assert (view["state"], view["code"]) == ("FAILED", "worker-lost")
    assert "worker-1 fell silent after stage convert in attempt 2 of 2" in view["reason"]


def test_a_retry_waits_for_its_pause(desk: Desk):
    job = desk.run()
    desk.book.finish(job.id, job.token, JobState.READY, "out-of-memory", "no memory", NOTHING, retry_in_seconds=60)
    assert desk.book.view(job.id)["waiting_for"] == "the next attempt in 60 s"
    desk.clock.forward(59)
    assert desk.book.claim("worker", LEASE) is None
    desk.clock.forward(1)
    assert desk.claim().attempt == 2


def test_the_time_of_analysis_stays_while_the_inputs_stay(desk: Desk):
    job = desk.run()
    desk.clock.forward(1000.4)
    desk.book.finish(job.id, job.token, JobState.READY, "retry", "again", NOTHING, retry_in_seconds=0)
    again = desk.claim()
    assert again.analysed_at == job.analysed_at
    assert again.analysed_at.microsecond == 0
    assert again.analysed_at.tzname() == "UTC"


def test_new_images_give_a_new_time_of_analysis(desk: Desk):
    job = desk.run()
    desk.book.finish(job.id, job.token, JobState.REJECTED, "roles-missing", "no FLAIR", NOTHING)
    desk.receive(images=1)
    desk.book.reopen_changed()
    desk.make_ready(images=1)
    again = desk.claim()
    assert again.analysed_at > job.analysed_at
    assert (again.attempt, len(again.instances)) == (1, 4)


@pytest.mark.parametrize("target", [JobState.HELD, JobState.REJECTED, JobState.FAILED])
def test_a_run_without_results_ends_with_code_reason_and_what_it_found(desk: Desk, target: JobState):
    job = desk.run()
    record = RunRecord([{"role": "T1"}], [{"reason": "localizer"}], {"volumes_ml": {"WT": 1.5}}, {"infer": 2.0})
    desk.book.note_stage(job.id, job.token, "assemble", 0.51234)
    desk.book.finish(job.id, job.token, target, "slice-gap", "a slice is missing", record)
    view = desk.book.view(job.id)
    assert (view["state"], view["code"], view["reason"]) == (target.value, "slice-gap", "a slice is missing")
    assert view["roles"] == [{"role": "T1"}]
    assert view["set_aside"] == [{"reason": "localizer"}]
    assert view["findings"] == {"volumes_ml": {"WT": 1.5}}
    assert view["timings_s"] == {"assemble": 0.512, "infer": 2.0}
    assert (view["worker"], view["lease_until"]) == (None, None)
    assert desk.moves(job.id)[-1] == ("RUNNING", target.value)


@pytest.mark.parametrize("target", [JobState.RUNNING, JobState.DONE, JobState.DELIVERING])
def test_a_run_without_results_ends_nowhere_else(desk: Desk, target: JobState):
    job = desk.run()
    with pytest.raises(IllegalMoveError):
        desk.book.finish(job.id, job.token, target, "", "", NOTHING)
    assert desk.state(job.id) is JobState.RUNNING


def test_a_run_without_any_destination_is_done_at_once(desk: Desk):
    job = desk.run()
    assert desk.book.publish(job.id, job.token, NOTHING, [stored("1.9.1")], []) is JobState.DONE
    (result,) = desk.book.view(job.id)["results"]
    assert (result["sop_instance_uid"], result["destinations"]) == ("1.9.1", {})


def test_publishing_is_all_or_nothing(desk: Desk):
    job = desk.run()
    half_broken = [stored("1.9.1"), replace(stored("1.9.2"), path=None)]
    with pytest.raises(Exception, match=r"(?i)null"):
        desk.book.publish(job.id, job.token, NOTHING, half_broken, ["archive"])
    view = desk.book.view(job.id)
    assert (view["state"], view["results"]) == ("RUNNING", [])


def test_a_stored_result_takes_the_facts_of_the_encoded_object():
    encoded = EncodedObject(ResultKind.SR, "1.1", "1.2", "1.3", 901, b"")
    assert StoredResult.of(encoded, "results/1.2.dcm", "ff") == StoredResult(
        ResultKind.SR, "1.1", "1.2", "1.3", 901, "results/1.2.dcm", "ff"
    )


def test_a_worker_lost_once_costs_no_pause_and_lost_again_costs_growing_ones(desk: Desk):
    job_id = desk.make_ready()
    for pause in (0, 60, 120):
        desk.claim()
        assert desk.book.expire_lease(desk.lease(job_id), max_attempts=9, pause_seconds=60.0)
        if pause:
            desk.clock.forward(pause - 1)
            assert desk.book.claim("worker", LEASE) is None
            desk.clock.forward(1)


def test_a_job_handed_back_is_ready_and_its_attempt_does_not_count(desk: Desk):
    job = desk.run()
    desk.book.hand_back(job.id, job.token, "worker-stopping", "stopped")
    view = desk.book.view(job.id)
    assert (view["state"], view["code"], view["attempts"]) == ("READY", "worker-stopping", 0)
    with pytest.raises(LeaseLostError):
        desk.book.publish(job.id, job.token, NOTHING, [stored("1.9.1")], ["archive"])
    assert desk.claim("worker-2").attempt == 1


def test_a_clock_that_is_set_back_by_an_hour_delays_no_study(desk: Desk):
    """What was written an hour ahead: arrival of images, open associations, pauses of runs and deliveries."""
    sending = desk.publish(("1.9.1",), study="1.2.5")
    paused = desk.run("1.2.4")
    desk.book.finish(paused.id, paused.token, JobState.READY, "x", "y", NOTHING, retry_in_seconds=60)
    receiving = desk.receive("1.2.3")
    desk.clock.forward(-3600)
    assert desk.book.sweep_complete(QUIET, STALE) == []
    desk.book.mend_times(longest_pause=480, longest_delivery_pause=1800)
    desk.clock.forward(QUIET)
    assert desk.book.sweep_complete(QUIET, STALE) == [receiving]
    desk.clock.forward(480 - QUIET)
    assert {desk.claim().id, desk.claim().id} == {paused.id, receiving}
    desk.clock.forward(1800 - 480)
    assert [due.job_id for due in desk.book.due_deliveries("archive", 10)] == [sending]


def test_times_that_are_no_further_than_they_may_be_stay(desk: Desk):
    job = desk.run()
    desk.book.finish(job.id, job.token, JobState.READY, "x", "y", NOTHING, retry_in_seconds=60)
    before = desk.book.view(job.id)
    desk.book.mend_times(longest_pause=60, longest_delivery_pause=1800)
    assert desk.book.view(job.id) == before
