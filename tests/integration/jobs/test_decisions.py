"""A person's choice of series in the job book: stored with who and when, kept through new images, withdrawn."""

from __future__ import annotations

import pytest
from job_desk import Desk
from sqlalchemy import text

from bt_node.domain.errors import (
    AssignmentRefusedError,
    IllegalMoveError,
    InputsPurgedError,
    JobNotFoundError,
)
from bt_node.domain.states import ENDED_STATES, LEGAL_MOVES, JobState
from bt_node.domain.study import Assigned, NamedVolume, Role
from bt_node.jobs import RunRecord, downgrade_schema, open_book, upgrade_schema
from bt_node.jobs.database import Database

SERIES = "1.2.3.1"  # what the desk receives
CHOICE = {Role.T1C: NamedVolume(SERIES)}
ANN = "cli:ann"


@pytest.mark.parametrize("state", list(JobState))
def test_an_assignment_releases_an_ended_job_and_is_refused_for_any_other(desk: Desk, state: JobState):
    job_id = desk.bring_to(state)
    if state not in ENDED_STATES:
        with pytest.raises(IllegalMoveError):
            desk.book.assign(job_id, CHOICE, ANN)
        assert desk.book.view(job_id)["assigned"] == {}
        assert desk.state(job_id) is state
        return
    assert JobState.READY in LEGAL_MOVES[state]
    assert desk.book.assign(job_id, CHOICE, ANN) is JobState.READY
    view = desk.book.view(job_id)
    assert view["assigned"] == {"T1C": {"series_instance_uid": SERIES, "by": ANN}}
    last = view["history"][-1]
    assert (last["actor"], last["to"], last["code"]) == (ANN, "READY", "assigned")
    assert last["reason"] == f"assigned by an operator: T1C is series {SERIES}"


def test_the_worker_gets_what_was_assigned(desk: Desk):
    job_id = desk.bring_to(JobState.HELD)
    desk.book.assign(job_id, CHOICE, ANN)
    assert desk.claim().assigned == {Role.T1C: Assigned(SERIES, ANN)}


def test_a_new_decision_makes_new_results_with_a_time_of_their_own(desk: Desk):
    first = desk.run()
    desk.book.finish(first.id, first.token, JobState.HELD, "roles-ambiguous", "two series", RunRecord())
    desk.clock.forward(3600)
    desk.book.assign(first.id, CHOICE, ANN)
    again = desk.claim()
    assert (again.analysed_at - first.analysed_at).total_seconds() >= 3600
    assert again.attempt == 1


def test_late_images_keep_the_assignment(desk: Desk):
    job_id = desk.bring_to(JobState.HELD)
    desk.book.assign(job_id, CHOICE, ANN)
    desk.receive(images=1)
    assert desk.book.reopen_changed() == [job_id]
    desk.make_ready(images=1)
    assert desk.claim().assigned == {Role.T1C: Assigned(SERIES, ANN)}


def test_a_second_assignment_adds_to_the_first_and_may_not_use_its_series(desk: Desk):
    job_id = desk.bring_to(JobState.HELD)
    desk.book.assign(job_id, CHOICE, ANN)
    desk.book.cancel(job_id, ANN)
    with pytest.raises(AssignmentRefusedError, match=r"series 1\.2\.3\.1 would be T1C and T2"):
        desk.book.assign(job_id, {Role.T2: NamedVolume(SERIES)}, "cli:bob")
    assert desk.state(job_id) is JobState.CANCELLED
    desk.book.assign(job_id, CHOICE, "cli:bob")
    assert desk.book.view(job_id)["assigned"]["T1C"]["by"] == "cli:bob"


def test_two_volumes_of_one_series_may_take_two_roles(desk: Desk):
    job_id = desk.bring_to(JobState.HELD)
    before, after = NamedVolume(SERIES, "1.2.3.1.1"), NamedVolume(SERIES, "1.2.3.1.9")
    desk.book.assign(job_id, {Role.T1: before, Role.T1C: after}, ANN)
    assert {role: word.volume for role, word in desk.claim().assigned.items()} == {Role.T1: before, Role.T1C: after}


def test_a_series_of_another_study_is_refused(desk: Desk):
    job_id = desk.bring_to(JobState.HELD)
    desk.receive("1.2.4")
    with pytest.raises(AssignmentRefusedError, match=r"T1C: series 1\.2\.4\.1 is not in this study"):
        desk.book.assign(job_id, {Role.T1C: NamedVolume("1.2.4.1")}, ANN)
    assert desk.state(job_id) is JobState.HELD


def test_an_assignment_can_be_withdrawn(desk: Desk):
    job_id = desk.bring_to(JobState.HELD)
    desk.book.assign(job_id, CHOICE, ANN)
    desk.book.cancel(job_id, ANN)
    assert desk.book.unassign(job_id, ANN) is JobState.READY
    assert desk.claim().assigned == {}


def test_a_purged_or_unknown_job_cannot_be_decided(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    desk.purge(job_id)
    with pytest.raises(InputsPurgedError):
        desk.book.assign(job_id, CHOICE, ANN)
    with pytest.raises(JobNotFoundError):
        desk.book.assign(99, CHOICE, ANN)


def test_jobs_of_the_first_schema_come_up_go_down_and_come_up_again(desk: Desk, url: str):
    """With a job in it. The decision itself is lost on the way down, as the first schema has no place for it."""
    job_id = desk.bring_to(JobState.HELD)
    desk.book.assign(job_id, CHOICE, ANN)
    desk.book.close()
    downgrade_schema(url, "0001")
    database = Database(url)
    with database.read() as tx:
        row = tx.execute(text("SELECT * FROM jobs")).mappings().one()
    assert (row["state"], "assigned" in row) == ("READY", False)
    database.close()
    upgrade_schema(url)
    book = open_book(url, now=desk.clock)
    assert book.view(job_id)["assigned"] == {}
    claimed = book.claim("worker", 60)
    assert claimed.assigned == {}
    assert len(claimed.instances) == 2
    book.close()
