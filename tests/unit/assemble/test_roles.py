"""The traps of choosing: what has no words, what has several candidates, and what must stay unanswered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_maker import EPI, FFE_2D, IR_FLAIR, MPRAGE, SE_T1, THIN, TSE_T2, mr_series, study

from bt_node.assemble.roles import choose_roles
from bt_node.domain.errors import RolesAmbiguousError, RolesMissingError
from bt_node.domain.study import Role, RoleAssignment, SeriesFacts, SetAside, StudyFacts

T2 = mr_series(20, "T2 tra", minute=4, **TSE_T2)
FLAIR = mr_series(21, "FLAIR tra", minute=2, **IR_FLAIR)


def chosen_numbers(assignment: RoleAssignment) -> dict[Role, int | None]:
    return {role: choice.series.series_number for role, choice in assignment.choices.items()}


def reason_of(assignment: RoleAssignment, number: int) -> str:
    return next(entry.reason for entry in assignment.set_aside if entry.series_number == number)


def test_of_equal_t1_that_name_no_contrast_the_later_is_after_contrast() -> None:
    early, late = (mr_series(n, "T1W_FFE tra", minute=m, **FFE_2D) for n, m in ((601, 10), (801, 15.5)))
    assignment = choose_roles(study(late, T2, FLAIR, early))
    assert chosen_numbers(assignment) == {Role.T1: 601, Role.T1C: 801, Role.T2: 20, Role.FLAIR: 21}
    reason = assignment.choices[Role.T1C].reason
    assert "5 min 30 s after series 601" in reason
    assert "later one is after contrast" in reason


def test_time_counts_before_the_series_number() -> None:
    early, late = (mr_series(n, "T1 tra", minute=m, **SE_T1) for n, m in ((9, 10), (3, 20)))
    assert chosen_numbers(choose_roles(study(early, late)))[Role.T1C] == 3


@pytest.mark.parametrize("time", [None, 0.0], ids=["absent", "all made equal"])
def test_without_usable_times_the_series_number_orders_twins_and_the_reason_says_so(time: float | None) -> None:
    series = [
        replace(s, acquired_at_s=time)
        for s in (mr_series(5, "T1 tra", **SE_T1), mr_series(3, "T1 tra", **SE_T1), T2, FLAIR)
    ]
    assignment = choose_roles(study(*series))
    assert chosen_numbers(assignment)[Role.T1] == 3
    assert chosen_numbers(assignment)[Role.T1C] == 5
    assert "acquisition times are not usable" in assignment.choices[Role.T1C].reason


def test_two_reconstructions_of_one_acquisition_are_not_before_and_after() -> None:
    plain = mr_series(3, "t1_tse_tra", minute=3, **SE_T1)
    corrected = mr_series(
        4, "t1_tse_tra", minute=3, **SE_T1, image_type=("ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D")
    )
    assignment = choose_roles(study(plain, corrected, T2, FLAIR))
    assert assignment.missing == (Role.T1C,)
    assert assignment.choices[Role.T1].series.series_number == 4
    assert "corrected" in reason_of(assignment, 3)


def test_a_single_t1_without_contrast_evidence_is_t1_and_t1c_is_missing() -> None:
    assignment = choose_roles(study(mr_series(9, "T1 tra", minute=30, **SE_T1), T2, FLAIR))
    assert chosen_numbers(assignment)[Role.T1] == 9
    assert assignment.missing == (Role.T1C,)
    with pytest.raises(RolesMissingError, match="T1C"):
        assignment.require(tuple(Role))


def test_different_t1_sequences_without_contrast_words_are_never_called_before_and_after() -> None:
    assignment = choose_roles(
        study(mr_series(3, "T1 se", **SE_T1), mr_series(9, "T1 mprage", **MPRAGE, **THIN), T2, FLAIR)
    )
    assert assignment.missing == (Role.T1C,)


def test_of_three_equal_t1_the_middle_one_is_left_out_because_nobody_knows() -> None:
    series = [mr_series(n, "T1 tra", minute=n, **SE_T1) for n in (10, 12, 14)]
    assignment = choose_roles(study(*series, T2, FLAIR))
    assert chosen_numbers(assignment)[Role.T1] == 10
    assert chosen_numbers(assignment)[Role.T1C] == 14
    assert "not known" in reason_of(assignment, 12)


def test_a_t1_after_a_stated_contrast_series_is_after_contrast_too() -> None:
    stated = mr_series(10, "T1 cor +C", plane="coronal", minute=10, **SE_T1)
    silent = mr_series(11, "T1 mprage", minute=11, **MPRAGE, **THIN)
    before = mr_series(5, "T1 tra", minute=5, **SE_T1)
    assignment = choose_roles(study(before, stated, silent, T2, FLAIR))
    assert chosen_numbers(assignment)[Role.T1] == 5
    assert chosen_numbers(assignment)[Role.T1C] == 10
    assert "surer evidence" in reason_of(assignment, 11)


def test_a_bolus_perfusion_proves_that_later_t1_are_after_contrast() -> None:
    before, after = mr_series(5, "T1 se", minute=5, **SE_T1), mr_series(12, "T1 mprage", minute=12, **MPRAGE, **THIN)
    perfusion = mr_series(10, "ep2d_perf", minute=10, **EPI)
    assignment = choose_roles(study(before, perfusion, after, T2, FLAIR))
    assert chosen_numbers(assignment)[Role.T1C] == 12
    assert "bolus perfusion" in assignment.choices[Role.T1C].reason


@pytest.mark.parametrize("name", ["ep2d_pasl", "ep2d_tra_pasl perf", "Perfusion_Weighted"])
def test_a_perfusion_that_may_be_spin_labelling_proves_no_injection(name: str) -> None:
    before, after = mr_series(5, "T1 se", minute=5, **SE_T1), mr_series(12, "T1 mprage", minute=12, **MPRAGE, **THIN)
    perfusion = mr_series(10, name, minute=10, **EPI)
    assert Role.T1C not in choose_roles(study(before, perfusion, after, T2, FLAIR)).choices


def test_an_agent_written_on_every_series_tells_nothing() -> None:
    series = [
        replace(s, contrast_agent="DOTAREM")
        for s in (mr_series(3, "T1", minute=3, **SE_T1), mr_series(9, "T1", minute=9, **SE_T1), T2, FLAIR)
    ]
    assignment = choose_roles(study(*series))
    assert chosen_numbers(assignment) == {Role.T1: 3, Role.T1C: 9, Role.T2: 20, Role.FLAIR: 21}


@pytest.mark.parametrize("value", ["NONE", "no", "N/A", " ", "ohne"])
def test_an_agent_that_says_none_is_no_agent(value: str) -> None:
    single = mr_series(9, "T1 tra", **SE_T1, contrast_agent=value)
    assert Role.T1C not in choose_roles(study(single, T2, FLAIR)).choices


def test_words_that_contradict_the_agent_are_not_resolved_by_guessing() -> None:
    odd = mr_series(9, "T1 tra nativ", **SE_T1, contrast_agent="GADOVIST")
    assignment = choose_roles(study(odd, T2, FLAIR))
    assert [ambiguity.role for ambiguity in assignment.ambiguous] == [Role.T1, Role.T1C]
    with pytest.raises(RolesAmbiguousError, match="series 9"):
        assignment.require(tuple(Role))
    assert "ContrastBolusAgent" in reason_of(assignment, 9)


def test_a_protocol_name_that_names_the_examination_says_nothing_about_a_series() -> None:
    series = [
        replace(s, protocol_name="BRAIN WITH CONTRAST") for s in (mr_series(3, "AX T1", minute=3, **SE_T1), T2, FLAIR)
    ]
    assignment = choose_roles(study(*series))
    assert chosen_numbers(assignment)[Role.T1] == 3
    assert assignment.missing == (Role.T1C,)


def test_of_two_equal_t1_before_their_named_twin_the_one_nearest_to_the_others_is_likely() -> None:
    first, again = (mr_series(n, "T1 tra", minute=n, **SE_T1) for n in (3, 4))
    named = mr_series(9, "T1 tra +C", minute=9, **SE_T1)
    assignment = choose_roles(study(first, again, named, T2, FLAIR))
    assert chosen_numbers(assignment)[Role.T1C] == 9
    assert chosen_numbers(assignment)[Role.T1] == 4
    assert "another series serves equally" in assignment.choices[Role.T1].doubts[-1]


def test_a_protocol_name_of_its_own_names_a_series_without_description() -> None:
    named = mr_series(9, "", **SE_T1, protocol_name="T1_SE_TRA_KM")
    assert chosen_numbers(choose_roles(study(named, T2, FLAIR)))[Role.T1C] == 9


def test_two_equal_flair_of_different_slabs_are_ambiguous_and_name_both() -> None:
    lower = mr_series(22, "FLAIR tra", minute=3, **IR_FLAIR)
    moved = [replace(s, position=(s.position[0], s.position[1], s.position[2] - 100)) for s in lower.slices]
    again = replace(lower, slices=tuple(moved))
    assignment = choose_roles(study(FLAIR, again, T2))
    assert Role.FLAIR not in assignment.choices
    assert [a.role for a in assignment.ambiguous] == [Role.FLAIR]
    assert all(str(n) in " ".join(assignment.ambiguous[0].candidates) for n in (21, 22))
    with pytest.raises(RolesAmbiguousError):
        assignment.require((Role.FLAIR,))


def test_a_flair_before_contrast_is_preferred_to_one_after() -> None:
    after = mr_series(30, "FLAIR tra +C", minute=30, **IR_FLAIR)
    assignment = choose_roles(study(FLAIR, after))
    assert chosen_numbers(assignment)[Role.FLAIR] == 21
    assert "before contrast" in reason_of(assignment, 30)


@pytest.mark.parametrize(
    ("better", "worse", "phrase"),
    [
        ({"plane": "sagittal", **MPRAGE, **THIN}, {**SE_T1}, "3D"),
        ({**SE_T1}, {"plane": "coronal", **SE_T1}, "axial"),
        ({**SE_T1}, {"slices": 10, **SE_T1}, "more of the head"),
        ({**SE_T1}, {"pixel_mm": 1.3, **SE_T1}, "finer"),
        ({**SE_T1}, {"image_type": ("DERIVED", "PRIMARY"), **SE_T1}, "original"),
        ({**SE_T1}, {"scan_options": ("FS",), **SE_T1}, "fat"),
    ],
)
def test_of_several_candidates_the_better_is_preferred_and_the_reason_names_why(
    better: dict[str, object], worse: dict[str, object], phrase: str
) -> None:
    one, other = (mr_series(n, "T1 post", minute=9, **facts) for n, facts in ((8, better), (9, worse)))
    assignment = choose_roles(study(other, one))
    assert chosen_numbers(assignment)[Role.T1C] == 8
    assert phrase in reason_of(assignment, 9)


def test_a_series_with_a_gap_loses_to_an_even_one() -> None:
    whole = mr_series(9, "T2 tra", minute=9, **TSE_T2)
    broken = replace(whole, series_instance_uid="x", series_number=8, slices=whole.slices[:5] + whole.slices[6:])
    assignment = choose_roles(study(broken, whole))
    assert chosen_numbers(assignment)[Role.T2] == 9
    assert "evenly spaced" in reason_of(assignment, 8)


def test_what_could_not_be_read_stays_in_the_list() -> None:
    facts = StudyFacts("1.2", (T2,), (SetAside("1.9", 99, "not an MR image (CT)", 3),))
    assert reason_of(choose_roles(facts), 99).startswith("not an MR image")


def test_an_empty_study_lacks_all_four() -> None:
    assert choose_roles(study()).missing == tuple(Role)


SECRET = "DoeJane19700101"
WHOLE_STUDY: list[SeriesFacts] = [
    mr_series(1, f"localizer {SECRET}", **FFE_2D),
    mr_series(3, f"{SECRET} T1 tra", minute=3, **SE_T1),
    mr_series(4, f"T1 tra {SECRET}", minute=9, **SE_T1),
    mr_series(5, f"T1 tra +C {SECRET}", minute=12, **MPRAGE, **THIN, contrast_agent=SECRET),
    mr_series(6, SECRET, minute=14, protocol_name=SECRET),
    mr_series(7, f"dwi {SECRET}", **EPI, body_part="BRAIN"),
    mr_series(None, f"FLAIR {SECRET}", uid="1.2.3.77", minute=15, **IR_FLAIR),
    T2,
    FLAIR,
]


@given(st.permutations(WHOLE_STUDY))
@settings(max_examples=25, deadline=None)
def test_the_order_of_arrival_never_matters(series: list[SeriesFacts]) -> None:
    assert choose_roles(study(*series)) == choose_roles(study(*WHOLE_STUDY))


def test_each_series_has_one_end_and_no_free_text_is_in_any_reason() -> None:
    assignment = choose_roles(study(*WHOLE_STUDY))
    used = [choice.series.series_instance_uid for choice in assignment.choices.values()]
    ends = used + [entry.series_instance_uid for entry in assignment.set_aside]
    assert sorted(ends) == sorted(s.series_instance_uid for s in WHOLE_STUDY)
    spoken = [c.reason for c in assignment.choices.values()] + [e.reason for e in assignment.set_aside]
    spoken += [text for a in assignment.ambiguous for text in a.candidates]
    assert all(spoken)
    assert not [text for text in spoken if "doejane" in text.lower() or "1970" in text]


@pytest.mark.parametrize("word", ["SUB", "M_SUB", "SUBTRACTION", "UNI", "INV1", "ADC", "TRACEW", "MPR", "LOCALIZER"])
def test_image_types_of_what_was_made_from_others_take_no_role(word: str) -> None:
    made = mr_series(3, "T1 tra", **SE_T1, image_type=("DERIVED", "PRIMARY", "M", word))
    assignment = choose_roles(study(made))
    assert assignment.missing == tuple(Role)
    assert assignment.set_aside[0].reason.startswith("ImageType says")


@pytest.mark.parametrize("description", ["T1 syMRI", "QMAP T2", "T2 SyMaps", "Synthetic T2 FLAIR"])
def test_maps_and_synthetic_images_take_no_role(description: str) -> None:
    assert choose_roles(study(mr_series(3, description, **TSE_T2))).missing == tuple(Role)


def test_a_series_of_mixed_matrices_stands_behind_one_that_can_be_stacked() -> None:
    broken = mr_series(10, "T1 3D KM", **MPRAGE, **THIN)
    broken = replace(broken, slices=(replace(broken.slices[0], rows=128, columns=128), *broken.slices[1:]))
    whole = mr_series(9, "T1 tra KM", **SE_T1)
    assignment = choose_roles(study(broken, whole, mr_series(3, "T1 tra", **SE_T1), T2, FLAIR))
    assert chosen_numbers(assignment)[Role.T1C] == 9
    assert "one matrix" in reason_of(assignment, 10)
