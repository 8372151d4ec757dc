"""What an operator may do in which state, retention, and what the views hold."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from itertools import pairwise

import pytest
from job_desk import Desk, received

from bt_node.domain.errors import IllegalMoveError, InputsPurgedError, JobNotFoundError
from bt_node.domain.states import ENDED_STATES, LEGAL_MOVES, JobState
from bt_node.jobs import RunRecord

DAY = 86400.0
PROMISED_KEYS = (
    "id",
    "study_instance_uid",
    "state",
    "reason",
    "roles",
    "set_aside",
    "findings",
    "results",
    "history",
)


@pytest.mark.parametrize("state", list(JobState))
def test_retry_revives_an_ended_job_and_refuses_any_other(desk: Desk, state: JobState):
    job_id = desk.bring_to(state)
    if state not in ENDED_STATES:
        with pytest.raises(IllegalMoveError):
            desk.book.retry(job_id, "operator")
        assert desk.state(job_id) is state
        return
    assert desk.book.retry(job_id, "cli:ann") is JobState.READY
    view = desk.book.view(job_id)
    assert (view["state"], view["attempts"]) == ("READY", 0)
    assert (view["history"][-1]["actor"], view["history"][-1]["from"]) == ("cli:ann", state.value)


@pytest.mark.parametrize("state", list(JobState))
def test_cancel_follows_the_table_of_legal_moves(desk: Desk, state: JobState):
    job_id = desk.bring_to(state)
    if JobState.CANCELLED in LEGAL_MOVES[state]:
        assert desk.book.cancel(job_id, "operator") is JobState.CANCELLED
        assert desk.moves(job_id)[-1] == (state.value, "CANCELLED")
    else:
        with pytest.raises(IllegalMoveError):
            desk.book.cancel(job_id, "operator")
        assert desk.state(job_id) is state


def test_a_worker_notices_that_its_job_was_cancelled(desk: Desk):
    job = desk.run()
    desk.book.cancel(job.id, "operator")
    assert not desk.book.renew_lease(job.id, job.token, 60)


def test_a_job_cancelled_while_receiving_can_be_run_after_all(desk: Desk):
    job_id = desk.bring_to(JobState.CANCELLED)
    desk.book.retry(job_id, "operator")
    assert desk.claim().id == job_id


def test_a_view_is_json_with_the_promised_keys(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    view = desk.book.view(job_id)
    assert view.keys() >= {*PROMISED_KEYS, "timings_s"}
    assert json.loads(json.dumps(view)) == view
    assert view["created_at"].endswith("+00:00")
    assert view["waiting_for"] is None
    assert view["series"] == [
        {"series_instance_uid": "1.2.3.1", "is_image": True, "instances": 2, "size_bytes": 2000}
        | {"last_received_at": view["last_received_at"]}
    ]


def test_a_job_is_found_by_number_or_study(desk: Desk):
    job_id = desk.receive("1.2.3")
    desk.receive("1.2.4")
    assert desk.book.view(job_id)["id"] == desk.book.view(str(job_id))["id"] == desk.book.view("1.2.3")["id"]


@pytest.mark.parametrize("wanted", [99, "1.2.99", "99999999999999999999", "x"])
def test_a_job_that_is_not_there_is_said_so(desk: Desk, wanted: str | int):
    with pytest.raises(JobNotFoundError, match=str(wanted)):
        desk.book.view(wanted)


def test_an_operation_on_a_job_that_is_not_there_is_said_so(desk: Desk):
    for operation in (desk.book.retry, desk.book.cancel):
        with pytest.raises(JobNotFoundError):
            operation(99, "operator")


def test_summaries_list_the_newest_move_first_and_filter_by_state(desk: Desk):
    first, second = desk.receive("1.2.3"), desk.receive("1.2.4")
    desk.clock.forward(10)
    desk.book.cancel(first, "operator")
    assert [summary.id for summary in desk.book.summaries()] == [first, second]
    (only,) = desk.book.summaries(JobState.RECEIVING)
    assert (only.id, only.state, only.images) == (second, JobState.RECEIVING, 2)
    assert len(desk.book.summaries(limit=1)) == 1
    assert json.dumps([summary.as_dict() for summary in desk.book.summaries()])
    assert desk.book.counts()[JobState.CANCELLED] == 1
    assert desk.book.counts()[JobState.DONE] == 0


@pytest.mark.parametrize("state", list(JobState))
def test_only_jobs_that_nobody_needs_are_purged(desk: Desk, state: JobState):
    job_id = desk.bring_to(state)
    desk.clock.forward(30 * DAY)
    purgeable = state in (JobState.DONE, JobState.REJECTED, JobState.CANCELLED)
    assert desk.book.purge_candidates(30) == ([job_id] if purgeable else [])
    assert desk.book.purge_candidates(30.1) == []
    assert desk.book.purge_candidates(0) == []
    if not purgeable:
        with pytest.raises(IllegalMoveError):
            desk.purge(job_id)


def test_a_purged_job_keeps_its_story_and_loses_its_files(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    desk.clock.forward(31 * DAY)
    assert sorted(desk.purge(job_id)) == [
        "instances/1.2.3.1.1.dcm", "instances/1.2.3.1.2.dcm", "results/1.9.1.dcm", "results/1.9.2.dcm",
    ]  # fmt: skip
    view = desk.book.view(job_id)
    assert (view["state"], view["instances"], view["series"]) == ("DONE", 0, [])
    assert view["purged_at"] is not None
    assert len(view["results"]) == 2
    assert len(view["history"]) == 5
    assert desk.book.purge_candidates(30) == []
    assert desk.book.held_instances(["1.2.3.1.1"]) == {}
    with pytest.raises(InputsPurgedError, match="Send the study again"):
        desk.book.retry(job_id, "operator")


def test_an_image_that_arrives_while_its_study_is_purged_is_kept(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    arriving = threading.Thread(target=desk.receive, kwargs={"images": 1})

    def remove(_: Sequence[str]) -> None:
        arriving.start()
        arriving.join(0.5)
        assert arriving.is_alive(), "its row waits until the others are gone"

    desk.book.purge(job_id, remove)
    arriving.join(20)
    assert list(desk.book.instance_paths(job_id)) == ["1.2.3.1.3"]
    assert desk.book.view(job_id)["purged_at"] is None
    assert desk.book.reopen_changed() == [job_id]


def test_an_image_that_is_sent_again_while_its_study_is_purged_gets_its_row_back(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    arriving = threading.Thread(target=desk.book.record_instance, args=(received("1.2.3", 1), "listener/7"))

    def remove(_: Sequence[str]) -> None:
        arriving.start()
        arriving.join(0.5)
        assert arriving.is_alive()

    desk.book.purge(job_id, remove)
    arriving.join(20)
    assert list(desk.book.instance_paths(job_id)) == ["1.2.3.1.1"]
    assert desk.book.reopen_changed() == [job_id]


def test_files_that_cannot_be_deleted_keep_their_rows(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)

    def remove(_: Sequence[str]) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(PermissionError):
        desk.book.purge(job_id, remove)
    assert len(desk.book.instance_paths(job_id)) == 2
    assert len(desk.purge(job_id)) == 4


def test_a_study_that_is_being_sent_again_is_not_purged(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    desk.clock.forward(31 * DAY)
    assert desk.book.purge_candidates(30) == [job_id]
    desk.book.record_instance(received("1.2.3", 1), "listener/7")  # answered 0x0000: it is there
    assert desk.book.purge_candidates(30) == []
    with pytest.raises(IllegalMoveError):
        desk.purge(job_id)
    desk.book.association_closed("listener/7")
    with pytest.raises(IllegalMoveError):  # its next association may bring the rest
        desk.purge(job_id)
    assert desk.book.purge_candidates(30) == []
    desk.clock.forward(DAY)
    assert desk.book.purge_candidates(30) == [job_id], "nobody has sent for a day"


def test_a_purged_study_that_comes_again_is_taken_up_again(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    desk.purge(job_id)
    desk._received.clear()
    desk.receive(images=2)
    assert desk.book.reopen_changed() == [job_id]
    desk.make_ready(images=1)
    assert len(desk.claim().instances) == 3


def test_old_refusals_are_forgotten(desk: Desk):
    from bt_node.domain.receipt import Refusal

    desk.book.note_refusal(Refusal(0x0124, "unknown AE title", "NOBODY"))
    desk.clock.forward(10 * DAY)
    desk.book.note_refusal(Refusal(0xA700, "disk full", "SCANNER"))
    assert desk.book.forget_refusals(0) == 0
    assert desk.book.forget_refusals(10) == 1
    assert [refusal["status"] for refusal in desk.book.refusals()] == ["0xA700"]


@pytest.mark.parametrize("state", list(JobState))
def test_every_history_is_a_path_through_the_table_of_legal_moves(desk: Desk, state: JobState):
    path = desk.moves(desk.bring_to(state))
    assert path[0] == (None, "RECEIVING")
    for (_, here), (source, target) in pairwise(path):
        assert source == here
        assert JobState(target) in LEGAL_MOVES[JobState(source)]
    assert path[-1][1] == state.value


def test_a_finished_run_of_a_held_job_shows_why(desk: Desk):
    job = desk.run()
    desk.book.finish(job.id, job.token, JobState.HELD, "roles-ambiguous", "two series fit T1", RunRecord())
    assert desk.book.view(job.id)["waiting_for"] == "an operator"
