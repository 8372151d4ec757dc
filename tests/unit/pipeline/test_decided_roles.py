"""How the roles were decided travels on: into the job book and the cautions."""

from __future__ import annotations

from study_maker import IR_FLAIR, SE_T1, TSE_T2, mr_series, study

from bt_node.assemble.roles import choose_roles
from bt_node.pipeline.record import TripRecord

TWINS = [mr_series(number, "T1 tra", **SE_T1) for number in (3, 9)]
STUDY = study(*TWINS, mr_series(4, "T2 tra", **TSE_T2), mr_series(5, "FLAIR tra", **IR_FLAIR))


def test_the_job_book_gets_certainty_and_doubts_of_each_role() -> None:
    record = TripRecord()
    record.note_assignment(choose_roles(STUDY))
    kept = {entry["role"]: (entry["certainty"], len(entry["doubts"])) for entry in record.roles}
    assert kept == {"T1": ("likely", 1), "T1C": ("likely", 1), "T2": ("sure", 0), "FLAIR": ("sure", 0)}


def test_a_doubt_is_one_sentence_in_ascii_for_the_report() -> None:
    doubts = choose_roles(STUDY).doubts
    assert [doubt.split(" is likely")[0] for doubt in doubts] == ["T1", "T1C"]
    assert all(doubt.isascii() and doubt.endswith(".") for doubt in doubts)
