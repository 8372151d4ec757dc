"""How the roles were decided travels on: into the job book, the cautions and the identity of the results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from encode_cases import make_request
from study_maker import IR_FLAIR, SE_T1, TSE_T2, mr_series, study

from bt_node.assemble.roles import choose_roles
from bt_node.domain.study import Assigned, Role
from bt_node.encode.results import _identity
from bt_node.encode.source import read_source
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import _decided

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


def test_the_same_series_by_a_person_s_word_are_another_decision() -> None:
    by_rules = choose_roles(STUDY)
    word = {role: Assigned(by_rules.choices[role].series.series_instance_uid, "cli:ann") for role in Role}
    by_person = choose_roles(STUDY, assigned=word)
    assert {role: choice.series for role, choice in by_person.choices.items()} == {
        role: choice.series for role, choice in by_rules.choices.items()
    }
    assert _decided(by_person) != _decided(by_rules)
    assert _decided(choose_roles(STUDY)) == _decided(by_rules)


def test_another_decision_about_the_same_images_gives_results_other_uids(tmp_path: Path) -> None:
    """An archive keeps the first of two objects with one UID: a corrected report would never be seen."""
    request = make_request(tmp_path)
    source = read_source(request.reference, request.paths)
    plain, decided = (
        _identity(each, source).uid("instance", "SR") for each in (request, replace(request, decided=("T2=1.2.3",)))
    )
    assert plain != decided
