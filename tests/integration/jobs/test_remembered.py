"""What the job book keeps of a study for the same patient's next one, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from job_desk import Desk, refused, stored
from sqlalchemy import text

from bt_node.domain.follow_up import Lesion, Remembered
from bt_node.domain.result import ResultKind
from bt_node.domain.states import JobState
from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.jobs import RunRecord, downgrade_schema, open_book, upgrade_schema
from bt_node.jobs.database import Database

pytestmark = pytest.mark.integration

SOMEBODY, SOMEBODY_ELSE = "5" * 64, "e" * 64
JANUARY, MARCH, JUNE = date(2026, 1, 5), date(2026, 3, 1), date(2026, 6, 30)
MEMORY = Remembered(
    patient_hash=SOMEBODY,
    study_day=JANUARY,
    reference_series_uid="1.1.1",
    volumes_ml={Region.ET: 1.25, Region.WT: 20.5},
    tracking={Region.ET: "2.25.1", Region.WT: "2.25.2"},
    lesions=(Lesion("2.25.2", 20.5, (10.0, -4.5, 33.25)),),
    segmenter=ReleaseIdentity("unet", "1", "a" * 64),
    missing=("T2",),
)


def published(
    desk: Desk, study: str, memory: Remembered | None, run: int = 1, destinations: tuple[str, ...] = ("archive",)
) -> int:
    """A study with a SEG and a report that waits for delivery; returns the job's number."""
    job = desk.run(study) if run == 1 else desk.claim()
    made = [stored(f"{study}.9.{run}.1"), stored(f"{study}.9.{run}.2", ResultKind.SR)]
    desk.book.publish(job.id, job.token, RunRecord(remembered=memory), made, destinations)
    return job.id


def done(desk: Desk, study: str, memory: Remembered | None) -> int:
    job_id = published(desk, study, memory)
    assert desk.deliver(job_id) is JobState.DONE
    return job_id


def test_a_study_whose_report_was_sent_is_found_with_all_that_was_kept(desk: Desk):
    job_id = done(desk, "1.1", MEMORY)
    former = desk.book.former_study(SOMEBODY, MARCH, 99)
    assert former.job_id == job_id
    assert former.study_instance_uid == "1.1"
    assert former.remembered == MEMORY
    assert [(each.kind, each.sop_instance_uid) for each in former.objects] == [
        (ResultKind.SEG, "1.1.9.1.1"),
        (ResultKind.SR, "1.1.9.1.2"),
    ]
    assert {uid: held.path for uid, held in former.reference.items()} == {
        f"1.1.1.{n}": f"instances/1.1.1.{n}.dcm" for n in (1, 2)
    }


def test_an_outline_that_two_runs_made_belongs_to_both_reports(desk: Desk):
    """The second run changed the report alone; its own has not left, so that the first one counts."""
    job_id = done(desk, "1.1", MEMORY)
    desk.book.retry(job_id, "operator")
    job = desk.claim()
    made = [stored("1.1.9.1.1"), stored("1.1.9.2.2", ResultKind.SR)]
    desk.book.publish(job.id, job.token, RunRecord(remembered=MEMORY), made, ("archive",))
    before = [each.sop_instance_uid for each in desk.book.former_study(SOMEBODY, MARCH, 99).objects]
    assert before == ["1.1.9.1.1", "1.1.9.1.2"]
    assert desk.deliver(job_id) is JobState.DONE
    after = [each.sop_instance_uid for each in desk.book.former_study(SOMEBODY, MARCH, 99).objects]
    assert after == ["1.1.9.1.1", "1.1.9.2.2"]


def test_another_patient_and_the_same_or_a_later_day_are_no_former_study(desk: Desk):
    done(desk, "1.1", MEMORY)
    assert desk.book.former_study(SOMEBODY_ELSE, MARCH, 99) is None
    assert desk.book.former_study(SOMEBODY, JANUARY, 99) is None
    assert desk.book.former_study(SOMEBODY, date(2025, 12, 31), 99) is None


def test_a_study_is_not_its_own_former_study(desk: Desk):
    job_id = done(desk, "1.1", MEMORY)
    assert desk.book.former_study(SOMEBODY, MARCH, job_id) is None


def test_the_latest_by_the_day_of_the_study_counts_not_by_arrival(desk: Desk):
    done(desk, "1.2", replace(MEMORY, study_day=MARCH))
    done(desk, "1.1", MEMORY)  # older, and arrives later
    assert desk.book.former_study(SOMEBODY, JUNE, 99).study_instance_uid == "1.2"
    assert desk.book.former_study(SOMEBODY, MARCH, 99).study_instance_uid == "1.1"


def test_a_report_that_never_left_is_no_former_study(desk: Desk):
    job_id = published(desk, "1.1", MEMORY)
    assert desk.book.former_study(SOMEBODY, MARCH, 99) is None
    for due in desk.book.due_deliveries("archive", 10):
        desk.book.record_delivery(job_id, "archive", refused(due.sop_instance_uid), None, give_up=True)
    assert desk.book.settle_deliveries(job_id) is JobState.FAILED
    assert desk.book.former_study(SOMEBODY, MARCH, 99) is None


def test_a_node_without_destinations_counts_what_is_done(desk: Desk):
    published(desk, "1.1", MEMORY, destinations=())
    assert desk.book.former_study(SOMEBODY, MARCH, 99).study_instance_uid == "1.1"


def test_until_a_new_report_has_left_the_earlier_one_of_that_study_counts(desk: Desk):
    job_id = done(desk, "1.1", MEMORY)
    desk.book.retry(job_id, "test")
    again = replace(MEMORY, volumes_ml={Region.WT: 21.0})
    assert published(desk, "1.1", again, run=2) == job_id
    waiting = desk.book.former_study(SOMEBODY, MARCH, 99)
    assert waiting.remembered == MEMORY
    assert [each.sop_instance_uid for each in waiting.objects] == ["1.1.9.1.1", "1.1.9.1.2"]
    desk.deliver(job_id)
    left = desk.book.former_study(SOMEBODY, MARCH, 99)
    assert left.remembered == again
    assert [each.sop_instance_uid for each in left.objects] == ["1.1.9.2.1", "1.1.9.2.2"]


def test_the_same_report_made_again_is_kept_once_with_what_is_known_now(desk: Desk):
    job_id = done(desk, "1.1", MEMORY)
    desk.book.retry(job_id, "test")
    job = desk.claim()
    made = [stored("1.1.9.1.1"), stored("1.1.9.1.2", ResultKind.SR)]
    desk.book.publish(job.id, job.token, RunRecord(remembered=None), made, ("archive",))
    desk.deliver(job_id)
    assert desk.book.former_study(SOMEBODY, MARCH, 99) is None


def test_a_purged_study_is_remembered_without_its_files(desk: Desk):
    job_id = done(desk, "1.1", MEMORY)
    desk.purge(job_id)
    former = desk.book.former_study(SOMEBODY, MARCH, 99)
    assert former.remembered == MEMORY
    assert former.reference == {}


def test_the_second_schema_comes_up_and_goes_down_with_data(desk: Desk, url: str):
    """What was remembered is lost on the way down, as the second schema has no place for it; the rest stays."""
    job_id = done(desk, "1.1", MEMORY)
    desk.book.close()
    downgrade_schema(url, "0002")
    database = Database(url)
    with database.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM results")).scalar_one() == 2
    database.close()
    upgrade_schema(url)
    book = open_book(url, now=desk.clock)
    assert book.view(job_id)["state"] == "DONE"
    assert book.former_study(SOMEBODY, MARCH, 99) is None
    book.close()
