"""When a study is complete, and when it is opened again."""

from __future__ import annotations

import pytest
from job_desk import QUIET, STALE, Desk, received

from bt_node.domain.errors import InstanceConflictError
from bt_node.domain.receipt import Refusal
from bt_node.domain.states import ENDED_STATES, JobState
from bt_node.jobs import Patience, RunRecord


def test_the_first_instance_of_a_study_creates_its_job_and_later_ones_join_it(desk: Desk):
    first = desk.receive("1.2.3", images=2)
    assert desk.receive("1.2.3", images=1) == first
    assert desk.receive("1.2.4") != first
    view = desk.book.view(first)
    assert view["state"] == "RECEIVING"
    assert view["instances"] == 3
    assert desk.moves(first) == [(None, "RECEIVING")]


def test_a_study_becomes_ready_only_after_the_quiet_time(desk: Desk):
    job_id = desk.receive()
    desk.clock.forward(QUIET - 1)
    assert desk.book.sweep_complete(QUIET, STALE) == []
    desk.clock.forward(1)
    assert desk.book.sweep_complete(QUIET, STALE) == [job_id]
    assert desk.state(job_id) is JobState.READY


def test_a_late_instance_starts_the_quiet_time_anew(desk: Desk):
    desk.receive()
    desk.clock.forward(QUIET - 1)
    desk.receive(images=1)
    desk.clock.forward(QUIET - 1)
    assert desk.book.sweep_complete(QUIET, STALE) == []


def test_an_open_association_holds_its_study_back_however_quiet(desk: Desk):
    desk.book.record_instance(received("1.2.3", 1), "listener/7")
    desk.clock.forward(QUIET * 2)
    assert desk.book.sweep_complete(QUIET, STALE) == []
    desk.book.association_closed("listener/7")
    assert len(desk.book.sweep_complete(QUIET, STALE)) == 1


def test_an_association_that_sent_nothing_for_long_no_longer_holds_back(desk: Desk):
    desk.book.record_instance(received("1.2.3", 1), "listener/7")
    desk.clock.forward(STALE - 1)
    assert desk.book.sweep_complete(QUIET, STALE) == []
    desk.clock.forward(1)
    assert len(desk.book.sweep_complete(QUIET, STALE)) == 1


def test_a_listener_that_starts_again_frees_the_studies_it_had_open(desk: Desk):
    desk.book.record_instance(received("1.2.3", 1), "node_a/7")
    desk.book.record_instance(received("1.2.4", 1), "nodeXa/7")
    desk.clock.forward(QUIET)
    desk.book.listener_started("node_a")  # "_" must not match any character
    assert [desk.book.view(job_id)["study_instance_uid"] for job_id in desk.book.sweep_complete(QUIET, STALE)] == [
        "1.2.3"
    ]


def test_another_object_under_a_known_uid_is_a_conflict(desk: Desk):
    desk.receive(images=1)
    with pytest.raises(InstanceConflictError):
        desk.book.record_instance(
            received("1.2.3", 1).__class__(**{**received("1.2.3", 1).__dict__, "digest": "ff"}), ""
        )


@pytest.mark.parametrize("state", [JobState.READY, *sorted(ENDED_STATES)])
def test_new_images_open_a_ready_or_ended_job_again_and_forget_its_findings(desk: Desk, state: JobState):
    job_id = desk.bring_to(state)
    if (
        state is JobState.CANCELLED
    ):  # cancelled before its images were taken: an operator's word stands until more come
        assert desk.book.reopen_changed() == []
    desk.receive(images=1)
    assert desk.book.reopen_changed() == [job_id]
    view = desk.book.view(job_id)
    assert view["state"] == "RECEIVING"
    assert (view["analysed_at"], view["findings"], view["attempts"]) == (None, {}, 0)
    assert view["history"][-1]["reason"] == "1 new images arrived"


def test_objects_that_are_no_images_open_nothing(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    desk.receive(images=1, is_image=False)
    assert desk.book.reopen_changed() == []
    assert desk.book.view(job_id)["instances"] == 3


def test_images_that_arrive_while_ready_keep_the_job_from_being_claimed(desk: Desk):
    desk.make_ready()
    desk.receive(images=1)
    assert desk.book.claim("worker", 60) is None


def test_images_that_arrive_during_delivery_open_the_job_after_it(desk: Desk):
    job_id = desk.publish()
    desk.receive(images=1)
    assert desk.book.reopen_changed() == []
    assert desk.deliver(job_id) is JobState.DONE
    assert desk.book.reopen_changed() == [job_id]


def test_images_that_arrive_during_a_run_make_its_results_stale(desk: Desk):
    job = desk.run()
    desk.receive(images=1)
    record = RunRecord(findings={"volumes_ml": {}})
    assert desk.book.publish(job.id, job.token, record, [], ["archive"]) is JobState.RECEIVING
    view = desk.book.view(job.id)
    assert (view["results"], view["findings"], view["analysed_at"]) == ([], {}, None)


def test_the_wait_of_a_receiving_job_is_put_in_words(desk: Desk):
    desk.book.record_instance(received("1.2.3", 1), "listener/7")
    desk.clock.forward(12)
    assert desk.book.view("1.2.3")["waiting_for"] == "1 open association(s), last instance 12 s ago"
    desk.book.association_closed("listener/7")
    assert desk.book.view("1.2.3", Patience(QUIET, STALE))["waiting_for"] == "more images: quiet for 12 of 30 s"


def test_a_refused_instance_shows_at_its_job_and_in_the_list_of_refusals(desk: Desk):
    job_id = desk.receive()
    desk.book.note_refusal(Refusal(0xA900, "SOPClassUID differs", "SCANNER", "1.2.3.1.9", "1.2.3"))
    desk.book.note_refusal(Refusal(0x0124, "unknown AE title", "NOBODY"))
    (shown,) = desk.book.view(job_id)["refusals"]
    assert (shown["status"], shown["sop_instance_uid"]) == ("0xA900", "1.2.3.1.9")
    assert [refusal["status"] for refusal in desk.book.refusals()] == ["0x0124", "0xA900"]
