"""One study's trip as a value in and a value out: what a worker asks of its trip process, and what comes back.

Both are plain facts with a JSON form, so that nothing but text and the bytes of result objects crosses the channel
between the two processes: no pickle, no code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from bt_node.domain.completeness import KnownGaps
from bt_node.domain.follow_up import FormerStudy, Remembered
from bt_node.domain.result import EarlierReport, EncodedObject, ResultKind
from bt_node.domain.role import Assigned, Role
from bt_node.jobs.values import Json, RunRecord
from bt_node.pipeline.verdicts import NextStep


@dataclass(frozen=True)
class Journey:
    """What a trip needs of one claimed job.

    Attributes:
        paths: file of every instance, by SOPInstanceUID.
        received: what each file must still be, by SOPInstanceUID: digest (SHA-256) and transfer syntax UID.
        images: those that are images: a report on an unanswered study refers to them.
        attempt, max_attempts, pause_seconds: see `pipeline.verdicts.next_step`.
        explain: whether a study without an answer gets a report that says why.
    """

    job_id: int
    attempt: int
    analysed_at: datetime
    paths: Mapping[str, Path]
    images: tuple[str, ...] = ()
    earlier_reports: tuple[EarlierReport, ...] = ()
    assigned: Mapping[Role, Assigned] = field(default_factory=dict)
    gaps: KnownGaps = field(default_factory=KnownGaps)
    received: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    max_attempts: int = 1
    pause_seconds: float = 0.0
    explain: bool = False


@dataclass(frozen=True)
class Arrival:
    """How a trip ended.

    Attributes:
        record: what was found out, for the job book.
        objects: the result objects; none where the trip ended with an error.
        held_because: why a person must look before they leave; empty: they may.
        unanswered: the report that says that there is no answer, where one was wanted and could be made.
        step: where the job goes after an error; None where the trip came through.
    """

    record: RunRecord
    objects: tuple[EncodedObject, ...] = ()
    held_because: tuple[str, ...] = ()
    unanswered: tuple[EncodedObject, ...] = ()
    step: NextStep | None = None


class Companion(Protocol):
    """Who follows a trip from the worker's side."""

    def check(self) -> None:
        """Return while the trip should go on; raise LeaseLostError or WorkerStoppingError when it must end."""

    def stage_begins(self, stage: str) -> None:
        """A stage begins."""

    def stage_done(self, stage: str, seconds: float) -> None:
        """A stage has ended."""

    def former(self, patient_hash: str, before: date) -> FormerStudy | None:
        """See JobBook.former_study."""


class Traveller(Protocol):
    """Takes studies through their trips, one at a time."""

    def prepare(self, check: Callable[[], None]) -> None:
        """Be ready to travel, models loaded; `check` is called while that takes time, and may raise."""

    def travel(self, journey: Journey, companion: Companion) -> Arrival:
        """One trip; an error of the study is an Arrival, too.

        Raises:
            LeaseLostError: told by the companion.
            WorkerStoppingError: told by the companion.
            TripEndedError: the trip's process hung, or died.
        """

    def stop(self) -> None:
        """End, at once."""


@cache
def _codec(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def as_json(kind: Any, value: Any) -> Any:
    """A value of one of our own frozen types, as plain JSON."""
    return _codec(kind).dump_python(value, mode="json")


def from_json(kind: Any, plain: Any) -> Any:
    """The inverse of `as_json`; raises pydantic's ValidationError when it is not of that kind."""
    return _codec(kind).validate_python(plain)


def arrival_to_json(arrival: Arrival) -> tuple[Json, list[bytes]]:
    """Plain JSON and, apart, the contents of objects and reports in their order."""
    plain = {
        "record": {**asdict(arrival.record), "remembered": None, "unanswered": None},
        "remembered": as_json(Remembered | None, arrival.record.remembered),
        "objects": [_head(each) for each in arrival.objects],
        "unanswered": [_head(each) for each in arrival.unanswered],
        "held_because": list(arrival.held_because),
        "step": as_json(NextStep | None, arrival.step),
    }
    return plain, [each.content for each in (*arrival.objects, *arrival.unanswered)]


def arrival_from_json(plain: Json, contents: Sequence[bytes]) -> Arrival:
    """The inverse of `arrival_to_json`."""
    heads = [*plain["objects"], *plain["unanswered"]]
    encoded = [
        EncodedObject(**{**head, "kind": ResultKind(head["kind"])}, content=content)
        for head, content in zip(heads, contents, strict=True)
    ]
    made = len(plain["objects"])
    remembered = from_json(Remembered | None, plain["remembered"])
    return Arrival(
        record=RunRecord(**{**plain["record"], "remembered": remembered}),
        objects=tuple(encoded[:made]),
        unanswered=tuple(encoded[made:]),
        held_because=tuple(plain["held_because"]),
        step=from_json(NextStep | None, plain["step"]),
    )


def _head(encoded: EncodedObject) -> Json:
    return {key: value for key, value in vars(encoded).items() if key != "content"}


def former_to_json(former: FormerStudy | None) -> Any:
    """A former study for the trip that asked for it."""
    return as_json(FormerStudy | None, former)


def former_from_json(plain: Any) -> FormerStudy | None:
    """The inverse of `former_to_json`."""
    found: FormerStudy | None = from_json(FormerStudy | None, plain)
    return found
