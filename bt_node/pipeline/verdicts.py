"""From an error to the job's next state: the only place where that is decided."""

from __future__ import annotations

from dataclasses import dataclass

from bt_node.domain.errors import Alarm, BtNodeError, Hold, Reject
from bt_node.domain.states import JobState


@dataclass(frozen=True)
class NextStep:
    """Where a job goes after its trip ended with an error."""

    target: JobState
    code: str
    reason: str
    retry_in_seconds: float | None = None


def next_step(error: Exception, *, attempt: int, max_attempts: int, pause_seconds: float) -> NextStep:
    """Read the verdict from the error's class.

    Args:
        error: what ended the trip.
        attempt: which attempt this was, from 1.
        max_attempts: attempts after which a job that could be retried is FAILED.
        pause_seconds: pause after the first attempt; it doubles with each further one.
    """
    match error:
        case Reject():
            return NextStep(JobState.REJECTED, error.code, str(error))
        case Hold():
            return NextStep(JobState.HELD, error.code, str(error))
        case Alarm():
            return NextStep(JobState.FAILED, error.code, str(error))
        case BtNodeError():
            code, reason = error.code, str(error)
        case _:
            # The text of a foreign error may quote a header value, so only its class enters the job book.
            code, reason = (
                "unexpected",
                f"Unexpected {type(error).__name__}; the worker's log has the place in the code.",
            )
    if attempt >= max_attempts:
        return NextStep(JobState.FAILED, code, f"{reason} Gave up after {attempt} attempts.")
    return NextStep(JobState.READY, code, reason, retry_in_seconds=pause_seconds * 2 ** (attempt - 1))
