"""Deliveries: one status per object and destination, pauses, giving up, superseding."""

from __future__ import annotations

from dataclasses import replace

import pytest
from job_desk import Desk, accepted, refused, stored
from sqlalchemy import text

from bt_node.domain.errors import SameUidError
from bt_node.domain.result import ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs import Patience, RunRecord


def _due(desk: Desk, destination: str = "archive") -> list[str]:
    return [due.sop_instance_uid for due in desk.book.due_deliveries(destination, 100)]


def _rerun(desk: Desk, uids: tuple[str, ...], destinations: tuple[str, ...] = ("archive",)) -> JobState:
    job = desk.claim()
    return desk.book.publish(job.id, job.token, RunRecord(), [stored(uid) for uid in uids], destinations)


def test_each_destination_gets_each_object_in_the_order_they_were_made(desk: Desk):
    desk.publish(("1.9.2", "1.9.1"), ("archive", "research"))
    assert _due(desk, "archive") == _due(desk, "research") == ["1.9.2", "1.9.1"]
    assert len(desk.book.due_deliveries("archive", 1)) == 1
    assert _due(desk, "elsewhere") == []


def test_a_due_delivery_says_all_that_sending_needs(desk: Desk):
    job_id = desk.publish(("1.9.1",))
    desk.clock.forward(90)
    (due,) = desk.book.due_deliveries("archive", 10)
    assert (due.job_id, due.destination, due.kind) == (job_id, "archive", ResultKind.SEG)
    assert (due.path, due.sha256, due.attempts, due.age_seconds) == ("results/1.9.1.dcm", "ab" * 32, 0, 90.0)


def test_a_job_is_done_when_every_destination_has_everything(desk: Desk):
    job_id = desk.publish(destinations=("archive", "research"))
    assert desk.deliver(job_id, "archive") is JobState.DELIVERING
    assert desk.deliver(job_id, "research") is JobState.DONE
    assert desk.book.view(job_id)["reason"] == "delivered to archive, research"


def test_a_refused_object_is_due_again_after_its_pause_and_keeps_its_status(desk: Desk):
    job_id = desk.publish(("1.9.1",))
    desk.book.record_delivery(job_id, "archive", refused("1.9.1"), 30.0, give_up=False)
    assert desk.book.settle_deliveries(job_id) is JobState.DELIVERING
    assert _due(desk) == []
    view = desk.book.view(job_id)
    noted = view["results"][0]["destinations"]["archive"]
    assert (noted["state"], noted["status"], noted["attempts"]) == ("PENDING", "0xA700", 1)
    assert view["waiting_for"] == "archive to take 1 object(s), next attempt in 30 s (out of resources)"
    desk.clock.forward(30)
    assert _due(desk) == ["1.9.1"]


def test_a_destination_that_is_given_up_fails_the_job_by_name_and_blocks_no_other(desk: Desk):
    job_id = desk.publish(("1.9.1",), ("archive", "research"))
    desk.book.record_delivery(job_id, "archive", refused("1.9.1"), None, give_up=True)
    assert desk.book.settle_deliveries(job_id) is JobState.DELIVERING
    assert _due(desk, "research") == ["1.9.1"]
    assert desk.deliver(job_id, "research") is JobState.FAILED
    view = desk.book.view(job_id)
    assert (view["code"], view["reason"]) == ("delivery-failed", "not delivered: 1 objects to archive")


def test_what_a_destination_has_taken_stays_delivered(desk: Desk):
    job_id = desk.publish(("1.9.1",))
    desk.book.record_delivery(job_id, "archive", accepted("1.9.1"), None, give_up=False)
    desk.book.record_delivery(job_id, "archive", refused("1.9.1"), 1.0, give_up=False)  # a late second courier
    noted = desk.book.view(job_id)["results"][0]["destinations"]["archive"]
    assert (noted["state"], noted["status"], noted["attempts"]) == ("DELIVERED", "0x0000", 1)


def test_nothing_of_a_cancelled_job_is_sent(desk: Desk):
    job_id = desk.publish()
    desk.book.cancel(job_id, "operator")
    assert _due(desk) == []


