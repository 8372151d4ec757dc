"""What a person decided about a study: which series is T1, T1C, T2 or FLAIR. It stays when more images arrive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from bt_node.domain.errors import AssignmentRefusedError, IllegalMoveError, InputsPurgedError
from bt_node.domain.role import Assigned, Role
from bt_node.domain.states import ENDED_STATES, JobState
from bt_node.jobs.database import Transaction
from bt_node.jobs.moves import locked, move
from bt_node.jobs.tables import instances


def assigned_to(job: Any) -> dict[Role, Assigned]:
    """What a job's row says about roles that a person gave."""
    return {Role(role): Assigned(**word) for role, word in (job.assigned or {}).items()}


def assign(tx: Transaction, job_id: int, wanted: Mapping[Role, str], actor: str) -> JobState:
    """Note a person's choice and take the job up again; see JobBook.assign."""
    job = _fit_for_a_decision(tx, job_id)
    merged = assigned_to(job) | {role: Assigned(uid, actor) for role, uid in wanted.items()}
    problems = [*_not_received(tx, job_id, wanted), *_used_twice(merged)]
    if problems:
        raise AssignmentRefusedError(problems)
    words = ", ".join(f"{role.value} is series {wanted[role]}" for role in Role if role in wanted)
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


def _not_received(tx: Transaction, job_id: int, wanted: Mapping[Role, str]) -> list[str]:
    images = select(instances.c.series_instance_uid).where(instances.c.job_id == job_id, instances.c.is_image)
    received = set(tx.execute(images.distinct()).scalars())
    return [f"{role.value}: series {uid} is not in this study" for role, uid in wanted.items() if uid not in received]


def _used_twice(merged: Mapping[Role, Assigned]) -> list[str]:
    by_series: dict[str, list[str]] = {}
    for role, word in merged.items():
        by_series.setdefault(word.series_instance_uid, []).append(role.value)
    return [f"series {uid} would be {' and '.join(roles)}" for uid, roles in by_series.items() if len(roles) > 1]


def _run_anew(tx: Transaction, job: Any, assigned: Mapping[Role, Assigned], actor: str, reason: str) -> JobState:
    stored = {role.value: vars(word) for role, word in assigned.items()}
    # Another choice makes other results: they get a time of their own.
    anew: dict[str, Any] = {"attempts": 0, "not_before": None, "stage": "", "analysed_at": None, "send_again": True}
    move(
        tx, job.id, JobState(job.state), JobState.READY, actor=actor, code="assigned", reason=reason,
        assigned=stored, **anew,
    )  # fmt: skip
    return JobState.READY
