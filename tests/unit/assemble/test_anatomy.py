"""Another part of the body takes no role, or is at least never sure: told by words in four places, and by size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from study_maker import IR_FLAIR, SE_T1, TSE_T2, mr_series, study

from bt_node.assemble.roles import choose_roles
from bt_node.domain.study import Certainty, Role, SeriesFacts


def four(**facts: Any) -> list[SeriesFacts]:
    """A whole study whose words name no part of the body."""
    return [
        mr_series(3, "T1 tra", minute=3, **SE_T1, **facts),
        mr_series(9, "T1 tra KM", minute=9, **SE_T1, **facts),
        mr_series(4, "T2 tra", minute=4, **TSE_T2, **facts),
        mr_series(5, "FLAIR tra", minute=5, **IR_FLAIR, **facts),
    ]


@pytest.mark.parametrize(
    "part",
    [
        "LSPINE",
        "C-SPINE",
        "KNEE",
        "ABDOMEN",
        "PROSTATE",
        "BREAST",
        "HEART",
        "LWS",
        "RODILLA",
        "WHOLEBODY",
        "LUMBAR SPINE",
    ],
)
def test_body_part_examined_that_is_not_the_head_takes_no_role(part: str) -> None:
    assignment = choose_roles(study(*four(body_part=part)))
    assert assignment.missing == tuple(Role)
    assert all("BodyPartExamined is" in entry.reason for entry in assignment.set_aside)
    assert not any(part in entry.reason for entry in assignment.set_aside)  # our own words only


@pytest.mark.parametrize("part", ["", "HEAD", "BRAIN", "HEADNECK", "SKULL", "VERTEBRALCRANIUM", "SCHAEDEL", "ORBIT"])
def test_a_head_in_whatever_words_keeps_its_roles(part: str) -> None:
    assignment = choose_roles(study(*four(body_part=part)))
    assert {role: assignment.certainty(role) for role in Role} == dict.fromkeys(Role, Certainty.SURE)


def test_neck_in_body_part_examined_is_filled_in_by_habit_and_leaves_a_doubt() -> None:
    assignment = choose_roles(study(*four(body_part="NECK")))
    assert {role: assignment.certainty(role) for role in Role} == dict.fromkeys(Role, Certainty.LIKELY)


@pytest.mark.parametrize(
    "asked",
    [
        "MRT Oberbauch mit KM",
        "MRI L-SPINE W WO",
        "RM rodilla",
        "IRM genou",
        "MRI PELVIS",
        "МРТ брюшной полости",
        "膝关节",
    ],
)
def test_what_was_asked_for_tells_where_nothing_else_does(asked: str) -> None:
    assert choose_roles(study(*four(study_description=asked))).missing == tuple(Role)
    said = choose_roles(study(*four(study_description=asked, body_part="HEAD")))
    assert said.missing == ()  # scanned as a head all the same
    assert choose_roles(study(*four(study_description=f"{asked} + MRT Kopf"))).missing == ()


@pytest.mark.parametrize("words", ["L1-S1", "C2-Th1", "HWS", "BH", "breath hold", "lomber", "pozvon позвоночник"])
def test_words_of_the_description_tell(words: str) -> None:
    series = [replace(s, description=f"{s.description} {words}") for s in four()]
    assert choose_roles(study(*series)).missing == tuple(Role)


def test_a_triggered_head_stays_a_head() -> None:
    triggered = [replace(s, description=f"{s.description} trig") for s in four(body_part="BRAIN")]
    assert choose_roles(study(*triggered)).missing == ()


def test_spin_echo_written_as_one_word_is_no_spine() -> None:
    series = [replace(s, description=f"{s.description} spinecho") for s in four()]
    assert choose_roles(study(*series)).missing == ()


def test_a_field_of_view_larger_than_a_head_takes_no_role() -> None:
    assignment = choose_roles(study(*four(pixel_mm=1.5)))
    assert assignment.missing == tuple(Role)
    assert "384 mm" in assignment.set_aside[0].reason


def test_sagittal_slices_narrower_than_a_head_take_no_role_unless_their_words_name_the_head() -> None:
    narrow = mr_series(4, "T2 sag", plane="sagittal", slices=15, spacing_mm=4.0, **TSE_T2)
    assert "less than a head is wide" in choose_roles(study(narrow)).set_aside[0].reason
    assert Role.T2 in choose_roles(study(replace(narrow, description="T2 sag brain"))).choices


def test_a_spine_beside_a_head_that_nobody_names_leaves_a_doubt() -> None:
    spine = mr_series(30, "T2 sag LWS", plane="sagittal", minute=30, **TSE_T2)
    unsaid = choose_roles(study(*four(), spine))
    assert {role: unsaid.certainty(role) for role in Role} == dict.fromkeys(Role, Certainty.LIKELY)
    assert "another part of the body" in unsaid.doubts[0]
    said = choose_roles(study(*four(body_part="HEAD"), spine))
    assert {role: said.certainty(role) for role in Role} == dict.fromkeys(Role, Certainty.SURE)


def test_neck_that_the_examination_confirms_takes_no_role() -> None:
    assignment = choose_roles(study(*four(body_part="NECK", study_description="MRT Hals mit KM")))
    assert assignment.missing == tuple(Role)


def test_a_narrow_sagittal_stack_beside_series_that_name_no_part_leaves_a_doubt() -> None:
    narrow = mr_series(30, "t2 sag", plane="sagittal", minute=30, slices=15, spacing_mm=3.3, **TSE_T2)
    assert choose_roles(study(*four(), narrow)).certainty(Role.T2) is Certainty.LIKELY
    localizer = replace(narrow, slices=narrow.slices[:3])
    assert choose_roles(study(*four(), localizer)).certainty(Role.T2) is Certainty.SURE


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("NEURO^L-SPINE", ""),
        ("Neuro Spine cervical", "HEAD"),
        ("L-SPINE W/WO", "HEAD"),
        ("MR LUMBAR SPINE", "BRAIN"),
        ("MR BRAIN AND CERVICAL SPINE", ""),
    ],
)
def test_a_spine_that_was_asked_for_leaves_a_doubt(asked: str, part: str) -> None:
    assignment = choose_roles(study(*four(study_description=asked, body_part=part)))
    assert {role: assignment.certainty(role) for role in Role} == dict.fromkeys(Role, Certainty.LIKELY)


@pytest.mark.parametrize(
    ("asked", "part"),
    [("MR BRAIN AND CERVICAL SPINE", "BRAIN"), ("NEURO", ""), ("NEURO^ROUTINE", "HEAD"), ("HEAD AND NECK", "")],
)
def test_a_head_that_was_asked_for_leaves_none(asked: str, part: str) -> None:
    assignment = choose_roles(study(*four(study_description=asked, body_part=part)))
    assert {role: assignment.certainty(role) for role in Role} == dict.fromkeys(Role, Certainty.SURE)


def test_more_slices_than_a_head_has_take_no_role() -> None:
    assignment = choose_roles(study(mr_series(3, "T1 tra", slices=120, spacing_mm=5.0, **SE_T1)))
    assert "more than a head" in assignment.set_aside[0].reason
