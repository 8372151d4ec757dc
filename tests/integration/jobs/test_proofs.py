"""Proof in the job book, on both databases; and what the migration makes of deliveries that are there already."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_desk import SEGMENTATION_STORAGE as SEG
from job_desk import Desk, accepted, refused
from sqlalchemy import text

from bt_node.domain.proof import Proof
from bt_node.domain.states import JobState
from bt_node.jobs import downgrade_schema, open_book, upgrade_schema
from bt_node.jobs.database import Database

HOUR = 3600.0


def acknowledge(desk: Desk, uids: tuple[str, ...] = ("1.9.1", "1.9.2"), destination: str = "archive") -> int:
    """A job whose objects were taken and wait for proof."""
    job_id = desk.publish(uids, (destination,))
    for uid in uids:
        desk.book.record_delivery(job_id, destination, accepted(uid), None, give_up=False, prove=True)
    assert desk.book.settle_deliveries(job_id) is JobState.DELIVERING
    return job_id


def deliveries(desk: Desk, job_id: int, destination: str = "archive") -> list[dict]:
    return [result["destinations"][destination] for result in desk.book.view(job_id)["results"]]


def ask(desk: Desk, transaction: str, pause: float = 30.0) -> None:
    due = desk.book.due_proofs("archive", 100)
    desk.book.commitment_asked(transaction, [(item, pause) for item in due])
    for item in due:
        desk.book.commitment_promised(transaction, item, "asked", 600.0)


def test_what_is_acknowledged_waits_for_proof_and_then_the_job_is_done(desk: Desk):
    job_id = acknowledge(desk)
    assert desk.book.due_deliveries("archive", 10) == []
    first, second = desk.book.due_proofs("archive", 10)
    assert (first.study_instance_uid, first.series_instance_uid, first.proof_attempts) == ("1.2.3", "1.9.1.0", 0)
    desk.book.record_kept(first, Proof.QUERY, "kept: found")
    assert desk.book.settle_deliveries(job_id) is JobState.DELIVERING
    assert desk.book.view(job_id)["waiting_for"] == "archive to confirm 1 object(s), asked again in 0 s (stored)"
    desk.book.record_kept(second, Proof.UNPROVEN, "stored; unproven")
    assert desk.book.settle_deliveries(job_id) is JobState.DONE
    assert desk.book.view(job_id)["reason"] == "delivered to archive (unproven at archive)"
    assert [(each["state"], each["proof"]) for each in deliveries(desk, job_id)] == [
        ("DELIVERED", "query"),
        ("DELIVERED", "unproven"),
    ]


def test_a_report_settles_the_job_and_a_second_one_is_about_nothing(desk: Desk):
    job_id = acknowledge(desk)
    ask(desk, "2.25.1")
    assert desk.book.due_proofs("archive", 10) == []
    stored = [(SEG, "1.9.1"), (SEG, "1.9.2"), (SEG, "1.9.7")]
    assert desk.book.commitment_reported("2.25.2", "PACS", stored, []) is False  # nobody asked under that UID
    assert desk.state(job_id) is JobState.DELIVERING
    assert desk.book.commitment_reported("2.25.1", "PACS", stored, []) is True
    assert desk.state(job_id) is JobState.DONE
    assert desk.book.commitment_reported("2.25.1", "PACS", [], [(SEG, "1.9.1", 0x0112)]) is False
    assert desk.state(job_id) is JobState.DONE


def test_a_report_that_comes_before_the_request_was_answered_is_not_overwritten(desk: Desk):
    job_id = acknowledge(desk, ("1.9.1",))
    (item,) = desk.book.due_proofs("archive", 10)
    desk.book.commitment_asked("2.25.1", [(item, 30.0)])
    desk.book.commitment_reported("2.25.1", "PACS", [], [(SEG, "1.9.1", 0x0112)])
    desk.book.commitment_promised("2.25.1", item, "asked", 600.0)
    (noted,) = deliveries(desk, job_id)
    assert (noted["state"], noted["times_lost"], noted["proof_attempts"]) == ("PENDING", 1, 0)
    assert desk.book.due_deliveries("archive", 10) == []
    desk.clock.forward(30)
    assert [due.sop_instance_uid for due in desk.book.due_deliveries("archive", 10)] == ["1.9.1"]


def test_a_failure_reported_before_the_request_was_answered_is_counted_once(desk: Desk):
    job_id = acknowledge(desk, ("1.9.1",))
    (item,) = desk.book.due_proofs("archive", 10)
    desk.book.commitment_asked("2.25.1", [(item, 30.0)])
    desk.book.commitment_reported("2.25.1", "PACS", [], [(SEG, "1.9.1", 0x0110)])
    desk.book.commitment_promised("2.25.1", item, "asked", 600.0)
    (noted,) = deliveries(desk, job_id)
    assert (noted["state"], noted["proof_attempts"]) == ("SENT", 1)
    assert noted["detail"] == "storage commitment: processing failure (0x0110)"


def test_an_old_report_of_loss_says_nothing_about_what_was_sent_since(desk: Desk):
    job_id = acknowledge(desk, ("1.9.1",))
    ask(desk, "2.25.1")
    desk.clock.forward(600)
    (item,) = desk.book.due_proofs("archive", 10)
    desk.book.record_lost(item, "not found", 0.0)
    desk.book.record_delivery(job_id, "archive", accepted("1.9.1"), None, give_up=False, prove=True)
    desk.book.commitment_reported("2.25.1", "PACS", [], [(SEG, "1.9.1", 0x0112)])
    assert [(each["state"], each["times_lost"]) for each in deliveries(desk, job_id)] == [("SENT", 1)]


def test_a_refused_request_leaves_nothing_to_report_on(desk: Desk):
    acknowledge(desk)
    desk.book.commitment_asked("2.25.1", [(item, 30.0) for item in desk.book.due_proofs("archive", 10)])
    desk.book.commitment_withdrawn("2.25.1")
    assert desk.book.commitment_reported("2.25.1", "PACS", [(SEG, "1.9.1")], []) is False


def test_nothing_is_due_for_a_destination_that_is_down_and_afterwards_the_oldest_first(desk: Desk):
    first = desk.publish(("1.9.1",), study="1.2.3")
    desk.book.destination_down("archive", "no association", 60.0)
    desk.clock.forward(10)
    desk.publish(("1.9.2",), study="1.2.4")  # the study was quiet for 30 s
    assert desk.book.due_deliveries("archive", 10) == []
    assert desk.book.view(first)["waiting_for"] == (
        "archive to take 1 object(s), next attempt in 20 s (no association)"
    )
    assert desk.book.destination_failures("archive") == 1
    desk.clock.forward(20)
    assert [due.sop_instance_uid for due in desk.book.due_deliveries("archive", 10)] == ["1.9.1", "1.9.2"]
    desk.book.destination_up("archive")
    assert desk.book.destination_failures("archive") == 0


def test_a_refused_object_goes_behind_those_that_were_never_tried(desk: Desk):
    job_id = desk.publish(("1.9.1",), study="1.2.3")
    desk.publish(("1.9.2",), study="1.2.4")
    desk.book.record_delivery(job_id, "archive", refused("1.9.1"), 0.0, give_up=False)
    assert [due.sop_instance_uid for due in desk.book.due_deliveries("archive", 10)] == ["1.9.2", "1.9.1"]


def test_giving_up_names_what_was_taken_and_what_was_not(desk: Desk):
    acknowledged = acknowledge(desk, ("1.9.1",))
    desk.clock.forward(10 * HOUR)
    never = desk.publish(("1.9.5",), study="1.2.4")
    assert desk.book.give_up_on("archive", HOUR) == [acknowledged]
    assert desk.book.view(acknowledged)["reason"] == "acknowledged but not proven to be kept: 1 objects to archive"
    desk.clock.forward(10 * HOUR)
    assert desk.book.give_up_on("archive", HOUR) == []  # it was never tried, and the destination is not down
    desk.book.destination_down("archive", "no association", 60.0)
    assert desk.book.give_up_on("archive", HOUR) == [never]
    assert desk.book.view(never)["reason"] == "not delivered: 1 objects to archive"


def test_a_retry_of_what_was_never_proven_sends_it_again(desk: Desk):
    job_id = acknowledge(desk, ("1.9.1",))
    desk.clock.forward(10 * HOUR)
    desk.book.give_up_on("archive", HOUR)
    assert desk.book.retry(job_id, "operator") is JobState.DELIVERING
    (due,) = desk.book.due_deliveries("archive", 10)
    assert (due.attempts, due.age_seconds) == (0, 0.0)


def test_one_courier_at_a_time(desk: Desk):
    assert desk.book.take_destination("archive", "a", 15.0)
    assert desk.book.take_destination("archive", "a", 15.0)  # to go on
    assert not desk.book.take_destination("archive", "b", 15.0)
    assert desk.book.take_destination("research", "b", 15.0)
    desk.book.leave_destination("archive", "b")  # not b's to leave
    assert not desk.book.take_destination("archive", "b", 15.0)
    desk.book.leave_destination("archive", "a")
    assert desk.book.take_destination("archive", "b", 15.0)


def test_retention_waits_for_what_is_not_delivered_and_proven(desk: Desk):
    job_id = acknowledge(desk, ("1.9.1",))
    with desk.book._database.write() as tx:
        tx.execute(text("UPDATE jobs SET state = 'REJECTED'"))  # a report that says why is on its way
    desk.clock.forward(40 * 24 * HOUR)
    assert desk.book.purge_candidates(30) == []
    (item,) = desk.book.due_proofs("archive", 10)
    desk.book.record_kept(item, Proof.QUERY, "found")
    assert desk.book.purge_candidates(30) == [job_id]


def test_a_priority_changes_the_order_of_runs_and_is_remembered(desk: Desk):
    desk.make_ready("1.2.3")
    urgent = desk.make_ready("1.2.4")
    desk.book.set_priority(urgent, "stat", "cli:ann")
    assert desk.claim().id == urgent
    view = desk.book.view(urgent)
    assert view["priority"] == 2
    assert ("cli:ann", "priority set to stat") in [(row["actor"], row["reason"]) for row in view["history"]]


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the revision before, with a delivery in each of its states."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'old.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database("old")
    upgrade_schema(url)
    downgrade_schema(url, "0005")
    with Database(url).write() as tx:
        tx.execute(
            text(
                "INSERT INTO jobs (id, study_instance_uid, state, created_at, state_since, last_received_at, roles,"
                " set_aside, findings, timings_s) VALUES (1, '1.2.3', 'DELIVERING', 0, 0, 0, '[]', '[]', '{}', '{}')"
            )
        )
        for number, state in enumerate(("PENDING", "SENT", "FAILED")):
            tx.execute(
                text(
                    "INSERT INTO results (id, job_id, kind, sop_class_uid, sop_instance_uid, series_instance_uid,"
                    " series_number, path, sha256, created_at)"
                    f" VALUES ({number}, 1, 'SEG', '1', '1.{number}', '1', 1, 'p', 's', 0)"
                )
            )
            tx.execute(
                text(
                    "INSERT INTO deliveries (result_id, destination, state, queued_at, next_attempt_at)"
                    f" VALUES ({number}, 'archive', '{state}', 0, 0)"
                )
            )
    return url


def _states(url: str) -> list[str]:
    with Database(url).read() as tx:
        return list(tx.execute(text("SELECT state FROM deliveries ORDER BY result_id")).scalars())


def test_deliveries_live_through_the_migration_and_back(old_url: str):
    upgrade_schema(old_url)
    assert _states(old_url) == ["PENDING", "DELIVERED", "FAILED"]
    book = open_book(old_url)
    book.record_delivery(1, "archive", accepted("1.0"), None, give_up=False, prove=True)
    assert _states(old_url) == ["SENT", "DELIVERED", "FAILED"]
    (item,) = book.due_proofs("archive", 10)
    book.commitment_asked("2.25.1", [(item, 1.0)])
    book.close()
    downgrade_schema(old_url, "0005")
    assert _states(old_url) == ["PENDING", "SENT", "FAILED"]  # what was not proven is sent again
    upgrade_schema(old_url)
    with Database(old_url).read() as tx, pytest.raises(Exception, match="ck_deliveries_state"):
        tx.execute(text("UPDATE deliveries SET state = 'LOST'"))
