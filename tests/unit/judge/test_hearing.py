"""Headers and images together: agreement passes, doubt is written down, contradiction asks a person."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_maker import IR_FLAIR, SE_T1, TSE_T2, mr_series, study

from bt_node.assemble.roles import choose_roles
from bt_node.domain.errors import Hold, RolesContradictedError
from bt_node.domain.study import Certainty, Role, RoleAssignment
from bt_node.judge.hearing import hear
from bt_node.judge.witness import NO_CONTRAST, Statement

SURE = choose_roles(
    study(
        mr_series(3, "T1 tra", **SE_T1),
        mr_series(9, "T1 tra +Gd", contrast_agent="Gadovist", **SE_T1),
        mr_series(4, "T2 tra", **TSE_T2),
        mr_series(5, "FLAIR tra", **IR_FLAIR),
    )
)
AGREE = {role: Statement(role, frozenset({role}), "as it should be") for role in Role}


def looks(role: Role, *like: Role) -> dict[Role, Statement]:
    return {role: Statement(role, frozenset(like), "what was seen")}


def likely(assignment: RoleAssignment, role: Role) -> RoleAssignment:
    choice = replace(assignment.choices[role], doubts=("only words name its weighting",))
    return replace(assignment, choices={**assignment.choices, role: choice})


def test_agreement_and_silence_change_nothing() -> None:
    assert hear(SURE, AGREE) == SURE
    assert hear(SURE, {role: Statement(role) for role in Role}) == SURE


@pytest.mark.parametrize(("one", "other"), [(Role.T1, Role.T1C), (Role.T2, Role.FLAIR)])
def test_exchanged_images_hold_even_sure_headers_and_the_message_says_what_to_do(one: Role, other: Role) -> None:
    with pytest.raises(RolesContradictedError) as held:
        hear(SURE, AGREE | looks(one, other) | looks(other, one))
    assert isinstance(held.value, Hold)
    assert held.value.roles == (one.value, other.value)
    numbers = {role: SURE.choices[role].series.series_number for role in Role}
    text = str(held.value)
    assert f"series {numbers[one]}, chosen as {one}, looks like {other} (what was seen)" in text
    assert f"bt-node jobs assign ID --{one.lower()} {numbers[other]} --{other.lower()} {numbers[one]}`" in text


def test_one_sure_role_contradicted_becomes_likely_and_is_said() -> None:
    heard = hear(SURE, AGREE | looks(Role.FLAIR, Role.T1, Role.T1C))
    assert heard.certainty(Role.FLAIR) is Certainty.LIKELY
    assert heard.doubts == ("FLAIR is likely, not sure: the image looks like T1 or T1C (what was seen).",)
    assert heard.certainty(Role.T2) is Certainty.SURE


def test_a_likely_role_contradicted_is_held() -> None:
    with pytest.raises(RolesContradictedError, match="--flair SERIES"):
        hear(likely(SURE, Role.FLAIR), AGREE | looks(Role.FLAIR, Role.T1, Role.T1C))


def test_after_a_person_s_word_the_images_only_add_a_caution() -> None:
    crossed = AGREE | looks(Role.T1, Role.T1C) | looks(Role.T1C, Role.T1)
    heard = hear(SURE, crossed, by_person=[Role.T1C])
    assert [heard.certainty(role) for role in (Role.T1, Role.T1C)] == [Certainty.LIKELY] * 2
    assert len(heard.doubts) == 2


def test_a_person_s_word_on_another_role_does_not_silence_the_images() -> None:
    with pytest.raises(RolesContradictedError):
        hear(SURE, AGREE | looks(Role.T1, Role.T1C) | looks(Role.T1C, Role.T1), by_person=[Role.T2])


def test_no_contrast_to_be_seen_adds_to_a_doubt_but_makes_none() -> None:
    silent = AGREE | {Role.T1C: Statement(Role.T1C, frozenset({Role.T1, Role.T1C}), f"dark fluid; {NO_CONTRAST}")}
    assert hear(SURE, silent) == SURE
    heard = hear(likely(SURE, Role.T1C), silent)
    assert NO_CONTRAST in heard.doubts[0]


def test_three_in_a_ring_are_put_right_together() -> None:
    ring = looks(Role.T1, Role.T2) | looks(Role.T2, Role.FLAIR) | looks(Role.FLAIR, Role.T1)
    numbers = {role: SURE.choices[role].series.series_number for role in Role}
    with pytest.raises(RolesContradictedError) as held:
        hear(SURE, AGREE | ring)
    wanted = {"--t1": Role.FLAIR, "--t2": Role.T1, "--flair": Role.T2}
    assert all(f"{option} {numbers[role]}" in str(held.value) for option, role in wanted.items())
