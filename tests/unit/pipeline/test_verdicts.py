"""The class of an error decides where a job goes, and nothing else does."""

import pytest

from bt_node.domain.errors import (
    Alarm,
    OutOfDeviceMemoryError,
    ReadBackError,
    RolesAmbiguousError,
    RolesMissingError,
    SliceGapError,
)
from bt_node.domain.states import JobState, is_legal
from bt_node.pipeline.verdicts import next_step


def step(error: Exception, attempt: int = 1):
    return next_step(error, attempt=attempt, max_attempts=3, pause_seconds=10.0)


@pytest.mark.parametrize(
    ("error", "target"),
    [
        (RolesMissingError(["FLAIR"], 3), JobState.REJECTED),
        (SliceGapError("1.2", 10.0, 5.0, 20.0), JobState.REJECTED),
        (RolesAmbiguousError("T2", ["series 3", "series 4"]), JobState.HELD),
        (ReadBackError("SEG", "3 voxels differ"), JobState.FAILED),
        (Alarm("broken"), JobState.FAILED),
        (OutOfDeviceMemoryError("cuda:0"), JobState.READY),
        (KeyError("surprise"), JobState.READY),
    ],
)
def test_the_class_of_the_error_is_the_verdict(error: Exception, target: JobState) -> None:
    found = step(error)
    assert found.target is target
    assert is_legal(JobState.RUNNING, found.target)


def test_pauses_double_until_the_attempts_are_used_up() -> None:
    pauses = [step(OutOfDeviceMemoryError("cpu"), attempt).retry_in_seconds for attempt in (1, 2, 3)]
    assert pauses == [10.0, 20.0, None]
    assert step(OutOfDeviceMemoryError("cpu"), 3).target is JobState.FAILED


def test_the_text_of_a_foreign_error_does_not_enter_the_job_book() -> None:
    found = step(ValueError("cannot read date of Doe^Jane"))
    assert "Doe" not in found.reason
    assert "ValueError" in found.reason


def test_a_missing_role_is_named() -> None:
    assert "FLAIR" in step(RolesMissingError(["FLAIR"], 3)).reason
