"""Why a study waits or went on: stored with its evidence, shown, and dropped when the study has changed meanwhile."""

from __future__ import annotations

import json

import pytest
from job_desk import LEASE, QUIET, STALE, Desk, received, refused, stored

from bt_node.domain.completeness import KnownGaps, Shortfall
from bt_node.domain.result import ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs import Completeness, QuietStudy, RunRecord

SHORT = KnownGaps("PACS", short=(Shortfall("1.2.3.1", 9, 27, 25),))


def waits(study: QuietStudy) -> Completeness:
    until = study.last_received_at + 600
    return Completeness(False, "waits for more", {"waits_for": ["PACS to send series 9"], "goes_on_at": until})


def goes_on(study: QuietStudy) -> Completeness:
    return Completeness(True, "waited in vain", {"seen_before": study.earlier, "gaps": SHORT.as_json()})


def sweep(desk: Desk, decide) -> list[int]:
    return desk.book.sweep_complete(QUIET, STALE, decide)


def test_what_is_decided_about_is_a_quiet_study_with_all_that_arrived(desk: Desk):
    desk.receive(images=2)
    desk.clock.forward(QUIET + 5)
    seen: list[QuietStudy] = []
    sweep(desk, lambda study: seen.append(study) or waits(study))
    (study,) = seen
    assert (study.study_instance_uid, study.images, study.quiet_s) == ("1.2.3", 2, QUIET + 5)
    assert {uid: arrived.instances for uid, arrived in study.series.items()} == {"1.2.3.1": 2}
    assert (study.calling_ae_titles, study.earlier) == (("SCANNER",), {})


def test_a_study_that_waits_stays_and_says_what_for_and_how_long(desk: Desk):
    job_id = desk.receive()
    desk.clock.forward(QUIET)
    assert sweep(desk, waits) == []
    desk.clock.forward(60)
    view = desk.book.view(job_id)
    assert view["state"] == "RECEIVING"
    assert view["waiting_for"] == f"PACS to send series 9; goes on without in {600 - QUIET - 60:.0f} s"
    assert sweep(desk, waits) == []
    assert len(desk.book.view(job_id)["completeness"]) == 1, "a row for each look would fill the database"


def test_the_decision_to_go_on_is_kept_with_the_evidence_it_rests_on(desk: Desk):
    job_id = desk.receive()
    desk.clock.forward(QUIET)
    sweep(desk, waits)
    desk.clock.forward(600)
    assert sweep(desk, goes_on) == [job_id]
    view = desk.book.view(job_id)
    (row,) = view["completeness"]
    assert (row["complete"], row["images"], row["reason"]) == (True, 2, "waited in vain")
    assert row["evidence"]["seen_before"]["waits_for"] == ["PACS to send series 9"]
    assert row["begun_at"] < row["at"]
    assert view["history"][-1]["reason"] == "waited in vain"
    assert json.loads(json.dumps(view)) == view
    assert desk.claim().gaps == SHORT


def test_new_images_begin_a_new_wait_and_the_old_decision_stays(desk: Desk):
    job_id = desk.receive()
    desk.clock.forward(QUIET)
    sweep(desk, goes_on)
    desk.receive(images=1)
    desk.book.reopen_changed()
    desk.clock.forward(QUIET)
    sweep(desk, waits)
    rows = desk.book.view(job_id)["completeness"]
    assert [(row["images"], row["complete"]) for row in rows] == [(2, True), (3, False)]
    desk.clock.forward(1)
    desk.receive(images=1)
    desk.clock.forward(QUIET)
    looked: list[dict] = []
    sweep(desk, lambda study: looked.append(study.earlier) or waits(study))
    assert looked == [{}], "evidence about fewer images says nothing about these"


def test_a_decision_about_a_study_that_changed_meanwhile_is_dropped(desk: Desk):
    job_id = desk.receive()
    desk.clock.forward(QUIET)

    def while_more_arrives(study: QuietStudy) -> Completeness:
        desk.receive(images=1)
        return goes_on(study)

    assert desk.book.sweep_complete(0, STALE, while_more_arrives) == [], "it is quiet, and yet another study"
    view = desk.book.view(job_id)
    assert (view["state"], view["completeness"]) == ("RECEIVING", [])


def test_an_association_that_opens_the_study_meanwhile_keeps_it_from_going_on(desk: Desk):
    desk.receive()
    desk.clock.forward(QUIET)

    def while_it_is_sent_again(study: QuietStudy) -> Completeness:
        desk.book.record_instance(received("1.2.3", 1), "listener/2")
        return goes_on(study)

    assert sweep(desk, while_it_is_sent_again) == []


def test_a_person_who_retries_a_short_study_wants_it_so(desk: Desk):
    job_id = desk.receive()
    desk.clock.forward(QUIET)
    sweep(desk, goes_on)
    job = desk.claim()
    desk.book.finish(job.id, job.token, JobState.HELD, "series-short", "25 of 27", RunRecord())
    desk.book.retry(job_id, "cli:ann")
    again = desk.claim()
    assert again.gaps.accepted_by == "cli:ann"
    assert again.gaps.short == SHORT.short
    assert desk.book.view(job_id)["history"][-2]["reason"] == "retried by an operator with the images that are there"


def test_a_retry_of_anything_else_accepts_nothing(desk: Desk):
    job_id = desk.bring_to(JobState.HELD)
    desk.book.retry(job_id, "cli:ann")
    assert desk.claim().gaps == KnownGaps()


# ---------------------------------------------------------------- opened again


@pytest.mark.parametrize("destinations", [("archive",), ("archive", "second")])
def test_images_that_arrive_while_a_destination_is_down_open_the_study_again(desk: Desk, destinations):
    job_id = desk.publish(destinations=destinations)
    desk.receive(images=1)
    assert desk.book.reopen_changed() == [], "what is due now may be on its way: whether it left must be known first"
    for due in [each for name in destinations for each in desk.book.due_deliveries(name, 10)]:
        desk.book.record_delivery(job_id, due.destination, refused(due.sop_instance_uid), 3600, give_up=False)
    assert desk.book.reopen_changed() == [job_id]
    assert desk.book.due_deliveries("archive", 10) == []


def test_no_two_reports_stand_without_the_later_naming_the_former(desk: Desk):
    """Whatever becomes of each delivery: the reports an archive may hold form one chain, and one alone counts."""
    job_id = desk.make_ready()
    left: list[str] = []
    for number, fate in enumerate(("taken", "no answer", "never tried", "taken"), start=1):
        job = desk.claim()
        assert [report.sop_instance_uid for report in job.earlier_reports] == left
        uid = f"1.9.{number}"
        desk.book.publish(job.id, job.token, RunRecord(), [stored(uid, ResultKind.SR)], ["archive"])
        if fate == "taken":
            desk.deliver(job_id)
        elif fate == "no answer":
            desk.book.record_delivery(job_id, "archive", refused(uid), 3600, give_up=False)
        else:
            desk.book.cancel(job_id, "cli:ann")
        left += [] if fate == "never tried" else [uid]
        view = desk.book.view(job_id)
        assert [result["sop_instance_uid"] for result in view["results"]] == [uid]
        desk.receive(images=1)
        assert desk.book.reopen_changed() == [job_id]
        desk.clock.forward(QUIET)
        assert desk.book.sweep_complete(QUIET, STALE) == [job_id]
    assert desk.book.claim("worker", LEASE) is not None
