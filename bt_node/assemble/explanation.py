"""The ranking of all candidates for each role, and what became of every other series, as plain JSON-able values.

Our own words, numbers and UIDs only, as in all reasons.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bt_node.domain.study import Role, RoleAssignment


def explanation(assignment: RoleAssignment) -> dict[str, Any]:
    """What was chosen, what it was compared with and why.

    Returns:
        `roles`: for each role its certainty, the chosen series, reason, doubts, all candidates by place, and what a
        person is asked. `set_aside`: every other series with its reason.
    """
    return {
        "roles": {role.value: _role(assignment, role) for role in Role},
        "set_aside": [asdict(entry) for entry in assignment.set_aside],
    }


def _role(assignment: RoleAssignment, role: Role) -> dict[str, Any]:
    choice = assignment.choices.get(role)
    asked = [text for ambiguity in assignment.ambiguous if ambiguity.role is role for text in ambiguity.candidates]
    return {
        "certainty": assignment.certainty(role).value,
        "series_instance_uid": choice.series.series_instance_uid if choice else None,
        "series_number": choice.series.series_number if choice else None,
        "reason": choice.reason if choice else "",
        "doubts": list(choice.doubts) if choice else [],
        "candidates": [asdict(ranked) for ranked in assignment.ranking.get(role, ())],
        "a_person_must_choose_from": asked,
    }
