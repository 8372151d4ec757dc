"""What the job book takes and gives: frozen values, no SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bt_node.domain.completeness import KnownGaps
from bt_node.domain.follow_up import Remembered
from bt_node.domain.receipt import HeldInstance, ReceivedInstance
from bt_node.domain.result import EarlierReport, EncodedObject, ResultKind
from bt_node.domain.role import Assigned, Role
from bt_node.domain.states import JobState

Json = dict[str, Any]
_TIMES = ("created_at", "updated_at")


@dataclass(frozen=True)
class ClaimedJob:
    """A job that a worker holds.

    Attributes:
        token: fencing token; each claim of a job has a higher one, and only the newest may write.
        attempt: 1 for the first run with these inputs.
        analysed_at: UTC, whole seconds; the same for every run with the same inputs, so that results repeat.
        instances: everything received for the study, ordered by series and instance UID.
        assigned: series that a person gave to roles.
        earlier_reports: reports of this job that were sent at least once, oldest first.
        gaps: what was known to lack when the study went on.
    """

    id: int
    study_instance_uid: str
    token: int
    attempt: int
    analysed_at: datetime
    instances: tuple[ReceivedInstance, ...]
    earlier_reports: tuple[EarlierReport, ...] = ()
    assigned: Mapping[Role, Assigned] = field(default_factory=dict)
    gaps: KnownGaps = field(default_factory=KnownGaps)


@dataclass(frozen=True)
class HeldLease:
    """What the job book says of a job that runs; each renewal changes `until` (a time of the database's clock)."""

    job_id: int
    token: int
    until: float


@dataclass(frozen=True)
class RunRecord:
    """What a run found out, as plain JSON: UIDs, numbers and our own words, never free text of the scanner.

    `remembered` is what the same patient's next study will be compared with; None where nothing may be kept.
    `unanswered` is for runs without results.
    """

    roles: list[Json] = field(default_factory=list)
    set_aside: list[Json] = field(default_factory=list)
    findings: Json = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    remembered: Remembered | None = None
    unanswered: UnansweredReport | None = None


@dataclass(frozen=True)
class UnansweredReport:
    """The report that says why a study has no answer, stored in the spool, and who gets it."""

    stored: tuple[StoredResult, ...]
    destinations: tuple[str, ...]


@dataclass(frozen=True)
class StoredResult:
    """A result object that lies durably in the spool: `path` relative to its root, `sha256` (hex) of the file."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    path: str
    sha256: str

    @classmethod
    def of(cls, encoded: EncodedObject, path: str, sha256: str) -> StoredResult:
        """The facts of an encoded object that was written to `path`."""
        return cls(
            kind=encoded.kind,
            sop_class_uid=encoded.sop_class_uid,
            sop_instance_uid=encoded.sop_instance_uid,
            series_instance_uid=encoded.series_instance_uid,
            series_number=encoded.series_number,
            path=path,
            sha256=sha256,
        )


@dataclass(frozen=True)
class DueDelivery:
    """One result object that one destination should get now.

    Attributes:
        attempts: how often it was tried already.
        age_seconds: time since it was queued (or queued again by an operator), for giving up.
        proof_attempts: how often proof was asked for since it was sent.
    """

    job_id: int
    destination: str
    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    path: str
    sha256: str
    attempts: int
    age_seconds: float
    study_instance_uid: str
    series_instance_uid: str
    proof_attempts: int


@dataclass(frozen=True)
class WaitingResult:
    """A result that is to leave: what its file in the spool must be."""

    job_id: int
    sop_instance_uid: str
    path: str
    sha256: str


@dataclass(frozen=True)
class RecordedFile:
    """A received file by its row's number, which grows as files are recorded; `held` is what it must be."""

    number: int
    job_id: int
    sop_instance_uid: str
    size_bytes: int
    held: HeldInstance


@dataclass(frozen=True)
class JobSummary:
    """One line of `bt-node jobs list`. Times are UTC; `updated_at` is that of the last move."""

    id: int
    study_instance_uid: str
    state: JobState
    code: str
    reason: str
    stage: str
    attempts: int
    instances: int
    images: int
    created_at: datetime
    updated_at: datetime

    def as_dict(self) -> Json:
        """The same, JSON-able: times as ISO 8601."""
        times = {
            name: value.isoformat(timespec="milliseconds") for name, value in self.__dict__.items() if name in _TIMES
        }
        return self.__dict__ | times
