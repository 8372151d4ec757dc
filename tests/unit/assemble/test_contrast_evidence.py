"""Evidence about contrast beyond words: administered or not, start of the injection, no agent, longer names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from study_maker import IR_FLAIR, MPRAGE, SE_T1, START_S, THIN, TSE_T2, mr_series, study

from bt_node.assemble.roles import choose_roles
from bt_node.domain.study import Certainty, Role, RoleAssignment, SeriesFacts

T2 = mr_series(20, "T2 tra", minute=4, **TSE_T2)
FLAIR = mr_series(21, "FLAIR tra", minute=5, **IR_FLAIR)


def t1(number: int, description: str = "T1 tra", **facts: Any) -> SeriesFacts:
    return mr_series(number, description, minute=number, **{**SE_T1, **facts})


def chosen(assignment: RoleAssignment, role: Role) -> tuple[int | None, Certainty]:
    return assignment.choices[role].series.series_number, assignment.certainty(role)


def test_frames_that_say_the_agent_was_administered_state_contrast() -> None:
    assignment = choose_roles(study(t1(3, contrast_given=False), t1(9, contrast_given=True), T2, FLAIR))
    assert chosen(assignment, Role.T1) == (3, Certainty.SURE)
    assert chosen(assignment, Role.T1C) == (9, Certainty.SURE)
    assert "ContrastBolusAgentAdministered says YES" in assignment.choices[Role.T1C].reason
    assert "ContrastBolusAgentAdministered says NO" in assignment.choices[Role.T1].reason


def test_no_on_every_series_and_yes_on_every_series_tell_nothing() -> None:
    for given in (False, True):
        everything = [replace(s, contrast_given=given) for s in (t1(3), t1(9), T2, FLAIR)]
        assignment = choose_roles(study(*everything))
        assert chosen(assignment, Role.T1C) == (9, Certainty.LIKELY)  # by order in time, as without the element


def test_words_against_the_element_are_put_to_a_person() -> None:
    told = t1(9, "T1 tra KM", contrast_given=False)
    other = mr_series(30, "FLAIR", minute=30, contrast_given=True, **IR_FLAIR)
    assert choose_roles(study(told, other, T2)).certainty(Role.T1C) is Certainty.AMBIGUOUS


@pytest.mark.parametrize(
    "agent",
    [
        *["Buscopan 20mg", "NaCl 0.9%", "keine", "ohne KM", "SIN CONTRASTE", "нет", "无", "not given"],
        *["aucun", "kein KM", "sans produit", "0 ml", "0,0", "ingen", "無", "žádný", "None.", "no agent"],
    ],
)
def test_what_is_no_contrast_agent_is_no_evidence(agent: str) -> None:
    assignment = choose_roles(study(t1(9, contrast_agent=agent), T2, FLAIR))
    assert Role.T1C not in assignment.choices


@pytest.mark.parametrize(
    "agent",
    [
        "Gadovist",
        "8 ml Dotarem",
        "GADOTERIC ACID",
        "Prohance",
        "CONTRAST",
        "Vueway",
        "produit de contraste",
        "0.1 mmol/kg Gd",
    ],
)
def test_an_agent_is_evidence(agent: str) -> None:
    assert chosen(choose_roles(study(t1(3), t1(9, contrast_agent=agent), T2, FLAIR)), Role.T1C) == (9, Certainty.SURE)


def injected(minute: float, *series: SeriesFacts) -> RoleAssignment:
    start = START_S + 60.0 * minute
    return choose_roles(study(*(replace(s, contrast_started_at_s=start) for s in series)))


def test_the_start_of_the_injection_parts_t1_that_are_no_twins() -> None:
    before, after = t1(3), mr_series(9, "T1 mprage", minute=9, **MPRAGE, **THIN)
    assignment = injected(6, before, after, T2, FLAIR)
    assert chosen(assignment, Role.T1) == (3, Certainty.LIKELY)
    assert chosen(assignment, Role.T1C) == (9, Certainty.LIKELY)
    assert "ContrastBolusStartTime" in assignment.doubts[0]


@pytest.mark.parametrize("minute", [-30, 60])
def test_a_start_outside_the_examination_tells_nothing(minute: float) -> None:
    before, after = t1(3), mr_series(9, "T1 mprage", minute=9, **MPRAGE, **THIN)
    assert Role.T1C not in injected(minute, before, after, T2, FLAIR).choices


def test_starts_that_differ_tell_nothing() -> None:
    before = replace(t1(3), contrast_started_at_s=START_S + 60.0)
    after = mr_series(9, "T1 mprage", minute=9, contrast_started_at_s=START_S + 400.0, **MPRAGE, **THIN)
    assert Role.T1C not in choose_roles(study(before, after, T2, FLAIR)).choices


def test_a_later_equal_t1_with_a_longer_name_is_likely_after_contrast() -> None:
    assignment = choose_roles(study(t1(3), t1(9, "T1 tra xyz"), T2, FLAIR))
    assert chosen(assignment, Role.T1) == (3, Certainty.LIKELY)
    assert chosen(assignment, Role.T1C) == (9, Certainty.LIKELY)


@pytest.mark.parametrize(
    ("description", "facts"),
    [("T1 tra rpt", {}), ("T1 tra fs", {}), ("T1 tra xyz", {"echo_time_ms": 20.0}), ("T1 xyz", {})],
    ids=["repeated", "fat saturated", "other settings", "other name"],
)
def test_a_longer_name_that_means_something_else_is_not(description: str, facts: dict[str, Any]) -> None:
    assert Role.T1C not in choose_roles(study(t1(3), t1(9, description, **facts), T2, FLAIR)).choices


def test_an_earlier_t1_with_a_longer_name_is_not_after_contrast() -> None:
    assert Role.T1C not in choose_roles(study(t1(3, "T1 tra xyz"), t1(9), T2, FLAIR)).choices


def test_an_examination_called_without_contrast_is_asked_about_where_order_says_otherwise() -> None:
    pair = (t1(3), t1(9), T2, FLAIR)
    plain = choose_roles(study(*(replace(s, study_description="MRI BRAIN W/O CONTRAST") for s in pair)))
    assert plain.certainty(Role.T1C) is Certainty.AMBIGUOUS
    assert "examination without contrast" in plain.ambiguous[0].candidates[0]
    both = choose_roles(study(*(replace(s, study_description="MRI BRAIN W AND W/O CONTRAST") for s in pair)))
    assert chosen(both, Role.T1C) == (9, Certainty.LIKELY)


# ---------------------------------------------------------------- which of several


def test_reconstructions_of_one_acquisition_need_no_person() -> None:
    again = mr_series(22, "RECON DL FLAIR tra", minute=5, **IR_FLAIR)
    assignment = choose_roles(study(FLAIR, again, T2))
    assert chosen(assignment, Role.FLAIR) == (21, Certainty.SURE)
    assert "same acquisition" in next(e.reason for e in assignment.set_aside if e.series_number == 22)


def test_times_made_equal_by_de_identification_do_not_make_one_acquisition() -> None:
    again = mr_series(22, "FLAIR tra", minute=9, **IR_FLAIR)
    everything = [replace(s, acquired_at_s=START_S) for s in (FLAIR, again, T2)]
    assignment = choose_roles(study(*everything))
    assert chosen(assignment, Role.FLAIR) == (21, Certainty.LIKELY)
    assert "nearest in time to the other series, by SeriesNumber" in assignment.choices[Role.FLAIR].reason


def test_a_series_that_says_it_repeats_another_is_taken_and_marked() -> None:
    again = mr_series(22, "FLAIR tra rpt", minute=9, **IR_FLAIR)
    assignment = choose_roles(study(FLAIR, again, T2))
    assert chosen(assignment, Role.FLAIR) == (22, Certainty.LIKELY)
    assert "repeats another" in assignment.doubts[0]


def test_of_equal_candidates_after_contrast_the_one_with_a_twin_before_is_preferred() -> None:
    same = t1(9, "T1 tra KM")
    other = t1(8, "T1 tra KM", repetition_time_ms=700.0)
    assert chosen(choose_roles(study(t1(3, "T1 tra nativ"), other, same, T2, FLAIR)), Role.T1C) == (9, Certainty.SURE)


@pytest.mark.parametrize(("sooner", "later"), [("2min", "10 min"), ("early", "late"), ("", "delayed")])
def test_of_equal_t1_after_contrast_the_sooner_is_taken(sooner: str, later: str) -> None:
    first, second = t1(9, f"T1 tra KM {sooner}"), t1(14, f"T1 tra KM {later}")
    assignment = choose_roles(study(t1(3, "T1 tra nativ"), second, first, T2, FLAIR))
    assert chosen(assignment, Role.T1C) == (9, Certainty.SURE)
    assert "sooner" in next(e.reason for e in assignment.set_aside if e.series_number == 14)


AGENT: dict[str, Any] = {"contrast_agent": "Gadobutrol"}
SAGITTAL = t1(1, "T1 sag", plane="sagittal")


@pytest.mark.parametrize("last", ["T1 tra", "T1 tra KM"])
@pytest.mark.parametrize("early", [{**MPRAGE, **THIN}, SE_T1])
def test_an_agent_typed_in_before_the_injection_is_not_taken_for_contrast(early: dict[str, Any], last: str) -> None:
    typed_early = mr_series(2, "T1 tra", minute=2, **early, **AGENT)
    assignment = choose_roles(study(SAGITTAL, typed_early, t1(9, last, **AGENT), T2, FLAIR))
    assert chosen(assignment, Role.T1C) == (9, Certainty.SURE)
    second = assignment.ranking[Role.T1C][1]
    assert second.series_number == 2
    assert "filled in before the injection" in second.doubts[0]


def test_an_agent_stays_sure_where_the_equal_without_it_came_before() -> None:
    after = mr_series(8, "T1 tra", minute=8, **MPRAGE, **THIN, **AGENT)
    before = mr_series(2, "T1 tra", minute=2, **MPRAGE, **THIN)
    assignment = choose_roles(study(before, after, t1(9, **AGENT), T2, FLAIR))
    assert chosen(assignment, Role.T1C) == (8, Certainty.SURE)


def test_agents_without_times_leave_a_doubt() -> None:
    several = [replace(one, acquired_at_s=None) for one in (SAGITTAL, t1(8, **AGENT), t1(9, **AGENT, echo_time_ms=8))]
    assert Certainty.SURE not in {
        choose_roles(study(*several, T2, FLAIR)).certainty(role) for role in (Role.T1, Role.T1C)
    }


@pytest.mark.parametrize(
    "words",
    [
        "post treatment",
        "post resection",
        "post-gamma knife",
        "post ictal",
        "pre SRS",
        "pre-radiation",
        "high contrast",
    ],
)
def test_other_events_and_other_contrasts_state_nothing(words: str) -> None:
    assignment = choose_roles(study(SAGITTAL, t1(9, f"T1 tra {words}"), T2, FLAIR))
    choices = [assignment.choices[role] for role in (Role.T1, Role.T1C) if role in assignment.choices]
    assert all(choice.certainty is Certainty.LIKELY for choice in choices)


@pytest.mark.parametrize("words", ["post stealth", "post", "post contrast", "contrast"])
def test_contrast_words_still_state_it(words: str) -> None:
    assignment = choose_roles(study(SAGITTAL, t1(9, f"T1 tra {words}"), T2, FLAIR))
    assert chosen(assignment, Role.T1C) == (9, Certainty.SURE)


TWO_DAYS_MIN = 2 * 24 * 60.0


def test_contrast_of_another_day_is_washed_out() -> None:
    told = t1(9, "T1 tra KM")
    next_visit = mr_series(12, "T1 sag", minute=TWO_DAYS_MIN, plane="sagittal", **SE_T1)
    assignment = choose_roles(study(told, next_visit, T2, FLAIR))
    assert chosen(assignment, Role.T1C) == (9, Certainty.SURE)
    assert chosen(assignment, Role.T1) == (12, Certainty.LIKELY)


def test_equal_acquisitions_of_two_days_are_not_before_and_after() -> None:
    assignment = choose_roles(study(t1(3), mr_series(9, "T1 tra", minute=TWO_DAYS_MIN, **SE_T1), T2, FLAIR))
    assert Role.T1C not in assignment.choices
