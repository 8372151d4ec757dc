"""Series that would serve equally: a rule chooses, and says so; where a choice could be wrong a person is asked."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from study_maker import EPI, GRE_T2S, IR_FLAIR, MPRAGE, SE_T1, THIN, TSE_T2, mr_series, study

from bt_node.assemble.roles import choose_roles
from bt_node.domain.study import Certainty, Role, RoleAssignment, SeriesFacts


def number(assignment: RoleAssignment, role: Role) -> int | None:
    return assignment.choices[role].series.series_number


def series(at: int, description: str, physics: dict[str, Any], **facts: Any) -> SeriesFacts:
    return mr_series(at, description, minute=4.0 * at, **{**physics, **facts})


def nineteen() -> list[SeriesFacts]:
    """No word and no tag names contrast; FLAIR was taken before and after it."""
    adc = {**EPI, "image_type": ("DERIVED", "PRIMARY", "ADC")}
    phase = {**GRE_T2S, "image_type": ("ORIGINAL", "PRIMARY", "P")}
    mip = {**GRE_T2S, "image_type": ("DERIVED", "SECONDARY", "MNIP")}
    return [
        series(1, "localizer", SE_T1, slices=3),
        series(2, "localizer", SE_T1, slices=3),
        series(3, "ep2d_diff_trace", EPI),
        series(4, "ep2d_diff_ADC", adc),
        series(5, "Mag_Images", GRE_T2S),
        series(6, "Pha_Images", phase),
        series(7, "mIP_Images(SW)", mip),
        series(8, "SWI_Images", GRE_T2S),
        series(9, "t2_tse_tra", TSE_T2),
        series(10, "t1_se_tra", SE_T1),
        series(11, "t1_se_sag", SE_T1, plane="sagittal"),
        series(12, "t1_se_cor", SE_T1, plane="coronal"),
        series(13, "t2_flair_tra", IR_FLAIR),
        series(14, "t1_se_tra", SE_T1),
        series(15, "t1_se_sag", SE_T1, plane="sagittal"),
        series(16, "t1_se_cor", SE_T1, plane="coronal"),
        series(17, "t1_mprage_sag", MPRAGE, **THIN, plane="sagittal"),
        series(18, "t2_flair_tra", IR_FLAIR),
        series(19, "t1_mprage_sag MPR tra", {**MPRAGE, "image_type": ("DERIVED", "SECONDARY", "MPR")}),
    ]


def test_nineteen_series_with_two_flair_need_no_person() -> None:
    assignment = choose_roles(study(*nineteen()))
    assert assignment.ambiguous == ()
    assert {role: number(assignment, role) for role in Role} == {
        Role.T1: 10, Role.T1C: 17, Role.T2: 9, Role.FLAIR: 13,
    }  # fmt: skip
    assert assignment.certainty(Role.FLAIR) is Certainty.LIKELY
    assert "chosen before series 18 (equal)" in assignment.choices[Role.FLAIR].reason


def test_of_two_equal_flair_the_one_before_contrast_is_likely_by_the_times_of_the_t1() -> None:
    t1s = series(3, "T1 tra", SE_T1), series(10, "T1 tra KM", SE_T1)
    early, late = series(2, "FLAIR tra", IR_FLAIR), series(11, "FLAIR tra", IR_FLAIR)
    for order in permutations((*t1s, early, late, series(9, "T2 tra", TSE_T2))):
        assignment = choose_roles(study(*order))
        assert number(assignment, Role.FLAIR) == 2
        assert "taken before contrast" in assignment.choices[Role.FLAIR].reason
    assert any("serves equally" in doubt for doubt in assignment.choices[Role.FLAIR].doubts)


def test_the_ranking_tells_when_each_was_acquired_and_on_which_side_of_contrast() -> None:
    t1s = series(3, "T1 tra", SE_T1), series(10, "T1 tra KM", SE_T1)
    flairs = series(2, "FLAIR tra", IR_FLAIR), series(11, "FLAIR tra", IR_FLAIR)
    assignment = choose_roles(study(*t1s, *flairs))
    told = {each.series_number: each for each in assignment.ranking[Role.FLAIR]}
    assert {number: each.against_contrast for number, each in told.items()} == {2: "before", 11: "after"}
    assert told[2].acquired < told[11].acquired
    assert assignment.ranking[Role.T1C][0].against_contrast == "after"


def test_without_contrast_the_one_nearest_to_the_others_is_taken() -> None:
    flairs = series(1, "FLAIR tra", IR_FLAIR), series(8, "FLAIR tra", IR_FLAIR)
    assignment = choose_roles(study(*flairs, series(6, "T2 tra", TSE_T2)))
    assert number(assignment, Role.FLAIR) == 8
    assert "nearest in time" in assignment.choices[Role.FLAIR].reason


def test_as_near_as_each_other_the_later_repeat_is_taken() -> None:
    flairs = series(4, "FLAIR tra", IR_FLAIR), series(8, "FLAIR tra", IR_FLAIR)
    assignment = choose_roles(study(*flairs, series(6, "T2 tra", TSE_T2)))
    assert number(assignment, Role.FLAIR) == 8
    assert "the later repeat" in assignment.choices[Role.FLAIR].reason


@pytest.mark.parametrize("first", ["T1 tra KM", "T1 tra abc post"], ids=["more words later", "a word of time"])
def test_two_t1_after_contrast_in_different_words_and_none_before_it_are_asked_about(first: str) -> None:
    t1s = series(3, first, SE_T1), series(10, "T1 tra xyz KM", SE_T1)
    assert choose_roles(study(*t1s)).certainty(Role.T1C) is Certainty.AMBIGUOUS


@pytest.mark.parametrize(
    ("first", "second"), [("KM sofort", "KM"), ("Gd early", "Gd"), ("contrast 1st", "contrast 2nd")]
)
@pytest.mark.parametrize("timed", [True, False])
def test_an_unknown_word_of_the_earlier_of_two_t1_after_contrast_denies_nothing(
    first: str, second: str, timed: bool
) -> None:
    everything = [series(7, f"T1 tra {first}", SE_T1), series(12, f"T1 tra {second}", SE_T1), series(5, "T2", TSE_T2)]
    if not timed:
        everything = [replace(each, acquired_at_s=None) for each in everything]
    assignment = choose_roles(study(*everything))
    assert Role.T1 not in assignment.choices
    assert assignment.certainty(Role.T1C) is Certainty.AMBIGUOUS


def test_a_lone_t1_with_an_agent_is_never_before_contrast() -> None:
    alone = series(3, "T1 tra", SE_T1, contrast_agent="GADOTERIDOLO")
    assert choose_roles(study(alone)).certainty(Role.T1C) is Certainty.LIKELY
    assert Role.T1 not in choose_roles(study(alone)).choices


@pytest.mark.parametrize(("at", "certainty"), [(2, Certainty.AMBIGUOUS), (9, Certainty.LIKELY)])
def test_an_agent_on_every_series_with_one_t1(at: int, certainty: Certainty) -> None:
    others = [series(4, "T2 tra", TSE_T2), series(5, "FLAIR tra", IR_FLAIR)]
    everything = [replace(each, contrast_agent="Vueway") for each in (series(at, "T1 tra", SE_T1), *others)]
    assignment = choose_roles(study(*everything))
    assert assignment.certainty(Role.T1C) is certainty
    assert Role.T1 not in assignment.choices


def test_slices_that_all_claim_one_position_are_named_as_wrong_headers() -> None:
    made = series(3, "T1 tra", SE_T1)
    wrong = replace(made, slices=tuple(replace(s, position=made.slices[0].position) for s in made.slices))
    reason = choose_roles(study(wrong)).set_aside[0].reason
    assert "all 24 slices have the same ImagePositionPatient" in reason
