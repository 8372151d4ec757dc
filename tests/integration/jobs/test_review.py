"""A held result leaves by a person's word, as it was encoded, or never; who said so and when stays on record."""

from __future__ import annotations

import pytest
from job_desk import Desk, stored

from bt_node.domain.errors import IllegalMoveError, LeaseLostError, ReviewRefusedError
from bt_node.domain.result import ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs import RunRecord, UnansweredReport
from bt_node.jobs.review import RESULT_HELD

WHY = "The outline fills 90 % of the brain, which cannot be right."


def hold(desk: Desk, *uids: str, with_report: bool = False) -> int:
    """A study whose result waits for a person."""
    job = desk.run()
    made = [stored(uid) for uid in uids or ("1.9.1", "1.9.2")]
    if with_report:
        made.append(stored("1.9.9", ResultKind.NOT_ANSWERED))
    assert desk.book.keep(job.id, job.token, RunRecord(), made, WHY) is JobState.HELD
    return job.id


def due(desk: Desk) -> list[str]:
    return [each.sop_instance_uid for each in desk.book.due_deliveries("archive", 10)]


def current(desk: Desk, job_id: int) -> list[str]:
    return [each["sop_instance_uid"] for each in desk.book.view(job_id)["results"]]


def test_a_held_result_is_stored_and_nothing_of_it_is_due(desk: Desk):
    job_id = hold(desk)
    view = desk.book.view(job_id)
    assert (view["state"], view["code"], view["reason"]) == ("HELD", RESULT_HELD, WHY)
    assert current(desk, job_id) == ["1.9.1", "1.9.2"]
    assert [each["destinations"] for each in view["results"]] == [{}, {}]
    assert due(desk) == []
    assert view["review"] is None


def test_a_released_result_goes_to_each_destination_and_the_record_says_who_and_when(desk: Desk):
    job_id = hold(desk)
    before = [(each["path"], each["sha256"]) for each in desk.book.view(job_id)["results"]]
    desk.clock.forward(3600)
    assert desk.book.release(job_id, "cli:ann", ("archive", "second")) is JobState.DELIVERING
    view = desk.book.view(job_id)
    assert [(each["path"], each["sha256"]) for each in view["results"]] == before
    assert due(desk) == ["1.9.1", "1.9.2"]
    assert {name for each in view["results"] for name in each["destinations"]} == {"archive", "second"}
    review = view["review"]
    assert (review["what"], review["by"]) == ("released", "cli:ann")
    assert review["at"] == view["history"][-1]["at"] > view["history"][-2]["at"]
    desk.deliver(job_id)
    assert desk.deliver(job_id, "second") is JobState.DONE
    assert desk.book.view(job_id)["review"] == review


def test_without_a_destination_a_released_job_is_done(desk: Desk):
    assert desk.book.release(hold(desk), "cli:ann", ()) is JobState.DONE


def test_a_rejected_result_never_leaves_and_the_reason_is_shown(desk: Desk):
    job_id = hold(desk)
    assert desk.book.reject(job_id, "cli:ann", " the mask is\n wrong ", ("archive",)) is JobState.REJECTED
    view = desk.book.view(job_id)
    assert view["reason"] == "rejected by an operator: the mask is wrong"
    assert (view["review"]["by"], view["review"]["what"]) == ("cli:ann", "rejected-by-person")
    assert due(desk) == current(desk, job_id) == []
    assert [each["sop_instance_uid"] for each in view["superseded_results"]] == ["1.9.1", "1.9.2"]
    for operation in (desk.book.release, lambda *facts: desk.book.reject(*facts[:2], "again", ())):
        with pytest.raises(IllegalMoveError):
            operation(job_id, "cli:ann", ())


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 201])
def test_a_rejection_needs_a_reason_of_one_line(desk: Desk, reason: str):
    job_id = hold(desk)
    with pytest.raises(ReviewRefusedError, match="200"):
        desk.book.reject(job_id, "cli:ann", reason, ())
    assert desk.state(job_id) is JobState.HELD


def test_the_report_that_there_is_no_answer_leaves_only_by_a_rejection(desk: Desk):
    job_id = hold(desk, with_report=True)
    assert due(desk) == []
    desk.book.reject(job_id, "cli:ann", "wrong", ("archive",))
    assert due(desk) == ["1.9.9"]
    desk.deliver(job_id)
    assert (desk.state(job_id), due(desk)) == (JobState.REJECTED, [])


