"""Which studies go on without a sequence, which wait, and which cannot be answered."""

from __future__ import annotations

import pytest
from study_maker import mr_series

from bt_node.domain.errors import RolesAmbiguousError, RolesMissingError, StudyIncompleteError
from bt_node.domain.study import Ambiguity, Role, RoleAssignment, RoleChoice

ALL, MAIN = tuple(Role), (Role.FLAIR, Role.T1C)


def assignment(*roles: Role, ambiguous: tuple[Role, ...] = ()) -> RoleAssignment:
    choices = {role: RoleChoice(role, mr_series(number), "said so") for number, role in enumerate(roles)}
    return RoleAssignment(choices, (), tuple(Ambiguity(role, ("series 1", "series 2")) for role in ambiguous))


def test_a_release_that_needs_all_refuses_a_study_without_one() -> None:
    with pytest.raises(RolesMissingError, match="No series found for T2 among 3"):
        assignment(Role.T1, Role.T1C, Role.FLAIR).require(ALL)


def test_a_release_that_can_do_without_is_told_what_is_missing() -> None:
    assert assignment(Role.T1C, Role.T2).require(ALL, MAIN) == (Role.T1, Role.FLAIR)
    assert assignment(*Role).require(ALL, MAIN) == ()


def test_a_study_without_any_of_the_main_sequences_is_refused() -> None:
    with pytest.raises(RolesMissingError, match=r"No series found for T1, T1C, FLAIR .* at least FLAIR or T1C"):
        assignment(Role.T2).require(ALL, MAIN)


def test_a_site_may_hold_what_the_release_could_answer() -> None:
    with pytest.raises(StudyIncompleteError, match="require_all_roles") as caught:
        assignment(Role.T1C, Role.T2).require(ALL, MAIN, hold_incomplete=True)
    assert caught.value.missing == ("T1", "FLAIR")
    assert assignment(*Role).require(ALL, MAIN, hold_incomplete=True) == ()


def test_a_role_that_a_person_could_tell_is_not_treated_as_missing() -> None:
    with pytest.raises(RolesAmbiguousError, match="FLAIR"):
        assignment(Role.T1C, Role.T1, Role.T2, ambiguous=(Role.FLAIR,)).require(ALL, MAIN)
    with pytest.raises(RolesAmbiguousError, match="FLAIR"):
        assignment(Role.T1, Role.T2, ambiguous=(Role.FLAIR,)).require(ALL, MAIN)


def test_a_sequence_that_the_release_does_not_read_may_be_missing() -> None:
    assert assignment(Role.T1C, Role.FLAIR).require(MAIN) == ()
