"""What a person decided about a study: which series is T1, T1C, T2 or FLAIR. It stays when more images arrive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from bt_node.domain.errors import AssignmentRefusedError, IllegalMoveError, InputsPurgedError
from bt_node.domain.role import Assigned, NamedVolume, Role
from bt_node.domain.states import ENDED_STATES, JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked, move
from bt_node.jobs.tables import instances


def assigned_to(job: Any) -> dict[Role, Assigned]:
    """What a job's row says about roles that a person gave."""
    return {Role(role): Assigned(**word) for role, word in (job.assigned or {}).items()}


def assign(tx: Transaction, job_id: int, wanted: Mapping[Role, NamedVolume], actor: str) -> JobState:
    """Note a person's choice and take the job up again; see JobBook.assign."""
    job = _fit_for_a_decision(tx, job_id)
    merged = assigned_to(job) | {
        role: Assigned(named.series_instance_uid, actor, named.image) for role, named in wanted.items()
    }
    problems = [*_not_received(tx, job_id, wanted), *_used_twice(merged)]
    if problems:
        raise AssignmentRefusedError(problems)
    words = ", ".join(f"{role.value} is {wanted[role]}" for role in Role if role in wanted)
    return _run_anew(tx, job, merged, actor, f"assigned by an operator: {words}")


def unassign(tx: Transaction, job_id: int, actor: str) -> JobState:
    """Forget what was assigned and take the job up again; see JobBook.unassign."""
    job = _fit_for_a_decision(tx, job_id)
    return _run_anew(tx, job, {}, actor, "assignment withdrawn by an operator")


def _fit_for_a_decision(tx: Transaction, job_id: int) -> Any:
    job = locked(tx, job_id)
    if job.state not in ENDED_STATES:
        raise IllegalMoveError(job_id, job.state, JobState.READY)
    if job.purged_at is not None:
        raise InputsPurgedError(job_id)
    return job


def _not_received(tx: Transaction, job_id: int, wanted: Mapping[Role, NamedVolume]) -> list[str]:
    images = select(instances.c.series_instance_uid).where(instances.c.job_id == job_id, instances.c.is_image)
    received = set(tx.execute(images.distinct()).scalars())
    return [
        f"{role.value}: series {named.series_instance_uid} is not in this study"
        for role, named in wanted.items()
        if named.series_instance_uid not in received
    ]


def _used_twice(merged: Mapping[Role, Assigned]) -> list[str]:
    by_volume: dict[NamedVolume, list[str]] = {}
    for role, word in merged.items():
        by_volume.setdefault(word.volume, []).append(role.value)
    return [f"{volume} would be {' and '.join(roles)}" for volume, roles in by_volume.items() if len(roles) > 1]


def _run_anew(tx: Transaction, job: Any, assigned: Mapping[Role, Assigned], actor: str, reason: str) -> JobState:
    # Without what is empty: a program of the version before knows no more than series and person.
    stored = {role.value: {key: said for key, said in vars(word).items() if said} for role, word in assigned.items()}
    # Another choice makes other results: they get a time of their own.
    anew: dict[str, Any] = {"attempts": 0, "not_before": None, "stage": "", "analysed_at": None, "send_again": True}
    move(
        tx, job.id, JobState(job.state), JobState.READY, actor=actor, code="assigned", reason=reason,
        assigned=stored, **anew,
    )  # fmt: skip
    return JobState.READY
