"""What stands before the built-in rules: the rules of a site, its preference, and a person's word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from study_maker import IR_FLAIR, MPRAGE, SE_T1, THIN, TSE_T2, mr_series, study

from bt_node.assemble.naming import named_series
from bt_node.assemble.roles import choose_roles
from bt_node.config import RoleRule, Roles
from bt_node.domain.errors import AssignmentRefusedError
from bt_node.domain.study import Ambiguity, Assigned, Certainty, NamedVolume, Role, SeriesFacts, SetAside, StudyFacts

PRE = mr_series(3, "T1 tra", minute=3, **SE_T1)
POST = mr_series(9, "T1 tra KM", minute=9, **SE_T1)
ODD = mr_series(12, "t1_tse_s2", minute=12, manufacturer="SIEMENS Healthineers", station="MR2", **SE_T1)
T2 = mr_series(20, "T2 tra", minute=4, **TSE_T2)
FLAIR = mr_series(21, "FLAIR tra", minute=2, **IR_FLAIR)
ANN = "cli:ann"


def rule(match: dict[str, Any], **outcome: Any) -> Roles:
    return Roles(rules=(RoleRule.model_validate({"name": "our habit", "match": match} | outcome),))


MATCHES: list[dict[str, Any]] = [
    {"manufacturer": "siemens"},
    {"station": "mr2"},
    {"description": "^T1_.*_S2$"},
    {"te_ms": [12, 12], "station": "MR2"},
    {"tr_ms": [500, 600], "station": "MR2"},
]


@pytest.mark.parametrize("match", MATCHES, ids=" ".join)
def test_a_rule_gives_its_role_before_all_built_in_rules(match: dict[str, Any]) -> None:
    assignment = choose_roles(study(PRE, POST, ODD, T2, FLAIR), rule(match, role="T1C"))
    choice = assignment.choices[Role.T1C]
    assert choice.series.series_number == 12
    assert choice.reason.startswith('rule "our habit"')
    assert choice.certainty is Certainty.SURE
    assert "named by a rule" in next(e.reason for e in assignment.set_aside if e.series_number == 9)


@pytest.mark.parametrize(
    "match",
    [{"manufacturer": "ge"}, {"station": "MR"}, {"description": "s3"}, {"protocol": "x"}, {"te_ms": [1, 2]},
     {"station": "MR2", "ti_ms": [0, 9000]}],
    ids=str,
)  # fmt: skip
def test_a_rule_that_does_not_match_changes_nothing(match: dict[str, Any]) -> None:
    everything = study(PRE, POST, ODD, T2, FLAIR)
    assert choose_roles(everything, rule(match, role="T1C")) == choose_roles(everything)


def test_a_rule_may_take_a_series_out() -> None:
    assignment = choose_roles(study(PRE, POST, T2, FLAIR), rule({"description": "km"}, exclude=True))
    assert Role.T1C not in assignment.choices
    assert next(e.reason for e in assignment.set_aside if e.series_number == 9) == 'rule "our habit"'


def test_a_rule_may_use_what_the_built_in_rules_exclude_but_not_what_is_no_volume() -> None:
    reformat = mr_series(12, "T1 dynamic s2", minute=12, **SE_T1)
    by_rule = rule({"description": "s2"}, role="T1C")
    assert choose_roles(study(PRE, reformat), by_rule).choices[Role.T1C].series.series_number == 12
    picture = replace(reformat, modality="CT")
    assert choose_roles(study(PRE, picture), by_rule).missing == (Role.T1C, Role.T2, Role.FLAIR)


def test_a_series_with_contrast_by_rule_is_evidence_for_the_t1_after_it() -> None:
    later = mr_series(14, "T1 mprage", minute=14, **MPRAGE, **THIN)
    assignment = choose_roles(study(PRE, ODD, later), rule({"station": "MR2"}, role="T1C"))
    ranked = {entry.series_number: entry.reason for entry in assignment.ranking[Role.T1C]}
    assert "acquired after series 12" in ranked[14]


@pytest.mark.parametrize(("prefer", "number"), [("3d", 10), ("2d", 9), ("none", 10)])
def test_a_site_prefers_volumes_or_slices(prefer: str, number: int) -> None:
    volume = mr_series(10, "T1 mprage KM", plane="sagittal", minute=10, **MPRAGE, **THIN)
    site = Roles.model_validate({"prefer": prefer})
    assert choose_roles(study(PRE, POST, volume, T2, FLAIR), site).choices[Role.T1C].series.series_number == number


# ---------------------------------------------------------------- a person


def test_a_person_s_word_stands_before_everything() -> None:
    word = {Role.T1C: Assigned(ODD.series_instance_uid, ANN)}
    assignment = choose_roles(study(PRE, POST, ODD, T2, FLAIR), rule({"station": "MR2"}, exclude=True), word)
    choice = assignment.choices[Role.T1C]
    assert (choice.series.series_number, choice.certainty) == (12, Certainty.SURE)
    assert choice.reason.startswith("assigned by cli:ann")
    assert "assigned by cli:ann" in next(e.reason for e in assignment.set_aside if e.series_number == 9)
    assert assignment.ranking[Role.T1C][0].series_number == 12


def test_a_person_s_word_goes_before_the_rule_for_a_tie_and_the_other_roles_stay_with_the_rules() -> None:
    again = mr_series(22, "FLAIR tra", minute=3, **IR_FLAIR)
    everything = study(PRE, POST, T2, FLAIR, again)
    assert choose_roles(everything).choices[Role.FLAIR].series.series_number == 21
    settled = choose_roles(everything, assigned={Role.FLAIR: Assigned(again.series_instance_uid, ANN)})
    assert settled.ambiguous == ()
    assert {role: choice.series.series_number for role, choice in settled.choices.items()} == {
        Role.T1: 3, Role.T1C: 9, Role.T2: 20, Role.FLAIR: 22,
    }  # fmt: skip


def test_an_assigned_series_that_is_gone_leaves_the_choice_to_the_rules_and_is_named() -> None:
    assignment = choose_roles(study(PRE, POST, T2, FLAIR), assigned={Role.T1C: Assigned("1.9", ANN)})
    assert assignment.choices[Role.T1C].series.series_number == 9
    assert [e.reason for e in assignment.set_aside] == ["assigned to T1C by cli:ann, but not in the study any more"]


def test_an_assigned_series_that_now_holds_two_volumes_is_asked_about_again() -> None:
    twice = replace(ODD, echo_time_ms=90.0)
    word = {Role.T1C: Assigned(ODD.series_instance_uid, ANN)}
    assignment = choose_roles(study(PRE, POST, ODD, twice, T2, FLAIR), assigned=word)
    assert [type(question) for question in assignment.ambiguous] == [Ambiguity]
    assert sum(entry.series_number == 9 for entry in assignment.set_aside) == 1


def after_these(series: SeriesFacts, **changed: Any) -> SeriesFacts:
    """A second volume of the same series: its images come after those of `series`."""
    later = [
        replace(facts, sop_instance_uid=f"{facts.sop_instance_uid}.2", instance_number=100 + number)
        for number, facts in enumerate(series.slices)
    ]
    return replace(series, slices=tuple(later), **changed)


SECOND = after_these(ODD, echo_time_ms=90.0)
STUDY = StudyFacts("1.2", (PRE, POST, ODD, SECOND, T2), (SetAside("1.7", 77, "not an MR image (CT)", 3),))


def test_a_person_names_one_of_two_volumes_of_a_series() -> None:
    twin = after_these(POST, acquired_at_s=(POST.acquired_at_s or 0.0) + 60)
    everything = study(POST, twin, T2, FLAIR)
    named = named_series(everything, {Role.T1: "9:1", Role.T1C: "9:2"})
    words = {role: Assigned(volume.series_instance_uid, ANN, volume.image) for role, volume in named.items()}
    choices = choose_roles(everything, assigned=words).choices
    assert choices[Role.T1].series.slices == POST.slices
    assert choices[Role.T1C].series.slices == twin.slices


def test_the_volume_that_nobody_named_stays_with_the_rules() -> None:
    twin = after_these(POST)
    named = named_series(study(POST, twin, T2, FLAIR), {Role.T1C: "9:1"})[Role.T1C]
    word = {Role.T1C: Assigned(named.series_instance_uid, ANN, named.image)}
    assignment = choose_roles(study(PRE, POST, twin, T2, FLAIR), assigned=word)
    assert assignment.choices[Role.T1C].series.slices == POST.slices
    assert assignment.ambiguous == ()


def test_a_frame_of_a_multi_frame_image_names_its_volume() -> None:
    frames = [replace(facts, sop_instance_uid="1.9.9", frame=n) for n, facts in enumerate(POST.slices)]
    half = len(frames) // 2
    first, second = (replace(POST, slices=tuple(part)) for part in (frames[:half], frames[half:]))
    assert named_series(study(first, second), {Role.T1C: "9:2"}) == {
        Role.T1C: NamedVolume(POST.series_instance_uid, f"1.9.9/{half}")
    }


def test_series_are_named_by_number_or_uid() -> None:
    assert named_series(STUDY, {Role.T1: "3", Role.T1C: POST.series_instance_uid}) == {
        Role.T1: NamedVolume(PRE.series_instance_uid), Role.T1C: NamedVolume(POST.series_instance_uid),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({Role.T1C: "99"}, r"T1C: no series 99 in this study; its MR series are 3, 9, 12, 20"),
        ({Role.T1C: "77"}, r"series 77 is not an MR image \(CT\)"),
        ({Role.T1C: "12"}, r"series 12 holds 2 volumes; name one: 12:1 \(.*TE .*\); 12:2 \(.*TE 90 ms.*\)"),
        ({Role.T1C: "12:3"}, r"series 12 holds 2 volumes; name one"),
        ({Role.T1C: "9:2"}, r"series 9 holds 1 volume; name one: 9:1"),
        ({Role.T1: "12:1", Role.T1C: "12:1"}, r"T1C: series 12:1 is named for T1 already"),
        ({Role.T1: "3", Role.T1C: "3"}, r"T1C: series 3 is named for T1 already"),
        ({Role.T1: "99", Role.T2: "77"}, r"99.*77"),
    ],
)
def test_what_cannot_be_meant_is_refused_all_at_once(wanted: dict[Role, str], words: str) -> None:
    with pytest.raises(AssignmentRefusedError, match=words):
        named_series(STUDY, wanted)


def test_one_number_on_two_series_must_be_named_by_uid() -> None:
    with pytest.raises(AssignmentRefusedError, match=r"2 series have the number 9; name one by .*: 1\.2\.3\.9, 1\.5"):
        named_series(study(POST, replace(PRE, series_number=9, series_instance_uid="1.5")), {Role.T1C: "9"})
