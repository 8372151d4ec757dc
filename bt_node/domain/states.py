"""Job states and the legal moves between them: the one table that code, CLI and documents follow."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobState(StrEnum):
    """Where one study stands on its trip. The words are the words in the database, CLI and documents."""

    RECEIVING = "RECEIVING"  # instances are arriving, or the study has not been quiet long enough
    READY = "READY"  # complete; waits for a worker
    RUNNING = "RUNNING"  # a worker holds the lease
    DELIVERING = (
        "DELIVERING"  # results are in the outbox; some destination does not have them yet, or has not proven it
    )
    DONE = "DONE"  # every destination has every object, proven where proof is asked for
    HELD = "HELD"  # a person must decide
    REJECTED = "REJECTED"  # the input is unfit; the reason says why
    FAILED = "FAILED"  # attempts used up, or the node is broken; `jobs retry` revives it
    CANCELLED = "CANCELLED"  # stopped by an operator


_LEGAL_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.RECEIVING: frozenset({JobState.READY, JobState.CANCELLED}),
    JobState.READY: frozenset({JobState.RUNNING, JobState.RECEIVING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.DELIVERING,
            JobState.DONE,  # no destination is configured
            JobState.READY,  # retry, or the lease ran out
            JobState.RECEIVING,  # instances arrived while it ran
            JobState.HELD,
            JobState.REJECTED,
            JobState.FAILED,
            JobState.CANCELLED,
        }
    ),
    # New images open a job also while a destination is down: its results wait, and are replaced. A result whose file
    # is lost or damaged is made again (READY) before anything more is sent.
    JobState.DELIVERING: frozenset(
        {JobState.DONE, JobState.RECEIVING, JobState.READY, JobState.FAILED, JobState.CANCELLED}
    ),
    # An ended job opens again when new images arrive (RECEIVING) or when an operator asks (READY).
    JobState.DONE: frozenset({JobState.RECEIVING, JobState.READY}),
    # A held result leaves, or never does, by a person's word (`jobs release`, `jobs reject`).
    JobState.HELD: frozenset(
        {
            JobState.RECEIVING,
            JobState.READY,
            JobState.DELIVERING,
            JobState.DONE,
            JobState.REJECTED,
            JobState.CANCELLED,
        }
    ),
    JobState.REJECTED: frozenset({JobState.RECEIVING, JobState.READY}),
    # A job that failed in delivery goes back to DELIVERING: its results exist and keep their UIDs.
    JobState.FAILED: frozenset({JobState.RECEIVING, JobState.READY, JobState.DELIVERING, JobState.CANCELLED}),
    JobState.CANCELLED: frozenset({JobState.RECEIVING, JobState.READY}),
}

LEGAL_MOVES: Mapping[JobState, frozenset[JobState]] = MappingProxyType(_LEGAL_MOVES)

ENDED_STATES = frozenset({JobState.DONE, JobState.HELD, JobState.REJECTED, JobState.FAILED, JobState.CANCELLED})


def is_legal(source: JobState, target: JobState) -> bool:
    """Whether a job in `source` may become `target`."""
    return target in LEGAL_MOVES[source]


class DeliveryState(StrEnum):
    """Where one result object stands on its way to one destination."""

    PENDING = "PENDING"  # not sent yet, or to be sent (again) at next_attempt_at
    SENT = "SENT"  # the destination answered success or a warning; proof that it keeps the object is awaited
    DELIVERED = "DELIVERED"  # it keeps the object; `proof` says how that is known
    FAILED = "FAILED"  # not taken, or never proven, for too long; `jobs retry` revives it
