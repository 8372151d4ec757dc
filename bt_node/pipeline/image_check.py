"""The second witness is called: what the prepared images say about the roles, into the record and into the choice."""

from __future__ import annotations

from collections.abc import Mapping

from bt_node.convert.prepare import PreparedStudy
from bt_node.domain.study import Assigned, Role, RoleAssignment
from bt_node.judge.hearing import hear
from bt_node.judge.witness import look_at
from bt_node.pipeline.record import TripRecord


def confirmed_by_images(
    assignment: RoleAssignment, prepared: PreparedStudy, assigned: Mapping[Role, Assigned], record: TripRecord
) -> RoleAssignment:
    """The choice of series with the doubts that their images add; what was seen is kept in the record.

    Raises:
        RolesContradictedError: the images contradict the choice, and a person must decide.
    """
    inputs = {role: volume.array for role, volume in prepared.inputs.items()}
    statements = look_at(inputs, prepared.brain.array)
    record.note_images(statements)
    by_person = [
        role
        for role, word in assigned.items()
        if role in assignment.choices
        and assignment.choices[role].series.series_instance_uid == word.series_instance_uid
    ]
    heard = hear(assignment, statements, by_person)
    record.note_certainty(heard)
    return heard