def test_a_retried_done_job_sends_the_same_objects_again(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    desk.book.retry(job_id, "operator")
    assert _due(desk) == []  # not before the run is over; until then the archive has what it has
    assert desk.book.view(job_id)["results"][0]["destinations"]["archive"]["state"] == "DELIVERED"
    assert _rerun(desk, ("1.9.1", "1.9.2")) is JobState.DELIVERING
    assert _due(desk) == ["1.9.1", "1.9.2"]
    assert desk.deliver(job_id) is JobState.DONE
    assert desk.book.view(job_id)["superseded_results"] == []


def test_a_job_that_failed_in_delivery_sends_only_what_is_missing_and_runs_no_more(desk: Desk):
    job_id = desk.publish(("1.9.1", "1.9.2"))
    desk.book.record_delivery(job_id, "archive", accepted("1.9.1"), None, give_up=False)
    desk.book.record_delivery(job_id, "archive", refused("1.9.2"), None, give_up=True)
    assert desk.book.settle_deliveries(job_id) is JobState.FAILED
    desk.clock.forward(1000)
    assert desk.book.retry(job_id, "operator") is JobState.DELIVERING
    (due,) = desk.book.due_deliveries("archive", 10)
    assert (due.sop_instance_uid, due.attempts, due.age_seconds) == ("1.9.2", 0, 0.0)
    assert desk.deliver(job_id) is JobState.DONE


def test_sending_again_is_asked_for_once(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    desk.book.retry(job_id, "operator")
    _rerun(desk, ("1.9.1", "1.9.2"))
    desk.deliver(job_id)
    desk.receive(images=1)
    desk.book.reopen_changed()
    desk.make_ready(images=1)
    assert _rerun(desk, ("1.9.1", "1.9.2")) is JobState.DONE


def test_new_results_supersede_the_old_ones_which_are_never_sent(desk: Desk):
    job_id = desk.publish(("1.9.1", "1.9.2"))
    desk.book.record_delivery(job_id, "archive", accepted("1.9.1"), None, give_up=False)
    desk.book.cancel(job_id, "operator")
    desk.book.retry(job_id, "operator")
    _rerun(desk, ("1.9.2", "1.9.3"))
    assert _due(desk) == ["1.9.2", "1.9.3"]
    assert desk.deliver(job_id) is JobState.DONE
    view = desk.book.view(job_id)
    assert [row["sop_instance_uid"] for row in view["results"]] == ["1.9.2", "1.9.3"]
    assert [row["sop_instance_uid"] for row in view["superseded_results"]] == ["1.9.1"]


def test_one_uid_never_stands_for_two_contents(desk: Desk):
    job_id = desk.publish(("1.9.1",))
    desk.book.cancel(job_id, "operator")
    desk.book.retry(job_id, "operator")
    job = desk.claim()
    other = replace(stored("1.9.1"), sha256="cd" * 32)
    with pytest.raises(SameUidError, match=r"1\.9\.1"):
        desk.book.publish(job.id, job.token, RunRecord(), [other], ("archive",))
    (kept,) = desk.book.view(job_id)["results"]
    assert kept["sha256"] == "ab" * 32
    assert desk.state(job_id) is JobState.RUNNING


def test_a_rerun_after_new_images_keeps_what_was_already_acknowledged(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    desk.receive(images=1)
    desk.book.reopen_changed()
    desk.make_ready(images=1)
    assert _rerun(desk, ("1.9.1", "1.9.9")) is JobState.DELIVERING
    assert _due(desk) == ["1.9.9"]
    assert desk.deliver(job_id) is JobState.DONE


def test_a_rerun_that_makes_only_what_was_acknowledged_is_done_at_once(desk: Desk):
    desk.bring_to(JobState.DONE)
    desk.receive(images=1)
    desk.book.reopen_changed()
    desk.make_ready(images=1)
    assert _rerun(desk, ("1.9.1", "1.9.2")) is JobState.DONE


HOURS = 3600.0


def test_a_worker_that_does_not_know_a_destination_leaves_its_deliveries_alone(desk: Desk):
    """It may have an older configuration than the others; only what nobody has served for long is given up."""
    job_id = desk.publish(("1.9.1",), ("archive", "old-archive"))
    desk.deliver(job_id, "archive")
    assert desk.book.retire_destinations(["archive"], 72 * HOURS) == []
    assert desk.book.view(job_id)["state"] == "DELIVERING"
    desk.clock.forward(71 * HOURS)
    assert desk.book.take_destination("old-archive", "courier of a worker that knows it", 15)
    desk.book.leave_destination("old-archive", "courier of a worker that knows it")
    desk.clock.forward(71 * HOURS)
    assert desk.book.retire_destinations(["archive"], 72 * HOURS) == []
    assert desk.book.retire_destinations(["archive", "old-archive"], 0.0) == []
    desk.clock.forward(2 * HOURS)
    assert desk.book.retire_destinations(["archive"], 72 * HOURS) == [job_id]
    view = desk.book.view(job_id)
    assert (view["state"], view["reason"]) == ("FAILED", "not delivered: 1 objects to old-archive")
    assert view["results"][0]["destinations"]["old-archive"]["detail"] == "this destination is no longer configured"


def test_what_was_given_up_because_nobody_knew_its_destination_goes_on_when_it_is_known_again(desk: Desk):
    job_id = desk.publish(("1.9.1",), ("old-archive",))
    desk.clock.forward(73 * HOURS)
    assert desk.book.retire_destinations(["archive"], 72 * HOURS) == [job_id]
    assert desk.book.retry(job_id, "operator") is JobState.DELIVERING
    assert desk.book.retire_destinations(["archive"], 72 * HOURS) == [], "it has its time anew"
    assert len(desk.book.due_deliveries("old-archive", 10)) == 1
    assert desk.deliver(job_id, "old-archive") is JobState.DONE


def test_a_courier_whose_time_a_clock_left_in_the_future_does_not_keep_a_delivery_for_ever(desk: Desk):
    job_id = desk.publish(("1.9.1",), ("old-archive",))
    desk.clock.forward(1000 * HOURS)
    desk.book.take_destination("old-archive", "courier", 15)
    desk.book.leave_destination("old-archive", "courier")
    desk.clock.forward(-900 * HOURS)
    assert desk.book.retire_destinations(["archive"], 72 * HOURS) == [job_id]


def test_what_waits_for_an_unknown_destination_is_said(desk: Desk):
    job_id = desk.publish(("1.9.1", "1.9.2"), ("archive", "old-archive"))
    here = Patience(destinations=("archive",))
    said = desk.book.view(job_id, here)["waiting_for"]
    assert said == (
        "archive to take 2 object(s), next attempt in 0 s; old-archive to take 2 object(s), next attempt in 0 s: "
        "destination old-archive is not configured on this worker"
    )
    assert "not configured" not in desk.book.view(job_id)["waiting_for"]
    assert desk.book.unknown_destinations(["archive"]) == {"old-archive": 1}
    assert desk.book.unknown_destinations(["archive", "old-archive"]) == {}
    with desk.book._database.write() as tx:
        tx.execute(text("UPDATE jobs SET state = 'REJECTED'"))  # a report that says why is on its way
    assert desk.book.view(job_id, here)["waiting_for"] == said


def test_a_rerun_forgets_what_waited_for_a_destination_no_longer_configured(desk: Desk):
    job_id = desk.publish(("1.9.1",), ("old-archive",))
    desk.book.cancel(job_id, "operator")
    desk.book.retry(job_id, "operator")
    _rerun(desk, ("1.9.1",))
    assert desk.deliver(job_id) is JobState.DONE
    assert list(desk.book.view(job_id)["results"][0]["destinations"]) == ["archive"]


def test_superseded_results_keep_no_job_from_being_settled(desk: Desk):
    job_id = desk.publish(("1.9.1",), ("old-archive",))
    desk.book.cancel(job_id, "operator")
    desk.book.retry(job_id, "operator")
    _rerun(desk, ("1.9.2",))
    desk.clock.forward(1.0)
    assert desk.book.retire_destinations(["archive"], 0.0) == []
    assert desk.deliver(job_id) is JobState.DONE


def test_a_run_is_told_which_reports_left_before_it_and_no_other_objects(desk: Desk):
    """The new report names the old one; a report that nobody was ever sent cannot be replaced anywhere."""
    job_id = desk.publish()
    assert desk.book.view(job_id)["state"] == JobState.DELIVERING
    desk.book.cancel(job_id, "operator")
    desk.book.retry(job_id, "operator")
    job = desk.claim()
    assert job.earlier_reports == ()
    desk.book.publish(job.id, job.token, RunRecord(), [stored("1.9.3"), stored("1.9.4", ResultKind.SR)], ("archive",))
    assert desk.deliver(job_id) is JobState.DONE
    desk.receive()
    desk.book.reopen_changed()
    desk.make_ready()
    (report,) = desk.claim().earlier_reports
    assert (report.sop_instance_uid, report.series_instance_uid) == ("1.9.4", "1.9.4.0")


def test_a_report_that_is_queued_once_more_has_left_all_the_same(desk: Desk):
    """What replaces it must name it: an archive has it, whatever becomes of the second sending."""
    job = desk.run()
    made = [stored("1.9.1", ResultKind.SR)]
    desk.book.publish(job.id, job.token, RunRecord(), made, ("archive",))
    desk.deliver(job.id)
    desk.book.retry(job.id, "operator")
    again = desk.claim()
    desk.book.publish(again.id, again.token, RunRecord(), made, ("archive",))
    desk.book.cancel(job.id, "operator")
    desk.book.retry(job.id, "operator")
    assert [each.sop_instance_uid for each in desk.claim().earlier_reports] == ["1.9.1"]
