"""Sure, likely, ambiguous, missing: what keeps a choice from being sure, and what only a person can tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from study_maker import EPI, FLAIR_3D, IR_FLAIR, MPRAGE, SE_T1, THIN, TSE_T2, mr_series, study

from bt_node.assemble.roles import choose_roles
from bt_node.domain.errors import RolesAmbiguousError
from bt_node.domain.study import Certainty, Role, RoleAssignment, SeriesFacts

PRE = mr_series(3, "T1 tra nativ", minute=3, **SE_T1)
POST = mr_series(9, "T1 tra KM", minute=9, **SE_T1)
T2 = mr_series(20, "T2 tra", minute=4, **TSE_T2)
FLAIR = mr_series(21, "FLAIR tra", minute=2, **IR_FLAIR)
SURE, LIKELY = Certainty.SURE, Certainty.LIKELY
AMBIGUOUS, MISSING = Certainty.AMBIGUOUS, Certainty.MISSING


def outcome(*series: SeriesFacts) -> dict[Role, Certainty]:
    assignment = choose_roles(study(*series))
    return {role: assignment.certainty(role) for role in Role}


def doubts(assignment: RoleAssignment, role: Role) -> str:
    return " ".join(assignment.choices[role].doubts)


def test_words_that_timing_confirms_are_sure() -> None:
    assert set(outcome(PRE, POST, T2, FLAIR).values()) == {SURE}


def test_what_is_not_there_is_missing() -> None:
    assert outcome(PRE, POST, T2)[Role.FLAIR] is MISSING


def test_equal_acquisitions_that_only_time_tells_apart_are_likely() -> None:
    """Nothing says that contrast was given at all: the second may be a repetition because of motion."""
    found = outcome(*(mr_series(n, "T1 tra", minute=n, **SE_T1) for n in (3, 9)), T2, FLAIR)
    assert (found[Role.T1], found[Role.T1C]) == (LIKELY, LIKELY)


def test_series_numbers_alone_are_likely_and_said() -> None:
    series = [replace(mr_series(n, "T1 tra", **SE_T1), acquired_at_s=None) for n in (3, 9)]
    assignment = choose_roles(study(*series))
    assert "only SeriesNumber" in doubts(assignment, Role.T1C)
    assert assignment.doubts[1].startswith("T1C is likely, not sure: ")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({**TSE_T2, "echo_time_ms": None, "repetition_time_ms": None}, "timing does not confirm"),
        ({**TSE_T2, "slices": 12}, "part of the head"),
    ],
)
def test_weak_evidence_goes_on_with_the_doubt_named(facts: dict[str, Any], words: str) -> None:
    assignment = choose_roles(study(PRE, POST, mr_series(20, "T2 tra", minute=4, **facts), FLAIR))
    assert assignment.certainty(Role.T2) is LIKELY
    assert words in doubts(assignment, Role.T2)


def test_timing_without_words_is_likely() -> None:
    assignment = choose_roles(study(PRE, POST, mr_series(20, "", minute=4, **TSE_T2), FLAIR))
    assert "no word names it" in doubts(assignment, Role.T2)


def test_a_local_protocol_is_never_sure() -> None:
    orbit = mr_series(9, "T1 orbits post gd", minute=9, **SE_T1)
    assert outcome(PRE, orbit, T2, FLAIR)[Role.T1C] is LIKELY


def test_a_t2_of_long_tr_may_be_a_flair_without_its_ti() -> None:
    unknown = {**TSE_T2, "repetition_time_ms": 9000.0, "scanning_sequence": ()}
    assert outcome(PRE, POST, mr_series(20, "T2 tra", minute=4, **unknown), FLAIR)[Role.T2] is LIKELY
    spin_echo = {**TSE_T2, "repetition_time_ms": 9000.0}
    assert outcome(PRE, POST, mr_series(20, "T2 tra", minute=4, **spin_echo), FLAIR)[Role.T2] is SURE


def test_tirm_names_both_stir_and_flair_so_timing_must_tell() -> None:
    tirm = mr_series(21, "t2_tirm_tra", minute=2, **IR_FLAIR)
    assert outcome(PRE, POST, T2, tirm)[Role.FLAIR] is LIKELY
    silent = mr_series(21, "t2_tirm_tra", minute=2)
    assert outcome(PRE, POST, silent)[Role.T2] is MISSING


def test_a_short_effective_echo_time_of_a_named_flair_is_no_doubt() -> None:
    cube = mr_series(21, "Sag CUBE FLAIR", minute=2, **{**FLAIR_3D, "echo_time_ms": 46.0}, **THIN)
    assert outcome(PRE, POST, T2, cube)[Role.FLAIR] is SURE


def test_a_silent_t1_is_sure_when_its_twin_names_contrast_and_came_later() -> None:
    silent = mr_series(3, "T1 tra", minute=3, **SE_T1)
    assert outcome(silent, POST, T2, FLAIR)[Role.T1] is SURE
    other = mr_series(3, "T1 mprage", minute=3, **MPRAGE, **THIN)
    assert outcome(other, POST, T2, FLAIR)[Role.T1] is LIKELY


def test_the_twin_that_names_contrast_but_has_no_time_leaves_a_doubt() -> None:
    untimed = [replace(s, acquired_at_s=None) for s in (mr_series(3, "T1 tra", **SE_T1), POST, T2, FLAIR)]
    found = outcome(*untimed)
    assert (found[Role.T1], found[Role.T1C]) == (LIKELY, SURE)


def test_a_claim_to_be_before_contrast_that_time_refutes_is_put_to_a_person() -> None:
    late_native = mr_series(12, "T1 tra nativ", minute=12, **SE_T1)
    assignment = choose_roles(study(POST, late_native, T2, FLAIR))
    assert assignment.certainty(Role.T1) is AMBIGUOUS
    assert assignment.certainty(Role.T1C) is AMBIGUOUS  # the two may be exchanged
    with pytest.raises(RolesAmbiguousError, match=r"T1: series 9 .*series 12 .*acquired after series 9"):
        assignment.require(tuple(Role))


def test_a_claim_that_time_refutes_leaves_a_doubt_where_another_t1_is_clearly_before() -> None:
    late_native = mr_series(12, "T1 tra nativ", minute=12, **SE_T1)
    found = outcome(PRE, POST, late_native, T2, FLAIR)
    assert (found[Role.T1], found[Role.T1C]) == (SURE, LIKELY)


def test_the_next_day_contrast_is_washed_out() -> None:
    next_day = mr_series(12, "T1 tra nativ", minute=24 * 60, **SE_T1)
    assert outcome(POST, next_day, T2, FLAIR)[Role.T1] is SURE


def test_an_agent_on_each_of_two_t1_tells_nothing_about_either() -> None:
    both = [mr_series(n, "T1 tra", minute=n, contrast_agent="GD", **SE_T1) for n in (3, 9)]
    assignment = choose_roles(study(*both, T2, FLAIR))
    assert assignment.choices[Role.T1C].series.series_number == 9
    assert assignment.certainty(Role.T1C) is LIKELY


def test_an_agent_on_the_only_t1_is_likely_and_beside_a_t1_without_it_sure() -> None:
    alone = mr_series(9, "T1 tra", minute=9, contrast_agent="GD", **SE_T1)
    assert outcome(alone, T2, FLAIR)[Role.T1C] is LIKELY
    assert outcome(PRE, alone, T2, FLAIR)[Role.T1C] is SURE


def test_a_bolus_perfusion_leaves_a_doubt() -> None:
    perfusion = mr_series(7, "ep2d_perf", minute=7, **EPI)
    after = mr_series(9, "T1 mprage", minute=9, **MPRAGE, **THIN)
    assert outcome(PRE, perfusion, after, T2, FLAIR)[Role.T1C] is LIKELY


def test_words_against_timing_are_put_to_a_person_when_nothing_else_takes_the_role() -> None:
    lie = mr_series(20, "T2 tra", minute=4, **SE_T1)
    assignment = choose_roles(study(PRE, POST, lie, FLAIR))
    assert assignment.certainty(Role.T2) is AMBIGUOUS
    assert "series 20" in assignment.ambiguous[0].candidates[0]
    assert outcome(PRE, POST, lie, T2, FLAIR)[Role.T2] is SURE


def test_the_ranking_names_what_beat_what() -> None:
    coronal = mr_series(10, "T1 cor KM", plane="coronal", minute=10, **SE_T1)
    first, second = choose_roles(study(PRE, POST, coronal, T2, FLAIR)).ranking[Role.T1C]
    assert (first.place, first.series_number, first.beaten_by) == (1, 9, "")
    assert (second.place, second.beaten_by) == (2, "series 9: 3D before axial before other planes")
    assert "description says KM" in second.reason