def test_a_release_leaves_the_report_that_there_is_no_answer_behind(desk: Desk):
    job_id = hold(desk, with_report=True)
    desk.book.release(job_id, "cli:ann", ("archive",))
    assert due(desk) == ["1.9.1", "1.9.2"]


def test_a_study_that_the_node_rejects_sends_that_report_at_once_and_one_that_it_holds_does_not(desk: Desk):
    for study, target, sent in (("1.2.3", JobState.HELD, []), ("1.2.4", JobState.REJECTED, ["1.8.1.2.4"])):
        job = desk.run(study)
        report = stored(f"1.8.{study}", ResultKind.NOT_ANSWERED)
        record = RunRecord(unanswered=UnansweredReport((report,), ("archive",)))
        desk.book.finish(job.id, job.token, target, "code", "why", record)
        assert due(desk) == sent


def test_a_study_held_before_there_was_a_result_cannot_be_released_but_rejected(desk: Desk):
    job = desk.run()
    desk.book.finish(job.id, job.token, JobState.HELD, "roles-ambiguous", "which is T1C?", RunRecord())
    with pytest.raises(ReviewRefusedError, match="before there was a result"):
        desk.book.release(job.id, "cli:ann", ("archive",))
    commands = [each["command"] for each in desk.book.view(job.id)["choices"]]
    assert f"bt-node jobs assign {job.id} --t1c SERIES" in commands
    assert not any("release" in command for command in commands)
    assert desk.book.reject(job.id, "cli:ann", "no T1 after contrast", ()) is JobState.REJECTED


def test_the_commands_for_a_held_result_are_told(desk: Desk):
    job_id = hold(desk)
    commands = [each["command"] for each in desk.book.view(job_id)["choices"]]
    assert commands[:2] == [f"bt-node jobs release {job_id}", f'bt-node jobs reject {job_id} --reason "…"']
    desk.book.release(job_id, "cli:ann", ("archive",))
    assert desk.book.view(job_id)["choices"] == []


def test_a_result_on_fewer_images_than_there_are_is_not_released(desk: Desk):
    job_id = hold(desk)
    desk.receive(images=1)
    with pytest.raises(ReviewRefusedError, match="new images"):
        desk.book.release(job_id, "cli:ann", ("archive",))


def test_images_that_came_during_the_run_make_its_result_stale(desk: Desk):
    job = desk.run()
    desk.receive(images=1)
    assert desk.book.keep(job.id, job.token, RunRecord(), [stored("1.9.1")], WHY) is JobState.RECEIVING
    assert current(desk, job.id) == []
    with pytest.raises(LeaseLostError):
        desk.book.keep(job.id, job.token, RunRecord(), [], WHY)


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.HELD])
def test_only_held_studies_are_released_or_rejected(desk: Desk, state: JobState):
    job_id = desk.bring_to(state)
    with pytest.raises(IllegalMoveError):
        desk.book.release(job_id, "cli:ann", ("archive",))
    with pytest.raises(IllegalMoveError):
        desk.book.reject(job_id, "cli:ann", "no", ("archive",))
    assert desk.state(job_id) is state


def test_a_held_result_of_before_cannot_leave_once_the_study_is_held_for_another_reason(desk: Desk):
    job_id = hold(desk)
    desk.book.retry(job_id, "cli:ann")
    job = desk.claim()
    desk.book.finish(job_id, job.token, JobState.HELD, "roles-ambiguous", "which is T1C?", RunRecord())
    with pytest.raises(ReviewRefusedError):
        desk.book.release(job_id, "cli:ann", ("archive",))
    assert current(desk, job_id) == []


def test_what_waited_for_a_destination_is_not_sent_once_a_new_run_rejects_the_study(desk: Desk):
    job_id = desk.publish()
    desk.book.cancel(job_id, "cli:ann")
    desk.book.retry(job_id, "cli:ann")
    job = desk.claim()
    desk.book.finish(job_id, job.token, JobState.REJECTED, "slice-gap", "a gap", RunRecord())
    assert due(desk) == []


def test_a_report_that_a_study_was_not_answered_is_replaced_by_the_answer(desk: Desk):
    job_id = hold(desk, with_report=True)
    desk.book.reject(job_id, "cli:ann", "wrong", ("archive",))
    desk.deliver(job_id)
    desk.book.retry(job_id, "cli:ann")
    assert [each.sop_instance_uid for each in desk.claim().earlier_reports] == ["1.9.9"]
