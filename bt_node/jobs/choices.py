"""What a person can do with a job now, as commands to type. No table is read: state and code say it."""

from __future__ import annotations

from typing import Any

from bt_node.domain.errors import RolesAmbiguousError
from bt_node.domain.states import JobState
from bt_node.jobs.review import RESULT_HELD


def choices(job: Any) -> list[dict[str, str]]:
    """Commands with what each does; empty where nothing needs a person."""
    if job.state != JobState.HELD:
        return []
    reject = _choice(f'reject {job.id} --reason "…"', "the study ends without an answer")
    if job.code == RESULT_HELD:
        release = _choice(f"release {job.id}", "the stored result is sent as it was encoded")
        again = _choice(f"assign {job.id} --t1c SERIES", "if a series has the wrong role: it runs again")
        return [release, reject, again]
    if job.code == RolesAmbiguousError.code:
        return [
            _choice(f"explain {job.id}", "the evidence for each series"),
            _choice(f"assign {job.id} --t1c SERIES", "you say which series it is, and it runs again"),
            reject,
        ]
    return [_choice(f"retry {job.id}", "it runs again, once the cause is mended"), reject]


def _choice(command: str, what: str) -> dict[str, str]:
    return {"command": f"bt-node jobs {command}", "what": what}
