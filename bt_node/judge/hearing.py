"""Headers and images heard together: who is believed, and when a person must be asked.

A contradiction is never passed over. It holds the study where it is clear-cut (the series of two roles or more look
like one another's) or where the headers were not sure themselves; else the role is only likely from here on, and the
result says so. Where a person assigned the series, the images only add a caution: the person has the last word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from bt_node.domain.errors import RolesContradictedError
from bt_node.domain.study import Certainty, Role, RoleAssignment, RoleChoice
from bt_node.judge.witness import NO_CONTRAST, Opinion, Statement


def hear(
    assignment: RoleAssignment, statements: Mapping[Role, Statement], by_person: Collection[Role] = ()
) -> RoleAssignment:
    """The choice of series with the doubts that the images add.

    Args:
        assignment: what headers, the site's rules or a person chose.
        statements: what the images say about each of these choices.
        by_person: roles whose series a person assigned.

    Raises:
        RolesContradictedError: the images contradict the choice, and a person must decide.
    """
    against = {role: said for role, said in statements.items() if said.opinion is Opinion.CONTRADICTS}
    asked = [role for role in against if _must_ask(role, against, assignment, by_person)]
    if asked:
        raise RolesContradictedError(
            [(role.value, _name(assignment.choices[role]), _likeness(said)) for role, said in against.items()],
            [(role.value, _name(assignment.choices[other])) for role, other in _exchange(against).items()],
        )
    choices = {
        role: replace(choice, doubts=(*choice.doubts, *_doubts(choice, statements[role])))
        for role, choice in assignment.choices.items()
        if role in statements
    }
    return replace(assignment, choices={**assignment.choices, **choices})


def _must_ask(
    role: Role, against: Mapping[Role, Statement], assignment: RoleAssignment, by_person: Collection[Role]
) -> bool:
    partners = _partners(role, against)
    if {role, *partners} & set(by_person):
        return False
    return bool(partners) or assignment.certainty(role) is Certainty.LIKELY


def _partners(role: Role, against: Mapping[Role, Statement]) -> frozenset[Role]:
    """Other contradicted roles that the series of this one may have, or whose series may have this one."""
    theirs = {other for other, said in against.items() if role in said.looks_like}
    return frozenset((against[role].looks_like & against.keys()) | theirs) - {role}


def _exchange(against: Mapping[Role, Statement]) -> dict[Role, Role]:
    """By role: the one whose series should have it, where the images leave one way only."""
    found = {role: [other for other, said in against.items() if role in said.looks_like] for role in against}
    single = {role: others[0] for role, others in found.items() if len(others) == 1}
    return single if len(set(single.values())) == len(against) else {}


def _doubts(choice: RoleChoice, said: Statement) -> tuple[str, ...]:
    if said.opinion is Opinion.CONTRADICTS:
        return (f"the image looks like {_likeness(said)}",)
    if choice.role is Role.T1C and choice.doubts and said.why.endswith(NO_CONTRAST):
        return (f"in the images {NO_CONTRAST}",)
    return ()


def _likeness(said: Statement) -> str:
    """`FLAIR (fluid is dark in it, …)`."""
    like = " or ".join(role.value for role in Role if role in said.looks_like)
    return f"{like} ({said.why})"


def _name(choice: RoleChoice) -> str:
    """What `bt-node jobs assign` understands."""
    number = choice.series.series_number
    return choice.series.series_instance_uid if number is None else str(number)
